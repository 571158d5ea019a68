//! The command line: the flags, what they mean together, and the help text.
//!
//! It reads its arguments and the terminal's colour habits, nothing else: no files, no AWS, no printing. `main` shows
//! what a [`Refusal`] holds.

mod parameters;

use std::{
    ffi::{OsStr, OsString},
    io::{self, IsTerminal},
    time::Duration,
};

use clap::{
    ArgAction, ColorChoice, Command, CommandFactory, FromArgMatches, Parser, ValueEnum,
    builder::NonEmptyStringValueParser, error::ErrorKind,
};

pub use self::parameters::Parameters;
use crate::{
    error::{Error, ExitStatus},
    public_key::KeySource,
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

/// A command line that makes sense: everything in it validated, every default filled in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Invocation {
    /// What is to be done.
    pub action: Action,
    /// The profile that HOST or `--profile` names; the environment has not been asked yet.
    pub profile: Option<String>,
    /// The region that HOST or `--region` names; neither environment nor profile have been asked yet.
    pub region: Option<String>,
    /// `--endpoint-url`, an `http://` or `https://` URL.
    pub endpoint_url: Option<String>,
    /// `--ssmmessages-endpoint-url`, where streams are dialled in place of what the API says.
    pub ssmmessages_endpoint_url: Option<String>,
    /// Whether the AWS CLI's cache of temporary credentials is used.
    pub credential_cache: bool,
    /// How much to log.
    pub verbosity: Verbosity,
    /// Whether what goes to stderr is coloured.
    pub color: Color,
}

/// What an invocation asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Action {
    /// To carry an SSH connection.
    Connect(Connection),
    /// `--check`: to walk the way of a connection and say what fails on it.
    Check(Connection),
    /// `--list`: to show the managed nodes.
    List(Listing),
}

/// A connection to be made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Connection {
    /// What messages call the node: HOST as given, or the tags.
    pub host: String,
    /// The node to connect to.
    pub node: Node,
    /// The TCP port on the target, the same as in `parameters`.
    pub port: u16,
    /// The session document's name.
    pub document: String,
    /// The document's parameters; `portNumber` is always among them.
    pub parameters: Parameters,
    /// What to note with the session, 1 to 256 characters.
    pub reason: Option<String>,
    /// The key to push before connecting.
    pub push_key: Option<PushKey>,
    /// How long to wait for a node that is not connected yet; zero for not at all.
    pub wait: Duration,
    /// From the start to a complete handshake, on top of `wait`.
    pub connect_timeout: Duration,
    /// How long to try to resume a lost connection; zero for not at all.
    pub resume_timeout: Duration,
    /// Whether to keep to the service's pace.
    pub paced: bool,
}

/// A public key to be pushed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PushKey {
    /// Which one.
    pub key: KeySource,
    /// The user on the target that it is for.
    pub user: String,
}

/// A list to be shown.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Listing {
    /// A part of what a node is known by.
    pub filter: Option<String>,
    /// Tags, all of which the nodes have.
    pub tags: Vec<Tag>,
    /// How it is shown.
    pub output: Output,
}

/// The values of `--output`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum Output {
    /// Columns, for people.
    #[default]
    Table,
    /// For programs, with AWS's names.
    Json,
}

/// How much is logged on stderr.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Verbosity {
    /// Errors only.
    Quiet,
    /// `-v`: the steps of a session.
    Steps,
    /// `-vv` and `--debug`: all that helps to find a fault.
    Debug,
}

/// The values of `--color`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum Color {
    /// Always coloured.
    On,
    /// Never coloured.
    Off,
    /// Coloured when stderr is a terminal that wants it.
    #[default]
    Auto,
}

impl Color {
    /// Whether to colour stderr: for [`Color::Auto`] a terminal, unless `NO_COLOR` is set or `TERM` is `dumb`.
    pub fn for_stderr(self) -> bool {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        match self {
            Self::On => true,
            Self::Off => false,
            Self::Auto => io::stderr().is_terminal() && !set("NO_COLOR") && !dumb(),
        }
    }

