//! The flags as clap reads them.

mod meaning;

use std::path::PathBuf;

use clap::{
    ArgAction, Parser,
    builder::{NonEmptyStringValueParser, PossibleValuesParser},
};
use ssm_aws::Tag;

use super::{
    help::{AFTER_LONG_HELP, LONG_ABOUT, USAGE},
    input,
    invocation::{Color, Skeleton},
    local_forward::{self, LocalForward},
    parameters::{self, Parameters},
    reach::Reach,
    unused::FORMATS,
};

/// The default of `--connect-timeout`, in seconds. The agent may have to start a worker first, and gives a handshake up
/// itself after 15 s.
pub(super) const CONNECT_SECONDS: u32 = 60;
/// The default of `--resume-timeout`, in seconds: a walk with a closed laptop, and half of the time after which the
/// service ends a session that nobody listens to.
pub(super) const RESUME_SECONDS: u32 = 600;
/// `--wait` without a number, in seconds: an instance boots and its agent registers within a minute or two.
const WAIT_SECONDS: &str = "120";
/// The default of `--sessions`: `pg_dump -j 4`, and half of what a browser opens at once.
const SESSIONS: u8 = 4;
/// `--bond` without a number: some 3 MB/s, for four lines in the audit log.
const BOND: &str = "4";
/// The longest `Reason` that StartSession takes, in characters (protocol §1).
const MAX_REASON_CHARS: usize = 256;

