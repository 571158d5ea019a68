//! The connection to the destination, which is sshd as a rule.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::timeout;

/// How long the destination may take to be connected to.
const DIAL_LIMIT: Duration = Duration::from_secs(10);
/// Bytes that the kernel holds of what the destination has sent: less than it allows, so that it gives its least, 2304.
///
/// What waits in the destination's kernel a key's echo waits behind, and that kernel sizes its buffer by window and segment.
/// Measured over loopback (Linux 6.18, two cores): bytes sent by an sshd that sends without end and not read here, with this
/// side reading 0.8 MB/s, 1980 KiB as the kernel has it and 338 KiB with these two (at 13 MB/s 1861 and 255 KiB); those of a
/// writer that fills its buffer, 2900 to 4090 and 61 KiB (at 13 MB/s 450 KiB). Of that writer the segment
/// alone leaves 1505 KiB, the buffer alone more than 2900. 14 MB/s of an
/// sshd still pass, no more; 16 sessions carry 13.3.
const RECEIVE_BUFFER: usize = 1;
/// Bytes of a segment on the way from the destination.
const SEGMENT: u32 = 1200;

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
