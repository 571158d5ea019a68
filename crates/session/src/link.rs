//! The link to the session: a connection that is up, or what is done to get one.

use std::future::Future;
use std::pin::Pin;
use std::time::Instant;

use ssm_gateway::{Gateway, Progress};

use crate::connector::Attempted;

/// An attempt to connect.
pub(crate) type Connecting = Pin<Box<dyn Future<Output = Attempted> + Send>>;

/// The link's state.
pub(crate) enum Link {
    /// Frames flow.
    Up(Box<Gateway>),
    /// Between two attempts to connect, until then.
    Pausing(Instant),
    /// An attempt is under way.
    Connecting(Connecting),
}

/// An event on the link.
pub(crate) enum LinkEvent {
    /// Something on the gateway.
    Progress(Progress),
    /// The pause is over.
    Pause,
    /// The attempt has ended.
    Attempted(Attempted),
}

impl Link {
    /// Whether something is under way that reading frames has no part in: a connection, or a flush.
    pub(crate) fn is_at_work(&self) -> bool {
        match self {
            Self::Up(gateway) => gateway.is_flushing(),
            Self::Pausing(_) | Self::Connecting(_) => true,
        }
    }

    /// Waits for the next thing to happen; frames only if `read` allows. May be dropped at any time.
    pub(crate) async fn next(&mut self, read: bool) -> LinkEvent {
        match self {
            Self::Up(gateway) => LinkEvent::Progress(gateway.progress(read).await),
            Self::Pausing(until) => {
                tokio::time::sleep_until((*until).into()).await;
                LinkEvent::Pause
            }
            Self::Connecting(attempt) => LinkEvent::Attempted(attempt.await),
        }
    }
}
