//! The ending of a session from this side: how urgent it is, what to do next, and when to stop waiting.
//!
//! Times and decisions only. The order is always the same: the bytes that were read, their acknowledgement, the far
//! side's answer if anybody reads it, the terminate flag, its acknowledgement. If that takes too long, TerminateSession
//! ends the session. Bytes that are not acknowledged are waited for as long as there is a socket: an agent whose peer
//! reads slowly acknowledges nothing for as long as that takes, and loses nothing either.

use std::time::{Duration, Instant};

use super::limits;

/// An end that is under way.
#[derive(Debug)]
pub(super) struct Ending {
    /// Since when seconds count and output does not: a signal came, or nobody reads stdout any more.
    urgent_since: Option<Instant>,
    /// The far side's silence after which nothing more is expected of it.
    silence: Duration,
    /// The last time that anything was acknowledged or received, or the end began.
    progress: Instant,
    /// What had been acknowledged and received at that time.
    moved: Moved,
    /// Since when the terminate flag is all that is missing.
    flag_since: Option<Instant>,
    /// Whether TerminateSession has been called meanwhile.
    asked: bool,
    flag_acknowledged: Option<Instant>,
}

/// How much has moved, each way.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Moved {
    /// Messages of ours that were acknowledged.
    pub acknowledged: u64,
    /// Bytes received.
    pub received: u64,
}

/// The session as an ending sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    pub stdin_ended: bool,
    /// Whether all that was read from stdin was acknowledged.
    pub delivered: bool,
    /// Whether stdout still has something to take.
    pub writing: bool,
    pub moved: Moved,
    pub round_trip: Option<Duration>,
}

/// The next step of an ending.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum NextStep {
    /// Wait until something happens.
    Wait,
    /// Wait, at most until then.
    WaitUntil(Instant),
    /// Send the terminate flag, and ask again.
    Flag,
    /// Call TerminateSession while the flag's acknowledgement may still come, and ask again.
    Api,
    /// Leave: the session is ended on the service.
    Leave,
    /// Leave, and end the session by TerminateSession.
    LeaveByApi,
}

impl Ending {
    /// Stdin has ended; `silence` is that of the far side after which nothing more is expected of it.
    pub(super) fn of_stdin(now: Instant, silence: Duration) -> Self {
        Self {
            urgent_since: None,
            silence,
            progress: now,
            moved: Moved::default(),
            flag_since: None,
            asked: false,
            flag_acknowledged: None,
        }
    }

    /// A signal, or stdout without a reader.
    pub(super) fn urgent(now: Instant) -> Self {
        Self { urgent_since: Some(now), ..Self::of_stdin(now, Duration::ZERO) }
    }