    /// What `--color` says in `args`, ahead of the parsing that its answer is to colour.
    fn peek(args: &[OsString]) -> ColorChoice {
        let mut args = args.iter().map(OsString::as_os_str).skip(1).take_while(|arg| *arg != "--");
        let mut choice = ColorChoice::Auto;
        while let Some(arg) = args.next() {
            let value = match arg.to_str() {
                Some("--color") => args.next().and_then(OsStr::to_str),
                Some(arg) => arg.strip_prefix("--color="),
                None => None,
            };
            choice = match value {
                Some("on") => ColorChoice::Always,
                Some("off") => ColorChoice::Never,
                Some("auto") => ColorChoice::Auto,
                _ => choice,
            };
        }
        choice
    }
}

/// Why a command line does not become an [`Invocation`].
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// A usage error, or `--help` or `--version` asked for: [`clap::Error::exit`] does what each of them wants.
    #[error(transparent)]
    Usage(#[from] clap::Error),
    /// The flags are right, but HOST names no target.
    #[error("{host}: {error}")]
    Target {
        /// HOST as given.
        host: String,
        /// What to tell the user.
        error: Error,
    },
}

impl Invocation {
    /// Reads a command line; the first of `args` is the program's name.
    ///
    /// # Errors
    /// [`Refusal::Usage`] for what clap refuses, for values out of range and for flags that contradict each other;
    /// [`Refusal::Target`] with status 68 for a HOST that is no target.
    pub fn parse_from<A: Into<OsString>>(args: impl IntoIterator<Item = A>) -> Result<Self, Refusal> {
        let args: Vec<OsString> = args.into_iter().map(Into::into).collect();
        let mut command = Flags::command().color(Color::peek(&args));
        let matches = command.try_get_matches_from_mut(args)?;
        let flags = Flags::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
        flags.into_invocation(&mut command)
    }
}

#[derive(Debug, Parser)]
#[command(
    name = "ssm-proxy",
    version,
    about = "Carries an SSH connection over AWS Session Manager, as OpenSSH's ProxyCommand",
    long_about = LONG_ABOUT,
    after_help = "Try '--help' for how to set it up, the exit codes and more about each option.",
    after_long_help = AFTER_LONG_HELP,
    override_usage = "ssm-proxy [OPTIONS] [--check] <HOST> [PORT]\n       ssm-proxy --list [FILTER]",
    arg_required_else_help = true
)]
struct Flags {
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
        long, conflicts_with_all = ["port", "target", "document_name", "parameters", "reason", "wait", "push_key", "user"],
        long_help = "Show the managed nodes of the region, all of them or those with FILTER in their id, name, address, \
            platform or status, and with each --tag. FILTER stands in the place of HOST; nothing is connected to."
    )]
    list: bool,

    /// How --list shows them: table or json
    #[arg(
        long, value_enum, value_name = "FORMAT", default_value_t = Output::Table, hide_short_help = true,
        hide_possible_values = true, requires = "list",
        long_help = "How --list shows the nodes: a table, or JSON with AWS's own names."
    )]
    output: Output,

    /// Session document
    #[arg(
        long, value_name = "NAME", default_value = DEFAULT_DOCUMENT, hide_short_help = true, value_parser = NonEmptyStringValueParser::new(),
        long_help = "The session document. Your IAM policy must allow ssm:StartSession on it, and it must be one that \
            forwards a port."
    )]
    document_name: String,

    /// Document parameters: portNumber=22, or JSON
    #[arg(
        long, value_name = "MAP", value_parser = parameters::parse, hide_short_help = true,
        long_help = "The document's parameters, as in the AWS CLI: portNumber=22, portNumber=[\"22\"], \
            name=value,name=value, or JSON such as {\"portNumber\":[\"22\"]}. portNumber and PORT mean the same."
    )]
    parameters: Option<Parameters>,

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

const LONG_ABOUT: &str = "\
Carries an SSH connection over AWS Session Manager: no open port, no bastion, no AWS CLI, no session-manager-plugin. \
OpenSSH starts it and speaks SSH through its stdin and stdout.";

const AFTER_LONG_HELP: &str = "\
SET UP:
  In ~/.ssh/config:

      Host i-* mi-*
          ProxyCommand ssm-proxy %h %p

  Then: ssh ec2-user@i-0123456789abcdef0

  For names in place of ids, list them there and write %n, which keeps their case:

      Host web-* build
          ProxyCommand ssm-proxy %n %p

  A ProxyCommand that has 'aws ssm start-session' works with 'ssm-proxy' in its place.

