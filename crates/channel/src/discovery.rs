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
//! The answer is one path's. A new socket may lead to a cell of the service that takes less, so on each new path new
//! messages are of the certain size. Larger ones that are still unacknowledged go out again as they are, since their
//! numbers are spoken for: they cannot be cut anew. The path that takes one of them has answered the question; and if
//! path after path is closed by the service over them, this session can never deliver them, which is said
//! ([`is_refused`](Discovery::is_refused)) in place of trying for ever. A service that only pauses is left to the limit
//! of pauses, since nothing tells its answer from an agent that is away.
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
/// Paths in a row that the service closes over larger messages that it took on an earlier one, until they count as
/// refused for good. Closes have other reasons too; five in a row, each after [`REST`] without one, have this one.
const REFUSED_PATHS: u32 = 5;
/// The longest round trip with which larger messages are tried: with longer ones the window is the limit, not the count
/// of messages.
const ROUND_TRIP: Duration = Duration::from_millis(250);

/// How far it is known whether the service takes messages of more than 1024 payload bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LargerMessages {
    /// Nothing was tried: there was no bulk for long enough.
    Untried,
    /// The first is out, and not acknowledged yet.
    Asked,
    /// It was acknowledged, and there was no objection so far.
    Taken,
    /// The service objected; or nothing is tried here.
    GivenUp,
}

/// The facts on which the size of the next message depends.
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
    /// Paths in a row that were closed over larger messages of an earlier one.
    refused_paths: u32,
    path: Path,
}

/// The present path, as far as larger messages of earlier ones are concerned.
#[derive(Clone, Copy, Debug, Default)]
struct Path {
    /// When something could go out on it for the first time.
    since: Option<Instant>,
    /// It has delivered a larger message.
    takes_larger: bool,
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
    /// What is known so far.
    pub(super) fn answer(&self) -> LargerMessages {
        match self.stage {
            Stage::Untried => LargerMessages::Untried,
            Stage::Asking(_) => LargerMessages::Asked,
            Stage::Resting { .. } | Stage::Trying { .. } | Stage::Kept => LargerMessages::Taken,
            Stage::GivenUp => LargerMessages::GivenUp,
        }
    }

    /// No discovery: for agents and gateways with which there is nothing to gain or more to lose.
    pub(super) fn give_up(&mut self) {
        self.stage = Stage::GivenUp;
    }

