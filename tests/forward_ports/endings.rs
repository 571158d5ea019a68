//! How it ends: by a signal, or with the command that runs meanwhile; no session is left.

use std::io::Read;
use std::time::{Duration, Instant};

use fixtures::standin::SessionState;
use fixtures::{HOST, Peer, Signal, free_port};

use super::{Forward, answers, bench, connect, leads};

/// From what ends it to the end of all its sessions and its exit.
const PROMISED: Duration = Duration::from_secs(3);

#[test]
fn a_signal_ends_it_and_all_its_sessions() {
    let echo = Peer::echo();
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT] {
        let bench = bench(&[leads("localhost:7", echo.address()), leads("db:7", echo.address())]);
        let forward = Forward::to(&bench, &["localhost:7", "db:7"], &[]);
        let mut open: Vec<_> = (0..4).map(|number| connect(forward.ports[number % 2])).collect();
        for stream in &mut open {
            answers(stream, "up");
        }
        let ended = Instant::now();
        forward.running.signal(signal);
        let done = forward.running.ended().ok();
        assert!(ended.elapsed() < PROMISED, "{signal:?}: {:?}: {done}", ended.elapsed());
        assert!(done.stderr.lines().all(|line| line.starts_with("listening on ")), "{signal:?}: {done}");
        for stream in &mut open {
            // How it ends says that more might have come, and it does not hang.
            assert!(stream.read(&mut [0]).map_or(true, |length| length == 0), "{signal:?}");
        }
        let report = bench.finish();
        let states: Vec<_> = report.sessions.iter().map(|session| session.state).collect();
        assert_eq!(states, [SessionState::EndedByFlag; 4], "{signal:?}");
    }
}

#[test]
fn it_ends_with_its_command_and_with_its_status() {
    let echo = Peer::echo();
    let bench = bench(&[leads("localhost:7", echo.address()), leads("db:7", echo.address())]);
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 128 + 9), ("kill -TERM $$", 128 + 15)] {
        let done = bench
            .proxy()
            .args(["-L0:localhost:7", "-L0:db:7", "--quiet", HOST, "--", "sh", "-c", script])
            .run()
            .code(code);
        assert_eq!((done.text().as_str(), done.stderr.as_str()), ("", ""), "{script}");
        assert!(done.took < PROMISED + Duration::from_secs(5), "{done}");
    }
    let report = bench.finish();
    assert_eq!(report.sessions.len(), 8);
}

/// It connects to each port at once, and reads what comes from stdin as it would without us.
#[test]
fn its_command_runs_once_all_listen_and_has_its_stdin_and_stdout() {
    let echo = Peer::echo();
    let bench = bench(&[leads("localhost:7", echo.address()), leads("db:7", echo.address())]);
    let ports = [free_port(), free_port()];
    let script = format!(
        "read -r line; for port in {} {}; do exec 3<>/dev/tcp/127.0.0.1/$port; echo \"$line\" >&3; head -n1 <&3; done",
        ports[0], ports[1]
    );
    let forwards = [format!("-L{}:localhost:7", ports[0]), format!("-L{}:db:7", ports[1])];
    let done = bench.proxy().args(forwards).args([HOST, "--", "bash", "-c", &script]).run_with("typed\n").ok();
    assert_eq!(done.text(), "typed\ntyped\n", "{done}");
    bench.finish();
}

#[test]
fn a_command_that_cannot_be_run_leaves_no_session() {
    let bench = bench(&[leads("localhost:7", Peer::echo().address())]);
    let done =
        bench.proxy().args(["-L0:localhost:7", "-L0:db:1", "--quiet", HOST, "--", "no-such-program"]).run().code(2);
    assert!(done.stderr.starts_with(&format!("ssm-proxy: {HOST}: no-such-program cannot be run: ")), "{done}");
    bench.finish();
}

#[test]
fn its_command_is_told_of_a_signal() {
    let bench = bench(&[leads("localhost:7", Peer::echo().address())]);
    for signal in [Signal::TERM, Signal::HUP] {
        let script = "trap 'exit 5' TERM; echo up; while :; do sleep 0.05; done";
        let running = bench.proxy().args(["-L0:localhost:7", HOST, "--", "sh", "-c", script]).start();
        running.expect_stdout("up");
        running.signal(signal);
        let _ = running.ended().code(5);
    }
    bench.finish();
}

#[test]
fn its_command_has_the_terminal() {
    let bench = bench(&[leads("localhost:7", Peer::echo().address())]);
    let script =
        "trap 'echo caught; exit 3' INT; stty size; read -r line; echo \"got $line\"; while :; do sleep 0.05; done";
    let mut terminal = bench.proxy().args(["-L0:localhost:7", HOST, "--", "sh", "-c", script]).on_terminal(31, 97);
    terminal.expect("31 97");
    terminal.press("a line\n");
    terminal.expect("got a line");
    // Which both of us get from the terminal.
    terminal.press("\x03");
    terminal.expect("caught");
    assert_eq!(terminal.finish().code(), Some(3));
    bench.finish();
}

#[test]
fn a_destination_that_never_reads_does_not_hold_up_the_end() {
    let standin = fixtures::standin::Options::default().unpaced();
    let bench = super::bench_with(&["deaf:1=never-reads".to_owned()], standin);
    let forward = Forward::to(&bench, &["deaf:1"], &["--no-pace", "--sessions", "1"]);
    let stream = forward.connect();
    stream.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    // Until nothing is taken any more: the agent, its smux and we are full.
    let stuck = super::fill(&stream, 64 << 20);
    assert!(stuck < 64 << 20, "it takes everything");
    let ended = Instant::now();
    let _ = forward.end();
    assert!(ended.elapsed() < PROMISED, "{:?}", ended.elapsed());
    let report = bench.finish();
    assert_eq!(report.sessions[0].state, SessionState::EndedByApi);
}

/// The forward takes more for itself: each of its connections has a descriptor.
#[test]
#[cfg(target_os = "linux")]
fn its_command_has_the_limit_of_open_files_that_it_would_have_without_us() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(512), ..limit }).unwrap();
    let bench = bench(&[leads("localhost:7", Peer::echo().address())]);
    let script = "ulimit -Sn; grep -c '^Max open files  *512 ' /proc/$PPID/limits";
    let done = bench.proxy().args(["-L0:localhost:7", "--quiet", HOST, "--", "sh", "-c", script]).run();
    assert_eq!(done.text(), "512\n0\n", "{done}");
    bench.finish();
}