    /// It has become urgent, if it was not.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.urgent_since.get_or_insert(now);
    }

    /// Whether seconds count.
    pub(super) fn is_urgent(&self) -> bool {
        self.urgent_since.is_some()
    }

    /// The terminate flag was acknowledged, and everything before it.
    pub(super) fn flag_acknowledged(&mut self, now: Instant) {
        self.flag_acknowledged.get_or_insert(now);
    }

    /// Nothing can come or go at `now`, so that nothing counts as silence.
    pub(super) fn interrupted(&mut self, now: Instant) {
        self.progress = now;
        for since in [&mut self.flag_since, &mut self.flag_acknowledged].into_iter().flatten() {
            *since = now;
        }
    }

    /// What to do at `now`.
    pub(super) fn next_step(&mut self, now: Instant, view: &View) -> NextStep {
        if std::mem::replace(&mut self.moved, view.moved) != view.moved {
            self.progress = now;
        }
        let until = match (self.urgent_since, self.flag_since) {
            // What has come is not all read, so the rest may be waiting behind it.
            (None, _) if view.writing => {
                self.interrupted(now);
                return NextStep::Wait;
            }
            (None, None) if !view.delivered => return NextStep::Wait,
            (None, None) => self.progress + self.silence,
            (Some(since), None) if view.stdin_ended => since,
            (Some(since), None) => since + limits::LAST_WORDS,
            (urgent_since, Some(_)) => return self.next_step_after_flag(now, urgent_since, view),
        };
        if now < until {
            return NextStep::WaitUntil(until);
        }
        self.flag_since = Some(now);
        NextStep::Flag
    }

    fn next_step_after_flag(&mut self, now: Instant, urgent_since: Option<Instant>, view: &View) -> NextStep {
        // Bytes that were sent ahead of it and are missing too say nothing of the flag.
        let flag_since = match self.flag_since {
            Some(since) if view.delivered => since,
            _ => *self.flag_since.insert(now),
        };
        let (until, then) = match (self.flag_acknowledged, urgent_since) {
            (Some(_), Some(_)) => return NextStep::Leave,
            (Some(since), None) => (since + limits::LAST_OUTPUT, NextStep::Leave),
            (None, Some(since)) => (since + limits::LAST_WORDS + limits::FAREWELL, NextStep::LeaveByApi),
            (None, None) => (flag_since + limits::FAREWELL, NextStep::LeaveByApi),
        };
        if until <= now {
            return then;
        }
        if self.asked || self.flag_acknowledged.is_some() {
            return NextStep::WaitUntil(until);
        }
        let api = flag_since + limits::flag(view.round_trip);
        if api <= now && view.delivered {
            self.asked = true;
            return NextStep::Api;
        }
        NextStep::WaitUntil(until.min(api))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(1);
    const SECOND: Duration = Duration::from_secs(1);
    const SILENCE: Duration = Duration::from_secs(5);

    /// All was delivered, and nothing moves.
    const QUIET: View = View {
        stdin_ended: true,
        delivered: true,
        writing: false,
        moved: Moved { acknowledged: 0, received: 0 },
        round_trip: None,
    };
    const UNDELIVERED: View = View { delivered: false, ..QUIET };

    fn moved(acknowledged: u64, received: u64) -> View {
        View { moved: Moved { acknowledged, received }, ..QUIET }
    }

    #[test]
    fn what_was_read_is_waited_for_as_long_as_there_is_a_socket() {
        let start = Instant::now();
        let mut ending = Ending::of_stdin(start, SILENCE);
        for hours in 0..48 {
            assert_eq!(
                ending.next_step(start + 3600 * hours * SECOND, &UNDELIVERED),
                NextStep::Wait,
                "after {hours} hours"
            );
        }
    }

    #[test]
    fn an_answer_is_waited_for_until_the_far_side_has_been_silent() {
        let start = Instant::now();
        let mut ending = Ending::of_stdin(start, SILENCE);
        assert_eq!(ending.next_step(start, &QUIET), NextStep::WaitUntil(start + SILENCE));
        for (seconds, view) in [(4, moved(1, 0)), (8, moved(1, 100)), (12, moved(1, 200))] {
            let now = start + seconds * SECOND;
            assert_eq!(ending.next_step(now, &view), NextStep::WaitUntil(now + SILENCE));
        }
        assert_eq!(
            ending.next_step(start + 17 * SECOND - STEP, &moved(1, 200)),
            NextStep::WaitUntil(start + 17 * SECOND)
        );
        assert_eq!(ending.next_step(start + 17 * SECOND, &moved(1, 200)), NextStep::Flag);
    }

    #[test]
    fn a_slow_reader_of_stdout_and_a_lost_connection_are_no_silence() {
        let start = Instant::now();
        let mut ending = Ending::of_stdin(start, SILENCE);
        let later = start + 3600 * SECOND;
        assert_eq!(ending.next_step(later, &View { writing: true, ..QUIET }), NextStep::Wait);
        assert_eq!(ending.next_step(later, &QUIET), NextStep::WaitUntil(later + SILENCE));
        let later = later + 3600 * SECOND;
        ending.interrupted(later);
        assert_eq!(ending.next_step(later, &QUIET), NextStep::WaitUntil(later + SILENCE));
        assert_eq!(ending.next_step(later + SILENCE, &QUIET), NextStep::Flag);
        // What the agent says after the flag waits behind what is not read.
        let later = later + 3600 * SECOND;
        assert_eq!(ending.next_step(later, &View { writing: true, ..QUIET }), NextStep::Wait);
        assert_eq!(ending.next_step(later, &QUIET), NextStep::WaitUntil(later + limits::flag(None)));
    }

    #[test]
    fn a_flag_that_alone_is_not_acknowledged_is_made_up_for_after_three_round_trips() {
        let start = Instant::now();
        for (round_trip, limit) in [(1, 250), (100, 300), (200, 600)] {
            let view = View { round_trip: Some(Duration::from_millis(round_trip)), ..QUIET };
            let limit = Duration::from_millis(limit);
            let stdin = (Ending::of_stdin(start, Duration::ZERO), start + limits::FAREWELL);
            let signal = (Ending::urgent(start), start + limits::LAST_WORDS + limits::FAREWELL);
            for (mut ending, last) in [stdin, signal] {
                assert_eq!(ending.next_step(start, &view), NextStep::Flag);
                assert_eq!(ending.next_step(start + limit - STEP, &view), NextStep::WaitUntil(start + limit));
                assert_eq!(ending.next_step(start + limit, &view), NextStep::Api);
                // Its acknowledgement may still be faster than the API.
                assert_eq!(ending.next_step(start + limit, &view), NextStep::WaitUntil(last));
                assert_eq!(ending.next_step(last, &view), NextStep::LeaveByApi);
            }
            // What was sent ahead of it and is missing too is no reason: the agent may have a slow peer.
            let mut ending = Ending::urgent(start);
            ending.next_step(start, &view);
            let delivered = start + limit + STEP;
            assert!(matches!(ending.next_step(delivered, &View { delivered: false, ..view }), NextStep::WaitUntil(_)));
            assert_eq!(ending.next_step(delivered, &view), NextStep::WaitUntil(delivered + limit));
        }
    }

    #[test]
    fn without_a_measured_round_trip_the_flag_has_all_the_time_that_there_is() {
        let start = Instant::now();
        let mut ending = Ending::urgent(start);
        assert_eq!(ending.next_step(start, &QUIET), NextStep::Flag);
        assert_eq!(ending.next_step(start, &QUIET), NextStep::WaitUntil(start + limits::FAREWELL));
    }

    #[test]
    fn an_acknowledged_flag_leaves_time_for_the_last_output_unless_it_is_urgent() {
        let start = Instant::now();
        let mut ending = Ending::of_stdin(start, Duration::ZERO);
        assert_eq!(ending.next_step(start, &QUIET), NextStep::Flag);
        ending.flag_acknowledged(start);
        assert_eq!(ending.next_step(start, &QUIET), NextStep::WaitUntil(start + limits::LAST_OUTPUT));
        assert_eq!(ending.next_step(start + limits::LAST_OUTPUT, &QUIET), NextStep::Leave);
        ending.hurry(start);
        assert_eq!(ending.next_step(start, &QUIET), NextStep::Leave);
    }

    #[test]
    fn a_signal_leaves_a_moment_for_last_words_and_is_over_within_three_seconds() {
        let start = Instant::now();
        let open = View { stdin_ended: false, ..UNDELIVERED };
        let words = start + limits::LAST_WORDS;
        let mut ending = Ending::urgent(start);
        assert_eq!(ending.next_step(start, &open), NextStep::WaitUntil(words));
        assert_eq!(ending.next_step(start, &UNDELIVERED), NextStep::Flag, "nothing more can come");
        let mut ending = Ending::urgent(start);
        assert_eq!(ending.next_step(words, &open), NextStep::Flag);
        let NextStep::WaitUntil(until) = ending.next_step(words, &open) else { panic!("does not wait") };
        assert_eq!(ending.next_step(until, &open), NextStep::LeaveByApi);
        assert!(until + crate::terminate::LIMIT + limits::GOODBYE - start < Duration::from_secs(3));
    }
}
