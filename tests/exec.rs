//! A command of `--exec`: its arguments, its output, its exit status and its end are as if it ran here.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it cannot set its scene")]

use std::fs;
use std::io::{Read, pipe};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use fixtures::standin::{Fault, LinkConfig, Options, Report, Scheduled, SessionState, Victims, When};
use fixtures::{Bench, Done, HOST, Running, Setup, Signal, Tool, noise};

/// From what ends a session to its end on the service, and to the exit: the promise of docs/reconnecting.md.
const PROMISED: Duration = Duration::from_secs(3);
/// How long a command that is interrupted has to end, before the API ends it: that of docs/reconnecting.md.
const INTERRUPTED: Duration = Duration::from_secs(3);

#[test]
fn the_exit_status_is_the_commands() {
    let bench = Bench::open();
    for (script, status) in [("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -KILL $$", 255)] {
        let done = sh(&bench, script).run().code(status);
        assert_eq!((done.text().as_str(), done.stderr.as_str()), ("", ""), "{script}");
    }
    for session in bench.finish().sessions {
        assert_eq!(session.document.as_deref(), Some("AWS-StartNonInteractiveCommand"));
        assert_eq!(session.state, SessionState::EndedByProgram);
    }
}

#[test]
fn both_streams_come_apart_and_byte_for_byte() {
    let bench = Bench::with(Setup { standin: Options::default().unpaced(), ..Setup::default() });
    let [out, err, kept] = ["out", "err", "kept"].map(|name| bench.folder().join(name));
    let [to_stdout, to_stderr] = [noise(1, 1 << 20), noise(2, (1 << 20) + 17)];
    fs::write(&out, &to_stdout).unwrap();
    fs::write(&err, &to_stderr).unwrap();
    let script = format!("cat {} & cat {} >&2; wait; printf end", out.display(), err.display());
    // Its stderr is not text: a file takes it.
    let shell = bench.user().tool("sh").args(["-c", "exec ssm-proxy --exec \"$0\" -- sh -c \"$1\" 2>\"$2\""]);
    let done = shell.args([HOST, &script]).arg(&kept).run().ok();
    assert!(done.stdout == [&to_stdout[..], b"end"].concat(), "{} bytes came on stdout", done.stdout.len());
    assert!(fs::read(&kept).unwrap() == to_stderr, "this is not what was written to stderr");
    bench.finish();
}

#[test]
fn a_line_is_there_before_the_command_ends() {
    let bench = Bench::open();
    let gate = Gate::new(&bench);
    let proxy = sh(&bench, &format!("echo one; {}; echo two", gate.wait())).start();
    proxy.expect_stdout("one");
    assert!(bench.session().exit_code.is_none());
    gate.open();
    assert_eq!(proxy.ended().ok().text(), "one\ntwo\n");
    bench.finish();
}

/// 400 arguments at a time, of all that has a meaning to a shell or to the agent, in eight sessions at once.
#[test]
fn arguments_arrive_as_they_are_in_many_sessions_at_once() {
    const MEANT: &[&str] = &[
        " ", "\t", "\n", "\r", "'", "\"", "\\", "#", "$", "$HOME", "`", "!", "*", "?", "[", "]", "{{ x }}", "~", "=",
        "%", "&", "|", ";", "<", ">", "(", ")", "a", "-", "\u{1}", "\u{7f}", "é", "你", "🦀", "\u{2028}",
    ];
    let bench = Bench::open();
    thread::scope(|scope| {
        for seed in 0..8 {
            let bench = &bench;
            scope.spawn(move || {
                let mut rng = fastrand::Rng::with_seed(seed);
                let word = |rng: &mut fastrand::Rng| (0..rng.usize(..6)).map(|_| *rng.choice(MEANT).unwrap()).collect();
                let words: Vec<String> = (0..400).map(|_| word(&mut rng)).collect();
                let done = exec(bench, &["printf", "%s\\0"]).args(&words).run().ok();
                let came: Vec<_> = done.text().split_terminator('\0').map(str::to_owned).collect();
                assert!(came == words, "seed {seed}: {words:#?} went, and {came:#?} arrived");
            });
        }
    });
    assert_eq!(bench.finish().sessions.len(), 8);
}

