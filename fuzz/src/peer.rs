//! What the other side and ssh say, for every target that plays a session.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::LazyLock;

use bytes::Bytes;
use serde_json::Value;
use ssm_channel::{Message, MessageType, PayloadType};
use uuid::Uuid;

/// What ssh writes at a place: such that a lost, doubled or exchanged piece shows. No longer than 64 KiB.
pub fn written(place: u64, length: usize) -> &'static [u8] {
    const PERIOD: u64 = 65_537;
    static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| {
        (0..2 * PERIOD).map(|n| ((n % PERIOD).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
    });
    &BYTES[(place % PERIOD) as usize..][..length]
}

/// Of a frame, to tell whether it is the same when it comes again.
pub fn hash(frame: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    frame.hash(&mut hasher);
    hasher.finish()
}

/// A message of the service's own.
pub fn service(message_type: MessageType, payload: &[u8]) -> Bytes {
    Message {
        message_type,
        created: 1,
        sequence: 0,
        flags: 0,
        id: Uuid::nil(),
        payload_type: PayloadType::UNDEFINED,
        payload: Bytes::copy_from_slice(payload),
    }
    .encode()
}

/// The agent's stream data with this number.
pub fn stream(sequence: i64, payload_type: u32, payload: &[u8]) -> Bytes {
    Message {
        message_type: MessageType::OutputStreamData,
        created: 1,
        sequence,
        flags: 0,
        id: Uuid::from_u128(sequence as u128),
        payload_type: PayloadType(payload_type),
        payload: Bytes::copy_from_slice(payload),
    }
    .encode()
}

/// The acknowledgement of the client's message with this number.
pub fn acknowledgement(sequence: i64) -> Bytes {
    let payload = format!(r#"{{"AcknowledgedMessageSequenceNumber":{sequence}}}"#);
    service(MessageType::Acknowledge, payload.as_bytes())
}

/// The number that an acknowledgement's JSON names. serde reads a struct from an array of its fields, too, and looks at
/// no bytes of a text that it has no field for.
pub fn acknowledged_sequence(payload: &[u8]) -> Option<i64> {
    let json: Value = serde_json::from_str(&String::from_utf8_lossy(payload)).ok()?;
    json.get("AcknowledgedMessageSequenceNumber").or_else(|| json.get(0))?.as_i64()
}
