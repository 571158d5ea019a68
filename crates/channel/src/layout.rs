//! The layout of a frame: what its fields hold, whether they make sense or not, for whoever wants to know how a service
//! fills them.
//!
//! Of the payload it has the length alone, so that it may be shown to anybody.

use sha2::{Digest as _, Sha256};

use crate::message::field;

/// Where PayloadType stands, if the header reaches beyond it.
const PAYLOAD_TYPE: usize = 112;
/// Width of MessageType, in bytes.
const NAME: usize = 32;

/// The fields of one frame, as numbers. A field that the frame is too short for is `None`.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Layout {
    /// MessageType without its padding; empty if it is no word of letters, digits, `_` and `-`.
    pub name: String,
    /// The byte that MessageType is padded with, if it is padded with one.
    pub padding: Option<u8>,
    /// HeaderLength.
    pub header_length: Option<u32>,
    /// SchemaVersion.
    pub schema: Option<u32>,
    /// Whether CreatedDate is something else than 0.
    pub is_dated: bool,
    /// Flags.
    pub flags: Option<u64>,
    /// PayloadType, if HeaderLength leaves a place for it.
    pub payload_type: Option<u32>,
    /// PayloadLength, where HeaderLength says that it stands.
    pub payload_length: Option<u32>,
    /// Bytes behind PayloadLength.
    pub rest: Option<usize>,
    /// Bytes of the whole frame.
    pub frame_length: usize,
    /// PayloadDigest.
    pub digest: DigestOf,
}

/// What a digest is of.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum DigestOf {
    /// All that stands behind PayloadLength.
    Payload,
    /// It is all zeros.
    Zeros,
    /// The empty text, though there is a payload.
    Nothing,
    /// Something else.
    Other,
}

impl Layout {
    /// Reads the fields of a frame. Any bytes have a layout.
    pub fn of(frame: &[u8]) -> Self {
        let header_length = field(frame, 0).ok().map(u32::from_be_bytes);
        let end = header_length.and_then(|length| usize::try_from(length).ok());
        let payload_length = end.and_then(|at| field(frame, at).ok()).map(u32::from_be_bytes);
        let payload = end.and_then(|at| frame.get(at.checked_add(4)?..));
        let (name, padding) = field::<NAME>(frame, 4).map_or((String::new(), None), |field| name(&field));
        let payload_type = field(frame, PAYLOAD_TYPE).ok().filter(|_| end.is_some_and(|end| end > PAYLOAD_TYPE));
        Self {
            name,
            padding,
            header_length,
            schema: field(frame, 36).ok().map(u32::from_be_bytes),
            is_dated: field(frame, 40).is_ok_and(|date| date != [0; 8]),
            flags: field(frame, 56).ok().map(u64::from_be_bytes),
            payload_type: payload_type.map(u32::from_be_bytes),
            payload_length,
            rest: payload.map(<[u8]>::len),
            frame_length: frame.len(),
            digest: digest_of(frame, payload.unwrap_or_default()),
        }
    }
}

fn name(field: &[u8; NAME]) -> (String, Option<u8>) {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let length = field.iter().take_while(|byte| is_part(byte)).count();
    let (word, rest) = field.split_at_checked(length).unwrap_or((field, &[]));
    let padding = rest.first().copied().filter(|first| rest.iter().all(|byte| byte == first));
    let is_word = padding.is_some() || rest.is_empty();
    (if is_word { String::from_utf8_lossy(word).into_owned() } else { String::new() }, padding)
}

fn digest_of(frame: &[u8], payload: &[u8]) -> DigestOf {
    let digest: [u8; 32] = field(frame, 80).unwrap_or_default();
    match digest {
        digest if digest == Sha256::digest(payload)[..] => DigestOf::Payload,
        digest if digest == [0; 32] => DigestOf::Zeros,
        digest if digest == Sha256::digest([])[..] => DigestOf::Nothing,
        _ => DigestOf::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{FLAG_SYN, Message, MessageType, PayloadType};

    fn frame() -> Vec<u8> {
        let message = Message {
            message_type: MessageType::OutputStreamData,
            created: 1,
            sequence: 7,
            flags: FLAG_SYN,
            id: uuid::Uuid::nil(),
            payload_type: PayloadType::OUTPUT,
            payload: bytes::Bytes::from_static(b"a secret"),
        };
        message.encode().to_vec()
    }

    #[test]
    fn a_message_of_ours_has_the_layout_of_the_page() {
        let expected = Layout {
            name: "output_stream_data".to_owned(),
            padding: Some(b' '),
            header_length: Some(116),
            schema: Some(1),
            is_dated: true,
            flags: Some(FLAG_SYN),
            payload_type: Some(1),
            payload_length: Some(8),
            rest: Some(8),
            frame_length: 128,
            digest: DigestOf::Payload,
        };
        assert_eq!(Layout::of(&frame()), expected);
        assert!(!format!("{expected:?}").contains("secret"));
    }

    #[test]
    fn what_makes_no_sense_is_told_as_it_is() {
        let mut frame = frame();
        frame[80..112].fill(0);
        assert_eq!(Layout::of(&frame).digest, DigestOf::Zeros);
        frame[80..112].copy_from_slice(&Sha256::digest([]));
        assert_eq!(Layout::of(&frame).digest, DigestOf::Nothing);
        frame[80] ^= 1;
        frame[..4].copy_from_slice(&112_u32.to_be_bytes());
        let layout = Layout::of(&frame);
        assert_eq!((layout.digest, layout.payload_type), (DigestOf::Other, None));
        assert_eq!((layout.payload_length, layout.rest), (Some(1), Some(12)), "of another header's length");
        frame[..4].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!((Layout::of(&frame).payload_length, Layout::of(&frame).rest), (None, None));
        frame[5] = b'\n';
        assert_eq!(Layout::of(&frame).name, "");
        for length in 0..frame.len() {
            assert_eq!(Layout::of(&frame[..length]).frame_length, length);
        }
    }
}
