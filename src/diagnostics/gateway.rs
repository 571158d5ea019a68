//! The words for a stream that cannot be opened.

use http::StatusCode;
use ssm_gateway::{Error as GatewayError, UrlError};

use super::denial::{Denial, OWN_SESSIONS};
use super::dial::dial;
use super::error::{Error, ExitStatus};

/// What failed, and what to do about it.
pub fn gateway(error: &GatewayError) -> Error {
    match error {
        GatewayError::Dial(error) => dial(error),
        GatewayError::NoWebSocket { .. } => Error::new(
            ExitStatus::TryAgain,
            error.to_string(),
            "try again; a proxy that breaks WebSockets gives this too",
        ),
        GatewayError::Refused { status: StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, said, .. } => {
            let hint = Denial::read(said).cure("ssmmessages:OpenDataChannel", OWN_SESSIONS);
            let what = if said.is_empty() { error.to_string() } else { format!("{error} ({said})") };
            Error::new(ExitStatus::Denied, what, hint)
        }
        GatewayError::Refused { .. } => Error::new(
            ExitStatus::TryAgain,
            error.to_string(),
            "try again in a moment; a proxy that does not let WebSockets through gives this too",
        ),
        GatewayError::Unsignable { .. } => {
            Error::new(ExitStatus::Denied, error.to_string(), "check the credentials' spelling: `aws configure list`")
        }
        GatewayError::Url(error) => stream_url(error),
    }
}

fn stream_url(error: &UrlError) -> Error {
    let hint = match error {
        UrlError::Unusable => "check what --endpoint-url or AWS_ENDPOINT_URL_SSM points at",
        UrlError::Unencrypted(_) => "an unencrypted stream is allowed only with an http:// --endpoint-url",
        UrlError::Stranger(_) => "if this host is yours, say so with --endpoint-url",
    };
    Error::new(ExitStatus::Broken, error.to_string(), hint)
}
