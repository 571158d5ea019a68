//! What works for ssh works for a shell.

use std::fs;

use fixtures::standin::{ApiFault, ApiRule, Node, Options};
use fixtures::{Answer, Bench, HOST, Signal, Switchboard, until};

use super::{MS, PROMPT, at_prompt, bench, bench_with, exit, first_prompt, lines, only, run, setup, shell, shell_with};

fn fails(operation: &str, fault: ApiFault, times: u32) -> ApiRule {
    ApiRule { operation: operation.to_owned(), fault, skip: 0, times }
}

#[test]
fn a_node_goes_by_name_and_by_tag() {
    for host in ["web-1", "--tag=Name=web-1", "web-1.us-east-1"] {
        let bench = bench_with(|standin| standin.nodes = vec![Node::online(HOST, "web-1")]);
        let done = bench.proxy().args(["--shell", host]).run_with("echo out''1\n").ok();
        assert!(done.text().contains("out1\r\n"), "{host}: {done}");
        assert_eq!(only(&bench.finish()).target, HOST, "{host}");
    }
}

#[test]
fn a_target_that_is_starting_is_waited_for() {
    let bench = bench_with(|standin| standin.api_rules = vec![fails("StartSession", ApiFault::TargetNotConnected, 1)]);
    let terminal = at_prompt(bench.proxy().args(["--wait=60", HOST]).on_terminal(24, 80));
    exit(terminal, bench);
}

#[test]
fn a_reason_is_passed_on() {
    let bench = bench();
    let terminal = shell_with(&bench, &["--reason", "ticket 42"]);
    assert_eq!(only(&exit(terminal, bench)).reason.as_deref(), Some("ticket 42"));
}

/// Each line of the log begins where lines begin, whatever mode the terminal is in.
#[test]
fn v_shows_steps_in_whole_lines() {
    let bench = bench();
    let mut terminal = shell_with(&bench, &["-v"]);
    run(&mut terminal, "true");
    let id = bench.session().id;
    bench.fault(fixtures::standin::Fault::bye());
    terminal.expect("connection lost: ");
    terminal.expect("\r\n");
    terminal.expect("session resumed");
    terminal.expect("\r\n");
    terminal.press("exit\r");
    terminal.expect(": open for ");
    assert_eq!(terminal.ended().code(), Some(0));
    let screen = terminal.screen();
    assert!(screen.contains(&id), "{screen}");
    assert!(!screen.replace("\r\n", "").contains('\n'), "a line does not begin at the left: {screen:?}");
    assert!(!screen.contains("\r\r"), "{screen:?}");
    bench.finish();
}

#[test]
fn a_log_file_leaves_the_terminal_alone() {
    let bench = bench();
    let log = bench.folder().join("log");
    let mut terminal = shell_with(&bench, &["--log-file", &log.display().to_string()]);
    run(&mut terminal, "true");
    let id = bench.session().id;
    terminal.press("exit\r");
    assert_eq!(terminal.ended().code(), Some(0));
    assert!(!terminal.screen().contains(&id), "{}", terminal.screen());
    let log = fs::read_to_string(log).expect("a log");
    for part in ["session started", "session begun", "kind=Terminal", ": open for "] {
        assert!(log.contains(part), "{part:?} is not in {log}");
    }
    assert!(!log.contains('\r'), "{log:?}");
    bench.finish();
}

#[test]
fn the_time_to_connect_is_heeded() {
    let bench =
        bench_with(|standin| standin.api_rules = vec![fails("OpenDataChannel", ApiFault::Unavailable, u32::MAX)]);
    let done = bench.proxy().args(["--connect-timeout", "1", "--shell", HOST]).run().code(75);
    assert!(done.stderr.contains("could not be opened within 1 s"), "{done}");
    bench.finish();
}

