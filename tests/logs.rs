//! What is going on can be seen: phases and a summary with `-v`, in a file of their own with `--log-file`, and at once by
//! a signal.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends where a line that it waits for does not come")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use fixtures::standin::{Fault, Options, Scheduled, When};
use fixtures::{Account, Bench, HOST, ISSUED, Setup, Signal, Tool, noise};

/// Fails unless these parts are in `text`, in this order.
#[track_caller]
fn in_order(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        let Some(at) = rest.find(part) else { panic!("{part:?} is not there, or not in its place: {text}") };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
}

const PHASES: [&str; 6] = [
    "credentials found took=",
    "session started session=\"standin-",
    "data channel open url=",
    "handshake complete agent_version=",
    "first byte from the target took=",
    "session standin-",
];

#[test]
fn v_shows_each_phase_and_a_summary() {
    let bench = Bench::open();
    let ssh = bench.ssh().args(["-o", "ProxyCommand=ssm-proxy -v -- \"%h\" %p", HOST, "cat"]);
    let done = ssh.run_with(noise(7, 200_000)).ok();
    in_order(&done.stderr, &PHASES);
    let summary = done.stderr.lines().find(|line| line.contains(": open for ")).expect("a summary");
    in_order(summary, &["sent 20", " kB (", "/s), received 20", " kB (", "/s), round trip ", " resent, ", "0 resumes"]);
    let report = bench.finish();
    let traffic = &report.sessions.first().expect("a session").traffic;
    let sent = traffic.bytes_from_client;
    assert!((200_000..210_000).contains(&sent), "{sent} bytes, as the summary says in kB");
    // On a busy machine an acknowledgement may be late.
    let resent = summary.split_once(" of ").and_then(|(before, _)| before.rsplit(' ').next()?.parse().ok());
    assert_eq!(resent, Some(traffic.client_retransmissions), "{summary}");
}

#[test]
fn the_summary_counts_resumes_and_resends() {
    let standin =
        Options { schedule: vec![Scheduled { when: When::Messages(60), fault: Fault::Drop }], ..Options::default() };
    let bench = Bench::with(Setup { standin, ..Setup::default() });
    let ssh = bench.ssh().args(["-o", "ProxyCommand=ssm-proxy -v -- \"%h\" %p", HOST, "cat"]);
    let done = ssh.run_with(noise(8, 200_000)).ok();
    in_order(&done.stderr, &["connection lost: ", "session resumed away=", ", 1 resumes"]);
    bench.finish();
}

#[test]
fn a_log_file_takes_the_place_of_stderr() {
    let bench = Bench::open();
    let path = bench.folder().join("one.log");
    let command = format!("ProxyCommand=ssm-proxy --log-file {} -- \"%h\" %p", path.display());
    for _ in 0..2 {
        let done = bench.ssh().args(["-o", &command, HOST, "true"]).run().ok();
        assert_eq!(done.stderr, "");
    }
    let text = fs::read_to_string(&path).expect("the log file");
    in_order(&text, &PHASES);
    assert_eq!(text.matches(": open for ").count(), 2, "the second run writes behind the first: {text}");
    assert!(text.lines().all(|line| line.contains(&format!("Z {}[", HOST.to_lowercase()))), "{text}");
    assert!(text.is_ascii() && !text.contains('\x1b'), "no colours: {text}");
    let mode = fs::metadata(&path).expect("the log file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    bench.finish();
}

#[test]
fn a_failure_is_told_and_logged() {
    let bench = Bench::open();
    let path = bench.folder().join("failed.log");
    let flags = ["--log-file".as_ref(), path.as_os_str()];
    let done = bench.proxy().args(flags).arg(HOST).without("AWS_REGION").run().code(78);
    assert_eq!(done.stderr.lines().count(), 2, "{done}");
    let text = fs::read_to_string(&path).expect("the log file");
    assert!(text.contains("ERROR") && text.contains("hint: "), "{text}");
    bench.finish();
}

#[test]
fn a_name_alone_is_in_the_users_folder_for_logs() {
    let bench = Bench::open();
    let state = bench.folder().join("state");
    let proxy = bench.proxy().args(["--log-file", "x.log", HOST]).env("XDG_STATE_HOME", &state);
    drop(proxy.run().ok());
    assert!(state.join("ssm-proxy/x.log").is_file());
    bench.finish();
}

#[test]
fn folders_are_made_below_the_state_folder_and_nowhere_else() {
    let bench = Bench::open();
    let state = bench.folder().join("state");
    let proxy = |path: &str| bench.proxy().args(["--log-file", path, HOST]).env("XDG_STATE_HOME", &state);
    drop(proxy("deep/x.log").run().ok());
    for folder in [&*state, &state.join("ssm-proxy"), &state.join("ssm-proxy/deep")] {
        assert_eq!(
            fs::metadata(folder).expect("it is made").permissions().mode() & 0o777,
            0o700,
            "{}",
            folder.display()
        );
    }
    let elsewhere = bench.folder().join("elsewhere");
    let inside_out = format!("{}/ssm-proxy/../../elsewhere", state.display());
    for folder in [&elsewhere.display().to_string(), &inside_out] {
        let done = proxy(&format!("{folder}/x.log")).run().code(78);
        assert!(done.stderr.contains("x.log cannot be written to: No such file or directory"), "{done}");
        assert!(done.stderr.contains("  hint: make its folder, or give another path with --log-file\n"), "{done}");
        assert!(!elsewhere.exists(), "{folder}");
    }
    bench.finish();
}

/// ssh as the user has it, with ControlPersist as many have it: its ProxyCommand has `/dev/null` for stderr.
fn persisting(bench: &Bench, proxy_command: &str) -> Tool {
    let options = ["-o", "ControlMaster=auto", "-o", "ControlPersist=1", "-o"];
    let socket = format!("ControlPath={}", bench.folder().join("control").display());
    let ssh = bench.ssh().args(options).args([&socket, "-o", &format!("ProxyCommand={proxy_command}")]);
    ssh.env("XDG_STATE_HOME", bench.folder().join("state"))
}

#[test]
fn errors_that_control_persist_hides_are_in_a_file() {
    let bench = Bench::open();
    let path = bench.folder().join("state/ssm-proxy/errors.log");
    let command = "ssm-proxy -- \"%h\" %p";
    let done = persisting(&bench, command).args([HOST, "true"]).without("AWS_REGION").run().code(255);
    assert!(!done.stderr.contains("ssm-proxy"), "ssh hides it: {done}");
    drop(persisting(&bench, "ssm-proxy --no-such-option -- \"%h\" %p").args([HOST, "true"]).run().code(255));
    drop(persisting(&bench, command).args(["ecs:web", "true"]).run().code(255));
    let text = fs::read_to_string(&path).expect("the error log");
    in_order(
        &text,
        &[
            &format!("] ssm-proxy: {HOST}: no AWS region is set\n"),
            "]   hint: give --region, set AWS_REGION",
            "] error: unexpected argument '--no-such-option' found\n",
            "] ssm-proxy: ecs:web: names no node\n",
        ],
    );
    assert!(text.lines().all(|line| line.starts_with("20") && line.contains("Z [")), "each line has its time: {text}");
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().expect("a folder"))), (0o600, 0o700));

    // It does not grow for ever.
    fs::write(&path, vec![b'x'; (64 << 10) + 1]).expect("the error log");
    drop(persisting(&bench, command).args(["ecs:web", "true"]).run().code(255));
    assert!(fs::metadata(&path).expect("a new file").len() < 1000);
    assert!(Path::new(&format!("{}.old", path.display())).is_file());
    bench.finish();
}

