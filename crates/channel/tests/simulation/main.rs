//! The client's channel joined to the stand-in's agent through a seeded network and a virtual clock.
//!
//! One seed is one world: a network, an agent, what is written when, what breaks when, and how it ends. Every world is
//! judged by the same invariants (`world.rs`). `SIM_SEED=n cargo test --test simulation` replays one world, and
//! `SIM_WORLDS=n` sets how many are run.

mod download;
mod pair;
mod pauses;
mod programs;
mod queue;
mod script;
mod starts;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use download::{Measured, Path};
use script::{Oversize, Script};
use ssm_channel::Service;
use starts::Start;
use world::{Summary, World};

/// Worlds in an ordinary run.
const WORLDS: u64 = 20_000;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn run(seed: u64) -> Result<Summary, String> {
    World::new(Script::of(seed)).run()
}

#[test]
fn every_world_keeps_the_promises() {
    if let Some(seed) = number("SIM_SEED") {
        eprintln!("{:#?}", Script::of(seed));
        eprintln!("{:#?}", run(seed).unwrap_or_else(|broken| panic!("seed {seed}: {broken}")));
        return;
    }
    let worlds = number("SIM_WORLDS").unwrap_or(WORLDS);
    let next = AtomicU64::new(0);
    let work = || {
        let mut total = Summary::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= worlds {
                return Ok(total);
            }
            match run(seed) {
                Ok(summary) => total.add(&summary),
                Err(broken) => {
                    next.store(worlds, Ordering::Relaxed);
                    return Err(format!("{broken}\nreplay: SIM_SEED={seed} cargo test --test simulation"));
                }
            }
        }
    };
    let threads = thread::available_parallelism().map_or(2, usize::from);
    let results: Vec<Result<Summary, String>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    let mut total = Summary::default();
    for result in results {
        total.add(&result.unwrap_or_else(|broken| panic!("{broken}")));
    }
    eprintln!("{worlds} worlds: {total:?}");
    // A world in which nothing happens proves nothing.
    assert!(total.bytes_up > worlds * 1000 && total.bytes_down > worlds * 1000, "{total:?}");
    assert!(total.client_resends > 0 && total.agent_resends > 0 && total.cuts > worlds / 4, "{total:?}");
}

#[test]
fn larger_messages_are_tried_in_bulk_and_a_refusal_costs_no_byte() {
    let worlds = 60;
    let mut seen = std::collections::HashMap::new();
    for seed in 0..worlds {
        let script = Script::of_bulk(seed);
        let oversize = script.oversize;
        let Summary { larger, bytes_up, .. } =
            World::new(script.clone()).run().unwrap_or_else(|broken| panic!("{broken}\n{script:#?}"));
        match oversize {
            Oversize::Taken => assert!(larger > 500, "{larger} larger messages: {script:#?}"),
            _ => assert!((1..=3).contains(&larger), "{larger} larger messages: {script:#?}"),
        }
        let (count, bytes) = seen.entry(format!("{oversize:?}")).or_insert((0, 0));
        *count += 1;
        *bytes += bytes_up;
    }
    eprintln!("{seen:?}");
    assert_eq!(seen.len(), 4, "{seen:?}");
}

#[test]
fn bulk_uses_the_path_and_does_not_queue_in_it() {
    for (delay, messages_per_second) in [(1, 300), (20, 300), (50, 600), (100, 300), (100, 2_000)] {
        let measured = queue::saturate(Duration::from_millis(delay), messages_per_second);
        let ceiling = f64::from(messages_per_second.min(900) * 1024);
        let queue::Measured { rate, median, most } = measured;
        eprintln!("{delay} ms, {messages_per_second}/s: {rate:.0} B/s, waits {median:?}, at most {most:?}");
        assert!(rate > ceiling * 0.93, "{delay} ms, {messages_per_second}/s: {rate} of {ceiling} bytes a second");
        assert!(median < Duration::from_millis(60), "{delay} ms, {messages_per_second}/s: {median:?}");
        assert!(most < Duration::from_millis(150), "{delay} ms, {messages_per_second}/s: {most:?}");
    }
}

#[test]
fn a_pause_is_answered_with_less_and_never_with_more() {
    for seed in 0..60 {
        let script = Script::of_pauses(seed, if seed % 3 > 0 { Service::Aws } else { Service::Unlimited });
        let summary = World::new(script).run().unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
        let Summary { client_resends, frames, .. } = summary;
        assert_eq!(client_resends, 0, "seed {seed}: of {frames} frames, and none was lost");
    }
}

