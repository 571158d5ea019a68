//! The program at one half: what it writes, how fast it reads, and what it saw.

use std::collections::VecDeque;
use std::sync::OnceLock;
use std::time::Instant;

use ssm_bond::{Bond, Event};

use crate::link::Micros;

/// Bytes of a message whose time is taken.
const KEY: usize = 64;

/// What a program writes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Writes {
    /// So many bytes as fast as they are taken, in portions of at most so many; then the end.
    All {
        bytes: u64,
        portion: usize,
    },
    /// So many bytes, a portion at a time; then the end.
    Some {
        bytes: u64,
        portion: usize,
        every: Micros,
    },
    /// Bytes without end.
    Forever,
    Nothing,
}

/// How a program reads.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reads {
    AtOnce,
    /// At most so many bytes at a time, from some time on.
    Slowly {
        bytes: usize,
        every: Micros,
        from: Micros,
    },
}

/// Any stretch of what a half writes. Its period is no power of two, so that a piece in a wrong place shows.
fn noise(half: usize, offset: u64, most: usize) -> &'static [u8] {
    static NOISE: OnceLock<Vec<u8>> = OnceLock::new();
    let noise = NOISE.get_or_init(|| {
        let mut random = fastrand::Rng::with_seed(1);
        (0..1_000_003).map(|_| random.u8(..)).collect()
    });
    let start = (offset as usize + half * 333_333) % noise.len();
    &noise[start..noise.len().min(start.saturating_add(most))]
}

pub(crate) struct Program {
    half: usize,
    pub(crate) writes: Writes,
    pub(crate) reads: Reads,
    pub(crate) written: u64,
    pub(crate) read: u64,
    has_ended: bool,
    /// The bond has not taken all, and has not asked for more since.
    is_blocked: bool,
    is_readable: bool,
    pub(crate) is_finished: bool,
    next_write: Micros,
    next_read: Micros,
    /// A message is timed as often as that.
    pub(crate) keys_every: Option<Micros>,
    next_key: Micros,
    /// Where timed messages end, and when they were sent.
    pub(crate) keys: VecDeque<(u64, Micros)>,
    /// Since when bytes are counted, and how many there were.
    pub(crate) counted_from: Micros,
    pub(crate) counted: u64,
}

impl Program {
    pub(crate) fn new(half: usize, writes: Writes, reads: Reads) -> Self {
        let next_read = if let Reads::Slowly { from, .. } = reads { from } else { 0 };
        Self {
            half,
            writes,
            reads,
            written: 0,
            read: 0,
            has_ended: false,
            is_blocked: false,
            is_readable: false,
            is_finished: false,
            next_write: 0,
            next_read,
            keys_every: None,
            next_key: 0,
            keys: VecDeque::new(),
            counted_from: 0,
            counted: 0,
        }
    }

    /// What the program does when the bond says something. `all` is what the other one has to write.
    pub(crate) fn handle(&mut self, event: Event, all: Option<u64>) {
        match event {
            Event::Readable => self.is_readable = true,
            Event::Writable => self.is_blocked = false,
            Event::Finished => {
                assert!(!self.is_finished, "the end was told twice");
                assert_eq!(Some(self.read), all, "the end was told before all was read");
                self.is_finished = true;
            }
            Event::Reset => panic!("nobody has reset the bond"),
            _ => {}
        }
    }

    /// Does what can be done now. Whether that was anything.
    pub(crate) fn act(&mut self, now: Micros, at: Instant, bond: &mut Bond) -> bool {
        let before = (self.read, self.written, self.has_ended);
        self.take(now, at, bond);
        self.key(now, at, bond);
        self.write(now, at, bond);
        before != (self.read, self.written, self.has_ended)
    }

    fn take(&mut self, now: Micros, at: Instant, bond: &mut Bond) {
        if !self.is_readable || self.next_read > now {
            return;
        }
        let mut room = usize::MAX;
        if let Reads::Slowly { bytes, every, .. } = self.reads {
            (room, self.next_read) = (bytes, now + every);
        }
        while room > 0 && !bond.read().is_empty() {
            let wanted = noise(1 - self.half, self.read, room);
            let count = wanted.len().min(bond.read().len());
            assert!(bond.read()[..count] == wanted[..count], "other bytes came, near {}", self.read);
            bond.consume(at, count);
            self.read += count as u64;
            self.counted += if now >= self.counted_from { count as u64 } else { 0 };
            room -= count;
        }
        self.is_readable = !bond.read().is_empty();
    }

    /// Sends a timed message, where there is room for all of it.
    fn key(&mut self, now: Micros, at: Instant, bond: &mut Bond) {
        let Some(every) = self.keys_every.filter(|_| now >= self.next_key) else { return };
        if bond.send_capacity() >= KEY {
            let mut left = KEY;
            while left > 0 {
                left -= self.send(at, bond, left);
            }
            self.next_key = now + every;
            self.keys.push_back((self.written, now));
        }
    }

    fn write(&mut self, now: Micros, at: Instant, bond: &mut Bond) {
        let (bytes, portion) = match self.writes {
            Writes::All { bytes, portion } => (bytes, portion),
            Writes::Some { bytes, portion, .. } => (bytes, portion),
            Writes::Forever => (u64::MAX, 16 << 10),
            Writes::Nothing => return,
        };
        while !self.is_blocked && self.next_write <= now && self.written < bytes {
            let most = portion.min(usize::try_from(bytes - self.written).unwrap_or(usize::MAX));
            self.send(at, bond, most);
            if let Writes::Some { every, .. } = self.writes {
                self.next_write = now + every;
            }
        }
        if self.written >= bytes && !self.has_ended {
            self.has_ended = true;
            bond.finish();
        }
    }

    /// Offers at most so many bytes, and says how many were taken.
    fn send(&mut self, at: Instant, bond: &mut Bond, most: usize) -> usize {
        let bytes = noise(self.half, self.written, most);
        let capacity = bond.send_capacity();
        let count = bond.send(at, bytes);
        assert_eq!(count, bytes.len().min(capacity), "another count was taken than there was room for");
        self.is_blocked = count < bytes.len();
        self.written += count as u64;
        count
    }

    /// When there is something to do that nobody else calls for.
    pub(crate) fn next_change(&self, now: Micros) -> Option<Micros> {
        let write = matches!(self.writes, Writes::Some { .. }) && !self.has_ended && !self.is_blocked;
        let write = write.then_some(self.next_write);
        let read = self.is_readable.then_some(self.next_read);
        let key = self.keys_every.map(|_| self.next_key);
        [write, read, key].into_iter().flatten().filter(|at| *at > now).min()
    }

    /// All bytes that will be written, once that is known.
    pub(crate) fn all(&self) -> Option<u64> {
        match self.writes {
            Writes::All { bytes, .. } | Writes::Some { bytes, .. } => Some(bytes),
            Writes::Forever => None,
            Writes::Nothing => Some(0),
        }
    }
}