/// The agent has acknowledged the size, so it is there: how long the command takes for its first word is its own affair.
#[test]
fn a_quiet_command_is_no_failure_to_connect() {
    let bench = bench();
    let exec = ["--connect-timeout", "1", "--exec", "-t", HOST, "--", "sh", "-c", "sleep 2; echo done"];
    let mut terminal = bench.proxy().args(exec).on_terminal(24, 80);
    terminal.expect("done\r\n");
    assert_eq!(terminal.finish().code(), Some(0));
    let done = bench.proxy().args(exec).run().ok();
    assert_eq!((done.text().as_str(), done.stderr.as_str()), ("done\r\n", ""));
    bench.finish();
}

#[test]
fn a_proxy_carries_it() {
    let bench = Bench::with(fixtures::Setup {
        ca_variable: Some("AWS_CA_BUNDLE"),
        ..setup(|standin| *standin = Options { host: Some("0.0.0.0".to_owned()), ..standin.clone() })
    });
    let proxy = Switchboard::open([(bench.server().authority(), Answer::To(bench.server().address()))]);
    let terminal = at_prompt(bench.proxy().env("HTTPS_PROXY", proxy.url()).arg(HOST).on_terminal(24, 80));
    assert_eq!(proxy.asked(), vec![bench.server().authority(); 2], "StartSession and the WebSocket");
    exit(terminal, bench);
}

#[test]
fn a_signal_shows_the_summary() {
    let bench = bench();
    let mut terminal = shell(&bench);
    let id = bench.session().id;
    terminal.press("echo half of a li");
    terminal.expect("half of a li");
    terminal.signal(Signal::USR1);
    terminal.expect(&format!("\rssm-proxy: session {id}: open for "));
    terminal.expect("\r\n");
    terminal.press("ne\r");
    terminal.expect("half of a line\r\n");
    terminal.expect(PROMPT);
    exit(terminal, bench);
}

/// A document of the account's own that starts a shell.
#[test]
fn another_document_starts_a_shell() {
    use fixtures::standin::SessionDocument;

    let bench = bench_with(|standin| {
        standin.session_documents = vec!["Ours=Standard_Stream".parse::<SessionDocument>().expect("one")]
    });
    let mut terminal = bench.proxy().args(["--document-name", "Ours", HOST]).on_terminal(24, 80);
    first_prompt(&mut terminal);
    let terminal = at_prompt(terminal);
    assert_eq!(only(&exit(terminal, bench)).document.as_deref(), Some("Ours"));
}

/// The terminal is raw, and the file is none.
#[test]
fn a_file_for_stderr_has_lines_of_its_own() {
    let bench = bench();
    let file = bench.folder().join("errors");
    let line = format!("ssm-proxy {HOST} 2>{}", file.display());
    let mut terminal = at_prompt(bench.user().tool("sh").args(["-c", &line]).on_terminal(24, 80));
    let id = bench.session().id;
    terminal.press("true\r~#");
    let has = || fs::read_to_string(&file).ok().filter(|text| text.ends_with('\n'));
    let text = until(MS(15_000), has).unwrap_or_default();
    assert!(text.starts_with(&format!("ssm-proxy: session {id}: open for ")), "{text:?}");
    assert!(!text.contains('\r'), "{text:?}");
    terminal.expect(PROMPT);
    exit(terminal, bench);
}

/// Nor behind an empty line, where the one before it was told, too.
#[test]
fn what_is_told_does_not_begin_within_a_prompt() {
    let bench = bench();
    let mut terminal = shell(&bench);
    let id = bench.session().id;
    for _ in 0..2 {
        terminal.signal(Signal::USR1);
        terminal.expect("open for ");
        terminal.expect("\r\n");
    }
    let summary = format!("ssm-proxy: session {id}: ");
    terminal.see("the prompt, and two summaries", |screen| {
        let lines = lines(screen);
        let summaries: Vec<_> = lines.iter().filter(|line| line.starts_with(&summary)).collect();
        summaries.len() == 2 && lines.iter().any(|line| line == PROMPT.trim_end())
    });
    exit(terminal, bench);
}
