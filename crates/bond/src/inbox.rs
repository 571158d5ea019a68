//! The bytes of the stream that have come, and are to be read in order.

use std::collections::{BTreeMap, VecDeque};

use crate::event::ProtocolError;

/// Pieces out of order, of this many bytes of the window each, at most.
const BYTES_PER_PIECE: usize = 256;
/// Whatever the window is, so many pieces are taken: the other half knows of no bound on them.
const LEAST_PIECES: usize = 16 << 10;

/// What waits to be read, or for others before it.
#[derive(Debug)]
pub(crate) struct Inbox {
    ready: VecDeque<u8>,
    /// The offset behind them: all before it has come.
    whole: u64,
    /// Out of order, by offset, without overlaps.
    pieces: BTreeMap<u64, Vec<u8>>,
    /// Bytes in those.
    apart: usize,
    end: Option<u64>,
    window: usize,
    /// Bytes that came more than once.
    pub(crate) duplicates: u64,
}

impl Inbox {
    pub(crate) fn new(window: usize) -> Self {
        Self { ready: VecDeque::new(), whole: 0, pieces: BTreeMap::new(), apart: 0, end: None, window, duplicates: 0 }
    }

    /// The offset that the other half may send up to.
    pub(crate) fn limit(&self) -> u64 {
        self.consumed() + self.window as u64
    }

    /// The bytes that were read.
    fn consumed(&self) -> u64 {
        self.whole - self.ready.len() as u64
    }

    pub(crate) fn received(&self) -> u64 {
        self.whole
    }

    /// What the other half is told: how much has come in order, with the end as one more.
    pub(crate) fn delivered(&self) -> u64 {
        self.whole + u64::from(self.is_whole())
    }

    /// Whether the end has come, and all before it.
    pub(crate) fn is_whole(&self) -> bool {
        self.end == Some(self.whole)
    }

    pub(crate) fn held(&self) -> usize {
        self.ready.len() + self.apart
    }

    pub(crate) fn read(&self) -> &[u8] {
        self.ready.as_slices().0
    }

    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    pub(crate) fn consume(&mut self, count: usize) {
        self.ready.drain(..count.min(self.ready.len()));
    }

    /// Takes a piece in. Says whether any of it was new.
    pub(crate) fn take(&mut self, offset: u64, bytes: &[u8]) -> Result<bool, ProtocolError> {
        let end = offset.checked_add(bytes.len() as u64).ok_or(ProtocolError::Overrun)?;
        if end > self.end.unwrap_or(u64::MAX).min(self.limit()) {
            return Err(ProtocolError::Overrun);
        }
        let before = self.whole + self.apart as u64;
        if offset <= self.whole {
            let known = usize::try_from(self.whole - offset).unwrap_or(usize::MAX);
            if let Some(new) = bytes.get(known..) {
                self.ready.extend(new);
                self.whole += new.len() as u64;
                self.join();
            }
        } else {
            self.put_apart(offset, bytes)?;
        }
        let new = (self.whole + self.apart as u64).saturating_sub(before);
        self.duplicates += (bytes.len() as u64).saturating_sub(new);
        Ok(new > 0)
    }

    /// The stream ends here.
    pub(crate) fn end(&mut self, offset: u64) -> Result<(), ProtocolError> {
        let highest = self.pieces.last_key_value().map_or(self.whole, |(at, piece)| at + piece.len() as u64);
        if offset < highest || self.end.is_some_and(|end| end != offset) {
            return Err(ProtocolError::Overrun);
        }
        self.end = Some(offset);
        Ok(())
    }

    /// Moves over what has become ordered.
    fn join(&mut self) {
        while let Some(first) = self.pieces.first_entry().filter(|first| *first.key() <= self.whole) {
            let known = usize::try_from(self.whole - first.key()).unwrap_or(usize::MAX);
            let piece = first.remove();
            self.apart -= piece.len();
            if let Some(new) = piece.get(known..) {
                self.ready.extend(new);
                self.whole += new.len() as u64;
            }
        }
    }

    /// Keeps what of a piece is in none of the others.
    fn put_apart(&mut self, mut offset: u64, mut bytes: &[u8]) -> Result<(), ProtocolError> {
        while !bytes.is_empty() {
            let before = self.pieces.range(..=offset).next_back();
            let known = before.map_or(0, |(at, piece)| (at + piece.len() as u64).saturating_sub(offset));
            bytes = usize::try_from(known).ok().and_then(|known| bytes.get(known..)).unwrap_or_default();
            offset += known;
            let gap = self.pieces.range(offset..).next().map_or(u64::MAX, |(at, _)| at - offset);
            let (new, rest) = bytes.split_at(bytes.len().min(usize::try_from(gap).unwrap_or(usize::MAX)));
            if new.is_empty() {
                break;
            }
            if self.pieces.len() >= (self.window / BYTES_PER_PIECE).max(LEAST_PIECES) {
                return Err(ProtocolError::Overrun);
            }
            self.apart += new.len();
            self.pieces.insert(offset, new.to_vec());
            offset += new.len() as u64;
            bytes = rest;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pieces of a stream in any order, overlapping in any way, give the stream, and hold no more than the window.
    #[test]
    fn pieces_in_any_order_give_the_stream() {
        for seed in 0..300 {
            let mut random = fastrand::Rng::with_seed(seed);
            let stream: Vec<u8> = (0..random.usize(1..3000)).map(|_| random.u8(..)).collect();
            let (mut inbox, mut read) = (Inbox::new(1 << 20), Vec::new());
            inbox.end(stream.len() as u64).unwrap();
            while !inbox.is_whole() {
                let start = random.usize(..stream.len());
                let end = (start + random.usize(1..400)).min(stream.len());
                inbox.take(start as u64, &stream[start..end]).unwrap();
                assert!(inbox.held() <= stream.len(), "seed {seed}");
                if random.bool() {
                    let ready = inbox.read().to_vec();
                    inbox.consume(ready.len());
                    read.extend(ready);
                }
            }
            while inbox.has_ready() {
                let ready = inbox.read().to_vec();
                inbox.consume(ready.len());
                read.extend(ready);
            }
            assert!(read == stream, "seed {seed}");
            assert_eq!((inbox.held(), inbox.delivered()), (0, stream.len() as u64 + 1));
        }
    }

    #[test]
    fn beyond_the_window_and_beyond_the_end_there_is_no_room() {
        let mut inbox = Inbox::new(1024);
        assert_eq!(inbox.take(1000, &[0; 25]), Err(ProtocolError::Overrun));
        assert_eq!(inbox.take(u64::MAX, &[0; 2]), Err(ProtocolError::Overrun));
        assert_eq!(inbox.take(1000, &[0; 24]), Ok(true));
        assert_eq!(inbox.end(1023), Err(ProtocolError::Overrun));
        inbox.end(1024).unwrap();
        assert_eq!(inbox.end(1025), Err(ProtocolError::Overrun));
        assert_eq!(inbox.take(1020, &[0; 5]), Err(ProtocolError::Overrun));
    }

    #[test]
    fn crumbs_cost_no_more_than_their_number_allows() {
        let mut inbox = Inbox::new(8 << 20);
        let taken = (1..8 << 20).step_by(2).map(|at| inbox.take(at, &[0])).take_while(Result::is_ok).count();
        assert_eq!(taken, (8 << 20) / BYTES_PER_PIECE);
    }
}
