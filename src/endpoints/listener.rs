//! Listeners of this side, TCP and UNIX sockets, and the connections that they take.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
#[cfg(unix)]
use std::os::unix::fs::PermissionsExt;
#[cfg(unix)]
use std::path::{Path, PathBuf};

use futures_util::future::select_all;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixSocket, UnixStream};

/// How often a free port is looked for that is free at all addresses.
const FREE_PORT_TRIES: u32 = 16;
/// Who may connect to a UNIX socket.
#[cfg(unix)]
const OWNER_ALONE: u32 = 0o600;
/// Connections to a UNIX socket that wait to be taken, as many as the standard library has.
#[cfg(unix)]
const BACKLOG: u32 = 128;

/// Takes connections at one port of some addresses, or at a UNIX socket.
pub enum Listener {
    /// At TCP addresses; at least one.
    Tcp(Vec<TcpListener>),
    /// At a UNIX socket.
    #[cfg(unix)]
    Socket(UnixListener, SocketFile),
}

/// The file of a UNIX socket. It is removed when this is dropped.
#[cfg(unix)]
pub struct SocketFile(PathBuf);

#[cfg(unix)]
impl Drop for SocketFile {
    fn drop(&mut self) {
        // Whoever has removed it before has done this for us.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Listener {
    /// Listens at the loopback addresses of both families, as far as this machine has them.
    ///
    /// # Errors
    /// Those of `bind(2)`.
    pub async fn loopback(port: u16) -> io::Result<Self> {
        Self::at_all(&[Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()], port).await
    }

    /// Listens at all addresses of both families.
    ///
    /// # Errors
    /// Those of `bind(2)`.
    pub async fn everywhere(port: u16) -> io::Result<Self> {
        // Where a listener for IPv6 takes connections of IPv4 as well, there is nothing left to listen at.
        match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
            Ok(six) => {
                let four = TcpListener::bind((Ipv4Addr::UNSPECIFIED, six.local_addr()?.port())).await;
                Ok(Self::Tcp(std::iter::once(six).chain(four.ok()).collect()))
            }
            Err(cause) if is_missing(&cause) => {
                Ok(Self::Tcp(vec![TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await?]))
            }
            Err(cause) => Err(cause),
        }
    }

    /// Listens at the addresses of a name, or at an address.
    ///
    /// # Errors
    /// Those of the look-up and of `bind(2)`.
    pub async fn host(host: &str, port: u16) -> io::Result<Self> {
        let mut addresses: Vec<_> = tokio::net::lookup_host((host, port)).await?.map(|address| address.ip()).collect();
        addresses.dedup();
        Self::at_all(&addresses, port).await
    }

    async fn at_all(addresses: &[std::net::IpAddr], port: u16) -> io::Result<Self> {
        let mut tries = 0;
        loop {
            match Self::at_each(addresses, port).await {
                Err(cause) if port == 0 && cause.kind() == ErrorKind::AddrInUse && tries < FREE_PORT_TRIES => {
                    tries += 1
                }
                listener => return listener,
            }
        }
    }

    /// Listens at each of the addresses that this machine has, at the same port.
    async fn at_each(addresses: &[std::net::IpAddr], mut port: u16) -> io::Result<Self> {
        let mut listeners = Vec::new();
        let mut missing = None;
        for address in addresses {
            match TcpListener::bind(SocketAddr::new(*address, port)).await {
                Ok(listener) => {
                    port = listener.local_addr()?.port();
                    listeners.push(listener);
                }
                Err(cause) if is_missing(&cause) => missing = Some(cause),
                Err(cause) => return Err(cause),
            }
        }
        match missing {
            Some(cause) if listeners.is_empty() => Err(cause),
            _ if listeners.is_empty() => Err(ErrorKind::NotFound.into()),
            _ => Ok(Self::Tcp(listeners)),
        }
    }

    /// Listens at a UNIX socket, in the place of one that nobody listens at any more. Its owner alone may connect, as with
    /// ssh.
    ///
    /// # Errors
    /// Those of `bind(2)`.
    #[cfg(unix)]
    pub async fn socket(path: &Path) -> io::Result<Self> {
        let socket = match bound(path) {
            Err(cause) if cause.kind() == ErrorKind::AddrInUse && is_left_behind(path).await => {
                std::fs::remove_file(path)?;
                bound(path)?
            }
            socket => socket?,
        };
        let file = SocketFile(path.to_owned());
        // Before it listens nobody can connect, so that there is no time in which others may.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(OWNER_ALONE))?;
        Ok(Self::Socket(socket.listen(BACKLOG)?, file))
    }

