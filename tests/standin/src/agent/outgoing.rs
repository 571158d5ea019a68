//! The agent's unacknowledged messages and its retransmission, exactly as in protocol §4.3: only the oldest is
//! ever looked at, and every acknowledgement (also of a retransmission) is a sample of the round trip.
//!
//! It knows sequence numbers, bytes and times; not what the messages mean nor how they travel.

use bytes::Bytes;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const FIRST_SRTT: Duration = Duration::from_millis(100);
const FIRST_RTO: Duration = Duration::from_millis(200);
const MAX_RTO: Duration = Duration::from_secs(1);
const GRANULARITY: Duration = Duration::from_millis(10);

#[derive(Debug)]
struct Sent {
    frame: Bytes,
    last_sent: Instant,
}

/// The agent's send buffer.
#[derive(Debug)]
pub(super) struct Outgoing {
    unacknowledged: BTreeMap<i64, Sent>,
    capacity: usize,
    srtt: Duration,
    rttvar: Duration,
    rto: Duration,
}

impl Outgoing {
    pub(super) fn new(capacity: usize) -> Self {
        Self { unacknowledged: BTreeMap::new(), capacity, srtt: FIRST_SRTT, rttvar: Duration::ZERO, rto: FIRST_RTO }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.unacknowledged.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.unacknowledged.len()
    }

    /// Stores a message that is sent now; when the buffer is full it is not stored and cannot be repaired.
    pub(super) fn store(&mut self, now: Instant, sequence: i64, frame: Bytes) {
        if self.unacknowledged.len() < self.capacity {
            self.unacknowledged.insert(sequence, Sent { frame, last_sent: now });
        }
    }

    /// Takes an acknowledgement, matched by sequence number alone.
    pub(super) fn acknowledged(&mut self, now: Instant, sequence: i64) -> bool {
        let Some(sent) = self.unacknowledged.remove(&sequence) else { return false };
        let sample = now.saturating_duration_since(sent.last_sent);
        self.rttvar = self.rttvar * 3 / 4 + self.srtt.abs_diff(sample) / 4;
        self.srtt = self.srtt * 7 / 8 + sample / 8;
        self.rto = (self.srtt + GRANULARITY.max(self.rttvar * 4)).min(MAX_RTO);
        true
    }

    /// The oldest message, if its time has come to be sent again.
    pub(super) fn tick(&mut self, now: Instant) -> Option<Bytes> {
        let mut entry = self.unacknowledged.first_entry()?;
        let oldest = entry.get_mut();
        if now.saturating_duration_since(oldest.last_sent) < self.rto {
            return None;
        }
        oldest.last_sent = now;
        Some(oldest.frame.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn only_the_oldest_is_sent_again_and_only_after_the_rto() {
        let start = Instant::now();
        let mut outgoing = Outgoing::new(10);
        for sequence in 0..3 {
            outgoing.store(start, sequence, Bytes::from(vec![sequence as u8]));
        }
        assert_eq!(outgoing.tick(start + ms(100)), None);
        assert_eq!(outgoing.tick(start + ms(200)).unwrap()[0], 0);
        assert_eq!(outgoing.tick(start + ms(300)), None);
        assert_eq!(outgoing.tick(start + ms(400)).unwrap()[0], 0);
        assert!(outgoing.acknowledged(start + ms(400), 0));
        assert_eq!(outgoing.tick(start + ms(500)).unwrap()[0], 1);
    }

    #[test]
    fn the_estimate_follows_the_page() {
        let start = Instant::now();
        let mut outgoing = Outgoing::new(10);
        outgoing.store(start, 0, Bytes::new());
        outgoing.acknowledged(start + ms(20), 0);
        assert_eq!(outgoing.rttvar, ms(20));
        assert_eq!(outgoing.srtt, ms(90));
        assert_eq!(outgoing.rto, ms(170));
        outgoing.store(start, 1, Bytes::new());
        outgoing.acknowledged(start + Duration::from_secs(60), 1);
        assert_eq!(outgoing.rto, MAX_RTO);
    }

    #[test]
    fn a_full_buffer_does_not_store() {
        let start = Instant::now();
        let mut outgoing = Outgoing::new(1);
        outgoing.store(start, 0, Bytes::new());
        outgoing.store(start, 1, Bytes::new());
        assert_eq!(outgoing.len(), 1);
        assert!(!outgoing.acknowledged(start, 1));
    }
}
