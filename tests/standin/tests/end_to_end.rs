//! The stand-in over real sockets: an honest client succeeds without a breach, a dishonest one is found out.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking; clippy.toml allows it only inside the test functions themselves"
)]

mod support;

use serde_json::json;
use standin::codec::payload_type;
use standin::{AfterFlag, BreachKind, Fault, Options, Oversized, Server, SessionState};
use std::time::{Duration, Instant};
use support::{Client, Signing, echo, slow};
use tokio_tungstenite::tungstenite::Message as WsMessage;

const LONG: Duration = Duration::from_secs(20);

async fn server(change: impl FnOnce(&mut Options)) -> Server {
    let mut options = Options { ports: vec![(22, echo().await)], ..Default::default() };
    change(&mut options);
    Server::start(options).unwrap()
}

async fn connected(server: &Server) -> Client {
    let mut client = Client::start(server, 22).await;
    client.connect().await;
    client.until(|c| !c.output.is_empty()).await;
    client
}

fn kinds(server: &Server) -> Vec<BreachKind> {
    server.report().breaches.iter().map(|breach| breach.kind).collect()
}

#[tokio::test]
async fn a_whole_session_goes_without_a_breach() {
    let server = server(|_| {}).await;
    let mut client = connected(&server).await;
    assert_eq!(client.types[0], "start_publication");
    client.data(b"ping").await;
    client.until(|c| c.output == b"hello\nping").await;
    client.terminate().await;
    client.until(|c| c.closed_output.is_some()).await;
    assert_eq!(client.closed_output.as_deref(), Some(""));
    assert!(server.wait_for(LONG, |r| r.sessions[0].state == SessionState::EndedByFlag));
    let report = server.report();
    assert_eq!(report.breaches, []);
    let session = &report.sessions[0];
    assert_eq!(session.target, "i-02573cafcfEXAMPLE");
    assert_eq!(session.document.as_deref(), Some("AWS-StartSSHSession"));
    assert_eq!(session.handshake_client_version.as_deref(), Some("1.2.764.0"));
    assert_eq!((session.upgrades, session.opens, report.calls_of("StartSession")), (1, 1, 1));
    assert!(session.terminate_flag && session.handshake_complete && session.port_connected);
}

#[tokio::test]
async fn a_whole_session_over_tls() {
    let server = server(|o| o.tls = true).await;
    assert!(server.endpoint().starts_with("https://"));
    let mut client = Client::start(&server, 22).await;
    assert!(client.url.starts_with("wss://"));
    client.connect().await;
    client.until(|c| !c.output.is_empty()).await;
    let ca = server.ca_pem_path().unwrap().to_owned();
    assert_eq!(kinds(&server), []);
    drop(server);
    assert!(!ca.exists());
}

#[tokio::test]
async fn upgrades_are_signed_or_refused() {
    let server = server(|_| {}).await;
    let mut client = Client::start(&server, 22).await;
    assert_eq!(client.upgrade(Signing::None).await, Err(403));
    assert_eq!(client.upgrade(Signing::WrongKey).await, Err(403));
    assert_eq!(client.upgrade(Signing::ExtraHeader).await, Ok(()));
    let expected = [BreachKind::UpgradeUnsigned, BreachKind::UpgradeSignature, BreachKind::UpgradeSignsTransport];
    assert_eq!(kinds(&server), expected);
    let headers = &server.report().upgrades[0].headers;
    assert!(headers.iter().any(|(name, _)| name == "sec-websocket-key"));
}

#[tokio::test]
async fn the_open_message_comes_first_with_a_good_token() {
    let server = server(|_| {}).await;
    let mut client = Client::start(&server, 22).await;
    client.upgrade(Signing::Good).await.unwrap();
    client.data(b"x").await;
    client.sequence = 0;
    while client.step().await {}
    client.upgrade(Signing::Good).await.unwrap();
    let token = std::mem::replace(&mut client.token, "stolen".into());
    client.open().await;
    while client.step().await {}
    assert_eq!(kinds(&server), [BreachKind::OpenMissing, BreachKind::OpenToken]);
    client.token = token;
    client.connect().await;
    client.until(|c| !c.output.is_empty()).await;
    client.upgrade(Signing::Good).await.unwrap();
    client.open().await;
    while client.step().await {}
    assert_eq!(kinds(&server).last(), Some(&BreachKind::OpenTokenReused));
}

