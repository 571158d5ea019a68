//! Why an attempt to connect to a session's data channel failed.

use std::time::Duration;

use http::StatusCode;
use ssm_aws::{ApiError, ErrorKind, SignInError};
use ssm_gateway::Error as GatewayError;
use ssm_net::{DialError, Failure};

/// An attempt that failed. Shown, it says what failed in one line.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ConnectError {
    /// ResumeSession gave no new way to the data channel.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// There are no credentials to sign the upgrade with.
    #[error(transparent)]
    SignIn(#[from] SignInError),
    /// The WebSocket could not be opened.
    #[error("{error}")]
    Gateway {
        /// Why not.
        error: GatewayError,
        /// Whether the request carried a signature.
        signed: bool,
    },
    /// The gateway did not answer in time.
    #[error("{host} did not answer within {} s", limit.as_secs())]
    Silent {
        /// The gateway's host.
        host: String,
        /// The time that it was given.
        limit: Duration,
    },
}

impl ConnectError {
    /// What the failure means for another attempt.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Api(error) => error.kind(),
            Self::SignIn(error) => error.kind(),
            Self::Silent { .. } => ErrorKind::Passing,
            Self::Gateway { error, .. } => match error {
                GatewayError::Dial(DialError { failure: Failure::Trust(_), .. }) | GatewayError::Url(_) => {
                    ErrorKind::Lasting
                }
                GatewayError::Dial(DialError { failure: Failure::ProxyPassword { .. }, .. })
                | GatewayError::Unsignable { .. }
                | GatewayError::Refused { status: StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, .. } => {
                    ErrorKind::Denied
                }
                GatewayError::Dial(_) | GatewayError::NoWebSocket { .. } | GatewayError::Refused { .. } => {
                    ErrorKind::Passing
                }
            },
        }
    }

    /// Whether nothing was heard from AWS at all: then it costs nobody but us to try again soon.
    pub fn is_unheard(&self) -> bool {
        match self {
            Self::Api(error) => error.is_unheard(),
            Self::Gateway { error, .. } => matches!(error, GatewayError::Dial(_)),
            Self::SignIn(_) | Self::Silent { .. } => false,
        }
    }
}
