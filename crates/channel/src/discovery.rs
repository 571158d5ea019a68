//! Payload discovery: whether the service takes larger messages than those that are certain.
//!
//! The service limits messages a second, so an upload gains by half if 1536 bytes go in each in place of 1024. The idea
//! is path-MTU discovery's (RFC 8899): under sustained bulk one larger message is sent, and nothing after it before it
//! is acknowledged; if the service takes it without a word, more follow. A pause, a close or a burst of losses soon
//! after means to stay with what is certain for the rest of the session.
//!
//! That the lone message has none behind it is what keeps a refusal from costing the session: a message that the
//! service will never forward could otherwise not be taken back, since its number belongs to the bytes that follow.
//!
//! Sizes, numbers and times only; the messages are elsewhere.

use std::time::{Duration, Instant};

/// Payload bytes in one message that are certain: what AWS's own client and agent use.
pub(super) const CERTAIN: usize = 1024;
/// Payload bytes that work for two other clients in use. 8192 are known to be answered by a pause and a close.
pub(super) const LARGER: usize = 1536;
/// How long an objection is waited for after the first larger message was acknowledged.
const REST: Duration = Duration::from_millis(500);
/// How long an objection is waited for once all messages are larger.
const TRIAL: Duration = Duration::from_secs(10);
/// Larger messages overdue during the trial that mean a burst of losses.
const TRIAL_LOSSES: usize = 32;
/// How long the first larger message must have gone without an acknowledgement for an objection to count as a refusal:
/// more than any round trip with which larger messages are tried.
const REPLY: Duration = Duration::from_secs(1);
/// Refusals in a row after which the message is taken back: a single objection may be due to something else.
const REFUSALS: u32 = 2;
/// The longest round trip with which larger messages are tried: with longer ones the window is the limit, not the count
/// of messages.
const ROUND_TRIP: Duration = Duration::from_millis(250);

/// What the size of the next message depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation {
    /// Whether there has been bulk for a while.
    pub sustained: bool,
    /// The smoothed round trip.
    pub round_trip: Duration,
    /// Bytes that wait to be sent.
    pub available: usize,
}

#[derive(Debug, Default)]
pub(super) struct Discovery {
    stage: Stage,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Stage {
    /// Nothing was tried.
    #[default]
    Untried,
    /// The first larger message is out.
    Asking(Question),
    /// It was acknowledged: is there an objection yet to come?
    Resting { until: Instant },
    /// Everything is larger, on trial.
    Trying { until: Instant, lost: usize },
    /// Larger it is.
    Kept,
    /// Not for this session.
    GivenUp,
}

/// The first larger message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Question {
    sequence: i64,
    /// When it was asked for the first time, or again after a refusal.
    asked: Instant,
    /// Whether there was an objection since.
    objected: bool,
    refusals: u32,
}

impl Question {
    /// Whether the answer is a refusal by now.
    fn is_refused(&self, now: Instant) -> bool {
        self.objected && self.asked + REPLY <= now
    }
}

impl Discovery {
    /// No discovery: for agents and gateways with which there is nothing to gain or more to lose.
    pub(super) fn give_up(&mut self) {
        self.stage = Stage::GivenUp;
    }

    /// Payload bytes in the next message at most. Larger messages are tried in `sustained` bulk on a path whose
    /// `round_trip` is short enough, and with the bytes that it takes to fill one.
    pub(super) fn size(&self, now: Instant, bulk: Situation) -> usize {
        let Situation { sustained, round_trip, available } = bulk;
        match self.stage {
            Stage::Untried if sustained && available >= LARGER && round_trip <= ROUND_TRIP => LARGER,
            Stage::Resting { until } if until <= now && available >= LARGER => LARGER,
            Stage::Trying { .. } | Stage::Kept => LARGER,
            _ => CERTAIN,
        }
    }

    /// Whether nothing new may be sent.
    pub(super) fn holds(&self) -> bool {
        matches!(self.stage, Stage::Asking(_))
    }

    /// A new message of `length` payload bytes got the number `sequence`.
    pub(super) fn stored(&mut self, now: Instant, sequence: i64, length: usize) {
        if length <= CERTAIN {
            return;
        }
        match self.stage {
            Stage::Untried => {
                self.stage = Stage::Asking(Question { sequence, asked: now, objected: false, refusals: 0 });
            }
            Stage::Resting { .. } => self.stage = Stage::Trying { until: now + TRIAL, lost: 0 },
            Stage::Trying { until, .. } if until <= now => self.stage = Stage::Kept,
            _ => {}
        }
    }

    /// The message numbered `sequence` goes out.
    pub(super) fn transmitted(&mut self, now: Instant, sequence: i64) {
        if let Stage::Asking(question) = &mut self.stage
            && question.sequence == sequence
            && question.is_refused(now)
        {
            *question = Question { asked: now, objected: false, refusals: question.refusals + 1, ..*question };
        }
    }

    /// The message numbered `sequence` was acknowledged.
    pub(super) fn acknowledged(&mut self, now: Instant, sequence: i64) {
        if let Stage::Asking(question) = self.stage
            && question.sequence == sequence
        {
            let objected = question.objected || question.refusals > 0;
            self.stage = if objected { Stage::GivenUp } else { Stage::Resting { until: now + REST } };
        }
    }

    /// The service has paused or closed: soon after a larger message this is taken for its answer.
    pub(super) fn objected(&mut self) {
        match &mut self.stage {
            Stage::Asking(question) => question.objected = true,
            Stage::Resting { .. } | Stage::Trying { .. } => self.stage = Stage::GivenUp,
            _ => {}
        }
    }

