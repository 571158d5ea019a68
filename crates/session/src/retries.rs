//! Retries: attempts to get a connection that keeps breaking, how long to pause before each, and when to stop.
//!
//! A gateway that accepts every connection and drops it at once must not be asked for the next one without a pause, so
//! a connection counts as recovered only once it has lasted. Times only; chance is handed in.

use std::time::{Duration, Instant};

use ssm_aws::Backoff;

/// First pause between attempts, behind one that is made at once; it doubles.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Longest pause between attempts.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Longest pause while nothing is heard from AWS: the network is away, and is to be noticed when it comes back.
const PAUSE_UNHEARD: Duration = Duration::from_millis(400);
/// How long a connection must last for the next loss to be a new one.
const STABLE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Retries {
    budget: Duration,
    /// When the connection was lost that has not recovered since.
    lost: Option<Instant>,
    connected: Option<Instant>,
    backoff: Backoff,
}

impl Retries {
    /// Retries for `budget` from a loss on; zero is for none.
    pub(crate) fn new(budget: Duration) -> Self {
        Self { budget, lost: None, connected: None, backoff: Backoff::at_once(PAUSE_MIN, PAUSE_MAX) }
    }

    /// There is a connection.
    pub(crate) fn connected(&mut self, now: Instant) {
        self.connected = Some(now);
    }

    /// The connection is lost.
    pub(crate) fn lost(&mut self, now: Instant) {
        let was_stable = self.connected.take().is_some_and(|since| now.duration_since(since) >= STABLE);
        if was_stable || self.lost.is_none() {
            self.lost = Some(now);
            self.backoff = Backoff::at_once(PAUSE_MIN, PAUSE_MAX);
        }
    }

    /// An attempt failed without a word from AWS.
    pub(crate) fn unheard(&mut self) {
        self.backoff.shorten(PAUSE_UNHEARD);
    }

    /// When to stop: an attempt that is under way then is given up.
    pub(crate) fn deadline(&self, now: Instant) -> Instant {
        self.lost.unwrap_or(now) + self.budget
    }

    /// How long to pause before the next attempt, or nothing if there is no time for one. The first attempt is made at once.
    /// `chance`, from 0 to 1, spreads the attempts of many sessions that were cut at once.
    pub(crate) fn next_attempt(&mut self, now: Instant, chance: f64) -> Option<Duration> {
        let lost = *self.lost.get_or_insert(now);
        let mut backoff = self.backoff;
        let pause = backoff.pause(chance);
        if now.duration_since(lost) + pause >= self.budget {
            return None;
        }
        self.backoff = backoff;
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Duration = Duration::from_secs(600);

    fn pauses(retries: &mut Retries, now: &mut Instant) -> Vec<u128> {
        let attempt = |retries: &mut Retries, now: &mut Instant| {
            let pause = retries.next_attempt(*now, 1.0)?;
            *now += pause;
            Some(pause.as_millis())
        };
        std::iter::from_fn(|| attempt(retries, now)).collect()
    }

    #[test]
    fn attempts_come_at_once_and_then_slower_until_the_budget_is_spent() {
        let start = Instant::now();
        let mut now = start;
        let mut retries = Retries::new(BUDGET);
        retries.lost(now);
        assert_eq!(retries.deadline(now), start + BUDGET);
        let pauses = pauses(&mut retries, &mut now);
        assert_eq!(pauses[..9], [0, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert!(now - start <= BUDGET && now - start > BUDGET - PAUSE_MAX);
    }

    #[test]
    fn a_network_that_is_away_is_looked_for_often() {
        let mut retries = Retries::new(BUDGET);
        let now = Instant::now();
        retries.lost(now);
        for _ in 0..10 {
            retries.next_attempt(now, 1.0);
            retries.unheard();
        }
        assert_eq!(retries.next_attempt(now, 1.0), Some(PAUSE_UNHEARD));
        assert_eq!(retries.next_attempt(now, 1.0), Some(PAUSE_UNHEARD * 2), "heard");
    }

    #[test]
    fn without_a_budget_there_is_no_attempt() {
        assert_eq!(Retries::new(Duration::ZERO).next_attempt(Instant::now(), 0.0), None);
    }

    #[test]
    fn connections_that_break_at_once_are_no_recovery() {
        let mut now = Instant::now();
        let mut retries = Retries::new(BUDGET);
        let mut attempts = 0;
        loop {
            retries.lost(now);
            let Some(pause) = retries.next_attempt(now, 0.0) else { break };
            attempts += 1;
            now += pause;
            retries.connected(now);
        }
        assert!(attempts < 300, "{attempts}");
    }

    #[test]
    fn a_connection_that_has_lasted_is_lost_anew() {
        let mut now = Instant::now();
        let mut retries = Retries::new(BUDGET);
        retries.lost(now);
        pauses(&mut retries, &mut now);
        retries.connected(now);
        now += STABLE;
        retries.lost(now);
        assert_eq!(retries.next_attempt(now, 1.0), Some(Duration::ZERO));
    }
}
