//! The command line: every switch of the library as a flag, and nothing but flags.

use clap::{Args, Parser, ValueEnum};
use standin::agent::AgentConfig;
use standin::fault::parse_duration;
use standin::{
    AfterFlag, ApiRule, Destination, InspectorConfig, LinkConfig, Node, Options, Oversized, Scheduled, SessionDocument,
    StartPublication, Victims,
};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A stand-in of AWS Session Manager on this machine: its HTTP API, its message gateway and its agent.
///
/// Prints one line of JSON with its endpoint (for AWS_ENDPOINT_URL_SSM), region and credentials, and runs until
/// SIGINT or SIGTERM; then prints its report as one line of JSON and exits with 0 if no client broke a rule of the
/// protocol, else with 1.
#[derive(Debug, Parser)]
#[command(name = "standin", version)]
pub(crate) struct Arguments {
    /// A port of the target and where it leads, such as 22=127.0.0.1:2222; may be repeated. Other ports are closed.
    #[arg(long = "port", value_name = "PORT=ADDRESS", value_parser = parse_port)]
    ports: Vec<(u16, SocketAddr)>,

    /// A destination of forwards and where it leads, such as db.internal:5432=127.0.0.1:5432; may be repeated, also for one
    /// destination: its addresses in order. HOST is localhost for ports of the target. In place of the address: hangs, or
    /// hangs:TIME (no answer to a dial, until it fails after 127s if not given), never-reads (accepts and reads nothing).
    /// Other hosts and ports cannot be reached.
    #[arg(long = "destination", value_name = "HOST:PORT=ADDRESS")]
    destinations: Vec<Destination>,

    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,

    /// The region that requests must be signed for.
    #[arg(long, default_value = "us-east-1")]
    region: String,

    /// The access key id that requests must be signed with.
    #[arg(long, default_value = standin::options::EXAMPLE_ACCESS_KEY_ID)]
    access_key_id: String,

    /// Its secret.
    #[arg(long, default_value = standin::options::EXAMPLE_SECRET_ACCESS_KEY)]
    secret_access_key: String,

    /// The session token that requests must carry.
    #[arg(long)]
    session_token: Option<String>,

    /// Take requests that are not signed, too.
    #[arg(long)]
    accept_unsigned: bool,

    /// Serve https:// and wss:// with a throw-away certificate.
    #[arg(long)]
    tls: bool,

    /// Where to write the certificate of the throw-away authority.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,

    /// HOST:PORT that stream URLs name instead of the listening address.
    #[arg(long, value_name = "HOST:PORT")]
    stream_host: Option<String>,

    /// Hand out stream URLs that are signed already.
    #[arg(long)]
    presigned_urls: bool,

    /// A node for DescribeInstanceInformation: ID=NAME, or ID=NAME=PINGSTATUS; may be repeated.
    #[arg(long = "node", value_name = "ID=NAME", value_parser = parse_node)]
    nodes: Vec<Node>,

    /// The authorized_keys to which keys that are pushed by EC2 Instance Connect are added.
    #[arg(long, value_name = "FILE")]
    pushed_keys: Option<PathBuf>,

    /// A target that is not connected; may be repeated.
    #[arg(long, value_name = "TARGET")]
    not_connected: Vec<String>,

    /// A document that StartSession takes besides AWS's own: NAME, NAME=TYPE, or NAME=TYPE=COMMAND with {{ PARAMETER }} in
    /// it; may be repeated. TYPE: Port (if not given), Standard_Stream, InteractiveCommands, NonInteractiveCommands.
    /// For Port, properties may follow in place of the command, with parameters likewise: NAME=Port=KEY=VALUE,KEY=VALUE,
    /// such as Web=Port=type=LocalPortForwarding,portNumber={{ port }},localUnixSocket=/tmp/web.
    #[arg(long = "document", value_name = "NAME")]
    documents: Vec<SessionDocument>,

    /// A failing call: OPERATION=FAILURE[@SKIP][xTIMES], such as ResumeSession=throttling@1x3; may be repeated.
    /// OpenDataChannel is the upgrade of the WebSocket.
    /// GenerateDataKey is KMS's for clients, Decrypt the agent's own call.
    /// Failures: access-denied, throttling, target-not-connected, expired-token, invalid-document, does-not-exist,
    /// forbidden, server-error, unavailable, slow:TIME, empty-token, hang-up, key-not-found, key-disabled,
    /// says:STATUS:TYPE:MESSAGE.
    #[arg(long = "api", value_name = "RULE")]
    api_rules: Vec<ApiRule>,

