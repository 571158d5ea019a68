//! The binary message of the data channel (protocol §3): fields to bytes and bytes to fields.
//!
//! It knows nothing of sessions, of order, of time or of sockets, and judges nothing: a message that is well
//! formed but forbidden decodes. It is a reading of the page of its own, shared with no client.

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Value of `HeaderLength` in every message that clients and agents make (§3).
pub const HEADER_LENGTH: u32 = 116;
/// Value of `HeaderLength` in the service's `channel_closed`, which has no `PayloadType` (§3).
pub const SERVICE_HEADER_LENGTH: u32 = 112;
/// `SchemaVersion` of every message (§3).
pub const SCHEMA_VERSION: u32 = 1;
/// Flag bit: first message of a stream (§3).
pub const SYN: u64 = 1;
/// Flag bit: last message of a stream (§3).
pub const FIN: u64 = 2;
/// Flags of an `acknowledge` (§3.3).
pub const ACK_FLAGS: u64 = SYN | FIN;

/// Message types (§3.1), without padding.
pub mod message_type {
    /// Client to agent.
    pub const INPUT: &str = "input_stream_data";
    /// Agent to client.
    pub const OUTPUT: &str = "output_stream_data";
    /// Acknowledgement of one message, either way.
    pub const ACKNOWLEDGE: &str = "acknowledge";
    /// The service says that the session is over.
    pub const CHANNEL_CLOSED: &str = "channel_closed";
    /// The service says "you may send".
    pub const START_PUBLICATION: &str = "start_publication";
    /// The service says "stop sending".
    pub const PAUSE_PUBLICATION: &str = "pause_publication";
}

/// Payload types (§3.2).
pub mod payload_type {
    /// Used in acknowledgements.
    pub const UNDEFINED: u32 = 0;
    /// Raw bytes of the stream.
    pub const OUTPUT: u32 = 1;
    /// JSON with the size of the terminal, from the client (sessions §2.3).
    pub const SIZE: u32 = 3;
    /// JSON of §5, from the agent.
    pub const HANDSHAKE_REQUEST: u32 = 5;
    /// JSON of §5, from the client.
    pub const HANDSHAKE_RESPONSE: u32 = 6;
    /// JSON of §5, from the agent.
    pub const HANDSHAKE_COMPLETE: u32 = 7;
    /// JSON of §8, from the agent.
    pub const CHALLENGE_REQUEST: u32 = 8;
    /// JSON of §8, from the client.
    pub const CHALLENGE_RESPONSE: u32 = 9;
    /// A 4-byte number, [`super::flag`].
    pub const FLAG: u32 = 10;
    /// Bytes of a command's error stream, from the agent (sessions §3.2).
    pub const STDERR: u32 = 11;
    /// A command's exit code as a text, from the agent (sessions §3.2).
    pub const EXIT_CODE: u32 = 12;
}

/// Values of a flag message (§3.2).
pub mod flag {
    /// Close the TCP connection to the port.
    pub const DISCONNECT_TO_PORT: u32 = 1;
    /// End the session.
    pub const TERMINATE_SESSION: u32 = 2;
    /// A forward's destination could not be reached, from the agent.
    pub const CONNECT_TO_PORT_FAILED: u32 = 3;
}

/// One message, as its fields. The payload shares the memory of the frame that it was decoded from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// `HeaderLength` as sent.
    pub header_length: u32,
    /// The 32 bytes of `MessageType`, padding and all.
    pub raw_type: [u8; 32],
    /// `SchemaVersion` as sent.
    pub schema_version: u32,
    /// `CreatedDate`, milliseconds since the Unix epoch.
    pub created_date: u64,
    /// `SequenceNumber`.
    pub sequence: i64,
    /// `Flags`, see [`SYN`] and [`FIN`].
    pub flags: u64,
    /// `MessageId` in textual order (on the wire its halves are exchanged).
    pub id: Uuid,
    /// `PayloadDigest` as sent, true or not.
    pub digest: [u8; 32],
    /// `PayloadType`; 0 where the header is too short to have one.
    pub payload_type: u32,
    /// `PayloadLength` as sent.
    pub payload_length: u32,
    /// What follows the header: as many bytes as the length says, or the rest of the frame for the two
    /// publication messages, whose length is not to be believed.
    pub payload: Bytes,
}

