//! The assembler puts the agent's messages in order, and tells which of them are to be acknowledged.
//!
//! Rules of the receiving side, as AWS's agent expects them: the next message is delivered and acknowledged; a later
//! one is acknowledged and kept, if there is room; an earlier one is acknowledged again, because the agent resends
//! only its oldest unacknowledged message and one silent duplicate would block all its repairs for ever.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::message::PayloadType;

/// Memory for messages that came out of order, in bytes, bookkeeping included: 10,000 full ones, as many as AWS's own
/// client keeps. They wait while the agent repairs what was lost before them, five to ten messages a second, and goes on
/// sending 800 new ones; each that finds no room has to be repaired as well. After a break at a round trip of 150 ms,
/// which loses 60 messages, the repair takes 12 s.
pub(super) const REORDER_BYTES: usize = 11 << 20;
/// The memory of a kept payload besides its bytes: tree node, handle and allocation, rounded up.
pub(super) const OVERHEAD: usize = 128;
/// How far ahead of the next message one may be. The agent's own send buffer holds no more.
const REORDER_SPAN: i64 = 100_000;

/// The verdict on a message that arrived.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// It is the next one, or kept for later: acknowledge it.
    Accepted,
    /// It was delivered or kept before: acknowledge it again.
    Duplicate,
    /// There is no room for it, or its number is absurd: neither keep nor acknowledge it; it comes again.
    Refused,
}

/// The agent's stream, put in order.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    expected: i64,
    waiting: BTreeMap<i64, (PayloadType, Bytes)>,
    waiting_bytes: usize,
}

impl Assembler {
    /// Takes the message numbered `sequence`.
    pub(super) fn offer(&mut self, sequence: i64, payload_type: PayloadType, payload: &Bytes) -> Verdict {
        if sequence < 0 || sequence > self.expected.saturating_add(REORDER_SPAN) {
            return Verdict::Refused;
        }
        if sequence < self.expected || self.waiting.contains_key(&sequence) {
            return Verdict::Duplicate;
        }
        let is_next = sequence == self.expected;
        let cost = payload.len() + OVERHEAD;
        if !is_next && self.waiting_bytes + cost > REORDER_BYTES {
            return Verdict::Refused;
        }
        self.waiting_bytes += cost;
        // Copied, since a slice would hold on to the whole buffer it was read into.
        self.waiting.insert(sequence, (payload_type, Bytes::copy_from_slice(payload)));
        Verdict::Accepted
    }

    /// The next message in order, if it is here.
    pub(super) fn next(&mut self) -> Option<(PayloadType, Bytes)> {
        let (payload_type, payload) = self.waiting.remove(&self.expected)?;
        self.waiting_bytes -= payload.len() + OVERHEAD;
        self.expected += 1;
        Some((payload_type, payload))
    }

    /// The number of the first message that has not arrived.
    pub(super) fn expected(&self) -> i64 {
        self.expected
    }

    /// Memory held for messages that came out of order, in bytes.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(assembler: &mut Assembler, sequence: i64) -> Verdict {
        assembler.offer(sequence, PayloadType::OUTPUT, &Bytes::from(format!("{sequence};")))
    }

    fn drain(assembler: &mut Assembler) -> String {
        std::iter::from_fn(|| assembler.next())
            .map(|(_, payload)| String::from_utf8(payload.to_vec()).unwrap())
            .collect()
    }

    #[test]
    fn messages_out_of_order_are_kept_and_delivered_in_order() {
        let mut assembler = Assembler::default();
        assert_eq!(offer(&mut assembler, 2), Verdict::Accepted);
        assert_eq!(offer(&mut assembler, 1), Verdict::Accepted);
        assert_eq!(drain(&mut assembler), "");
        assert_eq!(offer(&mut assembler, 0), Verdict::Accepted);
        assert_eq!(drain(&mut assembler), "0;1;2;");
        assert_eq!(assembler.waiting_bytes(), 0);
    }

    #[test]
    fn what_was_delivered_or_kept_is_a_duplicate() {
        let mut assembler = Assembler::default();
        offer(&mut assembler, 0);
        drain(&mut assembler);
        offer(&mut assembler, 2);
        assert_eq!(offer(&mut assembler, 0), Verdict::Duplicate);
        assert_eq!(offer(&mut assembler, 2), Verdict::Duplicate);
        offer(&mut assembler, 1);
        assert_eq!(drain(&mut assembler), "1;2;");
    }

    #[test]
    fn absurd_numbers_are_refused() {
        let mut assembler = Assembler::default();
        for sequence in [i64::MIN, -1, REORDER_SPAN + 1, i64::MAX] {
            assert_eq!(offer(&mut assembler, sequence), Verdict::Refused, "{sequence}");
        }
    }

    #[test]
    fn memory_is_bounded_and_the_next_message_always_has_room() {
        let mut assembler = Assembler::default();
        let payload = Bytes::from(vec![0; 1024]);
        let kept =
            (1..).take_while(|n| assembler.offer(*n, PayloadType::OUTPUT, &payload) == Verdict::Accepted).count();
        assert_eq!(kept, REORDER_BYTES / (1024 + OVERHEAD));
        assert!(assembler.waiting_bytes() <= REORDER_BYTES);
        assert_eq!(assembler.offer(0, PayloadType::OUTPUT, &payload), Verdict::Accepted);
        assert_eq!(std::iter::from_fn(|| assembler.next()).count(), kept + 1);
    }
}
