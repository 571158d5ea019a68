//! The target `smux`: a multiplexer, a hostile peer, local programs, acknowledgements and a clock, all made of the
//! input.
//!
//! What is promised whatever comes: no panic; the bytes that go out are whole frames, of each stream SYN, what its
//! program wrote, in order, and FIN, and nothing behind it; what a program reads is what the peer sent on its stream,
//! in order, up to the peer's FIN; each stream ends once, and says nothing after that; bytes cut in another way are
//! read alike; what is queued, in flight and unread keeps its bounds, counted at the allocator as well; and no time is
//! asked for twice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use arbitrary::Unstructured;
use ssm_smux::{Config, Event, MAX_STREAMS, Mux, QUEUE_LIMIT, StreamId};

use crate::memory;

/// Operations in one input, and bytes that its peer and its programs write: few enough to be quick.
const BUDGET: (usize, usize) = (300, 1 << 20);
/// What is really held may be this many times what the multiplexer says: pieces grow by doubling...
const HELD_TIMES: usize = 2;
/// ...and this much more: for each stream its bookkeeping and the beginnings of two queues, the ledger of bytes in
/// flight, and what this harness keeps.
const HELD_MORE: usize = 1 << 20;
const HEADER: usize = 8;

#[derive(Debug, Default)]
struct Stream {
    written: u64,
    carried: u64,
    is_opened: bool,
    is_closed: bool,
    ended: bool,
}

/// Runs one input.
///
/// # Panics
/// When a promise is broken.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let (unread, in_flight) = (input.arbitrary::<u16>().unwrap_or(0), input.arbitrary::<u16>().unwrap_or(0));
    let config = Config {
        keep_alive: unread % 2 == 1,
        unread_limit: usize::from(unread) + 1,
        in_flight_limit: usize::from(in_flight) + 1,
    };
    let mut peer = Peer::new(config, Instant::now());
    let before = memory::held();
    for _ in 0..BUDGET.0 {
        if input.is_empty() || peer.volume > BUDGET.1 {
            break;
        }
        if peer.act(&mut input).is_err() {
            break;
        }
        peer.settle();
        let stats = peer.mux.stats();
        let says = stats.queued + stats.unread + peer.out.len();
        let held = memory::held().saturating_sub(before);
        assert!(held <= says * HELD_TIMES + HELD_MORE, "{held} bytes are held: {stats:?}");
    }
}

struct Peer {
    mux: Mux,
    /// The same, and it gets the peer's bytes one by one.
    twin: Mux,
    config: Config,
    now: Instant,
    streams: BTreeMap<StreamId, Stream>,
    out: Vec<u8>,
    delivered: u64,
    volume: usize,
    failed: bool,
}

