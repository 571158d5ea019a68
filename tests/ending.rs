//! However ssh or ssm-proxy ends, ssm-proxy is gone and the session has ended on the service within 3 s.

#![allow(clippy::panic, reason = "a test ends where a process does not do what it should")]

use std::fs;
use std::io::{Read, pipe};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use fixtures::standin::{
    AfterFlag, ApiFault, ApiRule, Fault, IdentityOptions, LinkConfig, Options, Report, SessionReport, SessionState,
    Victims,
};
use rustix::io::Errno;

use fixtures::{Account, Bench, Done, HOST, Peer, Running, Setup, Signal, noise, screen};

/// From what ends a session to its end on the service, and to the exit: the promise of docs/reconnecting.md.
const PROMISED: Duration = Duration::from_secs(3);

/// The silence after which a far side that was asked something is not waited for: that of docs/reconnecting.md, and its last output.
const SILENCE: Duration = Duration::from_secs(6);

/// What ends ssm-proxy. SIGHUP is what OpenSSH sends.
const SIGNALS: [Signal; 3] = [Signal::HUP, Signal::TERM, Signal::INT];

#[test]
fn ssh_is_killed() {
    for signal in [Signal::KILL, Signal::HUP, Signal::TERM] {
        let bench = Bench::open();
        let ssh = logged_in(&bench);
        let ended = Instant::now();
        ssh.signal(signal);
        let _ = gone(&bench, ssh, ended);
        ended_after(bench, signal);
    }
}

#[test]
fn ssh_is_killed_while_a_shell_stands_between() {
    // The shell gets ssh's SIGHUP and dies of it; ssm-proxy only sees its stdin end.
    for signal in [Signal::KILL, Signal::HUP] {
        let proxy_command = "sh -c 'ssm-proxy %h %p; exit $?'";
        let bench = Bench::with(Setup { proxy_command, ..Setup::default() });
        let ssh = logged_in(&bench);
        let ended = Instant::now();
        ssh.signal(signal);
        let _ = gone(&bench, ssh, ended);
        ended_after(bench, signal);
    }
}

/// The session has ended after ssh got `signal`. Unless it is killed outright, ssh takes leave of sshd by itself, and
/// sshd may close before the flag arrives.
fn ended_after(bench: Bench, signal: Signal) {
    let state = ended_with(bench).state;
    let by_sshd = signal != Signal::KILL && state == SessionState::EndedBySshd;
    assert!(by_sshd || state == SessionState::EndedByFlag, "{signal:?}: {state:?}");
}

#[test]
fn ssm_proxy_gets_a_signal() {
    for signal in SIGNALS {
        let bench = facing(&Peer::echo(), Options::default());
        let proxy = in_session(&bench);
        let ended = Instant::now();
        proxy.signal(signal);
        let done = gone(&bench, proxy, ended).ok();
        assert_eq!(done.stderr, "", "{signal:?}");
        assert_eq!(ended_with(bench).state, SessionState::EndedByFlag, "{signal:?}");
    }
}

#[test]
fn what_was_written_just_before_a_signal_arrives() {
    let sink = Peer::sink();
    let bench = facing(&sink, Options::default());
    let mut proxy = bench.proxy().args([HOST, "7"]).start();
    proxy.write(b"first");
    bench.wait_for("the first bytes at the port", |report| arrived(report) > 0);
    let last = noise(1, 4096);
    proxy.write(&last);
    proxy.signal(Signal::HUP);
    let _ = gone(&bench, proxy, Instant::now()).ok();
    assert!(sink.received() == [b"first", last.as_slice()].concat(), "the last words were lost");
    bench.finish();
}

#[test]
fn a_quit_is_an_end_like_the_others_and_leaves_no_core() {
    let bench = facing(&Peer::echo(), Options::default());
    let proxy = in_session(&bench);
    if let Some(limits) = proxy.file_of_proc("limits") {
        let of_core = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap_or_default();
        assert_eq!(of_core.split_whitespace().next(), Some("0"), "{limits}");
    }
    let ended = Instant::now();
    proxy.signal(Signal::QUIT);
    let done = gone(&bench, proxy, ended).ok();
    assert_eq!(done.stderr, "");
    assert_eq!(ended_with(bench).state, SessionState::EndedByFlag);
}

