//! Acknowledgements, and the service's closing words: the JSON of messages that are not stream data.
//!
//! An acknowledgement means the one message it names, in order or not. Both official sides match it by its sequence
//! number alone, and neither acknowledges nor resends acknowledgements.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::message::MessageType;

/// The part of an acknowledgement that is read.
#[derive(Debug, Deserialize)]
pub(super) struct Acknowledgement {
    #[serde(rename = "AcknowledgedMessageSequenceNumber")]
    pub sequence: i64,
}

/// An acknowledgement as it is written: its fields in the order of AWS's client.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Written {
    acknowledged_message_type: &'static str,
    acknowledged_message_id: Uuid,
    acknowledged_message_sequence_number: i64,
    is_sequential_message: bool,
}

impl Acknowledgement {
    pub(super) fn parse(payload: &[u8]) -> Option<Self> {
        serde_json::from_slice(payload).ok()
    }

    /// The payload that acknowledges the agent's message `sequence`.
    pub(super) fn of_output(sequence: i64, id: Uuid) -> Bytes {
        let written = Written {
            acknowledged_message_type: MessageType::OutputStreamData.name(),
            acknowledged_message_id: id,
            acknowledged_message_sequence_number: sequence,
            is_sequential_message: true,
        };
        // Text, a number and a boolean: serialising them has no way to fail.
        serde_json::to_vec(&written).unwrap_or_default().into()
    }
}

/// The text of a `channel_closed` message. That the message has come is what counts, so this never fails.
pub(super) fn closing_text(payload: &[u8]) -> String {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Closed {
        output: Option<String>,
    }
    serde_json::from_slice::<Closed>(payload).unwrap_or_default().output.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_as_the_captured_client_writes_it() {
        let id = "eef854e8-7fbc-4f5c-9de7-c0351e4849ae".parse().unwrap();
        assert_eq!(
            Acknowledgement::of_output(0, id),
            r#"{"AcknowledgedMessageType":"output_stream_data","AcknowledgedMessageId":"eef854e8-7fbc-4f5c-9de7-c0351e4849ae","AcknowledgedMessageSequenceNumber":0,"IsSequentialMessage":true}"#
        );
    }

    #[test]
    fn json_of_another_shape_is_no_acknowledgement() {
        for payload in ["", "{}", "[]", "null", r#"{"AcknowledgedMessageSequenceNumber":"1"}"#, "{\"a\":"] {
            assert!(Acknowledgement::parse(payload.as_bytes()).is_none(), "{payload}");
        }
        let minimal = Acknowledgement::parse(br#"{"AcknowledgedMessageSequenceNumber":-3}"#);
        assert_eq!(minimal.map(|minimal| minimal.sequence), Some(-3));
    }

    #[test]
    fn the_closing_text_is_read_from_anything() {
        assert_eq!(closing_text(br#"{"SessionId":"s","Output":"bye"}"#), "bye");
        for payload in ["", "{}", r#"{"Output":null}"#, r#"{"Output":1}"#, "[1]"] {
            assert_eq!(closing_text(payload.as_bytes()), "");
        }
    }
}
