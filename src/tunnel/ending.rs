//! How a session ends from this side: who wants it, how urgently, and when to stop waiting.
//!
//! Times and decisions only. The order is always the same: the bytes that were read, their acknowledgement, the far
//! side's answer if anybody reads it, the terminate flag, its acknowledgement; what cannot be had in time is made up for
//! by TerminateSession. Bytes that are not acknowledged are waited for as long as there is a socket: an agent whose peer
//! reads slowly acknowledges nothing for as long as that takes, and loses nothing either.

use std::time::{Duration, Instant};

use super::limits;

/// An end that is under way.
#[derive(Debug)]
pub(super) struct Ending {
    /// Nobody reads stdout any more, or we were told to go: seconds count, output does not.
    urgent_since: Option<Instant>,
    /// The far side's silence after which nothing more is expected of it.
    silence: Duration,
    /// The last time that anything was acknowledged or received, or the end began.
    progress: Instant,
    /// What had been acknowledged and received at that time.
    moved: Moved,
    /// Since when the terminate flag is all that is missing.
    flag_since: Option<Instant>,
    /// TerminateSession has been asked for beside it.
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

/// How the session looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sight {
    pub stdin_ended: bool,
    /// Whether all that was read from stdin was acknowledged.
    pub delivered: bool,
    /// Whether stdout still has something to take.
    pub writing: bool,
    pub moved: Moved,
    pub round_trip: Option<Duration>,
}

