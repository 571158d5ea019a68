//! `ssm-proxy HOST` at a terminal and `ssm-proxy --shell HOST` from anything: a shell, as a person or a script has it.

#![allow(clippy::panic, clippy::indexing_slicing, reason = "a test ends where a screen does not show what it should")]

mod ending;
mod escapes;
mod keys;
mod lost;
mod options;
mod piped;
mod screen;
// The state of a process is read in /proc.
#[cfg(target_os = "linux")]
mod stops;
mod trouble;

use std::time::Duration;

use fixtures::standin::{Options, Report, SessionReport};
use fixtures::{Bench, HOST, Setup, Terminal, vt100};

/// Milliseconds.
const MS: fn(u64) -> Duration = Duration::from_millis;

/// What a far shell is given for a prompt, so that it is known from what is typed.
const PROMPT: &str = "ready> ";

/// A command that says itself that it has begun: what its shell says may come before a key is for it.
const SLEEPS: &str = "sh -c 'echo begun; exec sleep 100'\r";

/// A bench whose agent waits little: a second before it reads the first output is the rule.
fn bench() -> Bench {
    bench_with(|_| {})
}

/// The same with what `change` makes of the stand-in.
fn bench_with(change: impl FnOnce(&mut Options)) -> Bench {
    Bench::with(setup(change))
}

fn setup(change: impl FnOnce(&mut Options)) -> Setup {
    let mut standin = Options::default();
    standin.agent.first_read_delay = MS(20);
    standin.agent.start_failure_pause = MS(20);
    change(&mut standin);
    Setup { standin, ..Setup::default() }
}

/// A shell at a terminal of 24 lines of 80 characters, at its prompt.
fn shell(bench: &Bench) -> Terminal {
    shell_with(bench, &[])
}

/// The same with options of ssm-proxy.
fn shell_with(bench: &Bench, options: &[&str]) -> Terminal {
    at_prompt(bench.proxy().args(options).arg(HOST).on_terminal(24, 80))
}

/// The same, once its first prompt is there.
#[track_caller]
fn at_prompt(mut terminal: Terminal) -> Terminal {
    first_prompt(&mut terminal);
    // What is typed is not what is then shown.
    terminal.press("PS1='rea''dy> '\r");
    terminal.expect(PROMPT);
    terminal
}

/// Waits for the prompt that a shell has by itself: of root, or of another.
#[track_caller]
fn first_prompt(terminal: &mut Terminal) {
    terminal.see("a prompt", |screen| {
        let contents = screen.contents();
        ["#", "$"].iter().any(|prompt| contents.trim_end().ends_with(prompt))
    });
}

/// The lines of a screen, without the spaces at their ends and the empty ones behind the last.
fn lines(screen: &vt100::Screen) -> Vec<String> {
    let mut lines: Vec<_> = screen.rows(0, screen.size().1).map(|line| line.trim_end().to_owned()).collect();
    lines.truncate(lines.iter().rposition(|line| !line.is_empty()).map_or(0, |last| last + 1));
    lines
}

/// Whether a screen shows the shell and its prompt last.
fn is_at_prompt(screen: &vt100::Screen) -> bool {
    !screen.alternate_screen() && screen.contents().trim_end().ends_with(PROMPT.trim_end())
}

/// Runs a command in the shell, and gives what it has shown, without the line that was typed.
#[track_caller]
fn run(terminal: &mut Terminal, command: &str) -> String {
    terminal.press(&format!("{command}\r"));
    let shown = String::from_utf8_lossy(&terminal.expect_after(PROMPT)).into_owned();
    let (_, output) = shown.split_once("\r\n").unwrap_or_else(|| panic!("{command:?} was not echoed: {shown:?}"));
    output.to_owned()
}

/// Ends a shell by `exit`, and fails the test unless the end is in order: status 0, the terminal not raw any more, the
/// session ended by its program.
#[track_caller]
fn exit(mut terminal: Terminal, bench: Bench) -> Report {
    terminal.press("exit\r");
    let status = terminal.ended();
    assert_eq!(status.code(), Some(0), "{}", terminal.screen());
    assert!(terminal.echoes(), "the terminal was left raw");
    bench.finish()
}

/// The one session of a report.
#[track_caller]
fn only(report: &Report) -> &SessionReport {
    match report.sessions.as_slice() {
        [session] => session,
        sessions => panic!("{} sessions: {sessions:#?}", sessions.len()),
    }
}
