//! A queue of bytes in pieces, so that it never holds much more memory than bytes.

use std::collections::VecDeque;

/// Bytes in one piece at most: a long queue is not moved as it grows, and gives memory back as it shrinks.
const PIECE: usize = 16 << 10;

/// Bytes, first in, first out.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// None of them is used up; of the first, `taken` bytes are.
    pieces: VecDeque<Vec<u8>>,
    taken: usize,
    length: usize,
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub(crate) fn push(&mut self, mut bytes: &[u8]) {
        self.length += bytes.len();
        while !bytes.is_empty() {
            if self.pieces.back().is_none_or(|piece| piece.len() >= PIECE) {
                self.pieces.push_back(Vec::new());
            }
            let Some(piece) = self.pieces.back_mut() else { return };
            let (fits, rest) = bytes.split_at(bytes.len().min(PIECE - piece.len()));
            piece.extend_from_slice(fits);
            bytes = rest;
        }
    }

    /// The first bytes, as many as lie together; empty only if the queue is.
    pub(crate) fn front(&self) -> &[u8] {
        self.pieces.front().and_then(|piece| piece.get(self.taken..)).unwrap_or_default()
    }

    /// Takes `count` bytes off the front, or all.
    pub(crate) fn advance(&mut self, count: usize) {
        let mut left = count.min(self.length);
        self.length -= left;
        while let Some(piece) = self.pieces.front() {
            let here = piece.len() - self.taken;
            if here > left {
                self.taken += left;
                return;
            }
            left -= here;
            self.taken = 0;
            self.pieces.pop_front();
        }
    }

    /// Moves `count` bytes to the end of `out`, or all.
    pub(crate) fn move_to(&mut self, out: &mut Vec<u8>, count: usize) {
        let mut left = count.min(self.length);
        while left > 0 {
            let front = self.front();
            let piece = front.get(..left).unwrap_or(front);
            out.extend_from_slice(piece);
            let moved = piece.len();
            self.advance(moved);
            left -= moved;
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_as_they_went_in() {
        let mut rng = fastrand::Rng::with_seed(7);
        let (mut queue, mut model) = (Queue::default(), VecDeque::new());
        for step in 0..20_000u32 {
            let bytes: Vec<u8> = (0..rng.usize(..600)).map(|at| (step as usize + at) as u8).collect();
            let count = rng.usize(..700);
            match rng.u8(..3) {
                0 => {
                    queue.push(&bytes);
                    model.extend(bytes);
                }
                1 => {
                    let expected: Vec<u8> = model.drain(..count.min(model.len())).collect();
                    let mut out = Vec::new();
                    queue.move_to(&mut out, count);
                    assert_eq!(out, expected);
                }
                _ => {
                    let front = queue.front().to_vec();
                    assert_eq!(front, model.range(..front.len()).copied().collect::<Vec<_>>());
                    assert_eq!(front.is_empty(), model.is_empty());
                    queue.advance(count);
                    model.drain(..count.min(model.len()));
                }
            }
            assert_eq!(queue.len(), model.len());
            assert!(queue.pieces.len() <= queue.len() / PIECE + 2, "{} pieces", queue.pieces.len());
        }
    }
}
