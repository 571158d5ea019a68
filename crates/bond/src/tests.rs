//! The two halves, joined by links that pass bytes on at once.

use std::time::{Duration, Instant};

use crate::frame::Frame;
use crate::{Bond, Config, Event, LinkId, ProtocolError, Verdict, accept, refuse, verdict};

const IDS: [LinkId; 2] = [LinkId(0), LinkId(1)];

struct Pair {
    now: Instant,
    here: Bond,
    there: Bond,
}

fn events(bond: &mut Bond) -> Vec<Event> {
    std::iter::from_fn(|| bond.poll_event()).collect()
}

/// What one half has for a link now.
fn frames(bond: &mut Bond, now: Instant, id: LinkId) -> Vec<u8> {
    let mut out = Vec::new();
    bond.poll_transmit(now, id, 64 << 10, &mut out);
    out
}

fn read(bond: &mut Bond, now: Instant) -> Vec<u8> {
    let mut all = Vec::new();
    while !bond.read().is_empty() {
        let bytes = bond.read().to_vec();
        bond.consume(now, bytes.len());
        all.extend(bytes);
    }
    all
}

impl Pair {
    fn new(ids: &[LinkId]) -> Self {
        let now = Instant::now();
        let (here, there) = (Bond::new(Config::client(), now), Bond::new(Config::joiner(), now));
        let mut pair = Self { now, here, there };
        for id in ids {
            pair.here.add_link(now, *id);
            pair.there.add_link(now, *id);
        }
        pair
    }

    fn pass(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
        self.here.handle_timeout(self.now);
        self.there.handle_timeout(self.now);
    }

    /// Passes on what both halves have for these links, until nothing moves.
    fn exchange(&mut self, ids: &[LinkId]) {
        loop {
            let mut moved = 0;
            for id in ids {
                let up = frames(&mut self.here, self.now, *id);
                self.there.handle_bytes(self.now, *id, &up).unwrap();
                let down = frames(&mut self.there, self.now, *id);
                self.here.handle_bytes(self.now, *id, &down).unwrap();
                moved += up.len() + down.len();
            }
            if moved == 0 {
                return;
            }
        }
    }
}

#[test]
fn bytes_and_ends_pass_in_both_directions() {
    let mut pair = Pair::new(&IDS);
    pair.here.send(pair.now, b"question");
    pair.there.send(pair.now, b"answer");
    pair.here.finish();
    pair.there.finish();
    pair.exchange(&IDS);
    assert_eq!(
        (read(&mut pair.there, pair.now), read(&mut pair.here, pair.now)),
        (b"question".into(), b"answer".into())
    );
    assert!(events(&mut pair.here).contains(&Event::Finished) && events(&mut pair.there).contains(&Event::Finished));
    assert!(!pair.here.is_delivered(), "nothing is confirmed before its time");
    pair.pass(20);
    pair.exchange(&IDS);
    assert!(pair.here.is_delivered() && pair.there.is_delivered());
}

#[test]
fn what_a_dead_link_held_goes_over_another() {
    let mut pair = Pair::new(&IDS);
    pair.here.send(pair.now, b"first ");
    assert!(!frames(&mut pair.here, pair.now, IDS[0]).is_empty(), "and nobody gets it");
    pair.here.send(pair.now, b"second");
    pair.here.finish();
    for half in [&mut pair.here, &mut pair.there] {
        half.remove_link(pair.now, IDS[0]);
    }
    pair.exchange(&IDS[1..]);
    assert_eq!(read(&mut pair.there, pair.now), b"first second");
    assert!(pair.there.is_whole());
    assert_eq!(pair.here.stats().resent, 6);
}

#[test]
fn a_link_that_confirms_nothing_is_stalled_until_it_does() {
    let mut pair = Pair::new(&IDS);
    pair.here.send(pair.now, b"slow");
    let slow = frames(&mut pair.here, pair.now, IDS[0]);
    pair.pass(1100);
    assert_eq!(events(&mut pair.here), [Event::Stalled(IDS[0])]);
    pair.exchange(&IDS[1..]);
    assert_eq!(read(&mut pair.there, pair.now), b"slow");
    pair.there.handle_bytes(pair.now, IDS[0], &slow).unwrap();
    assert_eq!(pair.there.stats().duplicates, 4);
    pair.pass(20);
    pair.exchange(&IDS);
    assert!(events(&mut pair.here).contains(&Event::Revived(IDS[0])));
}

#[test]
fn the_last_bytes_wait_less_long_for_a_silent_link() {
    let mut pair = Pair::new(&IDS);
    pair.here.send(pair.now, b"last");
    pair.here.finish();
    frames(&mut pair.here, pair.now, IDS[0]);
    pair.pass(399);
    assert_eq!(events(&mut pair.here), []);
    pair.pass(1);
    assert_eq!(events(&mut pair.here), [Event::Stalled(IDS[0])]);
    pair.exchange(&IDS[1..]);
    assert_eq!(read(&mut pair.there, pair.now), b"last");
}

