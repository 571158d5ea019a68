//! `--check` walks the whole way and says of each step that it works or what cures it; it leaves no session behind.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot set its scene")]

use std::fs;
use std::time::Duration;

use fixtures::standin::{ApiFault, ApiRule, Node, Options};
use fixtures::{Bench, Done, HOST, Peer, Setup, Signal, refused_port};

fn bench_with(standin: Options) -> Bench {
    Bench::with(Setup { standin, ..Setup::default() })
}

fn online() -> Options {
    let node = Node { agent_version: Some("3.3.987.0".to_owned()), ..Node::online(HOST, "web") };
    Options { nodes: vec![node], ..Options::default() }
}

fn failing(operation: &str, fault: ApiFault) -> Options {
    let rule = ApiRule { operation: operation.to_owned(), fault, skip: 0, times: u32::MAX };
    Options { api_rules: vec![rule], ..online() }
}

/// What was said, with times and the session's id left out, and the program's version with them.
fn said(done: &Done) -> Vec<String> {
    assert_eq!(done.stderr, "", "{done}");
    let mask = |line: &str| {
        let words = line.split(' ').map(|word| match word {
            word if word.starts_with("standin-") => "SESSION",
            word => word,
        });
        let line = words.collect::<Vec<_>>().join(" ");
        match line.rsplit_once(" (").filter(|(_, end)| end.ends_with(" ms)")) {
            Some((line, _)) => line.to_owned(),
            None => match line.split_once("online, last seen ") {
                Some((line, _)) => format!("{line}online"),
                None => line,
            },
        }
    };
    done.text().lines().skip(1).map(mask).collect()
}

const CONFIGURATION: &str = "✓ configuration  region us-east-1, profile default, endpoint ENDPOINT";
const CREDENTIALS: &str = "✓ credentials    found, without an expiry";
const NODE: &str = "✓ node           i-0123456789abcdef0 (web, 10.0.0.1) is online";
const AGENT: &str = "✓ agent          version 3.3.987.0";
const SESSION: &str = "✓ session        SESSION started by AWS-StartSSHSession";
const CHANNEL: &str = "✓ data channel   connected, the signed upgrade is accepted";
const HANDSHAKE: &str = "✓ handshake      complete, by agent 3.3.2299.0";
const RESUME: &str = "✓ resume         the session would survive the loss of its connection";
const END: &str = "✓ end            the session is ended";
const KEY: &str = "                 \"Permission denied (publickey)\" is then about the user or the key: USER@ before the id \
    names the user, whose authorized_keys there must have your public key, unless --push-key brings it";

/// Fails unless the check said this and ended with `code`.
#[track_caller]
fn says(bench: &Bench, done: Done, code: i32, lines: &[&str]) {
    let done = done.code(code);
    let endpoint = bench.server().endpoint();
    let lines: Vec<String> = lines.iter().map(|line| line.replace("ENDPOINT", &endpoint)).collect();
    assert_eq!(said(&done), lines, "{done}");
}

#[test]
fn a_way_that_is_open_has_a_tick_for_each_step() {
    let bench = bench_with(online());
    let done = bench.proxy().args(["--check", HOST]).run().ok();
    assert!(done.text().starts_with(&format!("ssm-proxy {}: {HOST}, port 22\n", env!("CARGO_PKG_VERSION"))), "{done}");
    let lines = said(&done);
    let sshd = lines.iter().find(|line| line.contains(" sshd ")).unwrap();
    assert!(sshd.starts_with("✓ sshd           SSH-2.0-OpenSSH_"), "{done}");
    let next = "→ next           ssh -o 'ProxyCommand=ssm-proxy -- \"%n\" %p' i-0123456789abcdef0";
    let expected = [CONFIGURATION, CREDENTIALS, NODE, AGENT, SESSION, CHANNEL, HANDSHAKE, sshd, RESUME, END, next, KEY];
    says(&bench, done, 0, &expected);
    let report = bench.finish();
    let started: Vec<_> = report.sessions.iter().map(|session| session.target.as_str()).collect();
    assert_eq!(started, [HOST]);
    assert!(report.sessions.iter().all(|session| session.terminate_flag));
}