    /// Something that happens on each session: WHEN=WHAT, such as 5s=bye or every-1000msg=reset; may be repeated.
    /// WHEN: TIME, every-TIME, Nmsg, every-Nmsg (messages from the client). WHAT: bye, close:CODE:REASON, reset,
    /// smaller-cell:BYTES, drop, silent:TIME, stop-reading:TIME, pause, start, channel-closed:TEXT, terminate, text:TEXT,
    /// binary:HEX, unknown-type, truncated, inject:PAYLOADTYPE:TEXT, agent-away:TIME.
    #[arg(long = "at", value_name = "WHEN=WHAT")]
    schedule: Vec<Scheduled>,

    /// Do not enforce 1000 messages per second.
    #[arg(long)]
    no_limits: bool,

    /// No limits and no pause between the agent's messages: as fast as it goes.
    #[arg(long)]
    unpaced: bool,

    /// Pause sessions whose client sends payloads above this many bytes, and then do what --oversized says.
    #[arg(long, value_name = "BYTES")]
    payload_kill: Option<usize>,

    /// What payloads above --payload-kill lead to.
    #[arg(long, value_name = "WHAT", default_value = "ends", requires = "payload_kill")]
    oversized: OversizedArgument,

    /// Payloads above this many bytes are a breach.
    #[arg(long, value_name = "BYTES", default_value_t = 1536)]
    payload_limit: usize,

    /// Within what time a message that came again has to be acknowledged again.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    reacknowledge_within: Duration,

    /// When the client is told start_publication.
    #[arg(long, value_name = "WHEN", default_value = "before")]
    start_publication: Publication,

    /// Say nothing after the terminate flag: no channel_closed.
    #[arg(long)]
    silent_end: bool,

    /// Do not pause the agent while its client is away.
    #[arg(long)]
    no_pause_while_away: bool,

    /// Time without messages after which a session ends.
    #[arg(long, value_name = "TIME", default_value = "20m", value_parser = parse_duration)]
    idle_limit: Duration,

    /// Size of the send buffers of clients' sockets.
    #[arg(long, value_name = "BYTES")]
    send_buffer: Option<usize>,

    /// Seed of everything random.
    #[arg(long, default_value_t = 1)]
    seed: u64,

    #[command(flatten)]
    agent: AgentArguments,

    #[command(flatten)]
    network: NetworkArguments,
}

/// When the client is told start_publication.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Publication {
    /// After the open message.
    Before,
    /// After the handshake.
    After,
    /// Not at all.
    Never,
}

/// What payloads that are too large lead to.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum OversizedArgument {
    /// A pause, then the end of the session.
    Ends,
    /// A pause each.
    Pauses,
    /// A pause, then a closed socket.
    Closes,
}

/// What the agent is like.
#[derive(Debug, Args)]
#[command(next_help_heading = "Agent")]
struct AgentArguments {
    /// The agent's version; below 3.2.1041.0 it acknowledges no duplicates, up to 2.3.722.0 it knows no terminate
    /// flag.
    #[arg(long, value_name = "VERSION")]
    agent_version: Option<String>,

    /// Time from one of the agent's data messages to the next, 1.25ms if not given; 0ms switches it off.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    spacing: Option<Duration>,

    /// How often the agent looks at its oldest unacknowledged message.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    tick: Option<Duration>,

    /// Time until HandshakeRequest.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    request_delay: Option<Duration>,

    /// Time between HandshakeResponse and HandshakeComplete.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    complete_delay: Option<Duration>,

    /// Time after HandshakeComplete in which data is still acknowledged and thrown away.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    complete_gap: Option<Duration>,

    /// HandshakeComplete before the acknowledgement of the response.
    #[arg(long)]
    complete_before_ack: bool,

    /// HandshakeRequest twice.
    #[arg(long)]
    duplicate_request: bool,

    /// Refuse the first N data messages after HandshakeComplete without acknowledgement.
    #[arg(long, value_name = "N", default_value_t = 0)]
    refuse_first: u32,

    /// Ask for an action nobody knows in the handshake.
    #[arg(long)]
    unknown_action: bool,

