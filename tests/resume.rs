//! A lost connection is noticed in time and resumed, whatever the service answers meanwhile, until there is nothing
//! left to resume or the time set for it is over.

#![allow(clippy::panic, reason = "a test ends where an error is not in its lines")]

use std::time::{Duration, Instant};

use fixtures::standin::{ApiFault, ApiRule, Fault, Options, Report, SessionState};
use fixtures::{Bench, Done, HOST, Peer, Running, Setup};

/// A cut of the network while nothing is sent is noticed within this time: the 17 s of docs/reconnecting.md, and a resume.
const NOTICED_IDLE: Duration = Duration::from_secs(20);

/// The same while something is sent.
const NOTICED_SENDING: Duration = Duration::from_secs(6);

/// How long a line may take to come back, whatever happens.
const ANSWER: Duration = Duration::from_secs(60);

#[test]
fn a_cut_is_noticed_while_nothing_is_sent() {
    let (bench, mut proxy) = in_session(&[]);
    let cut = Instant::now();
    bench.fault(Fault::Silent(Duration::from_secs(60)));
    let left = NOTICED_IDLE.saturating_sub(cut.elapsed());
    bench.wait_for_within(left, "a new connection", |report| connections(report) == 2);
    goes_on(&mut proxy);
    let _ = proxy.hang_up().ok();
    bench.finish();
}

#[test]
fn a_cut_is_noticed_sooner_while_something_is_sent() {
    let (bench, mut proxy) = in_session(&[]);
    bench.fault(Fault::Silent(Duration::from_secs(60)));
    let cut = Instant::now();
    proxy.write(b"into the void\n");
    let left = NOTICED_SENDING.saturating_sub(cut.elapsed());
    bench.wait_for_within(left, "a new connection", |report| connections(report) == 2);
    proxy.expect_stdout("into the void");
    let _ = proxy.hang_up().ok();
    bench.finish();
}

#[test]
fn failures_that_pass_are_lived_through_in_silence() {
    for (operation, fault) in [
        ("ResumeSession", ApiFault::Throttling),
        ("ResumeSession", ApiFault::ServerError),
        ("ResumeSession", ApiFault::Unavailable),
        ("ResumeSession", ApiFault::HangUp),
        ("ResumeSession", ApiFault::Slow(Duration::from_millis(1500))),
        ("OpenDataChannel", ApiFault::Throttling),
        ("OpenDataChannel", ApiFault::ServerError),
        ("OpenDataChannel", ApiFault::Unavailable),
        ("OpenDataChannel", ApiFault::HangUp),
        ("OpenDataChannel", ApiFault::Slow(Duration::from_millis(1500))),
    ] {
        let (bench, mut proxy) = in_session(&[]);
        bench.control().api_rule(ApiRule { times: 3, ..always(operation, fault.clone()) });
        bench.fault(Fault::bye());
        goes_on(&mut proxy);
        let done = proxy.hang_up().ok();
        assert_eq!(done.stderr, "", "{operation}: {fault:?}");
        bench.finish();
    }
}

/// What a resume lives through the first connection lives through too, once the session has been started.
#[test]
fn a_first_dial_that_fails_is_tried_again_in_silence() {
    for fault in [
        ApiFault::Throttling,
        ApiFault::ServerError,
        ApiFault::Unavailable,
        ApiFault::HangUp,
        ApiFault::Slow(Duration::from_millis(1500)),
    ] {
        let rule = ApiRule { times: 3, ..always("OpenDataChannel", fault.clone()) };
        let standin = Options { ports: vec![(7, Peer::echo().address())], api_rules: vec![rule], ..Options::default() };
        let bench = Bench::with(Setup { standin, ..Setup::default() });
        let mut proxy = bench.proxy().args([HOST, "7"]).start();
        goes_on(&mut proxy);
        let done = proxy.hang_up().ok();
        assert_eq!(done.stderr, "", "{fault:?}");
        let report = bench.finish();
        assert_eq!((report.calls_of("StartSession"), report.calls_of("ResumeSession")), (1, 0), "{fault:?}");
    }
}

