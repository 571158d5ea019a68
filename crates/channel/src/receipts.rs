//! Receipts: which of the agent's messages are to be acknowledged now, for the first time or again.
//!
//! The agent resends only its oldest unacknowledged message, one in 100 ms, so each acknowledgement that is lost holds up
//! the repair of everything behind it. A message that comes again after its acknowledgement must have arrived shows
//! that acknowledgements were lost. Then those of the messages behind it are sent once more, since nothing says which
//! of them arrived: once on each connection at most, within the pace, and after those that are due for the first time.
//! An acknowledgement that is only late, as those of a busy machine are, repeats nothing but itself.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use uuid::Uuid;

/// Acknowledgements that may wait for the pace. Agents send at most as fast as we acknowledge, or a little faster;
/// this much lead takes minutes to build up and 1.5 MiB to hold.
const MAX_WAITING: usize = 64 << 10;
/// Messages delivered in order of which it is known how they were acknowledged, and messages behind one that came again
/// whose acknowledgements are repeated: those of 5 s at the agent's full rate. Of messages that wait for an earlier one
/// it is known of all.
const KEPT: i64 = 4096;

/// Acknowledgements that wait to be sent, and what is known of those that were.
#[derive(Debug, Default)]
pub(super) struct Receipts {
    /// To be sent, oldest first: the agent resends its oldest message.
    waiting: VecDeque<(i64, Uuid)>,
    /// Messages by number, from `first` on.
    recent: VecDeque<Receipt>,
    first: i64,
    repeat: Repeat,
}

/// How one message was acknowledged.
#[derive(Clone, Copy, Debug)]
struct Receipt {
    id: Uuid,
    state: State,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// The message has not arrived.
    Missing,
    /// Its first acknowledgement waits to be sent.
    Waiting,
    /// It was sent at this time.
    Sent(Instant),
    /// It was sent on an earlier connection, so it has arrived or never will.
    Uncertain,
    /// Another one waits to be sent.
    WaitingAgain,
    /// Another one was sent, on this connection.
    SentAgain,
}

/// Messages whose acknowledgements are to be sent once more: of those numbered from `next` to before `end`, the ones
/// that were acknowledged for the first time by `until`.
#[derive(Clone, Copy, Debug, Default)]
struct Repeat {
    next: i64,
    end: i64,
    until: Option<Instant>,
}

impl Repeat {
    fn is_for(&self, state: State) -> bool {
        match state {
            State::Sent(at) => self.until.is_some_and(|until| at <= until),
            State::Uncertain => true,
            _ => false,
        }
    }
}

impl Receipts {
    /// The message numbered `sequence` has arrived for the first time; those before the one numbered `expected` had.
    pub(super) fn arrived(&mut self, sequence: i64, id: Uuid, expected: i64) {
        self.waiting.push_back((sequence, id));
        if self.recent.is_empty() {
            self.first = expected;
        }
        while self.end() <= sequence {
            self.recent.push_back(Receipt { id: Uuid::nil(), state: State::Missing });
        }
        if let Some(receipt) = self.get_mut(sequence) {
            *receipt = Receipt { id, state: State::Waiting };
        }
        if sequence < self.repeat.end {
            // The agent's oldest message fills this gap: those before it were acknowledged.
            self.repeat_from(sequence + 1);
        }
        self.forget(expected - KEPT);
    }

    /// The message numbered `sequence` has come again. `answer` is the time in which what is sent is answered.
    pub(super) fn came_again(&mut self, now: Instant, sequence: i64, id: Uuid, answer: Duration) {
        let until = now.checked_sub(answer);
        let Some(receipt) = self.get_mut(sequence) else { return self.waiting.push_back((sequence, id)) };
        let is_lost = match receipt.state {
            // It will be acknowledged in its turn.
            State::Waiting | State::WaitingAgain => return,
            State::Sent(at) => until.is_some_and(|until| at <= until),
            State::Uncertain => true,
            State::Missing | State::SentAgain => false,
        };
        receipt.state = State::WaitingAgain;
        self.waiting.push_back((sequence, id));
        if is_lost {
            let end = self.end().min(sequence + KEPT);
            let next = if self.repeats() { self.repeat.next } else { sequence + 1 };
            self.repeat = Repeat { next, end, until };
            self.repeat_from(sequence + 1);
        } else if sequence == self.repeat.next {
            self.repeat_from(sequence + 1);
        }
    }

