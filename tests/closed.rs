//! `channel_closed` at every stage of a session, and ports that refuse: the right exit status, the service's text on
//! stderr, and on stdout nothing but what the far side sent.

use std::time::Duration;

use fixtures::standin::{Fault, LinkConfig, Options, Report, SessionReport, Victims};
use fixtures::{Bench, Done, HOST, Peer, Setup, noise, refused_port};

/// A text such as agents give; its second line is the one that tells.
const TEXT: &str = "----------ERROR-------\nSetting up data channel failed: no room";

/// Longer than any of these tests runs.
const NEVER: Duration = Duration::from_secs(60);

#[test]
fn before_the_handshake() {
    let mut standin = Options::default();
    standin.agent.request_delay = NEVER;
    closed(standin, "the open message", |session| session.opens == 1, 69);
}

#[test]
fn in_the_middle_of_the_handshake() {
    let mut standin = Options::default();
    standin.agent.complete_delay = NEVER;
    closed(standin, "the response", |session| session.handshake_client_version.is_some(), 69);
}

#[test]
fn after_the_handshake_without_a_byte_from_the_port() {
    closed(Options::default(), "the end of the handshake", |session| session.port_connected, 69);
}

/// Without a text that is how sshd's own close looks, with nothing under way: a normal end. With one, somebody else has
/// ended a session that was in use, and the text says who.
#[test]
fn between_data() {
    const IDLE: &str = "Your session timed out due to inactivity and has been terminated.";
    for (text, who, hint) in [
        ("", None, ""),
        (TEXT, Some("the agent ended the session: Setting up data channel failed: no room"), "amazon-ssm-agent.log"),
        (
            IDLE,
            Some("Session Manager ended the session because it was idle: Your session timed out due to inactivity"),
            "ServerAliveInterval 30",
        ),
        ("Enough for today", Some("the service ended the session: Enough for today"), "TerminateSession"),
    ] {
        let bench = facing(&Peer::echo(), Options::default());
        let mut proxy = bench.proxy().args([HOST, "7"]).start();
        proxy.write(b"up\n");
        proxy.expect_stdout("up");
        bench.fault(Fault::ChannelClosed(text.to_owned()));
        let done = proxy.ended().code(if who.is_some() { 1 } else { 0 });
        assert_eq!(done.text(), "up\n", "stdout is not what the far side sent: {done}");
        match who {
            None => assert_eq!(done.stderr, ""),
            Some(who) => {
                let lines: Vec<_> = done.stderr.lines().collect();
                let is_hint = |line: &str| line.starts_with("  hint: ") && line.contains(hint);
                let said = format!("ssm-proxy: {HOST}: {who}");
                assert!(matches!(lines[..], [first, second] if first.starts_with(&said) && is_hint(second)), "{done}");
            }
        }
        bench.finish();
    }
}

#[test]
fn by_the_services_own_idle_limit() {
    // Longer than a login takes from one message to the next on a busy machine.
    let standin = Options { idle_limit: Duration::from_secs(2), ..Options::default() };
    let bench = Bench::with(Setup { standin, ..Setup::default() });
    let ssh = bench.ssh().args([HOST, "echo up; exec cat"]).start();
    ssh.expect_stdout("up");
    let done = ssh.ended().code(255);
    assert!(done.stderr.contains("Session Manager ended the session because it was idle"), "{done}");
    bench.finish();
}

/// Somebody ends the session with bytes under way, and says nothing: what is known is that they may not have arrived.
#[test]
fn between_data_with_more_under_way() {
    let bench = facing(&Peer::echo(), Options::default());
    let mut proxy = bench.proxy().args([HOST, "7"]).start();
    proxy.write(b"up\n");
    proxy.expect_stdout("up");
    bench.fault(Fault::Uplink(LinkConfig { loss: 1.0, ..LinkConfig::default() }));
    proxy.write(&noise(3, 2000));
    bench.wait_for("the bytes", |report| sum(report, |session| session.traffic.bytes_from_client) >= 2003);
    bench.fault(Fault::Terminate);
    let done = proxy.ended().code(1);
    let said = format!(
        "ssm-proxy: {HOST}: the session was closed, with 2.0 kB of what was sent not known to have arrived\n  hint: "
    );
    assert!(done.stderr.starts_with(&said), "{done}");
    bench.finish();
}

/// The agent gives up on what it could not repair in its last 2 s: the end of what it sent is missing.
#[test]
fn before_all_of_the_answer_has_come() {
    let answer = noise(4, 200_000);
    let bench = facing(&Peer::server(Duration::ZERO, answer), Options::default());
    let mut proxy = bench.proxy().args([HOST, "7"]).start();
    bench.wait_for("the end of the handshake", |report| report.sessions.iter().any(|session| session.port_connected));
    bench.fault(Fault::Downlink(LinkConfig { loss: 0.3, victims: Victims::Data, ..LinkConfig::default() }));
    proxy.write(b"all of it\n");
    let done = proxy.ended().code(1);
    assert!(done.stderr.contains("the session was closed, with a part of what the target sent missing"), "{done}");
    assert!(done.stdout.len() < 200_000, "{done}");
    bench.finish();
}

