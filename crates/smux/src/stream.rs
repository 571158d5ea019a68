//! A stream: one connection of a client to the far side, and how far each of its two directions has come.

use std::time::{Duration, Instant};

use crate::frame::HEADER;
use crate::limits::{DELIVERY_LIMIT, DIAL_LIMIT, MAX_FRAME_DATA, SMALLEST_CUT};
use crate::queue::Queue;

/// How far the sending direction has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Sending {
    Open,
    /// FIN is to follow what is queued.
    Closing,
    /// FIN was handed over.
    Closed,
}

/// The next frame of a stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Next {
    Syn,
    /// With as many bytes of data.
    Psh(usize),
    Fin,
}

/// One stream, from `open` until both sides have closed it and all is delivered and read.
#[derive(Debug)]
pub(crate) struct Stream {
    /// SYN was handed over.
    pub(crate) is_opened: bool,
    pub(crate) sending: Sending,
    /// Bytes to send.
    pub(crate) queue: Queue,
    /// The queue has been full since it was last said to be writable.
    pub(crate) is_full: bool,
    /// It waits in the multiplexer's queue of turns.
    pub(crate) has_turn: bool,
    /// Bytes handed over and not known to be delivered, headers included.
    pub(crate) in_flight: usize,
    /// When something was last delivered, or the first of what is in flight was handed over.
    progress: Instant,
    /// The SYN is delivered, since then: the agent is to dial.
    asked: Option<Instant>,
    delivered: u64,
    /// Bytes received and not consumed.
    pub(crate) unread: Queue,
    /// A byte has come.
    pub(crate) has_received: bool,
    /// The far side has sent FIN.
    pub(crate) is_finished: bool,
    /// It was reset: nobody reads or writes it.
    pub(crate) is_abandoned: bool,
    /// [`Event::Stalled`](crate::Event::Stalled) was said with this reason.
    pub(crate) is_unanswered: bool,
    pub(crate) is_undelivered: bool,
}

impl Stream {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            is_opened: false,
            sending: Sending::Open,
            queue: Queue::default(),
            is_full: false,
            has_turn: false,
            in_flight: 0,
            progress: now,
            asked: None,
            delivered: 0,
            unread: Queue::default(),
            has_received: false,
            is_finished: false,
            is_abandoned: false,
            is_unanswered: false,
            is_undelivered: false,
        }
    }

    /// Whether there is a frame to send, though perhaps not yet.
    pub(crate) fn has_frame(&self) -> bool {
        !self.is_opened || !self.queue.is_empty() || self.sending == Sending::Closing
    }

    /// The next frame of at most `room` bytes and `data` bytes of data, if the bytes in flight allow one. Data is not
    /// cut short to fill the end of a chunk with a frame that is mostly header, unless the chunk `is_empty`.
    pub(crate) fn next(&self, limit: usize, room: usize, data: usize, is_empty: bool) -> Option<Next> {
        let room = room.checked_sub(HEADER)?;
        if !self.is_opened {
            return Some(Next::Syn);
        }
        if self.queue.is_empty() {
            return (self.sending == Sending::Closing).then_some(Next::Fin);
        }
        let allowed = limit.checked_sub(self.in_flight).filter(|allowed| *allowed > 0)?.max(SMALLEST_CUT);
        let wanted = self.queue.len().min(data).min(MAX_FRAME_DATA).min(allowed);
        let count = wanted.min(room);
        let is_runt = count < wanted && count < SMALLEST_CUT && !is_empty;
        (count > 0 && !is_runt).then_some(Next::Psh(count))
    }

    /// `count` bytes were handed over.
    pub(crate) fn handed_over(&mut self, now: Instant, count: usize) {
        if self.in_flight == 0 {
            self.progress = now;
        }
        self.in_flight += count;
    }

    /// `count` of the bytes in flight are delivered.
    pub(crate) fn delivered(&mut self, now: Instant, count: usize) {
        self.in_flight = self.in_flight.saturating_sub(count);
        self.delivered += count as u64;
        self.progress = now;
        self.is_undelivered = false;
        if self.asked.is_none() && self.delivered >= HEADER as u64 {
            self.asked = Some(now);
        }
    }

    /// The time until now was none: the stream was cut off from the far side.
    pub(crate) fn restart(&mut self, now: Instant) {
        self.progress = now;
        self.asked = self.asked.map(|_| now);
        (self.is_undelivered, self.is_unanswered) = (false, false);
    }

    /// When the stream is to be called undelivered, unless it is.
    pub(crate) fn delivery_limit(&self) -> Option<Instant> {
        limit(self.progress, DELIVERY_LIMIT).filter(|_| self.in_flight > 0 && !self.is_undelivered)
    }

    /// When a stream that was not answered is to be called so, unless it is.
    pub(crate) fn dial_limit(&self) -> Option<Instant> {
        limit(self.asked?, DIAL_LIMIT).filter(|_| !self.is_unanswered)
    }

    /// Whether the local side can still use it.
    pub(crate) fn is_live(&self) -> bool {
        !self.is_abandoned
    }

    /// Whether nothing is left of it but its number.
    pub(crate) fn is_over(&self) -> bool {
        self.sending == Sending::Closed && self.is_finished && self.in_flight == 0 && self.unread.is_empty()
    }
}

fn limit(since: Instant, lasts: Duration) -> Option<Instant> {
    since.checked_add(lasts)
}
