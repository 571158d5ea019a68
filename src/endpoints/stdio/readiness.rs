//! Pipes and sockets on 0 and 1, driven by readiness.
//!
//! `O_NONBLOCK` belongs to the open file, which the parent may share: it is put back on the way out, and is never set
//! on a terminal or on what is also fd 2.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;

use super::watch::Watch;
use rustix::fs::{FileType, OFlags};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;

/// An open file in non-blocking mode. Dropping this puts back what was changed; where nothing was, because 0 and 1 are the
/// same open file or the parent wants it so, nothing is.
struct NonBlocking {
    fd: OwnedFd,
    was_blocking: bool,
}

impl NonBlocking {
    fn new(fd: OwnedFd) -> io::Result<Self> {
        let flags = rustix::fs::fcntl_getfl(&fd)?;
        rustix::fs::fcntl_setfl(&fd, flags | OFlags::NONBLOCK)?;
        Ok(Self { fd, was_blocking: !flags.contains(OFlags::NONBLOCK) })
    }
}

impl Drop for NonBlocking {
    fn drop(&mut self) {
        if !self.was_blocking {
            return;
        }
        // There is nobody left to tell if this fails.
        let _ = rustix::fs::fcntl_getfl(&self.fd)
            .and_then(|flags| rustix::fs::fcntl_setfl(&self.fd, flags - OFlags::NONBLOCK));
    }
}

/// What a descriptor is, if it can be driven by readiness.
enum Kind {
    Pipe,
    Socket,
}

fn kind(fd: impl AsFd) -> Option<Kind> {
    let stat = rustix::fs::fstat(fd).ok()?;
    let stderr = rustix::fs::fstat(io::stderr());
    if stderr.is_ok_and(|stderr| (stderr.st_dev, stderr.st_ino) == (stat.st_dev, stat.st_ino)) {
        return None;
    }
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Fifo => Some(Kind::Pipe),
        FileType::Socket => Some(Kind::Socket),
        _ => None,
    }
}

/// Bytes that a pipe is to hold: two pages, what ssh sends in 6 to 9 ms at the service's pace. The usual 64 KiB hold what
/// it sends in 50 to 70 ms, and a key pressed meanwhile waits behind them.
#[cfg(target_os = "linux")]
const PIPE: usize = 8192;

/// Makes a pipe hold less. What is no pipe, or holds more already, stays as it is.
#[cfg(target_os = "linux")]
fn make_shallow(fd: impl AsFd) {
    let _ = rustix::pipe::fcntl_setpipe_size(fd, PIPE);
}

#[cfg(not(target_os = "linux"))]
fn make_shallow(_: impl AsFd) {}

/// A second descriptor of the same socket, for the runtime to own.
fn socket(fd: impl AsFd) -> io::Result<UnixStream> {
    // Any stream socket reads and writes alike; only addresses differ, and nobody asks for those.
    UnixStream::from_std(StdUnixStream::from(fd.as_fd().try_clone_to_owned()?))
}

pub(super) struct Reader {
    source: Source,
    _mode: NonBlocking,
}

enum Source {
    Pipe(pipe::Receiver),
    Socket(UnixStream),
}

impl Reader {
    /// Fd 0, if it is a pipe or a socket.
    pub(super) fn open(shallow: bool) -> Option<Self> {
        let stdin = io::stdin();
        if shallow {
            make_shallow(&stdin);
        }
        let open = |kind| -> io::Result<Self> {
            let mode = NonBlocking::new(stdin.as_fd().try_clone_to_owned()?)?;
            let source = match kind {
                Kind::Pipe => Source::Pipe(pipe::Receiver::from_owned_fd(stdin.as_fd().try_clone_to_owned()?)?),
                Kind::Socket => Source::Socket(socket(&stdin)?),
            };
            Ok(Self { source, _mode: mode })
        };
        open(kind(&stdin)?).ok()
    }

    pub(super) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.source {
            Source::Pipe(pipe) => pipe.read(buffer).await,
            Source::Socket(socket) => socket.read(buffer).await,
        }
    }
}

pub(super) struct Writer {
    sink: Sink,
    _mode: NonBlocking,
}

enum Sink {
    Pipe(pipe::Sender),
    Socket(UnixStream, Option<Watch>),
}

impl Writer {
    /// Fd 1, if it is a pipe or a socket.
    pub(super) fn open() -> Option<Self> {
        let stdout = io::stdout();
        let open = |kind| -> io::Result<Self> {
            let mode = NonBlocking::new(stdout.as_fd().try_clone_to_owned()?)?;
            let sink = match kind {
                Kind::Pipe => Sink::Pipe(pipe::Sender::from_owned_fd(stdout.as_fd().try_clone_to_owned()?)?),
                Kind::Socket => Sink::Socket(socket(&stdout)?, Watch::start()),
            };
            Ok(Self { sink, _mode: mode })
        };
        open(kind(&stdout)?).ok()
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.sink {
            Sink::Pipe(pipe) => pipe.write(bytes).await,
            Sink::Socket(socket, _) => socket.write(bytes).await,
        }
    }

    /// The kernel reports an error on the writing end of a pipe as soon as its last reader is gone; for a socket it does
    /// so only if the other end was reset, hence the watch.
    pub(super) async fn failed(&mut self) -> io::Error {
        let is_gone = match &self.sink {
            Sink::Pipe(pipe) => pipe.ready(Interest::ERROR).await.is_ok(),
            Sink::Socket(_, Some(watch)) => {
                watch.gone().await;
                true
            }
            Sink::Socket(_, None) => false,
        };
        if is_gone { io::ErrorKind::BrokenPipe.into() } else { std::future::pending().await }
    }
}
