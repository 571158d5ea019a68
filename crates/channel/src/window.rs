//! The window: how many payload bytes may be unacknowledged.
//!
//! The rule is delay-based, after FAST TCP: once a round trip the window moves halfway to
//! `window * shortest / recent + QUEUE`, whose only resting point leaves about [`QUEUE`] bytes waiting in the path.
//! When round trips swell because a queue builds up, the window shrinks in proportion, and a keystroke does not wait
//! behind seconds of bulk. Loss tells little here, since the service drops messages for reasons of its own: only a
//! round with many losses shrinks the window. It knows bytes and times, not messages.

use std::time::{Duration, Instant};

/// Window of a new session: enough for a login and for 0.9 MB/s at 70 ms.
const INITIAL: usize = 64 << 10;
/// Upper limit. 256 KiB unacknowledged was stable in multi-megabyte transfers through the service, and carries its
/// 900 messages a second up to a round trip of 280 ms.
const MAX: usize = 256 << 10;
/// Lower limit: progress never stops, whatever is measured.
const MIN: usize = 4 << 10;
/// Bytes meant to wait in the path: at the service's pace they cost 9 ms.
const QUEUE: usize = 8 << 10;
/// Delay that is not taken for a queue: schedulers, the agent's own writes, TCP's delayed segments.
const TOLERANCE: Duration = Duration::from_millis(5);
/// The share of a round's messages, in percent, above which losses shrink the window...
const LOSS_PERCENT: usize = 2;
/// ...and their least number: in a round of few messages one loss is no share of anything.
const LOSS_LEAST: usize = 3;
/// How long the shortest round trip holds without being seen again. Then the window is halved for two rounds to see
/// what the path is without our own queue, so that a longer route is not mistaken for one.
const SHORTEST_HOLDS: Duration = Duration::from_secs(10);
/// Rounds at half the window: one to drain the queue, one to measure.
const DRAIN_ROUNDS: u8 = 2;

/// An acknowledgement, as the window sees it.
pub(super) struct Acknowledged {
    /// Number of the acknowledged message.
    pub sequence: i64,
    /// The round trip, if the message was sent only once.
    pub sample: Option<Duration>,
}

#[derive(Debug)]
pub(super) struct Window {
    limit: usize,
    /// Doubling each round, until the first sign of a queue.
    starting: bool,
    shortest: Option<Shortest>,
    draining: u8,
    round: Round,
}

/// The shortest round trip and when it was last seen.
#[derive(Clone, Copy, Debug)]
struct Shortest {
    value: Duration,
    seen: Instant,
}

/// The course of one round: of the time since the message was sent with which it began.
#[derive(Debug, Default)]
struct Round {
    ends_at: i64,
    recent: Option<Duration>,
    acknowledged: usize,
    lost: usize,
    was_full: bool,
}

impl Default for Window {
    fn default() -> Self {
        Self { limit: INITIAL, starting: true, shortest: None, draining: 0, round: Round::default() }
    }
}

impl Window {
    /// Payload bytes that may be unacknowledged now.
    pub(super) fn limit(&self) -> usize {
        if self.draining > 0 { (self.limit / 2).max(MIN) } else { self.limit }
    }

    /// The shortest round trip of late, once measured.
    pub(super) fn shortest_round_trip(&self) -> Option<Duration> {
        self.shortest.map(|shortest| shortest.value)
    }

    /// Something waited because the window was full: growing would have helped.
    pub(super) fn was_full(&mut self) {
        self.round.was_full = true;
    }

    /// A message was not acknowledged in time.
    pub(super) fn lost(&mut self) {
        self.round.lost += 1;
    }

    /// A message was acknowledged; `next_sequence` is the number the next new message will have.
    pub(super) fn acknowledged(&mut self, now: Instant, message: Acknowledged, next_sequence: i64) {
        self.round.acknowledged += 1;
        if let Some(sample) = message.sample {
            self.round.recent = Some(self.round.recent.map_or(sample, |recent| recent.min(sample)));
            self.see(now, sample);
        }
        if message.sequence >= self.round.ends_at {
            let round = std::mem::replace(&mut self.round, Round { ends_at: next_sequence, ..Round::default() });
            self.adjust(now, &round);
        }
    }

    /// The path is another one: what was measured no longer holds.
    pub(super) fn new_path(&mut self, next_sequence: i64) {
        self.shortest = None;
        self.draining = 0;
        self.starting = true;
        self.limit = self.limit.clamp(INITIAL, MAX);
        self.round = Round { ends_at: next_sequence, ..Round::default() };
    }

