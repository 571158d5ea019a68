//! How many bytes may be under way on a link that would take megabytes: found by the delay that shows.
//!
//! The window follows FAST TCP (Wei, Jin, Low and Hegde, 2006): once in a round trip it is moved towards the size at which a
//! set number of bytes waits within the link, however long the link is. So the link is never idle, and whatever comes next
//! waits behind little.

use std::time::{Duration, Instant};

/// Bytes that are to wait within the link: 20 ms of what an agent sends.
const QUEUE: f64 = 16_384.0;
/// A window before anything is known.
const FIRST: f64 = SMALLEST;
/// On a way without length the other half's acknowledgement, which comes each 16 KiB, is a whole such queue late: with less
/// the link would be idle meanwhile.
const SMALLEST: f64 = 2.0 * QUEUE;
/// While the link is emptied.
const EMPTIED: f64 = 4096.0;
const LARGEST: f64 = 4_194_304.0;
/// The first growth ends when this much delay shows for a whole round trip, or this part of a long one. That a window which is
/// sent at once waits for itself says nothing.
const SHOWS: Duration = Duration::from_millis(12);
const SHOWS_PART: u32 = 8;
/// A window that was full and shows less delay than this, or than this part of a long round trip, is far too small.
const NO_DELAY: Duration = Duration::from_millis(3);
const NO_DELAY_PART: u32 = 32;
/// What such a window grows by in a round trip: little, as what comes of it shows a round trip later.
const GROWS: f64 = 1.1;
/// How often the shortest round trip is measured anew, with the link nearly empty: the way may have become longer.
const REMEASURED: Duration = Duration::from_secs(30);
/// Round trips that this takes: the first empties the link.
const EMPTYING: u8 = 2;

/// The window of one link.
#[derive(Debug)]
pub(crate) struct Window {
    size: f64,
    /// The shortest round trip.
    base: Option<Duration>,
    /// Doubles each round trip until a queue shows.
    is_starting: bool,
    /// The number of the frame that ends this round trip when it is confirmed.
    round_ends: u64,
    /// The shortest round trip of this round.
    shortest: Option<Duration>,
    /// The window was full during this round.
    was_full: bool,
    measured: Instant,
    /// Rounds left with a small window, and the size to go back to.
    emptying: Option<(u8, f64)>,
}

impl Window {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            size: FIRST,
            base: None,
            is_starting: true,
            round_ends: 0,
            shortest: None,
            was_full: false,
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
        self.was_full = true;
    }

    /// The frame with this number is confirmed after a round trip; the next to be sent is `next`.
    pub(crate) fn confirmed(&mut self, now: Instant, number: u64, next: u64, round_trip: Duration) {
        let shortest = self.shortest.map_or(round_trip, |shortest| shortest.min(round_trip));
        self.shortest = Some(shortest);
        let base = self.base.map_or(round_trip, |base| base.min(round_trip));
        self.base = Some(base);
        if number >= self.round_ends {
            self.end_round(now, base, shortest);
            self.begin_round(next);
        }
    }

    fn begin_round(&mut self, next: u64) {
        (self.round_ends, self.shortest, self.was_full) = (next, None, false);
    }

    fn end_round(&mut self, now: Instant, base: Duration, shortest: Duration) {
        if let Some((left, size)) = self.emptying.take() {
            if left > 1 {
                self.emptying = Some((left - 1, size));
            } else {
                (self.base, self.size, self.measured) = (Some(shortest), size, now);
            }
            return;
        }
        let wanted = self.wanted(base, shortest);
        if self.is_starting {
            if shortest > base + SHOWS.max(base / SHOWS_PART) {
                // What has come back was sent with half of today's window.
                self.is_starting = false;
                self.size = (wanted / 2.0).max(SMALLEST);
            } else if self.was_full {
                self.size = (self.size * 2.0).min(LARGEST);
            }
        } else {
            let is_small = shortest < base + NO_DELAY.max(base / NO_DELAY_PART);
            let moved = if is_small { self.size * GROWS } else { f64::midpoint(self.size, wanted) };
            let moved = moved.clamp(SMALLEST, LARGEST);
            self.size = if self.was_full { moved } else { moved.min(self.size) };
        }
        if !self.is_starting && self.was_full && now.saturating_duration_since(self.measured) > REMEASURED {
            self.emptying = Some((EMPTYING, self.size));
            self.size = ((self.size - QUEUE) * 0.75).max(EMPTIED);
        }
    }

    /// The size at which [`QUEUE`] bytes wait, as far as this round trip shows.
    fn wanted(&self, base: Duration, round_trip: Duration) -> f64 {
        let share = base.as_secs_f64() / round_trip.as_secs_f64().max(1e-6);
        (self.size * share.min(1.0) + QUEUE).clamp(SMALLEST, LARGEST)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    const FRAME: usize = 1013;
    /// Bytes a second that the link passes on.
    const RATE: f64 = 820_000.0;

    /// Keeps a link of this length full for so long, with delays of its own up to `jitter`. Gives the bytes that were confirmed
    /// in the last second, and the longest queue of that time.
    fn passed(delay: Duration, jitter: Duration, span: Duration) -> (f64, Duration) {
        let mut random = fastrand::Rng::with_seed(1);
        let (start, tick) = (Instant::now(), Duration::from_millis(1));
        let mut window = Window::new(start);
        // When each frame was sent, and when the word of it comes back, in order.
        let mut under_way: VecDeque<(Instant, Instant)> = VecDeque::new();
        let (mut free_at, mut confirmed, mut last, mut queue) = (start, 0, 0, Duration::ZERO);
        let mut now = start;
        while now < start + span {
            now += tick;
            while let Some((sent, _)) = under_way.pop_front_if(|(_, back)| *back <= now) {
                confirmed += 1;
                window.confirmed(now, confirmed, confirmed + under_way.len() as u64, now - sent);
                last += usize::from(now + Duration::from_secs(1) > start + span);
            }
            while window.room(under_way.len() * FRAME) > 0 {
                free_at = free_at.max(now) + Duration::from_secs_f64(FRAME as f64 / RATE);
                let back = free_at + delay + jitter.mul_f64(random.f64());
                let in_order = under_way.back().map_or(back, |(_, before)| back.max(*before));
                under_way.push_back((now, in_order));
            }
            window.was_full();
            if now + Duration::from_secs(1) > start + span {
                queue = queue.max(free_at - now);
            }
        }
        ((last * FRAME) as f64, queue)
    }

    #[test]
    fn a_link_of_any_length_is_kept_full_and_little_waits_in_it() {
        for delay in [0, 20, 100, 200, 500].map(Duration::from_millis) {
            for jitter in [0, 15].map(Duration::from_millis) {
                let (bytes, queue) = passed(delay, jitter, 20 * delay + Duration::from_secs(3));
                assert!(bytes > 0.95 * RATE, "{delay:?}, {jitter:?}: {bytes} bytes a second");
                assert!(queue < Duration::from_millis(60) + delay / 5, "{delay:?}, {jitter:?}: {queue:?}");
            }
        }
    }
}