/// The agent gives the exit status first, and the reason a second later.
#[test]
fn a_program_that_is_not_there() {
    let bench = Bench::open();
    let done = exec(&bench, &["no-such-program", "-x"]).run().code(1);
    assert!(done.stderr.contains("\"no-such-program\": executable file not found in $PATH"), "{done}");
    assert_eq!(done.text(), "");
    assert_eq!(bench.finish().sessions[0].exit_code, Some(1));
}

#[test]
fn an_agent_that_gives_no_status() {
    // A document of one's own, whose commands have one stream and no status.
    let standin =
        Options { session_documents: vec!["Own=NonInteractiveCommands".parse().unwrap()], ..Options::default() };
    let bench = Bench::with(Setup { standin, ..Setup::default() });
    let own =
        bench.proxy().args(["--document-name", "Own", "--exec", HOST, "--", "sh", "-c", "echo a; echo b >&2; exit 3"]);
    let done = own.run();
    assert_eq!(done.text(), "a\nb\n");
    no_status(done);
    // An administrator ends the session.
    let proxy = sh(&bench, "echo in; sleep 60").start();
    proxy.expect_stdout("in");
    bench.fault(Fault::Terminate);
    no_status(proxy.ended());
    bench.finish();
}

#[track_caller]
fn no_status(done: Done) {
    let done = done.code(1);
    let said = format!(
        "ssm-proxy: {HOST}: the session ended, and the agent gave no exit status of the command\n  \
         hint: look at what the command has done, and at the agent's log on the target: amazon-ssm-agent.log\n"
    );
    assert_eq!(done.stderr, said);
}

#[test]
fn documents_without_exec_are_what_they_turn_out_to_be() {
    let documents = ["Combined=NonInteractiveCommands=sh -c 'echo {{ word }}; echo err >&2; exit 3'"];
    let session_documents = documents.map(|document| document.parse().unwrap()).into();
    let bench = Bench::with(Setup { standin: Options { session_documents, ..Options::default() }, ..Setup::default() });
    // One stream, and no status.
    let done =
        bench.proxy().args(["--shell", "--document-name", "Combined", "--parameters", "word=out", HOST]).run().ok();
    assert_eq!((done.text().as_str(), done.stderr.as_str()), ("out\nerr\n", ""));
    // With a status the status counts.
    let parameters = r#"{"command":["sh -c 'echo out; echo err >&2; exit 3'"],"separateOutputStream":["true"]}"#;
    let document = ["--shell", "--document-name", "AWS-StartNonInteractiveCommand", "--parameters", parameters, HOST];
    let done = bench.proxy().args(document).run().code(3);
    assert_eq!((done.text().as_str(), done.stderr.as_str()), ("out\n", "err\n"));
    bench.finish();
}

#[test]
fn an_interrupt_reaches_the_command_once() {
    let bench = Bench::open();
    // It goes on for a while, in which another would be seen.
    let script =
        "trap 'echo caught' INT; echo in; n=0; while [ $n -lt 10 ]; do sleep 0.05; n=$((n+1)); done; echo out; exit 5";
    let proxy = sh(&bench, script).start();
    proxy.expect_stdout("in");
    proxy.signal(Signal::INT);
    proxy.expect_stdout("caught");
    let done = proxy.ended().code(130);
    assert_eq!((done.text().as_str(), done.stderr.as_str()), ("in\ncaught\nout\n", ""));
    assert_eq!(bench.finish().sessions[0].state, SessionState::EndedByProgram);
}

