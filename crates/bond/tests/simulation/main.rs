//! Two halves over several links, in virtual time, called only when the contract of the crate asks for it.
//!
//! One seed is one world: its links, what becomes of them, what the programs write and how they read. Every world is judged
//! by the same promises: each byte once and in order, both ends told, bounded memory, a bounded time, and silence after it.
//! `SIM_SEED=n cargo test -p ssm-bond --test simulation` replays one world, and `BOND_WORLDS=n` sets how many are run.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test ends where it goes wrong")]

mod figures;
mod link;
mod program;
mod script;
mod world;

use std::panic::catch_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use script::{Script, Summary};

/// Worlds in an ordinary run.
const WORLDS: u64 = 300;
/// After so many broken worlds there is no use in more.
const ENOUGH: usize = 20;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn worlds_keep_the_promises() {
    if let Some(seed) = number("SIM_SEED") {
        let script = Script::of(seed);
        eprintln!("{script:#?}");
        eprintln!("{:#?}", script.run());
        return;
    }
    let worlds = number("BOND_WORLDS").unwrap_or(WORLDS);
    let (next, total, broken) = (AtomicU64::new(0), Mutex::new(Summary::default()), Mutex::new(Vec::new()));
    let work = || loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= worlds || broken.lock().unwrap().len() >= ENOUGH {
            return;
        }
        match catch_unwind(|| Script::of(seed).run()) {
            Ok(summary) => total.lock().unwrap().add(&summary),
            Err(_) => {
                eprintln!("broken: SIM_SEED={seed} cargo test -p ssm-bond --test simulation");
                broken.lock().unwrap().push(seed);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(work);
        }
    });
    let (total, broken) = (total.into_inner().unwrap(), broken.into_inner().unwrap());
    eprintln!("{worlds} worlds: {total:?}");
    assert!(broken.is_empty(), "broken worlds: {broken:?}");
    if worlds < WORLDS {
        return;
    }
    // A world in which nothing happens proves nothing.
    assert!(total.bytes.iter().all(|bytes| *bytes > worlds * 50_000), "{total:?}");
    for seen in [total.deaths, total.stalls, total.retired, total.rescues * 10, total.resent / 10_000] {
        assert!(seen > worlds / 4, "{total:?}");
    }
}
