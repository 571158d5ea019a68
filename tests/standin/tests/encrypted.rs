//! Encrypted sessions of the stand-in over real sockets: KMS, the challenge, the cipher, and what goes wrong with them.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking; clippy.toml allows it only inside the test functions themselves"
)]

mod support;

use serde_json::json;
use standin::codec::payload_type;
use standin::{BreachKind, Options, Server, SessionState};
use std::time::{Duration, Instant};
use support::{Client, Kms};

const LONG: Duration = Duration::from_secs(20);
const MS: fn(u64) -> Duration = Duration::from_millis;

fn server(change: impl FnOnce(&mut Options)) -> Server {
    let mut options = Options::default();
    options.agent.first_read_delay = MS(100);
    options.agent.kms_key_id = Some("alias/lab".into());
    options.agent.response_timeout = Duration::from_secs(1);
    change(&mut options);
    Server::start(options).unwrap()
}

async fn shell(server: &Server, kms: Kms) -> Client {
    let mut client = Client::start_document(server, None, json!({})).await;
    client.kms = kms;
    client.connect().await;
    client
}

/// Runs a shell to its end before anything is shown; the text of `channel_closed`.
async fn refused(server: &Server, kms: Kms) -> String {
    let mut client = shell(server, kms).await;
    client.until(|c| c.closed_output.is_some()).await;
    assert_eq!(client.output, b"");
    assert!(server.wait_for(LONG, |r| r.sessions.iter().all(|s| s.state == SessionState::Failed)));
    client.closed_output.unwrap()
}

fn kinds(server: &Server) -> Vec<BreachKind> {
    server.report().breaches.iter().map(|breach| breach.kind).collect()
}

