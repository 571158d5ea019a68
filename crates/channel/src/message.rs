//! The binary message: one WebSocket frame, encoded and decoded.
//!
//! It knows layout and digest, nothing of order, acknowledgement or meaning. Decoding is total: any bytes give a
//! message or an error. The layout is that of AWS's agent and client, held against bytes captured from both
//! (`tests/vectors/session.jsonl`).

use bytes::{BufMut, Bytes, BytesMut};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Offset of the PayloadLength field in every message that clients and agents make, in bytes.
const HEADER_LENGTH: usize = 116;
/// The service's own messages leave PayloadType out, so that PayloadLength stands here.
const HEADER_LENGTH_WITHOUT_PAYLOAD_TYPE: usize = 112;
/// Width of the MessageType field at offset 4, in bytes.
const TYPE_WIDTH: usize = 32;
/// The only schema version there is.
const SCHEMA_VERSION: u32 = 1;

/// Flag bit 0: first message of a stream.
pub const FLAG_SYN: u64 = 1;
/// Flag bit 1: last message of a stream. Acknowledgements carry both.
pub const FLAG_FIN: u64 = 2;

/// The kind of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MessageType {
    /// Stream data from client to agent, of any payload type.
    InputStreamData,
    /// Stream data from agent to client, of any payload type.
    OutputStreamData,
    /// Acknowledges one stream data message.
    Acknowledge,
    /// The session is over; made by the service.
    ChannelClosed,
    /// "You may send"; made by the service.
    StartPublication,
    /// "Stop sending"; made by the service.
    PausePublication,
    /// A type this client has no use for.
    Unknown,
}

impl MessageType {
    /// The type's name on the wire, without padding. `Unknown` has none.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InputStreamData => "input_stream_data",
            Self::OutputStreamData => "output_stream_data",
            Self::Acknowledge => "acknowledge",
            Self::ChannelClosed => "channel_closed",
            Self::StartPublication => "start_publication",
            Self::PausePublication => "pause_publication",
            Self::Unknown => "",
        }
    }

    /// Reads the 32-byte field. Clients and agents pad it with spaces, the service with NUL.
    fn from_field(field: &[u8; TYPE_WIDTH]) -> Self {
        let is_padding = |byte: &u8| matches!(byte, 0 | b' ');
        let start = field.iter().position(|byte| !is_padding(byte)).unwrap_or(TYPE_WIDTH);
        let end = field.iter().rposition(|byte| !is_padding(byte)).map_or(start, |last| last + 1);
        let name = field.get(start..end).unwrap_or_default();
        [
            Self::InputStreamData,
            Self::OutputStreamData,
            Self::Acknowledge,
            Self::ChannelClosed,
            Self::StartPublication,
            Self::PausePublication,
        ]
        .into_iter()
        .find(|known| known.name().as_bytes() == name)
        .unwrap_or(Self::Unknown)
    }

    /// The service's own "you may send" and "stop sending": their lengths and digests are not to be trusted, and
    /// AWS's own client exempts exactly these two from validation.
    const fn is_publication_control(self) -> bool {
        matches!(self, Self::StartPublication | Self::PausePublication)
    }
}

/// The meaning of a stream data message's payload. Any number can arrive, so this is a number with names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PayloadType(pub u32);

impl PayloadType {
    /// No meaning; acknowledgements carry it.
    pub const UNDEFINED: Self = Self(0);
    /// Raw stream bytes, both ways.
    pub const OUTPUT: Self = Self(1);
    /// JSON, from the client: the columns and rows of its terminal.
    pub const SIZE: Self = Self(3);
    /// JSON, from the agent, first of all.
    pub const HANDSHAKE_REQUEST: Self = Self(5);
    /// JSON, from the client.
    pub const HANDSHAKE_RESPONSE: Self = Self(6);
    /// JSON, from the agent: data may flow.
    pub const HANDSHAKE_COMPLETE: Self = Self(7);
    /// JSON, from the agent: an encrypted challenge.
    pub const ENC_CHALLENGE_REQUEST: Self = Self(8);
    /// JSON, from the client: the same, encrypted with its own key.
    pub const ENC_CHALLENGE_RESPONSE: Self = Self(9);
    /// A big-endian `u32`: see [`Flag`].
    pub const FLAG: Self = Self(10);
    /// Raw bytes of a command's stderr, or why a session could not start, from the agent.
    pub const STDERR: Self = Self(11);
    /// Text, from the agent: `EXIT_CODE: ` and a decimal number.
    pub const EXIT_CODE: Self = Self(12);
}

/// The payload of a [`PayloadType::FLAG`] message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u32)]
pub enum Flag {
    /// From the client of a forward that has one connection at a time: it has ended, and the agent closes its own.
    DisconnectToPort = 1,
    /// From the client: end the session. The agent acts on it in sequence, so it works as a FIN.
    TerminateSession = 2,
    /// From the agent: it could not connect to the port.
    ConnectToPortError = 3,
}

