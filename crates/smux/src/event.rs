//! Configuration, events and figures: what the multiplexer is told once, and what it has to say.

use std::fmt;

use crate::frame::ProtocolError;
use crate::limits::{IN_FLIGHT_LIMIT, UNREAD_LIMIT};

/// The id of a stream: odd, and never used again in its session.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct StreamId(u32);

impl StreamId {
    pub(crate) const fn from_wire(id: u32) -> Self {
        Self(id)
    }

    /// The number in the stream's frames.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// What the multiplexer needs to be told once. [`Config::default`] is right for agents after 3.1.1511.0.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Config {
    /// Whether NOPs are sent when there is nothing else to send. Agents up to 3.1.1511.0 close a forward that has been
    /// silent for 30 to 60 s, and later ones do not look. AWS's client decides by the version, too: a NOP without need
    /// would hold a session open that its administrator wants ended when it is idle.
    pub keep_alive: bool,
    /// Received bytes that wait for [`Mux::consume`](crate::Mux::consume), over all streams.
    pub unread_limit: usize,
    /// Bytes of one stream, headers included, that are handed over and not known to be delivered.
    pub in_flight_limit: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { keep_alive: false, unread_limit: UNREAD_LIMIT, in_flight_limit: IN_FLIGHT_LIMIT }
    }
}

/// What the multiplexer has to say. Of a stream that is finished, refused or reset it says nothing more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Event {
    /// Bytes have come on a stream that had none: [`Mux::read`](crate::Mux::read) has them. Said again only after all
    /// were consumed.
    Readable(StreamId),
    /// A stream that had no room takes bytes again.
    Writable(StreamId),
    /// The far side has closed the stream, and all that came before was consumed. Said once. What had not been sent is
    /// dropped, and the stream takes no more: the agent throws away what reaches it after its FIN.
    Finished(StreamId),
    /// The far side has closed the stream without a byte on it. Said in place of [`Event::Finished`].
    Refused {
        /// Whose dial.
        id: StreamId,
        /// The agent has said that it could not connect ([`Mux::connect_failed`](crate::Mux::connect_failed)). If not,
        /// the destination took the connection and closed it without a word.
        reported: bool,
    },
    /// The multiplexer itself has ended the stream, as [`Mux::reset`](crate::Mux::reset) does. Said once, last.
    Reset(StreamId, ResetReason),
    /// The stream does not move. Said once until it moves again.
    Stalled(StreamId, Stall),
}

/// Why the multiplexer has ended a stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ResetReason {
    /// Too much was unread, and this stream had the most of it: its local reader is the slowest.
    Overrun,
}

/// How a stream does not move.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stall {
    /// The agent has the stream's SYN, and neither data nor FIN has come back since
    /// [`DIAL_LIMIT`](crate::DIAL_LIMIT): its dial hangs, or the destination is slow to answer, or waits to be asked. A
    /// hanging dial holds up all streams opened after it.
    Unanswered,
    /// Nothing of what is in flight was delivered for [`DELIVERY_LIMIT`](crate::DELIVERY_LIMIT): the path is down, or
    /// the agent's memory is full because the destination of some stream does not read. Then nothing else moves either.
    Undelivered,
}

/// Why no stream was opened. Another session can open one.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum OpenError {
    /// As many as [`MAX_STREAMS`](crate::MAX_STREAMS) are open, or closed without an answer yet.
    #[error("too many streams in one session")]
    TooMany,
    /// Every id was used.
    #[error("the session has used all its stream ids")]
    Exhausted,
    /// The far side has broken the protocol.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
}

/// Figures of a multiplexer.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Stats {
    /// Streams that are open, or whose end is not complete on both sides.
    pub streams: usize,
    /// Bytes taken by [`Mux::send`](crate::Mux::send) and not handed over.
    pub queued: usize,
    /// Bytes handed over and not known to be delivered, headers included.
    pub in_flight: u64,
    /// Bytes received and not consumed.
    pub unread: usize,
    /// Bytes received for streams that are closed or were never open, and passed over.
    pub dropped: u64,
    /// Frames that mean nothing from a server to a client, and were passed over: SYN and UPD.
    pub ignored: u64,
}

impl Event {
    /// The stream that it is about.
    pub const fn stream(&self) -> StreamId {
        match *self {
            Self::Readable(id)
            | Self::Writable(id)
            | Self::Finished(id)
            | Self::Refused { id, .. }
            | Self::Reset(id, _)
            | Self::Stalled(id, _) => id,
        }
    }
}
