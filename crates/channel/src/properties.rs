//! Properties that hold for every message, every sequence of bytes and every JSON, tried on many made by a seeded generator.
//!
//! The generator is the crate's own and small, not a framework: seeds are fixed, so that a failure in CI is the same
//! failure everywhere, and the search for rare inputs, with their reduction, is the fuzz targets' work (`fuzz/`).

use bytes::Bytes;
use fastrand::Rng;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::acknowledgement::{Acknowledgement, closing_text};
use super::handshake::{Complete, KeyAnswer, Request};
use super::kind::Accepts;
use super::message::{DecodeError, Message, MessageType, PayloadType};

/// Types of which everything is read.
const READ_IN_FULL: [MessageType; 5] = [
    MessageType::InputStreamData,
    MessageType::OutputStreamData,
    MessageType::Acknowledge,
    MessageType::ChannelClosed,
    MessageType::Unknown,
];
/// Types of which only the type is read.
const BARE: [MessageType; 2] = [MessageType::StartPublication, MessageType::PausePublication];

/// Tries `check` with as many seeds; a failure names its seed.
fn for_seeds(seeds: u64, check: impl Fn(&mut Rng)) {
    struct Named(u64);
    impl Drop for Named {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("that was seed {}", self.0);
            }
        }
    }
    for seed in 0..seeds {
        let _named = Named(seed);
        check(&mut Rng::with_seed(seed));
    }
}

fn one_of<T: Copy>(rng: &mut Rng, choices: &[T]) -> T {
    choices[rng.usize(..choices.len())]
}

/// Any number, and those at the ends more often than others.
fn number(rng: &mut Rng) -> u64 {
    match rng.u8(..4) {
        0 => one_of(rng, &[0, 1, u64::MAX, i64::MAX as u64, i64::MIN as u64]),
        1 => rng.u64(..256),
        _ => rng.u64(..),
    }
}

/// Bytes, short ones more often than long ones.
fn bytes(rng: &mut Rng) -> Vec<u8> {
    let most = one_of(rng, &[0, 1, 40, 200, 1024, 20_000]);
    let mut bytes = vec![0; rng.usize(..=most)];
    rng.fill(&mut bytes);
    bytes
}

fn message(rng: &mut Rng, types: &[MessageType]) -> Message {
    Message {
        message_type: one_of(rng, types),
        created: number(rng).max(1),
        sequence: number(rng) as i64,
        flags: number(rng),
        id: Uuid::from_u128(rng.u128(..)),
        payload_type: PayloadType(number(rng) as u32),
        payload: bytes(rng).into(),
    }
}

/// Changes some bytes: one, a length field, some cut off or put in.
fn damage(rng: &mut Rng, frame: &mut Vec<u8>) {
    for _ in 0..rng.usize(1..4) {
        let at = rng.usize(..frame.len().max(1)).min(frame.len().saturating_sub(1));
        match rng.u8(..5) {
            0 => frame.truncate(at),
            1 => frame.insert(at, rng.u8(..)),
            2 | 3 if frame.len() > 120 => {
                let field = one_of(rng, &[0, 0, 112, 116]);
                let near = rng.u32(100..130);
                let length = one_of(rng, &[0, 4, 111, 112, 115, 116, 117, 1 << 20, u32::MAX, u32::MAX - 3, near]);
                frame[field..field + 4].copy_from_slice(&length.to_be_bytes());
            }
            _ => {
                if let Some(byte) = frame.get_mut(at) {
                    *byte ^= 1 << rng.u8(..8);
                }
            }
        }
    }
}

/// A message that was accepted carries a part of its frame, verified; of publication control nothing is believed.
fn assert_verified(frame: &Bytes, decoded: Result<Message, DecodeError>) {
    let Ok(message) = decoded else { return };
    if BARE.contains(&message.message_type) {
        assert!(message.payload.is_empty());
        return;
    }
    assert_ne!(message.created, 0);
    assert!(message.payload.is_empty() || frame[80..112] == Sha256::digest(&message.payload)[..]);
    assert!(message.payload.is_empty() || frame.windows(message.payload.len()).any(|part| part == message.payload));
}

