//! Targets that people can type: names, addresses, tags, with region and profile behind them; and waiting for them.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot set its scene")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fixtures::standin::options::{EXAMPLE_ACCESS_KEY_ID, EXAMPLE_SECRET_ACCESS_KEY};
use fixtures::standin::{ApiFault, ApiRule, Node, Options};
use fixtures::{Bench, Done, HOST, Setup, Signal, Tool};

const DESCRIBE: &str = "DescribeInstanceInformation";

fn bench_with(nodes: impl IntoIterator<Item = Node>) -> Bench {
    let standin = Options { nodes: nodes.into_iter().collect(), ..Options::default() };
    Bench::with(Setup { standin, ..Setup::default() })
}

fn rule(operation: &str, fault: ApiFault, times: u32) -> ApiRule {
    ApiRule { operation: operation.to_owned(), fault, skip: 0, times }
}

/// A node whose tag and computer name differ, so that it is clear which of them was found.
fn node(id: &str, tag: &str, computer_name: &str, address: &str) -> Node {
    Node { computer_name: computer_name.to_owned(), ip_address: address.to_owned(), ..Node::online(id, tag) }
}

fn offline(node: Node) -> Node {
    Node { ping_status: "ConnectionLost".to_owned(), last_ping: Duration::from_secs(3 * 3600 + 5), ..node }
}

/// The ids that sessions were started on.
fn targets(bench: Bench) -> Vec<String> {
    bench.finish().sessions.into_iter().map(|session| session.target).collect()
}

#[track_caller]
fn says(done: Done, code: i32, stderr: &str) {
    let done = done.code(code);
    assert_eq!(done.stderr, stderr, "{done}");
    assert!(done.stdout.is_empty() || done.text().starts_with("SSH-"), "{done}");
}

// ----- region and profile --------------------------------------------------------------------------------------------

#[test]
fn ssh_takes_region_and_profile_from_the_host() {
    let bench = Bench::open();
    let folder = bench.user().home().join(".aws");
    fs::create_dir(&folder).unwrap();
    let config = format!(
        "[profile Prod.Admin]\naws_access_key_id = {EXAMPLE_ACCESS_KEY_ID}\n\
         aws_secret_access_key = {EXAMPLE_SECRET_ACCESS_KEY}\n"
    );
    fs::write(folder.join("config"), config).unwrap();
    // All of these are wrong for the stand-in; what the host says comes before them. ssh writes it in lower case.
    let elsewhere = |tool: Tool| {
        tool.env("AWS_REGION", "eu-central-1").env("AWS_ACCESS_KEY_ID", "AKIAWRONG").env("AWS_PROFILE", "nobody")
    };
    let _ = elsewhere(bench.ssh()).args([&format!("{HOST}.us-east-1.Prod.Admin"), "true"]).run().ok();
    let flags = ["--region", "eu-west-1", "--profile", "nobody"];
    let host = format!("{HOST}.us-east-1.prod.admin");
    let _ = elsewhere(bench.proxy()).args(flags).arg(host).run().ok();
    assert_eq!(targets(bench), [HOST, HOST]);
}

#[test]
fn a_profile_that_is_none_is_named() {
    let bench = Bench::open();
    let host = format!("{HOST}.us-east-1.nobody");
    let done = bench.proxy().arg(&host).run();
    let config = bench.user().home().join(".aws/config");
    says(
        done,
        78,
        &format!(
            "ssm-proxy: {host}: there is no AWS profile \"nobody\"\n  hint: {} has no profiles; \
             `aws configure --profile nobody` writes one\n",
            config.display()
        ),
    );
    bench.finish();
}

// ----- names ---------------------------------------------------------------------------------------------------------

#[test]
fn ssh_finds_a_node_by_its_name_tag_as_it_is_typed() {
    let bench = bench_with([node("i-0aa", "Web-1", "ip-10-0-1-17.ec2.internal", "10.0.1.17")]);
    let done = bench.ssh().args(["-o", "ProxyCommand=ssm-proxy %n %p", "Web-1", "echo in"]).run().ok();
    assert_eq!((done.text().as_str(), done.stderr.as_str()), ("in\n", ""));
    assert_eq!(targets(bench), ["i-0aa"]);
}

