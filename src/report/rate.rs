//! How many messages went one way: in all, and in the fullest second.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The window of the fullest second.
const SECOND: Duration = Duration::from_secs(1);

/// Messages and payload bytes of one direction.
#[derive(Debug, Default)]
pub(super) struct Rate {
    pub(super) messages: u64,
    pub(super) payload_bytes: u64,
    /// The most messages within any second.
    pub(super) fullest: usize,
    window: VecDeque<Instant>,
}

impl Rate {
    /// Counts a message.
    pub(super) fn count(&mut self, now: Instant, payload_bytes: usize) {
        self.messages += 1;
        self.payload_bytes += payload_bytes as u64;
        while self.window.front().is_some_and(|first| now.saturating_duration_since(*first) >= SECOND) {
            self.window.pop_front();
        }
        self.window.push_back(now);
        self.fullest = self.fullest.max(self.window.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fullest_second_is_any_second() {
        let start = Instant::now();
        let mut rate = Rate::default();
        for millis in [0, 900, 950, 1000, 1899, 1900, 5000] {
            rate.count(start + Duration::from_millis(millis), 10);
        }
        assert_eq!((rate.messages, rate.payload_bytes, rate.fullest), (7, 70, 4));
    }
}