#[test]
fn what_is_not_known_to_have_arrived_is_no_success() {
    for signal in SIGNALS {
        let bench = facing(&Peer::echo(), Options::default());
        let mut proxy = in_session(&bench);
        lose_everything(&bench);
        proxy.write(&noise(5, 3000));
        bench.wait_for("the bytes on their way", |report| {
            report.sessions.iter().any(|session| session.traffic.bytes_from_client >= 3003)
        });
        let ended = Instant::now();
        proxy.signal(signal);
        let done = gone(&bench, proxy, ended).code(1);
        let name = match signal {
            Signal::HUP => "SIGHUP",
            Signal::TERM => "SIGTERM",
            _ => "SIGINT",
        };
        let said = format!(
            "ssm-proxy: {HOST}: ended by {name}, with 3.0 kB of what was sent not known to have arrived\n  \
             hint: check what has arrived, and do the rest again\n"
        );
        assert_eq!(done.stderr, said);
        assert_eq!(ended_with(bench).state, SessionState::EndedByApi);
    }
}

#[test]
fn stdin_ends_and_the_far_side_waits_for_more() {
    let bench = facing(&Peer::echo(), Options::default());
    let mut proxy = in_session(&bench);
    let ended = Instant::now();
    proxy.close_stdin();
    bench.wait_for_within(SILENCE, "the end of the session", |report| report.open_sessions().next().is_none());
    let done = proxy.ended().ok();
    assert!(ended.elapsed() < SILENCE, "{done}");
    assert_eq!((done.text().as_str(), done.stderr.as_str()), ("up\n", ""));
    assert_eq!(ended_with(bench).state, SessionState::EndedByFlag);
}

#[test]
fn a_pipeline_gets_its_answer() {
    let answer = [b"HTTP/1.0 200 OK\r\n\r\n".as_slice(), &noise(6, 100_000)].concat();
    let server = Peer::server(Duration::from_millis(700), answer.clone());
    let bench = facing(&server, Options::default());
    let done = bench.proxy().args([HOST, "7"]).run_with("GET / HTTP/1.0\r\n").ok();
    assert!(done.stdout == answer, "this is not the answer: {done}");
    assert_eq!(done.stderr, "");
    assert_eq!(ended_with(bench).state, SessionState::EndedBySshd);
}

#[test]
fn what_nobody_has_taken_when_a_signal_comes_is_no_success() {
    let answer = noise(7, 300_000);
    let bench = facing(&Peer::source(answer.clone()), Options::default());
    let (mut reader, writer) = pipe().unwrap();
    let proxy = bench.proxy().args([HOST, "7"]).stdin(Stdio::piped()).stdout(writer).spawn();
    bench.wait_for("the end of the session", |report| {
        report.sessions.iter().any(|session| session.state == SessionState::EndedBySshd)
    });
    proxy.signal(Signal::TERM);
    let done = proxy.ended().code(1);
    assert!(done.stderr.contains("ended by SIGTERM, with a part of what the target sent not written"), "{done}");
    let mut all = Vec::new();
    reader.read_to_end(&mut all).unwrap();
    assert!(answer.starts_with(&all) && all.len() < answer.len(), "{} bytes", all.len());
    bench.finish();
}

/// sshd's close reaches the agent before the flag does, which it then never acknowledges: the API ends the session, and
/// soon.
#[test]
fn sshd_has_left_before_the_flag_arrives() {
    const SOON: Duration = Duration::from_secs(1);
    let bench = facing(&Peer::server(Duration::ZERO, b"bye\n".to_vec()), Options::default());
    let mut proxy = bench.proxy().args([HOST, "7"]).start();
    bench.wait_for("the end of the handshake", |report| report.sessions.iter().any(|session| session.port_connected));
    // The agent waits for acknowledgements of its last words for 2 s.
    let no_acknowledgements = LinkConfig { loss: 1.0, victims: Victims::Acknowledgements, ..LinkConfig::default() };
    bench.fault(Fault::Uplink(no_acknowledgements));
    proxy.write(b"leave\n");
    proxy.expect_stdout("bye");
    let ended = Instant::now();
    let done = proxy.hang_up().ok();
    assert!(ended.elapsed() < SOON, "{done}");
    assert_eq!(ended_with(bench).state, SessionState::EndedByApi);
}

#[test]
fn the_reader_of_stdout_goes_while_nothing_flows() {
    let bench = facing(&Peer::echo(), Options::default());
    let (mut reader, writer) = pipe().unwrap();
    let mut proxy = bench.proxy().args([HOST, "7"]).stdin(Stdio::piped()).stdout(writer).spawn();
    proxy.write(b"up\n");
    reader.read_exact(&mut [0; 3]).unwrap();
    let ended = Instant::now();
    drop(reader);
    let done = gone(&bench, proxy, ended).ok();
    assert_eq!(done.stderr, "");
    assert_eq!(ended_with(bench).state, SessionState::EndedByFlag);
}

