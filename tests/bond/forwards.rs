//! `-L … --bond`: each connection that is taken here has a bond of its own, over a joiner that `--bond-setup` has left there.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use fixtures::standin::{Fault, Options};
use fixtures::{Bench, HOST, Peer, Running, SecretJoiner, Signal, noise};
use ssm_proxy::state::Key;

use super::Node;

/// How long a connection may be silent that is not meant to be.
const SILENCE: Duration = Duration::from_secs(30);

/// Lets the user know of a joiner with this secret, as `--bond-setup` does.
fn know(bench: &Bench, first_port: u16, join_port: u16, secret: &str) {
    let folder = bench.user().home().join(".cache/ssm-proxy/joiners");
    fs::create_dir_all(&folder).unwrap();
    let key = Key::of([bench.server().region(), &bench.server().endpoint(), HOST]);
    let joiner = format!(r#""first_port":{first_port},"join_port":{join_port},"secret":"{secret}""#);
    fs::write(folder.join(key.file_name()), format!(r#"{{"joiner":{{{joiner}}},"written":1}}"#)).unwrap();
}

/// A forward to this destination, once it listens at the port that comes with it.
fn forward(bench: &Bench, to: &str, options: &[&str]) -> (Running, u16) {
    let running = bench.proxy().args(["-L", &format!("0:{to}"), "--bond"]).args(options).arg(HOST).start();
    let place = running.expect_stderr("listening on ");
    let port = place.rsplit(':').next().unwrap().trim().parse().unwrap();
    (running, port)
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(SILENCE)).unwrap();
    stream
}

fn all_of(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

/// A node whose joiner leads anywhere, and is known.
fn node() -> Node {
    let secret = "5e".repeat(32);
    let bench = Bench::open();
    let SecretJoiner { running, first_port, join_port } = SecretJoiner::start(bench.sshd().address(), &secret);
    for port in [first_port, join_port] {
        bench.control().put_destination(format!("localhost:{port}=127.0.0.1:{port}").parse().unwrap());
    }
    know(&bench, first_port, join_port, &secret);
    Node { bench, joiner: running }
}

#[test]
fn one_download_has_several_sessions() {
    let content = noise(5, 5 << 20);
    let source = Peer::source(content.clone());
    let node = node();
    let (forward, port) = forward(&node.bench, &format!("localhost:{}", source.address().port()), &[]);
    assert!(all_of(connect(port)) == content, "other bytes arrived");
    let _ = forward.hang_up().ok();
    let report = node.finish();
    assert!((2..=4).contains(&report.sessions.len()), "one connection, {} sessions", report.sessions.len());
}

#[test]
fn an_end_of_file_goes_through_and_the_answer_comes_back() {
    let node = node();
    let counts = Peer::each(|_, mut stream| {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let _ = stream.write_all(format!("{} bytes", bytes.len()).as_bytes());
    });
    let (forward, port) = forward(&node.bench, &format!("localhost:{}", counts.address().port()), &[]);
    for length in [0, 1, 300_000] {
        let mut connection = connect(port);
        connection.write_all(&noise(1, length)).unwrap();
        connection.shutdown(Shutdown::Write).unwrap();
        assert_eq!(all_of(connection), format!("{length} bytes").as_bytes());
    }
    let _ = forward.hang_up().ok();
    node.finish();
}

#[test]
fn what_is_sent_after_the_far_sides_end_outlives_its_session() {
    let content = noise(7, 1_500_000);
    let (sender, got) = mpsc::channel();
    let (node, expected) = (node(), content.clone());
    let reads_on = Peer::each(move |_, mut stream| {
        stream.write_all(b"all said").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let _ = sender.send(bytes == expected);
    });
    let (forward, port) = forward(&node.bench, &format!("localhost:{}", reads_on.address().port()), &[]);
    let mut connection = connect(port);
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"all said");
    let (half, rest) = content.split_at(content.len() / 2);
    connection.write_all(half).unwrap();
    node.bench.fault(Fault::Terminate);
    connection.write_all(rest).unwrap();
    connection.shutdown(Shutdown::Write).unwrap();
    assert!(got.recv_timeout(SILENCE).unwrap(), "not all of it, or something else, has come");
    let _ = forward.hang_up().ok();
    node.finish();
}

#[test]
fn no_session_is_left_when_it_ends_with_connections_open() {
    for signal in [Signal::TERM, Signal::HUP] {
        let node = node();
        let echo = Peer::echo();
        let (forward, port) = forward(&node.bench, &format!("localhost:{}", echo.address().port()), &[]);
        let mut connections: Vec<TcpStream> = (0..3).map(|_| connect(port)).collect();
        for connection in &mut connections {
            connection.write_all(b"hello").unwrap();
            connection.read_exact(&mut [0; 5]).unwrap();
        }
        forward.signal(signal);
        let _ = forward.ended().ok();
        node.finish();
    }
}

#[test]
fn without_a_joiner_that_is_known_each_connection_has_one_session() {
    let echo = Peer::echo();
    let to = format!("localhost:{}", echo.address().port());
    let destination = format!("{to}={}", echo.address()).parse().unwrap();
    let bench = fixtures::Bench::with(fixtures::Setup {
        standin: Options { destinations: vec![destination], ..Options::default() },
        ..fixtures::Setup::default()
    });
    let (forward, port) = forward(&bench, &to, &["-v"]);
    let mut connection = connect(port);
    connection.write_all(b"hello").unwrap();
    connection.read_exact(&mut [0; 5]).unwrap();
    drop(connection);
    let done = forward.hang_up().ok();
    assert!(done.stderr.contains("each connection has one session"), "{done}");
    bench.finish();
}

#[test]
fn a_joiner_that_is_gone_is_told_of() {
    let Node { bench, joiner, .. } = node();
    let echo = Peer::echo();
    let (forward, port) = forward(&bench, &format!("localhost:{}", echo.address().port()), &[]);
    drop(joiner);
    let mut connection = connect(port);
    assert_ne!(connection.read(&mut [0; 5]).ok(), Some(5));
    forward.expect_stderr("the joiner is not on the node any more");
    let _ = forward.hang_up().ok();
    bench.finish();
}

/// Another user of the node has taken the port of a joiner that has ended.
#[test]
fn an_impostor_gets_nothing_that_is_carried() {
    const GREETING: &[u8] = b"ssmjoin\x01\x03\x00\x27\x8b01234567890123456789012345678901";
    let (sender, got) = mpsc::channel();
    let impostor = Peer::each(move |_, mut stream| {
        let accepted: Vec<u8> = [7, 0, 32].into_iter().chain([0; 32]).collect();
        stream.write_all(GREETING).unwrap();
        let mut bytes = vec![0; 1];
        stream.read_exact(&mut bytes).unwrap();
        // It accepts whatever was answered.
        stream.write_all(&accepted).unwrap();
        let _ = stream.read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    let bench = Bench::open();
    let port = impostor.address().port();
    bench.control().put_destination(format!("localhost:{port}=127.0.0.1:{port}").parse().unwrap());
    know(&bench, port, port, &"5e".repeat(32));
    let (forward, local) = forward(&bench, "db.internal:5432", &[]);
    let mut connection = connect(local);
    connection.write_all(b"the password").unwrap();
    assert_ne!(connection.read(&mut [0; 5]).ok(), Some(5));
    let _ = forward.hang_up().ok();
    let bytes = got.recv_timeout(SILENCE).unwrap();
    // The answer to a greeting, with the destination in it.
    assert_eq!(bytes.len(), 93 + "db.internal:5432".len() + 32, "{bytes:?}");
    bench.finish();
}
