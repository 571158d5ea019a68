//! The bare loop: the frames of a transfer over a WebSocket on loopback, made and checked, and nothing else.
//!
//! Data frames of 1144 bytes go one way, an acknowledgement's 344 come back for each; the payload of every frame is
//! digested where it is made and where it arrives, as the protocol demands. No sequence, no window, no repair, no
//! stdio: what any client of this protocol has to do at the least.

use std::io;
use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use sha2::{Digest, Sha256};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, accept_async_with_config};

/// Payload bytes of data and of an acknowledgement.
const DATA: usize = 1024;
const ACKNOWLEDGEMENT: usize = 224;
/// What stands before a payload; its last bytes here are the digest.
const HEADER: usize = 120;
/// Frames fed before a flush.
const BATCH: usize = 64;
/// Frames that may be unacknowledged: what 256 KiB hold.
const WINDOW: usize = 256;
const BUFFER: usize = 64 << 10;

/// What one side of the loop did.
pub(crate) struct Bare {
    /// Payload bytes a second.
    pub(crate) rate: f64,
    /// Payload bytes for each second of the client's thread on a processor.
    pub(crate) per_cpu: f64,
}

/// Carries data for `span`: from the client if `up`, else to it.
pub(crate) fn run(up: bool, span: Duration) -> io::Result<Bare> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let server = thread::spawn(move || -> io::Result<u64> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let (stream, _) = TcpListener::from_std(listener)?.accept().await?;
            stream.set_nodelay(true)?;
            let socket = accept_async_with_config(stream, Some(configuration())).await.map_err(io::Error::other)?;
            // The client is what is measured: this side goes on until the client leaves.
            if up { take(socket, None).await } else { send(socket, None).await }
        })
    });
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let request = format!("ws://{address}/");
        let upgraded = tokio_tungstenite::client_async_with_config(request, stream, Some(configuration())).await;
        let (socket, _) = upgraded.map_err(io::Error::other)?;
        let (begun, cpu) = (Instant::now(), own_processor_time());
        let carried = if up { send(socket, Some(span)).await? } else { take(socket, Some(span)).await? } as f64;
        let cpu = own_processor_time() - cpu;
        Ok(Bare { rate: carried / begun.elapsed().as_secs_f64(), per_cpu: carried / cpu.as_secs_f64() })
    });
    server.join().map_err(|_| io::Error::other("the bare loop's server failed"))??;
    result
}

type Socket = WebSocketStream<TcpStream>;

fn configuration() -> WebSocketConfig {
    WebSocketConfig::default().read_buffer_size(BUFFER).write_buffer_size(BUFFER)
}

fn frame(payload: &[u8]) -> Message {
    let mut frame = BytesMut::with_capacity(HEADER + payload.len());
    frame.put_bytes(b' ', HEADER - 32);
    frame.put_slice(&Sha256::digest(payload));
    frame.put_slice(payload);
    Message::Binary(frame.freeze())
}

fn check(frame: &Bytes) -> io::Result<usize> {
    let (header, payload) = frame.split_at_checked(HEADER).ok_or_else(|| io::Error::other("a frame too short"))?;
    let digest = Sha256::digest(payload);
    if header.ends_with(&digest) { Ok(payload.len()) } else { Err(io::Error::other("a wrong digest")) }
}

/// Sends data within the window until the other side has left or `span` is over; returns the payload bytes acknowledged.
async fn send(mut socket: Socket, span: Option<Duration>) -> io::Result<u64> {
    let payload = fixtures::noise(1, DATA);
    let (mut under_way, mut carried) = (0, 0);
    let begun = Instant::now();
    while span.is_none_or(|span| begun.elapsed() < span) {
        for _ in 0..BATCH.min(WINDOW - under_way) {
            if socket.feed(frame(&payload)).await.is_err() {
                return Ok(carried);
            }
            under_way += 1;
        }
        if socket.flush().await.is_err() {
            break;
        }
        let Some(acknowledgements) = arrived(&mut socket).await? else { break };
        for acknowledgement in &acknowledgements {
            check(acknowledgement)?;
            under_way -= 1;
            carried += DATA as u64;
        }
    }
    // Data may still be on its way to us; the other side takes any end.
    let _ = socket.close(None).await;
    Ok(carried)
}

/// Acknowledges data until the other side has left or `span` is over; returns the payload bytes taken.
async fn take(mut socket: Socket, span: Option<Duration>) -> io::Result<u64> {
    let payload = fixtures::noise(2, ACKNOWLEDGEMENT);
    let mut carried = 0;
    let begun = Instant::now();
    while span.is_none_or(|span| begun.elapsed() < span) {
        let Some(frames) = arrived(&mut socket).await? else { break };
        for data in &frames {
            carried += check(data)? as u64;
            if socket.feed(frame(&payload)).await.is_err() {
                return Ok(carried);
            }
        }
        if socket.flush().await.is_err() {
            break;
        }
    }
    Ok(carried)
}

/// Waits for a frame, and takes those that have come with it. Nothing when the other side has closed.
async fn arrived(socket: &mut Socket) -> io::Result<Option<Vec<Bytes>>> {
    let mut frames = Vec::with_capacity(BATCH);
    let Some(Ok(Message::Binary(first))) = socket.next().await else { return Ok(None) };
    frames.push(first);
    while frames.len() < BATCH {
        match futures_util::FutureExt::now_or_never(socket.next()) {
            Some(Some(Ok(Message::Binary(frame)))) => frames.push(frame),
            _ => break,
        }
    }
    Ok(Some(frames))
}

/// What this thread has had of a processor.
pub(crate) fn own_processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_side_bears_that_the_other_leaves_in_the_middle() {
        for up in [true, false].into_iter().cycle().take(40) {
            run(up, Duration::from_millis(20)).unwrap();
        }
    }
}
