//! Pauses: the service's `pause_publication` and what ends them.
//!
//! A pause is a reason to hold back and to ask again slowly, never to drop bytes, to end the session or to wait for
//! ever: to clients it has been seen both under overload and when the agent's side was away, and not always was it
//! taken back. It knows times only.

use std::time::{Duration, Instant};

/// First interval between probes with the oldest unacknowledged message; it doubles.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// Longest interval between probes.
const PROBE_INTERVAL_MAX: Duration = Duration::from_secs(4);
/// A pause that lasts this long with data waiting is taken for a broken path. The agent's side resumes its own socket
/// within about 10 s; this leaves it three times that.
const LIMIT: Duration = Duration::from_secs(30);

/// A pause that is on.
#[derive(Debug)]
pub(super) struct Pause {
    since: Instant,
    probe_at: Instant,
    interval: Duration,
}

impl Pause {
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, probe_at: now + PROBE_INTERVAL, interval: PROBE_INTERVAL }
    }

    /// Whether a probe is to go out at `now`; if so, the next one is later.
    pub(super) fn take_probe(&mut self, now: Instant) -> bool {
        let is_time = self.probe_at <= now;
        if is_time {
            self.interval = (self.interval * 2).min(PROBE_INTERVAL_MAX);
            self.probe_at = now + self.interval;
        }
        is_time
    }

    /// When the next probe is to go out.
    pub(super) fn probe_at(&self) -> Instant {
        self.probe_at
    }

    /// When the pause has lasted too long.
    pub(super) fn limit(&self) -> Instant {
        self.since + LIMIT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_come_slower_and_slower_to_a_limit() {
        let start = Instant::now();
        let mut pause = Pause::new(start);
        let mut now = start;
        let intervals = std::iter::from_fn(|| {
            let interval = pause.probe_at() - now;
            now = pause.probe_at();
            assert!(!pause.take_probe(now - Duration::from_millis(1)));
            assert!(pause.take_probe(now));
            Some(interval.as_secs())
        });
        assert_eq!(intervals.take(5).collect::<Vec<_>>(), [1, 2, 4, 4, 4]);
        assert_eq!(pause.limit(), start + LIMIT);
    }
}
