//! The upgrade: the HTTP request that turns a connection into a WebSocket.

use http::HeaderMap;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::Error as WebSocketError;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::error::Error;
use super::url::StreamUrl;
use ssm_net::Transport;

/// The largest frame and message that is accepted, in bytes. Agents send 1024 bytes of payload in each.
const MAX_FRAME: usize = 1 << 20;
/// The WebSocket's read buffer, in bytes: as much as arrives in a few milliseconds at the service's pace.
const READ_BUFFER: usize = 16 << 10;
/// The WebSocket's write buffer, in bytes: a few dozen messages, so that a batch costs one system call.
const WRITE_BUFFER: usize = 64 << 10;

/// The longest text of the service that a message quotes, in characters: several lines of a terminal.
const MAX_QUOTE_CHARS: usize = 400;

/// The WebSocket over a connection.
pub(super) type Socket = WebSocketStream<Box<dyn Transport>>;

/// How an upgrade fails.
pub(super) enum Refusal {
    /// The connection broke before there was an answer. A new connection may do better.
    Broken(Error),
    /// The server answered, and refused.
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

/// The error for an upgrade that failed with `cause`.
fn refused(url: &StreamUrl, cause: &WebSocketError) -> Error {
    let host = url.host().to_owned();
    match cause {
        WebSocketError::Http(response) => {
            let said = said(response.body().as_deref().unwrap_or_default());
            Error::Refused { host, status: response.status(), said }
        }
        _ => Error::NoWebSocket { host, why: cause.to_string() },
    }
}

/// AWS's sentence about the permission that is missing, from an answer in JSON or XML; empty if it has none.
fn said(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let sentence = text.find("User: ").and_then(|start| text.get(start..)?.split(['<', '"', '\n']).next());
    sentence.unwrap_or_default().chars().take(MAX_QUOTE_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_services_sentence_is_found_in_what_is_around_it() {
        let sentence = "User: arn:aws:iam::1:user/me is not authorized to perform: ssmmessages:OpenDataChannel";
        for body in [
            format!("<AccessDeniedException>\n  <Message>{sentence}</Message>\n</AccessDeniedException>"),
            format!(r#"{{"__type":"AccessDeniedException","message":"{sentence}"}}"#),
        ] {
            assert_eq!(said(body.as_bytes()), sentence);
        }
        assert_eq!(said(b"Forbidden"), "");
    }
}
