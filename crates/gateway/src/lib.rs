//! The message gateway: one WebSocket to a session's data channel, signed, opened and kept alive.
//!
//! The gateway moves opaque bytes and knows nothing of the messages in them. A lost socket is an event here, not an
//! error, and the caller decides what follows.
//!
//! # Example
//! ```no_run
//! use std::time::SystemTime;
//! use aws_credential_types::Credentials;
//! use ssm_gateway::{Gateway, Opening, Progress, StreamUrl, sign_upgrade};
//! use ssm_net::{CONNECT_TIMEOUT, Dialer};
//!
//! # async fn example(url: &str, token: &str, credentials: &Credentials, dialer: &Dialer) -> Result<(), ssm_gateway::Error> {
//! let url = StreamUrl::parse(url, None, None)?;
//! let headers = sign_upgrade(&url, "eu-west-1", credentials, SystemTime::now())?;
//! let opening = Opening { token, client_id: uuid::Uuid::new_v4(), client_version: "1.2.804.0" };
//! let open = opening.to_json(uuid::Uuid::new_v4());
//! let mut gateway = Gateway::connect(&url, headers, dialer, None, CONNECT_TIMEOUT, open).await?;
//! while let Progress::Frame(frame) = gateway.progress(true).await {
//!     println!("{} bytes", frame.len());
//! }
//! # Ok(())
//! # }
//! ```

mod error;
mod keepalive;
mod open;
mod sign;
mod upgrade;
mod url;

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{Sink, Stream};
use http::HeaderMap;
use keepalive::{Check, KeepAlive};
use ssm_net::{Dialer, Transport};
use tokio_tungstenite::tungstenite::Message;
use upgrade::{Refusal, Socket};

pub use error::{Error, UrlError};
pub use open::Opening;
pub use sign::sign_upgrade;
pub use url::StreamUrl;

/// An event of the socket.
#[derive(Debug)]
pub enum Progress {
    /// A binary frame came.
    Frame(Bytes),
    /// The operating system has taken all fed messages: more may be fed.
    Flushed,
    /// The peer answered a ping, or sent one.
    Alive,
    /// The socket is gone.
    Lost(Loss),
}

/// Why the socket is gone. The session goes on in each of these cases: the service closes every socket after about an
/// hour with code 1000.
#[derive(Debug, thiserror::Error)]
pub enum Loss {
    /// The service closed it, with this code and reason.
    #[error("closed by the service ({code} {reason:?})")]
    Closed {
        /// The WebSocket close code; 1005 if none was given.
        code: u16,
        /// The reason given; may be empty.
        reason: String,
    },
    /// A read or write failed, or a frame broke the WebSocket's rules or the size limit.
    #[error("{0}")]
    Failed(String),
    /// A ping was not answered in time.
    #[error("no answer from the service")]
    Silent,
}

/// The close code of a close frame that names none (RFC 6455, 7.1.5).
const NO_STATUS: u16 = 1005;

/// An open WebSocket. The open message is the first that is sent on it.
pub struct Gateway {
    socket: Socket,
    unflushed: bool,
    keep_alive: KeepAlive,
}

impl Gateway {
    /// Opens the WebSocket at `url` with `headers`, those of [`sign_upgrade`], and feeds the open message `open`.
    /// `early` is a connection to the URL's host that was made before. If there is none, or if it turns out to be
    /// broken, another is made within `limit`.
    ///
    /// # Errors
    /// The step that failed, with the host.
    pub async fn connect(
        url: &StreamUrl,
        headers: HeaderMap,
        dialer: &Dialer,
        early: Option<Box<dyn Transport>>,
        limit: Duration,
        open: String,
    ) -> Result<Self, Error> {
        let early = match early {
            Some(transport) => upgrade::upgrade(url, headers.clone(), transport).await.map(Some),
            None => Ok(None),
        };
        let socket = match early {
            Ok(Some(socket)) => socket,
            Err(Refusal::Answered(error)) => return Err(error),
            Err(Refusal::Broken(_)) | Ok(None) => {
                let transport = dialer.dial(&url.address(), limit).await?;
                let upgraded = upgrade::upgrade(url, headers, transport).await;
                upgraded.map_err(Refusal::into_error)?
            }
        };
        let mut gateway = Self { socket, unflushed: false, keep_alive: KeepAlive::new(Instant::now()) };
        // A socket that fails this early fails again when it is polled, and is reported there.
        gateway.start_send(Message::text(open));
        Ok(gateway)
    }

