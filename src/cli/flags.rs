//! The flags as clap reads them, and what they mean together.

use std::{path::PathBuf, time::Duration};

use clap::{
    ArgAction, ArgMatches, Command, Parser, ValueEnum,
    builder::{NonEmptyStringValueParser, PossibleValuesParser},
    error::ErrorKind,
};

use super::{
    Action, Color, Connection, Entry, Host, Invocation, Listing, Output, Parameters, PushKey, Refusal, Skeleton,
    Verbosity, carried,
    help::{AFTER_LONG_HELP, LONG_ABOUT},
    input::{self, Input},
    parameters,
    reach::Reach,
    unused::FORMATS,
};
use crate::{
    aws::Overrides,
    error::{Error, ExitStatus},
    target::{Alias, Node, Tag, Target},
};

/// The session document that forwards one connection to a port of the target (protocol §1).
const DEFAULT_DOCUMENT: &str = "AWS-StartSSHSession";
/// Where sshd listens unless the command line says otherwise.
const DEFAULT_PORT: u16 = 22;
/// The document parameter that carries the port (protocol §1).
const PORT_PARAMETER: &str = "portNumber";
/// The default of `--connect-timeout`, in seconds. The agent may have to start a worker first, and gives a handshake up
/// itself after 15 s.
const CONNECT_SECONDS: u32 = 60;
/// The default of `--resume-timeout`, in seconds: a walk with a closed laptop, and half of the time after which the
/// service ends a session that nobody listens to.
const RESUME_SECONDS: u32 = 600;
/// `--wait` without a number, in seconds: an instance boots and its agent registers within a minute or two.
const WAIT_SECONDS: &str = "120";
/// The longest `Reason` that StartSession takes, in characters (protocol §1).
const MAX_REASON_CHARS: usize = 256;

#[derive(Debug, Parser)]
#[command(
    name = "ssm-proxy",
    version,
    about = "Carries an SSH connection over AWS Session Manager, as OpenSSH's ProxyCommand",
    long_about = LONG_ABOUT,
    after_help = "Try '--help' for how to set it up, the exit codes and more about each option.",
    after_long_help = AFTER_LONG_HELP,
    override_usage = "ssm-proxy [OPTIONS] [--check] <HOST> [PORT]\n       ssm-proxy --list [FILTER] | --print-ssh-config [HOST]...",
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
            --profile: i-0123456789abcdef0.eu-west-1.prod. In ssh_config this is %h, or %n, which keeps the case that \
            Name tags have."
    )]
    host: Option<String>,

    /// TCP port of sshd on the target [default: 22]
    #[arg(
        value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..),
        long_help = "The TCP port on which sshd listens on the target. In ssh_config this is %p. Without it, 22."
    )]
    port: Option<u16>,

    /// The same as HOST
    #[arg(
        long, value_name = "HOST", value_parser = NonEmptyStringValueParser::new(), hide_short_help = true,
        long_help = "The same as HOST, by the name that `aws ssm start-session` gives it."
    )]
    target: Option<String>,

    /// The node with this tag, whatever HOST is called
    #[arg(
        long,
        value_name = "KEY=VALUE",
        long_help = "The node with this tag; given more than once, with all of them. Case counts. HOST may then be left \
            out, or be any name: of it only .REGION.PROFILE counts."
    )]
    tag: Vec<Tag>,

    /// Wait for a node that is just starting
    #[arg(
        long, value_name = "SECS", num_args = 0..=1, require_equals = true, default_missing_value = WAIT_SECONDS,
        default_value = "0", hide_default_value = true,
        long_help = "How long to wait for a node that is not there or not connected yet, because it is just starting. \
            Without a number, 120 seconds. --connect-timeout comes on top of it. [default: 0]"
    )]
    wait: u32,

    /// Push a public key first, for --user
    #[arg(
        long, value_name = "PUBKEY", value_parser = NonEmptyStringValueParser::new(), requires = "user",
        long_help = "Push a public key by EC2 Instance Connect before connecting: it lets its owner in as --user for 60 \
            seconds, without a line in authorized_keys. PUBKEY is a .pub file; \"auto\" is the first key of ssh's agent, \
            or ~/.ssh/id_ed25519.pub, id_ecdsa.pub or id_rsa.pub. The instance needs the ec2-instance-connect package."
    )]
    push_key: Option<String>,

    /// The user on the target that --push-key is for
    #[arg(
        long, value_name = "USER", value_parser = NonEmptyStringValueParser::new(), hide_short_help = true,
        long_help = "The user on the target that --push-key is for. In ssh_config this is %r."
    )]
    user: Option<String>,

    /// Say whether a connection would work, and what cures it
    #[arg(
        long, conflicts_with_all = ["wait", "list"],
        long_help = "Walk the whole way of a connection, from the configuration to the first line of sshd, and say of \
            each step that it works or what cures it. The session that is started is ended. The exit status is that of \
            the first step that fails."
    )]
    check: bool,

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
            and with --list for each node of the list, with its id, region and profile. They have the options that are given \
            beside this one, and log in as --user."
    )]
    print_ssh_config: Option<Vec<String>>,

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
        long_help = "The session document. Your IAM policy must allow ssm:StartSession on it, and it must be one that \
            forwards a port. [default: AWS-StartSSHSession]"
    )]
    document_name: Option<String>,

    /// Document parameters: portNumber=22, or JSON
    #[arg(
        long, value_name = "MAP", value_parser = parameters, hide_short_help = true,
        long_help = "The document's parameters, as in the AWS CLI: portNumber=22, portNumber=[\"22\"], \
            name=value,name=value, JSON such as {\"portNumber\":[\"22\"]}, or file://PATH of a file with one of these. \
            portNumber and PORT mean the same."
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
        long, value_name = "TEXT", value_parser = reason,
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
            for such files). A file of more than 10 MiB is renamed to PATH.old first."
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

