//! One client's WebSocket: moves frames in batches, breaks in the ways that are asked for.
//!
//! It knows frames as opaque bytes and texts.

use bytes::Bytes;
use futures_util::{Sink, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode};

/// Frames taken from the socket before anything else gets its turn.
const BATCH: usize = 128;
/// How long a closing handshake may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
const BUFFER: usize = 128 << 10;

/// What a frame is to the channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A binary frame.
    Binary(Bytes),
    /// A text frame.
    Text(String),
    /// A ping; the pong goes by itself.
    Ping,
    /// The client closed with this code.
    Closed(Option<u16>),
}

/// A client's WebSocket and a handle on the TCP socket below it.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: WebSocketStream<TokioIo<Upgraded>>,
    tcp: std::net::TcpStream,
    unflushed: bool,
}

impl Socket {
    pub(crate) async fn new(upgraded: Upgraded, tcp: std::net::TcpStream) -> Self {
        let config = WebSocketConfig::default().read_buffer_size(BUFFER).write_buffer_size(BUFFER);
        let stream = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
        Self { stream, tcp, unflushed: false }
    }

    /// Writes from `out` as much as the socket takes, telling `on_write` of each frame, and reads a batch into
    /// `arrived` if `read` is set. Returns when anything moved. Can be dropped at any time.
    pub(crate) async fn turn(
        &mut self,
        out: &mut VecDeque<Frame>,
        read: bool,
        write: bool,
        arrived: &mut Vec<Frame>,
        mut on_write: impl FnMut(&Frame),
    ) {
        poll_fn(|cx| {
            let mut moved = false;
            while write && !out.is_empty() {
                match Pin::new(&mut self.stream).poll_ready(cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(_)) => {
                        arrived.push(Frame::Closed(None));
                        return Poll::Ready(());
                    }
                    Poll::Pending => break,
                }
                let Some(frame) = out.pop_front() else { break };
                on_write(&frame);
                let message = match frame {
                    Frame::Binary(bytes) => Message::Binary(bytes),
                    Frame::Text(text) => Message::Text(text.into()),
                    Frame::Ping | Frame::Closed(_) => continue,
                };
                moved = true;
                self.unflushed = true;
                if Pin::new(&mut self.stream).start_send(message).is_err() {
                    arrived.push(Frame::Closed(None));
                    return Poll::Ready(());
                }
            }
            if write && self.unflushed {
                match Pin::new(&mut self.stream).poll_flush(cx) {
                    Poll::Ready(Ok(())) => self.unflushed = false,
                    Poll::Ready(Err(_)) => {
                        arrived.push(Frame::Closed(None));
                        return Poll::Ready(());
                    }
                    Poll::Pending => {}
                }
            }
            while read && arrived.len() < BATCH {
                let frame = match self.stream.poll_next_unpin(cx) {
                    Poll::Pending => break,
                    Poll::Ready(Some(Ok(Message::Binary(bytes)))) => Frame::Binary(bytes),
                    Poll::Ready(Some(Ok(Message::Text(text)))) => Frame::Text(text.as_str().to_owned()),
                    Poll::Ready(Some(Ok(Message::Ping(_)))) => Frame::Ping,
                    Poll::Ready(Some(Ok(Message::Close(close)))) => Frame::Closed(close.map(|c| u16::from(c.code))),
                    Poll::Ready(Some(Ok(Message::Pong(_) | Message::Frame(_)))) => continue,
                    Poll::Ready(Some(Err(_)) | None) => Frame::Closed(None),
                };
                let closed = matches!(frame, Frame::Closed(_));
                arrived.push(frame);
                if closed {
                    break;
                }
            }
            if moved || !arrived.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Closes with a close frame and, for a while, waits for the client's.
    pub(crate) fn close(mut self, code: u16, reason: &str) {
        let frame = CloseFrame { code: CloseCode::from(code), reason: reason.to_owned().into() };
        tokio::task::spawn_local(async move {
            let farewell = async {
                // A client that is gone already needs no farewell.
                if self.stream.close(Some(frame)).await.is_ok() {
                    while let Some(Ok(_)) = self.stream.next().await {}
                }
            };
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, farewell).await;
        });
    }

    /// Answers a client's close frame and lets the connection end.
    pub(crate) fn finish(mut self) {
        tokio::task::spawn_local(async move {
            let rest = async { while let Some(Ok(_)) = self.stream.next().await {} };
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, rest).await;
        });
    }

    /// Breaks the connection with a reset.
    pub(crate) fn reset(self) {
        // Without this the break is a plain end; the client has to cope with either.
        let _ = socket2::SockRef::from(&self.tcp).set_linger(Some(Duration::ZERO));
    }
}
