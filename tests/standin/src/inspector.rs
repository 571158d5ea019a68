//! The judge: sees every frame at the client's end of the channel and writes down each rule that the client breaks.
//!
//! Pure, like the agent: frames and times are handed in. It stands at the client's socket, before anything is lost
//! on the way up and after everything is lost on the way down, so that it knows what the client said and what it
//! could know. It never changes a frame and never answers one.

mod forward;
mod programs;

use crate::agent::{handshake, version};
use crate::codec::{
    ACK_FLAGS, Acknowledgement, FIN, HEADER_LENGTH, Message, SCHEMA_VERSION, SYN, flag, message_type, padded_type,
    payload_type,
};
use crate::kind::SessionKind;
use crate::rate::RateMeter;
use crate::report::{BreachKind, Traffic};
use bytes::Bytes;
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Lowest client version that AWS supports (§2.1).
const LOWEST_CLIENT_VERSION: [u64; 4] = [1, 2, 764, 0];
/// Messages of each direction that are remembered.
const REMEMBERED: usize = 200_000;
/// Text of a breach's detail that quotes the client is cut here.
const QUOTED: usize = 200;

/// What is asked of the client beyond the page.
#[derive(Debug, Clone)]
pub struct InspectorConfig {
    /// Largest allowed stream payload, bytes (§4.4: 1536 works, larger was seen to fail).
    pub payload_limit: usize,
    /// Within what time a message that is delivered again, after it was acknowledged, must be acknowledged again.
    pub reacknowledge_within: Duration,
    /// Whether the client may send its terminal's size to a port as well: which kind of session a document starts it learns
    /// only then, and the agent acknowledges a size and throws it away.
    pub sizes_to_ports: bool,
}

impl Default for InspectorConfig {
    fn default() -> Self {
        Self { payload_limit: 1536, reacknowledge_within: Duration::from_secs(10), sizes_to_ports: false }
    }
}

/// The open message (§2.1).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Open {
    /// Always "1.0".
    #[serde(rename = "MessageSchemaVersion")]
    pub schema_version: String,
    /// A fresh UUID.
    #[serde(rename = "RequestId")]
    pub request_id: String,
    /// The token of StartSession or ResumeSession.
    #[serde(rename = "TokenValue")]
    pub token: String,
    /// A UUID for the whole session.
    #[serde(rename = "ClientId")]
    pub client_id: Option<String>,
    /// Dotted version of the plugin whose behaviour the client has.
    #[serde(rename = "ClientVersion")]
    pub client_version: Option<String>,
}

#[derive(Debug)]
struct Sent {
    id: Uuid,
    digest: [u8; 32],
    payload_type: u32,
    flags: u64,
}

#[derive(Debug)]
struct Delivered {
    id: Uuid,
    acknowledged: bool,
}

/// The judge of one session.
#[derive(Debug, Default)]
pub struct Inspector {
    config: InspectorConfig,
    breaches: Vec<(BreachKind, String)>,
    traffic: Traffic,
    rate: RateMeter,
    request_ids: HashSet<String>,
    client_id: Option<String>,
    sent: BTreeMap<i64, Sent>,
    next_sequence: i64,
    gaps_allowed: bool,
    ids: HashSet<Uuid>,
    ids_in_order: VecDeque<Uuid>,
    response: Option<i64>,
    terminate: Option<i64>,
    delivered: BTreeMap<i64, Delivered>,
    requested: Option<Vec<String>>,
    complete: bool,
    client_version: Option<String>,
    reacks: HashMap<i64, Instant>,
    reack_order: VecDeque<(Instant, i64)>,
    program: programs::Program,
    forward: forward::Forward,
}

impl Inspector {
    /// A judge of a new session.
    pub fn new(config: InspectorConfig) -> Self {
        Self { config, ..Self::default() }
    }