impl Flags {
    /// What the flags mean together.
    pub(super) fn into_invocation(
        mut self,
        command: &mut Command,
        matches: &ArgMatches,
    ) -> Result<Invocation, Refusal> {
        let verbosity = match self.verbose {
            _ if self.debug => Verbosity::Debug,
            0 => Verbosity::Quiet,
            1 => Verbosity::Steps,
            _ => Verbosity::Debug,
        };
        let (color, log_file) = (self.color, self.log_file.take());
        let mut overrides = self.overrides();
        let entry = match self.print_ssh_config {
            Some(_) => Some(self.entry(command, matches)?),
            None => None,
        };
        let action = match (entry, self.generate_cli_skeleton) {
            (entry, _) if self.list => Action::List(self.into_listing(entry, command)?),
            (Some(entry), _) => Action::SshConfig(self.into_hosts()?, entry),
            (None, Some(Skeleton::Output)) if self.names_target() => {
                self.into_connection(&mut overrides, command)?;
                Action::Skeleton(Skeleton::Output)
            }
            (None, Some(skeleton)) => Action::Skeleton(skeleton),
            (None, None) if self.check => Action::Check(self.into_connection(&mut overrides, command)?),
            (None, None) => Action::Connect(self.into_connection(&mut overrides, command)?),
        };
        Ok(Invocation { action, overrides, verbosity, log_file, color })
    }

    fn overrides(&mut self) -> Overrides {
        Overrides {
            profile: self.profile.take(),
            region: self.region.take(),
            endpoint_url: self.endpoint_url.take(),
            ssmmessages_endpoint_url: self.ssmmessages_endpoint_url.take(),
            ca_bundle: self.reach.ca_bundle.take(),
            no_verify_ssl: self.reach.no_verify_ssl,
            no_sign_request: self.reach.no_sign_request,
            no_credential_cache: self.no_credential_cache,
            limits: self.reach.limits(),
        }
    }

    fn into_listing(mut self, entry: Option<Entry>, command: &mut Command) -> Result<Listing, Refusal> {
        let output = match self.output {
            None => Output::default(),
            Some(name) => Output::from_str(&name, false).map_err(|_| {
                let message = format!("--list shows nodes as table or json, not as {name}");
                command.error(ErrorKind::InvalidValue, message)
            })?,
        };
        let mut filters = self.host.take().into_iter().chain(self.print_ssh_config.take().unwrap_or_default());
        let filter = filters.next();
        if let Some(other) = filters.next() {
            let message = format!("--list takes one FILTER, and {other:?} is another");
            return Err(command.error(ErrorKind::TooManyValues, message).into());
        }
        Ok(Listing { filter, tags: self.tag, output, entry })
    }

    /// What the entries of ssh_config have of this command line.
    fn entry(&mut self, command: &mut Command, matches: &ArgMatches) -> Result<Entry, Refusal> {
        let mut options = carried::options(command, matches)?;
        if self.push_key.is_some() {
            // Whoever ssh logs in as.
            options.extend(["--user", "%r"].map(str::to_owned));
        }
        Ok(Entry { options, user: self.user.take().filter(|user| user != "%r") })
    }

    fn into_hosts(self) -> Result<Vec<Host>, Refusal> {
        let names = self.host.into_iter().chain(self.print_ssh_config.unwrap_or_default());
        names.map(|name| Ok(Host { is_id: matches!(parse(&name)?.node, Node::Id(_)), name })).collect()
    }

    /// Whether something says what a connection would be to.
    fn names_target(&self) -> bool {
        self.host.is_some() || self.target.is_some() || self.cli_input_json.is_some() || !self.tag.is_empty()
    }

