//! The JSON of the agent's side of the handshake (protocol §5).
//!
//! Texts in, texts out; when they are sent and what follows is the agent's matter.

use super::config::AgentConfig;
use serde::Deserialize;
use serde_json::{Value, json};

/// `ActionStatus` of an action that was done.
pub const ACTION_SUCCESS: i64 = 1;

/// The HandshakeRequest of an agent with these settings.
pub fn request(config: &AgentConfig) -> Value {
    let session = json!({
        "ActionType": "SessionType",
        "ActionParameters": { "SessionType": "Port", "Properties": { "portNumber": config.port } },
    });
    let mut actions = vec![session];
    if config.kms_action {
        actions.push(json!({
            "ActionType": "KMSEncryption",
            "ActionParameters": {
                "KMSKeyId": "arn:aws:kms:us-east-1:111122223333:key/00000000-0000-0000-0000-000000000000",
                "Challenge": "AAECAwQFBgcICQoLDA0ODw==",
            },
        }));
    }
    if config.unknown_action {
        actions.push(json!({ "ActionType": "StandinUnknown", "ActionParameters": { "Any": [1, { "x": null }] } }));
    }
    json!({ "AgentVersion": config.version, "RequestedClientActions": actions })
}

/// The HandshakeComplete after `nanoseconds` of handshake.
pub fn complete(config: &AgentConfig, nanoseconds: u64) -> Value {
    json!({ "HandshakeTimeToComplete": nanoseconds, "CustomerMessage": config.customer_message })
}

/// A client's HandshakeResponse.
#[derive(Debug, Deserialize)]
pub struct Response {
    /// The client's version.
    #[serde(rename = "ClientVersion")]
    pub client_version: Option<String>,
    /// One entry for each requested action.
    #[serde(rename = "ProcessedClientActions")]
    pub actions: Option<Vec<ProcessedAction>>,
    /// Errors in words.
    #[serde(rename = "Errors")]
    pub errors: Option<Vec<String>>,
}

/// What a client did with one requested action.
#[derive(Debug, Deserialize)]
pub struct ProcessedAction {
    /// The action.
    #[serde(rename = "ActionType")]
    pub action: Option<String>,
    /// 1 success, 2 failed, 3 unsupported.
    #[serde(rename = "ActionStatus")]
    pub status: Option<i64>,
    /// The error in words.
    #[serde(rename = "Error")]
    pub error: Option<String>,
}

/// Why the agent cancels the session after this response; `None` when it goes on.
pub fn objection(payload: &[u8]) -> Option<String> {
    let response: Response = match serde_json::from_slice(payload) {
        Ok(response) => response,
        Err(error) => return Some(format!("the handshake response cannot be read: {error}")),
    };
    let failed: Vec<String> = response
        .actions
        .unwrap_or_default()
        .into_iter()
        .filter(|action| action.status != Some(ACTION_SUCCESS))
        .map(|action| {
            let (name, error) = (action.action.unwrap_or_default(), action.error.unwrap_or_default());
            format!("{name} failed on client with status {}: {error}", action.status.unwrap_or(0))
        })
        .collect();
    (!failed.is_empty()).then(|| failed.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_but_success_is_an_objection() {
        let response = |status: Value| {
            json!({
                "ClientVersion": "1.2.764.0",
                "ProcessedClientActions": [{ "ActionType": "SessionType", "ActionStatus": status, "Error": "" }],
                "Errors": null,
            })
            .to_string()
        };
        assert_eq!(objection(response(json!(1)).as_bytes()), None);
        for bad in [json!(0), json!(2), json!(3), Value::Null] {
            assert!(objection(response(bad).as_bytes()).is_some());
        }
        assert!(objection(b"{").is_some());
    }
}
