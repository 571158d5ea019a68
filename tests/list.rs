//! `--list` shows the managed nodes on stdout, for people and for programs.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot set its scene")]

use std::time::Duration;

use fixtures::standin::{ApiFault, ApiRule, Node, Options};
use fixtures::{Bench, Setup};
use serde_json::{Value, json};

fn bench_with(nodes: Vec<Node>) -> Bench {
    Bench::with(Setup { standin: Options { nodes, ..Options::default() }, ..Setup::default() })
}

fn three() -> Vec<Node> {
    let seconds = Duration::from_secs;
    let online = |id: &str, name: &str| Node { agent_version: Some("3.3.987.0".into()), ..Node::online(id, name) };
    vec![
        Node { last_ping: seconds(2 * 3600 + 60), ping_status: "ConnectionLost".into(), ..online("i-0bb", "web-2") },
        Node {
            name: Some("Büro".into()),
            ip_address: "192.168.100.7".into(),
            agent_version: Some("2.3.1.0".into()),
            last_ping: seconds(3 * 86_400 + 60),
            ..online("mi-0cc", "pc-7.example.com")
        },
        Node { last_ping: seconds(5 * 60 + 30), ..online("i-0123456789abcdef0", "web-1") },
    ]
}

#[test]
fn a_table_for_people() {
    let bench = bench_with(three());
    let done = bench.proxy().arg("--list").run().ok();
    assert_eq!(
        done.text(),
        "ID                   NAME   ADDRESS        PLATFORM           AGENT      STATUS          LAST SEEN\n\
         mi-0cc               Büro   192.168.100.7  Amazon Linux 2023  2.3.1.0    Online          3 d ago\n\
         i-0123456789abcdef0  web-1  10.0.0.1       Amazon Linux 2023  3.3.987.0  Online          5 min ago\n\
         i-0bb                web-2  10.0.0.1       Amazon Linux 2023  3.3.987.0  ConnectionLost  2 h ago\n",
    );
    assert_eq!(done.stderr, "");
    assert!(bench.finish().sessions.is_empty());
}

#[test]
fn json_for_programs() {
    let bench = bench_with(three());
    let done = bench.proxy().args(["--list", "--output", "json", "pc-7"]).run().ok();
    let mut list: Value = serde_json::from_str(&done.text()).unwrap();
    let time = list[0]["LastPingDateTime"].take();
    let time = time.as_str().unwrap();
    assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");
    assert_eq!(
        list,
        json!([{
            "InstanceId": "mi-0cc",
            "Name": "Büro",
            "ComputerName": "pc-7.example.com",
            "IPAddress": "192.168.100.7",
            "PlatformType": "Linux",
            "PlatformName": "Amazon Linux",
            "PlatformVersion": "2023",
            "AgentVersion": "2.3.1.0",
            "ResourceType": "ManagedInstance",
            "PingStatus": "Online",
            "LastPingDateTime": null,
        }])
    );
    bench.finish();
}

#[test]
fn a_filter_and_tags_narrow_it_down() {
    let bench = bench_with(three());
    let ids = |args: &[&str]| {
        let done = bench.proxy().arg("--list").args(args).run().ok();
        let text = done.text();
        text.lines().skip(1).filter_map(|line| line.split(' ').next().map(str::to_owned)).collect::<Vec<_>>()
    };
    assert_eq!(ids(&["WEB"]), ["i-0123456789abcdef0", "i-0bb"]);
    assert_eq!(ids(&["192.168"]), ["mi-0cc"]);
    assert_eq!(ids(&["lost"]), ["i-0bb"]);
    assert_eq!(ids(&["--tag", "Name=web-2"]), ["i-0bb"]);
    assert_eq!(ids(&["0123", "--tag", "Name=web-1"]), ["i-0123456789abcdef0"]);
    bench.finish();
}

#[test]
fn every_page_is_shown() {
    let bench = bench_with((0..120).map(|n| Node::online(&format!("i-{n:03}"), "web")).collect());
    let done = bench.proxy().arg("--list").run().ok();
    assert_eq!(done.text().lines().count(), 121);
    assert_eq!(bench.finish().calls_of("DescribeInstanceInformation"), 3);
}

#[test]
fn nothing_to_show_is_said_on_stderr() {
    let bench = bench_with(three());
    for (args, stdout, stderr) in [
        (&["mail"][..], "", "ssm-proxy: there are no managed nodes that fit in us-east-1\n"),
        (&["mail", "--output", "json"], "[]\n", "ssm-proxy: there are no managed nodes that fit in us-east-1\n"),
    ] {
        let done = bench.proxy().arg("--list").args(args).run().ok();
        assert_eq!((done.text().as_str(), done.stderr.as_str()), (stdout, stderr));
    }
    bench.finish();
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let bench = bench_with(vec![Node::online("i-0aa", "\u{1b}[2Jweb")]);
    let done = bench.proxy().arg("--list").run().ok();
    assert!(done.text().contains("\u{fffd}[2Jweb") && !done.text().contains('\u{1b}'), "{done}");
    bench.finish();
}

#[test]
fn json_has_them_as_escapes_and_decodes_to_the_same_text() {
    let name = "\u{9b}2Jweb \u{202e}dorp\u{2069}\u{7f}\u{2028} Büro שלום";
    let bench = bench_with(vec![Node { name: Some(name.to_owned()), ..Node::online("mi-0aa", "pc") }]);
    let text = bench.proxy().args(["--list", "--output", "json"]).run().ok().text();
    let list: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(list[0]["Name"], name);
    assert!(text.contains(r"\u009b2Jweb \u202edorp\u2069\u007f\u2028 Büro שלום"), "{}", text.escape_debug());
    bench.finish();
}

#[test]
fn denial_names_the_action() {
    let rule = ApiRule {
        operation: "DescribeInstanceInformation".to_owned(),
        fault: ApiFault::AccessDenied,
        skip: 0,
        times: u32::MAX,
    };
    let bench =
        Bench::with(Setup { standin: Options { api_rules: vec![rule], ..Options::default() }, ..Setup::default() });
    let done = bench.proxy().arg("--list").run().code(77);
    assert!(done.stdout.is_empty(), "{done}");
    assert!(done.stderr.starts_with("ssm-proxy: --list: DescribeInstanceInformation is not permitted ("), "{done}");
    assert!(done.stderr.contains("  hint: IAM must allow ssm:DescribeInstanceInformation on *"), "{done}");
    bench.finish();
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let bench = bench_with(three());
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let done = bench.proxy().arg("--list").stdout(writer).run().ok();
    assert_eq!(done.stderr, "");
    bench.finish();
}