    /// Payload bytes in the next message at most. Larger messages are tried in `sustained` bulk on a path whose
    /// `round_trip` is short enough, and with the bytes that it takes to fill one.
    pub(super) fn size(&self, now: Instant, bulk: Situation) -> usize {
        let Situation { sustained, round_trip, available } = bulk;
        match self.stage {
            Stage::Untried if self.refused_paths > 0 => CERTAIN,
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

    /// The message numbered `sequence`, which was sent on this path with `length` payload bytes, was acknowledged.
    pub(super) fn acknowledged(&mut self, now: Instant, sequence: i64, length: usize) {
        if length <= CERTAIN {
            return;
        }
        self.path.takes_larger = true;
        self.refused_paths = 0;
        let rest = Stage::Resting { until: now + REST };
        match self.stage {
            Stage::Asking(question) if question.sequence == sequence => {
                let objected = question.objected || question.refusals > 0;
                self.stage = if objected { Stage::GivenUp } else { rest };
            }
            Stage::Untried => self.stage = rest,
            _ => {}
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

    /// The path is gone, closed by the service or broken, which is nobody's answer; `awaited` says whether larger
    /// messages had gone out on it that were not acknowledged. What was found out was found out about this path.
    pub(super) fn path_lost(&mut self, closed_by_service: bool, awaited: bool) {
        if closed_by_service {
            self.objected();
            let is_question = matches!(self.stage, Stage::Asking(_));
            self.refused_paths += u32::from(awaited && !is_question && !self.path.takes_larger);
        }
        if matches!(self.stage, Stage::Resting { .. } | Stage::Trying { .. } | Stage::Kept) {
            self.stage = Stage::Untried;
        }
        self.path = Path::default();
    }

    /// Whether the service will not have messages that it took on an earlier path.
    pub(super) fn is_refused(&self) -> bool {
        self.refused_paths >= REFUSED_PATHS
    }

    /// Something may go out at `now`.
    pub(super) fn path_in_use(&mut self, now: Instant) {
        self.path.since.get_or_insert(now);
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

    /// Until when the message numbered `sequence`, of `length` payload bytes, is not to be sent again. The service may
    /// have objected to it and forwarded it all the same; or a path was closed over such messages, and it has to be seen
    /// whether this one is closed without them.
    pub(super) fn rests_until(&self, now: Instant, sequence: i64, length: usize) -> Option<Instant> {
        let until = match self.stage {
            Stage::Asking(question) if question.sequence == sequence && question.objected => question.asked + REPLY,
            Stage::Asking(_) => return None,
            _ if self.refused_paths > 0 && length > CERTAIN && !self.path.takes_larger => {
                self.path.since.unwrap_or(now) + REST
            }
            _ => return None,
        };
        Some(until).filter(|until| now < *until)
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
        discovery.acknowledged(now, 7, LARGER);
        assert!(!discovery.holds());
        assert_eq!(discovery.size(now, BULK), CERTAIN, "the service may still object");
        let later = now + REST;
        assert_eq!(discovery.size(later, BULK), LARGER);
        discovery.stored(later, 8, LARGER);
        (discovery, later)
    }

    #[test]
    fn the_answer_follows_the_stages() {
        let now = Instant::now();
        assert_eq!(Discovery::default().answer(), LargerMessages::Untried);
        let mut discovery = asking(now);
        assert_eq!(discovery.answer(), LargerMessages::Asked);
        discovery.acknowledged(now, 7, LARGER);
        assert_eq!(discovery.answer(), LargerMessages::Taken);
        discovery.objected();
        assert_eq!(discovery.answer(), LargerMessages::GivenUp);
    }

    #[test]
    fn what_is_taken_without_a_word_is_kept() {
        let (mut discovery, now) = trying(Instant::now());
        discovery.stored(now + TRIAL, 9, LARGER);
        discovery.objected();
        assert_eq!(discovery.size(now + TRIAL, IDLE), LARGER, "an objection long after is about something else");
    }

    #[test]
    fn what_one_path_takes_is_asked_again_on_the_next() {
        let (mut discovery, now) = trying(Instant::now());
        discovery.stored(now + TRIAL, 9, LARGER);
        discovery.path_lost(true, true);
        assert_eq!(discovery.size(now, IDLE), CERTAIN);
        assert_eq!(discovery.size(now, BULK), LARGER, "a question");
        discovery.acknowledged(now, 6, CERTAIN);
        assert_eq!(discovery.size(now + REST, IDLE), CERTAIN);
        discovery.acknowledged(now, 8, LARGER);
        assert_eq!(discovery.size(now, BULK), CERTAIN, "the service may still object");
        assert_eq!(discovery.size(now + REST, IDLE), LARGER, "larger messages of the last path have answered");
    }

    #[test]
    fn paths_closed_over_what_an_earlier_one_took_are_a_refusal() {
        let (mut discovery, mut now) = trying(Instant::now());
        discovery.stored(now + TRIAL, 9, LARGER);
        discovery.path_lost(true, true);
        assert_eq!(discovery.rests_until(now, 9, LARGER), None, "this path took such messages");
        for paths in 0..REFUSED_PATHS {
            assert!(!discovery.is_refused());
            let rests = (paths > 0).then_some(now + REST);
            discovery.path_in_use(now);
            assert_eq!(discovery.rests_until(now, 9, LARGER), rests);
            assert_eq!(discovery.rests_until(now, 10, CERTAIN), None);
            discovery.path_lost(true, false);
            assert!(!discovery.is_refused(), "nothing larger had gone out");
            discovery.path_lost(false, true);
            now += Duration::from_secs(1);
            discovery.path_lost(true, true);
        }
        assert!(discovery.is_refused());
        assert_eq!(discovery.size(now, BULK), CERTAIN, "no further questions");
        discovery.acknowledged(now, 9, LARGER);
        assert!(!discovery.is_refused());
    }

    #[test]
    fn an_objection_ends_it_at_every_stage() {
        let now = Instant::now();
        let mut after_acknowledgement = asking(now);
        after_acknowledgement.acknowledged(now, 7, LARGER);
        after_acknowledgement.objected();
        let mut before_acknowledgement = asking(now);
        before_acknowledgement.objected();
        before_acknowledgement.acknowledged(now, 7, LARGER);
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
        assert_eq!(discovery.rests_until(now, 6, CERTAIN), None);
        assert_eq!(discovery.rests_until(now, 7, LARGER), Some(now + REPLY));
        discovery.transmitted(now, 7);
        assert_eq!(discovery.take_refused(now), None, "its acknowledgement may be on its way");
        discovery.transmitted(now + REPLY, 6);
        assert_eq!(discovery.take_refused(now + REPLY), None, "the first refusal");
        assert_eq!(discovery.rests_until(now + REPLY, 7, LARGER), None);
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
        discovery.path_lost(false, false);
        assert_eq!(discovery.size(now, IDLE), CERTAIN);
        assert_eq!(discovery.size(now, BULK), LARGER);
    }
}