/// Why bytes are not a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// The frame ends before the header does.
    Truncated,
    /// `HeaderLength` is below 112.
    HeaderLength(u32),
    /// `PayloadLength` is more than what is left of the frame.
    PayloadLength(u32),
}

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Truncated => f.write_str("the frame ends inside the header"),
            Self::HeaderLength(n) => write!(f, "HeaderLength is {n}"),
            Self::PayloadLength(n) => write!(f, "PayloadLength is {n}, more than the frame has"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// SHA-256 of `payload`, as `PayloadDigest` holds it.
pub fn digest(payload: &[u8]) -> [u8; 32] {
    Sha256::digest(payload).into()
}

/// `name` padded right with `pad` to the 32 bytes of `MessageType`; longer names are cut.
pub fn padded_type(name: &str, pad: u8) -> [u8; 32] {
    let mut raw = [pad; 32];
    for (to, from) in raw.iter_mut().zip(name.bytes()) {
        *to = from;
    }
    raw
}

impl Message {
    /// A message as an agent or client makes it: 116-byte header, space padding, true digest.
    pub fn new(name: &str, sequence: i64, flags: u64, payload_type: u32, payload: Bytes) -> Self {
        Self {
            header_length: HEADER_LENGTH,
            raw_type: padded_type(name, b' '),
            schema_version: SCHEMA_VERSION,
            created_date: 1,
            sequence,
            flags,
            id: Uuid::nil(),
            digest: digest(&payload),
            payload_type,
            payload_length: u32::try_from(payload.len()).unwrap_or(u32::MAX),
            payload,
        }
    }

    /// The same message with this `MessageId` and `CreatedDate` (milliseconds since the epoch).
    pub fn stamped(mut self, id: Uuid, created_date: u64) -> Self {
        self.id = id;
        self.created_date = created_date;
        self
    }

    /// `MessageType` without NUL and space at both ends; "" when it is not UTF-8.
    pub fn name(&self) -> &str {
        std::str::from_utf8(&self.raw_type).unwrap_or("").trim_matches(['\0', ' '])
    }

    /// Whether `PayloadDigest` is the digest of the payload.
    pub fn digest_is_true(&self) -> bool {
        self.digest == digest(&self.payload)
    }

    /// The number that a flag message carries, if the payload is 4 bytes.
    pub fn flag_value(&self) -> Option<u32> {
        <[u8; 4]>::try_from(self.payload.as_ref()).ok().map(u32::from_be_bytes)
    }

    /// The bytes of the message, field by field; nothing is corrected on the way.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.header_length as usize + 4 + self.payload.len());
        out.put_u32(self.header_length);
        out.put_slice(&self.raw_type);
        out.put_u32(self.schema_version);
        out.put_u64(self.created_date);
        out.put_i64(self.sequence);
        out.put_u64(self.flags);
        let (first, second) = self.id.as_u64_pair();
        out.put_u64(second);
        out.put_u64(first);
        out.put_slice(&self.digest);
        if self.header_length >= HEADER_LENGTH {
            out.put_u32(self.payload_type);
        }
        out.put_u32(self.payload_length);
        out.put_slice(&self.payload);
        out.freeze()
    }

    /// Reads one message from a whole frame, by `HeaderLength` and not by constants (§3).
    ///
    /// # Errors
    /// See [`DecodeError`]. The two publication messages only need their first 36 bytes.
    pub fn decode(frame: &Bytes) -> Result<Self, DecodeError> {
        let header_length = u32::from_be_bytes(field(frame, 0)?);
        let raw_type: [u8; 32] = field(frame, 4)?;
        let mut message = Self {
            header_length,
            raw_type,
            schema_version: 0,
            created_date: 0,
            sequence: 0,
            flags: 0,
            id: Uuid::nil(),
            digest: [0; 32],
            payload_type: 0,
            payload_length: 0,
            payload: Bytes::new(),
        };
        let publication = matches!(message.name(), message_type::START_PUBLICATION | message_type::PAUSE_PUBLICATION);
        if publication && (frame.len() < 116 || header_length < SERVICE_HEADER_LENGTH) {
            return Ok(message);
        }
        if header_length < SERVICE_HEADER_LENGTH {
            return Err(DecodeError::HeaderLength(header_length));
        }
        message.schema_version = u32::from_be_bytes(field(frame, 36)?);
        message.created_date = u64::from_be_bytes(field(frame, 40)?);
        message.sequence = i64::from_be_bytes(field(frame, 48)?);
        message.flags = u64::from_be_bytes(field(frame, 56)?);
        let second = u64::from_be_bytes(field(frame, 64)?);
        let first = u64::from_be_bytes(field(frame, 72)?);
        message.id = Uuid::from_u64_pair(first, second);
        message.digest = field(frame, 80)?;
        let at = header_length as usize;
        if publication {
            message.payload_length = field(frame, at).map(u32::from_be_bytes).unwrap_or(0);
            message.payload = frame.slice(at.saturating_add(4).min(frame.len())..);
            return Ok(message);
        }
        if header_length >= HEADER_LENGTH {
            message.payload_type = u32::from_be_bytes(field(frame, 112)?);
        }
        message.payload_length = u32::from_be_bytes(field(frame, at)?);
        let start = at + 4;
        let end = start.saturating_add(message.payload_length as usize);
        if end > frame.len() {
            return Err(DecodeError::PayloadLength(message.payload_length));
        }
        message.payload = frame.slice(start..end);
        Ok(message)
    }

    /// The acknowledgement of this message (§3.3).
    pub fn acknowledgement(&self, id: Uuid, created_date: u64) -> Self {
        let ack = Acknowledgement {
            message_type: self.name().into(),
            message_id: self.id.hyphenated().to_string(),
            sequence: self.sequence,
            is_sequential: true,
        };
        let payload = serde_json::to_vec(&ack).unwrap_or_default();
        Self::new(message_type::ACKNOWLEDGE, 0, ACK_FLAGS, payload_type::UNDEFINED, payload.into())
            .stamped(id, created_date)
    }
}

