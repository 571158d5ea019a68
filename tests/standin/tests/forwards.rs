//! Forwards over real sockets: streams to real peers, with a raw client that writes its own frames.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking; clippy.toml allows it only inside the test functions themselves"
)]

mod support;

use serde_json::{Value, json};
use standin::codec::payload_type;
use standin::{BreachKind, ForwardMode, ForwardReport, Options, Server, SessionState};
use std::net::SocketAddr;
use std::time::Duration;
use support::{Client, echo, slow};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

const LONG: Duration = Duration::from_secs(20);
const FORWARD: &str = "AWS-StartPortForwardingSession";
const TO_HOST: &str = "AWS-StartPortForwardingSessionToRemoteHost";
const MESSAGE: usize = 1024;

/// What the agent said of streams.
#[derive(Debug, Default, PartialEq, Eq)]
struct Heard {
    /// Stream, and its data.
    data: Vec<(u32, Vec<u8>)>,
    /// Streams that it closed, in order.
    ends: Vec<u32>,
    nops: usize,
}

impl Heard {
    fn of(&self, id: u32) -> Vec<u8> {
        self.data.iter().filter(|(stream, _)| *stream == id).flat_map(|(_, data)| data.clone()).collect()
    }
}

fn heard(client: &Client) -> Heard {
    let bytes: Vec<u8> = client.ordered.values().flatten().copied().collect();
    let (mut rest, mut heard) = (bytes.as_slice(), Heard::default());
    while rest.len() >= 8 {
        let length = usize::from(u16::from_le_bytes([rest[2], rest[3]]));
        let id = u32::from_le_bytes(rest[4..8].try_into().unwrap());
        let (command, Some(data)) = (rest[1], rest.get(8..8 + length)) else { break };
        assert_eq!(rest[0], 1);
        match command {
            1 => heard.ends.push(id),
            2 => heard.data.push((id, data.to_vec())),
            3 => heard.nops += 1,
            other => panic!("command {other}"),
        }
        rest = &rest[8 + length..];
    }
    heard
}

fn frame(command: u8, id: u32, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap().to_le_bytes();
    [&[1, command][..], &length, &id.to_le_bytes(), data].concat()
}

fn syn(id: u32) -> Vec<u8> {
    frame(0, id, b"")
}

fn fin(id: u32) -> Vec<u8> {
    frame(1, id, b"")
}

fn psh(id: u32, data: &[u8]) -> Vec<u8> {
    frame(2, id, data)
}

/// A destination that tells what it got until the end.
async fn sink() -> (SocketAddr, oneshot::Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = oneshot::channel();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        sender.send(all).unwrap();
    });
    (address, receiver)
}

async fn server(change: impl FnOnce(&mut Options)) -> Server {
    let mut options = Options { ports: vec![(80, echo().await)], ..Default::default() };
    change(&mut options);
    Server::start(options).unwrap()
}

async fn begun(server: &Server, document: &str, parameters: Value) -> Client {
    let mut client = Client::start_document(server, Some(document), parameters).await;
    client.connect().await;
    client.until(|c| c.complete).await;
    // Not before the handshake is marked as complete: till then data is acknowledged and lost.
    tokio::time::sleep(Duration::from_millis(20)).await;
    client
}

fn port(port: u16) -> Value {
    json!({ "portNumber": [port.to_string()] })
}

fn host(host: &str, port: u16) -> Value {
    json!({ "host": [host], "portNumber": [port.to_string()], "localPortNumber": ["0"] })
}

async fn send(client: &mut Client, bytes: &[u8]) {
    for payload in bytes.chunks(MESSAGE) {
        client.data(payload).await;
    }
}

fn report(server: &Server) -> ForwardReport {
    server.report().sessions[0].forward.unwrap()
}

fn kinds(server: &Server) -> Vec<BreachKind> {
    server.report().breaches.iter().map(|breach| breach.kind).collect()
}

