//! How many bytes may be under way on a link that would take megabytes: found by the delay that shows.
//!
//! The window follows FAST TCP (Wei, Jin, Low and Hegde, 2006): once in a round trip it is moved towards the size at which a
//! set number of bytes waits within the link, however long the link is. So the link is never idle, and whatever comes next
//! waits behind little.

use std::time::{Duration, Instant};

/// Bytes that are to wait within the link: 10 ms of what an agent sends.
const QUEUE: f64 = 8192.0;
/// A window before anything is known, and the smallest. On a way without length the other half's acknowledgement, which comes
/// each 4 KiB, is a part of such a queue late: with less the link would be idle meanwhile.
const SMALLEST: f64 = 2.0 * QUEUE;
/// While the link is emptied.
const EMPTIED: f64 = 4096.0;
const LARGEST: f64 = 4_194_304.0;
/// The first growth ends when a round trip takes so much longer than the shortest, or this part of a long one.
const SHOWS: Duration = Duration::from_millis(12);
const SHOWS_PART: u32 = 8;
/// A window that was full and shows less delay than this, or than this part of a long round trip, is too small.
const NO_DELAY: Duration = Duration::from_millis(3);
const NO_DELAY_PART: u32 = 64;
/// What such a window grows by, and then stays for a round, in which what comes of it shows.
const GROWS: f64 = 1.25;
/// How often the shortest round trip is measured anew, with the link nearly empty: the way may have become longer.
const REMEASURED: Duration = Duration::from_secs(30);
/// Round trips that this takes: the first empties the link.
const EMPTYING: u8 = 2;

/// The window of one link.
#[derive(Debug)]
pub(crate) struct Window {
    size: f64,
    /// The size when what this round confirms was sent.
    before: f64,
    /// The shortest round trip.
    base: Option<Duration>,
    /// Grows up to twofold each round trip, until a queue shows.
    is_starting: bool,
    /// It has just grown.
    has_grown: bool,
    round: Round,
    measured: Instant,
    /// Rounds left with a small window, and the size to go back to.
    emptying: Option<(u8, f64)>,
}

/// What one round trip shows.
#[derive(Debug)]
struct Round {
    began: Instant,
    /// The number of the frame that ends it when it is confirmed.
    ends: u64,
    /// The shortest round trip of a frame.
    shortest: Duration,
    /// Bytes that were confirmed.
    bytes: usize,
    /// When the first of them were, and how many those were.
    first: Option<(Instant, usize)>,
    /// There was more to send than there was room.
    was_full: bool,
}

impl Round {
    fn new(began: Instant, ends: u64) -> Self {
        Self { began, ends, shortest: Duration::MAX, bytes: 0, first: None, was_full: false }
    }

    fn confirmed(&mut self, now: Instant, round_trip: Duration, bytes: usize) {
        self.shortest = self.shortest.min(round_trip);
        self.bytes += bytes;
        self.first.get_or_insert((now, bytes));
    }

    /// Bytes a second that the link carried from its first bytes to its last. What lies between two rounds of a window that is
    /// too small is no part of that.
    fn train(&self, now: Instant) -> f64 {
        let (first, bytes) = self.first.unwrap_or((now, self.bytes));
        let span = now.saturating_duration_since(first).as_secs_f64();
        if span > 0.0 { (self.bytes - bytes) as f64 / span } else { f64::MAX }
    }
}

