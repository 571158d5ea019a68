//! Where it listens, what it says, and what it costs.

use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};

use fixtures::standin::{InspectorConfig, Node, Options, SessionDocument};
use fixtures::{Bench, HOST, Peer, Setup, Signal};

use super::{Forward, answers, bench, bench_with, connect, leads, places, port_of};

#[test]
fn it_says_where_it_listens_in_the_order_given() {
    let (one, other) = (Peer::echo(), Peer::source(b"other\n".to_vec()));
    let bench = bench(&[leads("localhost:7", one.address()), leads("db.internal:8", other.address())]);
    let forward = Forward::to(&bench, &["localhost:7", "db.internal:8"], &[]);
    answers(&mut forward.connect(), "one");
    let mut other = String::new();
    std::io::Read::read_to_string(&mut connect(forward.ports[1]), &mut other).unwrap();
    assert_eq!(other, "other\n");
    let ports = forward.ports.clone();
    let done = forward.end();
    assert_eq!(done.stderr, format!("listening on 127.0.0.1:{}\nlistening on 127.0.0.1:{}\n", ports[0], ports[1]));
    assert_eq!(done.text(), "");
    let report = bench.finish();
    assert_eq!(report.sessions.len(), 2, "a session for each, and no more");
}

#[test]
fn a_port_of_the_node_and_a_host_behind_it_have_documents_of_their_own() {
    let echo = Peer::echo();
    let bench = bench(&[
        leads("localhost:7", echo.address()),
        leads("db.internal:5432", echo.address()),
        leads("fd00::7:80", echo.address()),
    ]);
    for (to, document, parameters) in [
        ("localhost:7", "AWS-StartPortForwardingSession", vec![("portNumber", "7")]),
        ("127.0.0.1:7", "AWS-StartPortForwardingSession", vec![("portNumber", "7")]),
        ("[::1]:7", "AWS-StartPortForwardingSession", vec![("portNumber", "7")]),
        (
            "db.internal:5432",
            "AWS-StartPortForwardingSessionToRemoteHost",
            vec![("host", "db.internal"), ("portNumber", "5432")],
        ),
        ("[fd00::7]:80", "AWS-StartPortForwardingSessionToRemoteHost", vec![("host", "fd00::7"), ("portNumber", "80")]),
    ] {
        let forward = Forward::to(&bench, &[to], &[]);
        answers(&mut forward.connect(), to);
        let _ = forward.end();
        let session = bench.session();
        assert_eq!(session.document.as_deref(), Some(document), "{to}");
        let asked: Vec<_> =
            session.parameters.iter().map(|(name, values)| (name.as_str(), values[0].as_str())).collect();
        assert_eq!(asked, parameters, "{to}");
    }
    bench.finish();
}

#[test]
fn a_port_alone_is_taken_at_loopback_of_both_families() {
    let echo = Peer::echo();
    let bench = bench(&[leads("localhost:7", echo.address())]);
    let forward = Forward::to(&bench, &["localhost:7"], &[]);
    answers(&mut forward.connect(), "four");
    // Where this machine has no IPv6, there is nothing to be reached at.
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
        answers(&mut TcpStream::connect((Ipv6Addr::LOCALHOST, forward.ports[0])).unwrap(), "six");
    }
    let _ = forward.end();
    bench.finish();
}

#[test]
fn it_listens_where_it_is_told_to() {
    let echo = Peer::echo();
    let bench = bench(&[leads("localhost:7", echo.address())]);
    // Linux has all of 127.0.0.0/8 at its loopback interface, other systems the first alone.
    let second = Ipv4Addr::new(127, 0, 0, 2);
    let has_second = TcpListener::bind((second, 0)).is_ok();
    for (bind, reached, unreached) in [
        ("127.0.0.1", Ipv4Addr::LOCALHOST, Some(second)),
        ("127.0.0.2", second, Some(Ipv4Addr::LOCALHOST)),
        ("localhost", Ipv4Addr::LOCALHOST, Some(second)),
        ("*", second, None),
        ("", second, None),
        ("0.0.0.0", second, None),
    ] {
        if !has_second {
            continue;
        }
        // The port is free at the addresses that it is taken at; at another one it may be somebody else's, now and then.
        let is_there_alone = (0..3).any(|_| {
            let running = bench.proxy().arg(format!("-L{bind}:0:localhost:7")).arg(HOST).start();
            let port = port_of(&places(&running, 1)[0]);
            answers(&mut TcpStream::connect((reached, port)).unwrap(), "here");
            let is_there_alone = unreached.is_none_or(|unreached| TcpStream::connect((unreached, port)).is_err());
            running.signal(Signal::TERM);
            let _ = running.ended().ok();
            is_there_alone
        });
        assert!(is_there_alone, "{bind:?} is reached at {unreached:?}");
    }
    bench.finish();
}

#[test]
fn a_port_that_is_taken_costs_no_session() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let bench = bench(&[]);
    for (place, said) in [
        (port.to_string(), format!("cannot listen at port {port}: ")),
        (format!("127.0.0.1:{port}"), format!("cannot listen at port {port} of 127.0.0.1: ")),
        ("203.0.113.7:0".to_owned(), "cannot listen at port 0 of 203.0.113.7: ".to_owned()),
    ] {
        // The first is free; it is let go of again.
        let forwards = ["-L0:localhost:7".to_owned(), format!("-L{place}:localhost:7")];
        let done = bench.proxy().args(forwards).arg(HOST).run().code(69);
        let lines: Vec<_> = done.stderr.lines().collect();
        assert!(lines.len() == 2 && lines[0].contains(&said) && lines[1].starts_with("  hint: "), "{done}");
    }
    let report = bench.finish();
    assert_eq!(report.calls_of("StartSession"), 0);
}