    /// The breaches found since the last call.
    pub fn take_breaches(&mut self) -> Vec<(BreachKind, String)> {
        std::mem::take(&mut self.breaches)
    }

    /// The numbers so far.
    pub fn traffic(&self) -> Traffic {
        Traffic { peak_per_second: self.rate.peak() as u64, ..self.traffic }
    }

    /// Whether HandshakeComplete was delivered to the client.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Whether the client sent its terminate flag.
    pub fn has_terminated(&self) -> bool {
        self.terminate.is_some()
    }

    /// `ClientVersion` of the HandshakeResponse.
    pub fn client_version(&self) -> Option<&str> {
        self.client_version.as_deref()
    }

    /// The client's `ClientId`.
    pub fn client_id(&self) -> Option<&str> {
        self.client_id.as_deref()
    }

    /// For how long the client has been over the limit of messages per second.
    pub fn too_fast_for(&mut self, now: Instant) -> Duration {
        self.rate.too_fast_for(now)
    }

    /// A WebSocket ping came.
    pub fn ping(&mut self) {
        self.traffic.pings += 1;
    }

    /// The client's socket is gone: what was under way may be lost, and numbers may be missing when it comes back.
    pub fn transport_lost(&mut self) {
        self.gaps_allowed = true;
        self.forgive_acknowledgements();
    }

    /// Nothing is demanded for what came again so far: the client's answers are not being read.
    pub fn forgive_acknowledgements(&mut self) {
        self.reacks.clear();
        self.reack_order.clear();
    }

