//! The bytes of the stream that the other half is not known to have.

use std::collections::{BTreeMap, VecDeque};

use crate::frame::MAX_DATA;

/// A piece of the stream that goes out in one frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Piece {
    /// So many bytes from an offset on.
    Bytes { offset: u64, length: usize },
    /// The end of the stream, which has the offset behind the last byte.
    End { offset: u64 },
}

/// What is to be sent for the first time, and what may have to be sent again.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    bytes: VecDeque<u8>,
    /// The offset of the first of them.
    base: u64,
    /// The first offset that was never sent.
    next: u64,
    /// Ranges that were lost, by their beginnings.
    lost: BTreeMap<u64, u64>,
    is_ended: bool,
    /// The end is to be sent, for the first time or again.
    is_end_due: bool,
    /// It has gone out once, so that it may be confirmed.
    was_end_sent: bool,
    is_end_delivered: bool,
}

impl Outbox {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    pub(crate) fn end(&mut self) {
        self.is_end_due |= !self.is_ended;
        self.is_ended = true;
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// The offset behind the last byte.
    fn top(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }

    /// Bytes that were never sent.
    pub(crate) fn queued(&self) -> usize {
        usize::try_from(self.top() - self.next).unwrap_or(usize::MAX)
    }

    /// Bytes that the other half is not known to have.
    pub(crate) fn undelivered(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn sent(&self) -> u64 {
        self.next
    }

    pub(crate) fn delivered_bytes(&self) -> u64 {
        self.base
    }

    /// Whether the other half has everything, and the end if there is one.
    pub(crate) fn is_delivered(&self) -> bool {
        self.bytes.is_empty() && (!self.is_ended || self.is_end_delivered)
    }

    /// The other half has everything before this offset; the end counts as one. False if that was never sent.
    pub(crate) fn delivered(&mut self, to: u64) -> bool {
        if to > self.next + u64::from(self.was_end_sent) {
            return false;
        }
        if to > self.next {
            (self.is_end_delivered, self.is_end_due) = (true, false);
        }
        let to = to.min(self.next);
        if let Ok(count) = usize::try_from(to.saturating_sub(self.base)) {
            self.bytes.drain(..count.min(self.bytes.len()));
        }
        self.base = self.base.max(to);
        while let Some(first) = self.lost.first_entry().filter(|first| *first.key() < self.base) {
            let end = first.remove();
            if end > self.base {
                let kept = self.lost.entry(self.base).or_default();
                *kept = end.max(*kept);
            }
        }
        true
    }

    /// What went out in a piece is lost, as far as the other half does not have it by other ways.
    pub(crate) fn lose(&mut self, piece: Piece) {
        match piece {
            Piece::Bytes { offset, length } => {
                let end = offset + length as u64;
                if end > self.base {
                    let kept = self.lost.entry(offset.max(self.base)).or_default();
                    *kept = end.max(*kept);
                }
            }
            Piece::End { .. } => self.is_end_due |= !self.is_end_delivered,
        }
    }

    /// The next piece to send, of at most `room` bytes: what was lost first, then what is new and within the `window`, an
    /// offset.
    pub(crate) fn peek(&self, room: usize, window: u64) -> Option<Piece> {
        let bytes = |offset: u64, end: u64| {
            let length = usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX).min(room).min(MAX_DATA);
            (length > 0).then_some(Piece::Bytes { offset, length })
        };
        if let Some((offset, end)) = self.lost.first_key_value() {
            return bytes(*offset, *end);
        }
        if self.next < self.top() {
            return bytes(self.next, self.top().min(window));
        }
        self.is_end_due.then_some(Piece::End { offset: self.next })
    }

    /// Whether something new waits for the window alone.
    pub(crate) fn is_held_back(&self, window: u64) -> bool {
        self.lost.is_empty() && self.next < self.top() && window <= self.next
    }

    /// A piece that was peeked at is sent. Says whether it had been before.
    pub(crate) fn take(&mut self, piece: Piece) -> bool {
        let Piece::Bytes { offset, length } = piece else {
            (self.is_end_due, self.was_end_sent) = (false, true);
            return false;
        };
        let end = offset + length as u64;
        if let Some(lost) = self.lost.remove(&offset) {
            if lost > end {
                self.lost.insert(end, lost);
            }
            return true;
        }
        self.next = end;
        false
    }

    /// Writes the bytes of a piece behind what is in `out`.
    pub(crate) fn copy(&self, offset: u64, length: usize, out: &mut Vec<u8>) {
        let start = usize::try_from(offset.saturating_sub(self.base)).unwrap_or(usize::MAX).min(self.bytes.len());
        let end = (start + length).min(self.bytes.len());
        out.extend(self.bytes.range(start..end));
    }
}
