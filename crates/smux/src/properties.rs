//! What holds for every sequence of bytes and of calls, tried on many made by a seeded generator.

use std::time::{Duration, Instant};

use fastrand::Rng;

use super::*;
use crate::limits::SMALLEST_CUT;

/// Tries `check` with as many seeds; a failure names its seed.
fn for_seeds(seeds: u64, check: impl Fn(&mut Rng)) {
    struct Named(u64);
    impl Drop for Named {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("that was seed {}", self.0);
            }
        }
    }
    for seed in 0..seeds {
        let _named = Named(seed);
        check(&mut Rng::with_seed(seed));
    }
}

/// Frames, most of them right, of few streams.
fn bytes(rng: &mut Rng) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..rng.usize(..40) {
        let version = if rng.u8(..60) == 0 { rng.u8(..4) } else { 1 };
        let command = if rng.u8(..60) == 0 { rng.u8(..) } else { rng.u8(..4).max(rng.u8(..3)) };
        let most = [0, 1, 9, 300, 5_000][rng.usize(..5)];
        let length = if command == 2 || rng.u8(..60) == 0 { rng.u16(..=most) } else { 0 };
        bytes.extend([version, command]);
        bytes.extend(length.to_le_bytes());
        bytes.extend(rng.u32(..9).to_le_bytes());
        bytes.extend((0..length).map(|_| rng.u8(..)));
    }
    if rng.bool() {
        bytes.truncate(rng.usize(..=bytes.len()));
    }
    bytes
}

/// What a reader sees of a stream: its data and its end.
type Seen = (Vec<u8>, Option<Event>);

/// What is seen of each stream when the bytes come in these pieces, and the failure.
fn seen(pieces: &[&[u8]]) -> (Vec<Seen>, Result<(), ProtocolError>, Stats) {
    let now = Instant::now();
    let mut mux = Mux::new(Config::default(), now);
    let ids: Vec<StreamId> = (0..3).map(|_| mux.open(now).unwrap()).collect();
    mux.poll_transmit(now, 1024, &mut Vec::new());
    let mut seen: Vec<Seen> = ids.iter().map(|_| (Vec::new(), None)).collect();
    let mut result = Ok(());
    for piece in pieces {
        result = mux.handle_bytes(piece);
        for (id, (data, _)) in ids.iter().zip(&mut seen) {
            while let bytes @ [_, ..] = mux.read(*id) {
                let count = bytes.len();
                data.extend_from_slice(bytes);
                mux.consume(*id, count);
            }
        }
        while let Some(event) = mux.poll_event() {
            let (_, end) = &mut seen[ids.iter().position(|id| *id == event.stream()).unwrap()];
            assert_eq!(*end, None, "{event:?} after the end");
            *end = Some(event).filter(|event| !matches!(event, Event::Readable(_)));
        }
        if result.is_err() {
            break;
        }
    }
    (seen, result, mux.stats())
}

#[test]
fn any_bytes_are_frames_or_an_error_and_a_cut_makes_no_difference() {
    for_seeds(4_000, |rng| {
        let bytes = if rng.u8(..8) == 0 { (0..rng.usize(..200)).map(|_| rng.u8(..6)).collect() } else { bytes(rng) };
        let whole = seen(&[&bytes]);
        let mut pieces = Vec::new();
        let mut rest = &bytes[..];
        let most = [1, 10, 1024][rng.usize(..3)];
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(rng.usize(1..=most).min(rest.len()));
            pieces.push(piece);
            rest = behind;
        }
        if pieces.is_empty() {
            return;
        }
        assert_eq!(seen(&pieces), whole);
    });
}

#[test]
fn any_calls_keep_the_bounds_and_the_order_of_frames() {
    for_seeds(3_000, |rng| {
        let mut now = Instant::now();
        let config = Config {
            keep_alive: rng.bool(),
            unread_limit: rng.usize(1..40_000),
            in_flight_limit: rng.usize(1..40_000),
        };
        let mut mux = Mux::new(config, now);
        let mut out = Vec::new();
        let mut delivered = 0;
        for _ in 0..rng.usize(..200) {
            let id = StreamId::from_wire(rng.u32(..8) * 2 + 3);
            match rng.u8(..12) {
                0 | 1 => drop(mux.open(now)),
                2 | 3 => drop(mux.send(id, &vec![0; rng.usize(..90_000)])),
                4 => mux.close(id),
                5 => mux.reset(id),
                6 => mux.consume(id, rng.usize(..9_000)),
                7 => delivered += rng.u64(..9_000),
                8 => mux.connect_failed(),
                9 => drop(mux.handle_bytes(&bytes(rng))),
                10 => now = mux.poll_timeout().unwrap_or(now).max(now),
                _ => now += Duration::from_millis(rng.u64(..9_000)),
            }
            mux.handle_timeout(now);
            mux.delivered(now, delivered);
            mux.poll_transmit(now, rng.usize(..3_000), &mut out);
            if rng.bool() {
                while mux.poll_event().is_some() {}
            }
            check(&mux, now);
        }
        are_frames(&out);
    });
}

fn check(mux: &Mux, now: Instant) {
    let stats = mux.stats();
    assert_eq!(stats.queued, mux.streams.values().map(|stream| stream.queue.len()).sum::<usize>());
    assert_eq!(stats.unread, mux.streams.values().map(|stream| stream.unread.len()).sum::<usize>());
    assert!(stats.unread <= mux.config.unread_limit * 2 + usize::from(u16::MAX));
    assert_eq!(mux.turns.len(), mux.streams.values().filter(|stream| stream.has_turn).count());
    assert!(mux.streams.values().all(|stream| stream.has_frame() == stream.has_turn && !stream.is_over()));
    let most = mux.config.in_flight_limit + SMALLEST_CUT + 3 * 8;
    assert!(mux.streams.values().all(|stream| stream.in_flight <= most && stream.queue.len() <= QUEUE_LIMIT));
    assert!(mux.poll_timeout().is_none_or(|at| at > now), "it asks for a time that has been");
}

/// Whole frames: of each stream SYN, data and FIN, in this order, with SYNs in the order of ids.
fn are_frames(mut bytes: &[u8]) {
    let (mut last, mut closed) = (1, Vec::new());
    while !bytes.is_empty() {
        let length = usize::from(u16::from_le_bytes([bytes[2], bytes[3]]));
        let id = u32::from_le_bytes(bytes[4..8].try_into().unwrap());
        assert!(!closed.contains(&id), "a frame after FIN");
        match (bytes[0], bytes[1], length) {
            (1, 0, 0) => {
                assert!(id > last && id % 2 == 1);
                last = id;
            }
            (1, 1, 0) => closed.push(id),
            (1, 2, 1..) => {}
            (1, 3, 0) => assert_eq!(id, 0),
            other => panic!("{other:?}"),
        }
        assert!(id <= last);
        bytes = &bytes[8 + length..];
    }
}
