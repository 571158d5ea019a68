//! How many messages came within the last second, and for how long it has been too many (protocol §4.4).
//!
//! It knows times only.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Messages per second that the service tolerates on one socket, acknowledgements included (§4.4).
pub const MESSAGES_PER_SECOND: usize = 1_000;
/// How long more than that is tolerated before `pause_publication` (§4.4).
pub const TOLERATED: Duration = Duration::from_secs(2);

const WINDOW: Duration = Duration::from_secs(1);

/// A sliding window of one second.
#[derive(Debug, Default)]
pub struct RateMeter {
    window: VecDeque<Instant>,
    peak: usize,
    over_since: Option<Instant>,
}

impl RateMeter {
    /// Counts one message.
    pub fn count(&mut self, now: Instant) {
        self.slide(now);
        self.window.push_back(now);
        self.peak = self.peak.max(self.window.len());
        if self.window.len() > MESSAGES_PER_SECOND && self.over_since.is_none() {
            self.over_since = Some(now);
        }
    }

    /// The most messages that came within any one second.
    pub fn peak(&self) -> usize {
        self.peak
    }

    /// For how long every last second has held more than [`MESSAGES_PER_SECOND`].
    pub fn too_fast_for(&mut self, now: Instant) -> Duration {
        self.slide(now);
        self.over_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    fn slide(&mut self, now: Instant) {
        while self.window.front().is_some_and(|first| now.saturating_duration_since(*first) >= WINDOW) {
            self.window.pop_front();
        }
        if self.window.len() <= MESSAGES_PER_SECOND {
            self.over_since = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(per_second: u32, seconds: u64) -> (usize, Duration) {
        let start = Instant::now();
        let mut meter = RateMeter::default();
        let step = Duration::from_secs(1) / per_second;
        let mut now = start;
        while now < start + Duration::from_secs(seconds) {
            meter.count(now);
            now += step;
        }
        (meter.peak(), meter.too_fast_for(now))
    }

    #[test]
    fn a_thousand_a_second_is_tolerated_for_ever() {
        assert_eq!(feed(1_000, 5), (1_000, Duration::ZERO));
    }

    #[test]
    fn more_is_noticed_with_its_peak_and_its_duration() {
        let (peak, over) = feed(2_000, 4);
        assert_eq!(peak, 2_000);
        assert!(over > Duration::from_secs(3), "{over:?}");
    }

    #[test]
    fn a_burst_is_forgotten_after_a_second() {
        let start = Instant::now();
        let mut meter = RateMeter::default();
        for _ in 0..3_000 {
            meter.count(start);
        }
        assert_eq!(meter.too_fast_for(start + Duration::from_secs(1)), Duration::ZERO);
        assert_eq!(meter.peak(), 3_000);
    }
}
