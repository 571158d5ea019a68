//! The connection to the destination, which is sshd as a rule.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::timeout;

/// How long the destination may take to be connected to.
const DIAL_LIMIT: Duration = Duration::from_secs(10);
/// Bytes of a segment on the way from the destination.
const SEGMENT: u32 = 1200;
/// What the kernel is told to set aside for what the destination has sent. It takes twice that: room for [`HELD`], with what
/// it needs beside the bytes.
///
/// What waits in the destination's kernel a key's echo waits behind, and that kernel sizes its buffer by our window and
/// segment. With the least that there is (2304 bytes) the window can fall below a segment for good: the kernel estimates what
/// it needs beside the bytes by the segments that come, and behind a window of 446 bytes segments of 446 bytes came, one each
/// 200 ms, for as long as it was watched. The smallest segments that it estimates by have 536 bytes, and they leave a window of
/// more than a segment with this.
const RECEIVE_BUFFER: usize = 3072;
/// Bytes that the kernel holds at the most: two segments. They are read at once, so that the window opens at once.
pub(crate) const HELD: usize = 2 * SEGMENT as usize;

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
    // Only before the connection is made do they have a say in its window and segments.
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.set_tcp_mss(SEGMENT)?;
    socket.set_tcp_nodelay(true)?;
    TcpSocket::from_std_stream(socket.into()).connect(address).await
}
