//! The target `bond`: a half of a bond, a hostile other half on three links, programs and a clock, all made of the input; and
//! the two readers of an opening, which get the input as it is.
//!
//! What is promised whatever comes: no panic; what is held keeps the window, counted at the allocator as well; what goes out
//! on a link is whole frames, no more than there was room for; bytes of an opening cut in another way are read alike.

use std::time::{Duration, Instant};

use arbitrary::{Result, Unstructured};
use ssm_bond::opening::{AnswerReader, Greeting, Port};
use ssm_bond::{Bond, Config, LinkId, Pacing};

use crate::memory;

/// Operations in one input: few enough to be quick.
const MOST_STEPS: usize = 300;
const WINDOW: usize = 64 << 10;
/// Each piece out of order has a place in a map; each link has the beginning of a frame.
const HELD_MORE: usize = 1 << 20;

/// Runs one input.
///
/// # Panics
/// When a promise is broken.
pub fn run(data: &[u8]) {
    read_openings(data);
    let mut input = Unstructured::new(data);
    let pacing = if input.arbitrary().unwrap_or(false) { Pacing::Pulled } else { Pacing::Measured };
    let before = memory::held();
    let mut half = Half::new(Config { pacing, window: WINDOW, queue: 16 << 10 });
    for _ in 0..MOST_STEPS {
        if input.is_empty() || half.step(&mut input).is_err() {
            break;
        }
        let stats = half.bond.stats();
        assert!(stats.held <= WINDOW, "{stats:?}");
        let held = memory::held().saturating_sub(before);
        assert!(held <= 4 * WINDOW + HELD_MORE, "{held} bytes are held: {stats:?}");
    }
}

/// An answer, and a greeting, cut in two places or not.
fn read_openings(data: &[u8]) {
    let _ = Greeting::decode(data);
    let port = if data.len() % 2 == 0 { Port::First } else { Port::Join };
    let greeting = Greeting { needs_secret: false, any_destination: true, port, join_port: 1, nonce: [7; 32] };
    let mut whole = AnswerReader::new(greeting.clone());
    let used = whole.take(data);
    let mut cut = AnswerReader::new(greeting);
    let (first, second) = data.split_at(data.len() / 3);
    let used_cut = cut.take(first).and_then(|used| Ok(used + cut.take(second)?));
    assert_eq!((used, whole.is_whole(), whole.bond_id()), (used_cut, cut.is_whole(), cut.bond_id()));
}

struct Half {
    bond: Bond,
    now: Instant,
    out: Vec<u8>,
}

impl Half {
    fn new(config: Config) -> Self {
        let now = Instant::now();
        let mut bond = Bond::new(config, now);
        (0..3).for_each(|id| bond.add_link(now, LinkId(id)));
        Self { bond, now, out: Vec::new() }
    }

    fn step(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        let id = LinkId(u32::from(input.int_in_range(0..=3_u8)?));
        match input.int_in_range(0..=9_u8)? {
            0..=3 => self.receive(id, input)?,
            4 => {
                let length = input.int_in_range(0..=9000_u16)?;
                self.bond.send(self.now, &vec![7; usize::from(length)]);
            }
            5 => self.bond.consume(self.now, self.bond.read().len()),
            6 => {
                self.now += Duration::from_millis(u64::from(input.arbitrary::<u16>()?));
                self.bond.handle_timeout(self.now);
            }
            7 => self.bond.remove_link(self.now, id),
            8 => self.bond.add_link(self.now, id),
            _ if input.arbitrary()? => self.bond.finish(),
            _ => self.bond.retire_link(self.now, id),
        }
        while self.bond.poll_event().is_some() {}
        self.out.clear();
        let room = usize::from(input.arbitrary::<u16>()?);
        let written = self.bond.poll_transmit(self.now, id, room, &mut self.out);
        assert!(written <= room && written == self.out.len(), "{written} bytes for {room}");
        let mut rest = &self.out[..];
        while let [_, high, low, behind @ ..] = rest {
            rest = behind.get(usize::from(u16::from_be_bytes([*high, *low]))..).expect("a whole frame");
        }
        assert!(rest.is_empty(), "a part of a frame");
        Ok(())
    }

    /// A frame that is nearly in order, or bytes.
    fn receive(&mut self, id: LinkId, input: &mut Unstructured<'_>) -> Result<()> {
        let length = usize::from(input.arbitrary::<u8>()?);
        let body = input.bytes(length.min(input.len()))?.to_vec();
        let frame = match input.int_in_range(0..=3_u8)? {
            0 => body,
            1 => {
                let near = self.bond.stats().received.wrapping_add(u64::from(input.arbitrary::<u16>()?));
                framed(1, &[&near.to_be_bytes()[..], &body].concat())
            }
            2 => {
                let delivered = self.bond.stats().delivered + u64::from(input.arbitrary::<u8>()?);
                let frames = [&[0, 0, 0, id.0 as u8][..], &u64::from(input.arbitrary::<u8>()?).to_be_bytes(), &[0; 2]];
                let window = input.arbitrary::<u32>()?;
                framed(2, &[&delivered.to_be_bytes()[..], &u64::from(window).to_be_bytes(), &frames.concat()].concat())
            }
            _ => framed(input.arbitrary::<u8>()?, &body),
        };
        if self.bond.handle_bytes(self.now, id, &frame).is_err() {
            self.bond.remove_link(self.now, id);
        }
        Ok(())
    }
}

fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &(body.len() as u16).to_be_bytes(), body].concat()
}
