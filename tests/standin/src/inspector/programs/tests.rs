use super::*;
use crate::codec::{flag, message_type};
use crate::inspector::InspectorConfig;
use bytes::Bytes;
use std::time::Instant;
use uuid::Uuid;

struct Bench {
    now: Instant,
    inspector: Inspector,
    next_id: u128,
}

impl Bench {
    fn new(kind: SessionKind, encrypted: bool) -> Self {
        let inspector = Inspector::new(InspectorConfig::default()).of_kind(kind, encrypted);
        Self { now: Instant::now(), inspector, next_id: 0 }
    }

    /// An encrypted shell whose handshake is over; the client sent messages 0 and 1.
    fn encrypted() -> Self {
        let mut bench = Self::new(SessionKind::Shell, true);
        bench.deliver(0, payload_type::HANDSHAKE_REQUEST, REQUEST.as_bytes());
        bench.say(0, payload_type::HANDSHAKE_RESPONSE, response(&good_key()).as_bytes());
        bench.inspector.set_data_key(&key());
        bench.deliver(1, payload_type::CHALLENGE_REQUEST, b"{}");
        bench.say(1, payload_type::CHALLENGE_RESPONSE, proof(1).as_bytes());
        bench.deliver(2, payload_type::HANDSHAKE_COMPLETE, b"{}");
        assert_eq!(bench.kinds(), []);
        bench
    }

    fn say(&mut self, sequence: i64, kind: u32, payload: &[u8]) {
        self.next_id += 1;
        let message = Message::new(message_type::INPUT, sequence, 0, kind, Bytes::copy_from_slice(payload));
        self.inspector.from_client(self.now, &message.stamped(Uuid::from_u128(self.next_id), 9).encode());
    }

    fn deliver(&mut self, sequence: i64, kind: u32, payload: &[u8]) {
        let message = Message::new(message_type::OUTPUT, sequence, 0, kind, Bytes::copy_from_slice(payload));
        self.inspector.to_client(self.now, &message.stamped(Uuid::nil(), 9).encode());
    }

    fn kinds(&mut self) -> Vec<BreachKind> {
        self.inspector.take_breaches().into_iter().map(|(kind, _)| kind).collect()
    }
}

const REQUEST: &str = r#"{"RequestedClientActions":[{"ActionType":"SessionType"},{"ActionType":"KMSEncryption"}]}"#;
const SIZE: &[u8] = br#"{"cols":80,"rows":24}"#;

fn key() -> Vec<u8> {
    (0..64).collect()
}

fn sealed(nonce: u8, text: &[u8]) -> Vec<u8> {
    Cipher::new(&key()).unwrap().client_seal([nonce; 12], text).unwrap()
}

fn proof(nonce: u8) -> String {
    serde_json::json!({ "Challenge": STANDARD.encode(sealed(nonce, &[7; 64])) }).to_string()
}

fn good_key() -> Value {
    serde_json::json!({
        "ActionType": "KMSEncryption",
        "ActionStatus": 1,
        "ActionResult": { "KMSCipherTextKey": "AAAA", "KMSCipherTextHash": null, "ChallengeAcknowledgement": true },
        "Error": "",
    })
}

fn response(key: &Value) -> String {
    let session = serde_json::json!({ "ActionType": "SessionType", "ActionStatus": 1 });
    serde_json::json!({ "ClientVersion": "1.2.764.0", "ProcessedClientActions": [session, key], "Errors": null })
        .to_string()
}

#[test]
fn output_waits_for_the_first_output_or_the_handshake() {
    let mut bench = Bench::new(SessionKind::Shell, false);
    bench.say(0, payload_type::OUTPUT, b"x");
    assert_eq!(bench.kinds(), [BreachKind::DataEarly]);
    bench.deliver(0, payload_type::OUTPUT, b"$ ");
    bench.say(1, payload_type::OUTPUT, b"x");
    assert_eq!(bench.kinds(), []);
    let mut bench = Bench::new(SessionKind::NonInteractiveCommand, false);
    bench.deliver(0, payload_type::HANDSHAKE_REQUEST, b"{}");
    bench.say(0, payload_type::OUTPUT, b"\x03");
    assert_eq!(bench.kinds(), [BreachKind::DataEarly]);
}