#[test]
fn an_interrupt_and_a_quit_end_a_command_that_does_not_mind() {
    for (signal, status) in [(Signal::INT, 130), (Signal::QUIT, 131)] {
        let bench = Bench::open();
        let proxy = sh(&bench, "ulimit -c 0; echo in; exec sleep 60").start();
        proxy.expect_stdout("in");
        let ended = Instant::now();
        proxy.signal(signal);
        let done = gone(&bench, proxy, ended, PROMISED).code(status);
        assert_eq!(done.stderr, "", "{signal:?}");
        assert_eq!(bench.finish().sessions[0].state, SessionState::EndedByProgram);
    }
}

/// The agent hears nothing more, and so the API has to end it.
#[test]
fn a_command_that_ignores_an_interrupt_is_ended_by_the_api() {
    let bench = Bench::open();
    let proxy = sh(&bench, "trap '' INT; echo in; exec sleep 60").start();
    proxy.expect_stdout("in");
    let interrupted = Instant::now();
    proxy.signal(Signal::INT);
    let done = gone(&bench, proxy, interrupted, INTERRUPTED + PROMISED).code(130);
    assert!(interrupted.elapsed() >= INTERRUPTED, "{done}");
    assert_eq!(done.stderr, "");
    assert_eq!(bench.finish().sessions[0].state, SessionState::EndedByApi);
}

#[test]
fn a_second_interrupt_ends_the_session_at_once() {
    let bench = Bench::open();
    let proxy = sh(&bench, "trap '' INT; echo in; exec sleep 60").start();
    proxy.expect_stdout("in");
    let before = bench.session().traffic.bytes_from_client;
    let interrupted = Instant::now();
    proxy.signal(Signal::INT);
    bench.wait_for("the interrupt", |report| from_client(report) > before);
    proxy.signal(Signal::INT);
    let done = gone(&bench, proxy, interrupted, INTERRUPTED).code(130);
    assert_eq!(done.stderr, "");
    assert_eq!(bench.finish().sessions[0].state, SessionState::EndedByApi);
}

#[test]
fn a_signal_leaves_no_session_behind() {
    for (signal, status) in [(Signal::TERM, 143), (Signal::HUP, 129)] {
        for terminal in [false, true] {
            let bench = Bench::open();
            let proxy = if terminal {
                on_terminal(&bench, "echo in; exec sleep 60")
            } else {
                sh(&bench, "echo in; exec sleep 60")
            };
            let proxy = proxy.start();
            proxy.expect_stdout("in");
            let ended = Instant::now();
            proxy.signal(signal);
            let done = gone(&bench, proxy, ended, PROMISED).code(status);
            assert_eq!(done.stderr, "", "{signal:?}");
            assert_eq!(bench.finish().sessions[0].state, SessionState::EndedByApi);
        }
    }
}

/// Any other that would kill the process, but for those that tell of a fault of its own.
#[cfg(target_os = "linux")]
#[test]
fn a_signal_that_is_seldom_leaves_no_session_behind() {
    let bench = Bench::open();
    let seldom = [Signal::USR2, Signal::ALARM, Signal::VTALARM, Signal::PROF, Signal::XCPU, Signal::XFSZ];
    for signal in seldom.into_iter().chain([Signal::IO, Signal::POWER]) {
        let proxy = sh(&bench, "echo in; exec sleep 60").start();
        proxy.expect_stdout("in");
        proxy.signal(signal);
        assert_eq!(proxy.ended().code(128 + signal.as_raw()).stderr, "", "{signal:?}");
    }
    assert!(bench.finish().sessions.iter().all(|session| session.state == SessionState::EndedByApi));
}

/// Long before there is a command.
#[test]
fn a_signal_before_the_session_has_begun() {
    for signal in [Signal::INT, Signal::TERM] {
        let mut standin = Options::default();
        standin.agent.request_delay = Duration::from_secs(60);
        let bench = Bench::with(Setup { standin, ..Setup::default() });
        let proxy = sh(&bench, "echo in").start();
        bench.wait_for("the open message", |report| report.sessions.iter().any(|session| session.opens == 1));
        let ended = Instant::now();
        proxy.signal(signal);
        let done = gone(&bench, proxy, ended, PROMISED).code(if signal == Signal::INT { 130 } else { 143 });
        assert_eq!(done.stderr, "", "{signal:?}");
        bench.finish();
    }
}

