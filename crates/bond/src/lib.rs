//! One byte stream each way over several links that may stall or die, as a pure state machine.
//!
//! A **link** is any ordered stream of bytes: here, a Session Manager session to a port of a node. A **bond** is what is made
//! of them, and each of its two **halves** runs a [`Bond`]: ssm-proxy here, and its joiner on the node. No I/O, no async, no
//! clock and no randomness.
//!
//! # Contract
//! Change the bond with one of [`handle_bytes`](Bond::handle_bytes), [`handle_timeout`](Bond::handle_timeout),
//! [`send`](Bond::send), [`finish`](Bond::finish), [`reset`](Bond::reset), [`consume`](Bond::consume),
//! [`add_link`](Bond::add_link), [`remove_link`](Bond::remove_link) or [`retire_link`](Bond::retire_link). Then drain it:
//! call [`poll_transmit`](Bond::poll_transmit) for each link, with a room of 0 for one that can take nothing now, and then
//! [`poll_event`](Bond::poll_event) until it gives nothing: transmitting has events of its own. Then wait until [`poll_timeout`](Bond::poll_timeout), or until something else happens. Time never
//! runs backwards. A call with the id of a link that is not there does nothing.
//!
//! # What it promises
//! - Every byte arrives once and in order, as long as one link lives. What a link held when it was removed goes over the
//!   others; so does what a link holds that confirms nothing for four of its round trips ([`Event::Stalled`]).
//! - Each half holds no more than its window of what it received, and the other half's window of what it sent.
//! - A piece takes the link on which it would arrive first. With [`Pacing::Measured`] some 10 ms of bytes wait within a link
//!   and no more, however much the link would take.
//!
//! # Frames
//! Each link begins with its [`opening`]. Then frames follow, all numbers big-endian: a kind (1 byte), the length of the rest
//! (2), and the rest.
//!
//! | kind | rest |
//! |---|---|
//! | 1 data | offset in the stream (8), bytes |
//! | 2 acknowledgement | bytes received in order, the end counting as one (8); the offset that may be sent up to (8); for each link: its number (4), data and end frames received on it (8), milliseconds since the newest (2) |
//! | 3 end | the offset behind the last byte (8) |
//! | 4 reset | |
//! | 5 retire: the sender sends no more data on this link | |
//! | 6 ping: an acknowledgement is wanted on each link | |
//! | 7 accepted, from the joiner | tag (32) |
//! | 8 refused, from the joiner | reason (1) |
//!
//! A client adds a link to its bond when the joiner has accepted it and its tag is right ([`verdict`]), and passes over what
//! comes before that. The first link may be added at once, so that nothing waits for a round trip: if the joiner connects to
//! its own destination, where what is carried protects itself.
//!
//! Others are passed over. As a link is ordered, the number of frames received on it says which.
//!
//! # Example
//! ```
//! use std::time::Instant;
//! use ssm_bond::{Bond, Config, Event, LinkId};
//!
//! let now = Instant::now();
//! let (mut here, mut there) = (Bond::new(Config::client(), now), Bond::new(Config::joiner(), now));
//! for id in [LinkId(0), LinkId(1)] {
//!     here.add_link(now, id);
//!     there.add_link(now, id);
//! }
//! here.send(now, b"hello");
//! here.finish();
//! let mut wire = Vec::new();
//! here.poll_transmit(now, LinkId(0), 1024, &mut wire);
//! there.handle_bytes(now, LinkId(0), &wire)?;
//! assert_eq!(there.poll_event(), Some(Event::Readable));
//! assert_eq!(there.read(), b"hello");
//! there.consume(now, 5);
//! assert_eq!(there.poll_event(), Some(Event::Finished));
//! # Ok::<(), ssm_bond::ProtocolError>(())
//! ```

mod ack;
mod event;
mod frame;
mod inbox;
mod link;
pub mod opening;
mod outbox;
mod receiving;
mod secret;
mod sending;
mod timers;
mod window;

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use ack::Ack;
use frame::Frame;
use inbox::Inbox;
use link::Link;
use outbox::Outbox;

pub use event::{Config, Event, LinkId, LinkStats, Pacing, ProtocolError, Stats};

/// The window is told anew when it has moved by this part of itself.
const WINDOW_STEP: u64 = 4;

/// One half of a bond. See the [crate's documentation](crate) for its contract.
#[derive(Debug)]
pub struct Bond {
    config: Config,
    links: BTreeMap<LinkId, Link>,
    outbox: Outbox,
    inbox: Inbox,
    /// The offset that the other half takes bytes up to.
    peer_limit: u64,
    ack: Ack,
    events: VecDeque<Event>,
    /// Since when the next piece waits for a link.
    head_waits: Option<Instant>,
    /// When the other half is asked for its window.
    asked: Option<Instant>,
    /// There was no room for bytes.
    was_full: bool,
    has_told_end: bool,
    is_reset: bool,
    resent: u64,
    scratch: Vec<u8>,
}

impl Bond {
    /// A half without links.
    pub fn new(config: Config, _now: Instant) -> Self {
        // The other half has the same window: it is a part of the protocol for what is sent before the first word of it.
        let first_window = Config::client().window as u64;
        Self {
            config,
            links: BTreeMap::new(),
            outbox: Outbox::default(),
            inbox: Inbox::new(config.window),
            peer_limit: first_window.min(config.window as u64),
            ack: Ack::default(),
            events: VecDeque::new(),
            head_waits: None,
            asked: None,
            was_full: false,
            has_told_end: false,
            is_reset: false,
            resent: 0,
            scratch: Vec::new(),
        }
    }

