//! Shells and commands: how they begin, what is encrypted, and what their messages mean.

use super::*;

const COMMAND: &str = r#"{"AgentVersion":"3.3.0.0","RequestedClientActions":[{"ActionType":"SessionType","ActionParameters":{"SessionType":"NonInteractiveCommands","Properties":null}}]}"#;
const ENCRYPTED: &str = r#"{"AgentVersion":"3.3.0.0","RequestedClientActions":[{"ActionType":"SessionType","ActionParameters":{"SessionType":"Standard_Stream","Properties":null}},{"ActionType":"KMSEncryption","ActionParameters":{"KMSKeyId":"alias/k","Challenge":"AAEC"}}]}"#;
const WINDOW: Size = Size { cols: 120, rows: 40 };

fn table() -> Table {
    Table::with(config(Service::Aws, Accepts::All))
}

/// The stream data messages that go out now, as payload types and payloads.
fn sent(table: &mut Table) -> Vec<(u32, String)> {
    let data = |message: &Message| message.message_type == MessageType::InputStreamData;
    let text = |message: Message| (message.payload_type.0, String::from_utf8_lossy(&message.payload).into_owned());
    table.frames().into_iter().filter(data).map(text).collect()
}

fn ready(kind: Kind, agent_version: Option<&str>) -> Event {
    Event::Ready { kind, agent_version: agent_version.map(str::to_owned) }
}

