//! The pace: how many messages a second go out on one socket.
//!
//! The service tolerates about 1000 messages a second on a socket, acknowledgements included, and first pauses, then
//! disconnects a client that sends more (seen by two independent clients, no official text). A pause may mean that the
//! limit is lower than that, so it lowers the pace by a factor, and the pace grows back in equal steps: additive
//! increase, multiplicative decrease, as TCP avoids congestion (RFC 5681).

use std::time::{Duration, Instant};

/// Messages a second, of every kind. A tenth below the service's limit, since the network bunches what we space.
const RATE: u32 = 900;
/// Messages that may go at once after a rest at [`RATE`], which bounds any one second to 932; fewer in proportion at a
/// lower rate.
const BURST: u32 = 32;
/// The bucket's depth, in time.
const DEPTH: Duration = Duration::from_nanos(1_000_000_000 / RATE as u64 * (BURST as u64 - 1));
/// A pause divides the rate by this. TCP halves, too: whatever the true limit is, a few pauses lead below it.
const DECREASE: u32 = 2;
/// Messages a second below which no pause leads: enough for keys and the screens that answer them, and so few that
/// they are nobody's overload.
const FLOOR: u32 = 90;
/// Messages a second by which the rate grows each second: from half of [`RATE`] to all of it in 10 s. The service has
/// been seen to look at more than two seconds before it pauses; in these the rate grows by no more than a tenth.
const GROWTH: u32 = 45;

/// A token bucket, kept as the time at which it would be full again: no state to refill, no rounding to drift.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    /// From one message to the next when nothing slows them down; zero without a limit.
    interval: Duration,
    slowed: Option<Slowed>,
    full_at: Option<Instant>,
}

/// A rate that a pause has lowered.
#[derive(Clone, Copy, Debug)]
struct Slowed {
    /// Messages a second...
    rate: u32,
    /// ...at this time, from which on the rate grows.
    since: Instant,
}

impl Slowed {
    /// Messages a second at `now`, or nothing when the rate is the usual one again.
    fn rate(self, now: Instant) -> Option<u32> {
        let grown = u128::from(GROWTH) * now.saturating_duration_since(self.since).as_millis() / 1000;
        let rate = u128::from(self.rate) + grown;
        u32::try_from(rate).ok().filter(|rate| *rate < RATE)
    }
}

impl Pace {
    /// The service's pace.
    pub(super) fn of_the_service() -> Self {
        Self { interval: Duration::from_secs(1) / RATE, slowed: None, full_at: None }
    }

    /// No limit, for gateways that have none. One that pauses all the same has a limit, and gets the service's pace
    /// until that has grown back.
    pub(super) fn unlimited() -> Self {
        Self { interval: Duration::ZERO, slowed: None, full_at: None }
    }

    /// From one message to the next at `now`.
    fn interval(&self, now: Instant) -> Duration {
        match self.slowed.and_then(|slowed| slowed.rate(now)) {
            Some(rate) => Duration::from_secs(1) / rate,
            None => self.interval,
        }
    }

    /// When the next message may go: at or before `now` if it may go now.
    pub(super) fn next(&self, now: Instant) -> Instant {
        self.full_at.and_then(|full_at| full_at.checked_sub(DEPTH)).unwrap_or(now)
    }

    /// How many messages may go at `now`, one after the other.
    pub(super) fn allowance(&self, now: Instant) -> u32 {
        let missing = self.full_at.map_or(Duration::ZERO, |full_at| full_at.saturating_duration_since(now));
        let Some(left) = DEPTH.checked_sub(missing) else { return 0 };
        let intervals = left.as_nanos().checked_div(self.interval(now).as_nanos()).unwrap_or(u128::MAX);
        u32::try_from(intervals).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// A message goes at `now`.
    pub(super) fn spend(&mut self, now: Instant) {
        self.full_at = Some(self.full_at.map_or(now, |full_at| full_at.max(now)) + self.interval(now));
    }

    /// The service pauses: from `now` on everything goes at a part of the rate.
    pub(super) fn slow_down(&mut self, now: Instant) {
        let rate = self.slowed.and_then(|slowed| slowed.rate(now)).unwrap_or(RATE);
        self.slowed = Some(Slowed { rate: (rate / DECREASE).max(FLOOR), since: now });
    }

    /// The pause is over: from `now` on the rate grows. The time in which nothing went earns no burst.
    pub(super) fn go_on(&mut self, now: Instant) {
        if let Some(slowed) = &mut self.slowed {
            slowed.since = now;
        }
        self.full_at = self.full_at.max(Some(now + DEPTH));
    }

    /// Whether there is a limit at `now`.
    pub(super) fn is_limited(&self, now: Instant) -> bool {
        !self.interval(now).is_zero()
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

    /// A pause of no length.
    fn pause(pace: &mut Pace, now: Instant) {
        pace.slow_down(now);
        pace.go_on(now);
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
        let mut paces = [Pace::of_the_service(), Pace::of_the_service(), Pace::unlimited()];
        paces[1..].iter_mut().for_each(|pace| pause(pace, start));
        for pace in &mut paces {
            let interval = pace.interval(start);
            for later in [Duration::ZERO, interval - Duration::from_nanos(1), interval, interval * 9 / 2, interval * 50]
            {
                let now = start + later;
                let allowance = pace.allowance(now);
                let gone = std::iter::from_fn(|| (pace.next(now) <= now).then(|| pace.spend(now))).count();
                assert_eq!(allowance as usize, gone);
                assert_eq!(pace.allowance(now), 0);
            }
        }
        assert_eq!(Pace::unlimited().allowance(start), u32::MAX);
    }

    #[test]
    fn without_a_limit_everything_goes_at_once() {
        let mut pace = Pace::unlimited();
        let now = Instant::now();
        (0..10_000).for_each(|_| pace.spend(now));
        assert!(pace.next(now) <= now);
        assert!(!pace.is_limited(now));
    }

    #[test]
    fn after_a_pause_half_the_rate_comes_back_at_once_and_the_rest_in_10_s() {
        for mut pace in [Pace::of_the_service(), Pace::unlimited()] {
            let start = Instant::now();
            pace.slow_down(start);
            let end = start + Duration::from_secs(20);
            pace.go_on(end);
            let seconds: Vec<usize> =
                (0..10).map(|second| run(&mut pace, end + Duration::from_secs(second), 1).len()).collect();
            let expected = |second: usize| (450 + 45 * second)..=(450 + 45 * (second + 1) + 1);
            assert!(seconds.iter().enumerate().all(|(at, sent)| expected(at).contains(sent)), "{seconds:?}");
            let later = end + Duration::from_secs(10);
            assert_eq!(pace.interval(later), pace.interval);
        }
    }

    #[test]
    fn a_pause_earns_no_burst() {
        let mut pace = Pace::of_the_service();
        let now = Instant::now();
        pause(&mut pace, now);
        assert_eq!(pace.allowance(now), 1);
        pace.spend(now);
        assert_eq!(pace.next(now), now + Duration::from_secs(1) / (RATE / DECREASE));
    }

    #[test]
    fn pauses_in_a_row_lead_to_the_floor_and_no_lower() {
        let mut pace = Pace::of_the_service();
        let now = Instant::now();
        let rates: Vec<u128> = (0..6)
            .map(|_| {
                pause(&mut pace, now);
                Duration::from_secs(1).as_nanos() / pace.interval(now).as_nanos()
            })
            .collect();
        assert_eq!(rates, [450, 225, 112, 90, 90, 90]);
    }
}
