//! The ledger of bytes in flight: which part of the byte stream is whose, until it is known to be delivered.

use std::collections::VecDeque;

use crate::event::StreamId;

/// Runs of bytes in the order in which they were handed over. A run ends where another stream's begins.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Whose the run is, and its end in the byte stream. Without an owner: NOPs.
    runs: VecDeque<(Option<StreamId>, u64)>,
    handed_over: u64,
    delivered: u64,
}

impl Ledger {
    /// `count` more bytes of the stream are handed over.
    pub(crate) fn push(&mut self, owner: Option<StreamId>, count: usize) {
        self.handed_over += count as u64;
        match self.runs.back_mut() {
            Some((last, end)) if *last == owner => *end = self.handed_over,
            _ => self.runs.push_back((owner, self.handed_over)),
        }
    }

    /// The next bytes that are delivered now that the first `total` of all are: whose, and how many.
    pub(crate) fn next_delivered(&mut self, total: u64) -> Option<(Option<StreamId>, usize)> {
        let total = total.min(self.handed_over);
        let (owner, end) = *self.runs.front()?;
        let count = end.min(total).checked_sub(self.delivered).filter(|count| *count > 0)?;
        self.delivered += count;
        if self.delivered == end {
            self.runs.pop_front();
        }
        Some((owner, usize::try_from(count).unwrap_or(usize::MAX)))
    }

    /// Bytes ever handed over.
    pub(crate) fn handed_over(&self) -> u64 {
        self.handed_over
    }

    /// Bytes handed over and not known to be delivered.
    pub(crate) fn in_flight(&self) -> u64 {
        self.handed_over - self.delivered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delivered_bytes_are_credited_to_their_streams() {
        let [a, b] = [3, 5].map(StreamId::from_wire);
        let mut ledger = Ledger::default();
        for (owner, count) in [(Some(a), 8), (Some(a), 20), (None, 8), (Some(b), 10), (Some(a), 1)] {
            ledger.push(owner, count);
        }
        let mut credited = |total| std::iter::from_fn(|| ledger.next_delivered(total)).collect::<Vec<_>>();
        assert_eq!(credited(5), [(Some(a), 5)]);
        assert_eq!(credited(5), []);
        assert_eq!(credited(3), [], "less than was said before");
        assert_eq!(credited(40), [(Some(a), 23), (None, 8), (Some(b), 4)]);
        assert_eq!(credited(1000), [(Some(b), 6), (Some(a), 1)], "no more than was handed over");
        assert_eq!((ledger.handed_over(), ledger.in_flight(), ledger.runs.len()), (47, 0, 0));
    }
}