    fn see(&mut self, now: Instant, sample: Duration) {
        match &mut self.shortest {
            Some(shortest) if sample > shortest.value => {
                if sample - shortest.value <= TOLERANCE {
                    shortest.seen = now;
                }
            }
            shortest => *shortest = Some(Shortest { value: sample, seen: now }),
        }
    }

    fn adjust(&mut self, now: Instant, round: &Round) {
        let (Some(recent), Some(shortest)) = (round.recent, self.shortest) else { return };
        if self.draining > 0 {
            self.draining -= 1;
            if self.draining == 0 {
                self.shortest = Some(Shortest { value: recent, seen: now });
            }
            return;
        }
        if round.lost >= LOSS_LEAST && round.lost * 100 > (round.acknowledged + round.lost) * LOSS_PERCENT {
            self.starting = false;
            self.limit = (self.limit * 7 / 10).max(MIN);
            return;
        }
        let without_tolerance = recent.saturating_sub(TOLERANCE).max(shortest.value);
        let queued = without_tolerance > shortest.value;
        self.starting &= !queued;
        let target = if self.starting {
            self.limit * 2
        } else {
            let share = shortest.value.as_secs_f64() / without_tolerance.as_secs_f64().max(f64::MIN_POSITIVE);
            let goal = (self.limit as f64 * share) as usize + QUEUE;
            usize::midpoint(self.limit, goal)
        };
        if target < self.limit || round.was_full {
            self.limit = target.clamp(MIN, MAX);
        }
        if now.duration_since(shortest.seen) > SHORTEST_HOLDS {
            self.draining = DRAIN_ROUNDS;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A path with a bottleneck, driven one round at a time.
    struct Path {
        window: Window,
        now: Instant,
        sequence: i64,
        delay: Duration,
        bytes_per_second: f64,
    }

    impl Path {
        fn new(delay: u64, bytes_per_second: f64) -> Self {
            let delay = Duration::from_millis(delay);
            Self { window: Window::default(), now: Instant::now(), sequence: 0, delay, bytes_per_second }
        }

        /// The queueing delay of a full window.
        fn queue(&self) -> Duration {
            let drain = Duration::from_secs_f64(self.window.limit() as f64 / self.bytes_per_second);
            drain.saturating_sub(self.delay)
        }

        fn round(&mut self, lost: usize) {
            let sample = self.delay + self.queue();
            self.now += sample;
            (0..lost).for_each(|_| self.window.lost());
            self.window.was_full();
            let messages = (self.window.limit() / 1024) as i64;
            for _ in 0..messages {
                let message = Acknowledged { sequence: self.sequence, sample: Some(sample) };
                self.sequence += 1;
                self.window.acknowledged(self.now, message, self.sequence + messages);
            }
        }
    }

    #[test]
    fn without_a_queue_it_opens_to_the_maximum_in_a_few_rounds() {
        let mut path = Path::new(200, 1e9);
        (0..4).for_each(|_| path.round(0));
        assert_eq!(path.window.limit(), MAX);
    }

    #[test]
    fn a_bottleneck_ends_with_a_short_queue_and_full_use() {
        for (delay, rate) in [(20, 500e3), (100, 900e3), (200, 300e3)] {
            let mut path = Path::new(delay, rate);
            (0..200).for_each(|_| path.round(0));
            let queue = path.queue();
            assert!(queue < Duration::from_millis(60), "{delay} ms, {rate}: {queue:?}");
            assert!(path.window.limit() as f64 > rate * delay as f64 / 1000.0 * 0.95, "{delay} ms, {rate}");
        }
    }

    #[test]
    fn a_longer_route_is_learnt_and_not_taken_for_a_queue() {
        let mut path = Path::new(50, 1e9);
        (0..20).for_each(|_| path.round(0));
        path.delay = Duration::from_millis(150);
        (0..200).for_each(|_| path.round(0));
        assert_eq!(path.window.limit(), MAX);
    }

    #[test]
    fn a_few_losses_change_nothing_and_many_shrink_it_until_it_recovers() {
        let mut path = Path::new(100, 1e9);
        (0..10).for_each(|_| path.round(1));
        assert_eq!(path.window.limit(), MAX);
        (0..3).for_each(|_| path.round(100));
        assert!(path.window.limit() < MAX / 2, "{}", path.window.limit());
        (0..1000).for_each(|_| path.round(1000));
        assert_eq!(path.window.limit(), MIN);
        (0..100).for_each(|_| path.round(0));
        assert_eq!(path.window.limit(), MAX);
    }
}
