//! What networks, the service and administrators do to a forward: connections live through what can be lived through, and
//! the listener through everything.

use std::time::{Duration, Instant};

use fixtures::standin::{ApiFault, Fault, Options, Scheduled, SessionState, When};
use fixtures::{Bench, HOST, Peer};

use super::{Forward, all, answers, bench, bench_with, echoes, is_reset, leads, rule};

/// Bytes of each of the connections of a transfer.
const EACH: usize = 384 << 10;
const CONNECTIONS: u64 = 8;

#[test]
fn eight_connections_live_through_1_percent_loss_and_every_break() {
    carried_through(0.01);
}

#[test]
fn eight_connections_live_through_5_percent_loss_and_every_break() {
    carried_through(0.05);
}

/// Eight connections on one session, both ways, while its connection is closed three times, reset twice and silent once.
fn carried_through(loss: f64) {
    let messages = CONNECTIONS * EACH as u64 / 1024;
    let at = |percent, fault| Scheduled { when: When::Messages(messages * percent / 100), fault };
    let mut standin = Options::default().unpaced();
    standin.schedule = vec![
        at(10, Fault::bye()),
        at(20, Fault::Reset),
        at(35, Fault::bye()),
        at(50, Fault::Silent(Duration::from_secs(10))),
        at(65, Fault::Reset),
        at(80, Fault::bye()),
    ];
    (standin.uplink.loss, standin.downlink.loss) = (loss, loss);
    // It repairs one message at each look.
    standin.agent.tick = Duration::from_millis(10);
    standin.send_buffer = Some(16 << 10);
    let bench = bench_with(&[leads("localhost:7", Peer::echo().address())], standin);
    let forward = Forward::to(&bench, &["localhost:7"], &["--no-pace", "--sessions", "1"]);
    all((0..CONNECTIONS).map(|seed| echoes(forward.connect(), seed, EACH)));
    let done = forward.end();
    assert_eq!(done.stderr.lines().count(), 1, "nothing is to be told of it: {done}");
    let report = bench.finish();
    let session = &report.sessions[0];
    assert_eq!(report.sessions.len(), 1);
    assert!(session.resumes >= 5 && session.faults >= 6, "the faults did not happen: {session:#?}");
}

#[test]
fn many_connections_over_many_sessions_live_through_breaks() {
    let schedule = [Fault::bye(), Fault::Reset, Fault::bye()].into_iter().zip([40, 80, 120]);
    let schedule = schedule.map(|(fault, count)| Scheduled { when: When::Messages(count), fault }).collect();
    let standin = Options { schedule, ..Options::default() };
    let bench = bench_with(&[leads("localhost:7", Peer::echo().address())], standin);
    let forward = Forward::to(&bench, &["localhost:7"], &[]);
    all((0..CONNECTIONS).map(|seed| echoes(forward.connect(), seed, 200_000)));
    let done = forward.end();
    let report = bench.finish();
    assert_eq!(report.sessions.len(), 4, "{done}");
    assert!(report.sessions.iter().all(|session| session.resumes >= 2), "{:#?}", report.sessions);
}

#[test]
fn a_session_that_ends_takes_its_connections_and_not_the_forward() {
    const IDLE: &str = "Your session timed out due to inactivity";
    let bench = bench(&[leads("localhost:7", Peer::echo().address())]);
    let forward = Forward::to(&bench, &["localhost:7"], &[]);
    let faults = [Fault::Terminate, Fault::ChannelClosed(IDLE.to_owned()), Fault::ChannelClosed(String::new())];
    for (number, fault) in faults.into_iter().enumerate() {
        let mut stream = forward.connect();
        answers(&mut stream, "before");
        bench.control().fault(fault);
        is_reset(&mut stream);
        // At once, or when it has been seen that the other is over: a connection works.
        answers(&mut forward.connect(), "after");
        assert!(bench.server().report().sessions.len() >= number + 2);
    }
    let done = forward.end();
    let told = "the next connection starts another session";
    assert!(done.stderr.lines().filter(|line| line.contains(told)).count() >= 3, "{done}");
    bench.finish();
}

#[test]
fn a_session_that_ends_while_nobody_uses_it_is_replaced_by_the_next_connection() {
    let bench = bench(&[leads("localhost:7", Peer::echo().address())]);
    let forward = Forward::to(&bench, &["localhost:7"], &[]);
    bench.fault(Fault::Terminate);
    forward.says("the next connection starts another session");
    assert_eq!(bench.server().report().sessions.len(), 1, "nobody needs another");
    answers(&mut forward.connect(), "it works");
    let _ = forward.end();
    bench.finish();
}