#[tokio::test]
async fn streams_reach_a_port_of_the_node_and_end() {
    let server = server(|_| {}).await;
    let mut client = begun(&server, FORWARD, port(80)).await;
    let request: Value = serde_json::from_slice(&client.stream[0].1).unwrap();
    let properties = &request["RequestedClientActions"][0]["ActionParameters"]["Properties"];
    assert_eq!(properties, &json!({ "localPortNumber": "0", "portNumber": "80", "type": "LocalPortForwarding" }));
    send(&mut client, &[syn(3), psh(3, b"one"), syn(5), psh(5, b"two")].concat()).await;
    client.until(|c| heard(c).of(3) == b"hello\none" && heard(c).of(5) == b"hello\ntwo").await;
    send(&mut client, &fin(3)).await;
    client.until(|c| heard(c).ends == [3]).await;
    send(&mut client, &psh(5, b"!")).await;
    client.until(|c| heard(c).of(5) == b"hello\ntwo!").await;
    client.terminate().await;
    client.until(|c| c.closed_output.is_some()).await;
    assert_eq!(client.closed_output.as_deref(), Some(""));
    assert!(server.wait_for(LONG, |r| r.sessions[0].state == SessionState::EndedByFlag));
    assert_eq!(kinds(&server), []);
    let forward = report(&server);
    assert_eq!((forward.mode, forward.counts.streams, forward.counts.peak), (ForwardMode::Mux, 2, 2));
    assert_eq!((forward.counts.bytes_to_destinations, forward.counts.bytes_from_destinations), (7, 19));
    assert!(server.report().sessions[0].port_connected);
}

#[tokio::test]
async fn other_hosts_are_reached_and_unknown_ones_are_refused() {
    let peer = echo().await;
    let server = server(|o| o.destinations = vec![format!("db.internal:5432={peer}").parse().unwrap()]).await;
    let mut client = begun(&server, TO_HOST, host("db.internal", 5432)).await;
    send(&mut client, &[syn(3), psh(3, b"x")].concat()).await;
    client.until(|c| heard(c).of(3) == b"hello\nx").await;
    let mut client = begun(&server, TO_HOST, host("nowhere.internal", 5432)).await;
    send(&mut client, &[syn(3), psh(3, b"hello"), fin(3)].concat()).await;
    client.until(|c| heard(c).ends == [3]).await;
    // First the flag, then the end.
    let after: Vec<_> = client.stream[2..].iter().map(|(kind, payload)| (*kind, payload.clone())).collect();
    assert_eq!(after, [(payload_type::FLAG, vec![0, 0, 0, 3]), (payload_type::OUTPUT, fin(3))]);
    send(&mut client, &syn(5)).await;
    client.until(|c| heard(c).ends == [3, 5]).await;
    let forward = server.report().sessions[1].forward.unwrap();
    assert_eq!((forward.counts.streams, forward.counts.refused, forward.counts.open), (2, 2, 0));
    assert_eq!(kinds(&server), []);
}

#[tokio::test]
async fn all_that_was_sent_before_a_fin_arrives() {
    let (peer, all) = sink().await;
    let server = server(|o| o.ports = vec![(80, peer)]).await;
    let mut client = begun(&server, FORWARD, port(80)).await;
    let data: Vec<u8> = (0..200_000_u32).map(|i| (i % 251) as u8).collect();
    let mut bytes = syn(3);
    data.chunks(32_768).for_each(|chunk| bytes.extend(psh(3, chunk)));
    bytes.extend(fin(3));
    send(&mut client, &bytes).await;
    client.until(|c| heard(c).ends == [3]).await;
    assert!(all.await.unwrap() == data);
    assert_eq!(kinds(&server), []);
}