    /// Ask for KMS encryption in the handshake of a session to a port, where no agent does.
    #[arg(long)]
    kms_action: bool,

    /// kmsKeyId of the preferences: shells and commands are encrypted with data keys of this key, which the KMS here knows
    /// by this name alone.
    #[arg(long, value_name = "KEY")]
    kms_key_id: Option<String>,

    /// No Challenge for the KMS context, as with older agents.
    #[arg(long)]
    no_kms_challenge: bool,

    /// Refuse clients that do not take the challenge (RequireKMSChallengeResponse).
    #[arg(long)]
    require_kms_challenge: bool,

    /// Time that KMS takes to decrypt a data key for the agent.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    decrypt_delay: Option<Duration>,

    /// Be a container's agent: interactive commands are split and run without a shell. ecs: targets always are.
    #[arg(long)]
    container: bool,

    /// Time between the agent's connect and its mark that there is no handshake, in which messages are acknowledged and
    /// lost; 1ms if not given.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    skip_gap: Option<Duration>,

    /// Time until the program of a shell or command is there, 10ms if not given; till then every message is refused.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    launch_delay: Option<Duration>,

    /// Time from the start of a terminal's program until its output is read, 1s if not given.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    first_read_delay: Option<Duration>,

    /// Time that the agent waits after a terminal's program could not be started, 2s if not given.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    start_failure_pause: Option<Duration>,

    /// Time between the exit code and the reason of a command that could not be started, 1s if not given.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    start_error_delay: Option<Duration>,

    /// No program can be started, for this reason.
    #[arg(long, value_name = "TEXT")]
    fail_start: Option<String>,

    /// Exit codes after a signal are always lost: 1.
    #[arg(long)]
    lost_exit_codes: bool,

    /// CustomerMessage of HandshakeComplete.
    #[arg(long, value_name = "TEXT")]
    customer_message: Option<String>,

    /// A host to which nothing is forwarded, besides the addresses of metadata, DNS and time; may be repeated.
    #[arg(long = "deny", value_name = "HOST")]
    denied: Vec<String>,

    /// Crash on a refused port: channel_closed without a text.
    #[arg(long)]
    crash_on_refused_port: bool,
}

/// What the network between client and agent is like.
#[derive(Debug, Args)]
#[command(next_help_heading = "Network, both ways unless --only says otherwise")]
struct NetworkArguments {
    /// Probability that a message is lost, 0 to 1.
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    loss: f64,

    /// Probability that a message comes twice.
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    duplicate: f64,

    /// Probability that a message is overtaken by later ones.
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    reorder: f64,

    /// Probability that a message is damaged. Use it with --only down: the agent checks no digest.
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    corrupt: f64,

    /// Time that a message takes one way.
    #[arg(long, value_name = "TIME", default_value = "0ms", value_parser = parse_duration)]
    delay: Duration,

    /// Additional time, at random up to this.
    #[arg(long, value_name = "TIME", default_value = "0ms", value_parser = parse_duration)]
    jitter: Duration,

    /// Messages per second that pass.
    #[arg(long, value_name = "N")]
    messages_per_second: Option<u32>,

    /// The direction that is hurt.
    #[arg(long, value_name = "DIRECTION")]
    only: Option<Direction>,

    /// The messages that are lost, doubled, overtaken and damaged.
    #[arg(long, value_name = "KIND", default_value = "all")]
    victims: Kind,
}

/// A direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Direction {
    /// Client to agent.
    Up,
    /// Agent to client.
    Down,
}

/// A kind of message.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// Every message.
    All,
    /// Acknowledgements.
    Acks,
    /// Everything but acknowledgements.
    Data,
}

fn parse_port(text: &str) -> Result<(u16, SocketAddr), String> {
    let (port, address) = text.split_once('=').ok_or("write PORT=ADDRESS, such as 22=127.0.0.1:2222")?;
    let port = port.parse().map_err(|error| format!("{port:?}: {error}"))?;
    Ok((port, address.parse().map_err(|error| format!("{address:?}: {error}"))?))
}

fn parse_node(text: &str) -> Result<Node, String> {
    let mut parts = text.split('=');
    let (Some(id), Some(name)) = (parts.next(), parts.next()) else {
        return Err("write ID=NAME, such as i-0123=web".into());
    };
    let mut node = Node::online(id, name);
    if let Some(status) = parts.next() {
        node.ping_status = status.into();
    }
    Ok(node)
}