#[tokio::test]
async fn a_shell_is_encrypted_with_and_without_the_challenge() {
    for (kms, challenge) in [(Kms::Good, true), (Kms::Good, false), (Kms::Old, true)] {
        let server = server(|o| o.agent.kms_challenge = challenge);
        let mut client = shell(&server, kms).await;
        client.until(|c| !c.output.is_empty()).await;
        let request = String::from_utf8(client.stream[0].1.clone()).unwrap();
        assert_eq!(request.contains("\"Challenge\""), challenge);
        assert!(request.contains(r#""KMSKeyId":"alias/lab""#) && request.contains("Standard_Stream"), "{request}");
        assert_eq!(client.stream[1].0, payload_type::CHALLENGE_REQUEST);
        let complete = String::from_utf8(client.stream[2].1.clone()).unwrap();
        assert!(complete.contains("This session is encrypted using AWS KMS."), "{complete}");
        client.stream(payload_type::SIZE, br#"{"cols":100,"rows":30}"#).await;
        client.secret(b"stty size; exit\n").await;
        client.until(|c| c.closed_output.is_some()).await;
        let shown = String::from_utf8_lossy(&client.output);
        assert!(shown.contains("30 100\r\n"), "{shown}");
        let report = server.report();
        assert_eq!(report.breaches, []);
        assert!(report.sessions[0].encrypted && report.sessions[0].handshake_complete);
        assert_eq!(report.calls_of("GenerateDataKey"), 1);
    }
}

#[tokio::test]
async fn every_kind_of_payload_of_a_command_is_encrypted() {
    let server = server(|_| {});
    let parameters = json!({ "command": ["sh -c 'echo o; echo e >&2; exit 3'"], "separateOutputStream": ["true"] });
    let mut client = Client::start_document(&server, Some("AWS-StartNonInteractiveCommand"), parameters).await;
    client.connect().await;
    client.until(|c| c.closed_output.is_some()).await;
    let mut last: Vec<_> = client.stream[3..].to_vec();
    last.sort();
    assert_eq!(last, [(1, b"o\n".to_vec()), (11, b"e\n".to_vec()), (12, b"EXIT_CODE: 3".to_vec())]);
}

#[tokio::test]
async fn a_session_to_a_port_is_never_encrypted() {
    let port = support::echo().await;
    let server = server(|o| o.ports = vec![(22, port)]);
    let mut client = Client::start(&server, 22).await;
    client.connect().await;
    client.until(|c| c.output == b"hello\n").await;
    assert!(!server.report().sessions[0].encrypted);
}

#[tokio::test]
async fn the_clients_own_error_comes_back() {
    for rule in ["access-denied", "key-not-found", "key-disabled", "throttling"] {
        let server = server(|o| o.api_rules = vec![format!("GenerateDataKey={rule}").parse().unwrap()]);
        let text = refused(&server, Kms::Good).await;
        let start = "\n----------ERROR-------\nEncountered error while initiating handshake. KMSEncryption failed on client \
                     with status 2 error: no data key: ";
        assert!(text.starts_with(start), "{text}");
        assert_eq!(kinds(&server), []);
    }
}

#[tokio::test]
async fn kms_refuses_the_agent_another_context_or_everything() {
    for (kms, rule, reason) in [
        (Kms::WrongContext, None, "InvalidCiphertextException: "),
        (Kms::WithoutContext, None, "InvalidCiphertextException: "),
        (Kms::Good, Some("Decrypt=access-denied"), "AccessDeniedException: "),
    ] {
        let server = server(|o| o.api_rules = rule.iter().map(|rule| rule.parse().unwrap()).collect());
        let text = refused(&server, kms).await;
        let start = "Fetching data key failed: Unable to retrieve data key, Error when decrypting data key";
        assert!(text.contains(&format!("handshake. {start} {reason}")), "{text}");
    }
}

#[tokio::test]
async fn an_agent_can_demand_the_challenge() {
    let server = server(|o| o.agent.require_challenge = true);
    let text = refused(&server, Kms::Old).await;
    assert!(text.ends_with("client does not support required encryption context random challenge"), "{text}");
    let mut client = shell(&server, Kms::Good).await;
    client.until(|c| !c.output.is_empty()).await;
}

#[tokio::test]
async fn whoever_is_late_or_wrong_times_out() {
    let slow = server(|o| o.api_rules = vec!["GenerateDataKey=slow:1500ms".parse().unwrap()]);
    assert!(refused(&slow, Kms::Good).await.contains("handshake. Handshake timed out. Please ensure"));
    let silent = server(|_| {});
    assert!(refused(&silent, Kms::Silent).await.contains("handshake. Handshake timed out. Please ensure"));
    let wrong = server(|_| {});
    let text = refused(&wrong, Kms::WrongProof).await;
    assert!(text.ends_with("handshake. Timed out waiting for encryption challenge."), "{text}");
}

#[tokio::test]
async fn the_response_is_acknowledged_when_kms_has_decrypted() {
    let server = server(|o| o.agent.decrypt_delay = MS(500));
    let mut client = shell(&server, Kms::Good).await;
    client.until(|c| c.cipher.is_some()).await;
    let start = Instant::now();
    client.until(|c| c.acknowledged.contains(&0)).await;
    assert!(start.elapsed() >= MS(450), "{:?}", start.elapsed());
    client.until(|c| c.complete).await;
}

#[tokio::test]
async fn early_output_kills_the_agents_reader() {
    let server = server(|_| {});
    let mut client = Client::start_document(&server, None, json!({})).await;
    client.kms = Kms::Silent;
    client.connect().await;
    client.until(|c| !c.stream.is_empty()).await;
    client.data(&[7; 40]).await;
    client.until(|c| c.closed_output.is_some()).await;
    assert!(client.acknowledged.is_empty());
    assert!(client.closed_output.unwrap().contains("Handshake timed out"));
    assert_eq!(kinds(&server), [BreachKind::DataEarly]);
}

#[tokio::test]
async fn a_short_payload_makes_the_agent_deaf_and_plain_text_blocks_the_stream() {
    let server = server(|_| {});
    let mut client = shell(&server, Kms::Good).await;
    client.until(|c| !c.output.is_empty()).await;
    client.data(b"this is not encrypted at all, you see\n").await;
    client.secret(b"exit\n").await;
    client.until(|c| c.acknowledged.contains(&3)).await;
    assert!(!client.acknowledged.contains(&2));
    let mut client = shell(&server, Kms::Good).await;
    client.until(|c| !c.output.is_empty()).await;
    client.data(b"ls\n").await;
    client.secret(b"exit\n").await;
    assert!(tokio::time::timeout(MS(500), client.until(|_| false)).await.is_err());
    assert_eq!(client.acknowledged.len(), 2);
    assert_eq!(client.closed_output, None);
    assert_eq!(kinds(&server), [BreachKind::Plaintext, BreachKind::CipherShort]);
}
