//! The target `message`: any bytes, decoded.

use bytes::Bytes;

use crate::frame;
use ssm_channel::{Message, MessageType};

/// Decodes `data` as it is, and once more with the right digest in its place.
///
/// # Panics
/// When decoding breaks a promise.
pub fn run(data: &[u8]) {
    check(&Bytes::copy_from_slice(data));
    check(&frame::repair_digest(data));
}

fn check(bytes: &Bytes) {
    let Ok(message) = Message::decode(bytes) else {
        assert!(frame::verify(bytes).is_none(), "a message in order was refused");
        return;
    };
    if matches!(message.message_type, MessageType::StartPublication | MessageType::PausePublication) {
        assert!(message.payload.is_empty(), "nothing of this type's payload is to be trusted");
        return;
    }
    let verified = frame::verify(bytes).expect("a message out of order was accepted");
    assert_eq!(message.payload, verified.payload);
    assert_eq!((message.sequence, message.payload_type.0), (verified.sequence, verified.payload_type));
    if message.message_type == MessageType::Unknown {
        return;
    }
    assert_eq!(message.message_type.name().as_bytes(), verified.name);
    let encoded = message.encode();
    assert_eq!(Message::decode(&encoded).as_ref(), Ok(&message), "what was decoded does not survive encoding");
    let header = |frame: &Bytes| frame[40..116].to_vec();
    if bytes.starts_with(&116u32.to_be_bytes()) {
        assert_eq!(header(&encoded)[..40], header(bytes)[..40], "date, number, flags and id are not written as read");
        assert_eq!(header(&encoded)[72..], header(bytes)[72..], "the payload type is not written as read");
    }
}