    /// How many bytes [`send`](Self::send) takes now: few, so that what comes next waits behind little.
    pub fn send_capacity(&self) -> usize {
        if self.outbox.is_ended() || self.is_reset {
            return 0;
        }
        let held = self.outbox.undelivered().saturating_sub(self.outbox.queued());
        let memory = self.config.window.saturating_sub(held);
        // Each link takes its part at once, every few milliseconds.
        let queue = self.config.queue.saturating_mul(self.links.len().max(2)) / 2;
        queue.min(memory).saturating_sub(self.outbox.queued())
    }

    /// Takes bytes for the other half, no more than there is room for, and says how many. When there was no room for all,
    /// [`Event::Writable`] says that there is some again.
    pub fn send(&mut self, _now: Instant, bytes: &[u8]) -> usize {
        let taken = bytes.get(..self.send_capacity()).unwrap_or(bytes);
        self.outbox.push(taken);
        self.was_full |= self.send_capacity() == 0;
        taken.len()
    }

    /// There is no more to send: the end follows what was taken.
    pub fn finish(&mut self) {
        self.outbox.end();
    }

    /// Breaks the bond off in both directions. What is not delivered may be lost.
    pub fn reset(&mut self) {
        self.is_reset = true;
        self.links.values_mut().for_each(|link| link.owes_reset = true);
    }

    /// Bytes that have come in order. There may be more behind them once they are consumed.
    pub fn read(&self) -> &[u8] {
        self.inbox.read()
    }

    /// So many bytes of [`read`](Self::read) are done with. Makes room for others.
    pub fn consume(&mut self, now: Instant, count: usize) {
        self.inbox.consume(count);
        if self.inbox.limit() >= self.ack.told + self.config.window as u64 / WINDOW_STEP {
            self.ack.due = Some(now);
        }
        self.tell_finished();
    }

    /// Adds a link that has been opened.
    pub fn add_link(&mut self, now: Instant, id: LinkId) {
        self.links.insert(id, Link::new(now, self.config.pacing));
    }

    /// Removes a link, alive or dead. What it carried and is not known to have arrived goes over the others.
    pub fn remove_link(&mut self, now: Instant, id: LinkId) {
        let Some(mut link) = self.links.remove(&id) else { return };
        link.give_up().for_each(|piece| self.outbox.lose(piece));
        // The latest word to the other half may have been on it.
        self.ack.due = Some(now);
        self.links.values_mut().for_each(|link| link.owes_ack = true);
    }

    /// Uses a link no more, and asks the other half to do the same: [`Event::Retired`] follows. Not for the last one.
    pub fn retire_link(&mut self, _now: Instant, id: LinkId) {
        if let Some(link) = self.links.get_mut(&id) {
            link.is_retiring = true;
        }
    }

    /// The next thing the bond has to say.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Whether the other half has all that was taken, and the end if there is one.
    pub fn is_delivered(&self) -> bool {
        self.outbox.is_delivered()
    }

    /// Bytes taken that the other half is not known to have.
    pub fn undelivered(&self) -> usize {
        self.outbox.undelivered()
    }

    /// Whether the other half's end has come, and all before it, perhaps not read yet.
    pub fn is_whole(&self) -> bool {
        self.inbox.is_whole()
    }

    /// Figures of now, and of all that has passed.
    pub fn stats(&self) -> Stats {
        Stats {
            links: self.links.len(),
            sent: self.outbox.sent(),
            delivered: self.outbox.delivered_bytes(),
            received: self.inbox.received(),
            queued: self.outbox.queued(),
            held: self.inbox.held(),
            resent: self.resent,
            duplicates: self.inbox.duplicates,
        }
    }

    /// Figures of one link.
    pub fn link_stats(&self, id: LinkId) -> Option<LinkStats> {
        self.links.get(&id).map(Link::stats)
    }
}

/// Writes the joiner's word that it accepts a link, with its tag (see [`opening`]), behind what is in `out`.
pub fn accept(tag: [u8; 32], out: &mut Vec<u8>) {
    Frame::Accept { tag }.encode(out);
}

/// Writes the joiner's word that it refuses a link, with a reason (see [`opening::Refusal`]), behind what is in `out`.
pub fn refuse(reason: u8, out: &mut Vec<u8>) {
    Frame::Refuse { reason }.encode(out);
}

/// The joiner's word on a link.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It is accepted, with this tag (see [`opening`]).
    Accepted([u8; 32]),
    /// It is refused, with this reason on the wire.
    Refused(u8),
}

/// The first verdict in what a joiner has sent on a link behind its greeting, and how many bytes there are up to its end.
/// What comes before it belongs to no bond. Nothing if more bytes are needed.
///
/// # Errors
/// If it is nothing that a joiner sends.
pub fn verdict(bytes: &[u8]) -> Result<Option<(Verdict, usize)>, ProtocolError> {
    let mut at = 0;
    while let Some((frame, length)) = frame::decode(bytes.get(at..).unwrap_or_default())? {
        at += length;
        match frame {
            Frame::Accept { tag } => return Ok(Some((Verdict::Accepted(tag), at))),
            Frame::Refuse { reason } => return Ok(Some((Verdict::Refused(reason), at))),
            _ => {}
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
