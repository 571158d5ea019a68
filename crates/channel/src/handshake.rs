//! The handshake's JSON: what the agent asks, what the client answers.
//!
//! Field names and values are those of AWS's agent. Reading is tolerant (absent, `null` and unknown fields are
//! fine); what is written is exactly what AWS's own client writes. It knows nothing of order or retransmission.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The version sent as `ClientVersion`: the session-manager-plugin whose behaviour this client implements, and the
/// lowest one AWS documents as supported. Agents gate features by comparing it, so it is not our own version.
pub const PLUGIN_VERSION: &str = "1.2.764.0";

/// The action every SSH session asks for.
const SESSION_TYPE: &str = "SessionType";
/// The session type of SSH: raw bytes to and from a TCP port.
const PORT: &str = "Port";
/// Port sessions of this kind may be multiplexed by the agent, which no ProxyCommand can follow.
const LOCAL_PORT_FORWARDING: &str = "LocalPortForwarding";

/// A longer request is not one, in bytes. Agents ask for two actions at most, in a few hundred bytes; what is refused
/// takes many times its own length to answer.
const MAX_REQUEST: usize = 16 << 10;

/// `ActionStatus`: done.
const SUCCESS: u8 = 1;
/// `ActionStatus`: this client cannot do it; the agent then cancels the session.
const UNSUPPORTED: u8 = 3;

/// HandshakeRequest, from the agent.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Request {
    #[serde(default, deserialize_with = "null_as_default")]
    pub agent_version: String,
    #[serde(default, deserialize_with = "null_as_default")]
    requested_client_actions: Vec<RequestedAction>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RequestedAction {
    #[serde(default, deserialize_with = "null_as_default")]
    action_type: String,
    #[serde(default)]
    action_parameters: Value,
}

/// HandshakeResponse, from the client.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Response<'a> {
    client_version: &'static str,
    processed_client_actions: Vec<ProcessedAction<'a>>,
    errors: Option<Vec<&'a str>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ProcessedAction<'a> {
    action_type: &'a str,
    action_status: u8,
    action_result: Value,
    error: &'a str,
}

/// HandshakeComplete, from the agent.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Complete {
    /// Text for the user; may be empty.
    #[serde(default, deserialize_with = "null_as_default")]
    pub customer_message: String,
}

/// The answer to a [`Request`].
#[derive(Debug)]
pub(super) struct Answer {
    /// HandshakeResponse's payload.
    pub payload: Vec<u8>,
    /// What the session wants that this client does not do; the agent ends the session because of it.
    pub unsupported: Option<String>,
}

impl Request {
    pub(super) fn parse(payload: &[u8]) -> Option<Self> {
        if payload.len() > MAX_REQUEST {
            return None;
        }
        serde_json::from_slice(payload).ok()
    }

    /// Answers every requested action, in order.
    pub(super) fn answer(&self) -> Answer {
        let refusals: Vec<Option<String>> =
            self.requested_client_actions.iter().map(RequestedAction::refusal).collect();
        let processed = self.requested_client_actions.iter().zip(&refusals).map(|(action, refusal)| ProcessedAction {
            action_type: &action.action_type,
            action_status: if refusal.is_some() { UNSUPPORTED } else { SUCCESS },
            action_result: Value::Null,
            error: refusal.as_deref().unwrap_or_default(),
        });
        let errors: Vec<&str> = refusals.iter().flatten().map(String::as_str).collect();
        let response = Response {
            client_version: PLUGIN_VERSION,
            processed_client_actions: processed.collect(),
            errors: (!errors.is_empty()).then_some(errors),
        };
        // Strings, numbers and nulls alone: serialising them has no way to fail.
        let payload = serde_json::to_vec(&response).unwrap_or_default();
        Answer { payload, unsupported: refusals.into_iter().flatten().next() }
    }
}

impl RequestedAction {
    /// Why this action cannot be done, if it cannot.
    fn refusal(&self) -> Option<String> {
        if self.action_type != SESSION_TYPE {
            return Some(format!("the session asks for {:?}, which an SSH tunnel does not do", self.action_type));
        }
        let session_type = self.text("/SessionType");
        let kind = self.text("/Properties/type");
        match (session_type, kind) {
            (PORT, LOCAL_PORT_FORWARDING) => Some("the document forwards a local port, it does not carry SSH".into()),
            (PORT, _) => None,
            (other, _) => Some(format!("the document starts a {other:?} session, not one to a port")),
        }
    }