#[tokio::test]
async fn large_payloads_pause_and_then_end_the_session_close_the_socket_or_only_pause() {
    for oversized in [Oversized::Ends, Oversized::Closes, Oversized::Pauses] {
        let server = server(|o| (o.payload_kill, o.oversized) = (Some(1024), oversized)).await;
        let mut client = connected(&server).await;
        let pauses = |client: &Client| client.types.iter().filter(|name| *name == "pause_publication").count();
        client.data(&[0; 1024]).await;
        client.data(&[0; 1025]).await;
        client.until(|c| c.acknowledged.contains(&2)).await;
        assert_eq!(pauses(&client), 1, "{oversized:?}");
        for _ in 0..10 {
            client.data(&[0; 1025]).await;
        }
        match oversized {
            Oversized::Ends => {
                client.until(|c| c.closed_output.is_some()).await;
                assert!(server.wait_for(LONG, |r| r.sessions[0].state == SessionState::Failed));
            }
            Oversized::Closes => {
                while client.step().await {}
                assert!(server.wait_for(LONG, |r| !r.sessions[0].connected));
                assert_eq!(server.report().sessions[0].state, SessionState::Open);
            }
            Oversized::Pauses => {
                client.until(|c| c.acknowledged.contains(&12)).await;
                assert_eq!(pauses(&client), 11);
            }
        }
        assert_eq!(kinds(&server), []);
    }
}

#[tokio::test]
async fn bye_means_resume_with_a_new_url_and_token() {
    let server = server(|_| {}).await;
    let mut client = connected(&server).await;
    server.control().bye();
    while client.step().await {}
    let old = client.url.clone();
    client.resume().await;
    let new = std::mem::replace(&mut client.url, old);
    assert_eq!(client.upgrade(Signing::Good).await, Err(403));
    client.url = new;
    client.connect().await;
    client.data(b"again").await;
    client.until(|c| c.output == b"hello\nagain").await;
    assert_eq!(kinds(&server), [BreachKind::UpgradeOldUrl]);
    let session = &server.report().sessions[0];
    assert_eq!((session.resumes, session.upgrades, session.opens), (1, 2, 2));
}

#[tokio::test]
async fn a_session_that_is_left_stays_open_until_the_api_ends_it() {
    let server = server(|_| {}).await;
    let mut client = connected(&server).await;
    server.control().reset();
    while client.step().await {}
    assert!(server.wait_for(LONG, |r| !r.sessions[0].connected));
    assert_eq!(server.report().open_sessions().count(), 1);
    for _ in 0..2 {
        let (status, answer) = client.api("TerminateSession", &json!({ "SessionId": client.session })).await;
        assert_eq!((status, &answer["SessionId"]), (200, &json!(client.session)));
    }
    assert!(server.wait_for(LONG, |r| r.sessions[0].state == SessionState::EndedByApi));
    let (status, answer) = client.api("ResumeSession", &json!({ "SessionId": client.session })).await;
    assert_eq!((status, &answer["__type"]), (400, &json!("DoesNotExistException")));
}

#[tokio::test]
async fn a_closed_port_ends_the_session_with_a_text_or_a_crash() {
    for crash in [false, true] {
        let server = server(|o| o.agent.crash_on_refused_port = crash).await;
        let mut client = Client::start(&server, 99).await;
        client.connect().await;
        client.until(|c| c.closed_output.is_some()).await;
        let output = client.closed_output.unwrap();
        assert_eq!(output.contains("Unable to connect to specified port: dial tcp 127.0.0.1:99"), !crash, "{output}");
        assert_eq!(output.is_empty(), crash);
        assert!(client.complete);
        assert!(server.wait_for(LONG, |r| r.sessions[0].state == SessionState::Failed));
    }
}

#[tokio::test]
async fn the_end_can_be_silent() {
    let server = server(|o| o.after_flag = AfterFlag::Nothing).await;
    let mut client = connected(&server).await;
    client.terminate().await;
    client.until(|c| c.acknowledged.len() == 2).await;
    assert!(server.wait_for(LONG, |r| r.sessions[0].state == SessionState::EndedByFlag));
    assert!(server.report().sessions[0].connected);
    assert_eq!(client.closed_output, None);
}

#[tokio::test]
async fn an_administrator_ends_a_session_and_everything_else_can_be_sent() {
    let server = server(|_| {}).await;
    let mut client = connected(&server).await;
    let control = server.control();
    control.fault(Fault::Inject(99, b"?".to_vec()));
    control.fault(Fault::Text("pause".into()));
    control.fault(Fault::Pause);
    control.fault(Fault::Start);
    control.fault_on("nobody", Fault::Reset);
    control.fault(Fault::Terminate);
    client.until(|c| c.closed_output.is_some()).await;
    assert!(client.types.iter().any(|name| name == "pause_publication"));
    assert_eq!(client.received.last(), Some(&3));
    assert!(server.wait_for(LONG, |r| r.sessions[0].state == SessionState::EndedByAdmin));
    assert_eq!(kinds(&server), []);
}