#[test]
fn the_reader_of_stdout_goes() {
    let bench = Bench::open();
    let line = format!("ssm-proxy --exec {HOST} -- yes | head -n 1");
    let done = bench.user().tool("sh").args(["-c", &line]).run().ok();
    assert_eq!((done.text().as_str(), done.stderr.as_str()), ("y\n", ""));
    // While nothing flows.
    let (mut reader, writer) = pipe().unwrap();
    let proxy = sh(&bench, "echo in; exec sleep 60").stdout(writer).spawn();
    reader.read_exact(&mut [0; 3]).unwrap();
    let ended = Instant::now();
    drop(reader);
    let done = gone(&bench, proxy, ended, PROMISED).code(141);
    assert_eq!(done.stderr, "");
    for session in bench.finish().sessions {
        assert_eq!(session.state, SessionState::EndedByApi);
    }
}

/// The agent gives up a stream that it reads in a pause, and so while the connection is away.
#[test]
fn output_that_was_lost_is_told() {
    let bench = Bench::open();
    let [one, two] = [Gate::new(&bench), Gate::new(&bench)];
    let script = format!("echo in; {}; echo lost; {}; echo lost, too; exit 5", one.wait(), two.wait());
    let proxy = sh(&bench, &script).start();
    proxy.expect_stdout("in");
    away_while_it_writes(&bench, &proxy, &one);
    two.open();
    let done = proxy.ended().code(1);
    assert_eq!(done.text(), "in\n");
    let said = format!(
        "ssm-proxy: {HOST}: a part of the command's output may be missing: the connection was lost while it ran, and the \
         agent does not keep what a command writes meanwhile; its exit status was 5\n  \
         hint: run it again, or have it write to a file on the target\n"
    );
    assert_eq!(done.stderr, said);
    bench.finish();
}

/// A command that writes more than its pipe takes stands still on a stream that the agent has given up.
#[test]
fn a_command_that_stands_still_since_a_break_is_told_of() {
    const IDLE: &str = "Your session timed out due to inactivity and has been terminated.";
    let bench = Bench::open();
    let gate = Gate::new(&bench);
    let proxy = sh(&bench, &format!("echo in; {}; yes | head -c 1000000; exit 6", gate.wait())).start();
    proxy.expect_stdout("in");
    away_while_it_writes(&bench, &proxy, &gate);
    proxy.expect_stderr(
        "ssm-proxy: nothing has come from the command since the connection was lost: it may be quiet, or the agent may have \
         given its output up, so that the command waits for ever to write more; Ctrl-C ends it",
    );
    bench.fault(Fault::ChannelClosed(IDLE.to_owned()));
    let done = proxy.ended().code(1);
    let said = format!(
        "ssm-proxy: {HOST}: a part of the command's output may be missing: the connection was lost while it ran, and the \
         agent does not keep what a command writes meanwhile: Session Manager ended the session because it was idle: {IDLE}\n  \
         hint: run it again, or have it write to a file on the target\n"
    );
    assert!(done.text() == "in\n" && done.stderr.ends_with(&said), "{done}");
    bench.finish();
}

#[test]
fn output_that_went_on_is_not_told_as_lost() {
    let bench = Bench::open();
    let [one, two] = [Gate::new(&bench), Gate::new(&bench)];
    let both = |number| format!("{}; {} >&2", writes(number), writes(number));
    let script = format!("{}; {}; {}; {}; {}; exit 5", both(1), one.wait(), both(2), two.wait(), both(3));
    let proxy = sh(&bench, &script).start();
    for (number, gate) in [(1, one), (2, two)] {
        proxy.expect_stdout(&written(number));
        proxy.expect_stderr(&written(number));
        bench.fault(if number == 1 { Fault::bye() } else { Fault::Reset });
        back(&bench, number);
        gate.open();
    }
    let done = proxy.ended().code(5);
    let all: String = (1..=3).map(|number| written(number) + "\n").collect();
    assert!(done.text() == all && done.stderr == all, "{done}");
    bench.finish();
}