#[test]
fn every_message_survives_encoding() {
    for_seeds(5_000, |rng| {
        let message = message(rng, &READ_IN_FULL);
        let frame = message.encode();
        assert_eq!(frame.len(), 120 + message.payload.len());
        assert_eq!(Message::decode(&frame), Ok(message));
    });
}

#[test]
fn of_publication_control_only_the_type_is_read() {
    for_seeds(1_000, |rng| {
        let message = message(rng, &BARE);
        let mut frame = message.encode().to_vec();
        frame.truncate(rng.usize(36..=frame.len()));
        frame[..4].copy_from_slice(&rng.u32(..).to_be_bytes());
        if let Some(rest) = frame.get_mut(36..) {
            rng.fill(rest);
        }
        let decoded = Message::decode(&frame.into()).unwrap();
        assert_eq!((decoded.message_type, decoded.payload), (message.message_type, Bytes::new()));
    });
}

#[test]
fn any_bytes_are_a_message_or_an_error() {
    for_seeds(10_000, |rng| {
        let mut frame = bytes(rng);
        if frame.len() > 120 && rng.bool() {
            frame[..4].copy_from_slice(&rng.u32(110..120).to_be_bytes());
        }
        let frame = frame.into();
        assert_verified(&frame, Message::decode(&frame));
    });
}

#[test]
fn a_damaged_frame_is_refused_or_still_verified() {
    for_seeds(20_000, |rng| {
        let types = if rng.u8(..10) == 0 { &BARE[..] } else { &READ_IN_FULL };
        let mut frame =
            Message { payload: vec![b'x'; rng.usize(..200)].into(), ..message(rng, types) }.encode().to_vec();
        damage(rng, &mut frame);
        let frame = frame.into();
        assert_verified(&frame, Message::decode(&frame));
    });
}

#[test]
fn no_change_of_a_payload_goes_unnoticed() {
    for_seeds(5_000, |rng| {
        let mut frame = message(rng, &READ_IN_FULL).encode().to_vec();
        if frame.len() > 120 {
            let at = rng.usize(120..frame.len());
            frame[at] ^= rng.u8(1..);
            assert_eq!(Message::decode(&frame.into()), Err(DecodeError::Digest));
        }
    });
}

/// Text of any characters, quotes, controls and the last plane among them.
fn text(rng: &mut Rng) -> String {
    (0..rng.usize(..12)).map(|_| if rng.bool() { rng.char('\0'..='\u{7f}') } else { rng.char(..) }).collect()
}

/// JSON of any shape, with the names that are known in places where they mean nothing.
fn any_json(rng: &mut Rng, depth: u8) -> Value {
    match rng.u8(..if depth == 0 { 5 } else { 8 }) {
        0 => Value::Null,
        1 => rng.bool().into(),
        2 => number(rng).into(),
        3 => one_of(rng, &[0.0, -1.5, 1e300, -9.3e18]).into(),
        4 => text(rng).into(),
        5 => (0..rng.usize(..5)).map(|_| any_json(rng, depth - 1)).collect(),
        _ => any_object(rng, depth).into(),
    }
}

fn any_object(rng: &mut Rng, depth: u8) -> Map<String, Value> {
    const KNOWN: [&str; 10] = [
        "AgentVersion",
        "RequestedClientActions",
        "ActionType",
        "ActionParameters",
        "SessionType",
        "Properties",
        "type",
        "CustomerMessage",
        "AcknowledgedMessageSequenceNumber",
        "Output",
    ];
    let name = |rng: &mut Rng| if rng.bool() { one_of(rng, &KNOWN).to_owned() } else { text(rng) };
    (0..rng.usize(..6)).map(|_| (name(rng), any_json(rng, depth.saturating_sub(1)))).collect()
}

/// Everything that reads JSON, reading this; what it makes of it does not matter as long as it makes something.
fn read_by_all(payload: &[u8]) {
    let _ = Acknowledgement::parse(payload);
    let _ = closing_text(payload);
    let _ = Complete::parse(payload);
    if let Some(request) = Request::parse(payload) {
        let answer: Value =
            serde_json::from_slice(&request.answer(Accepts::Port, KeyAnswer::NotAsked).payload).unwrap();
        assert!(answer["ProcessedClientActions"].is_array(), "{answer}");
    }
}

