//! The errors of opening a WebSocket, and of the URL that it is opened at.

use http::StatusCode;
use ssm_net::DialError;

/// Why a session's WebSocket could not be opened.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The host could not be connected to.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The host was connected to. Then the connection broke, or the answer was no WebSocket.
    #[error("{host} did not open a WebSocket: {why}")]
    NoWebSocket {
        /// The host.
        host: String,
        /// The reason, in the WebSocket library's words.
        why: String,
    },
    /// The server answered the upgrade with an HTTP status of its own.
    #[error("{host} refused the session's WebSocket: {status}")]
    Refused {
        /// The host.
        host: String,
        /// The status.
        status: StatusCode,
        /// AWS's sentence about the permission that is missing; empty if the answer had none.
        said: String,
    },
    /// The upgrade could not be signed.
    #[error("cannot sign the request to {host}: {why}")]
    Unsignable {
        /// The host.
        host: String,
        /// The signer's words.
        why: String,
    },
    /// The URL that the service gave must not be dialled.
    #[error(transparent)]
    Url(#[from] UrlError),
}

impl Error {
    /// Whether the host refused the upgrade for want of a signature or a permission: HTTP status 401 or 403.
    pub fn is_denied(&self) -> bool {
        let denials = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];
        matches!(self, Self::Refused { status, .. } if denials.contains(status))
    }
}

/// Why the URL of a session's stream must not be dialled.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum UrlError {
    /// It is no `ws` or `wss` URL with a host.
    #[error("the service gave a stream URL that cannot be used")]
    Unusable,
    /// It is a `ws` URL, though the API is called over TLS.
    #[error("refusing an unencrypted stream to {0}")]
    Unencrypted(String),
    /// Its host is neither AWS's message gateway nor one that the user has allowed.
    #[error("refusing to send the session's token to {0}, which is not AWS's")]
    Stranger(String),
}