/// Lets the command end. Its last output and its status arrive, and no acknowledgement of them does.
fn end_unacknowledged(bench: &Bench, gate: &Gate, proxy: &Running) {
    bench.fault(Fault::Uplink(LinkConfig { loss: 1.0, victims: Victims::Acknowledgements, ..LinkConfig::default() }));
    gate.open();
    proxy.expect_stdout("out");
    bench.wait_for("the exit status, again", |report| {
        report.sessions.iter().any(|session| session.exit_code.is_some() && session.traffic.agent_retransmissions > 1)
    });
}

/// The exit status has arrived, and the end of the session is all that is missing.
#[test]
fn nothing_is_lost_after_the_commands_end() {
    let mut standin = Options::default();
    // It waits for acknowledgements, which do not come.
    standin.agent.linger = Duration::from_secs(60);
    let bench = Bench::with(Setup { standin, ..Setup::default() });
    let gate = Gate::new(&bench);
    let proxy = sh(&bench, &format!("echo in; {}; echo out; exit 5", gate.wait())).start();
    proxy.expect_stdout("in");
    end_unacknowledged(&bench, &gate, &proxy);
    bench.fault(Fault::bye());
    bench.fault(Fault::Uplink(LinkConfig::default()));
    let done = proxy.ended().code(5);
    assert_eq!((done.text().as_str(), done.stderr.as_str()), ("in\nout\n", ""));
    bench.finish();
}

/// The exit status has arrived, and the session has ended while the connection was away.
#[test]
fn the_end_of_a_session_is_missed_after_the_status() {
    let bench = Bench::open();
    let gate = Gate::new(&bench);
    let proxy = sh(&bench, &format!("echo in; {}; echo out; exit 5", gate.wait())).start();
    proxy.expect_stdout("in");
    // The agent goes on for 2 s without them.
    end_unacknowledged(&bench, &gate, &proxy);
    away(&bench, &proxy);
    bench.wait_for("the end", |report| report.open_sessions().next().is_none());
    proxy.signal(Signal::CONT);
    let done = proxy.ended().code(5);
    assert_eq!((done.text().as_str(), done.stderr.as_str()), ("in\nout\n", ""));
    bench.finish();
}

/// The session ends while the connection is away, and so does the command.
#[test]
fn the_end_of_the_session_is_missed() {
    let mut standin = Options::default();
    standin.agent.linger = Duration::from_millis(1);
    let bench = Bench::with(Setup { standin, ..Setup::default() });
    let gate = Gate::new(&bench);
    let proxy = sh(&bench, &format!("echo in; {}; exit 5", gate.wait())).start();
    proxy.expect_stdout("in");
    away(&bench, &proxy);
    gate.open();
    bench.wait_for("the end", |report| report.open_sessions().next().is_none());
    proxy.signal(Signal::CONT);
    let done = proxy.ended().code(1);
    assert!(done.stderr.contains("the session ended on the service while the connection was away"), "{done}");
    bench.finish();
}

#[test]
fn with_t_it_has_a_terminal_and_no_status() {
    let bench = Bench::open();
    let tool = on_terminal(
        &bench,
        "test -t 0 -a -t 1 -a -t 2 && echo all; read line; stty size; read word; echo \"<$word>\"; exit 7",
    );
    let mut terminal = tool.on_terminal(31, 97);
    terminal.expect("all\r\n");
    // The agent sets the size after it has started the program.
    terminal.press("\r");
    terminal.expect("31 97\r\n");
    terminal.press("typed\r");
    terminal.expect("<typed>\r\n");
    assert_eq!(terminal.finish().code(), Some(0), "the status of the far side's program is not told");
    let session = bench.finish().sessions.remove(0);
    assert_eq!(session.document.as_deref(), Some("AWS-StartInteractiveCommand"));
    assert_eq!(session.exit_code, None);
}