#[test]
fn a_new_socket_that_takes_less_is_not_asked_for_ever() {
    let run = |later, goes_on| {
        let script = Script::of_cells(later, goes_on);
        World::new(script).run().unwrap_or_else(|broken| panic!("{later:?}, {goes_on}: {broken}"))
    };
    let Summary { refused, larger_later, .. } = run(Oversize::Taken, true);
    assert!(!refused && larger_later > 500, "{larger_later} larger messages after the cut");
    // What is under way in larger messages cannot be cut anew.
    let Summary { refused, cuts, .. } = run(Oversize::RefusedWithClose, true);
    assert!(refused && cuts <= 8, "{cuts} closes");
    // With nothing under way the path is asked as the first one was.
    let Summary { refused, cuts, larger_later, .. } = run(Oversize::RefusedWithClose, false);
    assert!(!refused && cuts <= 4 && larger_later <= 3, "{cuts} closes, {larger_later} larger messages");
}

#[test]
fn a_download_is_not_held_up_by_acknowledgements_that_were_lost() {
    const CLOSES: &[Duration] = &[Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(6)];
    for (delay, loss, closes, seconds, needless) in [
        (50, 0.0, &[][..], 11, 0),
        (25, 0.0, CLOSES, 12, 3),
        (50, 0.0, CLOSES, 28, 3),
        (100, 0.0, CLOSES, 77, 3),
        (25, 0.01, &[], 15, 60),
        (50, 0.01, &[], 25, 40),
        (50, 0.05, &[], 120, 100),
    ] {
        let path = Path { delay: Duration::from_millis(delay), loss, closes };
        let Measured { took, repairs, needless: for_nothing, frames, peak } = download::download(8 << 20, path);
        let measured = format!(
            "{path:?}: {took:?}, {repairs} repairs, {for_nothing} of what had arrived; {frames} frames, {peak} a second"
        );
        eprintln!("{measured}");
        assert!(took < Duration::from_secs(seconds) && for_nothing <= needless, "{measured}");
        // Each acknowledgement is repeated once at most, but where its message is.
        let messages = (8 << 10) + repairs as usize;
        assert!(frames < messages * 2 + 16 && peak < 950, "{measured}");
    }
}

#[test]
fn a_server_that_waits_for_the_client_gets_every_byte_and_soon() {
    for seed in 0..5_000 {
        let start = Start::of(seed);
        let waited = start.run().unwrap_or_else(|broken| panic!("{broken}\n{start:#?}"));
        let round_trip = start.delay * 2;
        let answer = round_trip + start.jitter * 2 + start.agent.complete_delay;
        // Of an answer to a message that was sent twice only the second's time is certain.
        let certain = if answer < Duration::from_millis(180) { round_trip } else { Duration::ZERO };
        let held = Duration::from_millis(50).saturating_sub(certain).max(Duration::from_millis(25));
        let limit = round_trip + start.jitter * 2 + held + Duration::from_millis(1);
        assert!(waited < limit, "{waited:?} after HandshakeComplete was sent: {start:#?}");
    }
}

/// Worlds of shells and commands in an ordinary run.
const PROGRAMS: u64 = 6_000;

#[test]
fn programs_keep_the_promises() {
    let worlds = number("SIM_PROGRAMS").unwrap_or(PROGRAMS);
    let seeds = number("SIM_PROGRAM").map_or(0..worlds, |seed| seed..seed + 1);
    let mut total = programs::Summary::default();
    for seed in seeds.clone() {
        let script = programs::Script::of(seed);
        let world = programs::World::new(script.clone());
        let summary = world.run().unwrap_or_else(|broken| {
            panic!("{broken}\nreplay: SIM_PROGRAM={seed} cargo test --test simulation\n{script:#?}")
        });
        total.add(&summary);
    }
    eprintln!("{} worlds: {total:?}", seeds.end - seeds.start);
    if seeds.end - seeds.start > 1_000 {
        // A world in which nothing happens proves nothing.
        assert!(total.bytes > worlds * 1_000 && total.cuts > worlds / 10 && total.lost > 10, "{total:?}");
        assert!(total.failed < worlds / 20, "{total:?}");
    }
}
