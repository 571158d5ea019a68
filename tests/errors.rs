//! What goes wrong is said in two lines, with a status that scripts can tell apart, and never on stdout.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends where an error is not in its two lines, or its scene cannot be set"
)]

use std::fs::File;
use std::io::pipe;

use fixtures::standin::{ApiFault, ApiRule, Fault, Node, Options, Scheduled, When};
use fixtures::{Bench, Done, HOST, Peer, Setup, refused_port};

#[test]
fn a_session_that_ends_normally_is_0() {
    let bench = Bench::open();
    let done = bench.proxy().arg(HOST).run().ok();
    assert_eq!(done.stderr, "");
    bench.finish();
}

#[test]
fn usage_is_2() {
    let bench = Bench::open();
    for wrong in [
        &[] as &[&str],
        &["--no-such-option", HOST],
        &[HOST, "0"],
        &[HOST, "65536"],
        &[HOST, "ssh"],
        &["--target", "i-0aaaaaaaaaaaaaaaa", HOST],
        &[HOST, "22", "--parameters", "portNumber=23"],
        &[HOST, "--parameters", "{"],
    ] {
        let done = bench.proxy().args(wrong).run().code(2);
        assert!(done.stdout.is_empty() && !done.stderr.is_empty(), "{done}");
    }
    let report = bench.finish();
    assert!(report.sessions.is_empty(), "nothing was asked of the service");
}

#[test]
fn a_session_that_breaks_is_1() {
    let peer = Peer::echo();
    let standin = Options {
        ports: vec![(7, peer.address())],
        // Two acknowledgements and the response of the handshake, then the data: the socket is gone in mid-session.
        schedule: vec![Scheduled { when: When::Messages(4), fault: Fault::Drop }],
        ..Options::default()
    };
    let bench = Bench::with(Setup { standin, ..Setup::default() });
    let mut proxy = bench.proxy().args(["--resume-timeout", "0", HOST, "7"]).start();
    proxy.write(b"in the middle of it");
    two_lines(proxy.ended(), 1, HOST);
    bench.finish();
}

/// And a reader that has seen enough is none.
#[test]
fn a_stdout_that_cannot_be_written_to_is_1() {
    let standin = Options { nodes: vec![Node::online(HOST, "web")], ..Options::default() };
    let bench = Bench::with(Setup { standin, ..Setup::default() });
    for (words, subject) in [
        (&["--list"] as &[&str], "--list"),
        (&["--list", "--output", "json"], "--list"),
        (&["--list", "--print-ssh-config"], "--list"),
        (&["--print-ssh-config"], "--print-ssh-config"),
        (&["--generate-cli-skeleton"], "--generate-cli-skeleton"),
        (&["--check", HOST], HOST),
        (&["--help"], "--help"),
        (&["--version"], "--version"),
    ] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let done = bench.proxy().args(words).stdout(full).run();
        let nobody = bench.proxy().args(words).stdout(pipe().unwrap().1).run().ok();
        let said = format!("ssm-proxy: {subject}: stdout cannot be written to: No space left on device (os error 28)");
        assert!(done.stderr.contains(&said), "{done}");
        let _ = done.code(1);
        assert!(!nobody.stderr.contains("hint"), "{nobody}");
    }
    bench.finish();
}

#[test]
fn what_is_no_target_is_68() {
    let bench = Bench::open();
    two_lines(bench.proxy().arg("ecs:web-1").run(), 68, "ecs:web-1");
    let report = bench.finish();
    assert!(report.sessions.is_empty(), "nothing was asked of the service");
}

#[test]
fn a_refused_port_is_69() {
    let (address, _taken) = refused_port();
    let standin = Options { ports: vec![(23, address)], ..Options::default() };
    let bench = Bench::with(Setup { standin, ..Setup::default() });
    // As with ssh, stdin is open until ssm-proxy ends; with a stdin that has ended it is a refusal all the same.
    two_lines(bench.proxy().args([HOST, "23"]).start().ended(), 69, HOST);
    two_lines(bench.proxy().args([HOST, "23"]).run(), 69, HOST);
    bench.finish();
}

#[test]
fn what_the_service_answers_has_its_status() {
    for (fault, code) in [
        (ApiFault::DoesNotExist, 68),
        (ApiFault::TargetNotConnected, 69),
        (ApiFault::Throttling, 75),
        (ApiFault::ServerError, 75),
        (ApiFault::Unavailable, 75),
        (ApiFault::AccessDenied, 77),
        (ApiFault::ExpiredToken, 77),
    ] {
        let rule = ApiRule { operation: "StartSession".to_owned(), fault, skip: 0, times: u32::MAX };
        let standin = Options { api_rules: vec![rule], ..Options::default() };
        let bench = Bench::with(Setup { standin, ..Setup::default() });
        two_lines(bench.proxy().arg(HOST).run(), code, HOST);
        bench.finish();
    }
}

#[test]
fn no_network_is_75() {
    let (address, _taken) = refused_port();
    let bench = Bench::open();
    let done = bench.proxy().args([HOST, "--endpoint-url", &format!("http://{address}")]).run();
    two_lines(done, 75, HOST);
    bench.finish();
}

#[test]
fn no_credentials_are_77() {
    let bench = Bench::open();
    let done = bench.proxy().arg(HOST).without("AWS_ACCESS_KEY_ID").without("AWS_SECRET_ACCESS_KEY").run();
    two_lines(done, 77, HOST);
    bench.finish();
}

#[test]
fn wrong_credentials_are_77() {
    let bench = Bench::open();
    let done = bench.proxy().arg(HOST).env("AWS_SECRET_ACCESS_KEY", "not the secret").run();
    two_lines(done, 77, HOST);
    bench.finish();
}

#[test]
fn no_region_is_78() {
    let bench = Bench::open();
    let done = bench.proxy().arg(HOST).without("AWS_REGION").run();
    two_lines(done, 78, HOST);
    bench.finish();
}

#[test]
fn no_such_profile_is_78() {
    let bench = Bench::open();
    let done = bench.proxy().args([HOST, "--profile", "nobody"]).run();
    two_lines(done, 78, HOST);
    bench.finish();
}

#[test]
fn ssh_shows_the_reason() {
    let bench = Bench::open();
    let done = bench.ssh().args([HOST, "true"]).without("AWS_REGION").run().code(255);
    assert!(done.stderr.contains(&format!("ssm-proxy: {HOST}: ")), "{done}");
    bench.finish();
}

/// Fails unless this is how an error looks: what failed, what to do next, and nothing else.
#[track_caller]
fn two_lines(done: Done, code: i32, host: &str) {
    let done = done.code(code);
    assert!(!done.text().contains("ssm-proxy"), "an error is on stdout: {done}");
    let lines: Vec<_> = done.stderr.lines().collect();
    let [failed, hint] = lines.as_slice() else { panic!("these are not two lines: {done}") };
    let failed = failed.strip_prefix(&format!("ssm-proxy: {host}: ")).unwrap_or_default();
    assert!(!failed.is_empty(), "the first line does not say what failed: {done}");
    let hint = hint.strip_prefix("  hint: ").unwrap_or_default();
    assert!(!hint.is_empty(), "the second line does not say what to do: {done}");
}