impl Arguments {
    /// The options that these flags stand for.
    ///
    /// # Errors
    /// A probability that is none.
    pub(crate) fn options(&self) -> Result<Options, String> {
        let (uplink, downlink) = self.network.links()?;
        let defaults = Options::default();
        let options = Options {
            listen: self.listen,
            ports: self.ports.clone(),
            own_ports: false,
            destinations: self.destinations.clone(),
            host: None,
            region: self.region.clone(),
            credentials: standin::sigv4::Credentials {
                access_key_id: self.access_key_id.clone(),
                secret_access_key: self.secret_access_key.clone(),
                session_token: self.session_token.clone(),
            },
            accept_unsigned: self.accept_unsigned,
            tls: self.tls,
            host_names: Vec::new(),
            ca_pem_path: self.ca_file.clone(),
            stream_host: self.stream_host.clone(),
            presigned_urls: self.presigned_urls,
            nodes: self.nodes.clone(),
            pushed_keys: self.pushed_keys.clone(),
            not_connected: self.not_connected.clone(),
            documents: Vec::new(),
            session_documents: self.documents.clone(),
            api_rules: self.api_rules.clone(),
            schedule: self.schedule.clone(),
            agent: self.agent.config(defaults.agent),
            uplink,
            downlink,
            seed: self.seed,
            limits: !self.no_limits,
            payload_kill: self.payload_kill,
            oversized: match self.oversized {
                OversizedArgument::Ends => Oversized::Ends,
                OversizedArgument::Pauses => Oversized::Pauses,
                OversizedArgument::Closes => Oversized::Closes,
            },
            inspector: InspectorConfig {
                payload_limit: self.payload_limit,
                reacknowledge_within: self.reacknowledge_within,
                ..InspectorConfig::default()
            },
            start_publication: match self.start_publication {
                Publication::Before => StartPublication::Before,
                Publication::After => StartPublication::After,
                Publication::Never => StartPublication::Never,
            },
            after_flag: if self.silent_end { AfterFlag::Nothing } else { AfterFlag::ChannelClosed },
            pause_agent_while_away: !self.no_pause_while_away,
            idle_limit: self.idle_limit,
            send_buffer: self.send_buffer,
        };
        Ok(if self.unpaced { options.unpaced() } else { options })
    }
}

impl AgentArguments {
    fn config(&self, default: AgentConfig) -> AgentConfig {
        AgentConfig {
            version: self.agent_version.clone().unwrap_or(default.version),
            spacing: self.spacing.unwrap_or(default.spacing),
            tick: self.tick.unwrap_or(default.tick),
            request_delay: self.request_delay.unwrap_or(default.request_delay),
            complete_delay: self.complete_delay.unwrap_or(default.complete_delay),
            complete_gap: self.complete_gap.unwrap_or(default.complete_gap),
            complete_before_ack: self.complete_before_ack,
            duplicate_request: self.duplicate_request,
            refuse_first: self.refuse_first,
            unknown_action: self.unknown_action,
            kms_action: self.kms_action,
            customer_message: self.customer_message.clone().unwrap_or(default.customer_message),
            crash_on_refused_port: self.crash_on_refused_port,
            kms_key_id: self.kms_key_id.clone(),
            kms_challenge: !self.no_kms_challenge,
            require_challenge: self.require_kms_challenge,
            decrypt_delay: self.decrypt_delay.unwrap_or(default.decrypt_delay),
            container: self.container,
            skip_gap: self.skip_gap.unwrap_or(default.skip_gap),
            launch_delay: self.launch_delay.unwrap_or(default.launch_delay),
            first_read_delay: self.first_read_delay.unwrap_or(default.first_read_delay),
            start_failure_pause: self.start_failure_pause.unwrap_or(default.start_failure_pause),
            start_error_delay: self.start_error_delay.unwrap_or(default.start_error_delay),
            fail_start: self.fail_start.clone(),
            lost_exit_codes: self.lost_exit_codes,
            denied: default.denied.iter().chain(&self.denied).cloned().collect(),
            ..default
        }
    }
}

