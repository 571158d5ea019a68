//! What networks and the service do to a session, done to real ones: long transfers and terminals live through it.
//!
//! Every fault comes after a number of messages, or once the stand-in's report shows that the session has got there.

#![allow(clippy::expect_used, reason = "a test ends where its files cannot be written or read")]

use std::fs;
use std::time::Duration;

use fixtures::standin::{Fault, LinkConfig, Options, Scheduled, SessionReport, Victims, When};
use fixtures::{Bench, HOST, Setup, Tool, noise};

/// Large enough for windows to fill and for sequence numbers in the ten thousands.
const BULK: usize = 16 << 20;

/// Payload bytes in a message of the client's or the agent's.
const MESSAGE: usize = 1024;

/// How often [`through_trouble`] breaks the connection. An upload ends its silence by a break of its own; a download
/// waits through it, since nothing that it sent is unanswered.
const BREAKS: u64 = 5;

/// How long a transfer through every fault may take, on a machine that has other things to do.
const TRANSFER: Duration = Duration::from_secs(300);

/// What ssm-proxy may hold in memory at most. Only the release build is held to it: without optimisation the program
/// itself is twice as large.
const MEMORY: u64 = 24 << 20;

#[test]
fn an_upload_through_1_percent_loss_and_every_kind_of_break() {
    let bench = unpaced(through_trouble(0.01, BULK));
    upload(&bench, BULK);
    survived(bench, BULK, BREAKS + 1);
}

#[test]
fn an_upload_through_5_percent_loss_and_every_kind_of_break() {
    let bench = unpaced(through_trouble(0.05, BULK));
    upload(&bench, BULK);
    survived(bench, BULK, BREAKS + 1);
}

#[test]
fn a_download_through_1_percent_loss_and_every_kind_of_break() {
    // At its true pace the agent, which repairs ten messages a second, just keeps up with one percent.
    let bench = Bench::with(Setup { standin: through_trouble(0.01, BULK), ..Setup::default() });
    download(&bench, BULK);
    survived(bench, BULK, BREAKS);
}

#[test]
fn a_download_through_5_percent_loss_and_every_kind_of_break() {
    let bench = unpaced(repairing_ten_times_as_fast(through_trouble(0.05, BULK)));
    download(&bench, BULK);
    survived(bench, BULK, BREAKS);
}

#[test]
fn an_agent_that_acknowledges_once_loses_acknowledgements_at_each_reconnect() {
    const LENGTH: usize = 8 << 20;
    const RECONNECTS: u64 = 6;
    let no_acknowledgements = LinkConfig { loss: 1.0, victims: Victims::Acknowledgements, ..LinkConfig::default() };
    let mut standin = Options::default();
    standin.agent.version = "3.1.0.0".to_owned();
    for reconnect in 1..=RECONNECTS {
        // The last acknowledgements before the break never arrive. That many messages are under way at any window, so that
        // the break comes though nothing is acknowledged any more. They may come at once, before the agent has acknowledged
        // one of them, but not each time.
        let messages = (LENGTH / MESSAGE) as u64 * reconnect / (RECONNECTS + 1);
        standin.schedule.extend([
            Scheduled { when: When::Messages(messages - 48), fault: Fault::Downlink(no_acknowledgements.clone()) },
            Scheduled { when: When::Messages(messages), fault: Fault::Reset },
            Scheduled { when: When::Messages(messages), fault: Fault::Downlink(LinkConfig::default()) },
        ]);
    }
    let bench = unpaced(standin);
    upload(&bench, LENGTH);
    let session = bench.session();
    let happened = session.resumes >= RECONNECTS && session.downlink.lost > 0;
    assert!(happened, "the faults did not happen: {session:#?}");
    bench.finish();
}

#[test]
fn a_terminal_answers_the_next_key_after_every_fault() {
    let bench = Bench::open();
    let mut terminal = bench.ssh().args(["-tt", HOST, "stty -echo; echo ready; exec cat"]).on_terminal(24, 80);
    terminal.expect("ready\r\n");
    let faults = [
        Fault::bye(),
        Fault::Reset,
        Fault::Drop,
        Fault::Close(1011, "going away".to_owned()),
        Fault::Silent(Duration::from_secs(10)),
        Fault::AgentAway(Duration::from_secs(2)),
        Fault::Pause,
        Fault::StopReading(Duration::from_secs(2)),
    ];
    for (number, fault) in faults.iter().enumerate() {
        bench.fault(fault.clone());
        terminal.press(&format!("key {number}\n"));
        terminal.expect(&format!("key {number}\r\n"));
    }
    terminal.press("\x04");
    assert_eq!(terminal.finish().code(), Some(0));
    let report = bench.finish();
    let resumes: u64 = report.sessions.iter().map(|session| session.resumes).sum();
    assert!(resumes >= 5, "{resumes} resumes after four closed connections and a silent one");
}

