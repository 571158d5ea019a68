//! The pulse: while bulk flows, the loop looks at its inputs every few milliseconds and not at each message.
//!
//! At the service's pace a message passes each millisecond either way, and to wake up for each costs several times what
//! the message itself costs. What little flows between bursts (a key and its echo, a login) is never kept waiting.
//! Times and byte counts only.

use std::time::{Duration, Instant};

/// From one look to the next while bulk flows. A byte waits half of it on average.
const BEAT: Duration = Duration::from_millis(4);
/// Bytes in a short time, from which on it is called bulk: above a login's key exchange and a full screen.
const BULK: f64 = 24_000.0;
/// Where the count of bytes ends: bulk is over this much later than its last byte.
const CEILING: f64 = 32_000.0;
/// Bytes a second that count for nothing.
const DRAIN: f64 = 128_000.0;

#[derive(Debug)]
pub(super) struct Pulse {
    /// Bytes counted, less what has drained since.
    level: f64,
    counted: Instant,
    beat: Instant,
}

impl Pulse {
    pub(super) fn new(now: Instant) -> Self {
        Self { level: 0.0, counted: now, beat: now }
    }

    /// This many bytes were moved.
    pub(super) fn moved(&mut self, now: Instant, bytes: usize) {
        self.drain(now);
        self.level = (self.level + bytes as f64).min(CEILING);
    }

    fn drain(&mut self, now: Instant) {
        let drained = now.saturating_duration_since(self.counted).as_secs_f64() * DRAIN;
        self.level = (self.level - drained).max(0.0);
        self.counted = now;
    }

    /// Whether bulk flows.
    pub(super) fn is_bulk(&self) -> bool {
        self.level >= BULK
    }

    /// Nothing is left to do at `now`: how long to rest until the next beat.
    pub(super) fn rest(&mut self, now: Instant) -> Duration {
        self.drain(now);
        (self.beat + BEAT).saturating_duration_since(now)
    }

    /// A look at the inputs begins.
    pub(super) fn beat(&mut self, now: Instant) {
        self.beat = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bulk_beats_and_a_login_does_not() {
        let start = Instant::now();
        let mut pulse = Pulse::new(start);
        pulse.moved(start, BULK as usize - 1);
        assert!(!pulse.is_bulk(), "a login");
        pulse.moved(start, 1);
        assert!(pulse.is_bulk());
        assert_eq!(pulse.rest(start), BEAT);
        pulse.beat(start + BEAT);
        assert_eq!(pulse.rest(start + BEAT * 3 / 2), BEAT / 2, "counted from the beat");
        assert_eq!(pulse.rest(start + BEAT * 3), Duration::ZERO);
    }

    #[test]
    fn bulk_is_over_soon_after_its_last_byte_even_if_nothing_else_comes() {
        let start = Instant::now();
        let mut pulse = Pulse::new(start);
        (0..100).for_each(|_| pulse.moved(start, CEILING as usize));
        pulse.rest(start + Duration::from_millis(70));
        assert!(!pulse.is_bulk());
    }
}
