//! Agents up to 3.0.196, which carry one connection of a session after the other.

use fixtures::Peer;
use fixtures::standin::{ForwardMode, Options};

use super::{Forward, answers, bench_with, leads};

const LINE: &str = "the agent on the node is old: a session carries one connection at a time; others wait";

fn old() -> Options {
    let mut standin = Options::default();
    standin.agent.version = "3.0.196.0".to_owned();
    standin
}

#[test]
fn one_connection_after_another() {
    let bench = bench_with(&[leads("localhost:7", Peer::echo().address())], old());
    let forward = Forward::to(&bench, &["localhost:7"], &["--sessions", "1"]);
    let mut first = forward.connect();
    answers(&mut first, "first");
    // It is taken by the system, and by us when there is room for it.
    let mut second = forward.connect();
    answers(&mut first, "still first");
    drop(first);
    answers(&mut second, "second");
    drop(second);
    let mut third = forward.connect();
    answers(&mut third, "third");
    let done = forward.end();
    assert_eq!(done.stderr.matches(LINE).count(), 1, "{done}");
    let report = bench.finish();
    assert_eq!(report.sessions.len(), 1);
    assert_eq!(report.sessions[0].forward.map(|forward| forward.mode), Some(ForwardMode::Basic));
}

#[test]
fn connections_at_once_have_a_session_each() {
    let bench = bench_with(&[leads("localhost:7", Peer::echo().address())], old());
    let forward = Forward::to(&bench, &["localhost:7"], &[]);
    let mut open: Vec<_> = (0..4).map(|_| forward.connect()).collect();
    for (number, stream) in open.iter_mut().enumerate() {
        answers(stream, &number.to_string());
    }
    let done = forward.end();
    assert_eq!(done.stderr.matches(LINE).count(), 1, "it is told once: {done}");
    assert_eq!(bench.finish().sessions.len(), 4);
}