WHEN IT DOES NOT WORK:
  ssh -o ProxyCommand='ssm-proxy -vv %h %p' ec2-user@i-0123456789abcdef0   shows each step
  ssm-proxy --check i-0123456789abcdef0                                    says what fails, and its cure
  ssm-proxy --list                                                         shows the nodes
  aws sts get-caller-identity                                              shows who you are to AWS
  An error comes in two lines: what failed, and what to do next.

  The target needs sshd, and an SSM Agent that is running and can reach Session Manager.
  You need, in IAM: ssm:StartSession on the instance and on the document;
  ssm:ResumeSession, ssm:TerminateSession and ssmmessages:OpenDataChannel on the session.
  For names and --list: ssm:DescribeInstanceInformation.
  For --push-key: ec2-instance-connect:SendSSHPublicKey on the instance.

EXIT STATUS:
   0  the session ended normally
   1  the session broke
   2  the command line is wrong
  68  no such target, or several
  69  the target is not connected to Session Manager, or its port refuses connections
  75  network failure or throttling: trying again may help
  77  credentials are missing, expired or not permitted to do this
  78  configuration: no region, no such profile, an unreadable CA file";

fn reason(text: &str) -> Result<String, String> {
    match text.chars().count() {
        1..=MAX_REASON_CHARS => Ok(text.to_owned()),
        length => Err(format!("{length} characters; 1 to {MAX_REASON_CHARS} are allowed")),
    }
}

fn endpoint_url(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    match host {
        Some(host) if !host.is_empty() => Ok(text.to_owned()),
        _ => Err("expected http://HOST or https://HOST".to_owned()),
    }
}

impl Flags {
    fn into_invocation(mut self, command: &mut Command) -> Result<Invocation, Refusal> {
        let verbosity = match self.verbose {
            _ if self.debug => Verbosity::Debug,
            0 => Verbosity::Quiet,
            1 => Verbosity::Steps,
            _ => Verbosity::Debug,
        };
        let (profile, region) = (self.profile.take(), self.region.take());
        let (endpoint_url, color) = (self.endpoint_url.take(), self.color);
        let (ssmmessages_endpoint_url, credential_cache) =
            (self.ssmmessages_endpoint_url.take(), !self.no_credential_cache);
        if self.list {
            let action = Action::List(Listing { filter: self.host, tags: self.tag, output: self.output });
            return Ok(Invocation {
                action,
                profile,
                region,
                endpoint_url,
                ssmmessages_endpoint_url,
                credential_cache,
                verbosity,
                color,
            });
        }
        let (host, target) = self.target(command)?;
        let push_key = self.push_key.zip(self.user).map(|(key, user)| PushKey { key: key.as_str().into(), user });
        let mut parameters = self.parameters.unwrap_or_default();
        let port = port(self.port, &parameters).map_err(|(kind, message)| command.error(kind, message))?;
        parameters.insert(PORT_PARAMETER.to_owned(), vec![port.to_string()]);
        let connection = Connection {
            host,
            node: target.node,
            port,
            document: self.document_name,
            parameters,
            reason: self.reason,
            push_key,
            wait: Duration::from_secs(self.wait.into()),
            connect_timeout: Duration::from_secs(self.connect_timeout.into()),
            resume_timeout: Duration::from_secs(self.resume_timeout.into()),
            paced: !self.no_pace,
        };
        Ok(Invocation {
            action: if self.check { Action::Check(connection) } else { Action::Connect(connection) },
            // HOST is typed for one connection; flags stand in an ssh_config line for many.
            profile: target.profile.or(profile),
            region: target.region.or(region),
            endpoint_url,
            ssmmessages_endpoint_url,
            credential_cache,
            verbosity,
            color,
        })
    }

