//! The lane of one session: how its byte stream carries connections. Agents since 3.0.196 speak smux, and take as many as
//! wanted; older ones take one after the other, whose bytes are the session's.

use std::time::Instant;

use bytes::{Buf, BytesMut};
use ssm_smux::{Config, Event, MAX_STREAMS, Mux, ProtocolError, StreamId};

/// Agents up to this version know no smux. AWS's client draws the same line: both sides have to.
const LAST_WITHOUT_SMUX: [u32; 4] = [3, 0, 196, 0];
/// Agents up to this version end a forward that is silent for 30 to 60 s.
const LAST_WITH_KEEP_ALIVE: [u32; 4] = [3, 1, 1511, 0];
/// Bytes of the one connection that wait to be sent.
const WAITING: usize = 64 << 10;
/// Bytes of the one connection that wait to be read; above it no more are taken from the session.
const UNREAD: usize = 1 << 20;

/// A connection of a lane.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Key {
    Stream(StreamId),
    Only,
}

/// The way of carrying connections.
pub(super) enum Lane {
    Many(Box<Mux>),
    One(One),
}

/// The one connection of a session without smux. The agent connects when the session starts, and again when it gets the
/// first bytes after the end of a connection.
#[derive(Default)]
pub(super) struct One {
    is_open: bool,
    waiting: BytesMut,
    unread: BytesMut,
    /// Its end is to follow what waits.
    closing: bool,
    /// How far the agent is with the end of the connection before.
    parting: Parting,
}

/// How far the agent is with the end of a connection.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Parting {
    /// It has a connection for what is sent: the first, or one that it was asked for.
    #[default]
    Over,
    /// It may not know of the end yet. What it is sent now would still go to the old connection.
    Told,
    /// It knows. What comes before it is asked to connect again is the rest of the old connection.
    Known,
}

/// Whether a forward with an agent of this version carries one connection at a time.
pub fn takes_one(agent_version: Option<&str>) -> bool {
    let version = agent_version.and_then(ssm_session::version);
    version.is_some_and(|version| version <= LAST_WITHOUT_SMUX)
}

impl One {
    /// Nobody reads or writes it any more, and its end is to follow what waits.
    fn close(&mut self) {
        self.unread.clear();
        self.closing = true;
    }
}

impl Lane {
    /// The lane of a session with an agent of this version. With `keep_alive` it is never silent for long.
    pub(super) fn new(agent_version: Option<&str>, keep_alive: bool, now: Instant) -> Self {
        if takes_one(agent_version) {
            return Self::One(One::default());
        }
        let version = agent_version.and_then(ssm_session::version);
        let keep_alive = keep_alive || version.is_some_and(|version| version <= LAST_WITH_KEEP_ALIVE);
        Self::Many(Box::new(Mux::new(Config { keep_alive, ..Config::default() }, now)))
    }

    /// Whether it has no room for another connection.
    pub(super) fn is_full(&self) -> bool {
        match self {
            Self::Many(mux) => mux.stats().streams >= MAX_STREAMS,
            Self::One(one) => one.is_open,
        }
    }

    /// Whether those whose end alone is waited for should make room.
    pub(super) fn is_crowded(&self) -> bool {
        matches!(self, Self::Many(mux) if mux.stats().streams > MAX_STREAMS / 2)
    }

    pub(super) fn takes_one(&self) -> bool {
        matches!(self, Self::One(_))
    }

    pub(super) fn open(&mut self, now: Instant) -> Option<Key> {
        match self {
            Self::Many(mux) => mux.open(now).ok().map(Key::Stream),
            Self::One(One { is_open: true, .. }) => None,
            Self::One(one) => {
                // What the server of the first has said before is kept; before another it says nothing.
                one.is_open = true;
                Some(Key::Only)
            }
        }
    }

    pub(super) fn send_capacity(&self, key: Key) -> usize {
        match (self, key) {
            (Self::Many(mux), Key::Stream(id)) => mux.send_capacity(id),
            (Self::One(one), _) if one.is_open && !one.closing => WAITING.saturating_sub(one.waiting.len()),
            _ => 0,
        }
    }

    pub(super) fn send(&mut self, key: Key, bytes: &[u8]) -> usize {
        let room = self.send_capacity(key).min(bytes.len());
        let taken = bytes.get(..room).unwrap_or_default();
        match (self, key) {
            (Self::Many(mux), Key::Stream(id)) => mux.send(id, taken),
            (Self::One(one), _) => {
                one.waiting.extend_from_slice(taken);
                taken.len()
            }
            _ => 0,
        }
    }