#[tokio::test]
async fn a_server_that_closes_ends_its_stream_and_no_other() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut first, _) = listener.accept().await.unwrap();
        first.write_all(&[7; 100_000]).await.unwrap();
        drop(first);
        let (mut second, _) = listener.accept().await.unwrap();
        let mut byte = [0];
        second.read_exact(&mut byte).await.unwrap();
        second.write_all(&byte).await.unwrap();
        std::future::pending::<()>().await;
    });
    let server = server(|o| o.ports = vec![(80, peer)]).await;
    let mut client = begun(&server, FORWARD, port(80)).await;
    send(&mut client, &[syn(1), syn(3)].concat()).await;
    client.until(|c| heard(c).ends == [1]).await;
    assert!(heard(&client).of(1) == [7; 100_000]);
    // What was under way to it is dropped.
    send(&mut client, &[psh(1, b"late"), fin(1), psh(3, b"x")].concat()).await;
    client.until(|c| heard(c).of(3) == b"x").await;
    assert_eq!(report(&server).counts.bytes_dropped, 4);
    assert_eq!(kinds(&server), []);
}

#[tokio::test]
async fn a_dial_that_hangs_holds_up_the_streams_after_it_and_none_before() {
    let peer = echo().await;
    let server = server(|o| {
        o.destinations = vec![format!("db:1={peer}").parse().unwrap(), "gone:1=hangs:500ms".parse().unwrap()];
        o.destinations.push(format!("gone:1={peer}").parse().unwrap());
    })
    .await;
    let mut client = begun(&server, TO_HOST, host("gone", 1)).await;
    let start = std::time::Instant::now();
    send(&mut client, &[syn(3), syn(5), psh(5, b"waits")].concat()).await;
    client.until(|c| !heard(c).of(3).is_empty()).await;
    assert!(start.elapsed() >= Duration::from_millis(500));
    client.until(|c| heard(c).of(5) == b"hello\nwaits").await;
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_eq!(kinds(&server), []);
}

#[tokio::test]
async fn what_is_at_a_destination_changes_and_its_host_is_looked_up_once() {
    let peer = echo().await;
    let server = server(|_| {}).await;
    let mut early = begun(&server, TO_HOST, host("db", 1)).await;
    server.control().put_destination("db:1=hangs".parse().unwrap());
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut hanging = begun(&server, TO_HOST, host("db", 1)).await;
    send(&mut hanging, &[syn(3), syn(5)].concat()).await;
    hanging.until(|c| c.acknowledged.len() == 2).await;
    server.control().put_destination(format!("db:1={peer}").parse().unwrap());
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut client = begun(&server, TO_HOST, host("db", 1)).await;
    send(&mut client, &syn(3)).await;
    client.until(|c| heard(c).of(3) == b"hello\n").await;
    send(&mut early, &syn(3)).await;
    early.until(|c| heard(c).ends == [3]).await;
    let waited = tokio::time::timeout(Duration::from_millis(300), hanging.until(|c| !heard(c).data.is_empty()));
    assert!(waited.await.is_err(), "both wait for the dial that hangs");
    assert_eq!(kinds(&server), []);
}

#[tokio::test]
async fn a_slow_destination_gets_everything_in_the_end() {
    let (peer, release, received) = slow().await;
    let server = server(|o| o.ports = vec![(80, peer)]).await;
    let mut client = begun(&server, FORWARD, port(80)).await;
    send(&mut client, &syn(3)).await;
    client.until(|c| heard(c).of(3) == b"hello\n").await;
    release.send(()).unwrap();
    for _ in 0..20 {
        send(&mut client, &psh(3, &[1; 30_000])).await;
    }
    send(&mut client, &fin(3)).await;
    assert_eq!(received.await.unwrap(), 600_000);
    client.until(|c| heard(c).ends == [3]).await;
}

#[tokio::test]
async fn what_is_forbidden_ends_the_session_with_its_text() {
    let server = server(|_| {}).await;
    let mut client = Client::start_document(&server, Some(TO_HOST), host("169.254.169.254", 80)).await;
    client.connect().await;
    client.until(|c| c.closed_output.is_some()).await;
    assert!(client.complete);
    assert_eq!(client.closed_output.as_deref(), Some("Forwarding to IP address 169.254.169.254 is forbidden."));
}