#[test]
fn json_of_any_shape_is_read_or_refused() {
    for_seeds(10_000, |rng| {
        let mut payload = any_json(rng, 5).to_string().into_bytes();
        read_by_all(&payload);
        damage(rng, &mut payload);
        read_by_all(&payload);
        read_by_all(&bytes(rng));
    });
}

#[test]
fn json_of_any_depth_is_read_or_refused() {
    for depth in [100, 130, 100_000] {
        for open in ["[", r#"{"a":"#, r#"{"RequestedClientActions":[{"ActionParameters":["#] {
            read_by_all(open.repeat(depth).as_bytes());
        }
        let nested = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        read_by_all(format!(r#"{{"Output":"bye","Other":{nested}}}"#).as_bytes());
    }
}

#[test]
fn known_fields_are_read_whatever_is_around_them() {
    for_seeds(5_000, |rng| {
        let around = |rng: &mut Rng, known: Value| {
            let mut all = any_object(rng, 3);
            all.append(&mut known.as_object().unwrap().clone());
            Value::from(all)
        };
        let said = text(rng);
        let closed = around(rng, json!({ "Output": said }));
        assert_eq!(closing_text(closed.to_string().as_bytes()), said);
        let complete = around(rng, json!({ "CustomerMessage": said }));
        assert_eq!(Complete::parse(complete.to_string().as_bytes()).customer_message, said);
        let sequence = number(rng) as i64;
        let acknowledgement = around(rng, json!({ "AcknowledgedMessageSequenceNumber": sequence }));
        let read = Acknowledgement::parse(acknowledgement.to_string().as_bytes()).unwrap();
        assert_eq!(read.sequence, sequence);
    });
}

#[test]
fn every_action_is_answered_in_its_place() {
    for_seeds(2_000, |rng| {
        let types: Vec<String> =
            (0..rng.usize(..6)).map(|_| if rng.bool() { "SessionType".to_owned() } else { text(rng) }).collect();
        let ports: Vec<bool> = types.iter().map(|_| rng.bool()).collect();
        let actions = types.iter().zip(&ports).map(|(name, port)| {
            let mut action = any_object(rng, 2);
            action.insert("ActionType".into(), name.as_str().into());
            let parameters = if *port { json!({ "SessionType": "Port" }) } else { any_json(rng, 1) };
            action.insert("ActionParameters".into(), parameters);
            Value::from(action)
        });
        let actions: Vec<Value> = actions.collect();
        let version = text(rng);
        let request = json!({ "AgentVersion": version, "RequestedClientActions": actions, "New": text(rng) });
        let request = Request::parse(request.to_string().as_bytes()).unwrap();
        assert_eq!(request.agent_version, version);
        let answer = request.answer(Accepts::Port, KeyAnswer::NotAsked);
        let response: Value = serde_json::from_slice(&answer.payload).unwrap();
        let processed = response["ProcessedClientActions"].as_array().unwrap();
        assert_eq!(processed.len(), types.len());
        for ((processed, name), port) in processed.iter().zip(&types).zip(&ports) {
            let status = if name == "SessionType" && *port { 1 } else { 3 };
            assert_eq!(
                (processed["ActionType"].as_str(), &processed["ActionStatus"]),
                (Some(name.as_str()), &json!(status))
            );
        }
        let refused = processed.iter().any(|processed| processed["ActionStatus"] == 3);
        assert_eq!((answer.unsupported.is_some(), response["Errors"].is_array()), (refused, refused));
    });
}

#[test]
fn an_acknowledgement_is_read_as_it_is_written() {
    for_seeds(1_000, |rng| {
        let sequence = number(rng) as i64;
        let written = Acknowledgement::of_output(sequence, Uuid::from_u128(rng.u128(..)));
        assert_eq!(Acknowledgement::parse(&written).unwrap().sequence, sequence);
    });
}