    /// The next message to acknowledge, which is done at `now`.
    pub(super) fn pop(&mut self, now: Instant) -> Option<(i64, Uuid)> {
        if let Some((sequence, id)) = self.waiting.pop_front() {
            if let Some(receipt) = self.get_mut(sequence) {
                receipt.state = if receipt.state == State::Waiting { State::Sent(now) } else { State::SentAgain };
            }
            return Some((sequence, id));
        }
        let sequence = Some(self.repeat.next).filter(|_| self.repeats())?;
        let receipt = self.get_mut(sequence)?;
        receipt.state = State::SentAgain;
        let id = receipt.id;
        self.repeat_from(sequence + 1);
        Some((sequence, id))
    }

    /// The connection is gone, and with it perhaps every acknowledgement that was sent on it.
    pub(super) fn path_lost(&mut self) {
        self.repeat = Repeat::default();
        for receipt in &mut self.recent {
            if matches!(receipt.state, State::Sent(_) | State::SentAgain) {
                receipt.state = State::Uncertain;
            }
        }
    }

    /// Whether nothing is to be acknowledged.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && !self.repeats()
    }

    /// Whether no more messages may be accepted before some are acknowledged.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= MAX_WAITING
    }

    fn repeats(&self) -> bool {
        self.repeat.next < self.repeat.end
    }

    /// Goes on with the first message, not before the one numbered `next`, whose acknowledgement is to be repeated.
    fn repeat_from(&mut self, next: i64) {
        let next = next.max(self.repeat.next).max(self.first);
        let skipped = usize::try_from(next - self.first).unwrap_or(usize::MAX);
        let mut rest = self.recent.iter().skip(skipped).zip(next..self.repeat.end);
        let found = rest.find(|(receipt, _)| self.repeat.is_for(receipt.state));
        self.repeat.next = found.map_or(self.repeat.end, |(_, sequence)| sequence);
    }

    /// Forgets the messages before the one numbered `sequence`.
    fn forget(&mut self, sequence: i64) {
        while self.first < sequence && self.recent.pop_front().is_some() {
            self.first += 1;
        }
        if self.repeat.next < self.first && self.repeats() {
            self.repeat_from(self.first);
        }
    }

    /// The number after that of the last message that is known.
    fn end(&self) -> i64 {
        self.first + self.recent.len() as i64
    }

    fn get_mut(&mut self, sequence: i64) -> Option<&mut Receipt> {
        let at = usize::try_from(sequence.checked_sub(self.first)?).ok()?;
        self.recent.get_mut(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: Duration = Duration::from_millis(100);

    /// Receipts of messages that arrive in order, each acknowledged at once, until `count` have.
    fn of(count: i64, now: Instant) -> Receipts {
        let mut receipts = Receipts::default();
        for sequence in 0..count {
            arrive(&mut receipts, sequence, sequence);
            assert_eq!(all(&mut receipts, now), [sequence]);
        }
        receipts
    }

    fn id(sequence: i64) -> Uuid {
        Uuid::from_u128(sequence as u128 + 1)
    }

    fn arrive(receipts: &mut Receipts, sequence: i64, expected: i64) {
        receipts.arrived(sequence, id(sequence), expected);
    }

    fn again(receipts: &mut Receipts, now: Instant, sequence: i64) {
        receipts.came_again(now, sequence, id(sequence), ANSWER);
    }

    /// All that are to be acknowledged at `now`.
    fn all(receipts: &mut Receipts, now: Instant) -> Vec<i64> {
        let popped = std::iter::from_fn(|| {
            let is_empty = receipts.is_empty();
            let next = receipts.pop(now);
            assert_eq!(is_empty, next.is_none());
            let (sequence, with) = next?;
            assert_eq!(with, id(sequence));
            Some(sequence)
        });
        popped.collect()
    }

    #[test]
    fn a_lost_acknowledgement_repeats_those_behind_it_once() {
        let start = Instant::now();
        let mut receipts = of(10, start);
        let later = start + ANSWER;
        again(&mut receipts, later, 4);
        assert_eq!(all(&mut receipts, later), [4, 5, 6, 7, 8, 9]);
        again(&mut receipts, later + ANSWER * 9, 6);
        assert_eq!(all(&mut receipts, later), [6], "its neighbours had their turn on this connection");
        receipts.path_lost();
        again(&mut receipts, later, 6);
        assert_eq!(all(&mut receipts, later), [6, 7, 8, 9]);
    }

    #[test]
    fn a_late_acknowledgement_repeats_nothing_but_itself() {
        let start = Instant::now();
        let mut receipts = of(10, start);
        let soon = start + ANSWER - Duration::from_nanos(1);
        again(&mut receipts, soon, 4);
        again(&mut receipts, soon, 4);
        assert_eq!(all(&mut receipts, soon), [4], "two copies were answered by one acknowledgement after them");
        arrive(&mut receipts, 10, 10);
        again(&mut receipts, soon, 10);
        assert_eq!(all(&mut receipts, soon), [10], "it had not been acknowledged yet");
    }

    #[test]
    fn what_was_acknowledged_a_moment_ago_is_not_repeated() {
        let start = Instant::now();
        let mut receipts = of(3, start);
        arrive(&mut receipts, 4, 3);
        let later = start + ANSWER;
        assert_eq!(all(&mut receipts, later), [4]);
        again(&mut receipts, later, 1);
        assert_eq!(all(&mut receipts, later), [1, 2], "3 has not arrived, and 4 may be under way");
    }

    #[test]
    fn new_messages_come_first_and_what_the_agent_shows_it_knows_is_skipped() {
        let start = Instant::now();
        let mut receipts = of(10, start);
        arrive(&mut receipts, 11, 10);
        all(&mut receipts, start);
        let later = start + ANSWER;
        again(&mut receipts, later, 2);
        arrive(&mut receipts, 12, 10);
        let next = |receipts: &mut Receipts| receipts.pop(later).map(|(sequence, _)| sequence);
        assert_eq!((next(&mut receipts), next(&mut receipts), next(&mut receipts)), (Some(2), Some(12), Some(3)));
        again(&mut receipts, later, 7);
        assert_eq!((next(&mut receipts), next(&mut receipts)), (Some(7), Some(8)));
        arrive(&mut receipts, 10, 10);
        assert_eq!(all(&mut receipts, later), [10, 11]);
    }

    #[test]
    fn memory_and_repetitions_are_bounded() {
        let start = Instant::now();
        let mut receipts = of(KEPT * 2, start);
        assert_eq!(receipts.recent.len() as i64, KEPT + 1);
        let later = start + ANSWER;
        again(&mut receipts, later, 5);
        assert_eq!(all(&mut receipts, later), [5], "nothing is known of it any more");
        (KEPT * 2 + 1..KEPT * 4).for_each(|sequence| arrive(&mut receipts, sequence, KEPT * 2));
        all(&mut receipts, start);
        assert_eq!(receipts.recent.len() as i64, KEPT * 3, "all that wait for an earlier one are known");
        again(&mut receipts, later, KEPT + 1);
        assert_eq!(all(&mut receipts, later).len() as i64, KEPT - 1);
        assert!(size_of::<Receipt>() <= 32);
    }

    #[test]
    fn what_is_forgotten_while_it_is_to_be_repeated_is_left_out() {
        let start = Instant::now();
        let mut receipts = of(10, start);
        let later = start + ANSWER;
        again(&mut receipts, later, 2);
        (10..KEPT + 8).for_each(|sequence| arrive(&mut receipts, sequence, sequence));
        let repeated = all(&mut receipts, later).split_off(1 + KEPT as usize - 2);
        assert_eq!(repeated, [7, 8, 9]);
    }
}
