//! The handshake's JSON: what the agent asks, what the client answers.
//!
//! Field names and values are those of AWS's agent. Reading is tolerant (absent, `null` and unknown fields are
//! fine); what is written is exactly what AWS's own client writes. It knows nothing of order or retransmission.

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::kind::{Accepts, ForwardProperties, Kind};

/// The version sent as `ClientVersion`: the session-manager-plugin whose behaviour this client implements, and the
/// lowest one AWS documents as supported. Agents gate features by comparing it, so it is not our own version.
pub const PLUGIN_VERSION: &str = "1.2.764.0";

/// The action that every handshake asks for.
const SESSION_TYPE: &str = "SessionType";
/// The action that an encrypted session asks for besides.
const KMS_ENCRYPTION: &str = "KMSEncryption";
/// Port sessions of this kind may be multiplexed by the agent, which no ProxyCommand can follow.
const LOCAL_PORT_FORWARDING: &str = "LocalPortForwarding";

/// A longer request is not one, in bytes. Agents ask for two actions at most, in a few hundred bytes; what is refused
/// takes many times its own length to answer.
const MAX_REQUEST: usize = 16 << 10;

/// `ActionStatus`: done.
const SUCCESS: u8 = 1;
/// `ActionStatus`: this client tried and failed; the agent then cancels the session.
const FAILED: u8 = 2;
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

/// The data key that an encrypted session is to have.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeyRequest {
    /// The key of KMS that is to make it: whatever the account's preferences call it, to be used as it is.
    pub key_id: String,
    /// A text that newer agents want in the encryption context besides, as they wrote it.
    pub challenge: Option<String>,
}