/// The agent sends nothing until the session's end then, and that is empty.
#[test]
fn with_t_a_command_may_write_nothing() {
    let bench = Bench::open();
    for script in ["exit 0", "exit 3", "sleep 2"] {
        let done = on_terminal(&bench, script).run().ok();
        assert_eq!((done.text().as_str(), done.stderr.as_str()), ("", ""), "{script}");
    }
    for session in bench.finish().sessions {
        assert_eq!(session.state, SessionState::EndedByProgram);
    }
}

#[test]
fn with_t_an_interrupt_is_a_key() {
    let bench = Bench::open();
    let mut terminal =
        on_terminal(&bench, "trap 'echo caught; exit' INT; echo in; while :; do sleep 0.05; done").on_terminal(24, 80);
    terminal.expect("in\r\n");
    terminal.press("\x03");
    terminal.expect("caught\r\n");
    assert_eq!(terminal.finish().code(), Some(0));
    bench.finish();
}

#[test]
fn what_is_piped_in_is_not_passed_on() {
    let bench = Bench::open();
    let done = sh(&bench, "cat; echo end").arg("-x").run_with("lines\n").ok();
    assert_eq!((done.text().as_str(), done.stderr.as_str()), ("end\n", ""));
    let verbose = bench.proxy().args(["-v", "--exec", HOST, "--", "cat"]).run_with("lines\n").ok();
    assert_eq!(verbose.text(), "");
    assert!(verbose.stderr.contains("stdin is not passed on: the command has none on the far side"), "{verbose}");
    bench.finish();
}

/// As ssh's stdin is, without `-n`.
#[test]
fn a_loop_over_lines_keeps_its_lines() {
    let bench = Bench::open();
    let line = format!("printf 'a\\nb\\nc\\n' | while read word; do ssm-proxy --exec {HOST} -- echo $word; done");
    let done = bench.user().tool("sh").args(["-c", &line]).run().ok();
    assert_eq!((done.text().as_str(), done.stderr.as_str()), ("a\nb\nc\n", ""));
    bench.finish();
}

#[test]
fn with_t_what_is_piped_in_is_typed() {
    let bench = Bench::open();
    let done = on_terminal(&bench, "stty -echo; echo in; exec cat").run_with("first\nlast").ok();
    assert!(done.text().ends_with("first\r\nlast"), "{done}");
    assert_eq!(done.stderr, "");
    bench.finish();
}

#[test]
fn the_keyboards_interrupt_is_one() {
    let bench = Bench::open();
    let mut terminal = sh(&bench, "echo in; exec sleep 60").on_terminal(24, 80);
    terminal.expect("in\r\n");
    terminal.press("\x03");
    assert_eq!(terminal.finish().code(), Some(130));
    assert_eq!(bench.finish().sessions[0].state, SessionState::EndedByProgram);
}

#[test]
fn a_stdout_that_cannot_be_written_to() {
    let bench = Bench::open();
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let done = sh(&bench, "echo in; exec sleep 60").stdout(full).spawn().ended().code(1);
    let said = format!("ssm-proxy: {HOST}: stdout cannot be written to: No space left on device (os error 28)\n");
    assert!(done.stderr.starts_with(&said), "{done}");
    assert_eq!(bench.finish().sessions[0].state, SessionState::EndedByApi);
}

/// Those of Windows have 32 bits.
#[test]
fn a_status_that_is_none_here() {
    for status in ["4294967295", "3221225477"] {
        let bench = Bench::open();
        let proxy = sh(&bench, "echo in; exec sleep 60").start();
        proxy.expect_stdout("in");
        bench.fault(Fault::Inject(12, format!("EXIT_CODE: {status}").into_bytes()));
        bench.fault(Fault::ChannelClosed(String::new()));
        assert_eq!(proxy.ended().code(255).stderr, "", "{status}");
        bench.finish();
    }
}

