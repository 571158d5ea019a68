//! The client's channel joined to the stand-in's agent through a seeded network and a virtual clock.
//!
//! One seed is one world: a network, an agent, what is written when, what breaks when, and how it ends. Every world is
//! judged by the same invariants (`world.rs`). `SIM_SEED=n cargo test --test simulation` replays one world, and
//! `SIM_WORLDS=n` sets how many are run.

mod queue;
mod script;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use script::{Oversize, Script};
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