#[test]
fn names_and_keys_are_checked_too() {
    let bench = bench_with(online());
    let key = bench.folder().join("key");
    let _ = bench.user().tool("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).run().ok();
    let public = key.with_extension("pub").display().to_string();
    let done = bench.proxy().args(["--check", "--push-key", &public, "--user", "me", "web"]).run().ok();
    let lines = said(&done);
    assert_eq!(lines.get(2..5).unwrap(), [NODE, AGENT, "✓ key            pushed for me, good for 60 s"]);
    assert_eq!(bench.finish().pushed_keys.len(), 1);
}

#[test]
fn the_command_that_comes_next_logs_in() {
    let bench = Bench::with(Setup { standin: online(), ssh_port: 2222, ..Setup::default() });
    let done = bench.proxy().args(["--check", "--reason", "it's 100% \"me\"", "web.us-east-1", "2222"]).run().ok();
    let next = done.text();
    let next = next.lines().find_map(|line| line.strip_prefix("→ next           ")).unwrap();
    assert!(next.ends_with(" -p 2222 i-0123456789abcdef0"), "{next}");
    // As it is typed, but for the user's own configuration.
    let configuration = bench.user().ssh_config().display().to_string();
    let typed = next.replacen("ssh ", &format!("ssh -F {configuration} "), 1) + " 'echo in'";
    assert_eq!(bench.user().tool("sh").args(["-c", &typed]).run().ok().text(), "in\n", "{typed}");
    let reasons: Vec<_> = bench.finish().sessions.into_iter().map(|session| session.reason.unwrap()).collect();
    assert_eq!(reasons, ["it's 100% \"me\""; 2]);
}

#[test]
fn tags_have_led_to_the_id_that_comes_next() {
    let bench = bench_with(online());
    let done = bench.proxy().args(["--check", "--tag", "Name=web", "--user", "me"]).run().ok();
    assert!(done.text().contains("→ next           ssh -o 'ProxyCommand=ssm-proxy -- \"%n\" %p' me@i-01234"), "{done}");
    bench.finish();
}

#[test]
fn the_file_of_what_nobody_saw_is_named() {
    let bench = bench_with(online());
    let state = bench.folder().join("state");
    let check = || bench.proxy().args(["--check", HOST]).env("XDG_STATE_HOME", &state).run().ok().text();
    assert!(!check().contains("error log"));
    let path = state.join("ssm-proxy/errors.log");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "an error\n").unwrap();
    let line = format!("- error log      {} has what was told while stderr was /dev/null", path.display());
    let said = check();
    assert!(said.contains(&line), "{said}");
    let failed = bench.proxy().args(["--check", HOST]).env("XDG_STATE_HOME", &state).without("AWS_REGION").run();
    assert!(failed.text().contains(&line), "{failed}");
    bench.finish();
}

#[test]
fn a_stopped_node_has_no_tick_for_its_agent() {
    let away = Node {
        ping_status: "ConnectionLost".to_owned(),
        agent_version: Some("3.3.987.0".to_owned()),
        ..Node::online(HOST, "web")
    };
    let bench = bench_with(Options { nodes: vec![away], ..Options::default() });
    let lines = said(&bench.proxy().args(["--check", HOST]).run().code(69));
    assert_eq!(lines.get(4).unwrap(), "- agent          version 3.3.987.0, not connected", "{lines:?}");
    bench.finish();
}

#[test]
fn a_name_that_is_not_found_ends_the_walk() {
    let bench = bench_with(online());
    let done = bench.proxy().args(["--check", "wbe"]).run();
    says(
        &bench,
        done,
        68,
        &[
            CONFIGURATION,
            CREDENTIALS,
            "✗ node           no managed node in us-east-1 has this name, computer name or address",
            "                 hint: ssm-proxy --list --region us-east-1 shows what there is; the case of Name tags \
             counts, and ssh lower-cases %h: write %n in ssh_config",
        ],
    );
    bench.finish();
}

#[test]
fn configuration_and_credentials_come_first() {
    let bench = bench_with(online());
    let done = bench.proxy().args(["--check", HOST]).without("AWS_REGION").run().code(78);
    let lines = said(&done);
    assert!(lines.first().unwrap().starts_with("✗ configuration  no AWS region is set"), "{done}");
    assert!(lines.get(1).unwrap().starts_with("                 hint: give --region, set AWS_REGION"), "{done}");
    assert_eq!(lines.len(), 2);
    let done =
        bench.proxy().args(["--check", HOST]).without("AWS_ACCESS_KEY_ID").without("AWS_SECRET_ACCESS_KEY").run();
    let lines = said(&done.code(77));
    assert!(lines.get(1).unwrap().starts_with("✗ credentials    profile default has no AWS credentials"), "{lines:?}");
    assert_eq!(lines.len(), 3);
    assert!(bench.finish().calls.is_empty());
}

#[test]
fn a_node_that_is_away_is_tried_all_the_same() {
    let agent_version = Some("2.3.500.0".to_owned());
    let away = Node {
        ping_status: "ConnectionLost".to_owned(),
        agent_version,
        last_ping: Duration::from_secs(7205),
        ..Node::online(HOST, "web")
    };
    let bench = bench_with(Options { nodes: vec![away], ..Options::default() });
    let done = bench.proxy().args(["--check", HOST]).run();
    says(
        &bench,
        done,
        69,
        &[
            CONFIGURATION,
            CREDENTIALS,
            "✗ node           i-0123456789abcdef0 is stopped or has lost its connection, last seen 2 h ago",
            "                 hint: start it (aws ec2 start-instances --region us-east-1 --instance-ids \
             i-0123456789abcdef0), or check its network and its SSM Agent; --wait waits until it is back",
            "✗ agent          version 2.3.500.0 cannot carry SSH, which needs 2.3.672.0",
            "                 hint: update it: aws ssm send-command --document-name AWS-UpdateSSMAgent --instance-ids \
             i-0123456789abcdef0",
            "✗ session        not connected to Session Manager in us-east-1 (TargetNotConnected: i-0123456789abcdef0 is \
             not connected.)",
            "                 hint: check that it runs, that its SSM Agent is online (aws ssm \
             describe-instance-information --region us-east-1), and that account and region are the right ones",
        ],
    );
    bench.finish();
}