#[tokio::test]
async fn a_destination_that_never_reads_stops_all_until_the_session_is_ended_by_the_api() {
    let server = server(|o| {
        *o = o.clone().unpaced();
        o.destinations = vec!["localhost:81=never-reads".parse().unwrap()];
    })
    .await;
    let mut client = begun(&server, FORWARD, port(81)).await;
    send(&mut client, &syn(3)).await;
    let frame = psh(3, &[1; 1016]);
    // Until not all is acknowledged for a while.
    loop {
        send(&mut client, &frame.repeat(64)).await;
        let sent = client.sequence;
        let all = client.until(|c| c.acknowledged.len() as i64 == sent);
        if tokio::time::timeout(Duration::from_millis(700), all).await.is_err() {
            break;
        }
        assert!(sent < 20_000);
    }
    let accepted = client.acknowledged.len() * 1024 / (1 << 20);
    assert!((4..12).contains(&accepted), "{accepted} MiB");
    send(&mut client, &[syn(5), psh(5, b"x")].concat()).await;
    client.terminate().await;
    let acknowledged = client.acknowledged.len();
    let waited = tokio::time::timeout(Duration::from_secs(1), client.until(|c| c.acknowledged.len() > acknowledged));
    assert!(waited.await.is_err(), "no acknowledgement, no other stream, no end");
    assert!(server.report().sessions[0].state == SessionState::Open);
    let (status, _) = client.api("TerminateSession", &json!({ "SessionId": client.session })).await;
    assert_eq!(status, 200);
    client.until(|c| c.closed_output.is_some()).await;
    assert!(server.wait_for(LONG, |r| r.sessions[0].state == SessionState::EndedByApi));
    assert_eq!(kinds(&server), []);
    assert!(report(&server).counts.peak_unread >= 4 << 20);
}

#[tokio::test]
async fn agents_without_smux_carry_one_connection_after_another() {
    let server = server(|o| o.agent.version = "3.0.196.0".into()).await;
    let mut client = begun(&server, FORWARD, port(80)).await;
    client.until(|c| c.output == b"hello\n").await;
    client.data(b"one").await;
    client.until(|c| c.output == b"hello\none").await;
    client.stream(payload_type::FLAG, &1_u32.to_be_bytes()).await;
    client.data(b"two").await;
    client.until(|c| c.output == b"hello\nonehello\ntwo").await;
    client.terminate().await;
    client.until(|c| c.closed_output.is_some()).await;
    assert_eq!(kinds(&server), []);
    let forward = report(&server);
    assert_eq!((forward.mode, forward.counts.streams, forward.counts.peak), (ForwardMode::Basic, 2, 1));
    assert_eq!((forward.counts.bytes_to_destinations, forward.counts.bytes_from_destinations), (6, 18));
    assert_eq!(forward.client.disconnect_flags, 1);
}

#[tokio::test]
async fn without_smux_what_was_sent_last_arrives_before_the_next_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = listener.local_addr().unwrap();
    let received = tokio::spawn(async move {
        let mut sizes = Vec::new();
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().await.unwrap();
            // The first is slow, so that the last bytes wait outside of the kernel.
            tokio::time::sleep(Duration::from_millis(200)).await;
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await.unwrap();
            sizes.push(all.len());
        }
        sizes
    });
    let server = server(|o| {
        *o = o.clone().unpaced();
        (o.ports, o.agent.version) = (vec![(80, peer)], "3.0.196.0".into());
    })
    .await;
    let mut client = begun(&server, FORWARD, port(80)).await;
    send(&mut client, &vec![1; 5_000_000]).await;
    client.stream(payload_type::FLAG, &1_u32.to_be_bytes()).await;
    client.data(b"two").await;
    client.stream(payload_type::FLAG, &1_u32.to_be_bytes()).await;
    client.terminate().await;
    client.until(|c| c.closed_output.is_some()).await;
    assert_eq!(received.await.unwrap(), [5_000_000, 3]);
}

