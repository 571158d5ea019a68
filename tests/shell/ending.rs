//! However a shell ends, the terminal is as it was, no session is left, and what is said and the status say how.

use std::time::Duration;

use fixtures::standin::{ApiFault, ApiRule, Fault, Options, SessionState};
use fixtures::{Bench, HOST, Signal, Terminal, until};

use super::{MS, PROMPT, SLEEPS, at_prompt, bench, bench_with, lines, only, run};

/// From a signal to the exit: the promise of docs/reconnecting.md, and what a busy machine takes.
const SOON: Duration = Duration::from_secs(5);

/// Ends a shell in some way; gives what is then on the screen, and how the session ended. The terminal has to be as it was.
#[track_caller]
fn ends(bench: Bench, code: i32, way: impl FnOnce(&Bench, &mut Terminal)) -> (Vec<String>, SessionState) {
    let terminal = bench.proxy().arg(HOST).on_terminal(24, 200);
    let modes = terminal.modes_before();
    let mut terminal = at_prompt(terminal);
    assert_ne!(terminal.modes(), modes, "it is not raw");
    way(&bench, &mut terminal);
    assert_eq!(terminal.ended().code(), Some(code), "{}", terminal.screen());
    assert_eq!(terminal.modes(), modes, "the terminal is not as it was: {}", terminal.screen());
    let mut shown = Vec::new();
    terminal.see("anything", |screen| {
        shown = lines(screen);
        true
    });
    let report = bench.finish();
    (shown, only(&report).state)
}

/// Its status is not told by the agent.
#[test]
fn by_exit() {
    for command in ["exit", "exit 7", "kill -KILL $$"] {
        let (shown, state) = ends(bench(), 0, |_, terminal| terminal.press(&format!("{command}\r")));
        assert_eq!(state, SessionState::EndedByProgram);
        assert_eq!(
            shown.last().map(String::as_str),
            Some(&*format!("{PROMPT}{command}")),
            "nothing is said: {shown:#?}"
        );
    }
}

#[test]
fn by_exit_with_much_output_before_it() {
    let (shown, _) = ends(bench(), 0, |_, terminal| terminal.press("seq 20000; exit\r"));
    assert!(shown.ends_with(&["19999", "20000"].map(str::to_owned)), "{shown:#?}");
}

#[test]
fn by_a_signal() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::HUP, 129), (Signal::USR2, 128 + Signal::USR2.as_raw())] {
        let (shown, state) = ends(bench(), code, |_, terminal| {
            terminal.press("sleep 100\r");
            terminal.expect("sleep 100\r\n");
            terminal.signal(signal);
        });
        assert_eq!(state, SessionState::EndedByApi, "{signal:?}");
        assert!(shown.last().is_some_and(|line| line.ends_with("sleep 100")), "nothing is said: {shown:#?}");
    }
}

/// The first belongs to the program on the far side, as Ctrl-C and Ctrl-\ do; the next one is for this program.
#[test]
fn by_a_second_interrupt() {
    for (signal, status, code) in [(Signal::INT, "130", 130), (Signal::QUIT, "131", 131)] {
        let (_, state) = ends(bench(), code, |_, terminal| {
            terminal.press(SLEEPS);
            terminal.expect("begun\r\n");
            terminal.signal(signal);
            terminal.expect(PROMPT);
            assert_eq!(run(terminal, "echo $?"), format!("{status}\r\n"), "{signal:?}");
            terminal.signal(signal);
        });
        assert_eq!(state, SessionState::EndedByApi, "{signal:?}");
    }
}

/// Nothing can be sent; the API is there.
#[test]
fn by_a_signal_while_the_connection_is_lost() {
    let (_, state) = ends(bench(), 143, |bench, terminal| {
        bench.control().api_rule(fails("ResumeSession", ApiFault::Unavailable));
        bench.fault(Fault::Reset);
        terminal.expect("connection lost");
        terminal.expect("\r\n");
        terminal.signal(Signal::TERM);
    });
    assert_eq!(state, SessionState::EndedByApi);
}

/// By its escape, which is what a person is told that they can type.
#[test]
fn by_an_escape_while_the_connection_is_lost() {
    let (shown, state) = ends(bench(), 0, |bench, terminal| {
        bench.control().api_rule(fails("ResumeSession", ApiFault::Unavailable));
        bench.fault(Fault::Reset);
        terminal.expect("connection lost");
        terminal.press("\r~.");
    });
    assert_eq!(state, SessionState::EndedByApi);
    let told = "ssm-proxy: connection lost, resuming it; typing is kept; ~. ends the session";
    assert_eq!(shown.last().map(String::as_str), Some(told), "{shown:#?}");
}

#[test]
fn by_an_administrator() {
    let (shown, state) = ends(bench(), 0, |bench, _| bench.fault(Fault::Terminate));
    // The service says nothing, and so there is nothing to tell it from `exit` by.
    assert_eq!(
        (state, shown.last().map(|line| line.trim_end())),
        (SessionState::EndedByAdmin, Some(PROMPT.trim_end()))
    );
}

