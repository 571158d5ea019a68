//! Without a joiner it is a plain session, and no error.

use std::time::Duration;

use fixtures::standin::{Options, Report};
use fixtures::{Bench, FIRST_PORT, HOST, JoinerPorts, Peer, Setup, Tool};

use super::{FOUR, Node, ports};

/// A bench whose node has this at the port of a joiner.
fn bench(at_port: Option<&Peer>) -> Bench {
    let ports = at_port.map(|peer| (FIRST_PORT, peer.address())).into_iter().collect();
    Bench::with(Setup { proxy_command: FOUR, standin: Options { ports, ..Options::default() }, ..Setup::default() })
}

/// Logs in, in silence.
fn logs_in(bench: &Bench) {
    let done = bench.ssh().args([HOST, "echo in"]).run().ok();
    assert_eq!((done.text().as_str(), done.stderr.as_str()), ("in\n", ""));
}

fn count(report: &Report, port: u16) -> usize {
    ports(report).iter().filter(|asked| **asked == port.to_string()).count()
}

#[test]
fn a_node_without_a_joiner_is_asked_once() {
    let bench = bench(None);
    logs_in(&bench);
    logs_in(&bench);
    let report = bench.finish();
    assert_eq!((count(&report, FIRST_PORT), count(&report, 22)), (1, 2));
}

#[test]
fn it_says_so_when_asked() {
    let bench = bench(None);
    let proxy: Tool = bench.proxy().args(["--bond", "-v", HOST]);
    let done = proxy.run().ok();
    assert!(done.stderr.contains("there is no joiner on the node: one session is used"), "{done}");
    bench.finish();
}

#[test]
fn another_server_at_the_port_is_no_joiner() {
    for peer in [
        Peer::source(b"220 mail.example.com ESMTP ready, and more words than a greeting has\r\n".to_vec()),
        Peer::mute(),
    ] {
        let bench = bench(Some(&peer));
        logs_in(&bench);
        let report = bench.finish();
        assert_eq!((count(&report, FIRST_PORT), count(&report, 22)), (1, 1));
    }
}

#[test]
fn a_joiner_that_is_gone_is_forgotten_in_the_same_run() {
    let Node { bench, joiner, .. } = Node::known(FOUR, Options::default());
    // Its ports refuse connections from here on.
    drop(joiner);
    let done = bench.ssh().args([HOST, "echo in"]).run().ok();
    assert_eq!((done.text().as_str(), done.stderr.as_str()), ("in\n", ""));
    assert!(done.took < Duration::from_secs(20), "{done}");
    let report = bench.finish();
    assert_eq!(ports(&report)[2..], [FIRST_PORT.to_string(), "22".to_owned()]);
}

#[test]
fn a_known_joiner_that_says_nothing_is_not_waited_for_long() {
    let Node { bench, joiner, .. } = Node::known(FOUR, Options::default());
    joiner.signal(fixtures::Signal::STOP);
    logs_in(&bench);
    joiner.signal(fixtures::Signal::CONT);
    drop(joiner);
    bench.finish();
}

#[test]
fn ports_without_a_program_behind_them_cost_little() {
    let ports = JoinerPorts::open();
    let standin = Options { ports: ports.leads().into(), ..Options::default() };
    let bench = Bench::with(Setup { proxy_command: FOUR, standin, ..Setup::default() });
    logs_in(&bench);
    // Perhaps it was slow: it is looked for again.
    let joiner = ports.start(bench.sshd().address());
    logs_in(&bench);
    drop(joiner);
    let report = bench.finish();
    assert_eq!((count(&report, FIRST_PORT), count(&report, 22)), (2, 2));
}