#[test]
fn a_shell_begins_with_its_first_output_and_nothing_typed_is_sent_before() {
    let mut table = table();
    table.channel.resize(WINDOW);
    table.channel.send(table.now, b"ls\r");
    let size = (3, r#"{"cols":120,"rows":40}"#.to_owned());
    assert_eq!(sent(&mut table), std::slice::from_ref(&size), "the size is the first message of all");
    table.acknowledge(0);
    assert_eq!(table.events(), [Event::Alive]);
    assert_eq!(sent(&mut table), []);
    table.agent_says(PayloadType::OUTPUT, b"$ ");
    assert_eq!(table.events(), [ready(Kind::Terminal, None)]);
    assert_eq!(sent(&mut table), [size, (1, "ls\r".to_owned())], "the first one may be lost");
    assert_eq!(table.output(), b"$ ");
    table.channel.resize(WINDOW);
    assert_eq!(sent(&mut table), [], "it has not changed");
    table.acknowledge(1);
    table.channel.resize(Size { cols: 80, rows: 25 });
    assert_eq!(sent(&mut table), [(3, r#"{"cols":80,"rows":25}"#.to_owned())]);
    table.channel.finish();
    assert_eq!(sent(&mut table), [], "there is no flag that ends a shell");
}

#[test]
fn a_tunnel_takes_no_shell() {
    let mut table = Table::new();
    table.agent_says(PayloadType::OUTPUT, b"$ ");
    assert!(matches!(table.events().as_slice(), [Event::Unsupported(_)]));
    assert!(table.output().is_empty());
}

#[test]
fn a_command_has_two_streams_and_a_status() {
    let mut table = table();
    table.shake_hands(COMMAND);
    assert_eq!(table.events(), [ready(Kind::Command, Some("3.3.0.0"))]);
    table.agent_says(PayloadType::EXIT_CODE, b"EXIT_CODE: 7");
    table.agent_says(PayloadType::STDERR, b"oops");
    table.agent_says(PayloadType::OUTPUT, b"out");
    assert_eq!(table.events(), [Event::ExitStatus(7)]);
    assert_eq!((table.output(), table.channel.poll_stderr().unwrap()), (b"out".to_vec(), Bytes::from("oops")));
    assert_eq!(table.channel.stats().bytes_received, 7);
    table.agent_says(PayloadType::EXIT_CODE, b"EXIT_CODE: -1");
    table.agent_says(PayloadType::EXIT_CODE, b"EXIT_CODE: what");
    assert_eq!(table.events(), [Event::ExitStatus(-1)]);
    // An access violation on Windows.
    table.agent_says(PayloadType::EXIT_CODE, b"EXIT_CODE: 3221225477");
    assert_eq!(table.events(), [Event::ExitStatus(0xC000_0005)]);
    assert_eq!(table.channel.buffered_bytes(), 0);
}

#[test]
fn a_session_that_is_encrypted_waits_for_its_key_and_then_encrypts_what_is_typed() {
    let mut table = table();
    table.channel.resize(WINDOW);
    table.channel.send(table.now, b"secret\r");
    table.agent_says(PayloadType::HANDSHAKE_REQUEST, ENCRYPTED.as_bytes());
    let key = KeyRequest { key_id: "alias/k".into(), challenge: Some("AAEC".into()) };
    assert_eq!(table.events(), [Event::KeyWanted(key)]);
    assert_eq!(sent(&mut table).len(), 1, "the size, and no answer");
    table.agent_says(PayloadType::HANDSHAKE_REQUEST, ENCRYPTED.as_bytes());
    assert_eq!(table.events(), [], "asked once");
    table.channel.encrypt(table.now, &[7; 64], b"blob");
    let answer = sent(&mut table);
    assert_eq!(answer[0].0, 6);
    let value: serde_json::Value = serde_json::from_str(&answer[0].1).unwrap();
    let key = serde_json::json!({ "KMSCipherTextKey": "YmxvYg==", "KMSCipherTextHash": null, "ChallengeAcknowledgement": true });
    assert_eq!(value["ProcessedClientActions"][1]["ActionResult"], key);
    table.agent_says(PayloadType::HANDSHAKE_COMPLETE, b"{}");
    assert_eq!(table.events(), [ready(Kind::Terminal, Some("3.3.0.0"))]);
    table.advance(millis(60));
    let typed = sent(&mut table);
    assert_eq!((typed.len(), typed[0].0, typed[1].0), (2, 3, 1));
    assert!(!typed[1].1.contains("secret"));
    assert_eq!(table.channel.undelivered_bytes(), 7);
}

#[test]
fn a_session_without_a_key_tells_the_agent_why() {
    let mut table = table();
    table.agent_says(PayloadType::HANDSHAKE_REQUEST, ENCRYPTED.as_bytes());
    table.channel.refuse_encryption(table.now, "denied");
    let answer = sent(&mut table);
    assert!(
        answer[0].1.contains(
            r#""ActionStatus":2,"ActionResult":null,"Error":"Failed to process action KMSEncryption: denied""#
        ),
        "{answer:?}"
    );
    assert!(answer[0].1.ends_with(r#""Errors":["denied"]}"#), "{answer:?}");
    table.agent_says(PayloadType::HANDSHAKE_COMPLETE, b"{}");
    assert_eq!(table.channel.encrypt(table.now, &[7; 64], b"blob"), ());
    assert_eq!(sent(&mut table), [], "it was answered");
}

#[test]
fn plaintext_in_an_encrypted_session_ends_it() {
    for payload in [&b"$ "[..], b"", &[0; 27], &[1; 28]] {
        let mut table = table();
        table.agent_says(PayloadType::HANDSHAKE_REQUEST, ENCRYPTED.as_bytes());
        table.channel.encrypt(table.now, &[7; 64], b"blob");
        table.agent_says(PayloadType::HANDSHAKE_COMPLETE, b"{}");
        table.agent_says(PayloadType::OUTPUT, payload);
        assert_eq!(table.events().last(), Some(&Event::Undecipherable), "{payload:?}");
        assert!(table.output().is_empty());
    }
}

#[test]
fn a_size_that_changes_all_the_time_goes_once_a_round_trip() {
    let mut table = table();
    table.agent_says(PayloadType::OUTPUT, b"$ ");
    for cols in 1..100 {
        table.channel.resize(Size { cols, rows: 24 });
        assert_eq!(sent(&mut table).len(), usize::from(cols == 1));
    }
    table.acknowledge(0);
    assert_eq!(sent(&mut table), [(3, r#"{"cols":99,"rows":24}"#.to_owned())]);
}

#[test]
fn a_connection_lost_while_a_command_runs_may_cost_output() {
    let mut table = table();
    table.shake_hands(COMMAND);
    table.agent_says(PayloadType::OUTPUT, b"1");
    assert!(!table.channel.may_have_lost_output());
    table.channel.transport_lost(true);
    table.channel.transport_up();
    assert!(table.channel.may_have_lost_output());
}

#[test]
fn a_forward_has_properties_and_ends_one_connection_by_a_flag_of_its_own() {
    const FORWARD: &str = r#"{"AgentVersion":"3.0.196.0","RequestedClientActions":[{"ActionType":"SessionType","ActionParameters":{"SessionType":"Port","Properties":{"portNumber":"80","localPortNumber":"8080","type":"LocalPortForwarding","host":"db","localUnixSocket":"/ignored"}}}]}"#;
    let mut table = table();
    table.channel.resize(WINDOW);
    assert_eq!(sent(&mut table).len(), 1, "it may be a shell");
    table.acknowledge(0);
    assert_eq!(table.events(), [Event::Alive]);
    table.shake_hands(FORWARD);
    assert_eq!(table.events(), [ready(Kind::Forward, Some("3.0.196.0"))]);
    let properties = table.channel.forward().unwrap();
    let ForwardProperties { local_port, local_socket, host, port } = properties;
    assert_eq!((*local_port, local_socket, host.as_deref(), *port), (Some(8080), &None, Some("db"), Some(80)));
    table.advance(millis(60));
    table.channel.send(table.now, b"GET /");
    table.channel.disconnect();
    assert_eq!(table.channel.send(table.now, b"more"), 0);
    let flag = |number: u8| (10, String::from_utf8(vec![0, 0, 0, number]).unwrap());
    assert_eq!(sent(&mut table), [(1, "GET /".to_owned()), flag(1)]);
    assert_eq!(table.channel.send(table.now, b"more"), 4);
    table.channel.finish();
    assert_eq!(sent(&mut table), [(1, "more".to_owned()), flag(2)]);
}

#[test]
fn a_session_that_was_declined_never_begins() {
    let decline = |table: &mut Table| {
        table.channel.send(table.now, b"secret");
        table.agent_says(PayloadType::HANDSHAKE_COMPLETE, b"{}");
        table.agent_says(PayloadType::OUTPUT, b"$ ");
        table.advance(millis(60));
        assert!(!table.events().iter().any(|event| matches!(event, Event::Ready { .. })));
        assert!(table.output().is_empty());
        assert!(sent(table).iter().all(|(kind, _)| *kind == 6), "only the answer of the handshake goes out");
    };
    let mut denied = table();
    denied.agent_says(PayloadType::HANDSHAKE_REQUEST, ENCRYPTED.as_bytes());
    denied.channel.refuse_encryption(denied.now, "denied");
    decline(&mut denied);
    let mut unknown = table();
    unknown.agent_says(PayloadType::HANDSHAKE_REQUEST, ENCRYPTED.replace("KMSEncryption", "Rot13").as_bytes());
    decline(&mut unknown);
    let mut unreadable = table();
    unreadable.agent_says(PayloadType::HANDSHAKE_REQUEST, b"{");
    decline(&mut unreadable);
}

#[test]
fn output_ahead_of_the_key_ends_a_session_that_is_to_be_encrypted() {
    let mut table = table();
    table.agent_says(PayloadType::HANDSHAKE_REQUEST, ENCRYPTED.as_bytes());
    table.agent_says(PayloadType::OUTPUT, b"$ ");
    assert_eq!(table.events().last(), Some(&Event::Undecipherable));
    assert!(table.output().is_empty());
}

#[test]
fn a_challenge_is_answered_once() {
    let mut table = table();
    table.agent_says(PayloadType::HANDSHAKE_REQUEST, ENCRYPTED.as_bytes());
    let key: [u8; 64] = std::array::from_fn(|at| at as u8);
    table.channel.encrypt(table.now, &key, b"blob");
    assert_eq!(sent(&mut table).len(), 1);
    // Encrypted with the first half of that key, as it was captured.
    let challenge = br#"{"Challenge":"EBESExQVFhcYGRobPb/aVQ2MfPSCPEJWQzQnHIcBHF1PlwHmv6C4PAIJCoQwiDVgkcMIiBZf+Drm9X10Y801AJf+L4XEZ0BKj+raFFEKiRRvpuUsCtte5CR/3wo="}"#;
    table.agent_says(PayloadType::ENC_CHALLENGE_REQUEST, challenge);
    table.agent_says(PayloadType::ENC_CHALLENGE_REQUEST, challenge);
    assert_eq!(sent(&mut table).iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), [9]);
}