#[test]
fn a_size_may_come_first_and_again_at_both_starts_and_then_only_when_it_changed() {
    let mut bench = Bench::new(SessionKind::Shell, false);
    bench.say(0, payload_type::SIZE, SIZE);
    bench.deliver(0, payload_type::HANDSHAKE_COMPLETE, b"{}");
    bench.say(1, payload_type::SIZE, SIZE);
    bench.deliver(1, payload_type::OUTPUT, b"$ ");
    bench.say(2, payload_type::SIZE, SIZE);
    bench.say(3, payload_type::SIZE, br#"{"cols":81,"rows":24}"#);
    assert_eq!(bench.kinds(), []);
    bench.say(4, payload_type::SIZE, br#"{"cols":81,"rows":24}"#);
    assert_eq!(bench.kinds(), [BreachKind::SizeUnchanged]);
    for bad in [r#"{"cols":80}"#, r#"{"cols":"80","rows":24}"#, r#"{"cols":70000,"rows":1}"#, "[80,24]", "x"] {
        let mut bench = Bench::new(SessionKind::Shell, false);
        bench.say(0, payload_type::SIZE, bad.as_bytes());
        assert_eq!(bench.kinds(), [BreachKind::SizeContent], "{bad}");
    }
}

#[test]
fn flags_and_unknown_payloads_have_no_place_in_a_shell() {
    let mut bench = Bench::new(SessionKind::Shell, false);
    bench.say(0, payload_type::FLAG, &flag::TERMINATE_SESSION.to_be_bytes());
    bench.say(1, 4, b"{}");
    bench.say(2, payload_type::HANDSHAKE_RESPONSE, b"{}");
    bench.say(3, payload_type::CHALLENGE_RESPONSE, b"{}");
    let expected =
        [BreachKind::FlagOutsidePort, BreachKind::PayloadType, BreachKind::ResponseEarly, BreachKind::ResponseEarly];
    assert_eq!(bench.kinds(), expected);
}

#[test]
fn plain_text_short_payloads_and_old_nonces_are_found() {
    let mut bench = Bench::encrypted();
    bench.say(2, payload_type::OUTPUT, &sealed(2, b"ls\r"));
    assert_eq!(bench.kinds(), []);
    bench.say(3, payload_type::OUTPUT, b"ls\r");
    bench.say(4, payload_type::OUTPUT, &[b'x'; 28]);
    bench.say(5, payload_type::OUTPUT, &sealed(2, b"again"));
    bench.say(6, payload_type::CHALLENGE_RESPONSE, proof(3).as_bytes());
    let expected = [BreachKind::CipherShort, BreachKind::Plaintext, BreachKind::NonceReused, BreachKind::ResponseTwice];
    assert_eq!(bench.kinds(), expected);
}

#[test]
fn the_answer_to_the_request_for_encryption_is_checked() {
    let change = |name: &str, value: Value| {
        let mut key = good_key();
        key[name] = value;
        key
    };
    let cases = [
        (good_key(), true),
        (change("ActionStatus", 3.into()), false),
        (serde_json::json!({ "ActionType": "KMSEncryption", "ActionStatus": 2, "Error": "denied" }), true),
        (change("ActionStatus", 0.into()), false),
        (change("ActionResult", Value::Null), false),
        (change("ActionResult", serde_json::json!({ "KMSCipherTextKey": "?" })), false),
        (change("ActionResult", serde_json::json!({ "KMSCipherTextKey": "AAAA", "Plaintext": "x" })), false),
    ];
    for (key, good) in cases {
        let mut bench = Bench::new(SessionKind::Shell, true);
        bench.deliver(0, payload_type::HANDSHAKE_REQUEST, REQUEST.as_bytes());
        bench.say(0, payload_type::HANDSHAKE_RESPONSE, response(&key).as_bytes());
        assert_eq!(bench.kinds().is_empty(), good, "{key}");
    }
}

#[test]
fn the_version_has_four_numbers_and_the_proof_is_encrypted() {
    let mut bench = Bench::new(SessionKind::Shell, true);
    bench.deliver(0, payload_type::HANDSHAKE_REQUEST, REQUEST.as_bytes());
    bench.say(0, payload_type::HANDSHAKE_RESPONSE, response(&good_key()).replace("1.2.764.0", "1.2").as_bytes());
    bench.inspector.set_data_key(&key());
    bench.deliver(1, payload_type::CHALLENGE_REQUEST, b"{}");
    bench.say(1, payload_type::CHALLENGE_RESPONSE, br#"{"Challenge":"AAAA"}"#);
    assert_eq!(bench.kinds(), [BreachKind::ClientVersion, BreachKind::ChallengeContent]);
}
