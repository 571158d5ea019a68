//! Entries of ssh_config that are printed are ones that ssh reads and connects by.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends where its files cannot be written or read")]

use std::fs;
use std::time::Duration;

use fixtures::standin::{ApiFault, ApiRule, Fault, Node, Options};
use fixtures::{Bench, Done, HOST, Setup};

/// How long a frozen connection is frozen: until it is replaced.
const FROZEN: Duration = Duration::from_secs(60);
/// Calls of ResumeSession that fail meanwhile: some 3 s of them, behind the 6 s until the silence is noticed.
const FAILURES: u32 = 5;

/// Puts printed entries before the user's own configuration, whose entry for ids they then take the place of.
fn put_first(bench: &Bench, entries: &Done) {
    let path = bench.user().ssh_config();
    let own = fs::read_to_string(&path).expect("the user's configuration");
    let own = own.replace("ProxyCommand ssm-proxy -- \"%h\" %p", "ProxyCommand false");
    fs::write(&path, format!("{}\n{own}", entries.text())).expect("the user's configuration");
}

/// What ssh makes of its configuration for `host`.
fn options_of(bench: &Bench, host: &str) -> String {
    bench.ssh().args(["-G", host]).run().ok().text()
}

#[test]
fn ssh_connects_by_the_entry_for_all_ids() {
    let bench = Bench::open();
    let entries = bench.proxy().args(["--print-ssh-config", "--reason", "it's 100% \"me\""]).run().ok();
    assert_eq!(
        entries.text(),
        format!(
            "# Made by ssm-proxy {}. For ~/.ssh/config, or a file that it includes.\n\n\
             Host i-* mi-*\n  \
               ProxyCommand ssm-proxy --reason \"it's 100%% \\\"me\\\"\" -- \"%h\" %p\n  \
               StrictHostKeyChecking accept-new\n  \
               ServerAliveInterval 30\n  \
               ServerAliveCountMax 20\n",
            env!("CARGO_PKG_VERSION")
        )
    );
    put_first(&bench, &entries);
    assert_eq!(bench.ssh().args([HOST, "echo in"]).run().ok().text(), "in\n");
    let report = bench.finish();
    let reason = report.sessions.first().and_then(|session| session.reason.clone());
    assert_eq!(reason.as_deref(), Some("it's 100% \"me\""), "the shell and ssh leave it as it was given");
}

#[test]
fn each_host_has_an_entry_with_region_profile_and_user() {
    let bench = Bench::open();
    let flags = ["--profile", "my prod", "--region", "eu-west-1", "--user", "ubuntu", "--push-key", "auto"];
    let hosts = ["--print-ssh-config", "i-0abc", "Web-1", "db-*"];
    let entries = bench.proxy().args(hosts).args(flags).without("AWS_REGION").run().ok();
    put_first(&bench, &entries);
    let command = "proxycommand ssm-proxy --profile 'my prod' --region eu-west-1 --push-key auto --user \"%r\"";
    for (host, token) in [("i-0abc", "%h"), ("Web-1", "%n"), ("db-7", "%n")] {
        let options = options_of(&bench, host);
        assert!(options.contains(&format!("{command} -- \"{token}\" %p\n")), "{host}: {options}");
        assert!(options.contains("user ubuntu\n"), "{host}: {options}");
    }
    bench.finish();
}

#[test]
fn a_list_becomes_entries_by_id_and_by_name() {
    let nodes = vec![
        Node::online(HOST, "web-1"),
        Node::online("i-0bbbbbbbbbbbbbbbb", "twin"),
        Node::online("i-0cccccccccccccccc", "Twin"),
        Node::online("i-0dddddddddddddddd", "* ProxyCommand evil"),
    ];
    let standin = Options { nodes, ..Options::default() };
    let bench = Bench::with(Setup { standin, ..Setup::default() });
    let entries = bench.proxy().args(["--list", "--print-ssh-config"]).run().ok();
    put_first(&bench, &entries);
    assert_eq!(bench.ssh().args(["web-1", "echo in"]).run().ok().text(), "in\n");
    let calls = bench.server().report().api;
    assert_eq!(calls.get("DescribeInstanceInformation"), Some(&1), "of the list alone: the entry has the id");
    for (host, keys) in
        [("i-0bbbbbbbbbbbbbbbb", "accept-new"), ("i-0dddddddddddddddd", "accept-new"), ("web-1", "true")]
    {
        let options = options_of(&bench, host);
        assert!(options.contains("proxycommand ssm-proxy --region us-east-1 -- \"%h\" %p\n"), "{host}: {options}");
        assert!(options.contains(&format!("stricthostkeychecking {keys}\n")), "{host}: {options}");
    }
    for host in ["twin", "anything"] {
        assert!(!options_of(&bench, host).contains("proxycommand"), "{host} is not one node's name\n{entries}");
    }
    bench.finish();
}

