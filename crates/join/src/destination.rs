//! The connection to the destination, which is sshd as a rule.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::timeout;

/// How long the destination may take to be connected to.
const DIAL_LIMIT: Duration = Duration::from_secs(10);
/// Bytes of a segment on the way from a destination on this machine.
///
/// What waits in that one's kernel to be sent, a key's echo waits behind. Linux lets ten segments wait, twice, each counted with
/// some 640 bytes beside it and rounded up to a power of two: this is the largest that counts as 1 KiB. (With BBR as congestion
/// control it lets hundreds wait, whatever their size.)
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
        // Elsewhere so small a window would be the connection's rate. Only before the connection is made do these have a say.
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        socket.set_tcp_mss(SEGMENT)?;
    }
    socket.set_tcp_nodelay(true)?;
    TcpSocket::from_std_stream(socket.into()).connect(address).await
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use super::*;

    /// Megabytes would, else.
    #[tokio::test]
    async fn little_waits_at_a_destination_on_this_machine_and_all_of_it_comes() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let here = dial(&listener.local_addr().unwrap().to_string()).await.unwrap();
        let (mut there, _) = listener.accept().unwrap();
        there.set_nonblocking(true).unwrap();
        let mut waiting = 0;
        while let Ok(count) = there.write(&[0; 1024]) {
            waiting += count;
        }
        assert!(waiting < 64 << 10, "{waiting} bytes wait");
        let (mut read, mut piece) = (0, [0; 1024]);
        while read < waiting {
            here.readable().await.unwrap();
            read += here.try_read(&mut piece).unwrap_or_default();
        }
        assert_eq!(read, waiting);
    }
}