#[tokio::test]
async fn a_schedule_runs_by_messages() {
    let server = server(|o| o.schedule = vec!["4msg=close:1001:moving".parse().unwrap()]).await;
    let mut client = connected(&server).await;
    client.data(b"x").await;
    while client.step().await {}
    assert!(server.wait_for(LONG, |r| !r.sessions[0].connected));
    assert!(server.report().sessions[0].traffic.messages_from_client >= 4);
}

#[tokio::test]
async fn channel_closed_can_come_before_the_handshake() {
    let server = server(|o| o.schedule = vec!["0msg=channel-closed:no luck".parse().unwrap()]).await;
    let mut client = Client::start(&server, 22).await;
    client.connect().await;
    client.until(|c| c.closed_output.is_some()).await;
    assert_eq!(client.closed_output.as_deref(), Some("no luck"));
    assert!(!client.complete);
}

#[tokio::test]
async fn silence_delays_but_loses_nothing() {
    let server = server(|_| {}).await;
    let mut client = connected(&server).await;
    server.control().silence(Duration::from_millis(300));
    // Orders and frames reach the session by different ways: talk until the silence is felt.
    let mut longest = Duration::ZERO;
    while longest < Duration::from_millis(200) {
        let before = Instant::now();
        let length = client.output.len();
        client.data(b"x").await;
        client.until(|c| c.output.len() > length).await;
        longest = longest.max(before.elapsed());
    }
    assert_eq!(kinds(&server), []);
}

#[tokio::test]
async fn too_many_messages_are_paused_and_then_cut_off() {
    let server = server(|_| {}).await;
    let mut client = connected(&server).await;
    let frame = client.message(payload_type::OUTPUT, b"x");
    while client.closed_output.is_none() {
        for _ in 0..50 {
            client.send(WsMessage::Binary(frame.clone())).await;
        }
        // Each of them is acknowledged, until the end.
        for _ in 0..50 {
            if client.closed_output.is_none() {
                assert!(client.step().await);
            }
        }
    }
    assert!(client.types.iter().any(|name| name == "pause_publication"));
    assert!(kinds(&server).contains(&BreachKind::Rate));
    assert!(server.report().sessions[0].traffic.peak_per_second > 1_000);
    assert_eq!(server.report().sessions[0].state, SessionState::Failed);
}

#[tokio::test]
async fn everything_before_the_flag_reaches_a_slow_peer() {
    let (port, release, received) = slow().await;
    let server = server(|o| {
        o.ports = vec![(22, port)];
        o.limits = false;
    })
    .await;
    let mut client = connected(&server).await;
    let payload = [7; 1024];
    for _ in 0..4096 {
        client.data(&payload).await;
    }
    release.send(()).unwrap();
    for _ in 0..4096 {
        client.data(&payload).await;
    }
    client.terminate().await;
    client.until(|c| c.closed_output.is_some()).await;
    assert_eq!(received.await.unwrap(), 8192 * 1024);
    assert_eq!(client.acknowledged.len(), 8192 + 2);
    assert_eq!(kinds(&server), []);
}

#[tokio::test]
async fn an_upgrade_can_fail_on_request() {
    let rules = ["OpenDataChannel=unavailablex1", "OpenDataChannel=access-deniedx1"];
    let server = server(|o| o.api_rules = rules.iter().map(|r| r.parse().unwrap()).collect()).await;
    let mut client = Client::start(&server, 22).await;
    assert_eq!(client.upgrade(Signing::Good).await, Err(503));
    assert_eq!(client.upgrade(Signing::Good).await, Err(403));
    assert_eq!(client.upgrade(Signing::Good).await, Ok(()));
    assert_eq!(kinds(&server), []);
}

#[tokio::test]
async fn the_agents_own_break_is_repaired_by_retransmission() {
    let server = server(|_| {}).await;
    let mut client = connected(&server).await;
    server.control().fault(Fault::AgentAway(Duration::from_millis(50)));
    client.until(|c| c.types.last().is_some_and(|t| t == "pause_publication")).await;
    let frame = client.message(payload_type::OUTPUT, b"x");
    while !client.output.ends_with(b"x") {
        client.send(WsMessage::Binary(frame.clone())).await;
        // Whatever comes back: the acknowledgement, the echo, or nothing while the agent is away.
        let _ = tokio::time::timeout(Duration::from_millis(20), client.step()).await;
    }
    assert_eq!(kinds(&server), []);
}