/// A computer name is what a machine says of itself.
#[test]
fn no_node_takes_the_place_of_another_or_of_another_host() {
    let imposter = |n: u32, name: &str| Node::online(&format!("i-{n:017}"), name);
    let names = [
        HOST,
        &HOST.to_uppercase(),
        "i-0eeeeeeeeeeeeeeee",
        "mi-0eeeeeeeeeeeeeeee.us-east-1.prod",
        "github.com",
        "10.0.0.1",
        "web-1.eu-west-1",
        "localhost",
    ];
    let nodes = (1..).zip(names).map(|(n, name)| imposter(n, name)).chain([Node::online(HOST, "web-1")]);
    let standin = Options { nodes: nodes.collect(), ..Options::default() };
    let bench = Bench::with(Setup { standin, ..Setup::default() });
    let entries = bench.proxy().args(["--list", "--print-ssh-config"]).run().ok();
    put_first(&bench, &entries);
    let options = options_of(&bench, HOST);
    assert!(options.contains(&format!("hostname {HOST}\n")), "{options}{entries}");
    for host in names.into_iter().filter(|name| !name.to_lowercase().starts_with(HOST)) {
        let options = options_of(&bench, host);
        let names_an_id = host.starts_with("i-") || host.starts_with("mi-");
        assert!(options.contains(&format!("hostname {host}\n")), "{host} is another's: {options}{entries}");
        assert!(names_an_id || !options.contains("proxycommand"), "{host} is no node's: {options}{entries}");
    }
    // With the region behind it a name with dots is a node's alone.
    for (n, host) in [(5, "github.com.us-east-1"), (7, "web-1.eu-west-1.us-east-1")] {
        let options = options_of(&bench, host);
        assert!(options.contains(&format!("hostname i-{n:017}\n")), "{host}: {options}{entries}");
        assert!(options.contains("stricthostkeychecking true\n"), "{host}: {options}");
    }
    let text = entries.text();
    let last_id = text.rfind("\nHost i-").unwrap_or_default();
    let first_name = text.find("\nHost web-1\n").unwrap_or_default();
    assert!(last_id < first_name, "ssh takes the first value, which is then the id's: {text}");
    bench.finish();
}

/// The number behind an option of ssh.
fn number(options: &str, option: &str) -> u64 {
    let line =
        options.lines().find_map(|line| line.trim_start().to_lowercase().strip_prefix(option)?.trim().parse().ok());
    line.unwrap_or_else(|| panic!("no {option} in {options}"))
}

#[test]
fn ssh_waits_as_long_as_a_connection_is_resumed() {
    let bench = Bench::open();
    let command = ssm_proxy::cli::command();
    let timeout = command.get_arguments().find(|argument| argument.get_id() == "resume_timeout");
    let default = timeout.and_then(|argument| argument.get_default_values().first()?.to_str()?.parse().ok());
    let default: u64 = default.expect("the default of --resume-timeout");
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/contrib/ssh_config.example");
    let example = bench.user().tool("ssh").args(["-F", example, "-G", HOST]).run().ok().text();
    let printed = |args: &[&str]| bench.proxy().arg("--print-ssh-config").args(args).run().ok().text();
    for (text, timeout) in [
        (example, default),
        (printed(&[]), default),
        (printed(&["--resume-timeout", "1234"]), 1234),
        (bench.proxy().arg("--help").run().ok().text(), default),
    ] {
        let waits = number(&text, "serveraliveinterval ") * number(&text, "serveralivecountmax ");
        assert!((timeout..timeout + 60).contains(&waits), "{waits} s of {timeout} s: {text}");
    }
    bench.finish();
}

/// The entries' count, with a second in place of the half minute between ssh's signs of life: ssh stays while nothing
/// answers, and with fewer it does not.
#[test]
fn a_service_that_is_frozen_does_not_end_ssh() {
    let bench = Bench::open();
    let printed = bench.proxy().arg("--print-ssh-config").run().ok().text();
    let count = |count: u64| {
        let count = format!("ServerAliveCountMax={count}");
        let ssh = bench.ssh().args(["-o", "ServerAliveInterval=1", "-o", &count, HOST, "echo up; cat"]).start();
        ssh.expect_stdout("up");
        ssh
    };
    let (mut patient, hasty) = (count(number(&printed, "serveralivecountmax ")), count(3));
    let away =
        ApiRule { operation: "ResumeSession".to_owned(), fault: ApiFault::Unavailable, skip: 0, times: FAILURES };
    bench.control().api_rule(away);
    bench.fault(Fault::Silent(FROZEN));
    let hasty = hasty.ended().code(255);
    assert!(hasty.stderr.contains("not responding"), "with fewer it ends: {hasty}");
    patient.write(b"still here\n");
    patient.expect_stdout("still here");
    drop(patient.finish().ok());
    bench.finish();
}