fn field<const N: usize>(frame: &[u8], at: usize) -> Result<[u8; N], DecodeError> {
    frame.get(at..).and_then(|rest| rest.first_chunk::<N>()).copied().ok_or(DecodeError::Truncated)
}

/// The JSON of an acknowledgement (§3.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// Type of the acknowledged message, without padding.
    #[serde(rename = "AcknowledgedMessageType")]
    pub message_type: String,
    /// Its UUID, hyphenated.
    #[serde(rename = "AcknowledgedMessageId")]
    pub message_id: String,
    /// Its sequence number.
    #[serde(rename = "AcknowledgedMessageSequenceNumber")]
    pub sequence: i64,
    /// True from both official sides.
    #[serde(rename = "IsSequentialMessage")]
    pub is_sequential: bool,
}

/// `channel_closed` as the service makes it: 112-byte header, NUL padding, JSON of §3.4.
pub fn channel_closed(session: &str, output: &str, id: Uuid, created_date: u64) -> Message {
    let json = serde_json::json!({
        "MessageId": id.hyphenated().to_string(),
        "CreatedDate": created_date.to_string(),
        "DestinationId": session,
        "SessionId": session,
        "MessageType": message_type::CHANNEL_CLOSED,
        "SchemaVersion": SCHEMA_VERSION,
        "Output": output,
    });
    let mut message = Message::new(message_type::CHANNEL_CLOSED, 0, 0, 0, json.to_string().into());
    message.header_length = SERVICE_HEADER_LENGTH;
    message.raw_type = padded_type(message_type::CHANNEL_CLOSED, 0);
    message.stamped(id, created_date)
}