    /// The TCP port, if it is at one.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp(listeners) => listeners.first()?.local_addr().ok().map(|address| address.port()),
            #[cfg(unix)]
            Self::Socket(..) => None,
        }
    }

    /// Waits for the next connection. May be dropped at any time without loss.
    ///
    /// # Errors
    /// Those of `accept(2)`.
    pub async fn accept(&self) -> io::Result<Local> {
        match self {
            Self::Tcp(listeners) => {
                let accepting = listeners.iter().map(|listener| Box::pin(listener.accept()));
                let (stream, _) = select_all(accepting).await.0?;
                // Small writes are as urgent as they are for whoever makes them.
                stream.set_nodelay(true)?;
                Ok(Local::Tcp(stream))
            }
            #[cfg(unix)]
            Self::Socket(listener, _) => Ok(Local::Socket(listener.accept().await?.0)),
        }
    }
}

/// The first of the addresses, with the port, or the path.
impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(listeners) => match listeners.first().and_then(|listener| listener.local_addr().ok()) {
                Some(address) => address.fmt(f),
                None => f.write_str("no address"),
            },
            #[cfg(unix)]
            Self::Socket(_, SocketFile(path)) => path.display().fmt(f),
        }
    }
}

/// A UNIX socket that has its file, and does not listen yet.
#[cfg(unix)]
fn bound(path: &Path) -> io::Result<UnixSocket> {
    let socket = UnixSocket::new_stream()?;
    socket.bind(path)?;
    Ok(socket)
}

/// Whether the machine has no such address, or not this family.
fn is_missing(cause: &io::Error) -> bool {
    matches!(cause.kind(), ErrorKind::AddrNotAvailable | ErrorKind::Unsupported) || is_unknown_family(cause)
}

#[cfg(unix)]
fn is_unknown_family(cause: &io::Error) -> bool {
    cause.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

#[cfg(not(unix))]
fn is_unknown_family(_: &io::Error) -> bool {
    false
}

/// Whether it is a socket at which nobody listens. To connect to a file of another kind is refused as well.
#[cfg(unix)]
async fn is_left_behind(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;

    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    is_socket && UnixStream::connect(path).await.is_err_and(|cause| cause.kind() == ErrorKind::ConnectionRefused)
}

/// A connection that was taken.
pub enum Local {
    /// Of TCP.
    Tcp(TcpStream),
    /// Of a UNIX socket.
    #[cfg(unix)]
    Socket(UnixStream),
}

impl Local {
    /// Reads at least one byte, at most `buffer` has room for; 0 at the end. May be dropped at any time without loss.
    ///
    /// # Errors
    /// Those of `read(2)`.
    pub async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match self {
                Self::Tcp(stream) => {
                    stream.readable().await?;
                    stream.try_read(buffer)
                }
                #[cfg(unix)]
                Self::Socket(stream) => {
                    stream.readable().await?;
                    stream.try_read(buffer)
                }
            };
            match read {
                Err(cause) if cause.kind() == ErrorKind::WouldBlock => {}
                read => return read,
            }
        }
    }

    /// Writes at least one byte of `bytes` and says how many. May be dropped at any time: nothing is then written.
    ///
    /// # Errors
    /// Those of `write(2)`.
    pub async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let written = match self {
                Self::Tcp(stream) => {
                    stream.writable().await?;
                    stream.try_write(bytes)
                }
                #[cfg(unix)]
                Self::Socket(stream) => {
                    stream.writable().await?;
                    stream.try_write(bytes)
                }
            };
            match written {
                Err(cause) if cause.kind() == ErrorKind::WouldBlock => {}
                written => return written,
            }
        }
    }

    /// Nothing more is written: its peer sees the end, and may still send.
    pub async fn finish(&mut self) {
        // A peer that is gone sees nothing any more.
        let _ = match self {
            Self::Tcp(stream) => stream.shutdown().await,
            #[cfg(unix)]
            Self::Socket(stream) => stream.shutdown().await,
        };
    }

    /// Ends it as one that broke: of TCP its peer sees a reset.
    pub fn reset(self) {
        match self {
            // One that is closed already needs none.
            Self::Tcp(stream) => drop(stream.set_zero_linger()),
            #[cfg(unix)]
            Self::Socket(_) => {}
        }
    }
}