impl NetworkArguments {
    fn links(&self) -> Result<(LinkConfig, LinkConfig), String> {
        let chances = [self.loss, self.duplicate, self.reorder, self.corrupt];
        if let Some(chance) = chances.iter().find(|chance| !(0.0..=1.0).contains(*chance)) {
            return Err(format!("{chance} is no probability"));
        }
        let link = LinkConfig {
            loss: self.loss,
            duplicate: self.duplicate,
            reorder: self.reorder,
            reorder_by: Duration::ZERO,
            corrupt: self.corrupt,
            delay: self.delay,
            jitter: self.jitter,
            frames_per_second: self.messages_per_second,
            victims: match self.victims {
                Kind::All => Victims::All,
                Kind::Acks => Victims::Acknowledgements,
                Kind::Data => Victims::Data,
            },
        };
        let or_clear = |hurt: bool| if hurt { link.clone() } else { LinkConfig::default() };
        Ok((or_clear(self.only != Some(Direction::Down)), or_clear(self.only != Some(Direction::Up))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(args: &[&str]) -> Options {
        let all = std::iter::once("standin").chain(args.iter().copied());
        Arguments::try_parse_from(all).unwrap().options().unwrap()
    }

    #[test]
    fn without_flags_it_is_the_librarys_default() {
        assert_eq!(format!("{:?}", options(&[])), format!("{:?}", Options::default()));
    }

    #[test]
    fn flags_reach_the_options() {
        let options = options(&[
            "--port",
            "22=127.0.0.1:2222",
            "--port",
            "80=[::1]:80",
            "--at",
            "every-60s=bye",
            "--unpaced",
            "--loss",
            "0.01",
            "--only",
            "up",
            "--node",
            "i-1=web",
            "--api",
            "ResumeSession=empty-token",
        ]);
        assert_eq!(options.ports.len(), 2);
        assert_eq!(options.schedule.len(), 1);
        assert!(!options.limits && options.agent.spacing.is_zero());
        assert_eq!((options.uplink.loss, options.downlink.loss), (0.01, 0.0));
        assert_eq!(options.nodes, [Node::online("i-1", "web")]);
        assert_eq!(options.api_rules.len(), 1);
    }

    #[test]
    fn flags_for_shells_and_commands_reach_the_options() {
        let options = options(&[
            "--document",
            "Mine",
            "--document",
            "Logs=NonInteractiveCommands=tail -n {{ lines }} a=b",
            "--kms-key-id",
            "alias/lab",
            "--no-kms-challenge",
            "--first-read-delay",
            "5ms",
        ]);
        let kinds: Vec<_> = options.session_documents.iter().map(|document| document.kind.name()).collect();
        assert_eq!(kinds, ["Port", "NonInteractiveCommands"]);
        assert_eq!(options.session_documents[1].command.as_deref(), Some("tail -n {{ lines }} a=b"));
        assert_eq!(options.agent.kms_key_id.as_deref(), Some("alias/lab"));
        assert!(!options.agent.kms_challenge && options.agent.first_read_delay == Duration::from_millis(5));
        assert!(Arguments::try_parse_from(["standin", "--document", "Mine=Shell"]).is_err());
    }

    #[test]
    fn flags_for_forwards_reach_the_options() {
        let options = options(&[
            "--destination",
            "db:5432=127.0.0.1:1",
            "--destination",
            "slow:1=hangs:2s",
            "--document",
            "Web=Port=type=LocalPortForwarding,portNumber={{ port }}",
            "--deny",
            "secret.internal",
        ]);
        assert_eq!(options.destinations.len(), 2);
        assert_eq!(options.destinations[1].lead, standin::Lead::Hangs(Duration::from_secs(2)));
        assert_eq!(options.session_documents[0].properties["portNumber"], "{{ port }}");
        assert!(options.agent.is_denied("secret.internal") && options.agent.is_denied("169.254.169.254"));
        assert!(!options.agent.is_denied("db"));
        assert!(Arguments::try_parse_from(["standin", "--destination", "db:5432"]).is_err());
    }

    #[test]
    fn nonsense_is_refused() {
        for args in [["--port", "22"], ["--at", "5=bye"], ["--api", "x"], ["--node", "i-1"], ["--spacing", "5"]] {
            assert!(Arguments::try_parse_from(std::iter::once("standin").chain(args)).is_err(), "{args:?}");
        }
        assert!(Arguments::parse_from(["standin", "--loss", "1.5"]).options().is_err());
    }
}
