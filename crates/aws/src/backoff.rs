//! Exponential backoff: the pauses between attempts, each twice as long as the one before.
//!
//! This module has times alone: the caller sleeps, and brings the random numbers.

use std::time::Duration;

/// A series of pauses, from the next one on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Backoff {
    next: Duration,
    first: Duration,
    longest: Duration,
}

impl Backoff {
    /// Pauses that double from `first` to `longest`.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { next: first, first, longest }
    }

    /// Pauses that double from `first` to `longest`, behind a first one of no length.
    pub const fn at_once(first: Duration, longest: Duration) -> Self {
        Self { next: Duration::ZERO, first, longest }
    }

    /// The next pause: its whole length for a `chance` of 1, half of it for a chance of 0. A random `chance` keeps
    /// clients that failed at the same time from coming back at the same time.
    pub fn pause(&mut self, chance: f64) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).clamp(self.first, self.longest);
        pause.mul_f64(0.5 + chance / 2.0)
    }

    /// Cuts the next pause to `limit` at most. Those after it double from there.
    pub fn shorten(&mut self, limit: Duration) {
        self.next = self.next.min(limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_the_longest() {
        let seconds = Duration::from_secs;
        let mut backoff = Backoff::new(seconds(1), seconds(5));
        assert_eq!([(); 5].map(|()| backoff.pause(1.0)), [1, 2, 4, 5, 5].map(seconds));
        assert_eq!(backoff.pause(0.0), Duration::from_millis(2500));
        backoff.shorten(seconds(2));
        assert_eq!([(); 2].map(|()| backoff.pause(1.0)), [2, 4].map(seconds));
        let mut backoff = Backoff::at_once(seconds(1), seconds(5));
        assert_eq!([(); 3].map(|()| backoff.pause(1.0)), [0, 1, 2].map(seconds));
    }
}
