//! What happens in the world of a seed.

use fastrand::Rng;

use crate::link::{DOWN, Micros, Pace, UP};
use crate::program::{Reads, Writes};
use crate::world::{Driving, Half, World};

const SECOND: Micros = 1_000_000;
/// A bond has no more links than that.
const LINKS: usize = 8;
/// What a world may take beside the times that its links and programs need.
const GRACE: Micros = 20 * SECOND;

/// Something that happens to a link; which, is a number that is taken modulo the links there are.
#[derive(Clone, Copy, Debug)]
enum Change {
    Add { paces: [Pace; 2], first: usize },
    Kill { pick: usize, known_after: [Micros; 2] },
    Stall { pick: usize, ways: [bool; 2], lasts: Micros, is_held: bool },
    Pace { pick: usize, paces: [Pace; 2] },
    Retire { pick: usize },
}

#[derive(Clone, Debug)]
pub(crate) struct Script {
    driving: Driving,
    cuts_retired: bool,
    first: Vec<([Pace; 2], usize)>,
    writes: [Writes; 2],
    reads: [Reads; 2],
    changes: Vec<(Micros, Change)>,
    /// A bond without links gets one after this time, and so fast.
    rescue: (Micros, [Pace; 2]),
}

/// What a world has seen.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    pub(crate) bytes: [u64; 2],
    pub(crate) resent: u64,
    pub(crate) stalls: u64,
    pub(crate) retired: u64,
    pub(crate) deaths: u64,
    pub(crate) rescues: u64,
    /// How long bonds asked for times that had passed: all of it, and the longest.
    pub(crate) spun: Micros,
    pub(crate) spun_longest: Micros,
    /// The most that a world took of the time it may take, in hundredths.
    pub(crate) share: u64,
}

impl Summary {
    pub(crate) fn add(&mut self, other: &Self) {
        for way in 0..2 {
            self.bytes[way] += other.bytes[way];
        }
        self.resent += other.resent;
        self.stalls += other.stalls;
        self.retired += other.retired;
        self.deaths += other.deaths;
        self.rescues += other.rescues;
        self.spun += other.spun;
        self.spun_longest = self.spun_longest.max(other.spun_longest);
        self.share = self.share.max(other.share);
    }
}

/// How wild the links of a world are.
struct Wildness {
    delay: Micros,
    slowest: u64,
}

fn paces(random: &mut Rng, wild: &Wildness) -> [Pace; 2] {
    let delay = random.u64(..=wild.delay);
    // The way back is as long, or of any other length.
    let back = if random.u8(..4) > 0 { delay } else { random.u64(..=wild.delay) };
    let slower = random.u64(1..=wild.slowest);
    [
        Pace { bytes: 1536, turn: 1111 * slower, delay },
        Pace { bytes: 1024, turn: 1250 * if random.bool() { slower } else { 1 }, delay: back },
    ]
}

fn writes(random: &mut Rng) -> Writes {
    let bytes = match random.u8(..8) {
        0 => 0,
        1 => random.u64(1..200),
        2 | 3 => random.u64(..60_000),
        _ => random.u64(..=600_000),
    };
    let portion = [1, 64, 700, 4096, 16 << 10, 64 << 10][random.usize(..6)];
    if random.u8(..4) > 0 {
        return Writes::All { bytes, portion: portion.max(64) };
    }
    // At most some seconds of it.
    let every = random.u64(500..=60_000);
    Writes::Some { bytes: bytes.min(portion as u64 * 6 * SECOND / every), portion, every }
}

fn reads(random: &mut Rng) -> Reads {
    if random.u8(..3) > 0 {
        return Reads::AtOnce;
    }
    let from = if random.bool() { 0 } else { random.u64(..3 * SECOND) };
    let every = random.u64(1_000..=100_000);
    // 60 kB/s or more.
    let least = (every * 60 / 1000).max(1) as usize;
    Reads::Slowly { bytes: random.usize(least..=least * 20), every, from }
}

