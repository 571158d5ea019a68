//! The configuration of the channel, its events, and its figures.

use std::time::Duration;

use crate::handshake::KeyRequest;
use crate::kind::{Accepts, Kind};
use crate::message::DecodeError;

/// Whose service a session is at.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Service {
    /// AWS's, which takes some 1000 messages a second from a socket: they are counted, and bulk is sent in larger ones.
    #[default]
    Aws,
    /// Another, which takes as much as comes.
    Unlimited,
}

/// The configuration of a channel.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// The wall clock at the moment of [`Channel::new`](crate::Channel::new), in milliseconds since the Unix epoch.
    pub unix_millis: u64,
    /// Seed of the message ids: unique is all they have to be.
    pub seed: u64,
    /// Whose service it is, and so what it takes.
    pub service: Service,
    /// Which sessions the caller can make use of.
    pub accepts: Accepts,
}

/// An event: news of the channel besides frames and output. [`Event::Stalled`] is said once for each pause,
/// [`Event::Unsupported`] and [`Event::PortRefused`] once for each message that gives the reason, the others once.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// The agent has acknowledged something, and has said nothing yet: it is there. A command on a terminal may be silent
    /// for long.
    Alive,
    /// The session is encrypted, and needs a data key: see [`Channel::encrypt`](crate::Channel::encrypt). The agent gives
    /// up 15 s after it has asked.
    KeyWanted(KeyRequest),
    /// Bytes may flow: the handshake is complete, or output has come without one.
    Ready {
        /// What the session turned out to be.
        kind: Kind,
        /// The agent's own version; without a handshake it is not told.
        agent_version: Option<String>,
    },
    /// The command has ended with this status; -1 if a signal ended it. Windows has 32 bits for it. What it wrote may still follow.
    ExitStatus(i64),
    /// Text for the user, from the account's session preferences.
    CustomerMessage(String),
    /// The session is of a kind that is not accepted, for this reason. The agent ends it, unless it began without a
    /// handshake.
    Unsupported(String),
    /// Something that should have been encrypted with the session's key was not. Nothing after it can be trusted.
    Undecipherable,
    /// The agent says that the port could not be connected to.
    PortRefused,
    /// The agent has acknowledged the terminate flag and everything before it.
    Ended,
    /// Data has waited too long for the end of a pause: the socket should be replaced.
    Stalled,
    /// The service closes each new socket over messages that it took on an earlier one. They are larger than what is
    /// certain, and their numbers are spoken for, so that this session will never deliver them.
    PayloadRefused,
    /// The service has closed the session; what was in order is delivered, and nothing will come after this.
    Closed {
        /// The service's own text, for stderr; may be empty.
        output: String,
    },
}

/// Why a frame was passed over. None of these ends the session.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Ignored {
    /// It is not a message.
    #[error("not a message: {0}")]
    Malformed(#[from] DecodeError),
    /// Its type is unknown, or is one that only clients send.
    #[error("a message of a type that clients do not receive")]
    Type,
    /// Its JSON is not an acknowledgement.
    #[error("an acknowledgement that cannot be read")]
    Acknowledgement,
    /// It acknowledges what is not waiting for that: a second acknowledgement, as a rule.
    #[error("an acknowledgement of nothing that waits for one")]
    NotWaiting,
    /// There is no room for it, or its sequence number is impossible. It was not acknowledged.
    #[error("out of order by more than there is room for")]
    NoRoom,
    /// The session is closed.
    #[error("a message after the end of the session")]
    Closed,
}

/// Figures of one session, for the summary.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Stats {
    /// Bytes taken by [`Channel::send`](crate::Channel::send).
    pub bytes_sent: u64,
    /// Bytes delivered by [`Channel::poll_output`](crate::Channel::poll_output).
    pub bytes_received: u64,
    /// Messages of ours that were sent, each counted once.
    pub sent: u64,
    /// Messages of ours that were acknowledged.
    pub acknowledged: u64,
    /// Messages sent again.
    pub resent: u64,
    /// Messages that arrived again.
    pub duplicates: u64,
    /// The smoothed round trip, once measured.
    pub round_trip: Option<Duration>,
}