#[test]
fn a_node_that_is_away_costs_connections_until_it_is_back() {
    let bench = bench(&[leads("localhost:7", Peer::echo().address())]);
    let forward = Forward::to(&bench, &["localhost:7"], &[]);
    bench.control().api_rule(rule("StartSession", ApiFault::TargetNotConnected, 0, 2));
    bench.fault(Fault::Terminate);
    forward.says("the next connection starts another session");
    for _ in 0..2 {
        is_reset(&mut forward.connect());
    }
    answers(&mut forward.connect(), "it is back");
    let done = forward.end();
    assert!(done.stderr.contains(&format!("ssm-proxy: localhost:7: {HOST} is not ")), "{done}");
    bench.finish();
}

#[test]
fn what_cannot_be_resumed_in_the_time_for_it_is_over() {
    let bench = bench(&[leads("localhost:7", Peer::echo().address())]);
    let forward = Forward::to(&bench, &["localhost:7"], &["--resume-timeout", "1"]);
    let mut stream = forward.connect();
    answers(&mut stream, "up");
    bench.control().api_rule(rule("ResumeSession", ApiFault::Unavailable, 0, u32::MAX));
    let lost = Instant::now();
    bench.fault(Fault::Reset);
    is_reset(&mut stream);
    assert!(lost.elapsed() < Duration::from_secs(4), "{:?}", lost.elapsed());
    answers(&mut forward.connect(), "another");
    let _ = forward.end();
    let report = bench.finish();
    assert_eq!(report.sessions[0].state, SessionState::EndedByApi);
}

#[test]
fn without_another_session_connections_share_the_one_there_is() {
    for fault in [ApiFault::Throttling, ApiFault::AccessDenied] {
        let standin = Options { api_rules: vec![rule("StartSession", fault, 1, u32::MAX)], ..Options::default() };
        let bench = bench_with(&[leads("localhost:7", Peer::echo().address())], standin);
        let forward = Forward::to(&bench, &["localhost:7"], &[]);
        let mut open: Vec<_> = (0..6).map(|_| forward.connect()).collect();
        for stream in &mut open {
            answers(stream, "shared");
        }
        drop(open);
        let _ = forward.end();
        assert_eq!(sessions(bench), 1);
    }
}

/// Silence is not the end: nothing is sent either way for longer than the agent and the service bear without a ping.
#[test]
fn an_idle_forward_is_kept_by_an_old_agents_signs_of_life_alone() {
    let mut standin = Options::default();
    standin.agent.version = "3.1.1511.0".to_owned();
    let bench = bench_with(&[leads("localhost:7", Peer::echo().address())], standin);
    let forward = Forward::to(&bench, &["localhost:7"], &[]);
    let mut stream = forward.connect();
    answers(&mut stream, "up");
    bench.wait_for("a sign of life", |report| {
        report.sessions[0].forward.is_some_and(|forward| forward.client.nops >= 1)
    });
    answers(&mut stream, "still up");
    let _ = forward.end();
    bench.finish();
}

#[test]
fn signs_of_life_are_sent_to_others_if_they_are_asked_for() {
    let bench = bench(&[leads("localhost:7", Peer::echo().address())]);
    let forward = Forward::to(&bench, &["localhost:7"], &["--keep-alive"]);
    bench.wait_for("a sign of life", |report| {
        report.sessions[0].forward.is_some_and(|forward| forward.client.nops >= 1)
    });
    let _ = forward.end();
    bench.finish();
}

fn sessions(bench: Bench) -> usize {
    bench.finish().sessions.len()
}

/// Bytes that no agent sends say nothing of what is to follow: the session is over, and that is told.
#[test]
fn what_cannot_be_read_ends_its_session_at_once() {
    let bench = bench(&[leads("localhost:7", Peer::echo().address())]);
    let forward = Forward::to(&bench, &["localhost:7"], &[]);
    let mut stream = forward.connect();
    answers(&mut stream, "up");
    let broken = Instant::now();
    bench.fault(Fault::Inject(1, b"garbage, and no frame".to_vec()));
    is_reset(&mut stream);
    assert!(broken.elapsed() < Duration::from_secs(5), "{:?}", broken.elapsed());
    answers(&mut forward.connect(), "another");
    let done = forward.end();
    assert!(done.stderr.contains("localhost:7: what comes from the agent cannot be read: "), "{done}");
    bench.finish();
}