/// A socket whose other end is closed, and a terminal that hangs up, neither of which sends a signal here.
#[test]
fn the_reader_of_another_kind_of_stdout_goes_while_nothing_flows() {
    for terminal in [false, true] {
        let bench = facing(&Peer::echo(), Options::default());
        let (mut reader, stdout): (Box<dyn Read>, OwnedFd) = match terminal {
            true => {
                let (reader, stdout) = screen();
                (Box::new(reader), stdout)
            }
            false => {
                let (reader, stdout) = UnixStream::pair().unwrap();
                (Box::new(reader), stdout.into())
            }
        };
        let mut proxy = bench.proxy().args([HOST, "7"]).stdin(Stdio::piped()).stdout(stdout).spawn();
        proxy.write(b"up\n");
        reader.read_exact(&mut [0; 3]).unwrap();
        let ended = Instant::now();
        drop(reader);
        let done = gone(&bench, proxy, ended).ok();
        assert_eq!(done.stderr, "", "terminal: {terminal}");
        assert_eq!(ended_with(bench).state, SessionState::EndedByFlag);
    }
}

/// The one write that there is fails, and nothing comes after it.
#[test]
fn a_stdout_that_cannot_be_written_to() {
    let full = || fs::File::options().write(true).open("/dev/full").unwrap();
    let closed_for_writing = || fs::File::open("/dev/null").unwrap();
    for (stdout, cause) in [(full(), Errno::NOSPC), (closed_for_writing(), Errno::BADF)] {
        let bench = facing(&Peer::echo(), Options::default());
        let mut proxy = bench.proxy().args([HOST, "7"]).stdin(Stdio::piped()).stdout(stdout).spawn();
        proxy.write(b"up\n");
        bench.wait_for("the answer", |report| {
            report.sessions.iter().any(|session| session.traffic.bytes_to_client >= 3)
        });
        let done = gone(&bench, proxy, Instant::now()).code(1);
        let said = format!("ssm-proxy: {HOST}: stdout cannot be written to: {}\n", std::io::Error::from(cause));
        assert!(done.stderr.starts_with(&said), "{done}");
        assert_eq!(ended_with(bench).state, SessionState::EndedByFlag);
    }
}

#[test]
fn the_reader_of_stdout_goes_while_data_flows() {
    for length in [1, 1 << 20] {
        let bench = facing(&Peer::source(noise(2, 8 << 20)), Options::default());
        let (mut reader, writer) = pipe().unwrap();
        let proxy = bench.proxy().args([HOST, "7"]).stdin(Stdio::piped()).stdout(writer).spawn();
        reader.read_exact(&mut vec![0; length]).unwrap();
        let ended = Instant::now();
        drop(reader);
        let done = gone(&bench, proxy, ended).ok();
        assert_eq!(done.stderr, "");
        assert_eq!(ended_with(bench).state, SessionState::EndedByFlag);
    }
}

#[test]
fn an_agent_that_never_says_the_session_is_closed() {
    let standin = || Options { after_flag: AfterFlag::Nothing, ..Options::default() };
    let bench = facing(&Peer::echo(), standin());
    for signal in SIGNALS {
        let proxy = in_session(&bench);
        let ended = Instant::now();
        proxy.signal(signal);
        let _ = gone(&bench, proxy, ended).ok();
    }
    let report = bench.finish();
    for session in report.sessions {
        assert_eq!(session.state, SessionState::EndedByFlag);
    }

    let bench = Bench::with(Setup { standin: standin(), ..Setup::default() });
    let ssh = logged_in(&bench);
    let ended = Instant::now();
    ssh.signal(Signal::KILL);
    let _ = gone(&bench, ssh, ended);
    bench.finish();
}

#[test]
fn an_agent_that_does_not_know_the_flag() {
    // It acknowledges the flag as it does everything, and goes on. With an empty stdin nothing was asked.
    let mut standin = Options::default();
    standin.agent.version = "2.3.672.0".to_owned();
    let bench = facing(&Peer::echo(), standin);
    let proxy = in_session(&bench);
    let ended = Instant::now();
    proxy.signal(Signal::HUP);
    let _ = gone(&bench, proxy, ended).ok();
    let _ = bench.proxy().args([HOST, "7"]).run().ok();
    for session in bench.finish().sessions {
        assert_eq!(session.state, SessionState::EndedByApi);
    }
}

