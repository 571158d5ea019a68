//! `--shell` from a pipe or a script: lines go to the shell, and the end of input ends it.

use std::fs;
use std::io::{BufRead, BufReader, pipe};
use std::process::Stdio;

use fixtures::standin::SessionState;
use fixtures::{Bench, Done, HOST, Setup, until};

use super::{MS, bench, only};

/// The lines that it wrote, without the prompts and what was typed, which the far terminal shows.
fn output(done: &Done) -> Vec<String> {
    let is_output = |line: &&str| line.starts_with("out");
    done.text().lines().map(str::trim_end).filter(is_output).map(str::to_owned).collect()
}

fn script(bench: &Bench, script: impl Into<Vec<u8>>) -> Done {
    let done = bench.proxy().args(["--shell", HOST]).run_with(script).ok();
    assert_eq!(done.stderr, "", "{done}");
    done
}

/// With the agent's true delays.
#[test]
fn a_line_is_run() {
    let bench = Bench::with(Setup::default());
    let uname = bench.user().tool("uname").arg("-a").run().ok().text();
    let done = script(&bench, "uname -a\n");
    assert!(done.text().replace("\r\n", "\n").contains(&format!("\n{uname}")), "{done}");
    assert_eq!(only(&bench.finish()).state, SessionState::EndedByProgram);
}

#[test]
fn a_last_line_without_its_end_is_run() {
    let bench = bench();
    let done = script(&bench, "echo out''1\necho out''2");
    // Nothing stands between the line and its output, since nobody has typed the end of it.
    assert!(done.text().contains("out1\r\n") && done.text().contains("out2\r\n"), "{done}");
    bench.finish();
}

#[test]
fn no_line_at_all_ends_the_shell() {
    let bench = bench();
    let _ = script(&bench, "");
    let done = bench.proxy().args(["--shell", HOST]).run().ok();
    assert_eq!(done.stderr, "", "of /dev/null: {done}");
    bench.finish();
}

#[test]
fn a_command_reads_the_lines_behind_its_own() {
    let bench = bench();
    let done = script(&bench, "read a b\nfirst the rest\nsleep 0.3\necho \"out:$b:$a\"\n");
    assert!(done.text().contains("out:the rest:first\r\n"), "{done}");
    bench.finish();
}

/// A command that takes all that is left takes its end, too; the shell has to end all the same.
#[test]
fn a_command_reads_to_the_end() {
    for end in ["", "\n"] {
        let bench = bench();
        let copy = bench.folder().join("copy");
        let _ = script(&bench, format!("cat >{}\none\ntwo{end}", copy.display()));
        // What is typed at a terminal is a line only once it has an end.
        assert_eq!(fs::read_to_string(&copy).expect("a copy"), "one\ntwo\n");
        bench.finish();
    }
}

/// Shells that edit lines take what comes while a command runs in another mode of the terminal, in which an end of input is
/// none for them later: they have to be told of it again at their prompt.
#[test]
fn a_shell_that_edits_lines_ends_too() {
    for last in ["", "sleep 0.7; echo out''1\n", "(sleep 0.5; echo out''1) | cat\n", "cat\none\n"] {
        let bench = bench();
        let done = script(&bench, format!("exec bash --norc --noprofile\n{last}"));
        assert!(!last.contains("out") || done.text().contains("out1\r\n"), "{last:?}: {done}");
        assert_eq!(only(&bench.finish()).state, SessionState::EndedByProgram, "{last:?}");
    }
}

/// What is typed and what is written are mixed on a terminal, so the output goes to a file there.
#[test]
fn a_long_script_runs_line_by_line() {
    let bench = bench();
    let file = bench.folder().join("lines");
    let lines: String = (0..1500).map(|number| format!("echo {number} >>{}\n", file.display())).collect();
    let _ = script(&bench, lines);
    let expected: String = (0..1500).map(|number| format!("{number}\n")).collect();
    let written = fs::read_to_string(&file).expect("what it wrote");
    assert!(written == expected, "{written}");
    bench.finish();
}

/// No terminal says how wide lines are, so they are not broken.
#[test]
fn the_far_terminal_is_wide() {
    let bench = bench();
    let done = script(&bench, "echo out $(stty size)\n");
    assert!(done.text().contains("out 100 300\r\n"), "{done}");
    bench.finish();
}

#[test]
fn output_goes_to_a_file() {
    let bench = bench();
    let path = bench.folder().join("output");
    let file = fs::File::create(&path).expect("a file");
    let proxy = bench.proxy().args(["--shell", HOST]).stdout(file);
    let done = proxy.run_with("seq -f out%.0f 20000\n").ok();
    let text = fs::read_to_string(&path).expect("what was written");
    let lines: Vec<_> = text.lines().map(str::trim_end).filter(|line| line.starts_with("out")).collect();
    assert_eq!((lines.len(), lines.last()), (20_000, Some(&"out20000")), "{done}");
    bench.finish();
}

#[test]
fn a_reader_that_goes_leaves_no_session() {
    let bench = bench();
    let (reader, writer) = pipe().expect("a pipe");
    let mut proxy = bench.proxy().args(["--shell", HOST]).stdin(Stdio::piped()).stdout(writer).spawn();
    proxy.write(b"yes\n");
    let mut reader = BufReader::new(reader);
    reader.read_line(&mut String::new()).expect("a line");
    drop(reader);
    // As a shell says it of a program that SIGPIPE has ended.
    let done = proxy.ended().code(141);
    assert_eq!(done.stderr, "");
    assert_eq!(only(&bench.finish()).state, SessionState::EndedByApi);
}

/// The same while nothing is written.
#[test]
fn a_reader_that_goes_from_a_quiet_shell_leaves_no_session() {
    let bench = bench();
    let line = format!("{{ echo 'echo out; sleep 100'; sleep 100; }} | ssm-proxy --shell {HOST} | head -n 1");
    let shell = bench.user().tool("sh").args(["-c", &line]).start();
    bench.wait_for("the end of the session", |report| {
        report.sessions.iter().any(|session| session.state == SessionState::EndedByApi)
    });
    drop(shell);
    bench.finish();
}

/// A session whose input stays open: it ends when the shell does.
#[test]
fn the_shell_ends_before_its_input_does() {
    let bench = bench();
    let mut proxy = bench.proxy().args(["--shell", HOST]).start();
    proxy.write(b"echo out''1\n");
    proxy.expect_stdout("out1");
    proxy.write(b"exit\n");
    let ended = proxy.ended().ok();
    assert_eq!(output(&ended), ["out1"]);
    bench.finish();
}

/// The window of a person whose output goes elsewhere: keys go singly all the same, and the terminal is as before.
#[test]
fn keys_of_a_terminal_with_the_output_in_a_file() {
    let bench = bench();
    let path = bench.folder().join("output");
    let line = format!("ssm-proxy --shell {HOST} >{}", path.display());
    let mut terminal = bench.user().tool("sh").args(["-c", &line]).on_terminal(24, 80);
    let modes = terminal.modes_before();
    let has = |text: &str| {
        let found = until(MS(15_000), || fs::read_to_string(&path).ok().filter(|all| all.contains(text)));
        assert!(found.is_some(), "no {text:?} in {:?}", fs::read_to_string(&path));
    };
    assert!(until(MS(15_000), || (!terminal.echoes()).then_some(())).is_some(), "it is not raw");
    terminal.press("stty size; echo out''1\r");
    has("24 80\r\nout1\r\n");
    terminal.press("exit\r");
    assert_eq!(terminal.ended().code(), Some(0));
    assert_eq!(terminal.modes(), modes);
    bench.finish();
}
