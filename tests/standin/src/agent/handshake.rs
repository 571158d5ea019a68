//! The JSON of the agent's side of the handshake (protocol §5, sessions §1.2 and §5.2).
//!
//! Texts in, texts out; when they are sent and what follows is the agent's matter.

use super::config::{AgentConfig, version};
use crate::kind::SessionKind;
use serde::Deserialize;
use serde_json::{Value, json};

/// `ActionStatus` of an action that was done.
pub const ACTION_SUCCESS: i64 = 1;

/// Last client version that is asked to be updated when output is sent apart (sessions §1.2).
const KNOWS_NO_SEPARATION: [u64; 4] = [1, 2, 295, 0];

/// The HandshakeRequest of an agent with these settings; `challenge` is for the KMS context, if it sends one.
pub fn request(config: &AgentConfig, challenge: Option<&str>) -> Value {
    let properties = match config.kind {
        SessionKind::Port if config.properties.is_empty() => json!({ "portNumber": config.port }),
        SessionKind::Port => json!(config.properties),
        _ => Value::Null,
    };
    let session = json!({
        "ActionType": "SessionType",
        "ActionParameters": { "SessionType": config.kind.name(), "Properties": properties },
    });
    let mut actions = vec![session];
    if config.is_encrypted() {
        let mut parameters = json!({ "KMSKeyId": config.kms_key_id });
        if let (Some(challenge), Some(parameters)) = (challenge, parameters.as_object_mut()) {
            parameters.insert("Challenge".into(), challenge.into());
        }
        actions.push(json!({ "ActionType": "KMSEncryption", "ActionParameters": parameters }));
    }
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

/// The HandshakeComplete after `nanoseconds` of handshake with a client of this version.
pub fn complete(config: &AgentConfig, nanoseconds: u64, client_version: &str) -> Value {
    let mut message = config.customer_message.clone();
    if config.is_encrypted() {
        message.push_str("This session is encrypted using AWS KMS.");
    }
    if config.separate && version(client_version) <= KNOWS_NO_SEPARATION {
        message.push_str(
            "Please update session manager plugin version (minimum required version 1.2.312.0) for fully support of \
             separate StdOut/StdErr output.\r\n",
        );
    }
    json!({ "HandshakeTimeToComplete": nanoseconds, "CustomerMessage": message })
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
    /// What came of it.
    #[serde(rename = "ActionResult")]
    pub result: Option<Value>,
}

/// The result of the KMSEncryption action (sessions §5.2).
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
pub struct KeyResult {
    /// The data key as KMS encrypted it, base64.
    #[serde(rename = "KMSCipherTextKey", default)]
    pub cipher_text: String,
    /// Whether the challenge is in the KMS context.
    #[serde(rename = "ChallengeAcknowledgement", default)]
    pub acknowledges: bool,
}

impl Response {
    /// What the client says of the data key.
    pub fn key(&self) -> Option<KeyResult> {
        let mut actions = self.actions.iter().flatten();
        let action = actions.find(|action| action.action.as_deref() == Some("KMSEncryption"))?;
        serde_json::from_value(action.result.clone()?).ok()
    }
}

/// Why the agent cancels the session after this response; `None` when it goes on.
pub fn objection(config: &AgentConfig, payload: &[u8]) -> Option<String> {
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
            let colon = if config.kind == SessionKind::Port { ":" } else { " error:" };
            format!("{name} failed on client with status {}{colon} {error}", action.status.unwrap_or(0))
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
        let config = AgentConfig::default();
        assert_eq!(objection(&config, response(json!(1)).as_bytes()), None);
        for bad in [json!(0), json!(2), json!(3), Value::Null] {
            assert!(objection(&config, response(bad).as_bytes()).is_some());
        }
        assert!(objection(&config, b"{").is_some());
    }
}