impl Flag {
    /// The four bytes on the wire.
    pub fn to_payload(self) -> [u8; 4] {
        (self as u32).to_be_bytes()
    }

    /// Whether `payload` is this flag.
    pub fn matches(self, payload: &[u8]) -> bool {
        payload == self.to_payload()
    }
}

/// One message. The digest is not a field: encoding computes it, decoding has checked it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// The kind of the message.
    pub message_type: MessageType,
    /// When it was made, in milliseconds since the Unix epoch; never 0.
    pub created: u64,
    /// Position in its direction's stream; 0 for everything that is not stream data.
    pub sequence: i64,
    /// [`FLAG_SYN`] and [`FLAG_FIN`].
    pub flags: u64,
    /// Unique to the message; a retransmission keeps it.
    pub id: Uuid,
    /// The meaning of the payload.
    pub payload_type: PayloadType,
    /// The bytes carried.
    pub payload: Bytes,
}

/// Why bytes are not a message. None of it is acknowledged, so a peer that meant it sends it again.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DecodeError {
    /// The frame ends before the header does.
    #[error("the frame ends within its header")]
    Truncated,
    /// HeaderLength is below 112 or points beyond the frame.
    #[error("the header length is impossible")]
    HeaderLength,
    /// PayloadLength is more than what follows.
    #[error("the payload length is more than the frame holds")]
    PayloadLength,
    /// CreatedDate is 0, which AWS's own client refuses as well.
    #[error("the creation date is zero")]
    CreatedDate,
    /// The payload's SHA-256 is not the one in the header.
    #[error("the payload does not match its digest")]
    Digest,
}

impl Message {
    /// The WebSocket frame of this message.
    pub fn encode(&self) -> Bytes {
        let mut frame = BytesMut::with_capacity(HEADER_LENGTH + 4 + self.payload.len());
        frame.put_u32(HEADER_LENGTH as u32);
        let name = self.message_type.name().as_bytes();
        frame.put_slice(name);
        frame.put_bytes(b' ', TYPE_WIDTH - name.len());
        frame.put_u32(SCHEMA_VERSION);
        frame.put_u64(self.created);
        frame.put_i64(self.sequence);
        frame.put_u64(self.flags);
        // The halves of the id change places on the wire.
        let (most, least) = self.id.as_u64_pair();
        frame.put_u64(least);
        frame.put_u64(most);
        frame.put_slice(&Sha256::digest(&self.payload));
        frame.put_u32(self.payload_type.0);
        frame.put_u32(self.payload.len() as u32);
        frame.put_slice(&self.payload);
        frame.freeze()
    }

    /// Reads one WebSocket frame. The payload shares the frame's memory.
    ///
    /// # Errors
    /// Says which rule the bytes break. Of `start_publication` and `pause_publication` only the type is read.
    pub fn decode(frame: &Bytes) -> Result<Self, DecodeError> {
        let header_length = u32::from_be_bytes(field(frame, 0)?) as usize;
        let message_type = MessageType::from_field(&field(frame, 4)?);
        if message_type.is_publication_control() {
            return Ok(Self::bare(message_type));
        }
        if header_length < HEADER_LENGTH_WITHOUT_PAYLOAD_TYPE || header_length > frame.len() {
            return Err(DecodeError::HeaderLength);
        }
        let payload = payload(frame, header_length)?;
        let created = u64::from_be_bytes(field(frame, 40)?);
        if created == 0 {
            return Err(DecodeError::CreatedDate);
        }
        let digest: [u8; 32] = field(frame, 80)?;
        if !payload.is_empty() && Sha256::digest(&payload)[..] != digest[..] {
            return Err(DecodeError::Digest);
        }
        let payload_type = match header_length {
            HEADER_LENGTH.. => PayloadType(u32::from_be_bytes(field(frame, 112)?)),
            _ => PayloadType::UNDEFINED,
        };
        let least = u64::from_be_bytes(field(frame, 64)?);
        let most = u64::from_be_bytes(field(frame, 72)?);
        Ok(Self {
            message_type,
            created,
            sequence: i64::from_be_bytes(field(frame, 48)?),
            flags: u64::from_be_bytes(field(frame, 56)?),
            id: Uuid::from_u64_pair(most, least),
            payload_type,
            payload,
        })
    }

    /// A message of which only the type is known.
    fn bare(message_type: MessageType) -> Self {
        Self {
            message_type,
            created: 0,
            sequence: 0,
            flags: 0,
            id: Uuid::nil(),
            payload_type: PayloadType::UNDEFINED,
            payload: Bytes::new(),
        }
    }
}

/// The `N` bytes at offset `at`.
pub(crate) fn field<const N: usize>(frame: &[u8], at: usize) -> Result<[u8; N], DecodeError> {
    frame.get(at..).and_then(|rest| rest.first_chunk()).copied().ok_or(DecodeError::Truncated)
}