#[test]
fn a_flag_that_is_never_acknowledged() {
    for signal in SIGNALS {
        let bench = facing(&Peer::echo(), Options::default());
        let proxy = in_session(&bench);
        lose_everything(&bench);
        let ended = Instant::now();
        proxy.signal(signal);
        let done = gone(&bench, proxy, ended).ok();
        assert_eq!(done.stderr, "", "{signal:?}");
        let session = ended_with(bench);
        assert_eq!(session.state, SessionState::EndedByApi, "{signal:?}");
        assert!(session.terminate_flag, "the flag was not even sent ({signal:?})");
    }
}

#[test]
fn a_service_that_reads_nothing_during_an_upload() {
    let bench = facing(&Peer::sink(), Options::default());
    let mut proxy = bench.proxy().args([HOST, "7", "--no-pace"]).start();
    proxy.write(&noise(3, 1 << 20));
    bench.wait_for("a mebibyte at the port", |report| arrived(report) == 1 << 20);
    bench.fault(Fault::StopReading(Duration::from_secs(20)));
    proxy.write(&noise(4, 64 << 10));
    let ended = Instant::now();
    proxy.signal(Signal::HUP);
    let done = gone(&bench, proxy, ended).code(1);
    assert!(done.stderr.contains("of what was sent not known to have arrived"), "{done}");
    assert_eq!(ended_with(bench).state, SessionState::EndedByApi);
}

#[test]
fn a_session_that_cannot_be_ended_is_named() {
    let rules = vec![failing("TerminateSession")];
    let bench = facing(&Peer::echo(), Options { api_rules: rules, ..Options::default() });
    let proxy = in_session(&bench);
    lose_everything(&bench);
    let ended = Instant::now();
    proxy.signal(Signal::TERM);
    let done = proxy.ended().ok();
    assert!(ended.elapsed() < PROMISED, "{done}");
    bench.fault(Fault::Terminate);
    let session = ended_with(bench);
    assert!(done.stderr.contains(&session.id) && done.stderr.lines().count() == 1, "{done}");
}

/// The API's answer does not come, but what it does is seen on the stream.
#[test]
fn a_call_that_ends_the_session_and_is_not_answered() {
    let rule = ApiRule { fault: ApiFault::Slow(Duration::from_secs(20)), ..failing("TerminateSession") };
    let bench = facing(&Peer::echo(), Options { api_rules: vec![rule], ..Options::default() });
    let proxy = in_session(&bench);
    lose_everything(&bench);
    let ended = Instant::now();
    proxy.signal(Signal::TERM);
    let done = gone(&bench, proxy, ended).ok();
    assert_eq!(done.stderr, "");
    assert_eq!(ended_with(bench).state, SessionState::EndedByApi);
}

#[test]
fn a_websocket_that_never_opens() {
    let bench = facing(&Peer::echo(), Options { api_rules: vec![failing("OpenDataChannel")], ..Options::default() });
    let done = bench.proxy().args([HOST, "7"]).start().ended().code(77);
    assert!(done.stderr.contains("ssmmessages:OpenDataChannel"), "{done}");
    assert_eq!(ended_with(bench).state, SessionState::EndedByApi);
}

#[test]
fn a_signal_while_the_websocket_is_dialled() {
    let rule = ApiRule { fault: ApiFault::Slow(Duration::from_secs(20)), ..failing("OpenDataChannel") };
    early(Options { api_rules: vec![rule], ..Options::default() }, "the session", |report| !report.sessions.is_empty());
}

/// What ssh has said already is lost with the session that never was; what kept it from being up is told.
#[test]
fn a_signal_while_the_websocket_fails_again_and_again() {
    let rule = ApiRule { fault: ApiFault::ServerError, ..failing("OpenDataChannel") };
    let bench = facing(&Peer::echo(), Options { api_rules: vec![rule], ..Options::default() });
    let mut proxy = bench.proxy().args([HOST, "7"]).start();
    proxy.write(b"SSH-2.0-client\r\n");
    bench.wait_for("two attempts", |report| report.upgrades.len() > 1);
    let ended = Instant::now();
    proxy.signal(Signal::INT);
    let done = gone(&bench, proxy, ended).code(75);
    let said = format!("ssm-proxy: {HOST}: ended by SIGINT before the session was up: 127.0.0.1 refused the session's");
    assert!(done.stderr.starts_with(&said) && done.stderr.lines().count() == 2, "{done}");
    assert_eq!(ended_with(bench).state, SessionState::EndedByApi);
}

