//! The open message: the one text frame, first of all, that joins the socket to the session.

use serde::Serialize;
use uuid::Uuid;

/// What the open message says besides the schema's version and an id of its own.
#[derive(Clone, Copy)]
pub struct Opening<'a> {
    /// The token of StartSession or ResumeSession; good for one socket.
    pub token: &'a str,
    /// Made once for a session and kept when its socket is replaced.
    pub client_id: Uuid,
    /// The session-manager-plugin version whose behaviour is implemented.
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
    /// The message as JSON, under the given request id.
    pub fn to_json(self, request_id: Uuid) -> String {
        let written = Written {
            message_schema_version: "1.0",
            request_id,
            token_value: self.token,
            client_id: self.client_id,
            client_version: self.client_version,
        };
        // Text and ids: serialising them has no way to fail.
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