    /// Bytes of a connection that are not known to have reached the agent.
    pub(super) fn undelivered(&self, key: Key) -> usize {
        match (self, key) {
            (Self::Many(mux), Key::Stream(id)) => mux.undelivered(id),
            (Self::One(one), _) => one.waiting.len(),
            _ => 0,
        }
    }

    /// The bytes that have come for a connection and were not consumed.
    pub(super) fn unread(&self, key: Key) -> &[u8] {
        match (self, key) {
            (Self::Many(mux), Key::Stream(id)) => mux.read(id),
            (Self::One(one), _) => &one.unread,
            _ => &[],
        }
    }

    pub(super) fn consume(&mut self, key: Key, count: usize) {
        match (self, key) {
            (Self::Many(mux), Key::Stream(id)) => mux.consume(id, count),
            (Self::One(one), _) => one.unread.advance(count.min(one.unread.len())),
            _ => {}
        }
    }

    pub(super) fn close(&mut self, key: Key) {
        match (self, key) {
            (Self::Many(mux), Key::Stream(id)) => mux.close(id),
            (Self::One(one), _) => one.close(),
            _ => {}
        }
    }

    pub(super) fn reset(&mut self, key: Key) {
        match (self, key) {
            (Self::Many(mux), Key::Stream(id)) => mux.reset(id),
            (Self::One(one), _) => {
                one.waiting.clear();
                one.close();
            }
            _ => {}
        }
    }

    /// The agent has said that a dial failed.
    pub(super) fn connect_failed(&mut self) {
        if let Self::Many(mux) = self {
            mux.connect_failed();
        }
    }

    /// Whether bytes of the session are wanted.
    pub(super) fn wants_input(&self) -> bool {
        match self {
            Self::Many(mux) => mux.wants_input(),
            Self::One(one) => one.unread.len() < UNREAD,
        }
    }

    /// Takes bytes of the session.
    ///
    /// # Errors
    /// If they are no smux.
    pub(super) fn handle_bytes(&mut self, bytes: &[u8]) -> Result<(), ProtocolError> {
        match self {
            Self::Many(mux) => mux.handle_bytes(bytes),
            Self::One(one) => {
                if one.parting == Parting::Over && !one.closing {
                    one.unread.extend_from_slice(bytes);
                }
                Ok(())
            }
        }
    }

    /// Puts the next bytes for the session into `out`, at most `max`.
    pub(super) fn poll_transmit(&mut self, now: Instant, max: usize, out: &mut Vec<u8>) {
        match self {
            Self::Many(mux) => {
                mux.poll_transmit(now, max, out);
            }
            Self::One(one) if one.parting == Parting::Told => {}
            Self::One(one) => {
                let length = max.min(one.waiting.len());
                out.extend_from_slice(&one.waiting.split_to(length));
                if length > 0 {
                    one.parting = Parting::Over;
                }
            }
        }
    }

    /// Whether the one connection has ended, and nothing of it waits any more: the agent is to be told, once.
    pub(super) fn take_disconnect(&mut self) -> bool {
        match self {
            Self::One(one) if one.closing && one.waiting.is_empty() => {
                *one = One { parting: Parting::Told, ..One::default() };
                true
            }
            _ => false,
        }
    }

    /// The agent knows of the end of the one connection, if there was one.
    pub(super) fn disconnected(&mut self) {
        if let Self::One(one) = self
            && one.parting == Parting::Told
        {
            one.parting = Parting::Known;
        }
    }

    /// So many bytes of all that was handed over are known to have arrived.
    pub(super) fn delivered(&mut self, now: Instant, total: u64) {
        if let Self::Many(mux) = self {
            mux.delivered(now, total.min(mux.handed_over()));
        }
    }

    pub(super) fn poll_event(&mut self) -> Option<Event> {
        match self {
            Self::Many(mux) => mux.poll_event(),
            Self::One(_) => None,
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Many(mux) => mux.poll_timeout(),
            Self::One(_) => None,
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if let Self::Many(mux) = self {
            mux.handle_timeout(now);
        }
    }

    /// The connection to AWS is back: what was not answered meanwhile says nothing of the far side.
    pub(super) fn resumed(&mut self, now: Instant) {
        if let Self::Many(mux) = self {
            mux.resumed(now);
        }
    }

    /// Whether a connection does not move, so that others are better off elsewhere.
    pub(super) fn is_stalled(&self) -> bool {
        match self {
            Self::Many(mux) => mux.is_stalled(),
            Self::One(_) => false,
        }
    }
}