fn change(random: &mut Rng, wild: &Wildness, is_deadly: bool) -> Change {
    let pick = random.usize(..);
    match random.u8(if is_deadly { 0..10 } else { 3..10 }) {
        0..=2 => {
            let known = |random: &mut Rng| if random.bool() { 0 } else { random.u64(..2 * SECOND) };
            Change::Kill { pick, known_after: [known(random), known(random)] }
        }
        3 | 4 => Change::Add { paces: paces(random, wild), first: random.usize(..2) },
        5 | 6 => {
            let ways = [[true, true], [true, false], [false, true]][random.usize(..3)];
            let most = [SECOND / 2, 5 * SECOND][random.usize(..2)];
            Change::Stall { pick, ways, lasts: random.u64(..most), is_held: random.bool() }
        }
        7 => Change::Pace { pick, paces: paces(random, wild) },
        _ => Change::Retire { pick },
    }
}

impl Script {
    pub(crate) fn of(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let random = &mut random;
        let wild =
            Wildness { delay: [5_000, 40_000, 150_000][random.usize(..3)], slowest: [1, 4, 16][random.usize(..3)] };
        let is_deadly = random.u8(..4) > 0;
        let first = (0..random.usize(1..=LINKS)).map(|_| (paces(random, &wild), random.usize(..2))).collect();
        let pause = [50_000, 300_000, 2 * SECOND][random.usize(..3)];
        let mut at = 0;
        let changes = (0..random.usize(..40)).map(|_| {
            at += random.u64(..=2 * pause);
            (at, change(random, &wild, is_deadly))
        });
        let changes = changes.take_while(|(at, _)| *at < 15 * SECOND).collect();
        Self {
            driving: Driving {
                window: [16 << 10, 64 << 10, 256 << 10, 4 << 20][random.usize(..4)],
                polls_full: random.bool(),
                room: [1500, 8 << 10, 64 << 10][random.usize(..3)],
                tells_time: random.u8(..4) == 0,
            },
            cuts_retired: random.bool(),
            first,
            writes: [writes(random), writes(random)],
            reads: [reads(random), reads(random)],
            changes,
            rescue: (random.u64(..3 * SECOND), paces(random, &wild)),
        }
    }

    /// When all must be over: all changes are, and then the slowest link would have carried it twice, there and back.
    fn bound(&self) -> Micros {
        let added = self.changes.iter().filter_map(|(_, change)| match change {
            Change::Add { paces, .. } | Change::Pace { paces, .. } => Some(paces),
            _ => None,
        });
        let paces = self.first.iter().map(|(paces, _)| paces).chain(added).chain([&self.rescue.1]);
        let slowest = paces.flatten().map(Pace::rate).fold(f64::MAX, f64::min);
        let stalls = self.changes.iter().map(|(at, change)| match change {
            Change::Stall { lasts, .. } => at + lasts,
            _ => *at,
        });
        let changed = stalls.max().unwrap_or(0) + self.rescue.0;
        let needed: f64 = (0..2)
            .map(|way| {
                let (bytes, writing) = match self.writes[way] {
                    Writes::All { bytes, .. } => (bytes, 0),
                    Writes::Some { bytes, portion, every } => (bytes, bytes / portion as u64 * every),
                    Writes::Forever | Writes::Nothing => (0, 0),
                };
                let reading = match self.reads[1 - way] {
                    Reads::AtOnce => 0.0,
                    Reads::Slowly { bytes: most, every, from } => {
                        from as f64 + bytes as f64 / most as f64 * every as f64
                    }
                };
                bytes as f64 * 2e6 / slowest + writing as f64 + reading
            })
            .sum();
        // A small window is one trip there and back for each window of bytes, or nearly.
        let trips = (600_000 / self.driving.window as u64 + 1) * SECOND;
        changed + needed as Micros + trips + GRACE
    }

