//! Names that lead to no node or to several, and nodes that are not connected.

use std::time::Duration;

use fixtures::standin::{ApiFault, Node, Options};
use fixtures::{Bench, Done, HOST};

use super::{bench, rule};

const DESCRIBE: &str = "DescribeInstanceInformation";

#[track_caller]
fn says(done: Done, code: i32, stderr: &str) {
    let done = done.code(code);
    assert_eq!(done.stderr, stderr, "{done}");
    assert!(done.stdout.is_empty(), "{done}");
    super::page::has(code, stderr);
}

fn bench_with(nodes: impl IntoIterator<Item = Node>) -> Bench {
    bench(Options { nodes: nodes.into_iter().collect(), ..Options::default() })
}

/// A node whose tag and computer name differ, so that it is clear which of them was found.
fn node(id: &str, tag: &str, computer_name: &str, address: &str) -> Node {
    Node { computer_name: computer_name.to_owned(), ip_address: address.to_owned(), ..Node::online(id, tag) }
}

fn offline(node: Node) -> Node {
    Node { ping_status: "ConnectionLost".to_owned(), last_ping: Duration::from_secs(3 * 3600 + 5), ..node }
}

#[test]
fn a_name_that_is_not_found() {
    let bench = bench_with([
        node("i-0aa", "x", "web-1.ec2.internal", "10.0.1.1"),
        node("i-0bb", "y", "web-2", "10.0.1.2"),
        node("i-0cc", "z", "db", "10.0.1.3"),
    ]);
    let missing = "no managed node in us-east-1 has this name, computer name or address";
    says(
        bench.proxy().arg("wbe-1").run(),
        68,
        &format!(
            "ssm-proxy: wbe-1: {missing}\n  hint: did you mean web-1 (i-0aa)? \
             ssm-proxy --list --region us-east-1 shows all\n"
        ),
    );
    says(
        bench.proxy().arg("mail").run(),
        68,
        &format!(
            "ssm-proxy: mail: {missing}\n  hint: ssm-proxy --list --region us-east-1 shows what there is; the case of \
             Name tags counts, and ssh lower-cases %h: write %n in ssh_config\n"
        ),
    );
    says(
        bench.proxy().args(["--tag", "Role=Web", "build"]).run(),
        68,
        "ssm-proxy: build: no managed node in us-east-1 has the tag Role=Web\n  hint: check the tag's spelling, whose \
         case counts, and --region and --profile\n",
    );
    assert!(bench.finish().sessions.is_empty());
    let bench = Bench::open();
    says(
        bench.proxy().arg("web").run(),
        68,
        "ssm-proxy: web: there are no managed nodes in us-east-1\n  hint: check --region and --profile\n",
    );
    bench.finish();
}

#[test]
fn a_name_of_several_nodes() {
    let twins =
        || [node("i-0aa", "web", "a.ec2.internal", "10.0.1.1"), node("i-0bb", "web", "b.ec2.internal", "10.0.1.2")];
    let hint = "give the id of the one you mean, or --tag KEY=VALUE with a tag that only it has";
    let bench = bench_with(twins());
    says(
        bench.proxy().arg("web").run(),
        68,
        &format!(
            "ssm-proxy: web: 2 managed nodes in us-east-1 fit, all online: i-0aa (a.ec2.internal, 10.0.1.1, Online), \
             i-0bb (b.ec2.internal, 10.0.1.2, Online)\n  hint: {hint}\n"
        ),
    );
    assert!(bench.finish().sessions.is_empty());
    let bench = bench_with(twins().map(offline));
    says(
        bench.proxy().arg("web").run(),
        68,
        &format!(
            "ssm-proxy: web: 2 managed nodes in us-east-1 fit, none online: i-0aa (a.ec2.internal, 10.0.1.1, \
             ConnectionLost), i-0bb (b.ec2.internal, 10.0.1.2, ConnectionLost)\n  hint: {hint}\n"
        ),
    );
    assert!(bench.finish().sessions.is_empty());
}

#[test]
fn a_node_that_is_not_connected() {
    let gone = Node {
        ping_status: "Inactive".to_owned(),
        last_ping: Duration::from_secs(9 * 86_400),
        ..Node::online("i-0cc", "c")
    };
    let standin = Options {
        nodes: vec![
            offline(Node::online("i-0aa", "a")),
            offline(Node::online("mi-0bb", "b")),
            gone,
            Node::online("i-0dd", "d"),
        ],
        not_connected: ["i-0dd", "i-0ee"].map(str::to_owned).into(),
        ..Options::default()
    };
    let bench = bench(standin);
    for (host, message, hint) in [
        (
            "i-0aa",
            "i-0aa is stopped or has lost its connection, last seen 3 h ago",
            "start it (aws ec2 start-instances --region us-east-1 --instance-ids i-0aa), or check its network and its \
             SSM Agent; --wait waits until it is back",
        ),
        (
            "b",
            "mi-0bb is stopped or has lost its connection, last seen 3 h ago",
            "start it, or check its network and its SSM Agent; --wait waits until it is back",
        ),
        (
            "i-0cc",
            "the SSM Agent of i-0cc is gone (ping status Inactive), last seen 9 d ago",
            "install or restart amazon-ssm-agent on the node; a hybrid node may have to be registered again",
        ),
        (
            "i-0ee",
            "i-0ee is not known to Systems Manager in us-east-1: its agent never registered",
            "check the id, --region and --profile; the node needs a running SSM Agent, the policy \
             AmazonSSMManagedInstanceCore in its role, and a way to the endpoints of ssm and ssmmessages",
        ),
    ] {
        let before = bench.server().report().calls_of(DESCRIBE);
        says(bench.proxy().arg(host).run(), 69, &format!("ssm-proxy: {host}: {message}\n  hint: {hint}\n"));
        if host.starts_with("i-") {
            assert_eq!(bench.server().report().calls_of(DESCRIBE), before + 1, "one question");
        }
    }
    let done = bench.proxy().arg("i-0dd").run().code(69);
    let (message, hint) = done.stderr.split_once('\n').unwrap_or_default();
    assert!(message.starts_with("ssm-proxy: i-0dd: i-0dd is online, last seen "), "{done}");
    assert!(message.ends_with(" s ago, but its agent has no connection to Session Manager"), "{done}");
    assert_eq!(
        hint,
        "  hint: check that the node reaches ssmmessages (endpoint, security group), and restart its SSM Agent\n"
    );
    bench.finish();
}

#[test]
fn a_node_that_is_not_connected_and_may_not_be_asked_about() {
    for (fault, why) in [(ApiFault::AccessDenied, "is not permitted"), (ApiFault::ServerError, "gives no answer")] {
        let standin = Options {
            not_connected: vec![HOST.to_owned()],
            api_rules: vec![rule(DESCRIBE, fault, u32::MAX)],
            ..Options::default()
        };
        let bench = bench(standin);
        says(
            bench.proxy().arg(HOST).run(),
            69,
            &format!(
                "ssm-proxy: {HOST}: not connected to Session Manager in us-east-1 (TargetNotConnected: {HOST} is not \
                 connected.); why is not known, as ssm:DescribeInstanceInformation {why}\n  hint: check that it runs, \
                 that its SSM Agent is online (aws ssm describe-instance-information --region us-east-1), and that \
                 account and region are the right ones\n"
            ),
        );
        bench.finish();
    }
}
