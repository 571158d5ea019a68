//! What links carry together, and how long a message takes beside it.

use crate::link::{DOWN, Micros, Pace, UP};
use crate::program::Writes;
use crate::world::{Driving, World};

const SECOND: Micros = 1_000_000;
/// Before this nothing is measured.
const WARM: Micros = 3 * SECOND;
const LONG: Micros = 6 * SECOND;

/// A link as sessions and agents make it.
fn paces(delay: Micros) -> [Pace; 2] {
    [Pace { bytes: 1536, turn: 1111, delay }, Pace { bytes: 1024, turn: 1250, delay }]
}

fn name(way: usize) -> &'static str {
    ["up", "down"][way]
}

fn world(delays: &[Micros]) -> World {
    let mut world = World::new(Driving::default());
    delays.iter().for_each(|delay| world.add(paces(*delay), UP));
    world.sees_times_from = WARM;
    world
}

/// The part of what all links carry that arrived, in each direction in which anything was written.
fn shares(mut world: World, ways: &[usize], raw: [f64; 2]) -> Vec<f64> {
    for way in ways {
        world.halves[*way].program.writes = Writes::Forever;
        world.halves[1 - way].program.counted_from = WARM;
    }
    world.run(WARM + LONG);
    let carried = |way: &usize| world.halves[1 - way].program.counted as f64 / (LONG as f64 / 1e6);
    ways.iter().map(|way| carried(way) / raw[*way]).collect()
}

fn raw(links: usize) -> [f64; 2] {
    paces(0).map(|pace| pace.rate() * links as f64)
}

#[test]
fn links_add_up() {
    for delay in [0, 20, 100] {
        for links in [1, 2, 4, 8] {
            for way in [DOWN, UP] {
                let share = shares(world(&vec![delay * 1000; links]), &[way], raw(links))[0];
                let rate = share * raw(links)[way] / 1e3;
                eprintln!("{links} x {delay} ms {}: {rate:.0} kB/s, {share:.3} of the links", name(way));
                assert!(share >= 0.9, "{links} links, {delay} ms, {}: {share}", name(way));
            }
        }
    }
}

/// Each direction carries the acknowledgements of the other.
#[test]
fn links_add_up_in_both_directions_at_once() {
    for delay in [20, 100] {
        for links in [1, 4, 8] {
            let shares = shares(world(&vec![delay * 1000; links]), &[UP, DOWN], raw(links));
            eprintln!("{links} x {delay} ms, both at once: up {:.3}, down {:.3} of the links", shares[0], shares[1]);
            assert!(shares.iter().all(|share| *share >= 0.85), "{links} links, {delay} ms: {shares:?}");
        }
    }
}

/// A link that is ten times as slow, or far away, does not hold up the others.
#[test]
fn an_odd_link_costs_nothing() {
    for (slower, odd) in [(10, 20), (1, 150), (10, 150)] {
        for way in [DOWN, UP] {
            let mut world = world(&[20_000; 3]);
            let odd = paces(odd * 1000).map(|pace| Pace { turn: pace.turn * slower, ..pace });
            world.add(odd, UP);
            let all = [UP, DOWN].map(|way| raw(3)[way] + odd[way].rate());
            let share = shares(world, &[way], all)[0];
            eprintln!(
                "3 x 20 ms and one {slower} times as slow at {} ms {}: {share:.3}",
                odd[0].delay / 1000,
                name(way)
            );
            assert!(share * all[way] >= 0.9 * raw(3)[way], "{slower}, {odd:?}, {}: {share}", name(way));
        }
    }
}

/// While one link of four stalls, the others carry what they did; when it moves again, so does it.
#[test]
fn a_stalled_link_costs_no_more_than_itself() {
    for way in [DOWN, UP] {
        for stalled in [0, 3] {
            for ways in [[true, true], [true, false], [false, true]] {
                for is_held in [true, false] {
                    let mut world = world(&[20_000; 4]);
                    world.halves[way].program.writes = Writes::Forever;
                    world.run(WARM);
                    let until = WARM + 5 * SECOND;
                    let ways = (0..2).filter(|at| ways[*at]);
                    ways.clone().for_each(|at| world.links[stalled].ways[at].stall(until, is_held));
                    // The first second is there to find it out.
                    let reader = &mut world.halves[1 - way].program;
                    (reader.counted_from, reader.counted) = (WARM + SECOND, 0);
                    world.run(until);
                    let share = world.halves[1 - way].program.counted as f64 / 4.0 / raw(3)[way];
                    let stalls = ways.map(name).collect::<Vec<_>>().join(" and ");
                    let kind = if is_held { "takes nothing" } else { "delivers nothing" };
                    eprintln!("4 x 20 ms {}: link {stalled} {kind} {stalls}: {share:.3} of the others", name(way));
                    assert!(share > 0.8, "{}, link {stalled} {kind} {stalls}: {share}", name(way));
                }
            }
        }
    }
}

/// Milliseconds that messages of 64 bytes took beyond the way itself: the median, 99 of 100, and the most.
fn times(mut world: World, way: usize, delay: Micros) -> [f64; 3] {
    world.halves[way].program.keys_every = Some(47_300);
    world.run(WARM + LONG);
    let times = &mut world.times[way];
    times.sort_unstable();
    assert!(times.len() > 50, "{} messages", times.len());
    [times.len() / 2, times.len() * 99 / 100, times.len() - 1].map(|at| (times[at] - delay) as f64 / 1e3)
}

#[test]
fn a_key_beside_bulk_waits_behind_little() {
    for delay in [0, 20, 100] {
        for links in [1, 2, 4, 8] {
            for way in [DOWN, UP] {
                let mut world = world(&vec![delay * 1000; links]);
                world.halves[way].program.writes = Writes::Forever;
                let [median, most, worst] = times(world, way, delay * 1000);
                let way = name(way);
                eprintln!(
                    "{links} x {delay} ms {way}: a key beside bulk takes {median:.1} ms more, {most:.1}, {worst:.1}"
                );
                // What else waits, ssh and sshd and their kernels hold.
                assert!(median < 25.0 && worst < 40.0, "{links} links, {delay} ms, {way}: {median} and {worst} ms");
            }
        }
    }
}

/// Beside bulk in the other direction, whose acknowledgements take turns of it.
#[test]
fn a_key_against_bulk_waits_for_less() {
    for links in [1, 4, 8] {
        for way in [DOWN, UP] {
            let mut world = world(&vec![20_000; links]);
            world.halves[1 - way].program.writes = Writes::Forever;
            let [median, most, worst] = times(world, way, 20_000);
            let way = name(way);
            eprintln!("{links} x 20 ms {way}: a key against bulk takes {median:.1} ms more, {most:.1}, {worst:.1}");
            assert!(most < 5.0, "{links} links, {way}: {most} ms");
        }
    }
}

#[test]
fn a_key_alone_waits_for_nothing() {
    for delays in [vec![0], vec![20; 4], vec![100; 8], vec![120, 10, 80]] {
        for way in [DOWN, UP] {
            let delays: Vec<Micros> = delays.iter().map(|delay| delay * 1000).collect();
            let shortest = delays.iter().copied().min().unwrap_or(0);
            let [median, most, worst] = times(world(&delays), way, shortest);
            let way = name(way);
            eprintln!("{delays:?} {way}: a key alone takes {median:.1} ms more, {most:.1}, {worst:.1}");
            assert!(most < 5.0, "{delays:?}, {way}: {most} ms");
        }
    }
}