/// The payload, found through HeaderLength as its senders do, not at a fixed offset.
fn payload(frame: &Bytes, header_length: usize) -> Result<Bytes, DecodeError> {
    let length = u32::from_be_bytes(field(frame, header_length)?) as usize;
    let start = header_length + 4;
    match start.checked_add(length) {
        Some(end) if end <= frame.len() => Ok(frame.slice(start..end)),
        _ => Err(DecodeError::PayloadLength),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: &str = include_str!("../tests/vectors/session.jsonl");

    fn captured() -> Vec<Bytes> {
        SESSION
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .filter(|line| line["frame"] == "binary")
            .map(|line| unhex(line["hex"].as_str().unwrap()))
            .collect()
    }

    fn unhex(text: &str) -> Bytes {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    fn example(payload: &'static [u8]) -> Message {
        Message {
            message_type: MessageType::OutputStreamData,
            created: 1,
            sequence: 7,
            flags: FLAG_SYN,
            id: "00112233-4455-6677-8899-aabbccddeeff".parse().unwrap(),
            payload_type: PayloadType::OUTPUT,
            payload: Bytes::from_static(payload),
        }
    }

    #[test]
    fn every_captured_message_decodes_and_encodes_to_the_same_bytes() {
        let frames = captured();
        assert_eq!(frames.len(), 21);
        for frame in frames {
            let message = Message::decode(&frame).unwrap();
            assert_ne!(message.message_type, MessageType::Unknown);
            assert_eq!(message.encode(), frame);
        }
    }

    #[test]
    fn halves_of_the_message_id_change_places() {
        let frame = example(b"x").encode();
        assert_eq!(frame[64..80], *unhex("8899aabbccddeeff0011223344556677"));
        assert_eq!(Message::decode(&frame).unwrap(), example(b"x"));
    }

    #[test]
    fn every_truncation_is_an_error() {
        let frame = example(b"payload").encode();
        for length in 0..frame.len() {
            assert!(Message::decode(&frame.slice(..length)).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn a_changed_payload_is_refused_by_its_digest() {
        let mut frame = example(b"payload").encode().to_vec();
        frame[121] ^= 1;
        assert_eq!(Message::decode(&frame.into()), Err(DecodeError::Digest));
    }

    #[test]
    fn absurd_lengths_are_refused() {
        for header_length in [0u32, 4, 111, 1 << 20, u32::MAX] {
            let mut frame = example(b"payload").encode().to_vec();
            frame[..4].copy_from_slice(&header_length.to_be_bytes());
            assert_eq!(Message::decode(&frame.into()), Err(DecodeError::HeaderLength), "{header_length}");
        }
        let mut frame = example(b"payload").encode().to_vec();
        frame[116..120].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(Message::decode(&frame.into()), Err(DecodeError::PayloadLength));
    }

    #[test]
    fn a_message_without_creation_date_is_refused() {
        let frame = Message { created: 0, ..example(b"x") }.encode();
        assert_eq!(Message::decode(&frame), Err(DecodeError::CreatedDate));
    }

    /// The service's form: header of 112 bytes, no payload type, type padded with NUL.
    fn made_by_the_service(name: &str, payload: &[u8]) -> Vec<u8> {
        let mut frame = example(b"").encode()[..112].to_vec();
        frame[..4].copy_from_slice(&112u32.to_be_bytes());
        frame[4..36].fill(0);
        frame[4..4 + name.len()].copy_from_slice(name.as_bytes());
        frame[80..112].copy_from_slice(&Sha256::digest(payload));
        frame.extend_from_slice(&(payload.len() as u32).to_be_bytes());
        frame.extend_from_slice(payload);
        frame
    }

    #[test]
    fn channel_closed_is_read_with_and_without_a_payload_type() {
        let short = Message::decode(&made_by_the_service("channel_closed", b"{}").into()).unwrap();
        assert_eq!((short.message_type, &short.payload[..]), (MessageType::ChannelClosed, &b"{}"[..]));
        let long = Message { message_type: MessageType::ChannelClosed, ..example(b"{}") }.encode();
        assert_eq!(Message::decode(&long).unwrap().payload, short.payload);
    }

    #[test]
    fn publication_control_is_read_whatever_follows_its_type() {
        let mut frame = made_by_the_service("pause_publication", b"abc");
        frame[112..116].copy_from_slice(&0x7400_0000u32.to_be_bytes());
        frame[80] ^= 0xff;
        frame[..4].fill(0xff);
        for length in [36, 40, 112, frame.len()] {
            let message = Message::decode(&Bytes::copy_from_slice(&frame[..length])).unwrap();
            assert_eq!(message.message_type, MessageType::PausePublication);
        }
    }

    #[test]
    fn an_unknown_type_decodes_as_unknown() {
        let frame = made_by_the_service("agent_session_state", b"{}");
        assert_eq!(Message::decode(&frame.into()).unwrap().message_type, MessageType::Unknown);
    }
}
