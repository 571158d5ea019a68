//! The connection to the destination, which is sshd as a rule.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::timeout;

/// How long the destination may take to be connected to.
const DIAL_LIMIT: Duration = Duration::from_secs(10);
/// Bytes of a segment on the way from a destination on this machine. Its kernel holds what it has not sent yet, up to ten
/// segments and what it needs beside them, twice, and rounds each up to a power of two: with more than this, to the next one.
const SEGMENT: u32 = 384;
/// What this kernel is told to set aside for what that destination has sent, the least that there is. It takes twice that: room
/// for [`HELD`], with what it needs beside the bytes.
///
/// The window that it offers has to be more than a segment however it reckons what it needs: else it may fall to a part of one
/// for good, and so much comes each 200 ms.
const RECEIVE_BUFFER: usize = 2304;
/// Bytes that this kernel holds at the most: five segments. They are read at once, so that the window opens at once.
pub(crate) const HELD: usize = 5 * SEGMENT as usize;

/// Connects to `host:port`.
pub(crate) async fn dial(to: &str) -> io::Result<TcpStream> {
    let attempt = async {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "it has no address");
        for address in lookup_host(to).await? {
            match connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    };
    timeout(DIAL_LIMIT, attempt).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    if address.ip().is_loopback() {
        // What waits in the kernel, here and at the other end, a key's echo waits behind. Elsewhere so small a window would be
        // the connection's rate. Only before the connection is made does this have a say in it.
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        socket.set_tcp_mss(SEGMENT)?;
    }
    socket.set_tcp_nodelay(true)?;
    TcpSocket::from_std_stream(socket.into()).connect(address).await
}