#[test]
fn a_signal_while_the_session_is_started() {
    let rule = ApiRule { fault: ApiFault::Slow(Duration::from_millis(700)), ..failing("StartSession") };
    early(Options { api_rules: vec![rule], ..Options::default() }, "the call", |report| !report.sessions.is_empty());
}

#[test]
fn a_signal_before_the_handshake() {
    let mut standin = Options::default();
    standin.agent.request_delay = Duration::from_secs(60);
    early(standin, "the open message", |report| report.sessions.iter().any(|session| session.opens == 1));
}

#[test]
fn a_signal_in_the_middle_of_the_handshake() {
    let mut standin = Options::default();
    standin.agent.complete_delay = Duration::from_secs(60);
    let answered = |session: &SessionReport| session.handshake_client_version.is_some();
    early(standin, "the response", move |report| report.sessions.iter().any(answered));
}

#[test]
fn the_end_of_stdin_and_of_ssh_during_the_handshake() {
    let mut standin = Options::default();
    standin.agent.request_delay = Duration::from_secs(60);
    let bench = Bench::with(Setup { standin, ..Setup::default() });
    let ssh = bench.ssh().args([HOST, "true"]).start();
    bench.wait_for("the open message", |report| report.sessions.iter().any(|session| session.opens == 1));
    let ended = Instant::now();
    ssh.signal(Signal::KILL);
    let _ = gone(&bench, ssh, ended);
    bench.finish();
}

#[test]
fn a_signal_while_the_session_is_resumed() {
    let slow = ApiFault::Slow(Duration::from_secs(15));
    for fault in [slow, ApiFault::Unavailable, ApiFault::AccessDenied] {
        for signal in SIGNALS {
            let bench = facing(&Peer::echo(), Options::default());
            let proxy = in_session(&bench);
            bench.control().api_rule(ApiRule { fault: fault.clone(), ..failing("ResumeSession") });
            bench.fault(Fault::bye());
            bench.wait_for("a call of ResumeSession", |report| report.calls_of("ResumeSession") > 0);
            let ended = Instant::now();
            proxy.signal(signal);
            let _ = gone(&bench, proxy, ended).ok();
            assert_eq!(ended_with(bench).state, SessionState::EndedByApi, "{fault:?}, {signal:?}");
        }
    }
}

#[test]
fn ssh_is_killed_while_the_session_is_resumed() {
    let bench = Bench::open();
    let ssh = logged_in(&bench);
    bench.control().api_rule(ApiRule { fault: ApiFault::Unavailable, ..failing("ResumeSession") });
    bench.fault(Fault::Reset);
    bench.wait_for("a call of ResumeSession", |report| report.calls_of("ResumeSession") > 0);
    let ended = Instant::now();
    ssh.signal(Signal::KILL);
    let _ = gone(&bench, ssh, ended);
    assert_eq!(ended_with(bench).state, SessionState::EndedByApi);
}

#[test]
fn a_signal_that_comes_again_and_again() {
    let bench = facing(&Peer::echo(), Options::default());
    let proxy = in_session(&bench);
    lose_everything(&bench);
    let ended = Instant::now();
    for signal in SIGNALS.into_iter().chain(SIGNALS) {
        proxy.signal(signal);
    }
    let _ = gone(&bench, proxy, ended).ok();
    assert_eq!(ended_with(bench).state, SessionState::EndedByApi);
}

#[test]
fn an_interrupt_that_was_ignored_at_the_start_stays_ignored() {
    // sftp does this, so that Ctrl-C ends a transfer and not the connection.
    let bench = facing(&Peer::echo(), Options::default());
    let line = format!("trap '' INT; exec ssm-proxy {HOST} 7");
    let mut proxy = bench.user().tool("sh").args(["-c", &line]).start();
    proxy.write(b"up\n");
    proxy.expect_stdout("up");
    proxy.signal(Signal::INT);
    proxy.write(b"still up\n");
    proxy.expect_stdout("still up");
    let _ = proxy.hang_up().ok();
    assert_eq!(ended_with(bench).state, SessionState::EndedByFlag);
}