/// What an ending wants.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Want {
    /// To wait until something happens.
    Wait,
    /// To wait, at most until then.
    WaitUntil(Instant),
    /// The terminate flag to be sent, and to be asked again.
    Flag,
    /// TerminateSession to be called while the flag's acknowledgement may still come, and to be asked again.
    Api,
    /// To leave: the session is ended on the service.
    Leave,
    /// To leave, and TerminateSession has to end the session.
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

    /// What to do at `now`, with the session as it looks.
    pub(super) fn want(&mut self, now: Instant, sight: &Sight) -> Want {
        if std::mem::replace(&mut self.moved, sight.moved) != sight.moved {
            self.progress = now;
        }
        let until = match (self.urgent_since, self.flag_since) {
            // What has come is not all read, so the rest may be waiting behind it.
            (None, _) if sight.writing => {
                self.interrupted(now);
                return Want::Wait;
            }
            (None, None) if !sight.delivered => return Want::Wait,
            (None, None) => self.progress + self.silence,
            (Some(since), None) if sight.stdin_ended => since,
            (Some(since), None) => since + limits::LAST_WORDS,
            (urgent_since, Some(_)) => return self.want_after_flag(now, urgent_since, sight),
        };
        if now < until {
            return Want::WaitUntil(until);
        }
        self.flag_since = Some(now);
        Want::Flag
    }

    fn want_after_flag(&mut self, now: Instant, urgent_since: Option<Instant>, sight: &Sight) -> Want {
        // Bytes that were sent ahead of it and are missing too say nothing of the flag.
        let flag_since = match self.flag_since {
            Some(since) if sight.delivered => since,
            _ => *self.flag_since.insert(now),
        };
        let (until, then) = match (self.flag_acknowledged, urgent_since) {
            (Some(_), Some(_)) => return Want::Leave,
            (Some(since), None) => (since + limits::LAST_OUTPUT, Want::Leave),
            (None, Some(since)) => (since + limits::LAST_WORDS + limits::FAREWELL, Want::LeaveByApi),
            (None, None) => (flag_since + limits::FAREWELL, Want::LeaveByApi),
        };
        if until <= now {
            return then;
        }
        if self.asked || self.flag_acknowledged.is_some() {
            return Want::WaitUntil(until);
        }
        let api = flag_since + limits::flag(sight.round_trip);
        if api <= now && sight.delivered {
            self.asked = true;
            return Want::Api;
        }
        Want::WaitUntil(until.min(api))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(1);
    const SECOND: Duration = Duration::from_secs(1);
    const SILENCE: Duration = Duration::from_secs(5);

    /// All was delivered, and nothing moves.
    const QUIET: Sight = Sight {
        stdin_ended: true,
        delivered: true,
        writing: false,
        moved: Moved { acknowledged: 0, received: 0 },
        round_trip: None,
    };
    const UNDELIVERED: Sight = Sight { delivered: false, ..QUIET };

    fn moved(acknowledged: u64, received: u64) -> Sight {
        Sight { moved: Moved { acknowledged, received }, ..QUIET }
    }

    #[test]
    fn what_was_read_is_waited_for_as_long_as_there_is_a_socket() {
        let start = Instant::now();
        let mut ending = Ending::of_stdin(start, SILENCE);
        for hours in 0..48 {
            assert_eq!(ending.want(start + 3600 * hours * SECOND, &UNDELIVERED), Want::Wait, "after {hours} hours");
        }
    }

    #[test]
    fn an_answer_is_waited_for_until_the_far_side_has_been_silent() {
        let start = Instant::now();
        let mut ending = Ending::of_stdin(start, SILENCE);
        assert_eq!(ending.want(start, &QUIET), Want::WaitUntil(start + SILENCE));
        for (seconds, sight) in [(4, moved(1, 0)), (8, moved(1, 100)), (12, moved(1, 200))] {
            let now = start + seconds * SECOND;
            assert_eq!(ending.want(now, &sight), Want::WaitUntil(now + SILENCE));
        }
        assert_eq!(ending.want(start + 17 * SECOND - STEP, &moved(1, 200)), Want::WaitUntil(start + 17 * SECOND));
        assert_eq!(ending.want(start + 17 * SECOND, &moved(1, 200)), Want::Flag);
    }

    #[test]
    fn a_slow_reader_of_stdout_and_a_lost_connection_are_no_silence() {
        let start = Instant::now();
        let mut ending = Ending::of_stdin(start, SILENCE);
        let later = start + 3600 * SECOND;
        assert_eq!(ending.want(later, &Sight { writing: true, ..QUIET }), Want::Wait);
        assert_eq!(ending.want(later, &QUIET), Want::WaitUntil(later + SILENCE));
        let later = later + 3600 * SECOND;
        ending.interrupted(later);
        assert_eq!(ending.want(later, &QUIET), Want::WaitUntil(later + SILENCE));
        assert_eq!(ending.want(later + SILENCE, &QUIET), Want::Flag);
        // What the agent says after the flag waits behind what is not read.
        let later = later + 3600 * SECOND;
        assert_eq!(ending.want(later, &Sight { writing: true, ..QUIET }), Want::Wait);
        assert_eq!(ending.want(later, &QUIET), Want::WaitUntil(later + limits::flag(None)));
    }

    #[test]
    fn a_flag_that_alone_is_not_acknowledged_is_made_up_for_after_three_round_trips() {
        let start = Instant::now();
        for (round_trip, limit) in [(1, 250), (100, 300), (200, 600)] {
            let sight = Sight { round_trip: Some(Duration::from_millis(round_trip)), ..QUIET };
            let limit = Duration::from_millis(limit);
            let stdin = (Ending::of_stdin(start, Duration::ZERO), start + limits::FAREWELL);
            let signal = (Ending::urgent(start), start + limits::LAST_WORDS + limits::FAREWELL);
            for (mut ending, last) in [stdin, signal] {
                assert_eq!(ending.want(start, &sight), Want::Flag);
                assert_eq!(ending.want(start + limit - STEP, &sight), Want::WaitUntil(start + limit));
                assert_eq!(ending.want(start + limit, &sight), Want::Api);
                // Its acknowledgement may still be faster than the API.
                assert_eq!(ending.want(start + limit, &sight), Want::WaitUntil(last));
                assert_eq!(ending.want(last, &sight), Want::LeaveByApi);
            }
            // What was sent ahead of it and is missing too is no reason: the agent may have a slow peer.
            let mut ending = Ending::urgent(start);
            ending.want(start, &sight);
            let delivered = start + limit + STEP;
            assert!(matches!(ending.want(delivered, &Sight { delivered: false, ..sight }), Want::WaitUntil(_)));
            assert_eq!(ending.want(delivered, &sight), Want::WaitUntil(delivered + limit));
        }
    }

    #[test]
    fn without_a_measured_round_trip_the_flag_has_all_the_time_that_there_is() {
        let start = Instant::now();
        let mut ending = Ending::urgent(start);
        assert_eq!(ending.want(start, &QUIET), Want::Flag);
        assert_eq!(ending.want(start, &QUIET), Want::WaitUntil(start + limits::FAREWELL));
    }

    #[test]
    fn an_acknowledged_flag_leaves_time_for_the_last_output_unless_it_is_urgent() {
        let start = Instant::now();
        let mut ending = Ending::of_stdin(start, Duration::ZERO);
        assert_eq!(ending.want(start, &QUIET), Want::Flag);
        ending.flag_acknowledged(start);
        assert_eq!(ending.want(start, &QUIET), Want::WaitUntil(start + limits::LAST_OUTPUT));
        assert_eq!(ending.want(start + limits::LAST_OUTPUT, &QUIET), Want::Leave);
        ending.hurry(start);
        assert_eq!(ending.want(start, &QUIET), Want::Leave);
    }

    #[test]
    fn a_signal_leaves_a_moment_for_last_words_and_is_over_within_three_seconds() {
        let start = Instant::now();
        let open = Sight { stdin_ended: false, ..UNDELIVERED };
        let words = start + limits::LAST_WORDS;
        let mut ending = Ending::urgent(start);
        assert_eq!(ending.want(start, &open), Want::WaitUntil(words));
        assert_eq!(ending.want(start, &UNDELIVERED), Want::Flag, "nothing more can come");
        let mut ending = Ending::urgent(start);
        assert_eq!(ending.want(words, &open), Want::Flag);
        let Want::WaitUntil(until) = ending.want(words, &open) else { panic!("does not wait") };
        assert_eq!(ending.want(until, &open), Want::LeaveByApi);
        assert!(until + limits::TERMINATE + limits::GOODBYE - start < Duration::from_secs(3));
    }
}