/// Byte `at` of what is written on a stream.
fn pattern(id: StreamId, at: u64) -> u8 {
    ((at ^ u64::from(id.get()) << 40).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8
}

impl Peer {
    fn new(config: Config, now: Instant) -> Self {
        let (mux, twin) = (Mux::new(config, now), Mux::new(config, now));
        let (streams, out) = Default::default();
        Self { mux, twin, config, now, streams, out, delivered: 0, volume: 0, failed: false }
    }

    /// The stream that a byte of the input means: one of those opened, if any.
    fn id(&self, stream: u8) -> Option<StreamId> {
        let count = self.streams.len();
        self.streams.keys().nth(usize::from(stream) % count.max(1)).copied()
    }

    /// One operation: a byte says which, another the stream, and two a number.
    fn act(&mut self, input: &mut Unstructured<'_>) -> arbitrary::Result<()> {
        let (which, stream): (u8, u8) = input.arbitrary()?;
        let number: u16 = input.arbitrary()?;
        match which % 16 {
            0 | 1 => self.open(),
            2 | 3 => self.send(stream, number.into()),
            4 => self.close(stream),
            5 => self.reset(stream),
            6 | 7 => self.read(stream, number.into()),
            8 | 9 => self.transmit(number.into()),
            10 => {
                self.delivered += u64::from(number);
                self.mux.delivered(self.now, self.delivered);
                self.twin.delivered(self.now, self.delivered);
            }
            11 => self.frame(2, stream, number % 5_000, u16::MAX),
            12 => {
                let cut: u8 = input.arbitrary()?;
                self.frame((number >> 8) as u8 % 5, stream, number % 64, cut.into());
            }
            13 => {
                let bytes = input.bytes(usize::from(stream).min(input.len()))?.to_vec();
                self.arrive(&bytes);
            }
            14 => self.now += Duration::from_millis(number.into()),
            _ => self.turn(stream),
        }
        Ok(())
    }

    fn open(&mut self) {
        let opened = self.mux.open(self.now);
        assert_eq!(opened, self.twin.open(self.now));
        if let Ok(id) = opened {
            assert!(self.streams.last_key_value().is_none_or(|(last, _)| *last < id));
            self.streams.insert(id, Stream::default());
        }
        assert!(self.mux.stats().streams <= MAX_STREAMS);
    }

    fn close(&mut self, stream: u8) {
        if let Some(id) = self.id(stream) {
            self.mux.close(id);
            self.twin.close(id);
            assert_eq!(self.mux.send_capacity(id), 0);
        }
    }

    fn reset(&mut self, stream: u8) {
        if let Some(id) = self.id(stream) {
            self.mux.reset(id);
            self.twin.reset(id);
            self.streams.entry(id).or_default().ended = true;
        }
    }

    /// What is rare.
    fn turn(&mut self, which: u8) {
        match which % 3 {
            0 => self.now = self.mux.poll_timeout().unwrap_or(self.now).max(self.now),
            1 => {
                self.mux.resumed(self.now);
                self.twin.resumed(self.now);
            }
            _ => {
                self.mux.connect_failed();
                self.twin.connect_failed();
            }
        }
    }

    fn send(&mut self, stream: u8, length: usize) {
        let Some(id) = self.id(stream) else { return };
        let stream = self.streams.entry(id).or_default();
        let bytes: Vec<u8> = (0..length as u64).map(|at| pattern(id, stream.written + at)).collect();
        let room = self.mux.send_capacity(id);
        let taken = self.mux.send(id, &bytes);
        assert_eq!(taken, length.min(room));
        assert_eq!(self.twin.send(id, &bytes), taken);
        stream.written += taken as u64;
        self.volume += taken;
    }

    fn read(&mut self, stream: u8, length: usize) {
        let Some(id) = self.id(stream) else { return };
        let mut left = length;
        while left > 0 {
            let bytes = self.mux.read(id);
            let Some(bytes) = bytes.get(..left.min(bytes.len())).filter(|bytes| !bytes.is_empty()) else { break };
            // What came in raw frames is not known, but the twin has the same.
            let count = bytes.len();
            let mut rest = bytes;
            while !rest.is_empty() {
                let twin = self.twin.read(id);
                let common = twin.len().min(rest.len());
                assert_eq!(twin[..common], rest[..common], "a cut makes a difference");
                assert!(common > 0, "a cut loses bytes");
                self.twin.consume(id, common);
                rest = &rest[common..];
            }
            self.mux.consume(id, count);
            left -= count;
        }
    }

    /// A frame in order, of a stream that may be there, cut behind `cut` bytes.
    fn frame(&mut self, command: u8, stream: u8, length: u16, cut: u16) {
        let id = self.id(stream).map_or(u32::from(stream), StreamId::get);
        let length = match command {
            2 => length,
            4 => 8,
            _ => 0,
        };
        let mut bytes = vec![1, command];
        bytes.extend(length.to_le_bytes());
        bytes.extend(id.to_le_bytes());
        bytes.extend((0..length).map(|at| at as u8));
        bytes.truncate(bytes.len().min(usize::from(cut) + 1));
        self.arrive(&bytes);
    }

    /// Bytes of the peer. A budget that is spent in the middle of a piece is spent elsewhere when it comes byte by
    /// byte, so that the twin is given up then, and all begins again.
    fn arrive(&mut self, bytes: &[u8]) {
        self.volume += bytes.len();
        if self.mux.stats().unread + bytes.len() > self.config.unread_limit {
            let _ = self.mux.handle_bytes(bytes);
            self.begin_again();
            return;
        }
        let result = self.mux.handle_bytes(bytes);
        let twin = bytes.chunks(1).try_for_each(|byte| self.twin.handle_bytes(byte));
        assert!(result == twin || bytes.is_empty(), "a cut makes a difference");
        self.failed |= result.is_err();
    }

    /// Both are new after a flood; the bounds are checked before.
    fn begin_again(&mut self) {
        self.check();
        *self = Self { volume: self.volume, ..Self::new(self.config, self.now) };
    }

    fn transmit(&mut self, max: usize) {
        let before = self.out.len();
        let count = self.mux.poll_transmit(self.now, max, &mut self.out);
        assert_eq!(count, self.out.len() - before);
        assert!(count <= max && (count == 0 || !self.failed));
        let mut twin = Vec::new();
        self.twin.poll_transmit(self.now, max, &mut twin);
        assert_eq!(twin, self.out[before..]);
        self.volume += count;
        self.are_frames();
    }

    /// Reads what went out.
    fn are_frames(&mut self) {
        let out = std::mem::take(&mut self.out);
        let mut rest = &out[..];
        while !rest.is_empty() {
            let length = usize::from(u16::from_le_bytes([rest[2], rest[3]]));
            let id = u32::from_le_bytes([rest[4], rest[5], rest[6], rest[7]]);
            let data = &rest[HEADER..HEADER + length];
            let found = self.streams.iter_mut().find(|(known, _)| known.get() == id);
            match (rest[0], rest[1], found) {
                (1, 0, Some((_, stream))) if !stream.is_opened && length == 0 => stream.is_opened = true,
                (1, 1, Some((_, stream))) if stream.is_opened && !stream.is_closed && length == 0 => {
                    stream.is_closed = true;
                }
                (1, 2, Some((id, stream))) if stream.is_opened && !stream.is_closed && length > 0 => {
                    assert!(data.iter().zip(stream.carried..).all(|(byte, at)| *byte == pattern(*id, at)));
                    stream.carried += length as u64;
                    assert!(stream.carried <= stream.written);
                }
                (1, 3, None) if id == 0 && length == 0 => assert!(self.config.keep_alive),
                (version, command, _) => panic!("version {version}, command {command}, stream {id}, {length} bytes"),
            }
            rest = &rest[HEADER + length..];
        }
    }

    /// Drains events and time, as the contract says.
    fn settle(&mut self) {
        self.mux.handle_timeout(self.now);
        self.twin.handle_timeout(self.now);
        assert!(self.mux.poll_timeout().is_none_or(|at| at > self.now), "a time that has been");
        let (mut seen, mut twin) = (BTreeSet::new(), BTreeSet::new());
        while let Some(event) = self.mux.poll_event() {
            let stream = self.streams.get_mut(&event.stream()).expect("an event of a stream");
            assert!(!stream.ended, "{event:?} after the end");
            stream.ended = matches!(event, Event::Finished(_) | Event::Refused { .. } | Event::Reset(..));
            seen.insert(format!("{event:?}"));
        }
        while let Some(event) = self.twin.poll_event() {
            twin.insert(format!("{event:?}"));
        }
        assert_eq!(seen, twin, "a cut makes a difference");
        self.check();
    }

    fn check(&self) {
        let stats = self.mux.stats();
        assert!(stats.queued <= stats.streams * QUEUE_LIMIT);
        assert!(stats.unread <= self.config.unread_limit * 2 + usize::from(u16::MAX));
        for id in self.streams.keys() {
            let undelivered = self.mux.undelivered(*id);
            assert!(undelivered <= QUEUE_LIMIT + self.config.in_flight_limit + 128, "{undelivered}");
        }
    }
}