/// A write is under way when the session ends, or has just failed then: both are told.
#[test]
fn a_last_write_that_fails() {
    let bench = Bench::open();
    for _ in 0..25 {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let done = exec(&bench, &["echo", "out"]).stdout(full).spawn().ended().code(1);
        assert!(done.stderr.contains(": stdout cannot be written to: No space left on device"), "{done}");
    }
    bench.finish();
}

#[test]
fn loss_costs_time_alone() {
    for (number, loss) in [(1, 0.01), (2, 0.05)] {
        let mut standin = Options::default().unpaced();
        standin.agent.tick = Duration::from_millis(10);
        // An agent gives up on what is not acknowledged 2 s after the command's end; this one shows that the rest works.
        standin.agent.linger = Duration::from_secs(60);
        standin.uplink.loss = loss;
        standin.downlink.loss = loss;
        standin.seed = number;
        let bench = Bench::with(Setup { standin, ..Setup::default() });
        let file = bench.folder().join("file");
        let content = noise(number, 1 << 20);
        fs::write(&file, &content).unwrap();
        let done = sh(&bench, &format!("cat {}; echo err >&2; exit 3", file.display())).run().code(3);
        assert!(done.stdout == content, "{} bytes came", done.stdout.len());
        assert_eq!(done.stderr, "err\n");
        let session = bench.finish().sessions.remove(0);
        assert!(session.uplink.lost + session.downlink.lost > 10, "{session:#?}");
    }
}

/// An agent that does not repair what is lost before it closes the session.
#[test]
fn what_never_came_is_told() {
    let mut standin = Options::default().unpaced();
    standin.agent.tick = Duration::from_secs(60);
    standin.agent.linger = Duration::from_millis(1);
    let bench = Bench::with(Setup { standin, ..Setup::default() });
    let gate = Gate::new(&bench);
    let proxy = sh(&bench, &format!("echo in; {}; {}", gate.wait(), writes(1).replace("8000", "800000"))).start();
    proxy.expect_stdout("in");
    bench.fault(Fault::Downlink(LinkConfig { loss: 0.5, victims: Victims::Data, ..LinkConfig::default() }));
    gate.open();
    let done = proxy.ended().code(1);
    let said = format!(
        "ssm-proxy: {HOST}: the session was closed, with a part of what the target sent missing\n  \
         hint: start another session, and do the rest again\n"
    );
    assert_eq!(done.stderr, said);
    bench.finish();
}

#[test]
fn an_end_by_the_idle_limit_is_told() {
    const SAID: &str = "Your session timed out due to inactivity and has been terminated.";
    let bench = Bench::open();
    let proxy = sh(&bench, "echo in; exec sleep 60").start();
    proxy.expect_stdout("in");
    bench.fault(Fault::ChannelClosed(SAID.to_owned()));
    let done = proxy.ended().code(1);
    let said = format!(
        "ssm-proxy: {HOST}: Session Manager ended the session because it was idle: {SAID}\n  hint: start another session; the \
         limit is the idle session timeout of the account's Session Manager preferences\n"
    );
    assert_eq!(done.stderr, said);
    bench.finish();
}

#[test]
fn a_command_goes_on_through_every_kind_of_break() {
    let bench = Bench::open();
    let faults =
        [Fault::bye(), Fault::Reset, Fault::bye(), Fault::Silent(Duration::from_secs(10)), Fault::Drop, Fault::bye()];
    let gates: Vec<_> = faults.iter().map(|_| Gate::new(&bench)).collect();
    let lines = gates.iter().zip(0..).map(|(gate, number)| format!("{}; {}; ", writes(number), gate.wait()));
    let proxy = sh(&bench, &format!("{}{}; exit 4", lines.collect::<String>(), writes(6))).start();
    let mut resumes = 0;
    for (number, (fault, gate)) in (0..).zip(faults.iter().zip(gates)) {
        proxy.expect_stdout(&written(number));
        bench.fault(fault.clone());
        if !matches!(fault, Fault::Silent(_)) {
            resumes += 1;
            back(&bench, resumes);
        }
        gate.open();
    }
    let done = proxy.ended().code(4);
    assert!(done.text() == (0..=6).map(|number| written(number) + "\n").collect::<String>(), "{done}");
    assert_eq!(done.stderr, "");
    bench.finish();
}

