//! However it ends, no session is left: `finish` looks.

use std::time::Duration;

use fixtures::standin::{ApiFault, ApiRule, Options};
use fixtures::{HOST, Running, Signal};

use super::{FOUR, Node};

/// An ssm-proxy that is busy with a download over several sessions, and has a shell of ssh behind it.
fn busy(node: &Node) -> Running {
    let ssh = node.bench.ssh().args([HOST, "head -c 60000000 /dev/zero"]).start();
    node.bench.wait_for("three sessions", |report| {
        report.open_sessions().filter(|session| session.port_connected).count() >= 3
    });
    ssh
}

#[test]
fn ssh_is_interrupted_in_the_middle() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::KILL] {
        let node = Node::known(FOUR, Options::default());
        let ssh = busy(&node);
        ssh.signal(signal);
        node.bench.wait_for_within(Duration::from_secs(10), "the end of all sessions", |report| {
            report.open_sessions().next().is_none()
        });
        let _ = ssh.ended();
        node.finish();
    }
}

#[test]
fn the_program_is_ended_by_a_signal() {
    let node = Node::known(FOUR, Options::default());
    let proxy = node.bench.proxy().args(["--bond", HOST]).start();
    proxy.expect_stdout("SSH-2.0");
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.ended().ok().stderr, "");
    node.finish();
}

#[test]
fn stdin_ends_at_once() {
    let node = Node::known(FOUR, Options::default());
    let done = node.bench.proxy().args(["--bond", HOST]).run().ok();
    assert!(done.text().starts_with("SSH-2.0"), "{done}");
    node.finish();
}

#[test]
fn a_signal_comes_before_the_session_is_up() {
    for operation in ["StartSession", "OpenDataChannel"] {
        let node = Node::known(FOUR, Options::default());
        let slow = ApiFault::Slow(Duration::from_secs(2));
        node.bench.control().api_rule(ApiRule { operation: operation.to_owned(), fault: slow, skip: 0, times: 1 });
        let started = node.bench.server().report().calls.len();
        let proxy = node.bench.proxy().args(["--bond", HOST]).start();
        node.bench.wait_for("the call", |report| report.calls.len() > started);
        proxy.signal(Signal::TERM);
        let _ = proxy.ended();
        node.finish();
    }
}

#[test]
fn far_side_ends_first() {
    let node = Node::known(FOUR, Options::default());
    let mut proxy = node.bench.proxy().args(["--bond", HOST]).start();
    proxy.expect_stdout("SSH-2.0");
    // sshd ends a connection that does not speak its language.
    proxy.write(b"GET / HTTP/1.1\r\n\r\n");
    let done = proxy.ended().ok();
    assert_eq!(done.stderr, "");
    node.finish();
}