    /// The text at `pointer` in the action's parameters, or nothing.
    fn text(&self, pointer: &str) -> &str {
        self.action_parameters.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }
}

impl Complete {
    /// Never fails: that the message has come is what counts.
    pub(super) fn parse(payload: &[u8]) -> Self {
        serde_json::from_slice(payload).unwrap_or_default()
    }
}

/// Go writes `null` where it has nothing.
fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(request: &str) -> (Value, Option<String>) {
        let answer = Request::parse(request.as_bytes()).unwrap().answer();
        (serde_json::from_slice(&answer.payload).unwrap(), answer.unsupported)
    }

    #[test]
    fn an_ssh_session_is_answered_as_the_captured_client_does() {
        let request = r#"{"AgentVersion":"3.3.0.0","RequestedClientActions":[{"ActionType":"SessionType","ActionParameters":{"SessionType":"Port","Properties":{"portNumber":"30021"}}}]}"#;
        let answer = Request::parse(request.as_bytes()).unwrap().answer();
        assert_eq!(
            String::from_utf8(answer.payload).unwrap(),
            r#"{"ClientVersion":"1.2.764.0","ProcessedClientActions":[{"ActionType":"SessionType","ActionStatus":1,"ActionResult":null,"Error":""}],"Errors":null}"#
        );
        assert_eq!(answer.unsupported, None);
    }

    #[test]
    fn encryption_is_refused_and_the_rest_of_the_actions_still_answered() {
        let (response, unsupported) = answer(
            r#"{"RequestedClientActions":[
                {"ActionType":"KMSEncryption","ActionParameters":{"KMSKeyId":"k"}},
                {"ActionType":"SessionType","ActionParameters":{"SessionType":"Port"}}]}"#,
        );
        assert_eq!(response["ProcessedClientActions"][0]["ActionStatus"], 3);
        assert_ne!(response["ProcessedClientActions"][0]["Error"], "");
        assert_eq!(response["ProcessedClientActions"][1]["ActionStatus"], 1);
        assert!(unsupported.unwrap().contains("KMSEncryption"));
    }

    #[test]
    fn sessions_that_are_not_raw_ports_are_refused() {
        for parameters in [
            r#"{"SessionType":"Standard_Stream"}"#,
            r#"{"SessionType":"Port","Properties":{"type":"LocalPortForwarding"}}"#,
            "{}",
            "null",
        ] {
            let request = format!(
                r#"{{"RequestedClientActions":[{{"ActionType":"SessionType","ActionParameters":{parameters}}}]}}"#
            );
            let (response, unsupported) = answer(&request);
            assert_eq!(response["ProcessedClientActions"][0]["ActionStatus"], 3, "{parameters}");
            assert!(unsupported.is_some(), "{parameters}");
        }
    }

    #[test]
    fn the_answer_to_a_request_of_absurd_length_is_not_sixty_times_as_long() {
        let request = |actions| format!(r#"{{"RequestedClientActions":[{}]}}"#, vec!["{}"; actions].join(","));
        assert!(Request::parse(request(350_000).as_bytes()).is_none());
        let longest = Request::parse(request(MAX_REQUEST / 3 - 10).as_bytes()).unwrap().answer();
        assert!(longest.payload.len() < 2 << 20, "{}", longest.payload.len());
    }

    #[test]
    fn nulls_and_unknown_fields_are_read() {
        let (response, _) = answer(r#"{"AgentVersion":null,"RequestedClientActions":null,"New":1}"#);
        assert_eq!(response["ProcessedClientActions"], Value::Array(vec![]));
        let list = Request::parse(b"[]").unwrap();
        assert!(list.agent_version.is_empty() && list.requested_client_actions.is_empty(), "{list:?}");
        assert!(Request::parse(b"{\"AgentVersion\":").is_none());
        assert_eq!(Complete::parse(br#"{"CustomerMessage":"hello"}"#).customer_message, "hello");
        assert_eq!(Complete::parse(b"junk").customer_message, "");
    }
}