    /// The node that HOST, `--target` and `--tag` agree on, and what to call it.
    fn target(&mut self, command: &mut Command) -> Result<(String, Target), Refusal> {
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
            (None, None) => {
                let message = "no target given: name it as HOST or with --target";
                return Err(command.error(ErrorKind::MissingRequiredArgument, message).into());
            }
        };
        let mut target = Target::parse(&host).map_err(|not_a_target| Refusal::Target {
            host: host.clone(),
            error: Error::new(ExitStatus::NoTarget, not_a_target.to_string(), not_a_target.hint()),
        })?;
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

/// The one port that PORT and `--parameters` agree on.
fn port(positional: Option<u16>, parameters: &Parameters) -> Result<u16, (ErrorKind, String)> {
    let Some(values) = parameters.get(PORT_PARAMETER) else { return Ok(positional.unwrap_or(DEFAULT_PORT)) };
    let parameter = match values.as_slice() {
        [value] => value.parse().ok().filter(|port| *port != 0),
        _ => None,
    };
    let Some(parameter): Option<u16> = parameter else {
        let message = format!("--parameters: {PORT_PARAMETER} must be one port from 1 to 65535, not {values:?}");
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Invocation, Refusal> {
        Invocation::parse_from(["ssm-proxy"].iter().chain(args))
    }

    fn usage_error(args: &[&str]) -> String {
        match parse(args) {
            Err(Refusal::Usage(error)) if error.exit_code() == 2 => error.to_string(),
            other => panic!("{args:?}: {other:?}"),
        }
    }

    fn plain() -> Invocation {
        let connection = Connection {
            host: "i-02573cafcfEXAMPLE".to_owned(),
            node: Node::Id("i-02573cafcfEXAMPLE".to_owned()),
            port: 22,
            document: "AWS-StartSSHSession".to_owned(),
            parameters: Parameters::from([("portNumber".to_owned(), vec!["22".to_owned()])]),
            reason: None,
            push_key: None,
            wait: Duration::ZERO,
            connect_timeout: Duration::from_secs(60),
            resume_timeout: Duration::from_secs(600),
            paced: true,
        };
        Invocation {
            action: Action::Connect(connection),
            profile: None,
            region: None,
            endpoint_url: None,
            ssmmessages_endpoint_url: None,
            credential_cache: true,
            verbosity: Verbosity::Quiet,
            color: Color::Auto,
        }
    }

    fn connection(args: &[&str]) -> Connection {
        match parse(args).unwrap().action {
            Action::Connect(connection) => connection,
            action => panic!("{args:?}: {action:?}"),
        }
    }

    #[test]
    fn many_ways_to_say_the_same() {
        let id = "i-02573cafcfEXAMPLE";
        let cases: &[&[&str]] = &[
            &[id],
            &[id, "22"],
            &["--target", id],
            &["--target", id, id, "22"],
            &["--target", id, "--document-name", "AWS-StartSSHSession", "--parameters", "portNumber=22"],
            &["--target", id, "--parameters", r#"portNumber=["22"]"#],
            &["--target", id, "--parameters", r#"{"portNumber":["22"]}"#],
            &["--parameters", r#"{"portNumber":"22"}"#, id],
            &[&format!("--target={id}"), "--parameters=portNumber=022", id, "22"],
            &[id, "--parameters", "{}"],
        ];
        for args in cases {
            assert_eq!(parse(args).unwrap(), plain(), "{args:?}");
        }
    }

    #[test]
    fn every_option_arrives() {
        let invocation = parse(&[
            "--document-name",
            "My-Document",
            "--parameters",
            "portNumber=2222,host=db",
            "--reason",
            "ticket 42",
            "--profile",
            "prod",
            "--region",
            "eu-west-1",
            "--endpoint-url",
            "http://127.0.0.1:4566",
            "--no-credential-cache",
            "--color",
            "off",
            "--connect-timeout",
            "5",
            "--resume-timeout",
            "0",
            "--no-pace",
            "--wait=300",
            "--push-key",
            "k.pub",
            "--user",
            "ec2-user",
            "-v",
            "mi-0123456789abcdef0",
        ])
        .unwrap();
        let parameters =
            [("host", "db"), ("portNumber", "2222")].map(|(name, value)| (name.to_owned(), vec![value.to_owned()]));
        let connection = Connection {
            host: "mi-0123456789abcdef0".to_owned(),
            node: Node::Id("mi-0123456789abcdef0".to_owned()),
            port: 2222,
            document: "My-Document".to_owned(),
            parameters: parameters.into(),
            reason: Some("ticket 42".to_owned()),
            push_key: Some(PushKey { key: KeySource::File("k.pub".into()), user: "ec2-user".to_owned() }),
            wait: Duration::from_secs(300),
            connect_timeout: Duration::from_secs(5),
            resume_timeout: Duration::ZERO,
            paced: false,
        };
        let expected = Invocation {
            action: Action::Connect(connection),
            profile: Some("prod".to_owned()),
            region: Some("eu-west-1".to_owned()),
            endpoint_url: Some("http://127.0.0.1:4566".to_owned()),
            ssmmessages_endpoint_url: None,
            credential_cache: false,
            verbosity: Verbosity::Steps,
            color: Color::Off,
        };
        assert_eq!(invocation, expected);
    }

    #[test]
    fn verbosity_counts() {
        for (args, expected) in [
            (&["i-0"][..], Verbosity::Quiet),
            (&["-v", "i-0"], Verbosity::Steps),
            (&["-vv", "i-0"], Verbosity::Debug),
            (&["-v", "-v", "-v", "i-0"], Verbosity::Debug),
            (&["--debug", "i-0"], Verbosity::Debug),
            (&["--debug", "-v", "i-0"], Verbosity::Debug),
        ] {
            assert_eq!(parse(args).unwrap().verbosity, expected, "{args:?}");
        }
    }

    #[test]
    fn refuses_with_status_2() {
        let long = "x".repeat(257);
        let cases: &[(&[&str], &str)] = &[
            (&["-v"], "no target given"),
            (&["i-0", "--target", "i-1"], "name different targets"),
            (&["i-0", "22", "--parameters", "portNumber=2222"], "differ"),
            (&["i-0", "0"], "0 is not in 1..=65535"),
            (&["i-0", "65536"], "65536 is not in 1..=65535"),
            (&["i-0", "ssh"], "invalid value 'ssh'"),
            (&["i-0", "--parameters", "portNumber=0"], "must be one port"),
            (&["i-0", "--parameters", "portNumber=22,23"], "must be one port"),
            (&["i-0", "--parameters", "portNumber=[]"], "must be one port"),
            (&["i-0", "--parameters", "portNumber"], "expected NAME=VALUE"),
            (&["i-0", "--reason", ""], "1 to 256"),
            (&["i-0", "--reason", &long], "1 to 256"),
            (&["i-0", "--endpoint-url", "localhost:4566"], "expected http://HOST"),
            (&["i-0", "--endpoint-url", "https://"], "expected http://HOST"),
            (&["i-0", "--region", ""], "a value is required"),
            (&["i-0", "--color", "sometimes"], "[possible values: on, off, auto]"),
            (&["i-0", "--regoin", "x"], "--region"),
            (&["i-0", "22", "extra"], "unexpected argument"),
            (&["i-0", "--tag", "a=b"], "leave --tag out"),
            (&["--tag", "web"], "expected KEY=VALUE"),
            (&["i-0", "--push-key", "auto"], "--user <USER>"),
            (&["--wait=soon", "i-0"], "invalid value 'soon'"),
            (&["i-0", "--output", "json"], "--list"),
            (&["--list", "--output", "xml"], "[possible values: table, json]"),
            (&["--target", "i-0", "--list"], "cannot be used with"),
            (&["--list", "web", "22"], "cannot be used with"),
            (&["--list", "--wait"], "cannot be used with"),
            (&["--check", "--wait", "i-0"], "cannot be used with"),
            (&["--check", "--list"], "cannot be used with"),
            (&["--check"], "no target given"),
            (&["i-0", "--region", "a", "--region", "b"], "cannot be used multiple times"),
        ];
        for (args, expected) in cases {
            let message = usage_error(args);
            assert!(message.contains(expected), "{args:?}: {message}");
        }
    }

    #[test]
    fn no_arguments_show_the_short_help() {
        assert!(usage_error(&[]).contains("Usage: ssm-proxy [OPTIONS] [--check] <HOST> [PORT]"));
    }

    #[test]
    fn a_malformed_host_is_no_target() {
        for host in ["ecs:web", "ec2-user@i-0"] {
            match parse(&[host]) {
                Err(Refusal::Target { host: named, error }) => {
                    assert_eq!(named, host);
                    assert_eq!((error.status, error.message.as_str()), (ExitStatus::NoTarget, "names no node"));
                    assert!(error.hint.contains("i-0123456789abcdef0"));
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn what_the_host_says_wins_over_the_flags() {
        let flags = ["--region", "us-east-1", "--profile", "dev"];
        for (host, region, profile) in [
            ("i-0", "us-east-1", "dev"),
            ("i-0.eu-west-1", "eu-west-1", "dev"),
            ("web.eu-west-1.Prod.Admin", "eu-west-1", "Prod.Admin"),
        ] {
            let invocation = parse(&[&flags[..], &[host]].concat()).unwrap();
            assert_eq!((invocation.region.as_deref(), invocation.profile.as_deref()), (Some(region), Some(profile)));
        }
        assert_eq!(connection(&["web.eu-west-1"]).node, Node::Alias(Alias::Name("web".to_owned())));
    }

    #[test]
    fn a_tag_stands_in_for_the_name() {
        let tags = Node::Alias(Alias::Tags(vec!["Role=web".parse().unwrap(), "Stage=a b".parse().unwrap()]));
        let flags = ["--tag", "Role=web", "--tag", "Stage=a b"];
        let alone = connection(&flags);
        assert_eq!((alone.host.as_str(), &alone.node), ("Role=web Stage=a b", &tags));
        let invocation = parse(&[&flags[..], &["build.eu-west-1", "2222"]].concat()).unwrap();
        assert_eq!(invocation.region.as_deref(), Some("eu-west-1"));
        let named = connection(&[&flags[..], &["build.eu-west-1", "2222"]].concat());
        assert_eq!((named.host.as_str(), &named.node, named.port), ("build.eu-west-1", &tags, 2222));
    }

    #[test]
    fn waiting_takes_no_host_for_its_number() {
        for (args, seconds) in
            [(&["i-0"][..], 0), (&["--wait", "i-0", "22"], 120), (&["--wait=5", "i-0"], 5), (&["i-0", "--wait"], 120)]
        {
            assert_eq!(connection(args).wait, Duration::from_secs(seconds), "{args:?}");
        }
    }

    #[test]
    fn a_check_has_what_a_connection_has() {
        let Action::Check(checked) = parse(&["--check", "--reason", "why", "web", "2222"]).unwrap().action else {
            panic!("no check")
        };
        assert_eq!(checked, connection(&["--reason", "why", "web", "2222"]));
    }

    #[test]
    fn listing_takes_a_filter_in_place_of_a_host() {
        let listing = |filter: Option<&str>, tags: &[&str], output| {
            let filter = filter.map(str::to_owned);
            Action::List(Listing { filter, tags: tags.iter().map(|tag| tag.parse().unwrap()).collect(), output })
        };
        for (args, expected) in [
            (&["--list"][..], listing(None, &[], Output::Table)),
            (&["--list", "web"], listing(Some("web"), &[], Output::Table)),
            (&["--list", "--output", "json"], listing(None, &[], Output::Json)),
            (&["--list", "--output", "json", "web"], listing(Some("web"), &[], Output::Json)),
            (&["web", "--output=json", "--list", "--tag", "a=b"], listing(Some("web"), &["a=b"], Output::Json)),
        ] {
            assert_eq!(parse(args).unwrap().action, expected, "{args:?}");
        }
    }

    #[test]
    fn reason_counts_characters_not_bytes() {
        assert!(parse(&["i-0", "--reason", &"é".repeat(256)]).is_ok());
    }

    #[test]
    fn color_is_known_before_parsing() {
        for (args, expected) in [
            (&["ssm-proxy"][..], ColorChoice::Auto),
            (&["ssm-proxy", "--color", "on"], ColorChoice::Always),
            (&["ssm-proxy", "i-0", "--color=off"], ColorChoice::Never),
            (&["ssm-proxy", "--color=on", "--color=maybe"], ColorChoice::Always),
            (&["ssm-proxy", "--", "--color=on"], ColorChoice::Auto),
        ] {
            let args: Vec<OsString> = args.iter().map(OsString::from).collect();
            assert_eq!(Color::peek(&args), expected, "{args:?}");
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Flags::command().debug_assert();
    }

    #[test]
    fn short_help_fits_a_screen() {
        let help = Flags::command().term_width(80).render_help().to_string();
        assert!(help.lines().count() <= 24, "{help}");
        assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
    }

    #[test]
    fn long_help_lists_the_exit_statuses() {
        let help = Flags::command().render_long_help().to_string();
        for status in [0, 1, 2, 68, 69, 75, 77, 78] {
            assert!(help.lines().any(|line| line.starts_with(&format!("{status:4}  "))), "{status}: {help}");
        }
    }
}