#[test]
fn the_first_failure_gives_the_status() {
    // Nobody can look, which an id does not need; what fails first is the session.
    let mut options = failing("DescribeInstanceInformation", ApiFault::AccessDenied);
    options.api_rules.extend(failing("StartSession", ApiFault::AccessDenied).api_rules);
    let bench = bench_with(options);
    let done = bench.proxy().args(["--check", HOST]).run().code(77);
    let lines = said(&done);
    assert_eq!(
        lines.get(2).unwrap(),
        "- node           DescribeInstanceInformation is not permitted; names and --list need it, ids do not"
    );
    assert!(lines.get(3).unwrap().starts_with("✗ session        StartSession is not permitted ("), "{done}");
    assert_eq!(
        lines.get(4).unwrap(),
        "                 hint: IAM must allow ssm:StartSession on the node, arn:aws:ec2:us-east-1:111122223333:instance/i-0123456789abcdef0"
    );
    assert_eq!(lines.len(), 5);
    bench.finish();
}

#[test]
fn a_channel_that_is_refused() {
    let bench = bench_with(failing("OpenDataChannel", ApiFault::Forbidden));
    let done = bench.proxy().args(["--check", HOST]).run();
    says(
        &bench,
        done,
        77,
        &[
            CONFIGURATION,
            CREDENTIALS,
            NODE,
            AGENT,
            SESSION,
            "✗ data channel   127.0.0.1 refused the session's WebSocket: 403 Forbidden",
            "                 hint: IAM must allow ssmmessages:OpenDataChannel on your own sessions, arn:aws:ssm:*:*:session/${aws:userid}-*",
            END,
        ],
    );
    bench.finish();
}

#[test]
fn a_session_that_cannot_be_resumed_or_ended() {
    let mut options = failing("ResumeSession", ApiFault::AccessDenied);
    options.api_rules.extend(failing("TerminateSession", ApiFault::AccessDenied).api_rules);
    let bench = bench_with(options);
    let done = bench.proxy().args(["--check", HOST]).run().code(77);
    let lines = said(&done);
    assert!(lines.get(8).unwrap().starts_with("✗ resume         ResumeSession is not permitted ("), "{done}");
    assert_eq!(
        lines.get(9).unwrap(),
        "                 hint: IAM must allow ssm:ResumeSession on your own sessions, arn:aws:ssm:*:*:session/${aws:userid}-*"
    );
    assert!(lines.get(10).unwrap().starts_with("✗ end            TerminateSession is not permitted ("), "{done}");
    // The agent was told to, and did.
    bench.finish();
}

#[test]
fn ports_that_are_not_sshds() {
    let (refused, _taken) = refused_port();
    let talker = Peer::source(b"220 mail.example.com ESMTP\r\n".to_vec());
    let standin = Options { ports: vec![(23, refused), (25, talker.address())], ..online() };
    let bench = bench_with(standin);
    let step = |port: &str| {
        let done = bench.proxy().args(["--check", HOST, port]).run().code(69);
        let lines = said(&done);
        let at = lines.iter().position(|line| line.starts_with('✗')).unwrap();
        assert_eq!(lines.last().unwrap(), END);
        lines.get(at..at + 2).unwrap().to_vec()
    };
    let refused = step("23");
    assert!(refused[0].starts_with("✗ sshd           the target's port refused the connection: "), "{refused:?}");
    let hint = "                 hint: check that something on the target listens on port 23; ";
    assert!(refused[1].starts_with(hint), "{refused:?}");
    assert_eq!(
        step("25"),
        [
            "✗ sshd           the port answers, but not as sshd does",
            "                 hint: check that it is sshd that listens on that port of the target",
        ]
    );
    bench.finish();
}

#[test]
fn a_signal_leaves_no_session() {
    let silent = Peer::sink();
    let standin = Options { ports: vec![(9, silent.address())], ..online() };
    let bench = bench_with(standin);
    let proxy = bench.proxy().args(["--check", HOST, "9"]).start();
    proxy.expect_stdout("handshake ");
    proxy.signal(Signal::INT);
    let done = proxy.ended().code(1);
    assert!(said(&done).iter().any(|line| line == "✗ check          ended by SIGINT"), "{done}");
    bench.finish();
}