#[tokio::test]
async fn without_smux_a_destination_that_is_not_there_ends_the_session() {
    let server = server(|o| o.agent.version = "3.0.196.0".into()).await;
    let mut client = Client::start_document(&server, Some(TO_HOST), host("nowhere", 80)).await;
    client.connect().await;
    client.until(|c| c.closed_output.is_some()).await;
    assert!(client.closed_output.unwrap().contains("Unable to connect to specified port: "));
}

#[tokio::test]
async fn bytes_that_are_no_smux_end_the_session_and_are_a_breach() {
    let server = server(|_| {}).await;
    let mut client = begun(&server, FORWARD, port(80)).await;
    client.data(b"SSH-2.0-OpenSSH\r\n").await;
    client.until(|c| c.closed_output.is_some()).await;
    assert_eq!(client.closed_output.as_deref(), Some(""));
    assert_eq!(kinds(&server), [BreachKind::MuxVersion]);
    assert!(server.wait_for(LONG, |r| r.sessions[0].state == SessionState::Failed));
}

#[tokio::test]
async fn streams_live_through_a_new_socket() {
    let server = server(|o| *o = o.clone().unpaced()).await;
    let mut client = begun(&server, FORWARD, port(80)).await;
    send(&mut client, &[syn(3), psh(3, b"before")].concat()).await;
    client.until(|c| heard(c).of(3) == b"hello\nbefore").await;
    server.control().bye();
    while client.step().await {}
    client.resume().await;
    client.connect().await;
    send(&mut client, &psh(3, b" and after")).await;
    client.until(|c| heard(c).of(3) == b"hello\nbefore and after").await;
    assert_eq!(kinds(&server), []);
    assert_eq!((report(&server).counts.open, report(&server).client.opened), (1, 1));
}

#[tokio::test]
async fn an_administrator_and_the_idle_limit_end_a_forward_under_its_client() {
    let server = server(|o| o.idle_limit = Duration::from_secs(3)).await;
    let mut client = begun(&server, FORWARD, port(80)).await;
    send(&mut client, &syn(3)).await;
    client.until(|c| heard(c).of(3) == b"hello\n").await;
    server.control().fault(standin::Fault::Terminate);
    client.until(|c| c.closed_output.is_some()).await;
    // A sign of life keeps the next from the limit, and is no breach but a number.
    let mut client = begun(&server, FORWARD, port(80)).await;
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        send(&mut client, &frame(3, 0, b"")).await;
    }
    assert!(server.report().sessions[1].state == SessionState::Open);
    client.until(|c| c.closed_output.is_some()).await;
    assert!(client.closed_output.as_ref().unwrap().contains("inactivity"));
    assert_eq!(server.report().sessions[1].forward.unwrap().client.nops, 4);
    assert_eq!(kinds(&server), []);
}

#[tokio::test]
async fn a_custom_document_has_its_own_properties() {
    let peer = echo().await;
    let document =
        "Web=Port=type=LocalPortForwarding,portNumber={{ port }},host=web,localConnectionType=unix,localUnixSocket=/x";
    let server = server(|o| {
        o.session_documents = vec![document.parse().unwrap()];
        o.destinations = vec![format!("web:8080={peer}").parse().unwrap()];
    })
    .await;
    let mut client = begun(&server, "Web", json!({ "port": ["8080"] })).await;
    let request: Value = serde_json::from_slice(&client.stream[0].1).unwrap();
    let expected = json!({
        "host": "web", "localConnectionType": "unix", "localUnixSocket": "/x", "portNumber": "8080",
        "type": "LocalPortForwarding",
    });
    assert_eq!(request["RequestedClientActions"][0]["ActionParameters"]["Properties"], expected);
    send(&mut client, &[syn(3), psh(3, b"x")].concat()).await;
    client.until(|c| heard(c).of(3) == b"hello\nx").await;
    assert_eq!(kinds(&server), []);
}
