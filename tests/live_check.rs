//! `--check --report` walks every kind of session, and writes what the service did without anything that says to whom.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot set its scene")]

use std::fs;
use std::time::Duration;

use fixtures::standin::{ApiFault, ApiRule, Fault, Node, Options, Oversized, Report, Scheduled, When};
use fixtures::{Bench, Done, HOST, Setup, Signal};

const KINDS: [&str; 9] = ["tunnel", "reconnect", "upload", "larger", "shell", "exit", "command", "download", "forward"];

fn bench_with(standin: Options) -> Bench {
    let nodes = vec![Node { agent_version: Some("3.3.987.0".to_owned()), ..Node::online(HOST, "Payroll") }];
    Bench::with(Setup { standin: Options { nodes, ..standin }, ..Setup::default() })
}

/// The third session is that of the shell.
fn on_the_shell(fault: ApiFault) -> Options {
    let rule = ApiRule { operation: "StartSession".to_owned(), fault, skip: 2, times: 1 };
    Options { api_rules: vec![rule], ..Options::default() }
}

/// Walks, and gives the steps with the report, which nobody else may read.
fn walk(bench: &Bench, code: i32) -> (Done, String) {
    let path = bench.folder().join("report.txt");
    let done = bench.proxy().args(["--check", &format!("--report={}", path.display()), HOST]).run().code(code);
    assert!(done.text().contains(&format!("✓ report         {}: read it", path.display())), "{done}");
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(&path).unwrap());
    assert_eq!(mode & 0o777, 0o600);
    (done, fs::read_to_string(path).unwrap())
}

/// The line of the report, or of the steps, that begins so.
#[track_caller]
fn line<'a>(text: &'a str, begin: &str) -> &'a str {
    let line = text.lines().map(str::trim_start).find(|line| line.starts_with(begin));
    assert!(line.is_some(), "no line begins with {begin:?}:\n{text}");
    line.unwrap_or_default()
}

/// Fails if the report has anything that the stand-in knows of this user.
#[track_caller]
fn holds_no_secret(bench: &Bench, report: &Report, text: &str) {
    let credentials = bench.server().credentials();
    let mut secrets = vec![
        HOST.to_owned(),
        HOST.replace("i-", ""),
        "Payroll".to_owned(),
        "10.0.0.1".to_owned(),
        "127.0.0.1".to_owned(),
        bench.server().endpoint(),
        "111122223333".to_owned(),
        credentials.access_key_id.clone(),
        credentials.secret_access_key.clone(),
        bench.folder().display().to_string(),
        // What was carried.
        "SSH-2.0".to_owned(),
        "OpenSSH".to_owned(),
        "ready-".to_owned(),
        "sh -c".to_owned(),
        "exit 7'".to_owned(),
        "####".to_owned(),
    ];
    for session in &report.sessions {
        secrets.push(session.id.clone());
        secrets.extend(session.id.split('-').map(str::to_owned));
        secrets.extend(session.client_id.clone());
    }
    for upgrade in &report.upgrades {
        secrets.push(upgrade.uri.clone());
        secrets.extend(upgrade.uri.split(['?', '&', '=']).filter(|part| part.len() > 12).map(str::to_owned));
    }
    for secret in secrets.iter().filter(|secret| *secret != "publish_subscribe") {
        assert!(!text.contains(secret.as_str()), "the report has {secret:?}:\n{text}");
    }
    // Tokens, digests and ids are long runs of such digits.
    let runs = text.split(|c: char| !c.is_ascii_hexdigit()).map(str::len).max();
    assert!(runs < Some(12), "the report has something that looks like a token:\n{text}");
}

