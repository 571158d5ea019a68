//! Streams between the client's multiplexer and an agent written here, through a simulated session and a virtual clock.
//!
//! One seed is one world: connections, their destinations and local programs, and a session that is slow and sometimes
//! away. The agent (`agent.rs`) shares no code with the crate: it reads frames by itself, dials one after another, has
//! one budget for what is unread, and keeps Go's rules of FIN. Every world is judged by the same promises (`world.rs`).
//! `SIM_SEED=n cargo test -p ssm-smux --test streams` replays one world, and `SIM_WORLDS=n` sets how many are run.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test ends there"
)]

mod agent;
mod script;
mod world;

use script::Script;
use world::{Summary, World};

/// Worlds in an ordinary run.
const WORLDS: u64 = 3_000;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn every_world_keeps_the_promises() {
    if let Some(seed) = number("SIM_SEED") {
        eprintln!("{:#?}", Script::of(seed));
        eprintln!("{:#?}", World::new(Script::of(seed)).run().unwrap_or_else(|broken| panic!("seed {seed}: {broken}")));
        return;
    }
    let worlds = number("SIM_WORLDS").unwrap_or(WORLDS);
    let mut total = Summary::default();
    for seed in 0..worlds {
        let summary = World::new(Script::of(seed)).run();
        total.add(&summary.unwrap_or_else(|broken| {
            panic!("{broken}\nreplay: SIM_SEED={seed} cargo test -p ssm-smux --test streams")
        }));
    }
    eprintln!("{worlds} worlds: {total:?}");
    // A world in which nothing happens proves nothing.
    assert!(total.up > worlds * 10_000 && total.down > worlds * 10_000, "{total:?}");
    for seen in [total.complete, total.refused, total.reset, total.overrun, total.pauses, total.unanswered] {
        assert!(seen > worlds / 50, "{total:?}");
    }
    assert!(total.undelivered > worlds / 200, "{total:?}");
}