/// A server that takes what it wants without a word, and closes: nothing is wrong with that.
#[test]
fn by_a_far_side_that_never_says_anything() {
    let bench = facing(&Peer::server(Duration::ZERO, Vec::new()), Options::default());
    let mut proxy = bench.proxy().args([HOST, "7"]).start();
    proxy.write(b"QUIT\n");
    let done = proxy.ended().ok();
    assert_eq!((done.text().as_str(), done.stderr.as_str()), ("", ""));
    bench.finish();
}

#[test]
fn in_the_middle_of_a_download() {
    const LENGTH: usize = 8 << 20;
    let bench = facing(&Peer::source(noise(1, LENGTH)), Options::default());
    let proxy = bench.proxy().args([HOST, "7"]).start();
    bench.wait_for("data", |report| sum(report, |session| session.traffic.bytes_to_client) > 100_000);
    bench.fault(Fault::ChannelClosed(TEXT.to_owned()));
    let done = proxy.ended().code(1);
    let sent = noise(1, LENGTH);
    assert!(sent.starts_with(&done.stdout) && done.stdout.len() < LENGTH, "stdout is not what was sent: {done}");
    assert_told(&done, TEXT);
    bench.finish();
}

#[test]
fn in_the_middle_of_an_upload() {
    let bench = facing(&Peer::sink(), Options::default());
    let done = {
        let mut proxy = bench.proxy().args([HOST, "7", "--no-pace"]).start();
        proxy.write(&noise(2, 1 << 20));
        bench.wait_for("data", |report| sum(report, |session| session.agent.bytes_to_port) > 100_000);
        bench.fault(Fault::ChannelClosed(TEXT.to_owned()));
        proxy.ended()
    };
    let done = done.code(1);
    assert!(done.stdout.is_empty() && done.stderr.contains("no room"), "{done}");
    bench.finish();
}

#[test]
fn by_an_administrator_while_ssh_is_at_work() {
    let bench = Bench::open();
    let ssh = bench.ssh().args([HOST, "echo up; exec cat"]).start();
    ssh.expect_stdout("up");
    bench.fault(Fault::Terminate);
    let done = ssh.ended().code(255);
    assert_eq!(done.text(), "up\n");
    bench.finish();
}

#[test]
fn while_the_connection_is_away() {
    let bench = facing(&Peer::echo(), Options::default());
    let mut proxy = bench.proxy().args([HOST, "7"]).start();
    proxy.write(b"up\n");
    proxy.expect_stdout("up");
    bench.fault(Fault::Reset);
    bench.fault(Fault::Terminate);
    // It is told on the new connection, or by ResumeSession.
    let done = proxy.ended();
    let code = done.status.code();
    assert!(code == Some(0) || code == Some(1), "{done}");
    assert_eq!(done.text(), "up\n");
    bench.finish();
}

#[test]
fn a_refused_port() {
    for crash_on_refused_port in [false, true] {
        let (address, _taken) = refused_port();
        let mut standin = Options { ports: vec![(23, address)], ..Options::default() };
        standin.agent.crash_on_refused_port = crash_on_refused_port;
        let bench = Bench::with(Setup { standin, ..Setup::default() });
        let done = bench.proxy().args([HOST, "23"]).start().ended().code(69);
        assert!(done.stdout.is_empty(), "{done}");
        assert!(done.stderr.contains("the target's port refused the connection"), "{done}");
        assert!(done.stderr.contains("\n  hint: check that something on the target listens on port 23; "), "{done}");
        // What the agent had to say, if it lived to say it.
        assert_eq!(done.stderr.contains("Unable to connect to specified port"), !crash_on_refused_port, "{done}");

        let done = bench.ssh().args(["-p", "23", HOST, "true"]).run().code(255);
        assert!(done.stderr.contains("the target's port refused the connection"), "{done}");
        bench.finish();
    }
}

/// Closes a session, with and without a text, once `reached` says so of it; `what` names that.
#[track_caller]
fn closed(standin: Options, what: &str, reached: impl Fn(&SessionReport) -> bool, code: i32) {
    for text in ["", TEXT] {
        let bench = facing(&Peer::sink(), standin.clone());
        let proxy = bench.proxy().args([HOST, "7"]).start();
        bench.wait_for(what, |report| report.sessions.iter().any(&reached));
        bench.fault(Fault::ChannelClosed(text.to_owned()));
        let done = proxy.ended().code(code);
        assert_eq!(done.text(), "", "{done}");
        assert_told(&done, text);
        assert!(done.stderr.contains("\n  hint: "), "{done}");
        bench.finish();
    }
}

/// Fails unless what the service said is on stderr.
#[track_caller]
fn assert_told(done: &Done, text: &str) {
    match text {
        "" => assert!(!done.stderr.contains("ERROR"), "{done}"),
        _ => assert!(done.stderr.contains("Setting up data channel failed: no room"), "{done}"),
    }
}

/// A bench whose target has `peer` on port 7, where ssm-proxy can be run without ssh.
fn facing(peer: &Peer, mut standin: Options) -> Bench {
    standin.ports.push((7, peer.address()));
    Bench::with(Setup { standin, ..Setup::default() })
}

fn sum(report: &Report, of: impl Fn(&SessionReport) -> u64) -> u64 {
    report.sessions.iter().map(of).sum()
}