/// A break at each of the first messages.
#[test]
fn a_start_whose_connection_breaks() {
    for message in 0..4 {
        let schedule = vec![Scheduled { when: When::Messages(message), fault: Fault::Reset }];
        let standin = Options { schedule, ..Options::default() };
        let bench = Bench::with(Setup { standin, ..Setup::default() });
        let gate = Gate::new(&bench);
        let proxy = sh(&bench, &format!("{}; {}; exit 6", gate.wait(), writes(1))).start();
        back(&bench, 1);
        gate.open();
        let done = proxy.ended().code(6);
        assert!(done.text() == written(1) + "\n" && done.stderr.is_empty(), "after {message} messages: {done}");
        bench.finish();
    }
}

/// `ssm-proxy --exec HOST -- COMMAND`.
fn exec(bench: &Bench, command: &[&str]) -> Tool {
    bench.proxy().args(["--exec", HOST, "--"]).args(command)
}

/// A script on the far side.
fn sh(bench: &Bench, script: &str) -> Tool {
    exec(bench, &["sh", "-c", script])
}

/// The same on a terminal there.
fn on_terminal(bench: &Bench, script: &str) -> Tool {
    bench.proxy().args(["--exec", "-t", HOST, "--", "sh", "-c", script])
}

/// What writes a number of 8000 digits, and a newline. That is some messages, one after the other: the later ones show that
/// the agent has gone on reading.
fn writes(number: u64) -> String {
    format!("printf '%08000d\\n' {number}")
}

fn written(number: u64) -> String {
    format!("{number:08000}")
}

/// A place in a script where it waits for the test.
struct Gate(PathBuf);

impl Gate {
    fn new(bench: &Bench) -> Self {
        let path = bench.folder().join(format!("gate-{}", fastrand::u64(..)));
        let done = bench.user().tool("mkfifo").arg(&path).run().ok();
        drop(done);
        Self(path)
    }

    /// What the script does there.
    fn wait(&self) -> String {
        format!("read go <{}", self.0.display())
    }

    fn open(&self) {
        fs::write(&self.0, "go\n").unwrap();
    }
}

/// The connection is lost, and the program held so that it does not come back.
fn away(bench: &Bench, proxy: &Running) {
    proxy.signal(Signal::STOP);
    bench.fault(Fault::Drop);
    bench.wait_for("the loss of the connection", |report| report.sessions.iter().all(|session| !session.connected));
}

/// The command writes, once the gate is open, while the connection is away, and the agent gives a stream up. Then it is back.
fn away_while_it_writes(bench: &Bench, proxy: &Running, gate: &Gate) {
    away(bench, proxy);
    gate.open();
    bench.wait_for("the loss", |report| report.sessions.iter().any(|session| session.agent.lost_output > 0));
    proxy.signal(Signal::CONT);
    back(bench, 1);
}

/// Waits until the session has been resumed this many times.
fn back(bench: &Bench, resumes: u64) {
    bench.wait_for("a connection that is back", |report| {
        report.sessions.iter().any(|session| session.opens > resumes && session.connected)
    });
}

fn from_client(report: &Report) -> u64 {
    report.sessions.iter().map(|session| session.traffic.bytes_from_client).sum()
}

/// Fails unless the session has ended on the service, and the process is gone, within `limit` from `since` on.
#[track_caller]
fn gone(bench: &Bench, process: Running, since: Instant, limit: Duration) -> Done {
    let left = limit.saturating_sub(since.elapsed());
    bench.wait_for_within(left, "the end of the session", |report| report.open_sessions().next().is_none());
    let done = process.ended();
    let took = since.elapsed();
    assert!(took < limit, "it was gone only after {took:?}: {done}");
    done
}