#[test]
fn credentials_that_are_renewed_meanwhile_are_asked_for_in_one_line() {
    for (operation, fault, advice) in [
        ("ResumeSession", ApiFault::AccessDenied, "ssm:ResumeSession"),
        ("ResumeSession", ApiFault::ExpiredToken, "expired"),
        ("ResumeSession", ApiFault::Forbidden, "ssm:ResumeSession"),
        ("OpenDataChannel", ApiFault::Forbidden, "ssmmessages:OpenDataChannel"),
    ] {
        let (bench, mut proxy) = in_session(&[]);
        bench.control().api_rule(ApiRule { times: 4, ..always(operation, fault.clone()) });
        bench.fault(Fault::bye());
        goes_on(&mut proxy);
        let done = proxy.hang_up().ok();
        let lines: Vec<_> = done.stderr.lines().collect();
        let [line] = lines.as_slice() else { panic!("this is not one line ({operation}: {fault:?}): {done}") };
        assert!(line.starts_with("ssm-proxy: connection lost, resuming it: ") && line.contains(advice), "{done}");
        bench.finish();
    }
}

#[test]
fn a_session_that_cannot_be_resumed_is_over() {
    for fault in [ApiFault::EmptyToken, ApiFault::DoesNotExist] {
        let (bench, proxy) = in_session(&[]);
        bench.control().api_rule(always("ResumeSession", fault.clone()));
        bench.fault(Fault::bye());
        let done = proxy.ended();
        assert_failed(done, 1, "the session ended on the service while the connection was away");
        // The service says that it is over; here it is not, and a real one ends it by itself.
        bench.fault(Fault::Terminate);
        bench.finish();
    }
}

#[test]
fn ssh_says_that_the_session_is_over() {
    let bench = Bench::open();
    let ssh = bench.ssh().args([HOST, "echo up; exec cat"]).start();
    ssh.expect_stdout("up");
    bench.control().api_rule(always("ResumeSession", ApiFault::EmptyToken));
    bench.fault(Fault::bye());
    let done = ssh.ended().code(255);
    assert!(done.stderr.contains(&format!("ssm-proxy: {HOST}: the session ended")), "{done}");
    bench.fault(Fault::Terminate);
    bench.finish();
}

#[test]
fn the_time_for_resuming_is_over() {
    for (operation, fault, code) in [
        ("ResumeSession", ApiFault::Unavailable, 75),
        ("ResumeSession", ApiFault::Throttling, 75),
        ("ResumeSession", ApiFault::AccessDenied, 77),
        ("ResumeSession", ApiFault::Slow(Duration::from_secs(30)), 75),
        ("OpenDataChannel", ApiFault::Unavailable, 75),
        ("OpenDataChannel", ApiFault::Slow(Duration::from_secs(30)), 75),
    ] {
        let (bench, proxy) = in_session(&["--resume-timeout", "2"]);
        bench.control().api_rule(always(operation, fault.clone()));
        let lost = Instant::now();
        bench.fault(Fault::Reset);
        bench.wait_for_within(Duration::from_secs(5), "the end of the session", |report| {
            report.open_sessions().next().is_none()
        });
        let done = proxy.ended();
        let took = lost.elapsed();
        assert!(took < Duration::from_secs(5), "{operation}: {fault:?}: {took:?} after the loss: {done}");
        let last = done.stderr.lines().rev().take(2).collect::<Vec<_>>();
        let [hint, failed] = last.as_slice() else { panic!("{operation}: {fault:?}: {done}") };
        let said = format!("ssm-proxy: {HOST}: the connection was lost and could not be resumed within 2 s");
        assert!(failed.starts_with(&said) && hint.starts_with("  hint: "), "{operation}: {fault:?}: {done}");
        assert_eq!(done.status.code(), Some(code), "{operation}: {fault:?}: {done}");
        let report = bench.finish();
        assert!(report.sessions.iter().all(|session| session.state == SessionState::EndedByApi));
    }
}

