//! Sessions are cut, closed and ended in the middle of a transfer, and not a byte is lost.

use std::time::Duration;

use fixtures::standin::{Fault, Options, Report};
use fixtures::{Bench, Running};

use super::{FOUR, Node, Way, copies, ports};

/// Waits until a connection is carried by so many sessions.
fn carried_by(bench: &Bench, sessions: usize) -> Vec<String> {
    bench.wait_for("the sessions of the connection", |report| open(report).len() >= sessions);
    open(&bench.server().report())
}

/// The sessions that are open and up, in the order of their start.
fn open(report: &Report) -> Vec<String> {
    let up = report.open_sessions().filter(|session| session.port_connected && session.handshake_complete);
    up.map(|session| session.id.clone()).collect()
}

/// Something goes wrong with one of several sessions, both ways.
fn survives(which: usize, fault: Fault) {
    for way in [Way::Up, Way::Down] {
        let node = Node::known(FOUR, Options::default());
        copies(&node.bench, way, 7 << 20, |_: &Running| {
            let sessions = carried_by(&node.bench, 3);
            node.bench.control().fault_on(&sessions[which], fault.clone());
        });
        let report = node.finish();
        assert!(report.sessions.iter().any(|session| session.faults > 0), "{:?}", ports(&report));
    }
}

#[test]
fn a_session_is_cut() {
    survives(1, Fault::Reset);
}

#[test]
fn the_first_session_is_cut() {
    survives(0, Fault::Drop);
}

#[test]
fn a_session_says_bye() {
    survives(2, Fault::bye());
}

#[test]
fn a_session_is_ended() {
    survives(1, Fault::Terminate);
}

#[test]
fn the_first_session_is_ended() {
    survives(0, Fault::Terminate);
}

#[test]
fn a_session_falls_silent() {
    survives(1, Fault::Silent(Duration::from_secs(20)));
}

#[test]
fn all_sessions_are_cut_at_once() {
    let node = Node::known(FOUR, Options::default());
    copies(&node.bench, Way::Down, 5 << 20, |_| {
        carried_by(&node.bench, 3);
        node.bench.fault(Fault::Reset);
    });
    node.finish();
}

#[test]
fn all_sessions_are_ended_at_once_and_another_takes_their_place() {
    let node = Node::known(FOUR, Options::default());
    for way in [Way::Up, Way::Down] {
        copies(&node.bench, way, 4 << 20, |_| {
            carried_by(&node.bench, 2);
            node.bench.fault(Fault::Terminate);
        });
    }
    node.finish();
}

#[test]
fn a_joiner_that_dies_ends_the_connection_with_an_error() {
    let Node { bench, joiner, .. } = Node::known(FOUR, Options::default());
    let mut ssh = bench.ssh().args([fixtures::HOST, "echo in; cat"]).start();
    ssh.expect_stdout("in");
    ssh.write(b"x");
    drop(joiner);
    // The bond was with it, so that nobody has to wait for the minute for which a joiner keeps one.
    let done = ssh.ended().code(255);
    assert!(done.stderr.contains("the joiner on the node"), "{done}");
    bench.finish();
}
