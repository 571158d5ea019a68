//! The pace: how many messages a second go out on one socket.
//!
//! The service tolerates about 1000 messages a second on a socket, acknowledgements included, and first pauses, then
//! disconnects a client that sends more (seen by several independent clients, no official text).

use std::time::{Duration, Instant};

/// Messages a second, of every kind. A tenth below the service's limit, since the network bunches what we space.
const RATE: u32 = 900;
/// Messages that may go at once after a rest. With [`RATE`] it bounds any one second to 932.
const BURST: u32 = 32;

/// A token bucket, kept as the time at which it would be full again: no state to refill, no rounding to drift.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    interval: Duration,
    depth: Duration,
    full_at: Option<Instant>,
}

impl Pace {
    /// The service's pace.
    pub(super) fn of_the_service() -> Self {
        let interval = Duration::from_secs(1) / RATE;
        Self { interval, depth: interval * (BURST - 1), full_at: None }
    }

    /// No limit, for gateways that have none.
    pub(super) fn unlimited() -> Self {
        Self { interval: Duration::ZERO, depth: Duration::ZERO, full_at: None }
    }

    /// When the next message may go: at or before `now` if it may go now.
    pub(super) fn next(&self, now: Instant) -> Instant {
        self.full_at.and_then(|full_at| full_at.checked_sub(self.depth)).unwrap_or(now)
    }

    /// How many messages may go at `now`, one after the other.
    pub(super) fn allowance(&self, now: Instant) -> u32 {
        let missing = self.full_at.map_or(Duration::ZERO, |full_at| full_at.saturating_duration_since(now));
        let Some(left) = self.depth.checked_sub(missing) else { return 0 };
        let intervals = left.as_nanos().checked_div(self.interval.as_nanos()).unwrap_or(u128::MAX);
        u32::try_from(intervals).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// A message goes at `now`.
    pub(super) fn spend(&mut self, now: Instant) {
        self.full_at = Some(self.full_at.map_or(now, |full_at| full_at.max(now)) + self.interval);
    }

    /// Whether there is a limit at all.
    pub(super) fn is_limited(&self) -> bool {
        !self.interval.is_zero()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends as fast as the pace allows for `seconds`, and returns the time of each message.
    fn run(pace: &mut Pace, start: Instant, seconds: u64) -> Vec<Instant> {
        let mut sent = Vec::new();
        let mut now = start;
        while now < start + Duration::from_secs(seconds) {
            now = now.max(pace.next(now));
            pace.spend(now);
            sent.push(now);
        }
        sent
    }

    #[test]
    fn the_rate_is_used_to_the_full_and_no_second_reaches_the_services_limit() {
        let sent = run(&mut Pace::of_the_service(), Instant::now(), 10);
        assert!(sent.len() >= 9000 && sent.len() <= 9000 + BURST as usize + 1, "{}", sent.len());
        for (index, start) in sent.iter().enumerate() {
            let in_second = sent[index..].iter().take_while(|at| **at < *start + Duration::from_secs(1)).count();
            assert!(in_second < 1000, "{in_second}");
        }
    }

    #[test]
    fn a_rest_earns_a_burst_and_no_more() {
        let mut pace = Pace::of_the_service();
        let start = Instant::now();
        run(&mut pace, start, 1);
        let later = start + Duration::from_secs(60);
        let burst = std::iter::repeat_n(later, 100).take_while(|at| {
            let allowed = pace.next(*at) <= *at;
            pace.spend(*at);
            allowed
        });
        assert_eq!(burst.count(), BURST as usize);
    }

    #[test]
    fn the_allowance_is_what_may_go_at_once() {
        let start = Instant::now();
        let mut pace = Pace::of_the_service();
        for later in [Duration::ZERO, pace.interval - Duration::from_nanos(1), pace.interval, pace.interval * 9 / 2] {
            let now = start + later;
            let allowance = pace.allowance(now);
            let gone = std::iter::from_fn(|| (pace.next(now) <= now).then(|| pace.spend(now))).count();
            assert_eq!(allowance as usize, gone);
            assert_eq!(pace.allowance(now), 0);
        }
        assert_eq!(Pace::unlimited().allowance(start), u32::MAX);
    }

    #[test]
    fn without_a_limit_everything_goes_at_once() {
        let mut pace = Pace::unlimited();
        let now = Instant::now();
        (0..10_000).for_each(|_| pace.spend(now));
        assert!(pace.next(now) <= now);
    }
}