/// How the client has fared with a [`KeyRequest`].
#[derive(Clone, Copy, Debug)]
pub(super) enum KeyAnswer<'a> {
    /// There was none.
    NotAsked,
    /// KMS has made one, which is this to whoever may not decrypt it.
    Made { ciphertext: &'a [u8] },
    /// KMS has made none, for this reason.
    Failed(&'a str),
}

/// The answer to a [`Request`].
#[derive(Debug)]
pub(super) struct Answer {
    /// HandshakeResponse's payload.
    pub payload: Vec<u8>,
    /// The reason why this client cannot do what the session asks for; the agent ends the session because of it.
    pub unsupported: Option<String>,
}

impl Request {
    pub(super) fn parse(payload: &[u8]) -> Option<Self> {
        if payload.len() > MAX_REQUEST {
            return None;
        }
        serde_json::from_slice(payload).ok()
    }

    /// The kind of the session, if it is known and accepted.
    pub(super) fn kind(&self, accepts: Accepts) -> Option<Kind> {
        self.requested_client_actions.iter().find(|action| action.action_type == SESSION_TYPE)?.kind(accepts).ok()
    }

    /// The properties of a forward, as the session's document has them.
    pub(super) fn forward(&self) -> ForwardProperties {
        let mut actions = self.requested_client_actions.iter();
        let action = actions.find(|action| action.action_type == SESSION_TYPE);
        let text = |name: &str| {
            let text = action?.text(&format!("/Properties/{name}"));
            (!text.is_empty()).then(|| text.to_owned())
        };
        let port = |name| text(name)?.parse().ok();
        let is_socket = text("localConnectionType").as_deref() == Some("unix");
        ForwardProperties {
            local_port: port("localPortNumber"),
            local_socket: text("localUnixSocket").filter(|_| is_socket),
            host: text("host"),
            port: port("portNumber"),
        }
    }

    /// The data key that the session asks for, if it is one that can be encrypted.
    pub(super) fn key(&self, accepts: Accepts) -> Option<KeyRequest> {
        let mut actions = self.requested_client_actions.iter();
        let action = actions.find(|action| action.is_encryption() && accepts == Accepts::All)?;
        let challenge = Some(action.text("/Challenge")).filter(|challenge| !challenge.is_empty());
        Some(KeyRequest { key_id: action.text("/KMSKeyId").to_owned(), challenge: challenge.map(str::to_owned) })
    }

    /// Answers every requested action, in order.
    pub(super) fn answer(&self, accepts: Accepts, key: KeyAnswer) -> Answer {
        let results: Vec<ActionResult> =
            self.requested_client_actions.iter().map(|action| action.result(accepts, key)).collect();
        let processed = self.requested_client_actions.iter().zip(&results).map(|(action, result)| ProcessedAction {
            action_type: &action.action_type,
            action_status: result.status,
            action_result: result.value.clone(),
            error: &result.error,
        });
        let errors: Vec<&str> =
            results.iter().filter(|result| result.status != SUCCESS).map(|result| result.reason.as_str()).collect();
        let response = Response {
            client_version: PLUGIN_VERSION,
            processed_client_actions: processed.collect(),
            errors: (!errors.is_empty()).then_some(errors),
        };
        // Strings, numbers and nulls alone: serialising them has no way to fail.
        let payload = serde_json::to_vec(&response).unwrap_or_default();
        let unsupported = results.into_iter().find(|result| result.status == UNSUPPORTED);
        Answer { payload, unsupported: unsupported.map(|result| result.reason) }
    }
}

/// How one action was done.
#[derive(Debug)]
struct ActionResult {
    status: u8,
    value: Value,
    /// The text that goes with the action.
    error: String,
    /// Why it was not done.
    reason: String,
}

impl ActionResult {
    fn done(value: Value) -> Self {
        Self { status: SUCCESS, value, error: String::new(), reason: String::new() }
    }

    fn unsupported(reason: String) -> Self {
        Self { status: UNSUPPORTED, value: Value::Null, error: reason.clone(), reason }
    }
}

impl RequestedAction {
    fn is_encryption(&self) -> bool {
        self.action_type == KMS_ENCRYPTION
    }

    fn result(&self, accepts: Accepts, key: KeyAnswer) -> ActionResult {
        match key {
            _ if self.action_type == SESSION_TYPE => match self.kind(accepts) {
                Ok(_) => ActionResult::done(Value::Null),
                Err(reason) => ActionResult::unsupported(reason),
            },
            KeyAnswer::Made { ciphertext } if self.is_encryption() => ActionResult::done(self.made(ciphertext)),
            KeyAnswer::Failed(reason) if self.is_encryption() => ActionResult {
                status: FAILED,
                value: Value::Null,
                error: format!("Failed to process action {KMS_ENCRYPTION}: {reason}"),
                reason: reason.to_owned(),
            },
            _ => {
                let who = if accepts == Accepts::Port { "an SSH tunnel" } else { "this client" };
                ActionResult::unsupported(format!(
                    "the session asks for {:?}, which {who} does not do",
                    self.action_type
                ))
            }
        }
    }

    /// The key, and that the challenge went into its encryption context.
    fn made(&self, ciphertext: &[u8]) -> Value {
        let mut made = json!({ "KMSCipherTextKey": BASE64.encode(ciphertext), "KMSCipherTextHash": null });
        if let (false, Some(made)) = (self.text("/Challenge").is_empty(), made.as_object_mut()) {
            made.insert("ChallengeAcknowledgement".to_owned(), true.into());
        }
        made
    }

    /// The kind of session that it asks for, or why that cannot be had.
    fn kind(&self, accepts: Accepts) -> Result<Kind, String> {
        let name = self.text("/SessionType");
        let is_forward = self.text("/Properties/type") == LOCAL_PORT_FORWARDING;
        match Kind::of_session_type(name, is_forward) {
            Some(kind) if kind == Kind::Port || accepts == Accepts::All => Ok(kind),
            Some(Kind::Forward) => Err("the document forwards a local port, it does not carry SSH".into()),
            _ => Err(format!("the document starts a {name:?} session, not one to a port")),
        }
    }

    /// The text at `pointer` in the action's parameters, or nothing.
    fn text(&self, pointer: &str) -> &str {
        self.action_parameters.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }
}

/// An encryption challenge, encrypted, in base64.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Challenge {
    challenge: String,
}

/// The encrypted bytes of EncChallengeRequest.
pub(super) fn read_challenge(payload: &[u8]) -> Option<Vec<u8>> {
    let Challenge { challenge } = serde_json::from_slice(payload).ok()?;
    BASE64.decode(challenge.as_bytes()).ok()
}

/// EncChallengeResponse with these encrypted bytes.
pub(super) fn write_challenge(encrypted: &[u8]) -> Vec<u8> {
    // One string: serialising it has no way to fail.
    serde_json::to_vec(&Challenge { challenge: BASE64.encode(encrypted) }).unwrap_or_default()
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
        let answer = Request::parse(request.as_bytes()).unwrap().answer(Accepts::Port, KeyAnswer::NotAsked);
        (serde_json::from_slice(&answer.payload).unwrap(), answer.unsupported)
    }

    #[test]
    fn an_ssh_session_is_answered_as_the_captured_client_does() {
        let request = r#"{"AgentVersion":"3.3.0.0","RequestedClientActions":[{"ActionType":"SessionType","ActionParameters":{"SessionType":"Port","Properties":{"portNumber":"30021"}}}]}"#;
        let answer = Request::parse(request.as_bytes()).unwrap().answer(Accepts::Port, KeyAnswer::NotAsked);
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
        let longest = Request::parse(request(MAX_REQUEST / 3 - 10).as_bytes())
            .unwrap()
            .answer(Accepts::Port, KeyAnswer::NotAsked);
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
