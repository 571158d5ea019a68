//! What happened so far: a plain value that tests assert on and the program prints.
//!
//! Nothing here acts; the rooms that know something write it down here.

use crate::agent::{AgentCounts, ForwardCounts, ForwardMode};
use crate::kind::SessionKind;
use crate::link::LinkCounts;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Instant;

/// Breaches that are kept; more are counted only.
const BREACHES_KEPT: usize = 1_000;

/// One rule of the protocol that the client broke. The variants name the rule; [`Breach::detail`] says how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum BreachKind {
    /// The upgrade is not signed (§2).
    UpgradeUnsigned,
    /// The upgrade's signature is wrong: key, scope, token, headers or the signature itself (§2).
    UpgradeSignature,
    /// The upgrade's `x-amz-date` is more than five minutes away (§2: sign anew for every dial).
    UpgradeStale,
    /// `Upgrade`, `Connection` or a `Sec-WebSocket-*` header is among the signed headers (§2).
    UpgradeSignsTransport,
    /// An earlier stream URL was dialled (§1).
    UpgradeOldUrl,
    /// A subprotocol was asked for (§2).
    UpgradeSubprotocol,
    /// A URL that was signed already was signed again (§2).
    UpgradeSignedTwice,
    /// A binary frame came before the open message (§2.1).
    OpenMissing,
    /// The open message lacks a field or holds a wrong value (§2.1).
    OpenMalformed,
    /// The token is not the session's (§2.1).
    OpenToken,
    /// A token was used a second time (§2.1).
    OpenTokenReused,
    /// `ClientId` changed on a reconnect (§7).
    ClientIdChanged,
    /// `RequestId` is not fresh (§2.1).
    RequestIdReused,
    /// `ClientVersion` is below 1.2.764.0 (§2.1).
    ClientVersion,
    /// A text frame after the open message (§2).
    TextFrame,
    /// Bytes that are no message, or more bytes than the message has (§3).
    Malformed,
    /// `HeaderLength` is not 116 (§3).
    HeaderLength,
    /// `MessageType` is not padded with spaces (§3).
    TypePadding,
    /// A message type that clients do not send (§3.1).
    MessageType,
    /// `SchemaVersion` is not 1 (§3).
    SchemaVersion,
    /// `CreatedDate` is zero (§3).
    CreatedDate,
    /// `PayloadDigest` is not the payload's (§3).
    Digest,
    /// `Flags` are not what the page allows (§4.1, §3.3).
    Flags,
    /// An empty payload in stream data (§3).
    EmptyPayload,
    /// A payload above the limit (§4.4).
    PayloadSize,
    /// A payload type that clients do not send in an SSH session (§3.2).
    PayloadType,
    /// A flag payload that is not one of the known numbers (§3.2).
    FlagValue,
    /// A sequence number was left out (§4.1).
    SequenceSkipped,
    /// A negative sequence number, or the first message is not the response (§4.1).
    Sequence,
    /// A sequence number was used again for another payload (§4.1).
    SequenceReused,
    /// A retransmission under a new `MessageId` or with another header (§4.3).
    RetransmissionChanged,
    /// One `MessageId` for two messages (§3).
    MessageIdReused,
    /// An acknowledgement of something that was never delivered (§3.3).
    AckUnknown,
    /// An acknowledgement that names the wrong type or id (§3.3).
    AckMismatch,
    /// An acknowledgement whose header or JSON is not as on the page (§3.3).
    AckForm,
    /// A message that came again was not acknowledged again (§4.3).
    AckMissing,
    /// A response before there was a request (§5).
    ResponseEarly,
    /// A second response with a new sequence number (§5).
    ResponseTwice,
    /// The response does not answer the request (§5).
    ResponseContent,
    /// Data or a flag before HandshakeComplete (§5).
    DataEarly,
    /// A second terminate flag with a new sequence number (§6).
    TerminateTwice,
    /// Stream data after the terminate flag (§6).
    DataAfterTerminate,
    /// More than 1000 messages a second for two seconds (§4.4).
    Rate,
    /// A flag in a shell or command, where it does nothing (sessions §2.1).
    FlagOutsidePort,
    /// A size that is not `{"cols":n,"rows":n}` (sessions §2.3).
    SizeContent,
    /// A size that has not changed, beyond the repeats at HandshakeComplete and at the first Output (sessions §8).
    SizeUnchanged,
    /// Output in an encrypted session that is too short to be encrypted (sessions §5.3).
    CipherShort,
    /// Output in an encrypted session that is not encrypted with the session's key (sessions §5.3).
    Plaintext,
    /// One nonce for two messages (sessions §5.3).
    NonceReused,
    /// An answer to the encryption challenge that is not as it should be (sessions §5.2).
    ChallengeContent,
    /// A frame of a forward whose version is not 1 (sessions §4.5). What follows it is not judged.
    MuxVersion,
    /// A frame of a forward with a command that version 1 does not have (sessions §4.5). What follows it is not judged.
    MuxCommand,
    /// A length in a frame without data (sessions §4.5).
    MuxLength,
    /// A stream's id that is not odd, or an id where there is no stream (sessions §4.5).
    MuxStreamId,
    /// One id for two streams, or a stream opened twice (sessions §4.5).
    MuxStreamReused,
    /// Data or an end for a stream that was never opened (sessions §4.5).
    MuxUnknownStream,
    /// Data after the stream's end (sessions §4.5).
    MuxDataAfterFin,
    /// A second end of one stream (sessions §4.5).
    MuxFinTwice,
    /// An API request that is not as the API demands (§1).
    Api,
}

