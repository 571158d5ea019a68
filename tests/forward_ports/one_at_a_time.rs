//! Agents up to 3.0.196, which carry one connection of a session after the other.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

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

/// The agent connects when the session starts, so that such a server has spoken before anybody connects here.
#[test]
fn a_server_that_speaks_first_is_heard_by_the_first_connection() {
    let server = Peer::each(|_, mut stream| {
        stream.write_all(b"220 welcome\n").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let bench = bench_with(&[leads("localhost:25", server.address())], old());
    let forward = Forward::to(&bench, &["localhost:25"], &["--sessions", "1"]);
    let mut greeting = [0; 12];
    forward.connect().read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"220 welcome\n");
    let _ = forward.end();
    bench.finish();
}

/// What was on its way when the first ended is not the second's.
#[test]
fn a_connection_gets_nothing_of_the_one_before() {
    let server = Peer::each(|number, mut stream| {
        let mut asked = [0; 3];
        let line = format!("{number}\n").repeat(512);
        while stream.read_exact(&mut asked).is_ok() && asked != *b"all" {
            stream.write_all(&line.as_bytes()[..2]).unwrap();
        }
        while stream.write_all(line.as_bytes()).is_ok() {}
    });
    let mut standin = old();
    (standin.uplink.delay, standin.downlink.delay) = (Duration::from_millis(40), Duration::from_millis(40));
    let bench = bench_with(&[leads("localhost:7", server.address())], standin);
    let forward = Forward::to(&bench, &["localhost:7"], &["--sessions", "1"]);
    let mut first = forward.connect();
    first.write_all(b"all").unwrap();
    first.read_exact(&mut [0; 4096]).unwrap();
    first.shutdown(Shutdown::Read).unwrap();
    drop(first);
    let mut second = forward.connect();
    second.write_all(b"one").unwrap();
    let mut answer = [0; 2];
    second.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"1\n");
    second.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let more = second.read(&mut [0; 64]).expect_err("there is no more");
    assert!(matches!(more.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{more}");
    let _ = forward.end();
    bench.finish();
}
