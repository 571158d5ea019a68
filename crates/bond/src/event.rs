//! What a bond is told, and what it tells.

use std::time::Duration;

use thiserror::Error;

/// Names a link within its bond. Both halves know it by the same number, and none is used twice.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LinkId(pub u32);

/// What bounds the bytes that are under way on one link.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Pacing {
    /// The link itself: it takes no more than it can pass on soon, as a session does that keeps a pace.
    Pulled,
    /// A window, by the delay that shows: the link would take megabytes, as kernels and agents do.
    Measured,
}

/// The bounds of one half.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// What bounds the bytes under way on each link.
    pub pacing: Pacing,
    /// Bytes received that may wait, in order or out of it, to be read.
    pub window: usize,
    /// Bytes that wait here to be sent for the first time over up to two links; half of it more for each other.
    pub queue: usize,
}

/// Bytes received that may wait, of either half.
const WINDOW: usize = 4 << 20;

impl Config {
    /// The half whose links are sessions.
    pub fn client() -> Self {
        Self { pacing: Pacing::Pulled, window: WINDOW, queue: 16 << 10 }
    }

    /// The half whose links are connections of the agent.
    pub fn joiner() -> Self {
        Self { pacing: Pacing::Measured, window: WINDOW, queue: 4 << 10 }
    }
}

/// What has happened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Event {
    /// There are bytes to read.
    Readable,
    /// There is room to send again.
    Writable,
    /// The other half has ended its direction, and all of it has been read.
    Finished,
    /// The other half has broken the bond off. Nothing follows.
    Reset,
    /// What was sent on the link is not confirmed for too long. It gets nothing more until it moves.
    Stalled(LinkId),
    /// A stalled link moves again.
    Revived(LinkId),
    /// Neither half uses the link any more: it may be removed, and nothing is lost.
    Retired(LinkId),
    /// The joiner has accepted the link, with this tag (see [`opening`](crate::opening)).
    Accepted(LinkId, [u8; 32]),
    /// The joiner has refused the link, with this reason on the wire.
    Refused(LinkId, u8),
}

/// What no half of this protocol sends.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum ProtocolError {
    /// A frame too short or too long for what it is.
    #[error("a frame of kind {0} has the wrong length")]
    Length(u8),
    /// Bytes beyond the window, or beyond their end.
    #[error("bytes came that there is no room for")]
    Overrun,
    /// The word of more than was sent.
    #[error("bytes were confirmed that were never sent")]
    Unsent,
}

/// Figures of now, and of all that has passed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Stats {
    /// Links, those that are stalled included.
    pub links: usize,
    /// Bytes of the stream handed over at least once.
    pub sent: u64,
    /// Bytes of the stream that the other half is known to have, in order.
    pub delivered: u64,
    /// Bytes of the stream received in order.
    pub received: u64,
    /// Bytes that wait to be sent for the first time.
    pub queued: usize,
    /// Bytes received that wait to be read, or for others before them.
    pub held: usize,
    /// Bytes sent more than once.
    pub resent: u64,
    /// Bytes received more than once.
    pub duplicates: u64,
}

/// Figures of one link.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct LinkStats {
    /// Bytes handed over and not confirmed.
    pub in_flight: usize,
    /// The smoothed time from a frame to the word of its arrival, once there is any.
    pub round_trip: Option<Duration>,
    /// Bytes confirmed.
    pub confirmed: u64,
    /// Bytes received.
    pub received: u64,
}
