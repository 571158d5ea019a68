//! The upgrade: from a connection to a WebSocket.

use http::{HeaderMap, StatusCode};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::Error as WebSocketError;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::url::StreamUrl;
use crate::error::{Error, ExitStatus};
use crate::net::Transport;

/// The largest frame and message taken from the service. Agents send 1024 bytes of payload.
const MAX_FRAME: usize = 1 << 20;
/// Read buffer of the WebSocket: what arrives in a few milliseconds at the service's pace.
const READ_BUFFER: usize = 16 << 10;
/// Write buffer of the WebSocket: a few dozen messages, so that a batch costs one system call.
const WRITE_BUFFER: usize = 64 << 10;

/// The WebSocket over a connection.
pub(super) type Socket = WebSocketStream<Box<dyn Transport>>;

/// Why there is no WebSocket.
pub(super) enum Refusal {
    /// The connection broke before there was an answer: another one may do better.
    Broken(Error),
    /// The server's answer.
    Answered(Error),
}

impl Refusal {
    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Broken(error) | Self::Answered(error) => error,
        }
    }
}

/// Upgrades `transport` to the WebSocket of `url`, with `headers` added to the request.
pub(super) async fn upgrade(
    url: &StreamUrl,
    headers: HeaderMap,
    transport: Box<dyn Transport>,
) -> Result<Socket, Refusal> {
    let mut request = url.uri().into_client_request().map_err(|cause| Refusal::Answered(refused(url, &cause)))?;
    request.headers_mut().extend(headers);
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_message_size(Some(MAX_FRAME))
        .max_frame_size(Some(MAX_FRAME));
    let upgraded = tokio_tungstenite::client_async_with_config(request, transport, Some(config)).await;
    upgraded.map(|(socket, _)| socket).map_err(|cause| match cause {
        WebSocketError::Http(_) => Refusal::Answered(refused(url, &cause)),
        _ => Refusal::Broken(refused(url, &cause)),
    })
}

/// The server answered, but not with a WebSocket.
fn refused(url: &StreamUrl, cause: &WebSocketError) -> Error {
    let WebSocketError::Http(response) = cause else {
        let what = format!("{} did not open a WebSocket: {cause}", url.host());
        return Error::new(ExitStatus::TryAgain, what, "try again; a proxy that breaks WebSockets gives this too");
    };
    let status = response.status();
    let what = format!("{} refused the session's WebSocket: {status}", url.host());
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Error::new(ExitStatus::Denied, what, "allow the IAM action ssmmessages:OpenDataChannel on your sessions")
        }
        _ => Error::new(ExitStatus::TryAgain, what, "try again in a moment"),
    }
}
