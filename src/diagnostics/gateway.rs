//! The words for a message gateway whose stream cannot be opened.

use http::StatusCode;
use ssm_aws::Denial;
use ssm_gateway::{Error as GatewayError, UrlError};

use super::denial::{OWN_SESSIONS, cure};
use super::dial::dial;
use super::error::{Error, ExitStatus};

/// What failed, and what to do about it.
pub(super) fn gateway(error: &GatewayError) -> Error {
    let (status, hint) = match error {
        GatewayError::Dial(error) => return dial(error),
        GatewayError::Url(error) => return stream_url(error),
        GatewayError::NoWebSocket { .. } => {
            (ExitStatus::TryAgain, "try again; a proxy that breaks WebSockets gives this too")
        }
        GatewayError::Refused { status: StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, said, .. } => {
            let hint = cure(&Denial::read(said), "ssmmessages:OpenDataChannel", OWN_SESSIONS);
            let what = if said.is_empty() { error.to_string() } else { format!("{error} ({said})") };
            return Error::new(ExitStatus::Denied, what, hint);
        }
        GatewayError::Refused { .. } => {
            (ExitStatus::TryAgain, "try again in a moment; a proxy that does not let WebSockets through gives this too")
        }
        GatewayError::Unsignable { .. } => {
            (ExitStatus::Denied, "check the credentials' spelling: `aws configure list`")
        }
    };
    Error::new(status, error.to_string(), hint)
}

fn stream_url(error: &UrlError) -> Error {
    let hint = match error {
        UrlError::Unusable => {
            "whoever has answered StartSession is not the service: check --endpoint-url and AWS_ENDPOINT_URL_SSM, or what has \
             called session-manager-plugin"
        }
        UrlError::Unencrypted(_) => {
            "an unencrypted stream is allowed only with an http:// --endpoint-url or AWS_ENDPOINT_URL_SSM"
        }
        UrlError::Stranger(_) => "if this host is yours, say so with --endpoint-url or AWS_ENDPOINT_URL_SSM",
    };
    Error::new(ExitStatus::Broken, error.to_string(), hint)
}
