//! The open message: the first frame on a WebSocket, a text frame with the token that joins the socket to its session.

use serde::Serialize;
use uuid::Uuid;

/// The content of the open message, apart from its schema version and request id.
#[derive(Clone, Copy)]
pub struct Opening<'a> {
    /// The token of StartSession or ResumeSession; good for one socket.
    pub token: &'a str,
    /// The client's id. All sockets of a session have the same.
    pub client_id: Uuid,
    /// The version of session-manager-plugin that the client behaves like.
    pub client_version: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Written<'a> {
    message_schema_version: &'static str,
    request_id: Uuid,
    token_value: &'a str,
    client_id: Uuid,
    client_version: &'a str,
}

impl Opening<'_> {
    /// The message as JSON, with this request id.
    pub fn to_json(self, request_id: Uuid) -> String {
        let written = Written {
            message_schema_version: "1.0",
            request_id,
            token_value: self.token,
            client_id: self.client_id,
            client_version: self.client_version,
        };
        // Strings and UUIDs always serialise.
        serde_json::to_string(&written).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn it_is_written_as_the_captured_client_writes_it() {
        let captured = include_str!("../../channel/tests/vectors/session.jsonl").lines().next().unwrap();
        let captured: Value = serde_json::from_str(captured).unwrap();
        let text = captured["text"].as_str().unwrap();
        let fields: Value = serde_json::from_str(text).unwrap();
        let field = |name: &str| fields[name].as_str().unwrap();
        let opening = Opening {
            token: field("TokenValue"),
            client_id: field("ClientId").parse().unwrap(),
            client_version: field("ClientVersion"),
        };
        assert_eq!(opening.to_json(field("RequestId").parse().unwrap()), text);
    }
}