    fn into_connection(mut self, overrides: &mut Overrides, command: &mut Command) -> Result<Connection, Refusal> {
        let input = self.input(command)?;
        let (host, target) = self.target(input.target, command)?;
        let push_key = self.push_key.zip(self.user).map(|(key, user)| PushKey { key: key.as_str().into(), user });
        let mut parameters = self.parameters.unwrap_or_else(|| {
            let mut parameters = input.parameters;
            if self.port.is_some() {
                parameters.remove(PORT_PARAMETER);
            }
            parameters
        });
        let port = port(self.port, &parameters).map_err(|(kind, message)| command.error(kind, message))?;
        parameters.insert(PORT_PARAMETER.to_owned(), vec![port.to_string()]);
        // HOST is typed for one connection; flags stand in an ssh_config line for many.
        overrides.profile = target.profile.or_else(|| overrides.profile.take());
        overrides.region = target.region.or_else(|| overrides.region.take());
        Ok(Connection {
            host,
            node: target.node,
            port,
            document: self.document_name.or(input.document_name).unwrap_or_else(|| DEFAULT_DOCUMENT.to_owned()),
            parameters,
            reason: self.reason.or(input.reason),
            push_key,
            wait: Duration::from_secs(self.wait.into()),
            connect_timeout: Duration::from_secs(self.connect_timeout.into()),
            resume_timeout: Duration::from_secs(self.resume_timeout.into()),
            paced: !self.no_pace,
        })
    }

    /// What `--cli-input-json` says; nothing if it is not given.
    fn input(&mut self, command: &mut Command) -> Result<Input, Refusal> {
        const FLAG: &str = "--cli-input-json";
        let Some(value) = self.cli_input_json.take() else { return Ok(Input::default()) };
        let text = input::text(value).map_err(|error| Refusal::File { flag: FLAG, error })?;
        let mut refuse = |why| command.error(ErrorKind::ValueValidation, format!("{FLAG}: {why}"));
        let input = Input::parse(&text).map_err(&mut refuse)?;
        match input.reason.as_deref().map(reason) {
            Some(Err(why)) => Err(refuse(format!("Reason: {why}")).into()),
            _ => Ok(input),
        }
    }

    /// The node that HOST, `--target` and `--tag` agree on, else that of the JSON; and what to call it.
    fn target(&mut self, input: Option<String>, command: &mut Command) -> Result<(String, Target), Refusal> {
        let tags = std::mem::take(&mut self.tag);
        let host = match (self.host.take(), self.target.take()) {
            (Some(host), Some(target)) if host != target => {
                let message = format!("HOST {host:?} and --target {target:?} name different targets; give one of them");
                return Err(command.error(ErrorKind::ArgumentConflict, message).into());
            }
            (Some(host), _) | (None, Some(host)) => host,
            (None, None) if !tags.is_empty() => {
                let alias = Alias::Tags(tags);
                return Ok((alias.to_string(), Target { node: Node::Alias(alias), region: None, profile: None }));
            }
            (None, None) => input.ok_or_else(|| {
                let message = "no target given: name it as HOST or with --target";
                command.error(ErrorKind::MissingRequiredArgument, message)
            })?,
        };
        let mut target = parse(&host)?;
        if !tags.is_empty() {
            if let Node::Id(id) = &target.node {
                let message = format!("HOST {id:?} is an id already; leave --tag out");
                return Err(command.error(ErrorKind::ArgumentConflict, message).into());
            }
            target.node = Node::Alias(Alias::Tags(tags));
        }
        Ok((host, target))
    }
}

fn parse(host: &str) -> Result<Target, Refusal> {
    Target::parse(host).map_err(|not_a_target| Refusal::Target {
        host: host.to_owned(),
        error: Error::new(ExitStatus::NoTarget, not_a_target.to_string(), not_a_target.hint()),
    })
}

/// The one port that PORT and `--parameters` agree on.
fn port(positional: Option<u16>, parameters: &Parameters) -> Result<u16, (ErrorKind, String)> {
    let Some(values) = parameters.get(PORT_PARAMETER) else { return Ok(positional.unwrap_or(DEFAULT_PORT)) };
    let parameter = match values.as_slice() {
        [value] => value.parse().ok().filter(|port| *port != 0),
        _ => None,
    };
    let Some(parameter): Option<u16> = parameter else {
        let message = format!("{PORT_PARAMETER} must be one port from 1 to 65535, not {values:?}");
        return Err((ErrorKind::ValueValidation, message));
    };
    match positional {
        Some(port) if port != parameter => {
            let message = format!("PORT {port} and --parameters {PORT_PARAMETER}={parameter} differ; give one of them");
            Err((ErrorKind::ArgumentConflict, message))
        }
        _ => Ok(parameter),
    }
}