/// Whatever is under way, and whoever has listened for signals before: Ctrl-C ends it, and a signal that asks how it is
/// kills nothing.
#[test]
fn signals_while_nodes_are_listed_after_credentials_that_took_their_time() {
    let slow = ApiRule { fault: ApiFault::Slow(Duration::from_secs(20)), ..failing("DescribeInstanceInformation") };
    let issued = IdentityOptions::default().issued;
    let answer = format!(
        r#"{{"Version":1,"AccessKeyId":"{}","SecretAccessKey":"{}","SessionToken":"{}"}}"#,
        issued.access_key_id,
        issued.secret_access_key,
        issued.session_token.unwrap_or_default()
    );
    let account = Account::open("");
    let answer = account.write("answer.json", &answer);
    let process = format!("sh -c 'sleep 0.3; cat {}'", answer.display());
    account.write(".aws/config", &format!("[default]\ncredential_process = {process}\n"));
    account.bench().control().api_rule(slow);
    for signal in SIGNALS.into_iter().chain([Signal::QUIT]) {
        let before = account.bench().server().report().calls_of("DescribeInstanceInformation");
        let list = account.proxy().arg("--list").start();
        account.bench().wait_for("the call", |report| report.calls_of("DescribeInstanceInformation") > before);
        for _ in 0..3 {
            list.signal(Signal::USR1);
        }
        list.expect_stderr("ssm-proxy: nothing to report");
        let ended = Instant::now();
        list.signal(signal);
        let done = list.ended().code(1);
        assert!(ended.elapsed() < PROMISED && done.stderr.contains("--list: ended by SIG"), "{signal:?}: {done}");
    }
    account.finish();
}

/// A signal while a session is being made: as soon as `begun`, which `what` names. Of no use to anyone, it is ended.
#[track_caller]
fn early(standin: Options, what: &str, begun: impl Fn(&Report) -> bool) {
    for signal in SIGNALS {
        let bench = facing(&Peer::echo(), standin.clone());
        let proxy = bench.proxy().args([HOST, "7"]).start();
        bench.wait_for(what, &begun);
        let ended = Instant::now();
        proxy.signal(signal);
        let done = gone(&bench, proxy, ended).ok();
        assert_eq!((done.text().as_str(), done.stderr.as_str()), ("", ""), "{signal:?}");
        assert_eq!(ended_with(bench).state, SessionState::EndedByApi, "{signal:?}");
    }
}

/// A bench whose target has `peer` on port 7, where ssm-proxy can be run without ssh.
fn facing(peer: &Peer, mut standin: Options) -> Bench {
    standin.ports.push((7, peer.address()));
    Bench::with(Setup { standin, ..Setup::default() })
}

/// ssh at work: its remote command runs, and waits for input.
fn logged_in(bench: &Bench) -> Running {
    let ssh = bench.ssh().args([HOST, "echo up; exec cat"]).start();
    ssh.expect_stdout("up");
    ssh
}

/// ssm-proxy at work, with an echo at the far side.
fn in_session(bench: &Bench) -> Running {
    let mut proxy = bench.proxy().args([HOST, "7"]).start();
    proxy.write(b"up\n");
    proxy.expect_stdout("up");
    proxy
}

/// From here on nothing that ssm-proxy says reaches the agent.
fn lose_everything(bench: &Bench) {
    bench.fault(Fault::Uplink(LinkConfig { loss: 1.0, ..LinkConfig::default() }));
}

/// A failure of every call of `operation`.
fn failing(operation: &str) -> ApiRule {
    ApiRule { operation: operation.to_owned(), fault: ApiFault::Forbidden, skip: 0, times: u32::MAX }
}

/// Bytes that have reached the target's port.
fn arrived(report: &Report) -> u64 {
    report.sessions.iter().map(|session| session.agent.bytes_to_port).sum()
}

/// Fails unless the session has ended on the service, and the process is gone with all that it started, within
/// [`PROMISED`] from `ended` on.
#[track_caller]
fn gone(bench: &Bench, process: Running, ended: Instant) -> Done {
    let left = PROMISED.saturating_sub(ended.elapsed());
    bench.wait_for_within(left, "the end of the session", |report| report.open_sessions().next().is_none());
    let done = process.ended();
    let took = ended.elapsed();
    assert!(took < PROMISED, "it was gone only after {took:?}: {done}");
    done
}

/// Ends the bench; how its only session ended.
#[track_caller]
fn ended_with(bench: Bench) -> SessionReport {
    let mut report = bench.finish();
    match (report.sessions.pop(), report.sessions.is_empty()) {
        (Some(session), true) => session,
        _ => panic!("not one session: {report:#?}"),
    }
}
