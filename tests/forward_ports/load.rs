//! More connections than a session has room for, and sessions that are of no use to them.

use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use fixtures::standin::{ApiFault, Fault, Options, SessionState};
use fixtures::{Bench, Peer};

use super::{Forward, all, answers, bench, bench_with, connect, is_reset, leads, rule};

fn echo() -> Bench {
    bench(&[leads("localhost:7", Peer::echo().address())])
}

/// The end of each is held back for 5 s after its client has closed it: they would be more than a session carries.
#[test]
fn short_connections_that_their_clients_close_are_all_served() {
    const EACH: usize = 350;
    let bench = echo();
    let forward = Forward::to(&bench, &["localhost:7"], &["--sessions", "1"]);
    let port = forward.ports[0];
    all((0..4).map(|_| thread::spawn(move || (0..EACH).for_each(|_| answers(&mut connect(port), "hi")))));
    let _ = forward.end();
    bench.finish();
}

/// Nobody waits for a server that does not read, but for new connections.
#[test]
fn a_session_that_does_not_move_is_replaced_when_nobody_uses_it() {
    let bench = echo();
    let forward = Forward::to(&bench, &["localhost:7"], &["--sessions", "1"]);
    answers(&mut forward.connect(), "up");
    bench.fault(Fault::AgentAway(Duration::from_secs(1000)));
    let mut lost = forward.connect();
    lost.write_all(b"anybody?").unwrap();
    // Longer than what is not delivered is waited for.
    lost.set_read_timeout(Some(Duration::from_secs(12))).unwrap();
    lost.read(&mut [0]).expect_err("the agent is away");
    drop(lost);
    answers(&mut forward.connect(), "another");
    let _ = forward.end();
    assert_eq!(bench.finish().sessions[0].state, SessionState::EndedByApi);
}

#[test]
fn a_session_without_its_connection_gets_no_others() {
    let bench = echo();
    let forward = Forward::to(&bench, &["localhost:7"], &[]);
    answers(&mut forward.connect(), "up");
    bench.control().api_rule(rule("ResumeSession", ApiFault::Unavailable, 0, u32::MAX));
    bench.fault(Fault::Reset);
    // Longer than most breaks take.
    thread::sleep(Duration::from_secs(4));
    let asked = Instant::now();
    answers(&mut forward.connect(), "another");
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    let _ = forward.end();
    bench.finish();
}

#[test]
fn a_session_that_may_not_be_resumed_is_over() {
    let bench = echo();
    let forward = Forward::to(&bench, &["localhost:7"], &[]);
    let mut stream = forward.connect();
    answers(&mut stream, "up");
    bench.control().api_rule(rule("ResumeSession", ApiFault::AccessDenied, 0, u32::MAX));
    bench.fault(Fault::bye());
    is_reset(&mut stream);
    answers(&mut forward.connect(), "another");
    let done = forward.end();
    assert_eq!(done.stderr.matches("ResumeSession is not permitted").count(), 1, "{done}");
    bench.finish();
}

#[test]
fn a_session_that_is_slow_to_start_holds_up_no_connection_beside_another() {
    const START: Duration = Duration::from_secs(15);
    let slow = rule("StartSession", ApiFault::Slow(START), 1, 1);
    let standin = Options { api_rules: vec![slow], ..Options::default() };
    let bench = bench_with(&[leads("localhost:7", Peer::echo().address())], standin);
    let forward = Forward::to(&bench, &["localhost:7"], &[]);
    let asked = Instant::now();
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut stream = forward.connect();
        answers(&mut stream, "shared");
        open.push(stream);
    }
    assert!(asked.elapsed() < START / 2, "{:?}", asked.elapsed());
    bench.wait_for("the slow one", |report| {
        report.sessions.iter().filter(|session| session.handshake_complete).count() > 1
    });
    let _ = forward.end();
    bench.finish();
}