#[test]
fn a_node_has_many_names() {
    let bench = bench_with([
        node("i-0aa", "Web-1", "ip-10-0-1-17.ec2.internal", "10.0.1.17"),
        node("i-0bb", "Web 2", "EC2AMAZ-0BB.corp.example", "2001:db8::17"),
        Node { name: Some("Office".to_owned()), ..node("mi-0cc", "x", "pc-7", "192.168.0.7") },
    ]);
    let (computer, address) = ("by the computer name that it reports", "by the address that it reports");
    let names = [
        ("Web-1.us-east-1", "i-0aa", ""),
        ("IP-10-0-1-17.EC2.INTERNAL", "i-0aa", computer),
        ("ip-10-0-1-17", "i-0aa", computer),
        ("10.0.1.17", "i-0aa", address),
        ("10.0.1.17.us-east-1", "i-0aa", address),
        ("ip-10-0-1-17.us-east-1.compute.internal", "i-0aa", address),
        ("Web 2", "i-0bb", ""),
        ("ec2amaz-0bb", "i-0bb", computer),
        ("ec2amaz-0bb.corp.example.us-east-1", "i-0bb", computer),
        ("2001:DB8:0::17", "i-0bb", address),
        ("office", "mi-0cc", ""),
        ("PC-7", "mi-0cc", computer),
    ];
    for (name, id, by) in names {
        // Each way is looked up: none may come from the cache.
        let done = bench.proxy().env("XDG_CACHE_HOME", "/dev/null").arg(name).run().ok();
        let said = match by {
            "" => String::new(),
            by => format!("ssm-proxy: {name}: {id}, {by}; an id or a Name tag would be certain\n"),
        };
        assert_eq!(done.stderr, said);
    }
    assert_eq!(targets(bench), names.map(|(_, id, _)| id));
}

#[test]
fn the_one_that_is_online_is_taken() {
    let bench = bench_with([
        offline(node("i-0aa", "web", "a", "10.0.0.1")),
        node("i-0bb", "web", "b", "10.0.0.2"),
        offline(node("i-0cc", "web", "c", "10.0.0.3")),
    ]);
    let _ = bench.proxy().arg("web").run().ok();
    assert_eq!(targets(bench), ["i-0bb"]);
}

#[test]
fn the_whole_list_is_read_for_what_a_machine_says_of_itself() {
    let nodes = (0..120).map(|n| node(&format!("i-{n:03}"), "tag", &format!("host-{n}"), &format!("10.0.2.{n}")));
    let bench = bench_with(nodes);
    let asked = |bench: &Bench| bench.server().report().calls_of(DESCRIBE);
    let _ = bench.proxy().arg("10.0.2.60").run().ok();
    assert_eq!(asked(&bench), 3, "an address is no tag, and there are three pages of 50");
    let _ = bench.proxy().arg("host-7").run().ok();
    assert_eq!(asked(&bench), 3 + 3 + 3, "all pages are asked for the tag, and all for the name");
    assert_eq!(targets(bench), ["i-060", "i-007"]);
}

/// A hundred nodes, the first of which says of itself what the last one does.
fn namesakes(last: Node) -> Bench {
    let first = node("i-0aa", "x", &last.computer_name, &last.ip_address);
    let others = (0..98).map(|n| node(&format!("i-{n:03}"), "y", &format!("host-{n}"), &format!("10.0.2.{n}")));
    bench_with([first].into_iter().chain(others).chain([last]))
}

#[test]
fn an_impostor_does_not_win_by_being_listed_first() {
    let bench = namesakes(node("i-0bb", "z", "db", "10.0.1.17"));
    for host in ["db", "10.0.1.17"] {
        let done = bench.proxy().arg(host).run();
        says(
            done,
            68,
            &format!(
                "ssm-proxy: {host}: 2 managed nodes in us-east-1 fit, all online: i-0aa (db, 10.0.1.17, Online), i-0bb (db, \
                 10.0.1.17, Online)\n  hint: give the id of the one you mean, or --tag KEY=VALUE with a tag that only it \
                 has\n"
            ),
        );
    }
    assert!(bench.finish().sessions.is_empty());
}

#[test]
fn the_owner_of_a_name_keeps_it_while_it_is_away() {
    let tagged = offline(node("i-0bb", "db", "db", "10.0.1.17"));
    let activated = offline(Node { name: Some("Db".to_owned()), ..node("mi-0bb", "z", "db", "10.0.1.17") });
    for owner in [tagged, activated] {
        let id = owner.id.clone();
        let bench = namesakes(owner);
        let done = bench.proxy().arg("db").run().code(69);
        assert!(done.stderr.starts_with(&format!("ssm-proxy: db: {id} is stopped or has lost")), "{done}");
        assert!(bench.finish().sessions.is_empty());
    }
}

#[test]
fn a_node_that_was_found_by_what_it_says_is_named_each_time() {
    let bench = bench_with([node("i-0aa", "x", "db", "10.0.1.17")]);
    for _ in 0..2 {
        let done = bench.ssh().args(["-o", "ProxyCommand=ssm-proxy %n %p", "db", "echo in"]).run().ok();
        let expected =
            "ssm-proxy: db: i-0aa, by the computer name that it reports; an id or a Name tag would be certain\n";
        assert_eq!((done.text().as_str(), done.stderr.as_str()), ("in\n", expected));
    }
    assert_eq!(bench.server().report().calls_of(DESCRIBE), 2, "the tag and the list; then it is remembered");
    let checked = bench.proxy().args(["--check", "db"]).run().ok();
    let expected =
        "- name           i-0aa, by the computer name that it reports; an id or a Name tag would be certain\n";
    assert!(checked.text().contains(expected), "{checked}");
    assert_eq!(targets(bench), ["i-0aa"; 3]);
}

