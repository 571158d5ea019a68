//! The race of attempts to connect: when one hangs, another begins beside it, and the first to succeed wins.
//!
//! Times in, decisions out: the caller has the clock and the sockets. Each attempt tries all addresses of the name, as
//! RFC 8305 says. An attempt that has failed is therefore not repeated at once; only one that hangs gets another beside
//! it.

use std::time::{Duration, Instant};

use crate::error::DialError;

/// How long the latest attempt may hang before another begins beside it. TCP waits twice as long after each lost SYN,
/// so a new attempt is the first to notice that a network is back.
const NEXT_AFTER: Duration = Duration::from_secs(1);
/// The most attempts in one race, so that a race without a time limit does not open a connection each second for ever.
/// At one a second they last longer than the longest default limit of a dial, 15 s. From then on TCP repeats the SYNs
/// of all of them, which come often enough.
const MAX_ATTEMPTS: usize = 16;

/// A race for one connection.
#[derive(Debug)]
pub(super) struct Race {
    deadline: Instant,
    /// When the next attempt begins.
    next: Instant,
    started: usize,
    ended: usize,
    /// Of the errors so far the one that tells most.
    error: Option<DialError>,
}

impl Race {
    /// A race that begins at `now` and is over after `limit`.
    pub(super) fn new(now: Instant, limit: Duration) -> Self {
        Self { deadline: now + limit, next: now, started: 0, ended: 0, error: None }
    }

    /// The number, from 0, of the attempt that is to begin now; `None` if none is.
    pub(super) fn start(&mut self, now: Instant) -> Option<usize> {
        if self.next > now || self.started == MAX_ATTEMPTS {
            return None;
        }
        let attempt = self.started;
        self.started += 1;
        self.next = now + NEXT_AFTER;
        Some(attempt)
    }

    /// When to ask again if no attempt ends before.
    pub(super) fn wake(&self) -> Instant {
        if self.started == MAX_ATTEMPTS { self.deadline } else { self.next.min(self.deadline) }
    }

    /// An attempt has ended with this error. The others go on.
    pub(super) fn failed(&mut self, error: DialError) {
        self.ended += 1;
        // An answer tells more than silence, however old it is. Of two answers the later one counts.
        if error.is_answer() || !self.error.as_ref().is_some_and(DialError::is_answer) {
            self.error = Some(error);
        }
    }

    /// Whether the race is lost: no attempt is under way any more, or the time is up.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.deadline <= now || self.is_exhausted()
    }

    fn is_exhausted(&self) -> bool {
        self.started > 0 && self.started == self.ended
    }

    /// Why the race is lost; `None` if the time is up and no host has answered.
    pub(super) fn into_error(self) -> Option<DialError> {
        let is_exhausted = self.is_exhausted();
        self.error.filter(|error| is_exhausted || error.is_answer())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NO_LIMIT;
    use crate::address::Address;
    use crate::error::DialFailure;

    const SECOND: Duration = Duration::from_secs(1);

    fn error(failure: DialFailure) -> DialError {
        let address = Address { host: "ssm.example".to_owned(), port: 443, encrypted: true };
        DialError::new(&address, failure)
    }

    fn refused() -> DialError {
        error(DialFailure::Failed("Connection refused (os error 111)".to_owned()))
    }

    fn untrusted() -> DialError {
        error(DialFailure::Untrusted("UnknownIssuer".to_owned()))
    }

    /// Runs a race whose attempts all hang until `until`; gives the times at which they began.
    fn begun(race: &mut Race, begin: Instant, until: Instant) -> Vec<Duration> {
        let mut now = begin;
        let mut begun = Vec::new();
        while now < until && !race.is_over(now) {
            begun.extend(race.start(now).map(|_| now - begin));
            assert!(race.wake() > now, "it would turn without a pause");
            now = race.wake();
        }
        begun
    }

    #[test]
    fn an_error_counts_only_when_no_attempt_is_left() {
        let begin = Instant::now();
        let mut race = Race::new(begin, 10 * SECOND);
        assert_eq!((race.start(begin), race.start(begin)), (Some(0), None));
        assert_eq!(race.wake(), begin + SECOND);
        assert_eq!(race.start(begin + SECOND), Some(1));
        race.failed(refused());
        assert!(!race.is_over(begin + SECOND), "the first attempt is still under way");
        race.failed(untrusted());
        assert!(race.is_over(begin + SECOND));
        assert_eq!(race.into_error(), Some(untrusted()));
    }

    #[test]
    fn a_single_attempt_that_fails_is_said_at_once() {
        let begin = Instant::now();
        let mut race = Race::new(begin, 10 * SECOND);
        race.start(begin);
        race.failed(refused());
        assert!(race.is_over(begin));
        assert_eq!(race.into_error(), Some(refused()));
    }

    #[test]
    fn one_begins_each_second_and_no_more_than_there_may_be() {
        let begin = Instant::now();
        let mut race = Race::new(begin, 10 * SECOND);
        let seconds = |count| (0..count).map(|second| second * SECOND).collect::<Vec<_>>();
        assert_eq!(begun(&mut race, begin, begin + 60 * SECOND), seconds(10));
        assert!(race.is_over(begin + 10 * SECOND));
        let mut race = Race::new(begin, NO_LIMIT);
        assert_eq!(begun(&mut race, begin, begin + 3600 * SECOND), seconds(16));
    }

    #[test]
    fn a_failure_begins_no_other_before_its_time() {
        let begin = Instant::now();
        let mut race = Race::new(begin, 10 * SECOND);
        race.start(begin);
        race.start(begin + SECOND);
        race.failed(refused());
        assert_eq!(race.start(begin + SECOND), None);
        assert_eq!(race.start(begin + 2 * SECOND), Some(2));
    }

    #[test]
    fn what_somebody_answered_says_more_than_silence() {
        let begin = Instant::now();
        let lost = |errors: &[DialError]| {
            let mut race = Race::new(begin, 10 * SECOND);
            race.start(begin);
            for (attempt, error) in (1..).zip(errors) {
                race.start(begin + attempt * SECOND);
                race.failed(error.clone());
            }
            assert!(race.is_over(begin + 10 * SECOND));
            race.into_error()
        };
        assert_eq!(lost(&[]), None, "timed out");
        assert_eq!(lost(&[refused()]), None, "timed out since");
        assert_eq!(lost(&[untrusted(), refused()]), Some(untrusted()));
        assert_eq!(lost(&[untrusted(), error(DialFailure::NoTls)]), Some(error(DialFailure::NoTls)));
    }
}
