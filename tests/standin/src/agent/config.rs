//! What an agent is like: its version, its pace, and the misbehaviours that it is asked to show.
//!
//! Plain values; nothing here acts.

use std::time::Duration;

/// First agent version that acknowledges duplicates (protocol §4.2).
const ACKNOWLEDGES_DUPLICATES: [u64; 4] = [3, 2, 1041, 0];
/// Last agent version that does not know the terminate flag (§6).
const IGNORES_TERMINATE: [u64; 4] = [2, 3, 722, 0];

/// Settings of one agent. The default is a current agent at its true pace.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// `AgentVersion` of the handshake; old versions behave as old agents do (§4.2, §6).
    pub version: String,
    /// The session that it serves, for its error texts.
    pub session_id: String,
    /// `portNumber` of the session: what it asks to be connected to.
    pub port: String,
    /// Most payload bytes in one of its messages (§4.4).
    pub payload: usize,
    /// Time from one data message to the next (§4.4); zero switches it off. The agent sleeps 1 ms after each, which
    /// with all that comes on top made 0.8 MB/s where it was measured, hence the default of 1.25 ms.
    pub spacing: Duration,
    /// How often it looks at its oldest unacknowledged message (§4.3).
    pub tick: Duration,
    /// Time until it sends HandshakeRequest.
    pub request_delay: Duration,
    /// How long it waits for the HandshakeResponse (§5).
    pub response_timeout: Duration,
    /// Time between taking the response and sending HandshakeComplete.
    pub complete_delay: Duration,
    /// Time between sending HandshakeComplete and marking the handshake complete, in which data is still
    /// acknowledged and thrown away (§5).
    pub complete_gap: Duration,
    /// Whether HandshakeComplete goes out before the acknowledgement of the response (§5).
    pub complete_before_ack: bool,
    /// Whether HandshakeRequest is sent twice at once (§10.9).
    pub duplicate_request: bool,
    /// How many messages with data after HandshakeComplete are refused without acknowledgement (§10.2).
    pub refuse_first: u32,
    /// Whether an action nobody knows is asked for in the handshake (§10.14).
    pub unknown_action: bool,
    /// Whether KMS encryption is asked for in the handshake (§10.14).
    pub kms_action: bool,
    /// `CustomerMessage` of HandshakeComplete (§5).
    pub customer_message: String,
    /// Whether a refused port makes it crash, as agents of 3.3 do, and the session ends without a text (§6).
    pub crash_on_refused_port: bool,
    /// How long it waits for its own messages to be acknowledged at the end (§6).
    pub linger: Duration,
    /// Unacknowledged messages that it stores; more are sent but cannot be repaired (§4.3).
    pub send_capacity: usize,
    /// Messages that it keeps out of order (§4.2).
    pub reorder_capacity: usize,
}

impl Default for AgentConfig {
    fn default() -> Self {
        Self {
            version: "3.3.2299.0".into(),
            session_id: "standin-0".into(),
            port: "22".into(),
            payload: 1024,
            spacing: Duration::from_micros(1_250),
            tick: Duration::from_millis(100),
            request_delay: Duration::ZERO,
            response_timeout: Duration::from_secs(15),
            complete_delay: Duration::ZERO,
            complete_gap: Duration::from_millis(1),
            complete_before_ack: false,
            duplicate_request: false,
            refuse_first: 0,
            unknown_action: false,
            kms_action: false,
            customer_message: String::new(),
            crash_on_refused_port: false,
            linger: Duration::from_secs(2),
            send_capacity: 100_000,
            reorder_capacity: 100_000,
        }
    }
}

impl AgentConfig {
    /// Whether it acknowledges a message that it already has (§4.2).
    pub fn acknowledges_duplicates(&self) -> bool {
        version(&self.version) >= ACKNOWLEDGES_DUPLICATES
    }

    /// Whether it knows flag 2 (§6).
    pub fn knows_terminate(&self) -> bool {
        version(&self.version) > IGNORES_TERMINATE
    }
}

/// A dotted version as numbers that compare; what is missing or unreadable counts as 0.
pub fn version(text: &str) -> [u64; 4] {
    let mut parts = [0; 4];
    for (to, from) in parts.iter_mut().zip(text.split('.')) {
        *to = from.parse().unwrap_or(0);
    }
    parts
}