#[test]
fn it_can_be_quiet() {
    let echo = Peer::echo();
    let bench = bench(&[leads("localhost:7", echo.address())]);
    let port = fixtures::free_port();
    let running = bench.proxy().args([&format!("-L{port}:localhost:7"), "--quiet", HOST]).start();
    running.listens(port);
    bench.wait_for("a session", |report| report.sessions.iter().any(|session| session.handshake_complete));
    answers(&mut connect(port), "quiet");
    running.signal(Signal::TERM);
    assert_eq!(running.ended().ok().stderr, "");
    bench.finish();
}

/// The session is there before it says so: a port that only listens would be no news.
#[test]
fn it_listens_for_nobody_before_its_session_is_up() {
    let standin = Options { not_connected: vec![HOST.to_owned()], ..Options::default() };
    let bench = bench_with(&[], standin);
    let done = bench.proxy().args(["-L0:localhost:7", HOST]).run().code(69);
    assert!(!done.stderr.contains("listening"), "{done}");
    assert!(done.stderr.starts_with(&format!("ssm-proxy: {HOST}: ")), "{done}");
    bench.finish();
}

/// Two sessions at most: on a busy machine a connection may come before the end of the one before it.
#[test]
fn connections_one_after_another_share_a_session() {
    let echo = Peer::echo();
    let bench = bench(&[leads("localhost:7", echo.address())]);
    let forward = Forward::to(&bench, &["localhost:7"], &[]);
    for number in 0..20 {
        answers(&mut forward.connect(), &number.to_string());
    }
    let _ = forward.end();
    assert!(bench.finish().calls_of("StartSession") <= 2);
}

#[test]
fn connections_at_once_have_sessions_of_their_own_up_to_so_many() {
    let echo = Peer::echo();
    for (options, sessions) in [(&[][..], 4), (&["--sessions", "2"], 2), (&["--sessions", "1"], 1)] {
        let bench = bench(&[leads("localhost:7", echo.address())]);
        let forward = Forward::to(&bench, &["localhost:7"], options);
        let mut open: Vec<_> = (0..12).map(|_| forward.connect()).collect();
        for (number, stream) in open.iter_mut().enumerate() {
            answers(stream, &number.to_string());
        }
        drop(open);
        let _ = forward.end();
        assert_eq!(bench.finish().calls_of("StartSession"), sessions);
    }
}

/// A document of the account's own says itself where it leads and where it listens.
#[test]
fn any_document_that_forwards_is_kept_up_by_its_own_properties() {
    let echo = Peer::echo();
    let port = fixtures::free_port();
    let own: SessionDocument =
        format!("Own-Forward=Port=type=LocalPortForwarding,portNumber=7,localPortNumber={port}").parse().unwrap();
    let inspector = InspectorConfig { sizes_to_ports: true, ..InspectorConfig::default() };
    let standin =
        Options { inspector, session_documents: vec![own], ports: vec![(7, echo.address())], ..Options::default() };
    let bench = Bench::with(Setup { standin, ..Setup::default() });
    let aws = ["--document-name", "AWS-StartPortForwardingSession", "--parameters", "portNumber=7,localPortNumber=0"];
    for arguments in [&aws[..], &["--document-name", "Own-Forward"]] {
        let terminal = bench.proxy().args(arguments).arg(HOST);
        let running = bench.proxy().arg("--shell").args(arguments).arg(HOST).start();
        let place = port_of(&places(&running, 1)[0]);
        assert!(arguments.len() == 4 || place == port);
        answers(&mut connect(place), "shell");
        running.signal(Signal::TERM);
        let _ = running.ended().ok();

        let mut terminal = terminal.on_terminal(24, 80);
        terminal.expect("listening on 127.0.0.1:");
        terminal.expect("\r\n");
        let place = terminal.screen();
        let place = place.split("listening on ").nth(1).and_then(|rest| rest.lines().next()).unwrap();
        answers(&mut connect(port_of(place)), "terminal");
        terminal.press("\x03");
        assert_eq!(terminal.finish().code(), Some(0));
    }
    bench.finish();
}

/// A name is looked up for each session: the replacement of a node has another id.
#[test]
fn a_name_finds_the_replacement_of_its_node() {
    let echo = Peer::echo();
    let standin = Options { nodes: vec![Node::online("i-0000000000000000a", "web-1")], ..Options::default() };
    let bench = bench_with(&[leads("localhost:7", echo.address())], standin);
    let running = bench.proxy().args(["-L0:localhost:7", "web-1"]).start();
    let port = port_of(&places(&running, 1)[0]);
    answers(&mut connect(port), "one");
    let gone = Node { ping_status: "ConnectionLost".to_owned(), ..Node::online("i-0000000000000000a", "web-1") };
    bench.control().put_node(gone);
    bench.control().put_node(Node::online("i-0000000000000000b", "web-1"));
    bench.fault(fixtures::standin::Fault::Terminate);
    let _ = running.expect_stderr("the next connection starts another session");
    answers(&mut connect(port), "two");
    running.signal(Signal::TERM);
    let _ = running.ended().ok();
    let targets: Vec<_> = bench.finish().sessions.into_iter().map(|session| session.target).collect();
    assert_eq!(targets, ["i-0000000000000000a", "i-0000000000000000b"]);
}