/// `start_publication` or `pause_publication` (`name`) with a length and a digest that are untrue (§3).
pub fn publication(name: &str, id: Uuid, created_date: u64) -> Message {
    let mut message = Message::new(name, 0, 0, 0, Bytes::new());
    message.header_length = SERVICE_HEADER_LENGTH;
    message.raw_type = padded_type(name, 0);
    message.digest = [0xA5; 32];
    message.payload_length = u32::from_le_bytes(116_u32.to_be_bytes());
    message.stamped(id, created_date)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vectors() -> Vec<(String, Bytes)> {
        include_str!("../../../crates/channel/tests/vectors/session.jsonl")
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .filter(|line| line["frame"] == "binary")
            .map(|line| {
                let bytes = hex::decode(line["hex"].as_str().unwrap()).unwrap();
                (line["from"].as_str().unwrap().to_owned(), bytes.into())
            })
            .collect()
    }

    #[test]
    fn every_vector_decodes_and_encodes_to_the_same_bytes() {
        assert!(vectors().len() > 15);
        for (from, frame) in vectors() {
            let message = Message::decode(&frame).unwrap();
            assert_eq!(message.encode(), frame);
            assert!(message.digest_is_true());
            assert_eq!(message.header_length, HEADER_LENGTH);
            let expected = if from == "client" { message_type::INPUT } else { message_type::OUTPUT };
            assert!([expected, message_type::ACKNOWLEDGE].contains(&message.name()));
        }
    }

    #[test]
    fn acknowledgements_in_the_vectors_name_the_messages_in_the_vectors() {
        let messages: Vec<Message> = vectors().iter().map(|(_, f)| Message::decode(f).unwrap()).collect();
        let mut acknowledged = 0;
        for ack in messages.iter().filter(|m| m.name() == message_type::ACKNOWLEDGE) {
            let json: Acknowledgement = serde_json::from_slice(&ack.payload).unwrap();
            let named = messages.iter().find(|m| m.id.to_string() == json.message_id).unwrap();
            assert_eq!(named.acknowledgement(ack.id, ack.created_date), *ack);
            acknowledged += 1;
        }
        assert!(acknowledged > 5);
    }

    #[test]
    fn the_halves_of_the_id_are_exchanged_on_the_wire() {
        let id = Uuid::try_parse("00112233-4455-6677-8899-aabbccddeeff").unwrap();
        let bytes = Message::new("x", 0, 0, 0, Bytes::new()).stamped(id, 1).encode();
        assert_eq!(hex::encode(&bytes[64..80]), "8899aabbccddeeff0011223344556677");
    }

    #[test]
    fn channel_closed_has_a_short_header_and_nul_padding() {
        let bytes = channel_closed("s-1", "Unable", Uuid::nil(), 5).encode();
        assert_eq!(&bytes[..4], &112_u32.to_be_bytes());
        assert_eq!(&bytes[4..19], b"channel_closed\0");
        let length = u32::from_be_bytes(bytes[112..116].try_into().unwrap()) as usize;
        assert_eq!(bytes.len(), 116 + length);
        let json: serde_json::Value = serde_json::from_slice(&bytes[116..]).unwrap();
        assert_eq!(json["Output"], "Unable");
        assert!(json["CreatedDate"].is_string());
        let message = Message::decode(&bytes).unwrap();
        assert_eq!((message.payload_type, message.name()), (0, "channel_closed"));
        assert_eq!(message.encode(), bytes);
    }

    #[test]
    fn publication_lies_about_length_and_digest_and_is_still_read() {
        let message = publication(message_type::START_PUBLICATION, Uuid::nil(), 5);
        let bytes = message.encode();
        assert!(message.payload_length as usize > bytes.len());
        assert!(!message.digest_is_true());
        assert_eq!(Message::decode(&bytes).unwrap().name(), message_type::START_PUBLICATION);
        assert_eq!(Message::decode(&bytes.slice(..36)).unwrap().name(), message_type::START_PUBLICATION);
    }

    #[test]
    fn bad_frames_are_refused_and_never_panic() {
        let good = Message::new(message_type::INPUT, 0, 0, 1, Bytes::from_static(b"abc")).encode();
        for end in 0..good.len() {
            assert!(Message::decode(&good.slice(..end)).is_err());
        }
        let mut long = good.to_vec();
        long[119] = 200;
        assert_eq!(Message::decode(&long.clone().into()), Err(DecodeError::PayloadLength(200)));
        long[0..4].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(Message::decode(&long.clone().into()), Err(DecodeError::Truncated));
        long[0..4].copy_from_slice(&50_u32.to_be_bytes());
        assert_eq!(Message::decode(&long.into()), Err(DecodeError::HeaderLength(50)));
    }
}