#[test]
fn every_kind_has_a_tick_and_the_report_no_secret() {
    let bench = bench_with(Options::default());
    let (done, text) = walk(&bench, 0);
    for kind in KINDS.into_iter().chain(["four at once"]) {
        line(&done.text(), &format!("✓ {kind} "));
        line(&text, &format!("passed  {kind}"));
    }
    assert_eq!(done.stderr, "", "{done}");
    assert!(done.text().contains("→ next "), "{done}");
    // What the page on the protocol does not know.
    let start = line(&text, "layout of start_publication: ");
    assert!(start.contains("padding NUL; header 112; schema 1; dated; flags "), "{start}");
    assert_eq!(line(&text, "layout of pause_publication"), "layout of pause_publication: none came");
    assert!(line(&text, "layout of channel_closed: ").contains("header 112"), "{text}");
    assert_eq!(line(&text, "other types"), "other types of messages: none came");
    assert_eq!(line(&text, "messages of 1536 bytes"), "messages of 1536 bytes: taken");
    assert!(line(&text, "largest payload").starts_with("largest payload to the service: 1536 bytes"), "{text}");
    assert!(line(&text, "what ends a pause").starts_with("what ends a pause: 0 pauses"), "{text}");
    line(&text, "close codes of the service: none came");
    line(&text, "messages in the fullest second of a connection: ");
    line(&text, "whether a ping counts as use: not tried");
    for fact in ["region: us-east-1", "node: EC2 instance, Linux", "agent: 3.3.987.0", "API: at another address"] {
        assert_eq!(line(&text, fact), fact);
    }
    // The order of a handshake, and the agent that took part in it.
    assert!(text.contains(": ready as Port, agent 3.3.2299.0\n"), "{text}");
    assert!(text.contains(" <- output_stream_data 5\n") && text.contains(" -> input_stream_data 6\n"), "{text}");
    assert!(text.contains("the session's id has 7-17 characters"), "{text}");
    let report = bench.server().report();
    holds_no_secret(&bench, &report, &text);
    let resumed = report.sessions.iter().filter(|session| session.opens == 2).count();
    assert_eq!((report.sessions.len(), resumed), (10, 1), "{report:#?}");
    bench.finish();
}

#[test]
fn a_kind_that_is_denied_leaves_the_others() {
    let bench = bench_with(on_the_shell(ApiFault::AccessDenied));
    let (done, text) = walk(&bench, 77);
    let steps = done.text();
    assert!(line(&steps, "✗ shell").contains("StartSession is not permitted (AccessDeniedException"), "{done}");
    line(&steps, "hint: IAM must allow ssm:StartSession");
    for kind in ["tunnel", "upload", "command", "download", "forward", "four at once"] {
        line(&steps, &format!("✓ {kind} "));
    }
    let failed = line(&text, "failed  shell");
    assert!(
        failed.contains("status 77: StartSession is not permitted (AccessDeniedException: User: … is not"),
        "{failed}"
    );
    holds_no_secret(&bench, &bench.server().report(), &text);
    bench.finish();
}

#[test]
fn windows_has_no_command_for_it() {
    let node = Node { platform: "Windows".to_owned(), ..Node::online(HOST, "Payroll") };
    let bench = Bench::with(Setup { standin: Options { nodes: vec![node], ..Options::default() }, ..Setup::default() });
    let (done, text) = walk(&bench, 0);
    for kind in ["command", "download"] {
        line(&done.text(), &format!("- {kind} "));
    }
    line(&done.text(), "✓ shell ");
    assert_eq!(line(&text, "node: "), "node: EC2 instance, Windows");
    bench.finish();
}

#[test]
fn a_service_that_closes_over_larger_messages() {
    let options = Options { payload_kill: Some(1024), oversized: Oversized::Closes, ..Options::default() };
    let bench = bench_with(options);
    let (done, text) = walk(&bench, 0);
    let steps = done.text();
    line(&steps, "✓ upload ");
    assert!(line(&steps, "- larger ").ends_with("messages of 1536 bytes are not taken, or not tried"), "{done}");
    assert!(line(&text, "messages of 1536 bytes").starts_with("messages of 1536 bytes: not taken"), "{text}");
    assert!(line(&text, "layout of pause_publication").contains("padding NUL; header 112"), "{text}");
    holds_no_secret(&bench, &bench.server().report(), &text);
    bench.finish();
}