#[derive(Debug, Parser)]
#[command(
    name = "ssm-proxy",
    version,
    about = "Shells, commands and SSH connections over AWS Session Manager",
    long_about = LONG_ABOUT,
    after_help = "Try '--help' for how to set it up, the exit codes and more about each option.",
    after_long_help = AFTER_LONG_HELP,
    override_usage = USAGE,
    // As the AWS CLI does: a line that abbreviates its options goes on working.
    infer_long_args = true,
    arg_required_else_help = true
)]
pub(super) struct Flags {
    /// Node: i-…, mi-…, or its name or address; .REGION.PROFILE may follow
    #[arg(
        value_name = "HOST", value_parser = NonEmptyStringValueParser::new(),
        long_help = "The managed node to connect to: an EC2 instance (i-…), a hybrid node (mi-…), an ECS task \
            (ecs:cluster_task_runtimeid), or what a node is known by: its Name tag, computer name, private DNS name or \
            address. Ids and names may have .REGION or .REGION.PROFILE behind them, which win over --region and \
            --profile: i-0123456789abcdef0.eu-west-1.prod. In ssh_config this is -- \"%h\", or -- \"%n\", which keeps the \
            case that Name tags have."
    )]
    host: Option<String>,

    /// TCP port of sshd on the target [default: 22]
    #[arg(
        value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..), hide_short_help = true,
        long_help = "The TCP port on which sshd listens on the target. In ssh_config this is %p. Without it, 22."
    )]
    port: Option<u16>,

    /// The same as HOST
    #[arg(
        long, value_name = "HOST", value_parser = NonEmptyStringValueParser::new(), hide_short_help = true,
        long_help = "The same as HOST, by the name that `aws ssm start-session` gives it."
    )]
    target: Option<String>,

    /// Start a shell, also from a pipe or a script
    #[arg(
        long, conflicts_with_all = ["port", "push_key", "user", "check", "list", "print_ssh_config"],
        long_help = "Start a shell on the node, as Session Manager's preferences say. It needs no sshd and no key. HOST alone \
            means the same where stdin and stdout are a terminal and ssh has not started this program. At the start of a \
            line ~. ends it and ~? lists what else there is, as in ssh. From a pipe, lines go to the shell, and it ends \
            after the last."
    )]
    shell: bool,

    /// Run COMMAND, with its output and exit status
    #[arg(
        long, conflicts_with_all = ["shell", "port", "push_key", "user", "check", "list", "print_ssh_config"],
        long_help = "Run COMMAND on the node, without a shell: its arguments arrive as they are here; for pipes, patterns and \
            variables of the far side write -- sh -c '...'. Stdout, stderr and the exit status are the command's; a command \
            that a signal has ended has 255. COMMAND has no stdin on the far side: nothing is read from this one."
    )]
    exec: bool,

    /// --exec on a terminal of the far side
    #[arg(
        short = 't',
        long,
        requires = "exec",
        hide_short_help = true,
        long_help = "With --exec: run COMMAND on a terminal of the far side, for programs that ask or draw. What is typed goes \
            to it, and its stderr comes on stdout. There is no exit status: the agent does not tell it, and 0 says only that \
            the session has ended normally."
    )]
    tty: bool,

    /// Forward a local port to a server, through the node
    #[arg(
        short = 'L', value_name = "PORT:DEST:DESTPORT", value_parser = local_forward::parse,
        conflicts_with_all = ["shell", "exec", "port", "push_key", "user", "check", "list", "print_ssh_config"],
        long_help = "[BIND:]PORT:DEST:DESTPORT or PATH:DEST:DESTPORT: take connections at PORT on this machine and carry each to DESTPORT of DEST, as ssh -L does; it needs no \
            sshd and no key. A DEST of localhost, 127.0.0.1 or ::1 is the node itself; any other is a name or an address as \
            seen from the node. BIND is an address or a name of this machine, * all of them; without it connections of this \
            machine alone are taken. PORT 0 takes a free port; in place of PORT may stand the path of a UNIX socket. IPv6 \
            addresses stand in brackets. It may be given more than once. With -- COMMAND behind HOST, that is run here once \
            all listen, and its end is the end; without, they stay until a signal."
    )]
    local_forward: Vec<LocalForward>,

    /// Sessions for each -L at most
    #[arg(
        long, value_name = "N", default_value_t = SESSIONS, hide_short_help = true, requires = "local_forward",
        value_parser = clap::value_parser!(u8).range(1..=16),
        long_help = "How many sessions each -L may use, 1 to 16. A session carries some 0.8 MB/s, and one connection that \
            does not move can hold up the others of its session: connections at the same time get sessions of their own, up \
            to this many. All but one are ended after a minute without use."
    )]
    sessions: u8,

    /// Up to N sessions for one connection, which is N times as fast
    #[arg(
        long, value_name = "N", num_args = 0..=1, require_equals = true, default_missing_value = BOND,
        value_parser = clap::value_parser!(u8).range(1..=16),
        conflicts_with_all = ["shell", "exec"], hide_short_help = true,
        long_help = "Carry one SSH connection, or each connection of -L, over up to N sessions, 1 to 16, N times as fast as \
            over one; without a number, 4. It begins with one; when bulk has kept that busy for a second, others are added, to \
            twice as many in each round, for as long as they bring something, and after a minute without bulk all but one \
            are ended. The node needs a small program that puts them together, the joiner (ssm-proxy-join), for -L one that has a secret of \
            yours; without it the connection is as without this option. Each session is one of AWS-StartSSHSession, and \
            shows in the audit log."
    )]
    bond: Option<u8>,

    /// Start the joiner for --bond on HOST, by ssh
    #[arg(
        long, hide_short_help = true,
        conflicts_with_all = [
            "port", "target", "tag", "shell", "exec", "local_forward", "bond", "push_key", "user", "check", "list",
            "print_ssh_config", "install_plugin", "cli_input_json", "generate_cli_skeleton", "document_name", "parameters",
        ],
        long_help = "Start the joiner for --bond on HOST by ssh, with its keys, its agent and its questions: HOST is what ssh \
            takes, and what follows HOST are options of ssh. It is copied to ~/.cache/ssm-proxy of the user there unless it \
            is there in this version, listens at two free ports of the loopback address, opens to a secret alone, which is \
            kept here in ~/.cache/ssm-proxy, and ends after an hour without use. Where a joiner is known and answers, \
            nothing is done."
    )]
    bond_setup: bool,

    /// With --bond-setup: where nothing is known of HOST alone, and in silence
    #[arg(
        long,
        requires = "bond_setup",
        hide_short_help = true,
        long_help = "With --bond-setup, for a line Match … exec of ssh_config: do nothing where a joiner is known already, or \
            where an attempt has failed within the last hour, without a session; ask nothing, give up after a minute, and \
            say nothing but with -v. The exit status is 0 where a joiner is known at the end, else 1."
    )]
    if_needed: bool,

    /// Keep the sessions of -L from their idle limit
    #[arg(
        long,
        hide_short_help = true,
        requires = "local_forward",
        long_help = "Send something each 10 seconds on the sessions of -L, so that Session Manager does not end them as idle. \
            The limit is an administrator's setting: use this where that is agreed. Without it a session that was ended is \
            started again for the next connection."
    )]
    keep_alive: bool,

    /// Do not say where -L listens
    #[arg(
        short,
        long,
        hide_short_help = true,
        requires = "local_forward",
        long_help = "Leave out the lines that say where -L listens. Errors are told."
    )]
    quiet: bool,

    /// The node with this tag, whatever HOST is called
    #[arg(
        long,
        value_name = "KEY=VALUE",
        hide_short_help = true,
        long_help = "The node with this tag; given more than once, with all of them. Case counts. HOST may then be left \
            out, or be any name: of it only .REGION.PROFILE counts."
    )]
    tag: Vec<Tag>,

    /// Wait for a node that is just starting
    #[arg(
        long, value_name = "SECS", num_args = 0..=1, require_equals = true, hide_short_help = true,
        default_missing_value = WAIT_SECONDS,
        default_value = "0", hide_default_value = true,
        long_help = "How long to wait for a node that is not there or not connected yet, because it is just starting. \
            Without a number, 120 seconds. --connect-timeout comes on top of it. [default: 0]"
    )]
    wait: u32,

    /// Push a public key first, for --user
    #[arg(
        long, value_name = "PUBKEY", value_parser = NonEmptyStringValueParser::new(), requires = "user", hide_short_help = true,
        long_help = "Push a public key by EC2 Instance Connect before connecting: it lets its owner in as --user for 60 \
            seconds, without a line in authorized_keys. PUBKEY is a .pub file; \"auto\" is the first key of ssh's agent, \
            or ~/.ssh/id_ed25519.pub, id_ecdsa.pub or id_rsa.pub. The instance needs the ec2-instance-connect package."
    )]
    push_key: Option<String>,

    /// The user on the target that --push-key is for
    #[arg(
        long, value_name = "USER", value_parser = NonEmptyStringValueParser::new(), hide_short_help = true,
        long_help = "The user on the target that --push-key is for. In ssh_config this is \"%r\", with the quotes."
    )]
    user: Option<String>,

    /// Say whether ssh would get through, and what cures it
    #[arg(
        long, conflicts_with_all = ["wait", "list"],
        long_help = "Test each step of a connection, from the configuration to the first line of sshd, and say how to fix \
            those that fail. It logs in nowhere and needs no SSH key; the session that is started is ended. At its end \
            stands the ssh command to type next. The exit status is that of the first step that fails."
    )]
    check: bool,

    /// With --check: try every kind of session, and write what was seen
    #[arg(
        long, value_name = "FILE", num_args = 0..=1, require_equals = true, hide_short_help = true,
        value_parser = NonEmptyStringValueParser::new(),
        long_help = "With --check: try every kind of session as well, which takes some 15 seconds: a connection to sshd that is \
            cut, comes back and takes an upload of 3 MB, a shell, commands, a forward, and four sessions at once. What the \
            service did is written to a new file, ssm-proxy-report-DATE.txt without FILE, or to stdout for -. It has no \
            names, ids, addresses or tokens in it, and can be attached to an issue."
    )]
    report: Option<Option<String>>,

    /// Show the managed nodes, or some of them
    #[arg(
        long, conflicts_with_all = [
            "port", "target", "document_name", "parameters", "reason", "cli_input_json", "wait", "push_key", "user",
        ],
        long_help = "Show the managed nodes of the region, all of them or those with FILTER in their id, name, address, \
            platform or status, and with each --tag. FILTER stands in the place of HOST; nothing is connected to."
    )]
    list: bool,

    /// Print ready entries for ~/.ssh/config
    #[arg(
        long, value_name = "HOST", num_args = 0.., hide_short_help = true, value_parser = NonEmptyStringValueParser::new(),
        conflicts_with_all = ["check", "port", "target"],
        long_help = "Print entries for ~/.ssh/config, or for a file that it includes: for each HOST, for all ids without one, \
            and with --list for each node of the list, with its region and profile: by its id, then by its name where no \
            other node has it (a name with dots has .REGION behind it). They have the options that are given beside this \
            one, and the User that --user names."
    )]
    print_ssh_config: Option<Vec<String>>,

    /// Take the place of session-manager-plugin
    #[arg(
        long, value_name = "DIR", num_args = 0..=1, hide_short_help = true,
        conflicts_with_all = [
            "host", "target", "check", "list", "print_ssh_config", "shell", "exec", "local_forward", "generate_cli_skeleton",
        ],
        long_help = "Put a link to this program into DIR, ~/.local/bin without one, under the name session-manager-plugin: \
            the AWS CLI, and every other tool that calls AWS's client by that name, then uses this one. It warns where \
            another program of that name comes first on the PATH. To go back, remove the link."
    )]
    install_plugin: Option<Option<PathBuf>>,

    /// With --install-plugin: replace another program
    #[arg(
        long,
        hide_short_help = true,
        requires = "install_plugin",
        long_help = "With --install-plugin: replace a session-manager-plugin in DIR that is another program."
    )]
    force: bool,

    /// How --list shows them: table or json
    #[arg(
        long, value_name = "FORMAT", value_parser = PossibleValuesParser::new(FORMATS), hide_short_help = true,
        hide_possible_values = true,
        long_help = "How --list shows the nodes: table, or json with AWS's own names. Without --list, every format of the \
            AWS CLI is taken, without effect. [default: table]"
    )]
    output: Option<String>,

    /// Session document
    #[arg(
        long, value_name = "NAME", hide_short_help = true, value_parser = NonEmptyStringValueParser::new(),
        long_help = "The session document. Your IAM policy must allow ssm:StartSession on it. With --shell, --exec, or HOST \
            alone on a terminal it may be any, and what it starts is served; for ssh it must be one that forwards a port. \
            [default: AWS-StartSSHSession; for a shell SSM-SessionManagerRunShell, for --exec \
            AWS-StartNonInteractiveCommand, with -t AWS-StartInteractiveCommand]"
    )]
    document_name: Option<String>,

    /// Document parameters: portNumber=22, or JSON
    #[arg(
        long, value_name = "MAP", value_parser = parameters, hide_short_help = true,
        long_help = "The document's parameters, as in the AWS CLI: portNumber=22, portNumber=[\"22\"], \
            name=value,name=value, JSON such as {\"portNumber\":[\"22\"]}, or file://PATH of a file with one of these. \
            portNumber and PORT mean the same; command and COMMAND, but that command is one text."
    )]
    parameters: Option<Parameters>,

    /// All of these as JSON, or file://PATH
    #[arg(
        long,
        value_name = "JSON",
        hide_short_help = true,
        long_help = "Target, DocumentName, Reason and Parameters of the session as JSON, in the API's names, or file://PATH \
            of a file with them. What else is on the command line wins over them, HOST and PORT too; Target may be \
            whatever HOST may be. --generate-cli-skeleton prints one to fill in; what stays empty counts as not given."
    )]
    cli_input_json: Option<String>,

    /// Print what --cli-input-json takes
    #[arg(
        long, value_enum, value_name = "KIND", num_args = 0..=1, default_missing_value = "input", hide_short_help = true,
        hide_possible_values = true, conflicts_with_all = ["list", "check"],
        long_help = "Print the JSON that --cli-input-json takes, to be filled in, and end: nothing is asked of AWS, no \
            credentials are needed. KIND is input, or output for what StartSession answers, which looks at the rest of \
            the command line first. What follows it is KIND: put HOST before it."
    )]
    generate_cli_skeleton: Option<Skeleton>,

    /// Why you connect, for the audit log
    #[arg(
        long, value_name = "TEXT", value_parser = reason, hide_short_help = true,
        long_help = "Why you connect, 1 to 256 characters. It is kept with the session and shown in CloudTrail."
    )]
    reason: Option<String>,

    /// AWS profile [default: AWS_PROFILE, or default]
    #[arg(
        long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new(),
        long_help = "The profile of ~/.aws/config and ~/.aws/credentials to use. Given here it is used even if the \
            environment holds credentials, as with the AWS CLI. [default: AWS_PROFILE, AWS_DEFAULT_PROFILE, or \
            default]"
    )]
    profile: Option<String>,

    /// AWS region [default: AWS_REGION, or profile's]
    #[arg(
        long, value_name = "REGION", value_parser = NonEmptyStringValueParser::new(),
        long_help = "The region that the target is in, such as eu-west-1. [default: AWS_REGION, AWS_DEFAULT_REGION, or \
            the profile's]"
    )]
    region: Option<String>,

    /// Another address for the SSM API
    #[arg(
        long, value_name = "URL", value_parser = endpoint_url, hide_short_help = true,
        long_help = "The SSM API's address in place of AWS's own, such as a VPC endpoint's. Session streams may then be \
            on any host. [default: AWS_ENDPOINT_URL_SSM, AWS_ENDPOINT_URL, or the profile's endpoint_url]"
    )]
    endpoint_url: Option<String>,

    /// Another address for sessions' streams
    #[arg(
        long, value_name = "URL", value_parser = endpoint_url, hide_short_help = true,
        long_help = "Where a session's stream is dialled: scheme, host and port in place of those that the service \
            names. [default: AWS_ENDPOINT_URL_SSMMESSAGES]"
    )]
    ssmmessages_endpoint_url: Option<String>,

    #[command(flatten)]
    reach: Reach,

    /// Leave ~/.aws/cli/cache alone
    #[arg(
        long,
        hide_short_help = true,
        long_help = "Neither read nor write the temporary credentials of roles that the AWS CLI keeps in ~/.aws/cli/cache: \
            assume the role anew each time, and ask for the MFA code if it wants one."
    )]
    no_credential_cache: bool,

    /// Limit until the session is up
    #[arg(
        long, value_name = "SECS", default_value_t = CONNECT_SECONDS, hide_short_help = true, value_parser = clap::value_parser!(u32).range(1..),
        long_help = "How long it may take until the session is up, from StartSession to the agent's handshake. Finding credentials \
            ahead of it has a limit of its own."
    )]
    connect_timeout: u32,

    /// Limit for resuming a session
    #[arg(
        long, value_name = "SECS", default_value_t = RESUME_SECONDS, hide_short_help = true,
        long_help = "How long to try to resume the session when its connection is lost, while ssh waits. 0 gives up at once."
    )]
    resume_timeout: u32,

    /// Do not limit messages per second
    #[arg(
        long,
        hide_short_help = true,
        long_help = "Do not keep to the 900 messages a second that the service tolerates. Only for gateways that are not \
            AWS's: AWS disconnects a client that sends more."
    )]
    no_pace: bool,

    /// Log what happens; twice for more
    #[arg(
        short, long, action = ArgAction::Count,
        long_help = "Log the steps of the session on stderr; given twice (-vv), everything that helps to find a fault. \
            Tokens, credentials and what you type are never logged."
    )]
    verbose: u8,

    /// Log into a file, not on stderr
    #[arg(
        long,
        value_name = "PATH",
        hide_short_help = true,
        long_help = "Log into this file, behind what is there, and not on stderr, which is ssh's terminal: the steps, or with -vv \
            everything. A PATH that does not begin with / or . is in the folder ~/.local/state/ssm-proxy (or your system's place \
            for such files), which is made; any other folder must be there. A file of more than 10 MiB is renamed to \
            PATH.old first."
    )]
    log_file: Option<PathBuf>,

    /// The same as -vv
    #[arg(long, hide_short_help = true)]
    debug: bool,

    /// Colour: on, off, auto
    #[arg(
        long, value_enum, value_name = "WHEN", default_value_t = Color::Auto, hide_short_help = true, hide_possible_values = true,
        long_help = "Whether messages on stderr are coloured. \"auto\" means on a terminal, unless NO_COLOR is set."
    )]
    color: Color,
}

fn reason(text: &str) -> Result<String, String> {
    match text.chars().count() {
        1..=MAX_REASON_CHARS => Ok(text.to_owned()),
        length => Err(format!("{length} characters; 1 to {MAX_REASON_CHARS} are allowed")),
    }
}

fn parameters(text: &str) -> Result<Parameters, String> {
    parameters::parse(&input::text(text.to_owned()).map_err(|error| error.message)?)
}

fn endpoint_url(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    match host {
        Some(host) if !host.is_empty() => Ok(text.to_owned()),
        _ => Err("expected http://HOST or https://HOST".to_owned()),
    }
}