#[test]
fn the_only_link_is_never_called_stalled() {
    let mut pair = Pair::new(&IDS[..1]);
    pair.here.send(pair.now, b"patience");
    frames(&mut pair.here, pair.now, IDS[0]);
    pair.pass(60_000);
    assert_eq!(events(&mut pair.here), []);
    pair.here.add_link(pair.now, IDS[1]);
    pair.there.add_link(pair.now, IDS[1]);
    pair.pass(1);
    assert_eq!(events(&mut pair.here), [Event::Stalled(IDS[0])]);
    pair.exchange(&IDS[1..]);
    assert_eq!(read(&mut pair.there, pair.now), b"patience");
}

#[test]
fn a_link_retires_when_both_halves_have_done_with_it() {
    let mut pair = Pair::new(&IDS);
    pair.there.send(pair.now, b"under way");
    pair.exchange(&IDS);
    pair.here.retire_link(pair.now, IDS[0]);
    pair.exchange(&IDS);
    pair.pass(20);
    pair.exchange(&IDS);
    assert!(events(&mut pair.here).contains(&Event::Retired(IDS[0])));
    assert!(events(&mut pair.there).contains(&Event::Retired(IDS[0])));
    pair.here.remove_link(pair.now, IDS[0]);
    pair.here.send(pair.now, b"more");
    pair.exchange(&IDS[1..]);
    assert_eq!(read(&mut pair.there, pair.now), b"more");
}

#[test]
fn a_reader_that_stops_stops_the_sender_and_is_asked_when_its_word_is_lost() {
    let mut pair = Pair::new(&IDS[..1]);
    let window = Config::client().window;
    let mut sent = 0;
    for _ in 0..5000 {
        sent += pair.here.send(pair.now, &[7; 4096]);
        pair.exchange(&IDS[..1]);
        pair.pass(20);
    }
    assert!(sent > window && sent <= window + Config::client().queue, "{sent}");
    assert!(pair.there.stats().held <= window);
    read(&mut pair.there, pair.now);
    assert!(!frames(&mut pair.there, pair.now, IDS[0]).is_empty(), "the word of the room, which is lost");
    pair.pass(1);
    pair.pass(500);
    pair.exchange(&IDS[..1]);
    assert_eq!(pair.there.stats().held, sent - window);
}

#[test]
fn a_reset_ends_both() {
    let mut pair = Pair::new(&IDS);
    pair.there.reset();
    pair.exchange(&IDS);
    assert_eq!(events(&mut pair.here), [Event::Reset]);
    assert_eq!((pair.here.send_capacity(), pair.there.send_capacity()), (0, 0));
}

#[test]
fn what_was_never_sent_cannot_be_confirmed() {
    let mut pair = Pair::new(&IDS);
    let delivered = [&[2, 0, 16][..], &1_u64.to_be_bytes(), &0_u64.to_be_bytes()].concat();
    assert_eq!(pair.here.handle_bytes(pair.now, IDS[0], &delivered), Err(ProtocolError::Unsent));
    let frames = [&[2, 0, 30][..], &[0; 16], &0_u32.to_be_bytes(), &1_u64.to_be_bytes(), &[0; 2]].concat();
    assert_eq!(pair.here.handle_bytes(pair.now, IDS[0], &frames), Err(ProtocolError::Unsent));
}

/// Whatever comes on a link, in any portions, is an error or nothing, and takes no more than the window.
#[test]
fn whatever_comes_is_bounded() {
    for seed in 0..2000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut pair = Pair::new(&IDS);
        pair.here.send(pair.now, b"hello");
        frames(&mut pair.here, pair.now, IDS[0]);
        for _ in 0..40 {
            let mut bytes = vec![random.u8(1..10), 0, random.u8(..40)];
            bytes.extend((0..random.usize(..60)).map(|_| if random.bool() { 0 } else { random.u8(..) }));
            if pair.here.handle_bytes(pair.now, IDS[random.usize(..2)], &bytes).is_err() {
                break;
            }
            frames(&mut pair.here, pair.now, IDS[0]);
            assert!(pair.here.stats().held <= Config::client().window, "seed {seed}");
        }
    }
}

#[test]
fn a_verdict_is_found_behind_other_frames_and_not_before_it_is_whole() {
    let mut bytes = Vec::new();
    Frame::Data { offset: 0, bytes: b"of another stream" }.encode(&mut bytes);
    let before = bytes.len();
    accept([3; 32], &mut bytes);
    let whole = bytes.len();
    Frame::Ping.encode(&mut bytes);
    for length in 0..whole {
        assert_eq!(verdict(&bytes[..length]), Ok(None));
    }
    assert_eq!(verdict(&bytes), Ok(Some((Verdict::Accepted([3; 32]), whole))));
    let mut refused = bytes[..before].to_vec();
    refuse(4, &mut refused);
    assert_eq!(verdict(&refused), Ok(Some((Verdict::Refused(4), refused.len()))));
    assert_eq!(verdict(&[7, 0, 1, 0]), Err(ProtocolError::Length(7)));
}