#[test]
fn the_example_of_an_ssh_config_hides_no_errors() {
    let bench = Bench::open();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/contrib/ssh_config.example");
    let socket = format!("ControlPath={}", bench.folder().join("control").display());
    let ssh = bench.user().tool("ssh").args(["-F", example, "-o", &socket, HOST, "true"]).without("AWS_REGION");
    let done = ssh.run().code(255);
    assert!(done.stderr.contains(&format!("ssm-proxy: {HOST}: no AWS region is set\n")), "{done}");
    bench.finish();
}

#[test]
fn errors_that_are_seen_are_in_no_file() {
    let bench = Bench::open();
    let state = bench.folder().join("state");
    let ssh = bench.ssh().args([HOST, "true"]).without("AWS_REGION").env("XDG_STATE_HOME", &state);
    assert!(ssh.run().code(255).stderr.contains("no AWS region is set"));
    assert!(!state.exists());
    bench.finish();
}

#[test]
fn a_log_file_that_cannot_be_written_is_78_and_a_full_one_is_put_aside() {
    let bench = Bench::open();
    let done = bench.proxy().args(["--log-file", "/dev/null/x.log", HOST]).run().code(78);
    assert!(done.stderr.contains("the log file /dev/null/x.log cannot be written to: "), "{done}");
    assert!(done.stderr.contains("hint: give another path with --log-file"), "{done}");
    let path = bench.folder().join("full.log");
    fs::write(&path, vec![b'x'; (10 << 20) + 1]).expect("the test's folder can be written to");
    drop(bench.proxy().arg("--log-file").arg(&path).arg(HOST).run().ok());
    assert!(fs::metadata(&path).expect("a new file").len() < 10_000);
    assert!(Path::new(&format!("{}.old", path.display())).is_file());
    bench.finish();
}

#[test]
fn a_signal_shows_the_summary_at_once() {
    let bench = Bench::open();
    let mut proxy = bench.proxy().arg(HOST).start();
    proxy.expect_stdout("SSH-2.0-");
    proxy.signal(Signal::USR1);
    let line = proxy.expect_stderr("ssm-proxy: session standin-");
    in_order(&line, &[": open for ", "received ", ", 0 resumes"]);
    proxy.close_stdin();
    let done = proxy.ended().ok();
    assert_eq!(done.stderr.lines().count(), 1, "the session goes on, and nothing else is said: {done}");
    bench.finish();
}

/// Everything that is logged, of a session that is also resumed: neither credentials, nor the session's token, nor the
/// query and the signature of its connection.
#[test]
fn neither_credentials_nor_tokens_are_logged() {
    let account = Account::open(&format!("[default]\n{ISSUED}"));
    let mut proxy = account.proxy().args(["-vv", HOST]).start();
    proxy.expect_stdout("SSH-2.0-");
    account.bench().fault(Fault::Drop);
    proxy.expect_stderr("session resumed");
    proxy.close_stdin();
    let log = proxy.ended().ok().stderr;
    for secret in ISSUED.lines().filter_map(|line| line.split_once(" = ")).map(|(_, secret)| secret).skip(1) {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
    assert!(!log.contains("cell-number") && !log.contains("Signature"), "{log}");
    // The stand-in's tokens are 192 digits, signatures 64.
    let longest = log.split(|c: char| !c.is_ascii_hexdigit()).map(str::len).max();
    assert!(longest.is_some_and(|longest| longest < 64), "{log}");
    account.finish();
}