#[test]
fn a_list_that_is_longer_than_is_followed_decides_nothing() {
    let nodes = (0..=5000).map(|n| node(&format!("i-{n:04}"), &format!("tag-{n}"), &format!("host-{n}"), "10.0.0.1"));
    let bench = bench_with(nodes);
    let _ = bench.proxy().arg("tag-7").run().ok();
    // Whether somebody else has this tag, or this computer name, is not known.
    for host in ["tag-5000", "host-7"] {
        says(
            bench.proxy().arg(host).run(),
            68,
            &format!(
                "ssm-proxy: {host}: there are too many managed nodes in us-east-1 to find this one among them\n  hint: give \
                 its id, or --tag KEY=VALUE with a tag that it has\n"
            ),
        );
    }
    let listed = bench.proxy().arg("--list").run().ok();
    let expected = "ssm-proxy: there are more managed nodes in us-east-1 than the first 5000; --tag asks for fewer\n";
    assert_eq!((listed.text().lines().count(), listed.stderr.as_str()), (1 + 5000, expected));
    assert_eq!(targets(bench), ["i-0007"]);
}

#[test]
fn tags_select_a_node() {
    let tagged = |id: &str, tags: &[(&str, &str)]| {
        let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Node { tags, ..Node::online(id, "x") }
    };
    let bench = bench_with([
        tagged("i-0aa", &[("Role", "web"), ("Stage", "dev")]),
        tagged("i-0bb", &[("Role", "web"), ("Stage", "prod")]),
    ]);
    let tags = ["--tag", "Role=web", "--tag", "Stage=prod"];
    let _ = bench.proxy().args(tags).run().ok();
    // In ssh_config, where %h is there in any case.
    let command = "ProxyCommand=ssm-proxy --tag Role=web --tag Stage=prod %h %p";
    let _ = bench.ssh().args(["-o", command, "build", "true"]).run().ok();
    assert_eq!(targets(bench), ["i-0bb", "i-0bb"]);
}

#[test]
fn throttling_delays_a_look_up_and_no_more() {
    let standin = Options {
        nodes: vec![Node::online("i-0aa", "web")],
        api_rules: vec![rule(DESCRIBE, ApiFault::Throttling, 2)],
        ..Options::default()
    };
    let bench = Bench::with(Setup { standin, ..Setup::default() });
    let _ = bench.proxy().arg("web").run().ok();
    assert_eq!(targets(bench), ["i-0aa"]);
}

// ----- the cache -----------------------------------------------------------------------------------------------------

