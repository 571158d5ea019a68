//! Everything that can be chosen before the stand-in starts.
//!
//! Plain values with the defaults of a healthy service; nothing here acts.

use crate::agent::AgentConfig;
use crate::destination::Destination;
use crate::documents::SessionDocument;
use crate::fault::{ApiRule, Scheduled};
use crate::inspector::InspectorConfig;
use crate::link::LinkConfig;
use crate::sigv4::Credentials;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// A node that DescribeInstanceInformation lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// `InstanceId`: `i-…` or `mi-…`.
    pub id: String,
    /// `Name`: that of a hybrid node's activation, no tag.
    pub name: Option<String>,
    /// `ComputerName`.
    pub computer_name: String,
    /// `IPAddress`.
    pub ip_address: String,
    /// `PlatformType`: `Linux`, `Windows` or `MacOS`.
    pub platform: String,
    /// `AgentVersion`; that of all agents when `None`.
    pub agent_version: Option<String>,
    /// `PingStatus`: `Online`, `ConnectionLost` or `Inactive`.
    pub ping_status: String,
    /// How long before the call `LastPingDateTime` is.
    pub last_ping: Duration,
    /// Tags, which the `tag:KEY` filters look at.
    pub tags: BTreeMap<String, String>,
}

impl Node {
    /// An online node with a `Name` tag; its computer name is the same.
    pub fn online(id: &str, name: &str) -> Self {
        Self {
            id: id.into(),
            name: None,
            computer_name: name.into(),
            ip_address: "10.0.0.1".into(),
            platform: "Linux".into(),
            agent_version: None,
            ping_status: "Online".into(),
            last_ping: Duration::ZERO,
            tags: BTreeMap::from([("Name".into(), name.into())]),
        }
    }
}

/// When the client is told `start_publication` (§10.9).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StartPublication {
    /// Right after its open message.
    #[default]
    Before,
    /// After HandshakeComplete.
    After,
    /// Not at all.
    Never,
}

/// What happens after the client's terminate flag (§10.10).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AfterFlag {
    /// `channel_closed`, as it should be.
    #[default]
    ChannelClosed,
    /// The session ends but nothing is said and the socket stays.
    Nothing,
}

/// What the service does to a client that sends payloads above [`Options::payload_kill`] (§10.8). It passes them on, and
/// the first brings `pause_publication`; this is what follows when they go on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Oversized {
    /// After a few more the session ends, as was seen.
    #[default]
    Ends,
    /// Each brings a pause, and nothing else.
    Pauses,
    /// After a few more the socket is closed with 1009; the session goes on.
    Closes,
}

/// Settings of a stand-in. The default is a healthy service at its true pace with its true limits.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Remote ports and what they lead to; any other port is closed.
    pub ports: Vec<(u16, SocketAddr)>,
    /// Any other port is this machine's, as if the node were this machine.
    pub own_ports: bool,
    /// What can be reached through the node, and ports of the node that behave badly; anything else is not there.
    pub destinations: Vec<Destination>,
    /// The host of its URLs, if it is not to be the address where it listens; its certificate is for that too.
    pub host: Option<String>,
    /// The region that signatures must name.
    pub region: String,
    /// The only identity.
    pub credentials: Credentials,
    /// Take requests that are not signed, too, as doubles and gateways do.
    pub accept_unsigned: bool,
    /// Serve TLS with a throw-away certificate for localhost, 127.0.0.1 and ::1.
    pub tls: bool,
    /// Host names that the certificate is for besides.
    pub host_names: Vec<String>,
    /// Where the PEM of the throw-away authority is written; a file in the temporary folder when `None`.
    pub ca_pem_path: Option<PathBuf>,
    /// `host:port` that stream URLs name in place of this server.
    pub stream_host: Option<String>,
    /// Hand out stream URLs that are signed already (§2).
    pub presigned_urls: bool,
    /// Nodes that DescribeInstanceInformation lists.
    pub nodes: Vec<Node>,
    /// The `authorized_keys` to which keys that are pushed are added. An instance's sshd asks for them; a private sshd
    /// reads a file.
    pub pushed_keys: Option<PathBuf>,
    /// Targets that StartSession does not know or finds not connected.
    pub not_connected: Vec<String>,
    /// Documents besides AWS's own for SSH and port forwarding.
    pub documents: Vec<String>,
    /// Documents of the account with the kind of their sessions; they come before AWS's own of the same name.
    pub session_documents: Vec<SessionDocument>,
    /// Failures of the API.
    pub api_rules: Vec<ApiRule>,
    /// Failures of the channel, by schedule.
    pub schedule: Vec<Scheduled>,
    /// What each session's agent is like; what the session is about is filled in.
    pub agent: AgentConfig,
    /// The way from client to agent.
    pub uplink: LinkConfig,
    /// The way from agent to client.
    pub downlink: LinkConfig,
    /// Seed of everything that is random.
    pub seed: u64,
    /// Enforce the service's limit of messages per second (§4.4).
    pub limits: bool,
    /// Payloads from the client above this, in bytes, are not put up with (§10.8).
    pub payload_kill: Option<usize>,
    /// What they lead to.
    pub oversized: Oversized,
    /// What is asked of the client beyond the page.
    pub inspector: InspectorConfig,
    /// When the client is told to start.
    pub start_publication: StartPublication,
    /// What follows the terminate flag.
    pub after_flag: AfterFlag,
    /// Tell the agent to pause while its client is away (§7).
    pub pause_agent_while_away: bool,
    /// Time without messages either way after which the service ends a session (§6).
    pub idle_limit: Duration,
    /// Bytes of the kernel's send buffer for clients' sockets: how much can be lost by a break. The system's choice
    /// when `None`.
    pub send_buffer: Option<usize>,
}

/// Access key id of AWS's documentation, the stand-in's default.
pub const EXAMPLE_ACCESS_KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
/// The secret that belongs to [`EXAMPLE_ACCESS_KEY_ID`]; it is public and opens nothing.
pub const EXAMPLE_SECRET_ACCESS_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            ports: Vec::new(),
            own_ports: false,
            destinations: Vec::new(),
            host: None,
            region: "us-east-1".into(),
            credentials: Credentials {
                access_key_id: EXAMPLE_ACCESS_KEY_ID.into(),
                secret_access_key: EXAMPLE_SECRET_ACCESS_KEY.into(),
                session_token: None,
            },
            accept_unsigned: false,
            tls: false,
            host_names: Vec::new(),
            ca_pem_path: None,
            stream_host: None,
            presigned_urls: false,
            nodes: Vec::new(),
            pushed_keys: None,
            not_connected: Vec::new(),
            documents: Vec::new(),
            session_documents: Vec::new(),
            api_rules: Vec::new(),
            schedule: Vec::new(),
            agent: AgentConfig::default(),
            uplink: LinkConfig::default(),
            downlink: LinkConfig::default(),
            seed: 1,
            limits: true,
            payload_kill: None,
            oversized: Oversized::default(),
            inspector: InspectorConfig::default(),
            start_publication: StartPublication::default(),
            after_flag: AfterFlag::default(),
            pause_agent_while_away: true,
            idle_limit: Duration::from_secs(20 * 60),
            send_buffer: None,
        }
    }
}

impl Options {
    /// The same without what makes the service slow: no limit of messages, no pause between the agent's messages.
    pub fn unpaced(mut self) -> Self {
        self.limits = false;
        self.agent.spacing = Duration::ZERO;
        self
    }
}