#[test]
fn a_login_whose_connection_breaks_again_and_again() {
    for break_after in 0..12 {
        let schedule = [Fault::bye(), Fault::Reset].map(|fault| Scheduled { when: When::Messages(break_after), fault });
        let bench = Bench::with(Setup {
            standin: Options { schedule: schedule.into(), ..Options::default() },
            ..Setup::default()
        });
        let done = bench.ssh().args([HOST, "echo in"]).run().ok();
        assert_eq!((done.text().as_str(), done.stderr.as_str()), ("in\n", ""), "a break after {break_after} messages");
        bench.finish();
    }
}

/// A stand-in that loses this share of all messages, and while `length` bytes are carried closes the connection three
/// times, resets it twice and is silent once.
fn through_trouble(loss: f64, length: usize) -> Options {
    let messages = (length / MESSAGE) as u64;
    let at = |percent, fault| Scheduled { when: When::Messages(messages * percent / 100), fault };
    let mut standin = Options {
        schedule: vec![
            at(10, Fault::bye()),
            at(20, Fault::Reset),
            at(35, Fault::bye()),
            at(50, Fault::Silent(Duration::from_secs(10))),
            at(65, Fault::Reset),
            at(80, Fault::bye()),
        ],
        ..Options::default()
    };
    standin.uplink.loss = loss;
    standin.downlink.loss = loss;
    standin
}

/// The agent repairs one message each 100 ms, which makes 82 s for five percent of 16 MiB, and minutes for what it has
/// under way without its pace when a connection breaks. Here it looks each 10 ms, and less is under way.
fn repairing_ten_times_as_fast(mut standin: Options) -> Options {
    standin.agent.tick = Duration::from_millis(10);
    standin.send_buffer = Some(16 << 10);
    standin
}

/// A bench without the service's limits, at which 16 MiB would take 20 s.
fn unpaced(standin: Options) -> Bench {
    let proxy_command = "ssm-proxy --no-pace %h %p";
    Bench::with(Setup { proxy_command, standin: standin.unpaced(), ..Setup::default() })
}

fn upload(bench: &Bench, length: usize) {
    copy(bench, length, |scp, from, to| scp.args([from.to_owned(), format!("{HOST}:{to}")]));
}

fn download(bench: &Bench, length: usize) {
    copy(bench, length, |scp, from, to| scp.args([format!("{HOST}:{from}"), to.to_owned()]));
}

/// Copies `length` bytes and compares the copy with what was sent.
fn copy(bench: &Bench, length: usize, way: impl Fn(Tool, &str, &str) -> Tool) {
    let [from, to] = ["from", "to"].map(|name| bench.folder().join(name));
    let content = noise(length as u64, length);
    fs::write(&from, &content).expect("room for the file");
    let scp = bench.user().openssh("scp").limit(TRANSFER);
    let scp = way(scp, &from.display().to_string(), &to.display().to_string()).start();
    let carried = |session: &SessionReport| session.traffic.bytes_from_client.max(session.traffic.bytes_to_client);
    let nearly_all = length as u64 / 10 * 9;
    bench.wait_for_within(TRANSFER, "nearly all of the file carried", |report| {
        report.sessions.iter().any(|session| carried(session) > nearly_all)
    });
    if std::env::var_os("SSM_PROXY").is_some()
        && let Some(memory) = scp.memory()
    {
        assert!(memory.peak < MEMORY, "ssm-proxy's memory: {memory:?}");
    }
    let done = scp.ended().ok();
    let arrived = fs::read(&to).expect("the copy");
    assert!(arrived == content, "{} bytes went, {} other ones arrived: {done}", content.len(), arrived.len());
}

/// Fails unless everything that [`through_trouble`] promises has happened, and has been lived through by the rules.
fn survived(bench: Bench, length: usize, breaks: u64) {
    let session = bench.session();
    let lost = session.uplink.lost + session.downlink.lost;
    assert!(session.resumes >= breaks, "the connection did not break as often as it should: {session:#?}");
    assert!(lost > (length / MESSAGE / 100) as u64, "only {lost} messages were lost: {session:#?}");
    bench.finish();
}