impl Window {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            size: SMALLEST,
            before: SMALLEST,
            base: None,
            is_starting: true,
            has_grown: false,
            round: Round::new(now, 0),
            measured: now,
            emptying: None,
        }
    }

    /// Bytes that may go out now.
    pub(crate) fn room(&self, in_flight: usize) -> usize {
        (self.size as usize).saturating_sub(in_flight)
    }

    /// There was more to send than there was room.
    pub(crate) fn was_full(&mut self) {
        self.round.was_full = true;
    }

    /// So many bytes are confirmed, up to the frame with this number, after a round trip; the next to be sent is `next`.
    pub(crate) fn confirmed(&mut self, now: Instant, number: u64, next: u64, round_trip: Duration, bytes: usize) {
        let base = self.base.map_or(round_trip, |base| base.min(round_trip));
        self.base = Some(base);
        self.round.confirmed(now, round_trip, bytes);
        if number >= self.round.ends {
            let (round, size) = (std::mem::replace(&mut self.round, Round::new(now, next)), self.size);
            self.end_round(now, base, &round);
            self.before = size;
        }
    }

    fn end_round(&mut self, now: Instant, base: Duration, round: &Round) {
        if let Some((left, size)) = self.emptying.take() {
            if left > 1 {
                self.emptying = Some((left - 1, size));
            } else {
                (self.base, self.size, self.measured) = (Some(round.shortest), size, now);
            }
            return;
        }
        if !round.was_full {
            return;
        }
        self.size = self.moved(now, base, round).clamp(SMALLEST, LARGEST);
        if !self.is_starting && now.saturating_duration_since(self.measured) > REMEASURED {
            self.emptying = Some((EMPTYING, self.size));
            self.size = ((self.size - QUEUE) * 0.75).max(EMPTIED);
        }
    }

    /// The size after a round in which the window was full.
    fn moved(&mut self, now: Instant, base: Duration, round: &Round) -> f64 {
        let length = base.as_secs_f64();
        if self.is_starting {
            // It ends with the first frame that was sent in it: what is beyond the way's own time, that one waited.
            let span = now.saturating_duration_since(round.began);
            self.is_starting = span < base + SHOWS.max(base / SHOWS_PART);
            let carries = round.train(now) * length + QUEUE;
            return if self.is_starting {
                (GROWS * carries).max(GROWS * self.size).min(2.0 * self.size)
            } else {
                carries.min(self.size)
            };
        }
        if std::mem::take(&mut self.has_grown) {
            return self.size;
        }
        self.has_grown = round.shortest < base + NO_DELAY.max(base / NO_DELAY_PART);
        if self.has_grown {
            return self.size * GROWS;
        }
        let wanted = self.before * length / round.shortest.as_secs_f64().max(1e-6) + QUEUE;
        f64::midpoint(self.size, wanted)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    const FRAME: usize = 1013;
    /// Bytes a second that the link passes on.
    const RATE: f64 = 820_000.0;

    /// What a link of this length, with delays of its own up to `jitter`, is seen to do while it is kept full.
    struct Seen {
        /// Bytes that were confirmed in the last second.
        passed: usize,
        /// The longest queue of the last second, and of all the time.
        queue: Duration,
        longest: Duration,
    }

    fn keep_full(delay: Duration, jitter: Duration, span: Duration) -> Seen {
        let mut random = fastrand::Rng::with_seed(1);
        let (start, tick) = (Instant::now(), Duration::from_millis(1));
        let mut window = Window::new(start);
        // When each frame was sent, and when the word of it comes back, in order.
        let mut under_way: VecDeque<(Instant, Instant)> = VecDeque::new();
        let (mut free_at, mut confirmed, mut now) = (start, 0, start);
        let mut seen = Seen { passed: 0, queue: Duration::ZERO, longest: Duration::ZERO };
        while now < start + span {
            now += tick;
            let is_last = now + Duration::from_secs(1) > start + span;
            while let Some((sent, _)) = under_way.pop_front_if(|(_, back)| *back <= now) {
                confirmed += 1;
                window.confirmed(now, confirmed, confirmed + under_way.len() as u64, now - sent, FRAME);
                seen.passed += if is_last { FRAME } else { 0 };
            }
            while window.room(under_way.len() * FRAME) > 0 {
                free_at = free_at.max(now) + Duration::from_secs_f64(FRAME as f64 / RATE);
                let back = free_at + delay + jitter.mul_f64(random.f64());
                let in_order = under_way.back().map_or(back, |(_, before)| back.max(*before));
                under_way.push_back((now, in_order));
            }
            window.was_full();
            let queue = free_at.saturating_duration_since(now);
            seen.longest = seen.longest.max(queue);
            seen.queue = if is_last { seen.queue.max(queue) } else { seen.queue };
        }
        seen
    }

    #[test]
    fn a_link_of_any_length_is_kept_full_and_little_waits_in_it() {
        for delay in [0, 20, 100, 200, 500].map(Duration::from_millis) {
            for jitter in [0, 15].map(Duration::from_millis) {
                let Seen { passed, queue, longest } = keep_full(delay, jitter, 20 * delay + Duration::from_secs(3));
                eprintln!("{delay:?}, {jitter:?}: {passed} bytes a second, queue {queue:?}, {longest:?}");
                let link = format!("{delay:?}, {jitter:?}");
                assert!(passed as f64 > 0.97 * RATE, "{link}: {passed} bytes a second");
                assert!(queue < Duration::from_millis(30) + 4 * jitter, "{link}: {queue:?}");
                assert!(longest < Duration::from_millis(60) + delay + 4 * jitter, "{link}: {longest:?}");
            }
        }
    }
}