#[test]
fn no_time_at_all_for_resuming() {
    let (bench, proxy) = in_session(&["--resume-timeout", "0"]);
    bench.fault(Fault::bye());
    assert_failed(proxy.ended(), 1, "the connection was lost: closed by the service (1000 \"Bye\")");
    let report = bench.finish();
    assert_eq!(report.calls_of("ResumeSession"), 0);
}

#[test]
fn a_connection_that_breaks_at_once_every_time_is_not_redialled_as_fast() {
    let (bench, mut proxy) = in_session(&[]);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(3) {
        bench.fault(Fault::bye());
        bench.wait_for("a new connection", |report| report.sessions.iter().all(|session| session.connected));
    }
    goes_on(&mut proxy);
    let _ = proxy.hang_up().ok();
    let redialled = connections(&bench.finish()) - 1;
    assert!((2..=10).contains(&redialled), "redialled {redialled} times in 3 s");
}

#[test]
fn a_pause_that_is_not_taken_back_is_over_when_the_agent_is_there_again() {
    let (bench, mut proxy) = in_session(&[]);
    for fault in [Fault::Pause, Fault::AgentAway(Duration::from_secs(2))] {
        let begun = Instant::now();
        bench.fault(fault.clone());
        goes_on(&mut proxy);
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(10), "{fault:?}: an answer only after {took:?}");
    }
    let _ = proxy.hang_up().ok();
    assert_eq!(connections(&bench.finish()), 1, "the connection was replaced");
}

#[test]
fn a_pause_without_an_end_leads_to_a_new_connection() {
    let (bench, mut proxy) = in_session(&[]);
    bench.fault(Fault::AgentAway(Duration::from_secs(31)));
    proxy.write(b"while it was away\n");
    proxy.expect_stdout("while it was away");
    let _ = proxy.hang_up().ok();
    assert_eq!(connections(&bench.finish()), 2, "the connection was not replaced");
}

/// Fails unless a line goes there and back.
#[track_caller]
fn goes_on(proxy: &mut Running) {
    const LINE: &[u8] = b"it goes on\n";
    let before = proxy.stdout().bytes().len();
    proxy.write(LINE);
    let back = proxy.stdout().wait(ANSWER, |bytes| (bytes.len() >= before + LINE.len()).then(|| bytes.to_vec()));
    assert!(back.is_some_and(|back| back.ends_with(LINE)), "the line did not come back\n{proxy}");
}

/// Fails unless this is how an error looks, and it says `what`.
#[track_caller]
fn assert_failed(done: Done, code: i32, what: &str) {
    let done = done.code(code);
    assert_eq!(done.text(), "up\n", "{done}");
    let lines: Vec<_> = done.stderr.lines().collect();
    let [failed, hint] = lines.as_slice() else { panic!("these are not two lines: {done}") };
    assert!(failed.starts_with(&format!("ssm-proxy: {HOST}: {what}")) && hint.starts_with("  hint: "), "{done}");
}

/// ssm-proxy at work, with an echo at the far side.
fn in_session(options: &[&str]) -> (Bench, Running) {
    let standin = Options { ports: vec![(7, Peer::echo().address())], ..Options::default() };
    let bench = Bench::with(Setup { standin, ..Setup::default() });
    let mut proxy = bench.proxy().args([HOST, "7"]).args(options).start();
    proxy.write(b"up\n");
    proxy.expect_stdout("up");
    (bench, proxy)
}

/// `fault` for every call of `operation`.
fn always(operation: &str, fault: ApiFault) -> ApiRule {
    ApiRule { operation: operation.to_owned(), fault, skip: 0, times: u32::MAX }
}

fn connections(report: &Report) -> u64 {
    report.sessions.iter().map(|session| session.upgrades).sum()
}