#[test]
fn by_the_limit_of_idle_sessions() {
    let bench = bench_with(|standin| standin.idle_limit = MS(1500));
    let (shown, state) = ends(bench, 1, |_, _| {});
    let said = [
        format!(
            "ssm-proxy: {HOST}: Session Manager ended the session because it was idle: Your session timed out due to \
             inactivity and has been terminated."
        ),
        "  hint: start another session; the limit is the idle session timeout of the account's Session Manager preferences"
            .to_owned(),
    ];
    assert_eq!(state, SessionState::Failed);
    assert!(shown.ends_with(&said), "{shown:#?}");
}

#[test]
fn by_a_failure_of_the_agent() {
    let text = "----------ERROR-------\nSomething broke\n";
    let (shown, state) = ends(bench(), 1, |bench, _| bench.fault(Fault::ChannelClosed(text.to_owned())));
    let said = [
        format!("ssm-proxy: {HOST}: the agent ended the session: Something broke"),
        "  hint: look at the agent's log on the target: amazon-ssm-agent.log".to_owned(),
    ];
    assert_eq!(state, SessionState::Failed);
    assert!(shown.ends_with(&said), "{shown:#?}");
}

#[test]
fn by_a_resume_that_is_denied() {
    // It may be permitted in a moment: a person is told why, once, and decides.
    let (shown, _) = ends(bench(), 0, |bench, terminal| {
        bench.control().api_rule(fails("ResumeSession", ApiFault::AccessDenied));
        bench.fault(Fault::Reset);
        terminal.expect("\r\n\rssm-proxy: connection lost, resuming it: ResumeSession is not permitted (");
        bench.wait_for("more attempts", |report| report.calls_of("ResumeSession") > 2);
        terminal.press("\r~.");
    });
    assert_eq!(shown.iter().filter(|line| line.contains("connection lost")).count(), 1, "{shown:#?}");
}

#[test]
fn before_there_is_a_session_the_terminal_is_not_touched() {
    let bench = bench_with(|standin| standin.not_connected.push(HOST.to_owned()));
    let mut terminal = bench.proxy().arg(HOST).on_terminal(24, 200);
    let modes = terminal.modes_before();
    assert_eq!(terminal.ended().code(), Some(69), "{}", terminal.screen());
    assert_eq!(terminal.modes(), modes);
    terminal.expect(&format!("ssm-proxy: {HOST}: "));
    terminal.expect("\r\n  hint: ");
    assert!(bench.finish().sessions.is_empty());
}

#[test]
fn a_signal_before_there_is_a_session() {
    let bench = bench_with(|standin| standin.api_rules = vec![fails("StartSession", ApiFault::Slow(MS(1000)))]);
    let mut terminal = bench.proxy().arg(HOST).on_terminal(24, 200);
    let modes = terminal.modes_before();
    bench.wait_for("a call", |report| report.calls_of("StartSession") == 1);
    terminal.signal(Signal::INT);
    let ended = until(SOON, || terminal.has_ended().then_some(()));
    assert!(ended.is_some(), "{}", terminal.screen());
    assert_eq!(terminal.ended().code(), Some(130), "{}", terminal.screen());
    assert_eq!(terminal.modes(), modes);
    assert_eq!(only(&bench.finish()).state, SessionState::EndedByApi);
}

/// Between the session's start and the first output nothing is raw, and Ctrl-C is a signal.
#[test]
fn a_key_before_the_first_output_ends_it() {
    let bench = bench_with(|standin| standin.agent.first_read_delay = MS(60_000));
    let mut terminal = bench.proxy().arg(HOST).on_terminal(24, 200);
    let modes = terminal.modes_before();
    bench.wait_for("a shell", |report| report.sessions.iter().any(|session| session.program_started));
    assert_eq!(terminal.modes(), modes);
    terminal.press("\x03");
    assert_eq!(terminal.ended().code(), Some(130), "{}", terminal.screen());
    assert_eq!(terminal.modes(), modes);
    assert_eq!(only(&bench.finish()).state, SessionState::EndedByApi);
}

#[test]
fn a_shell_that_cannot_be_started() {
    let why = "Unable to start shell: failed to start pty: fork/exec /usr/bin/sh: permission denied";
    let start = |standin: &mut Options| standin.agent.fail_start = Some(why.to_owned());
    let bench = bench_with(start);
    let mut terminal = bench.proxy().arg(HOST).on_terminal(24, 300);
    let modes = terminal.modes_before();
    let status = terminal.ended();
    let screen = terminal.screen();
    assert_eq!(status.code(), Some(69), "{screen}");
    assert_eq!(terminal.modes(), modes);
    assert!(screen.contains("the session was closed before it was established: ") && screen.contains(why), "{screen}");
    assert!(!screen.contains("-----ERROR"), "{screen}");
    bench.finish();
    // The same where nobody looks.
    let bench = bench_with(start);
    let done = bench.proxy().args(["--shell", HOST]).run().code(69);
    assert!(done.stderr.contains(why) && done.text().is_empty(), "{done}");
    bench.finish();
}

fn fails(operation: &str, fault: ApiFault) -> ApiRule {
    ApiRule { operation: operation.to_owned(), fault, skip: 0, times: u32::MAX }
}