#[test]
fn a_pause_and_a_close_are_in_the_report() {
    let at = |messages, fault| Scheduled { when: When::Messages(messages), fault };
    let schedule =
        vec![at(600, Fault::Pause), at(601, Fault::Start), at(900, Fault::Close(1000, "Bye 10.9.8.7".to_owned()))];
    let bench = bench_with(Options { schedule, ..Options::default() });
    // Of the download nothing more comes after the close, as with a real agent.
    let (done, text) = walk(&bench, 75);
    assert!(line(&done.text(), "✗ download ").contains("the connection was lost while the command ran"), "{done}");
    line(&done.text(), "✓ upload ");
    line(&done.text(), "✓ four at once ");
    let pauses = line(&text, "what ends a pause: ");
    assert!(pauses.contains("start_publication came in") && !pauses.contains(": 0 pauses"), "{pauses}");
    assert!(line(&text, "pause at ").contains("; start_publication after "), "{text}");
    assert_eq!(line(&text, "close codes"), "close codes of the service: 1000");
    assert!(text.contains("the service closed the connection, code 1000, \"Bye …\"\n"), "{text}");
    holds_no_secret(&bench, &bench.server().report(), &text);
    bench.finish();
}

#[test]
fn a_signal_in_its_middle_leaves_no_session() {
    // Slow to start is the session that is being started when the signal comes.
    for (options, seen) in
        [(on_the_shell(ApiFault::Slow(Duration::from_millis(600))), "✓ upload "), (Options::default(), "✓ shell ")]
    {
        let bench = bench_with(options);
        let path = bench.folder().join("report.txt");
        let proxy = bench.proxy().args(["--check", &format!("--report={}", path.display()), HOST]).start();
        proxy.expect_stdout(seen);
        bench.wait_for("the call for a shell", |report| report.calls_of("StartSession") == 3 || seen == "✓ shell ");
        proxy.signal(Signal::INT);
        let done = proxy.ended().code(1);
        line(&done.text(), "✗ check          ended by SIGINT");
        let text = fs::read_to_string(path).unwrap();
        assert_eq!(line(&text, "failed  check"), "failed  check: status 1: ended by SIGINT");
        holds_no_secret(&bench, &bench.server().report(), &text);
        bench.finish();
    }
}

#[test]
fn a_node_that_is_away_is_tried_once() {
    let bench = bench_with(Options { not_connected: vec![HOST.to_owned()], ..Options::default() });
    let (done, text) = walk(&bench, 69);
    assert_eq!(line(&done.text(), "- live check"), "- live check     not tried: see above why there is no session");
    line(&text, "failed  session: status 69");
    assert!(bench.finish().sessions.is_empty());
}

#[test]
fn a_report_goes_where_it_is_told_to() {
    let bench = bench_with(Options { not_connected: vec![HOST.to_owned()], ..Options::default() });
    let folder = bench.folder().join("here");
    fs::create_dir(&folder).unwrap();
    let check = |report: &str| {
        let line = format!("cd '{}' && exec ssm-proxy --check {report} {HOST}", folder.display());
        bench.user().tool("sh").args(["-c", &line])
    };
    let done = check("--report=-").run().code(69);
    assert!(done.text().starts_with("ssm-proxy live check, form 1\n"), "{done}");
    assert!(done.stderr.contains("✗ session ") && !done.text().contains('✗'), "{done}");
    holds_no_secret(&bench, &bench.server().report(), &done.text());
    for _ in 0..2 {
        let _ = check("--report").run().code(69);
    }
    let mut names: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert!(names.len() == 2 && names.iter().all(|name| name.starts_with("ssm-proxy-report-20")), "{names:?}");
    let before = fs::read_to_string(folder.join(&names[0])).unwrap();
    let calls = bench.server().report().calls.len();
    let done = check(&format!("--report={}", names[0])).run().code(78);
    assert!(done.stderr.contains("no file is overwritten"), "{done}");
    assert_eq!(fs::read_to_string(folder.join(&names[0])).unwrap(), before);
    assert_eq!(bench.finish().calls.len(), calls, "nothing was asked of the service");
}