/// A breach, where and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Breach {
    /// The rule.
    pub kind: BreachKind,
    /// The session, if it happened in one.
    pub session: Option<String>,
    /// What was seen.
    pub detail: String,
}

/// How far a session has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub enum SessionState {
    /// Not ended; a session left behind stays so.
    #[default]
    Open,
    /// By the client's terminate flag.
    EndedByFlag,
    /// By the client's TerminateSession.
    EndedByApi,
    /// By the TCP peer (sshd).
    EndedBySshd,
    /// By the end of its shell or command.
    EndedByProgram,
    /// By an administrator, that is by the test.
    EndedByAdmin,
    /// By a failure: port refused, handshake failed, limits exceeded, idle for too long.
    Failed,
}

/// Numbers of one session's client side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// Binary messages from the client, acknowledgements included.
    pub messages_from_client: u64,
    /// Binary messages to the client, acknowledgements included.
    pub messages_to_client: u64,
    /// Acknowledgements from the client.
    pub acks_from_client: u64,
    /// Most messages from the client within any one second.
    pub peak_per_second: u64,
    /// Stream-data messages that the client sent more than once.
    pub client_retransmissions: u64,
    /// Stream-data messages delivered to the client more than once.
    pub agent_retransmissions: u64,
    /// Largest stream payload from the client, bytes.
    pub largest_payload: u64,
    /// Stream payload bytes from the client in first transmissions.
    pub bytes_from_client: u64,
    /// Stream payload bytes to the client in first deliveries.
    pub bytes_to_client: u64,
    /// WebSocket pings from the client.
    pub pings: u64,
    /// Text frames from the client after the open message.
    pub texts: u64,
}

/// Numbers of the client's side of one forward, as it sent them; all but the flags are of smux.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ForwardTraffic {
    /// Streams opened.
    pub opened: u64,
    /// Streams closed.
    pub closed: u64,
    /// Frames.
    pub frames: u64,
    /// Bytes of data.
    pub bytes: u64,
    /// Most bytes of data in one frame.
    pub largest_frame: u64,
    /// Signs of life; no breach where the versions switch them off, since they may serve against the idle limit.
    pub nops: u64,
    /// Flags 1: close the connection to the port.
    pub disconnect_flags: u64,
}

/// The forward of one session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ForwardReport {
    /// How connections are carried.
    pub mode: ForwardMode,
    /// What the agent counted.
    #[serde(flatten)]
    pub counts: ForwardCounts,
    /// What the client sent.
    pub client: ForwardTraffic,
}

