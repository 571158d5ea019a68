//! What an agent is like: its version, its pace, and the misbehaviours that it is asked to show.
//!
//! Plain values; nothing here acts.

use crate::kind::SessionKind;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// First agent version that acknowledges duplicates (protocol §4.2).
const ACKNOWLEDGES_DUPLICATES: [u64; 4] = [3, 2, 1041, 0];
/// `type` in the properties of a forward (sessions §4.1).
pub const LOCAL_FORWARD: &str = "LocalPortForwarding";
/// Last agent version that does not know the terminate flag (§6).
const IGNORES_TERMINATE: [u64; 4] = [2, 3, 722, 0];

/// Addresses to which nothing is forwarded: metadata, DNS and time (sessions §4.2).
const DENIED: [&str; 9] = [
    "169.254.169.254",
    "169.254.169.253",
    "169.254.169.123",
    "169.254.169.250",
    "169.254.169.251",
    "fd00:ec2::254",
    "fd00:ec2::253",
    "fd00:ec2::123",
    "fd00:ec2::240",
];

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
    /// What the session is; filled in, as are the six that follow.
    pub kind: SessionKind,
    /// `Properties` of a session to a port, if its document has more than the port (sessions §1.2).
    pub properties: BTreeMap<String, String>,
    /// `Target` of StartSession, which is in the KMS context (sessions §5.2).
    pub target: String,
    /// The command, if the session runs one.
    pub command: String,
    /// Whether a command's output, errors and exit code are sent apart (sessions §3.2).
    pub separate: bool,
    /// What is put before chunks of a command's output and errors (sessions §3.2).
    pub prefixes: [String; 2],
    /// Whether it is the agent of a container, which runs interactive commands without a shell (sessions §3.1).
    pub container: bool,
    /// Time between its connect and its mark that there is no handshake, in which messages are acknowledged and lost
    /// (sessions §2.3).
    pub skip_gap: Duration,
    /// Time until the program of a shell or a command is there; till then every message is refused (sessions §2.1).
    pub launch_delay: Duration,
    /// Time from the start of a terminal's program until its output is read (sessions §2.1).
    pub first_read_delay: Duration,
    /// Time that it waits after a terminal's program could not be started (sessions §2.1).
    pub start_failure_pause: Duration,
    /// Time between the exit code and the reason of a command that could not be started (sessions §3.2).
    pub start_error_delay: Duration,
    /// Why no program can be started, if none can.
    pub fail_start: Option<String>,
    /// Whether the wait after a signal always wins the race, so that the code is 1 (sessions §3.2). If not, it wins it
    /// when the signal killed the command.
    pub lost_exit_codes: bool,
    /// `kmsKeyId` of the preferences: sessions are encrypted with a data key of this key, except to ports (sessions §5.1).
    pub kms_key_id: Option<String>,
    /// Whether its handshake has a `Challenge` for the KMS context (sessions §5.2).
    pub kms_challenge: bool,
    /// `RequireKMSChallengeResponse`: whether it refuses clients that do not take the challenge (sessions §5.2).
    pub require_challenge: bool,
    /// Time that KMS takes to decrypt the data key (sessions §5.2).
    pub decrypt_delay: Duration,
    /// Hosts to which nothing is forwarded (sessions §4.2).
    pub denied: Vec<String>,
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
            kind: SessionKind::Port,
            properties: BTreeMap::new(),
            target: "i-standin".into(),
            command: String::new(),
            separate: false,
            prefixes: [String::new(), String::new()],
            container: false,
            skip_gap: Duration::from_millis(1),
            launch_delay: Duration::from_millis(10),
            first_read_delay: Duration::from_secs(1),
            start_failure_pause: Duration::from_secs(2),
            start_error_delay: Duration::from_secs(1),
            fail_start: None,
            lost_exit_codes: false,
            kms_key_id: None,
            kms_challenge: true,
            require_challenge: false,
            decrypt_delay: Duration::ZERO,
            denied: DENIED.map(str::to_owned).to_vec(),
        }
    }
}

impl AgentConfig {
    /// Whether it acknowledges a message that it already has (§4.2).
    pub fn acknowledges_duplicates(&self) -> bool {
        version(&self.version) >= ACKNOWLEDGES_DUPLICATES
    }

    /// Whether the session is encrypted: a key is set and it is not to a port (sessions §5.1).
    pub fn is_encrypted(&self) -> bool {
        self.kind != SessionKind::Port && self.kms_key_id.as_ref().is_some_and(|key| !key.is_empty())
    }

    /// Whether it shakes hands at all (sessions §1.2).
    pub fn shakes_hands(&self) -> bool {
        self.kind.always_shakes_hands() || self.is_encrypted()
    }

    /// Whether the session is a forward (sessions §4).
    pub fn is_forward(&self) -> bool {
        self.kind == SessionKind::Port && self.properties.get("type").is_some_and(|kind| kind == LOCAL_FORWARD)
    }

    /// The host that a forward leads to; the node itself when it is empty.
    pub fn host(&self) -> &str {
        self.properties.get("host").map_or("", String::as_str)
    }

    /// Whether nothing is forwarded to this host. Addresses are compared as such, however they are written.
    pub fn is_denied(&self, host: &str) -> bool {
        let address = host.parse::<IpAddr>();
        let is = |denied: &String| denied == host || address.as_ref().is_ok_and(|a| denied.parse() == Ok(*a));
        self.denied.iter().any(is)
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