    /// The path broke, which is nobody's answer: what was on trial has to be tried again.
    pub(super) fn path_lost(&mut self) {
        if matches!(self.stage, Stage::Resting { .. } | Stage::Trying { .. }) {
            self.stage = Stage::Untried;
        }
    }

    /// This many larger messages were not acknowledged in time.
    pub(super) fn lost(&mut self, messages: usize) {
        if let Stage::Trying { lost, .. } = &mut self.stage {
            *lost += messages;
            if *lost > TRIAL_LOSSES {
                self.stage = Stage::GivenUp;
            }
        }
    }

    /// Until when the message numbered `sequence` is not to be sent again: the service objected to it, and may have
    /// forwarded it all the same.
    pub(super) fn rests_until(&self, now: Instant, sequence: i64) -> Option<Instant> {
        match self.stage {
            Stage::Asking(question) if question.sequence == sequence && question.objected => {
                Some(question.asked + REPLY).filter(|until| now < *until)
            }
            _ => None,
        }
    }

    /// The number of the first larger message if the service refuses it: it is to be taken back and cut anew. Said
    /// once. Were it only late, the target's sshd would see bytes twice and end the connection by their checksum; with
    /// a message that is never taken the connection would end for certain.
    pub(super) fn take_refused(&mut self, now: Instant) -> Option<i64> {
        match self.stage {
            Stage::Asking(question) if question.is_refused(now) && question.refusals + 1 >= REFUSALS => {
                self.stage = Stage::GivenUp;
                Some(question.sequence)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Situation = Situation { sustained: false, round_trip: Duration::ZERO, available: LARGER };
    const BULK: Situation = Situation { sustained: true, ..IDLE };

    /// A discovery whose first larger message, number 7, is out.
    fn asking(now: Instant) -> Discovery {
        let mut discovery = Discovery::default();
        assert_eq!(discovery.size(now, IDLE), CERTAIN);
        let short = Situation { available: LARGER - 1, ..BULK };
        assert_eq!(discovery.size(now, short), CERTAIN, "a question has to be asked in full");
        let long = Situation { round_trip: ROUND_TRIP * 2, ..BULK };
        assert_eq!(discovery.size(now, long), CERTAIN, "nothing to gain");
        assert_eq!(discovery.size(now, BULK), LARGER);
        discovery.stored(now, 7, LARGER);
        discovery.transmitted(now, 7);
        assert!(discovery.holds());
        discovery
    }

    fn trying(now: Instant) -> (Discovery, Instant) {
        let mut discovery = asking(now);
        discovery.acknowledged(now, 7);
        assert!(!discovery.holds());
        assert_eq!(discovery.size(now, BULK), CERTAIN, "the service may still object");
        let later = now + REST;
        assert_eq!(discovery.size(later, BULK), LARGER);
        discovery.stored(later, 8, LARGER);
        (discovery, later)
    }

    #[test]
    fn what_is_taken_without_a_word_is_kept() {
        let (mut discovery, now) = trying(Instant::now());
        discovery.stored(now + TRIAL, 9, LARGER);
        discovery.objected();
        discovery.path_lost();
        assert_eq!(discovery.size(now + TRIAL, IDLE), LARGER, "an objection long after is about something else");
    }

    #[test]
    fn an_objection_ends_it_at_every_stage() {
        let now = Instant::now();
        let mut after_acknowledgement = asking(now);
        after_acknowledgement.acknowledged(now, 7);
        after_acknowledgement.objected();
        let mut before_acknowledgement = asking(now);
        before_acknowledgement.objected();
        before_acknowledgement.acknowledged(now, 7);
        let (mut on_trial, _) = trying(now);
        on_trial.objected();
        for discovery in [after_acknowledgement, before_acknowledgement, on_trial] {
            assert_eq!(discovery.size(now + Duration::from_secs(3600), BULK), CERTAIN);
        }
    }

    #[test]
    fn refused_takes_two_objections_each_with_no_answer_for_long() {
        let now = Instant::now();
        let mut discovery = asking(now);
        discovery.objected();
        assert_eq!(discovery.rests_until(now, 6), None);
        assert_eq!(discovery.rests_until(now, 7), Some(now + REPLY));
        discovery.transmitted(now, 7);
        assert_eq!(discovery.take_refused(now), None, "its acknowledgement may be on its way");
        discovery.transmitted(now + REPLY, 6);
        assert_eq!(discovery.take_refused(now + REPLY), None, "the first refusal");
        assert_eq!(discovery.rests_until(now + REPLY, 7), None);
        discovery.transmitted(now + REPLY, 7);
        assert_eq!(discovery.take_refused(now + REPLY * 2), None, "no second objection");
        discovery.objected();
        assert_eq!(discovery.take_refused(now + REPLY * 2), Some(7));
        assert_eq!(discovery.take_refused(now + REPLY * 2), None);
        assert!(!discovery.holds());
    }

    #[test]
    fn many_losses_on_trial_end_it_and_a_broken_path_begins_it_again() {
        let (mut discovery, now) = trying(Instant::now());
        discovery.lost(TRIAL_LOSSES);
        assert_eq!(discovery.size(now, BULK), LARGER);
        discovery.lost(1);
        assert_eq!(discovery.size(now, BULK), CERTAIN);
        let (mut discovery, now) = trying(Instant::now());
        discovery.path_lost();
        assert_eq!(discovery.size(now, IDLE), CERTAIN);
        assert_eq!(discovery.size(now, BULK), LARGER);
    }
}
