//! The race of attempts to connect: beside one that hangs another begins, and the first that succeeds wins.
//!
//! Times in, decisions out: whoever drives it has the clock and the sockets. An attempt tries each address of its name
//! by itself, as RFC 8305 says, so one that fails has nothing left to try at once; only what hangs needs company.

use std::time::{Duration, Instant};

use crate::error::DialError;

/// How long the latest attempt may hang before another begins beside it. TCP doubles its patience with each lost SYN;
/// when a network comes back after some seconds, a fresh attempt finds out sooner.
const NEXT_AFTER: Duration = Duration::from_secs(1);
/// Attempts in all, so that no limit, or none at all, makes a connection a second for ever. One each second lasts beyond
/// the longest limit that a dial has by default, 15 s; after that the SYNs that TCP repeats for each of these come close
/// enough to one another.
const MAX_ATTEMPTS: usize = 16;

/// A race for one connection.
#[derive(Debug)]
pub(super) struct Race {
    deadline: Instant,
    /// When the next attempt begins.
    next: Instant,
    started: usize,
    ended: usize,
    /// The error that says most of those so far.
    error: Option<DialError>,
}

impl Race {
    /// A race that takes `limit` from `now` on.
    pub(super) fn new(now: Instant, limit: Duration) -> Self {
        Self { deadline: now + limit, next: now, started: 0, ended: 0, error: None }
    }

    /// The attempt that is to begin now, if one is: its number, from 0.
    pub(super) fn start(&mut self, now: Instant) -> Option<usize> {
        if self.next > now || self.started == MAX_ATTEMPTS {
            return None;
        }
        let attempt = self.started;
        self.started += 1;
        self.next = now + NEXT_AFTER;
        Some(attempt)
    }

    /// When to look again if no attempt ends before.
    pub(super) fn wake(&self) -> Instant {
        if self.started == MAX_ATTEMPTS { self.deadline } else { self.next.min(self.deadline) }
    }

    /// An attempt has ended with this error. The others go on.
    pub(super) fn failed(&mut self, error: DialError) {
        self.ended += 1;
        // An answer says more than silence, whenever it came. Of two alike the later one tells how things are now.
        if error.is_answer() || !self.error.as_ref().is_some_and(DialError::is_answer) {
            self.error = Some(error);
        }
    }

    /// Whether it is lost: no attempt is left, or no time.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.deadline <= now || self.is_exhausted()
    }

    fn is_exhausted(&self) -> bool {
        self.started > 0 && self.started == self.ended
    }

    /// Why it is lost; nothing if the time is over, and nobody has answered.
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
    use crate::error::Failure;

    const SECOND: Duration = Duration::from_secs(1);

    fn error(failure: Failure) -> DialError {
        let address = Address { host: "ssm.example".to_owned(), port: 443, encrypted: true };
        DialError::new(&address, failure)
    }

    fn refused() -> DialError {
        error(Failure::Failed("Connection refused (os error 111)".to_owned()))
    }

    fn untrusted() -> DialError {
        error(Failure::Untrusted("UnknownIssuer".to_owned()))
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
        assert_eq!(lost(&[untrusted(), error(Failure::NoTls)]), Some(error(Failure::NoTls)));
    }
}