    pub(crate) fn run(&self) -> Summary {
        let mut world = World::new(self.driving);
        world.cuts_retired = self.cuts_retired;
        for half in [UP, DOWN] {
            let program = &mut world.halves[half].program;
            *program = crate::program::Program::new(half, self.writes[half], self.reads[half]);
        }
        self.first.iter().for_each(|(paces, first)| world.add(*paces, *first));
        let mut summary = Summary::default();
        let bound = self.bound();
        let mut changes = self.changes.iter().peekable();
        let mut rescue = None;
        while !is_over(&world) {
            let is_bare = !world.links.iter().any(|link| link.is_alive() && !link.is_retiring);
            rescue = is_bare.then(|| rescue.unwrap_or(world.now + self.rescue.0));
            let next = changes.peek().map(|(at, _)| *at).into_iter().chain(rescue).min();
            // Every so often it is asked whether all is over.
            let until = next.unwrap_or(bound).min(world.now + SECOND / 10);
            let is_alive = world.run(until.max(world.now));
            assert!(is_alive || next.is_some() || is_over(&world), "nothing happens any more: {}", tell(&world));
            assert!(world.now < bound, "not over after {} ms: {}", bound / 1000, tell(&world));
            if rescue.is_some_and(|at| at <= world.now) {
                world.add(self.rescue.1, UP);
                (rescue, summary.rescues) = (None, summary.rescues + 1);
            }
            if let Some((_, change)) = changes.next_if(|(at, _)| *at <= world.now) {
                apply(&mut world, *change, &mut summary);
            }
        }
        summary.share = world.now * 100 / bound;
        see_rest(&mut world);
        for half in [UP, DOWN] {
            let Half { program, bond, stalls, retired, spun, spun_longest, .. } = &world.halves[half];
            assert_eq!(Some(program.read), world.halves[1 - half].program.all());
            summary.bytes[half] = program.written;
            summary.resent += bond.stats().resent;
            summary.stalls += stalls;
            summary.retired += retired;
            summary.spun += spun;
            summary.spun_longest = summary.spun_longest.max(*spun_longest);
        }
        summary
    }
}

fn apply(world: &mut World, change: Change, summary: &mut Summary) {
    let alive: Vec<usize> = (0..world.links.len()).filter(|at| world.links[*at].is_alive()).collect();
    let at = |pick: usize| alive.get(pick % alive.len().max(1)).copied();
    let now = world.now;
    match change {
        Change::Add { paces, first } if world.links.len() < LINKS => world.add(paces, first),
        Change::Add { .. } => {}
        Change::Kill { pick, known_after } => {
            if let Some(at) = at(pick) {
                summary.deaths += 1;
                world.kill(at, known_after);
            }
        }
        Change::Stall { pick, ways, lasts, is_held } => {
            for way in (0..2).filter(|way| ways[*way]) {
                if let Some(at) = at(pick) {
                    world.links[at].ways[way].stall(now + lasts, is_held);
                }
            }
        }
        Change::Pace { pick, paces } => {
            if let Some(at) = at(pick) {
                (0..2).for_each(|way| world.links[at].ways[way].pace = paces[way]);
            }
        }
        Change::Retire { pick } => {
            let kept = |at: &usize| world.links[*at].is_held_by[UP] && !world.links[*at].is_retiring;
            let kept: Vec<usize> = alive.iter().copied().filter(kept).collect();
            if kept.len() > 1 {
                world.retire(kept[pick % kept.len()]);
            }
        }
    }
}

fn is_over(world: &World) -> bool {
    world.halves.iter().all(|half| half.program.is_finished && half.bond.is_delivered())
}

/// Once all is over, links that are to retire do, and then nothing is sent and nobody wants to know the time.
fn see_rest(world: &mut World) {
    let stalled = world.links.iter().map(|link| link.stalled_until()).chain([world.now]).max().unwrap_or(0);
    world.run(stalled + 5 * SECOND);
    let before: Vec<_> = world.halves.iter().map(|half| (half.bytes, half.wakes)).collect();
    world.run(world.now + 2 * SECOND);
    let after: Vec<_> = world.halves.iter().map(|half| (half.bytes, half.wakes)).collect();
    assert_eq!(before, after, "bytes and wakes while there is nothing to do: {}", tell(world));
    let left = world.links.iter().find(|link| link.is_retiring);
    assert!(left.is_none(), "a link does not retire: {left:?}, {}", tell(world));
}

fn tell(world: &World) -> String {
    let halves: Vec<_> = world.halves.iter().map(|half| &half.bond).collect();
    format!("at {} ms: {halves:#?}\n{:?}", world.now / 1000, world.links)
}
