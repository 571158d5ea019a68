//! The events of a session.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ssm_aws::ApiError;
use ssm_channel::Kind;
use ssm_gateway::Loss;

use crate::error::ConnectError;

/// Something that happened. [`Event::Closed`] is the last.
#[derive(Debug)]
pub enum Event {
    /// There is a connection: the first, or another in the place of one that was lost.
    Connected,
    /// Bytes may flow: the handshake is complete, or output has come without one.
    Ready {
        /// What the session turned out to be.
        kind: Kind,
        /// The agent's version, as it says it. Without a handshake it does not.
        agent_version: Option<String>,
    },
    /// The command has ended with this status; -1 if a signal ended it. Windows has 32 bits for it. What it wrote may still follow.
    ExitStatus(i64),
    /// Bytes from the far side, in order. Of [`Session::next`](crate::Session::next) alone.
    Output(Bytes),
    /// Bytes that a command has written to its stderr. Of [`Session::next`](crate::Session::next) alone.
    Stderr(Bytes),
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
    /// The session is of a kind that is not accepted, for this reason.
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
    /// The session is to be encrypted, and KMS has given no data key.
    NoDataKey {
        /// The key that was to make it, as the account's preferences call it.
        key_id: String,
        /// Why not.
        error: ApiError,
    },
    /// The session is to be encrypted, and its target, to which its key is bound, is not known: it was started elsewhere.
    TargetUnknown {
        /// The key that was to make the data key.
        key_id: String,
    },
    /// The agent did not wait for the data key: it gives the client 15 s for the whole handshake (known from its code).
    DataKeyLate {
        /// The key that was to make it.
        key_id: String,
        /// How long it has been waited for.
        waited: Duration,
    },
    /// The agent had the data key, and gave up before it had KMS's answer to what it asked about it.
    DecryptLate {
        /// The key that has made it.
        key_id: String,
    },
    /// Something in an encrypted session was not encrypted with its key.
    Undecipherable,
}

impl Closed {
    /// Whether the service knows that the session is over. If not, TerminateSession has to end it.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::ByService { .. } | Self::WhileAway | Self::DataKeyLate { .. } | Self::DecryptLate { .. })
    }
}
