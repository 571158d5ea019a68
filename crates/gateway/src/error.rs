//! Why there is no WebSocket.

use http::StatusCode;
use ssm_net::DialError;

/// A stream that could not be opened.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The host could not be connected to.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The connection was made, and then broke or brought something that is no WebSocket.
    #[error("{host} did not open a WebSocket: {why}")]
    NoWebSocket {
        /// The host.
        host: String,
        /// What happened, in the WebSocket library's words.
        why: String,
    },
    /// The server answered the upgrade with an HTTP status of its own.
    #[error("{host} refused the session's WebSocket: {status}")]
    Refused {
        /// The host.
        host: String,
        /// The status.
        status: StatusCode,
        /// AWS's sentence about who may not do what, if the answer had it; empty otherwise.
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
    /// The service's URL is not to be dialled.
    #[error(transparent)]
    Url(#[from] UrlError),
}

impl Error {
    /// Whether the host was reached and did not let the upgrade in for want of a signature or a permission.
    pub fn is_denied(&self) -> bool {
        let denials = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];
        matches!(self, Self::Refused { status, .. } if denials.contains(status))
    }
}

/// Why a stream's URL is not dialled.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum UrlError {
    /// It is no URL of a WebSocket.
    #[error("the service gave a stream URL that cannot be used")]
    Unusable,
    /// The stream would go out unencrypted, though the API is spoken to over TLS.
    #[error("refusing an unencrypted stream to {0}")]
    Unencrypted(String),
    /// Its host is neither AWS's message gateway nor one that the user has allowed.
    #[error("refusing to send the session's token to {0}, which is not AWS's")]
    Stranger(String),
}