fn cache(bench: &Bench) -> PathBuf {
    bench.user().home().join(".cache/ssm-proxy/names")
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn an_id_costs_no_look_up() {
    let bench = Bench::open();
    let _ = bench.proxy().arg(HOST).run().ok();
    assert!(!bench.user().home().join(".cache").exists());
    assert_eq!(bench.finish().calls_of(DESCRIBE), 0);
}

#[test]
fn a_name_is_looked_up_once_in_a_while() {
    use std::os::unix::fs::PermissionsExt;
    let bench = bench_with([Node::online("i-0aa", "web")]);
    for _ in 0..3 {
        let _ = bench.proxy().arg("web").run().ok();
    }
    assert_eq!(bench.server().report().calls_of(DESCRIBE), 1);
    let files = entries(&cache(&bench));
    let modes: Vec<_> = files.iter().map(|file| fs::metadata(file).unwrap().permissions().mode() & 0o777).collect();
    assert_eq!(modes, [0o600]);
    let text = fs::read_to_string(files.first().unwrap()).unwrap();
    assert!(text.contains("i-0aa") && !text.contains("web") && !text.contains(EXAMPLE_ACCESS_KEY_ID), "{text}");
    // What the answer depends on is asked for anew.
    let _ = bench.proxy().args(["--tag", "Name=web"]).run().ok();
    assert_eq!(bench.server().report().calls_of(DESCRIBE), 2);
    assert_eq!(targets(bench), ["i-0aa"; 4]);
}

#[test]
fn a_machine_that_was_replaced_is_found_again() {
    let bench = bench_with([Node::online("i-0aa", "web")]);
    let _ = bench.proxy().arg("web").run().ok();
    bench.control().put_node(offline(Node::online("i-0aa", "web")));
    bench.control().put_node(Node::online("i-0bb", "web"));
    let _ = bench.proxy().arg("web").run().ok();
    let _ = bench.proxy().arg("web").run().ok();
    assert_eq!(bench.server().report().calls_of(DESCRIBE), 2, "the new one is remembered");
    assert_eq!(targets(bench), ["i-0aa", "i-0bb", "i-0bb"]);
}

#[test]
fn a_node_that_is_not_reached_is_not_remembered() {
    let bench = bench_with([offline(Node::online("i-0aa", "web"))]);
    let _ = bench.proxy().arg("web").run().code(69);
    assert!(!cache(&bench).exists());
    bench.finish();
}

// ----- errors --------------------------------------------------------------------------------------------------------

#[test]
fn a_tag_that_is_none() {
    let bench = Bench::open();
    says(
        bench.proxy().args(["--tag", "web"]).run(),
        2,
        "error: invalid value 'web' for '--tag <KEY=VALUE>': expected KEY=VALUE, such as Role=web\n\n\
         For more information, try '--help'.\n",
    );
    bench.finish();
}

// ----- waiting -------------------------------------------------------------------------------------------------------

#[test]
fn ssh_waits_for_a_node_that_is_starting() {
    let standin =
        Options { api_rules: vec![rule("StartSession", ApiFault::TargetNotConnected, 2)], ..Options::default() };
    let bench = Bench::with(Setup { standin, proxy_command: "ssm-proxy --wait %h %p", ..Setup::default() });
    let done = bench.ssh().args([HOST, "echo in"]).run().ok();
    assert_eq!((done.text().as_str(), done.stderr.as_str()), ("in\n", ""), "nothing is said where nobody looks");
    let report = bench.finish();
    assert_eq!((report.calls_of("StartSession"), report.calls_of(DESCRIBE)), (3, 0));
}

#[test]
fn a_name_that_is_not_there_yet_is_waited_for() {
    let bench = Bench::open();
    let proxy = bench.proxy().args(["--wait=60", "web"]).start();
    bench.wait_for("a look-up in vain", |report| report.calls_of(DESCRIBE) >= 2);
    bench.control().put_node(Node::online("i-0aa", "web"));
    proxy.expect_stdout("SSH-2.0-");
    let _ = proxy.hang_up().ok();
    assert_eq!(targets(bench), ["i-0aa"]);
}

#[test]
fn waiting_ends_with_the_reason() {
    let bench = bench_with([offline(Node::online("i-0aa", "web"))]);
    let done = bench.proxy().args(["--wait=1", "i-0aa"]).run().code(69);
    assert!(done.stderr.starts_with("ssm-proxy: i-0aa: i-0aa is stopped or has lost its connection"), "{done}");
    let done = bench.proxy().args(["--wait=1", "mail"]).run().code(68);
    assert!(done.stderr.starts_with("ssm-proxy: mail: no managed node"), "{done}");
    let report = bench.finish();
    assert_eq!(report.calls_of("StartSession"), 2, "at the start and at the end of the second");
}

#[test]
fn only_what_may_pass_is_waited_for() {
    let standin =
        Options { api_rules: vec![rule("StartSession", ApiFault::AccessDenied, u32::MAX)], ..Options::default() };
    let bench = Bench::with(Setup { standin, ..Setup::default() });
    let _ = bench.proxy().args(["--wait", HOST]).run().code(77);
    assert_eq!(bench.finish().calls_of("StartSession"), 1);
}

#[test]
fn a_terminal_shows_that_it_waits() {
    let standin =
        Options { api_rules: vec![rule("StartSession", ApiFault::TargetNotConnected, 2)], ..Options::default() };
    let bench = Bench::with(Setup { standin, ..Setup::default() });
    let wait = "ProxyCommand=ssm-proxy --wait=90 -- \"%h\" %p";
    let mut terminal = bench.ssh().args(["-o", wait, HOST, "echo in"]).on_terminal(24, 80);
    terminal.expect(&format!("\r\x1b[Kssm-proxy: {HOST}: not connected yet, 0 of 90 s"));
    terminal.expect("\r\x1b[Kssm-proxy: ");
    terminal.expect("\r\x1b[K");
    terminal.expect("in\r\n");
    assert_eq!(terminal.finish().code(), Some(0));
    bench.finish();
}

#[test]
fn a_signal_ends_the_wait() {
    let bench = bench_with([offline(Node::online("i-0aa", "web"))]);
    let proxy = bench.proxy().args(["--wait=600", "i-0aa"]).limit(Duration::from_secs(20)).start();
    bench.wait_for("that it waits", |report| report.calls_of("StartSession") >= 2);
    proxy.signal(Signal::HUP);
    let done = proxy.ended().code(69);
    assert!(done.stderr.starts_with("ssm-proxy: i-0aa: i-0aa is stopped"), "{done}");
    bench.finish();
}