/// One session.
#[derive(Debug, Clone, Default, Serialize)]
pub struct SessionReport {
    /// `SessionId`.
    pub id: String,
    /// `Target`, exactly as it arrived.
    pub target: String,
    /// `DocumentName`, exactly as it arrived.
    pub document: Option<String>,
    /// `Parameters`, exactly as they arrived.
    pub parameters: BTreeMap<String, Vec<String>>,
    /// `Reason`, exactly as it arrived.
    pub reason: Option<String>,
    /// What the document made of the session.
    pub kind: SessionKind,
    /// Region in the signature of StartSession.
    pub region: String,
    /// How far it has come.
    pub state: SessionState,
    /// Text of `channel_closed`, if one was sent.
    pub closed_output: Option<String>,
    /// Whether a client socket is attached now.
    pub connected: bool,
    /// Accepted upgrades.
    pub upgrades: u64,
    /// Accepted open messages.
    pub opens: u64,
    /// ResumeSession calls that were answered with a token.
    pub resumes: u64,
    /// `ClientId` of the open message.
    pub client_id: Option<String>,
    /// `ClientVersion` of the open message.
    pub client_version: Option<String>,
    /// `ClientVersion` of the HandshakeResponse.
    pub handshake_client_version: Option<String>,
    /// Whether HandshakeComplete was delivered to the client.
    pub handshake_complete: bool,
    /// Whether the TCP port is connected, or was.
    pub port_connected: bool,
    /// Whether the client sent the terminate flag.
    pub terminate_flag: bool,
    /// Whether the client called TerminateSession, before or after the session's end.
    pub terminate_called: bool,
    /// Whether the program of the shell or command runs, or ran.
    pub program_started: bool,
    /// The exit code that the agent sent.
    pub exit_code: Option<i32>,
    /// Whether the agent encrypts the session.
    pub encrypted: bool,
    /// Close codes that the client's sockets ended with; `None` is a break without a close frame.
    pub client_closes: Vec<Option<u16>>,
    /// Numbers of the client side.
    pub traffic: Traffic,
    /// Numbers of the agent.
    pub agent: AgentCounts,
    /// The forward, once the handshake has shown how it goes on.
    pub forward: Option<ForwardReport>,
    /// Faults that have happened, ordered or scheduled.
    pub faults: u64,
    /// What the way from client to agent did.
    pub uplink: LinkCounts,
    /// What the way from agent to client did.
    pub downlink: LinkCounts,
}

/// One API call.
#[derive(Debug, Clone, Serialize)]
pub struct ApiCall {
    /// Operation, such as `StartSession`.
    pub operation: String,
    /// The JSON that came.
    pub request: serde_json::Value,
    /// HTTP status of the answer.
    pub status: u16,
    /// `__type` of the answer when it was an error.
    pub error: Option<String>,
    /// `User-Agent` of the caller.
    pub user_agent: String,
    /// When its header had arrived.
    #[serde(skip)]
    pub arrived: Instant,
}

/// One key that was pushed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PushedKey {
    /// `InstanceId`.
    pub instance_id: String,
    /// `InstanceOSUser`.
    pub os_user: String,
    /// `SSHPublicKey`.
    pub public_key: String,
}

/// One request to upgrade.
#[derive(Debug, Clone, Serialize)]
pub struct Upgrade {
    /// Path and query as they came.
    pub uri: String,
    /// Names (lower case) and values of the headers as they came.
    pub headers: Vec<(String, String)>,
    /// Whether it was accepted.
    pub accepted: bool,
}

/// Everything that happened so far.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Breaches of protocol by clients, in order; at most 1000 are kept.
    pub breaches: Vec<Breach>,
    /// All breaches, kept or not.
    pub breach_count: u64,
    /// API calls by operation.
    pub api: BTreeMap<String, u64>,
    /// API calls in order.
    pub calls: Vec<ApiCall>,
    /// Keys that were pushed, in order.
    pub pushed_keys: Vec<PushedKey>,
    /// Requests to upgrade in order.
    pub upgrades: Vec<Upgrade>,
    /// Sessions in order of their start.
    pub sessions: Vec<SessionReport>,
}

impl Report {
    /// Writes a breach down.
    pub fn breach(&mut self, kind: BreachKind, session: Option<&str>, detail: impl Into<String>) {
        self.breach_count += 1;
        if self.breaches.len() < BREACHES_KEPT {
            self.breaches.push(Breach { kind, session: session.map(str::to_owned), detail: detail.into() });
        }
    }

    /// How often `operation` was called.
    pub fn calls_of(&self, operation: &str) -> u64 {
        self.api.get(operation).copied().unwrap_or(0)
    }

    /// The session with this id.
    pub fn session(&self, id: &str) -> Option<&SessionReport> {
        self.sessions.iter().find(|session| session.id == id)
    }

    /// Sessions that are still open.
    pub fn open_sessions(&self) -> impl Iterator<Item = &SessionReport> {
        self.sessions.iter().filter(|session| session.state == SessionState::Open)
    }

    pub(crate) fn session_mut(&mut self, id: &str) -> Option<&mut SessionReport> {
        self.sessions.iter_mut().find(|session| session.id == id)
    }
}