    /// Feeds one message, which is buffered. [`try_flush`](Self::try_flush) and [`progress`](Self::progress) send all
    /// fed messages together.
    pub fn feed(&mut self, frame: Bytes) {
        self.start_send(Message::Binary(frame));
    }

    fn start_send(&mut self, message: Message) {
        self.unflushed = true;
        // After an error here the socket is lost, and the next poll reports that.
        let _ = Pin::new(&mut self.socket).start_send(message);
    }

    /// Sends as much of the fed messages as the operating system takes without blocking.
    ///
    /// # Errors
    /// If the socket is gone.
    pub fn try_flush(&mut self) -> Result<(), Loss> {
        match self.poll_flush(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(flushed) => flushed,
            Poll::Pending => Ok(()),
        }
    }

    /// Whether the operating system has not taken all fed messages yet. Whatever is fed meanwhile fills memory.
    pub fn is_flushing(&self) -> bool {
        self.unflushed
    }

    /// Waits for the next event. Frames are read if `read` is true. Dropping the future loses nothing.
    pub async fn progress(&mut self, read: bool) -> Progress {
        std::future::poll_fn(|context| self.poll_progress(context, read)).await
    }

    /// The next event of reading, if there is one already: a frame as a rule. Does not wait.
    pub fn try_frame(&mut self) -> Option<Progress> {
        match self.poll_read(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(progress) => Some(progress),
            Poll::Pending => None,
        }
    }

    fn poll_progress(&mut self, context: &mut Context<'_>, read: bool) -> Poll<Progress> {
        if self.unflushed
            && let Poll::Ready(flushed) = self.poll_flush(context)
        {
            return Poll::Ready(flushed.map_or_else(Progress::Lost, |()| Progress::Flushed));
        }
        if read { self.poll_read(context) } else { Poll::Pending }
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Loss>> {
        Pin::new(&mut self.socket).poll_flush(context).map(|flushed| {
            self.unflushed = false;
            flushed.map_err(|cause| Loss::Failed(cause.to_string()))
        })
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Progress> {
        loop {
            let Poll::Ready(item) = Pin::new(&mut self.socket).poll_next(context) else { return Poll::Pending };
            self.keep_alive.heard(Instant::now());
            return Poll::Ready(match item {
                Some(Ok(Message::Binary(frame))) => Progress::Frame(frame),
                Some(Ok(Message::Close(frame))) => Progress::Lost(closed(frame)),
                Some(Ok(Message::Text(text))) => {
                    tracing::debug!(bytes = text.len(), "ignored a text frame");
                    continue;
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Progress::Alive,
                Some(Err(cause)) => Progress::Lost(Loss::Failed(cause.to_string())),
                None => Progress::Lost(Loss::Failed("the connection ended".into())),
            });
        }
    }

    /// Sends a ping if one is due, and gives the time of the next call. `waiting` says whether sent messages wait for
    /// their acknowledgement. `reading` says whether frames are read: while they are not, silence does not count.
    ///
    /// # Errors
    /// If the peer has not answered in time.
    pub fn keep_alive(&mut self, now: Instant, waiting: bool, reading: bool) -> Result<Instant, Loss> {
        if !reading {
            // An answer may be there, unread.
            self.keep_alive.heard(now);
        }
        loop {
            match self.keep_alive.check(now, waiting) {
                Check::At(at) => return Ok(at),
                Check::Dead => return Err(Loss::Silent),
                Check::Ping => {
                    self.start_send(Message::Ping(Bytes::new()));
                    self.keep_alive.asked(now);
                }
            }
        }
    }

    /// Has the next [`keep_alive`](Self::keep_alive) send a ping at once, since the peer may be gone.
    pub fn doubt(&mut self) {
        self.keep_alive.doubt();
    }

    /// Sends all fed messages and a close frame behind them, and drops the socket.
    pub async fn close(mut self) {
        self.start_send(Message::Close(None));
        let _ = std::future::poll_fn(|context| Pin::new(&mut self.socket).poll_flush(context)).await;
    }
}

fn closed(frame: Option<tokio_tungstenite::tungstenite::protocol::CloseFrame>) -> Loss {
    match frame {
        Some(frame) => Loss::Closed { code: frame.code.into(), reason: frame.reason.as_str().to_owned() },
        None => Loss::Closed { code: NO_STATUS, reason: String::new() },
    }
}
