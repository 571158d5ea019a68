//! One link: what is under way on it, and how long it takes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::event::{LinkStats, Pacing};
use crate::outbox::Piece;
use crate::window::Window;

/// How long a link may confirm nothing at least, before it is called stalled.
const LEAST_STALL: Duration = Duration::from_millis(300);
/// The same, while nothing is known of the link.
const FIRST_STALL: Duration = Duration::from_secs(1);
/// The same at the most, once there is nothing more to send: what is left is little, and to send it twice costs less than to
/// wait for it.
const LAST_STALL: Duration = Duration::from_millis(400);
/// A guess of the delay of a link that has confirmed nothing yet.
const GUESS: Duration = Duration::from_millis(50);
/// How long the rate is counted for one measurement.
const RATE_SPAN: Duration = Duration::from_millis(100);

/// A frame that is not confirmed.
#[derive(Clone, Copy, Debug)]
struct Sent {
    piece: Piece,
    at: Instant,
    /// It counts as lost already, and has gone over another link.
    is_given_up: bool,
}

impl Sent {
    fn bytes(&self) -> usize {
        match self.piece {
            Piece::Bytes { length, .. } => length,
            Piece::End { .. } => 0,
        }
    }
}

/// One link of a bond.
#[derive(Debug)]
pub(crate) struct Link {
    sent: VecDeque<Sent>,
    /// Frames that are confirmed: the number of the first of `sent`.
    confirmed_frames: u64,
    confirmed: u64,
    in_flight: usize,
    round_trip: Option<Duration>,
    shortest: Option<Duration>,
    window: Option<Window>,
    /// Bytes a second, once something was confirmed.
    rate: Option<f64>,
    /// Bytes confirmed since then.
    counted: (Instant, u64),
    /// When something was last confirmed, or sent while nothing was under way.
    moved: Instant,
    pub(crate) is_stalled: bool,
    /// It has taken as much as it would, and has not asked for more.
    pub(crate) is_full: bool,
    /// Neither half sends data on it any more, except where there is no other.
    pub(crate) is_retiring: bool,
    pub(crate) has_sent_retire: bool,
    pub(crate) has_got_retire: bool,
    pub(crate) owes_ack: bool,
    pub(crate) owes_ping: bool,
    pub(crate) owes_reset: bool,
    /// Frames received, and when the newest came.
    pub(crate) frames: u64,
    pub(crate) newest: Option<Instant>,
    pub(crate) received: u64,
    /// The beginning of a frame.
    pub(crate) partial: Vec<u8>,
}

impl Link {
    pub(crate) fn new(now: Instant, pacing: Pacing) -> Self {
        Self {
            sent: VecDeque::new(),
            confirmed_frames: 0,
            confirmed: 0,
            in_flight: 0,
            round_trip: None,
            shortest: None,
            window: (pacing == Pacing::Measured).then(|| Window::new(now)),
            rate: None,
            counted: (now, 0),
            moved: now,
            is_stalled: false,
            is_full: false,
            is_retiring: false,
            has_sent_retire: false,
            has_got_retire: false,
            owes_ack: false,
            owes_ping: false,
            owes_reset: false,
            frames: 0,
            newest: None,
            received: 0,
            partial: Vec::new(),
        }
    }

    pub(crate) fn has_room(&self) -> bool {
        self.room() > 0
    }

    /// Bytes that may go out now, as far as the window knows.
    pub(crate) fn room(&self) -> usize {
        self.window.as_ref().map_or(usize::MAX, |window| window.room(self.in_flight))
    }

    /// There is more to send than there is room.
    pub(crate) fn was_full(&mut self) {
        if let Some(window) = &mut self.window {
            window.was_full();
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.sent.is_empty()
    }

    pub(crate) fn rate(&self) -> f64 {
        self.rate.unwrap_or_default()
    }

    /// How long a piece that is sent now would take to arrive: half of the way there and back, and the time in which the
    /// link passes on what waits within it.
    pub(crate) fn arrival(&self) -> Duration {
        let (Some(shortest), Some(rate)) = (self.shortest, self.rate) else { return GUESS };
        let drained = self.in_flight as f64 / rate.max(1.0);
        shortest / 2 + Duration::from_secs_f64(drained.min(60.0)).saturating_sub(shortest)
    }

    pub(crate) fn sent(&mut self, now: Instant, piece: Piece) {
        if self.sent.is_empty() {
            self.moved = now;
            self.counted = (now, 0);
        }
        let sent = Sent { piece, at: now, is_given_up: false };
        self.in_flight += sent.bytes();
        self.sent.push_back(sent);
    }

    /// So many frames are confirmed, the newest of which came `age` ago. False if so many were never sent.
    pub(crate) fn confirmed(&mut self, now: Instant, frames: u64, age: Duration) -> bool {
        let Some(new) = frames.checked_sub(self.confirmed_frames) else { return true };
        let Some(count) = usize::try_from(new).ok().filter(|count| *count <= self.sent.len()) else { return false };
        let Some(newest) = count.checked_sub(1).and_then(|last| self.sent.get(last)) else { return true };
        let round_trip = now.saturating_duration_since(newest.at).saturating_sub(age);
        let bytes: usize = self.sent.drain(..count).map(|sent| sent.bytes()).sum();
        self.in_flight -= bytes;
        self.confirmed += bytes as u64;
        self.confirmed_frames = frames;
        self.moved = now;
        self.round_trip = Some(self.round_trip.map_or(round_trip, |known| (known * 7 + round_trip) / 8));
        self.shortest = Some(self.shortest.map_or(round_trip, |known| known.min(round_trip)));
        self.count_rate(now, bytes);
        if let Some(window) = &mut self.window {
            window.confirmed(now, frames, frames + self.sent.len() as u64, round_trip, bytes);
        }
        true
    }

    fn count_rate(&mut self, now: Instant, bytes: usize) {
        let (since, before) = self.counted;
        let (span, counted) = (now.saturating_duration_since(since), before + bytes as u64);
        self.counted = (since, counted);
        if span >= RATE_SPAN || self.rate.is_none() {
            let rate = counted as f64 / span.as_secs_f64().max(1e-3);
            self.rate = Some(self.rate.map_or(rate, |known| f64::midpoint(known, rate)));
            self.counted = (now, 0);
        }
    }

    /// When the link is to be called stalled, unless it is or has nothing under way. `is_tail` says that there is nothing more
    /// to send.
    pub(crate) fn stalls_at(&self, is_tail: bool) -> Option<Instant> {
        let limit = self.round_trip.map_or(FIRST_STALL, |round_trip| (round_trip * 4).max(LEAST_STALL));
        let limit = if is_tail { limit.min(LAST_STALL) } else { limit };
        (!self.is_stalled && !self.sent.is_empty()).then(|| self.moved + limit)
    }

    /// Gives up what is under way: each piece that is to go over another link, once.
    pub(crate) fn give_up(&mut self) -> impl Iterator<Item = Piece> + '_ {
        self.sent.iter_mut().filter_map(|sent| (!std::mem::replace(&mut sent.is_given_up, true)).then_some(sent.piece))
    }

    pub(crate) fn stats(&self) -> LinkStats {
        LinkStats {
            in_flight: self.in_flight,
            round_trip: self.round_trip,
            confirmed: self.confirmed,
            received: self.received,
        }
    }
}