    /// When to call [`Self::check`] again.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.reack_order.front().map(|(deadline, _)| *deadline)
    }

    /// Reads the first text frame of a socket. `None` when it is no open message at all.
    pub fn open(&mut self, text: &str) -> Option<Open> {
        let open: Open = match serde_json::from_str(text) {
            Ok(open) => open,
            Err(error) => {
                self.found(BreachKind::OpenMalformed, error.to_string());
                return None;
            }
        };
        if open.schema_version != "1.0" {
            self.found(BreachKind::OpenMalformed, format!("MessageSchemaVersion is {:?}", open.schema_version));
        }
        if !is_hyphenated_uuid(&open.request_id) {
            self.found(BreachKind::OpenMalformed, format!("RequestId is {:?}", open.request_id));
        } else if !self.request_ids.insert(open.request_id.clone()) {
            self.found(BreachKind::RequestIdReused, open.request_id.clone());
        }
        match &open.client_id {
            Some(id) if is_hyphenated_uuid(id) => {
                if self.client_id.get_or_insert_with(|| id.clone()) != id {
                    self.found(BreachKind::ClientIdChanged, id.clone());
                }
            }
            other => self.found(BreachKind::OpenMalformed, format!("ClientId is {other:?}")),
        }
        match &open.client_version {
            Some(text) if version(text) >= LOWEST_CLIENT_VERSION && text.split('.').count() == 4 => {}
            other => self.found(BreachKind::ClientVersion, format!("ClientVersion is {other:?}")),
        }
        Some(open)
    }

    /// A text frame after the open message.
    pub fn text_from_client(&mut self, text: &str) {
        self.traffic.texts += 1;
        let quoted: String = text.chars().take(QUOTED).collect();
        self.found(BreachKind::TextFrame, quoted);
    }

    /// A binary frame as the client sent it.
    pub fn from_client(&mut self, now: Instant, frame: &Bytes) {
        self.traffic.messages_from_client += 1;
        self.rate.count(now);
        let message = match Message::decode(frame) {
            Ok(message) => message,
            Err(error) => return self.found(BreachKind::Malformed, error.to_string()),
        };
        self.header(frame, &message);
        match message.name() {
            message_type::ACKNOWLEDGE => self.acknowledgement(&message),
            message_type::INPUT => self.stream(&message),
            other => {
                let detail = format!("type {other:?}");
                self.found(BreachKind::MessageType, detail);
            }
        }
    }

    /// A binary frame as it is delivered to the client.
    pub fn to_client(&mut self, now: Instant, frame: &Bytes) {
        self.traffic.messages_to_client += 1;
        let Ok(message) = Message::decode(frame) else { return };
        let valid = message.created_date != 0 && message.digest_is_true();
        if message.name() != message_type::OUTPUT || !valid {
            return;
        }
        let sequence = message.sequence;
        if let Some(before) = self.delivered.get(&sequence) {
            self.traffic.agent_retransmissions += 1;
            if before.acknowledged && !self.reacks.contains_key(&sequence) {
                let deadline = now + self.config.reacknowledge_within;
                self.reacks.insert(sequence, deadline);
                self.reack_order.push_back((deadline, sequence));
            }
        } else {
            self.delivered.insert(sequence, Delivered { id: message.id, acknowledged: false });
            self.traffic.bytes_to_client += message.payload.len() as u64;
            if self.delivered.len() > REMEMBERED {
                self.delivered.pop_first();
            }
            self.program_says(message.payload_type);
        }
        match message.payload_type {
            payload_type::HANDSHAKE_REQUEST => self.requested = Some(requested_actions(&message.payload)),
            payload_type::HANDSHAKE_COMPLETE => self.complete = true,
            _ => {}
        }
    }

    /// Looks for acknowledgements that are overdue. Meant for a client that is attached and reads.
    pub fn check(&mut self, now: Instant) {
        while let Some((deadline, sequence)) = self.reack_order.front().copied() {
            if self.reacks.get(&sequence) == Some(&deadline) {
                if deadline > now {
                    return;
                }
                self.reacks.remove(&sequence);
                self.found(BreachKind::AckMissing, format!("message {sequence} came again"));
            }
            self.reack_order.pop_front();
        }
    }

    fn found(&mut self, kind: BreachKind, detail: impl Into<String>) {
        self.breaches.push((kind, detail.into()));
    }

    fn header(&mut self, frame: &Bytes, message: &Message) {
        let name = message.name();
        if message.header_length != HEADER_LENGTH {
            self.found(BreachKind::HeaderLength, format!("{}", message.header_length));
        }
        let whole = message.header_length as usize + 4 + message.payload.len();
        if whole != frame.len() {
            self.found(BreachKind::Malformed, format!("message of {whole} bytes in a frame of {}", frame.len()));
        }
        if message.raw_type != padded_type(name, b' ') {
            self.found(BreachKind::TypePadding, format!("{:?}", String::from_utf8_lossy(&message.raw_type)));
        }
        if message.schema_version != SCHEMA_VERSION {
            self.found(BreachKind::SchemaVersion, format!("{}", message.schema_version));
        }
        if message.created_date == 0 {
            self.found(BreachKind::CreatedDate, "0");
        }
        if !message.digest_is_true() {
            self.found(BreachKind::Digest, format!("message {} of type {name:?}", message.sequence));
        }
    }

    fn acknowledgement(&mut self, message: &Message) {
        self.traffic.acks_from_client += 1;
        let head = (message.sequence, message.flags, message.payload_type);
        if head != (0, ACK_FLAGS, payload_type::UNDEFINED) {
            self.found(BreachKind::AckForm, format!("sequence, flags and payload type are {head:?}"));
        }
        self.fresh_id(message);
        let ack: Acknowledgement = match serde_json::from_slice(&message.payload) {
            Ok(ack) => ack,
            Err(error) => return self.found(BreachKind::AckForm, error.to_string()),
        };
        if !ack.is_sequential {
            self.found(BreachKind::AckForm, "IsSequentialMessage is false");
        }
        if ack.message_type != message_type::OUTPUT {
            self.found(BreachKind::AckMismatch, format!("AcknowledgedMessageType is {:?}", ack.message_type));
        }
        let oldest = self.delivered.keys().next().copied().unwrap_or(0);
        match self.delivered.get_mut(&ack.sequence) {
            Some(delivered) => {
                delivered.acknowledged = true;
                if !is_id(&ack.message_id, delivered.id) {
                    let detail = format!("message {} is {}, not {:?}", ack.sequence, delivered.id, ack.message_id);
                    self.found(BreachKind::AckMismatch, detail);
                }
            }
            None if ack.sequence >= 0 && ack.sequence < oldest => {}
            None => self.found(BreachKind::AckUnknown, format!("message {} was not delivered", ack.sequence)),
        }
        self.reacks.remove(&ack.sequence);
    }

    fn stream(&mut self, message: &Message) {
        let sequence = message.sequence;
        if sequence < 0 {
            return self.found(BreachKind::Sequence, format!("{sequence}"));
        }
        let oldest = self.sent.keys().next().copied().unwrap_or(0);
        if let Some(before) = self.sent.get(&sequence) {
            let same_payload = before.digest == crate::codec::digest(&message.payload);
            let same_header =
                (before.id, before.payload_type, before.flags) == (message.id, message.payload_type, message.flags);
            self.traffic.client_retransmissions += 1;
            if !same_payload {
                self.found(BreachKind::SequenceReused, format!("message {sequence} has another payload"));
            }
            if !same_header {
                self.found(BreachKind::RetransmissionChanged, format!("message {sequence} again as {}", message.id));
            }
            return;
        }
        if sequence < oldest {
            self.traffic.client_retransmissions += 1;
            return;
        }
        if sequence > self.next_sequence && !self.gaps_allowed {
            let detail = format!("{sequence} came, {} was next", self.next_sequence);
            self.found(BreachKind::SequenceSkipped, detail);
        }
        self.next_sequence = self.next_sequence.max(sequence + 1);
        self.first_transmission(message);
        let sent = Sent {
            id: message.id,
            digest: crate::codec::digest(&message.payload),
            payload_type: message.payload_type,
            flags: message.flags,
        };
        self.sent.insert(sequence, sent);
        if self.sent.len() > REMEMBERED {
            self.sent.pop_first();
        }
    }

    fn first_transmission(&mut self, message: &Message) {
        let (sequence, kind) = (message.sequence, message.payload_type);
        self.fresh_id(message);
        let size = message.payload.len();
        self.traffic.bytes_from_client += size as u64;
        self.traffic.largest_payload = self.traffic.largest_payload.max(size as u64);
        if size == 0 {
            self.found(BreachKind::EmptyPayload, format!("message {sequence}"));
        }
        if size > self.config.payload_limit {
            self.found(BreachKind::PayloadSize, format!("message {sequence} has {size} bytes"));
        }
        let is_port = self.program.kind == SessionKind::Port;
        let response_fits = (kind == payload_type::HANDSHAKE_RESPONSE) == (sequence == 0);
        let excused = is_port && self.config.sizes_to_ports;
        let is_size = kind == payload_type::SIZE;
        if is_port && !response_fits && self.response.is_none() && !excused {
            self.found(BreachKind::Sequence, format!("message {sequence} has payload type {kind}"));
        }
        let terminate = kind == payload_type::FLAG && message.flag_value() == Some(flag::TERMINATE_SESSION);
        let syn_fits = message.flags & SYN == 0 || sequence == 0;
        let fin_fits = message.flags & FIN == 0 || terminate;
        if !syn_fits || !fin_fits || message.flags & !(SYN | FIN) != 0 {
            self.found(BreachKind::Flags, format!("message {sequence} has flags {}", message.flags));
        }
        match is_port {
            true if excused && is_size => {}
            true => self.judge_port(message, terminate),
            false => self.judge_program(message),
        }
    }

    /// Judges a message to a port that is sent for the first time.
    fn judge_port(&mut self, message: &Message, terminate: bool) {
        let (sequence, kind) = (message.sequence, message.payload_type);
        if let Some(end) = self.terminate.filter(|end| sequence > *end) {
            let kind = if terminate { BreachKind::TerminateTwice } else { BreachKind::DataAfterTerminate };
            self.found(kind, format!("message {sequence} after flag {end}"));
        }
        if !self.complete && kind != payload_type::HANDSHAKE_RESPONSE {
            self.found(BreachKind::DataEarly, format!("message {sequence} with payload type {kind}"));
        }
        match kind {
            payload_type::HANDSHAKE_RESPONSE => self.handshake_response(message),
            payload_type::OUTPUT => {}
            payload_type::FLAG if terminate => self.terminate = self.terminate.or(Some(sequence)),
            payload_type::FLAG if message.flag_value() == Some(flag::DISCONNECT_TO_PORT) => {}
            payload_type::FLAG => self.found(BreachKind::FlagValue, format!("{:?}", message.flag_value())),
            other => self.found(BreachKind::PayloadType, format!("message {sequence} has payload type {other}")),
        }
        self.judge_forward(message);
    }

    fn handshake_response(&mut self, message: &Message) {
        let sequence = message.sequence;
        if let Some(first) = self.response.replace(sequence) {
            self.found(BreachKind::ResponseTwice, format!("messages {first} and {sequence}"));
            return;
        }
        let Some(requested) = self.requested.clone() else {
            return self.found(BreachKind::ResponseEarly, format!("message {sequence}"));
        };
        let response: handshake::Response = match serde_json::from_slice(&message.payload) {
            Ok(response) => response,
            Err(error) => return self.found(BreachKind::ResponseContent, error.to_string()),
        };
        self.client_version = response.client_version;
        self.forward_begins();
        if self.client_version.is_none() {
            self.found(BreachKind::ResponseContent, "ClientVersion is missing");
        } else if self.program.kind != SessionKind::Port && !self.client_version.as_deref().is_some_and(is_version) {
            self.found(BreachKind::ClientVersion, format!("ClientVersion is {:?}", self.client_version));
        }
        let actions = response.actions.unwrap_or_default();
        let answered: Vec<&str> = actions.iter().map(|a| a.action.as_deref().unwrap_or("")).collect();
        if answered != requested {
            self.found(BreachKind::ResponseContent, format!("{answered:?} answers {requested:?}"));
        }
        for action in &actions {
            if !self.is_good_answer(action) {
                let detail = format!("{:?} has status {:?}", action.action, action.status);
                self.found(BreachKind::ResponseContent, detail);
            }
        }
    }

    fn fresh_id(&mut self, message: &Message) {
        if !self.ids.insert(message.id) {
            self.found(BreachKind::MessageIdReused, format!("{} in a {}", message.id, message.name()));
            return;
        }
        self.ids_in_order.push_back(message.id);
        if self.ids_in_order.len() > REMEMBERED
            && let Some(old) = self.ids_in_order.pop_front()
        {
            self.ids.remove(&old);
        }
    }
}

fn is_hyphenated_uuid(text: &str) -> bool {
    Uuid::try_parse(text).is_ok_and(|id| is_id(text, id))
}

/// Whether `text` is four numbers with dots between them.
fn is_version(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    parts.len() == 4 && parts.iter().all(|part| part.parse::<u32>().is_ok())
}

/// Whether `text` is `id`, hyphenated and in lower case.
fn is_id(text: &str, id: Uuid) -> bool {
    id.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == text
}

fn requested_actions(payload: &[u8]) -> Vec<String> {
    let Ok(json) = serde_json::from_slice::<serde_json::Value>(payload) else { return Vec::new() };
    let actions = json.get("RequestedClientActions").and_then(|a| a.as_array());
    let name = |action: &serde_json::Value| action.get("ActionType").and_then(|t| t.as_str()).map(str::to_owned);
    actions.into_iter().flatten().filter_map(name).collect()
}

#[cfg(test)]
mod tests;
