//! Why an attempt to connect to a session's data channel failed.

use std::time::Duration;

use ssm_aws::{ApiError, ErrorKind, SignInError};
use ssm_gateway::Error as GatewayError;

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
    /// The kind of the failure, which says whether another attempt may fare better.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Api(error) => error.kind(),
            Self::SignIn(error) => error.kind(),
            Self::Silent { .. } => ErrorKind::Passing,
            Self::Gateway { error: GatewayError::Dial(error), .. } => error.into(),
            Self::Gateway { error: GatewayError::Url(_), .. } => ErrorKind::Lasting,
            Self::Gateway { error: GatewayError::Unsignable { .. }, .. } => ErrorKind::Denied,
            Self::Gateway { error, .. } if error.is_denied() => ErrorKind::Denied,
            Self::Gateway { .. } => ErrorKind::Passing,
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
