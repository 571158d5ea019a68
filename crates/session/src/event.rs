//! What a session has to say.

use std::sync::Arc;

use bytes::Bytes;
use ssm_gateway::Loss;

use crate::error::ConnectError;

/// Something that happened. [`Event::Closed`] is the last.
#[derive(Debug)]
pub enum Event {
    /// There is a connection: the first, or another in the place of one that was lost.
    Connected,
    /// The handshake is complete: bytes may flow.
    Ready {
        /// The agent's version, as it says it.
        agent_version: String,
    },
    /// Bytes from the far side, in order. Of [`Session::next`](crate::Session::next) alone.
    Output(Bytes),
    /// There is room again for bytes to the far side. Of [`Session::next`](crate::Session::next) alone.
    Writable,
    /// Text for the user, from the account's session preferences.
    Notice(String),
    /// The connection is lost. If the session may be resumed, attempts follow.
    Lost(Arc<Loss>),
    /// An attempt to connect failed, and another follows.
    Retrying {
        /// Why it failed.
        error: Arc<ConnectError>,
        /// Whether it was one to resume a session that had been open, not the first connection.
        resuming: bool,
    },
    /// The agent has acknowledged the terminate flag and everything before it.
    Terminated,
    /// The agent says that the port could not be connected to. It mostly closes the session next.
    PortRefused,
    /// The session is of a kind that is not known here, for this reason; the agent will end it.
    Unsupported(String),
    /// There is nothing more to come.
    Closed(Closed),
}

/// Why nothing more comes.
#[derive(Clone, Debug)]
pub enum Closed {
    /// The service has closed the session.
    ByService {
        /// The service's or the agent's own text; may be empty.
        output: String,
    },
    /// The session ended on the service while the connection was away.
    WhileAway,
    /// The connection is lost, and sessions are not to be resumed.
    Lost(Arc<Loss>),
    /// There was no complete handshake in time. If there is no connection either, this is why the latest attempt failed.
    NotConnected(Option<Arc<ConnectError>>),
    /// The connection was lost and could not be resumed in time. This is why the latest attempt failed, if one has ended.
    NotResumed(Option<Arc<ConnectError>>),
    /// The service closes each new connection over messages of a size that it took on an earlier one.
    PayloadRefused,
    /// An attempt to connect failed for a reason that does not pass.
    Failed(Arc<ConnectError>),
}

impl Closed {
    /// Whether the service knows that the session is over. If not, TerminateSession has to end it.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::ByService { .. } | Self::WhileAway)
    }
}
