//! Batching: while bulk flows, the loop looks at its inputs every few milliseconds and not at each message.
//!
//! At the service's pace a message passes each millisecond either way, and to wake up for each costs several times what
//! the message itself costs. What little flows between bursts (a key and its echo, a login) is never kept waiting.
//! Times and byte counts only.

use std::time::{Duration, Instant};

/// From one look to the next while bulk flows from stdin. ssh fills the pipe once in this time, with two pages: at two pages
/// each 5 ms the pace is kept with the largest messages. A key waits half of this time on average, and behind the bulk too.
const BEAT_UP: Duration = Duration::from_millis(5);
/// The same while bulk flows to stdout alone: a key's echo waits behind the far side's queue anyway.
const BEAT_DOWN: Duration = Duration::from_millis(10);
/// While bulk flows from stdin, less than this is left for the next beat. About half of what a beat brings.
const LEAST_READ: usize = 4096;
/// How many bytes in a short time count as bulk: more than a login's key exchange and a full screen.
const BULK: f64 = 24_000.0;
/// Where the count of bytes ends: bulk is over this much later than its last byte.
const CEILING: f64 = 32_000.0;
/// Bytes a second that count for nothing.
const DRAIN: f64 = 128_000.0;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Direction {
    /// From stdin.
    Up,
    /// To stdout.
    Down,
}

#[derive(Debug)]
pub(super) struct Batching {
    up: Meter,
    down: Meter,
    beat: Instant,
}

impl Batching {
    pub(super) fn new(now: Instant) -> Self {
        Self { up: Meter::new(now), down: Meter::new(now), beat: now }
    }

    /// This many bytes were moved.
    pub(super) fn moved(&mut self, now: Instant, direction: Direction, bytes: usize) {
        match direction {
            Direction::Up => self.up.add(now, bytes),
            Direction::Down => self.down.add(now, bytes),
        }
    }

    /// Whether bulk flows.
    pub(super) fn is_bulk(&self) -> bool {
        self.up.is_bulk() || self.down.is_bulk()
    }

    /// Bytes for which stdin is looked at, at the least.
    pub(super) fn least_read(&self) -> usize {
        if self.up.is_bulk() { LEAST_READ } else { 1 }
    }

    /// Nothing is left to do at `now`: how long to rest until the next beat.
    pub(super) fn rest(&mut self, now: Instant) -> Duration {
        let beat = if self.up.is_bulk() { BEAT_UP } else { BEAT_DOWN };
        self.up.drain(now);
        self.down.drain(now);
        (self.beat + beat).saturating_duration_since(now)
    }

    /// A look at the inputs begins.
    pub(super) fn begin(&mut self, now: Instant) {
        self.beat = now;
    }
}

/// Counts bytes of one way, less what has drained since.
#[derive(Debug)]
struct Meter {
    level: f64,
    counted: Instant,
}

impl Meter {
    fn new(now: Instant) -> Self {
        Self { level: 0.0, counted: now }
    }

    fn add(&mut self, now: Instant, bytes: usize) {
        self.drain(now);
        self.level = (self.level + bytes as f64).min(CEILING);
    }

    fn drain(&mut self, now: Instant) {
        let drained = now.saturating_duration_since(self.counted).as_secs_f64() * DRAIN;
        self.level = (self.level - drained).max(0.0);
        self.counted = now;
    }

    fn is_bulk(&self) -> bool {
        self.level >= BULK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bulk_beats_and_a_login_does_not() {
        for (direction, beat) in [(Direction::Up, BEAT_UP), (Direction::Down, BEAT_DOWN)] {
            let start = Instant::now();
            let mut batching = Batching::new(start);
            batching.moved(start, direction, BULK as usize - 1);
            assert!(!batching.is_bulk(), "a login");
            batching.moved(start, direction, 1);
            assert!(batching.is_bulk());
            assert_eq!(batching.rest(start), beat);
            batching.begin(start + beat);
            batching.moved(start + beat, direction, BULK as usize);
            assert_eq!(batching.rest(start + beat * 3 / 2), beat / 2, "counted from the beat");
            assert_eq!(batching.rest(start + beat * 20), Duration::ZERO);
        }
    }

    #[test]
    fn stdin_is_looked_at_for_a_byte_except_in_bulk_from_it() {
        let start = Instant::now();
        let mut batching = Batching::new(start);
        assert_eq!(batching.least_read(), 1);
        batching.moved(start, Direction::Down, BULK as usize);
        assert_eq!(batching.least_read(), 1);
        batching.moved(start, Direction::Up, BULK as usize);
        assert_eq!(batching.least_read(), LEAST_READ);
    }

    #[test]
    fn both_ways_at_once_beat_as_an_upload() {
        let start = Instant::now();
        let mut batching = Batching::new(start);
        batching.moved(start, Direction::Down, BULK as usize);
        batching.moved(start, Direction::Up, BULK as usize);
        assert_eq!(batching.rest(start), BEAT_UP);
    }

    #[test]
    fn bulk_is_over_soon_after_its_last_byte_even_if_nothing_else_comes() {
        let start = Instant::now();
        let mut batching = Batching::new(start);
        (0..100).for_each(|_| batching.moved(start, Direction::Down, CEILING as usize));
        batching.rest(start + Duration::from_millis(70));
        assert!(!batching.is_bulk());
    }
}
