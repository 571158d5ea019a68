//! Job control: this program is stopped, and goes on, with the terminal as whoever has it then wants it.

use fixtures::{Bench, HOST, Signal, Terminal, until};

use super::{MS, PROMPT, at_prompt, bench};

const NEAR: &str = "near> ";

#[test]
fn control_z_stops_this_program() {
    stops_and_goes_on(|terminal| terminal.press("~\x1a"));
}

#[test]
fn sigtstp_stops_this_program() {
    stops_and_goes_on(|terminal| terminal.signal_to("ssm-proxy", Signal::TSTP));
}

/// SIGSTOP cannot be listened for: the shell that is told of the stop leaves the terminal raw, and this program has it raw
/// when it goes on.
#[test]
fn whatever_has_stopped_it_the_terminal_is_raw_again() {
    let bench = bench();
    let mut terminal = from_a_shell(&bench);
    terminal.press("cat\r");
    terminal.expect("cat\r\n");
    terminal.signal_to("ssm-proxy", Signal::STOP);
    terminal.expect("near> ");
    terminal.press("stty sane; fg\n");
    terminal.expect(&format!("ssm-proxy {HOST}"));
    goes_on(terminal, bench);
}

/// A shell that controls jobs, of which ssm-proxy is one.
fn from_a_shell(bench: &Bench) -> Terminal {
    let mut terminal = bench.user().tool("sh").arg("-i").on_terminal(24, 80);
    terminal.press("PS1='near''> '\n");
    terminal.expect(NEAR);
    terminal.press(&format!("ssm-proxy {HOST}\n"));
    terminal.expect("\r\n");
    at_prompt(terminal)
}

fn stops_and_goes_on(stop: impl Fn(&Terminal)) {
    let bench = bench();
    let mut terminal = bench.user().tool("sh").arg("-i").on_terminal(24, 80);
    terminal.press("PS1='near''> '\n");
    terminal.expect(NEAR);
    let modes = terminal.modes();
    terminal.press(&format!("ssm-proxy {HOST}\n"));
    terminal.expect("\r\n");
    let mut terminal = at_prompt(terminal);
    let raw = terminal.modes();
    terminal.press("cat\r");
    terminal.expect("cat\r\n");
    stop(&terminal);
    terminal.expect(NEAR);
    assert_eq!(terminal.modes(), modes, "the terminal of a stopped program");
    assert_eq!(terminal.state_of("ssm-proxy"), 'T');
    terminal.press("fg\n");
    assert!(until(MS(15_000), || (terminal.modes() == raw).then_some(())).is_some(), "the terminal is not raw again");
    goes_on(terminal, bench);
}

/// The far `cat` answers, and at the end both shells do.
fn goes_on(mut terminal: Terminal, bench: Bench) {
    assert!(until(MS(15_000), || (!terminal.echoes()).then_some(())).is_some(), "the terminal is not raw again");
    terminal.press("back\r");
    terminal.expect("back\r\nback\r\n");
    terminal.press("\x04");
    terminal.expect(PROMPT);
    terminal.press("exit\r");
    terminal.expect(NEAR);
    assert!(terminal.echoes(), "the terminal was left raw");
    terminal.press("exit\n");
    assert_eq!(terminal.finish().code(), Some(0));
    bench.finish();
}

/// Ctrl-Z where the terminal is not raw: of a script, and of a command without a terminal on the far side.
#[test]
fn it_stops_in_a_pipeline_and_beside_a_command_too() {
    let shell = format!("(echo 'sleep 100'; sleep 100) | ssm-proxy --shell {HOST}");
    let command = format!("ssm-proxy --exec {HOST} -- sleep 100");
    for line in [shell, command] {
        let bench = bench();
        let mut terminal = bench.user().tool("sh").arg("-i").on_terminal(24, 80);
        terminal.press("PS1='near''> '\n");
        terminal.expect(NEAR);
        terminal.press(&format!("{line}\n"));
        bench.wait_for("a program", |report| report.sessions.iter().any(|session| session.program_started));
        terminal.press("\x1a");
        terminal.expect(NEAR);
        assert_eq!(terminal.state_of("ssm-proxy"), 'T', "{line}");
        terminal.press("bg\n");
        terminal.expect(NEAR);
        terminal.signal_to("ssm-proxy", Signal::TERM);
        bench.wait_for("the end", |report| report.open_sessions().next().is_none());
        terminal.press("kill %1; exit\n");
        terminal.see("an end", |_| true);
        drop(terminal);
        bench.finish();
    }
}
