//! Entries of ssh_config that are printed are ones that ssh reads and connects by.

#![allow(clippy::expect_used, reason = "a test ends where its files cannot be written or read")]

use std::fs;

use fixtures::standin::{Node, Options};
use fixtures::{Bench, Done, HOST, Setup};

/// Puts printed entries before the user's own configuration, whose entry for ids they then take the place of.
fn put_first(bench: &Bench, entries: &Done) {
    let path = bench.user().ssh_config();
    let own = fs::read_to_string(&path).expect("the user's configuration");
    let own = own.replace("ProxyCommand ssm-proxy %h %p", "ProxyCommand false");
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
               ProxyCommand ssm-proxy --reason \"it's 100%% \\\"me\\\"\" %h %p\n  \
               StrictHostKeyChecking accept-new\n  \
               ServerAliveInterval 30\n",
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
    let command = "proxycommand ssm-proxy --profile 'my prod' --region eu-west-1 --push-key auto --user %r";
    for (host, token) in [("i-0abc", "%h"), ("Web-1", "%n"), ("db-7", "%n")] {
        let options = options_of(&bench, host);
        assert!(options.contains(&format!("{command} {token} %p\n")), "{host}: {options}");
        assert!(options.contains("user ubuntu\n"), "{host}: {options}");
    }
    bench.finish();
}

#[test]
fn a_list_becomes_entries_by_name_and_id() {
    let nodes = vec![
        Node::online(HOST, "web-1.example.com"),
        Node::online("i-0bbbbbbbbbbbbbbbb", "twin"),
        Node::online("i-0cccccccccccccccc", "Twin"),
        Node::online("i-0dddddddddddddddd", "* ProxyCommand evil"),
    ];
    let standin = Options { nodes, ..Options::default() };
    let bench = Bench::with(Setup { standin, ..Setup::default() });
    let entries = bench.proxy().args(["--list", "--print-ssh-config"]).run().ok();
    put_first(&bench, &entries);
    assert_eq!(bench.ssh().args(["web-1.example.com", "echo in"]).run().ok().text(), "in\n");
    let calls = bench.server().report().api;
    assert_eq!(calls.get("DescribeInstanceInformation"), Some(&1), "of the list alone: the entry has the id");
    for host in ["i-0bbbbbbbbbbbbbbbb", "i-0dddddddddddddddd"] {
        assert!(options_of(&bench, host).contains("proxycommand ssm-proxy --region us-east-1 %h %p\n"), "{host}");
    }
    for host in ["twin", "anything"] {
        assert!(!options_of(&bench, host).contains("proxycommand"), "{host} is not one node's name\n{entries}");
    }
    bench.finish();
}
