//! What the flags mean together: an [`Invocation`], or a usage error.
//!
//! It must not know how they are written, nor what becomes of them.

use std::time::Duration;

use clap::{ArgMatches, Command, ValueEnum, error::ErrorKind};
use ssm_aws::Overrides;

use super::{
    super::{
        carried,
        input::{self, Input},
        invocation::{
            Action, Connection, Entry, Host, Invocation, Listing, Output, PushKey, Refusal, Skeleton, Verbosity,
        },
        parameters::Parameters,
    },
    Flags, reason,
};
use crate::{
    diagnostics::{Error, ExitStatus},
    target::{Alias, Node, Target},
};

/// The session document that forwards one connection to a port of the target (protocol §1).
const DEFAULT_DOCUMENT: &str = "AWS-StartSSHSession";
/// Where sshd listens unless the command line says otherwise.
const DEFAULT_PORT: u16 = 22;
/// The document parameter that carries the port (protocol §1).
const PORT_PARAMETER: &str = "portNumber";

impl Flags {
    /// What the flags mean together.
    pub(in super::super) fn into_invocation(
        mut self,
        command: &mut Command,
        matches: &ArgMatches,
        ends_options: bool,
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
            (Some(entry), _) => Action::SshConfig(self.into_hosts(command)?, entry),
            (None, Some(Skeleton::Output)) if self.names_target() => {
                self.into_connection(&mut overrides, command)?;
                Action::Skeleton(Skeleton::Output)
            }
            (None, Some(skeleton)) => Action::Skeleton(skeleton),
            (None, None) if self.check => {
                let entry = self.entry(command, matches).ok();
                Action::Check(self.into_connection(&mut overrides, command)?, entry)
            }
            (None, None) => Action::Connect(self.into_connection(&mut overrides, command)?),
        };
        Ok(Invocation { action, overrides, verbosity, log_file, color, ends_options })
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
    fn entry(&self, command: &mut Command, matches: &ArgMatches) -> Result<Entry, Refusal> {
        let mut options = carried::options(command, matches)?;
        if self.push_key.is_some() {
            // Whoever ssh logs in as.
            options.extend(["--user", "\"%r\""].map(str::to_owned));
        }
        let resume_timeout = Duration::from_secs(self.resume_timeout.into());
        Ok(Entry { options, user: self.user.clone().filter(|user| user != "%r"), resume_timeout })
    }

    fn into_hosts(self, command: &mut Command) -> Result<Vec<Host>, Refusal> {
        let names: Vec<_> = self.host.into_iter().chain(self.print_ssh_config.unwrap_or_default()).collect();
        if names.iter().any(|name| name.contains('"')) {
            let message = "an ssh_config entry has no place for a host with a quote in its name";
            return Err(command.error(ErrorKind::InvalidValue, message).into());
        }
        names.into_iter().map(|name| Ok(Host { is_id: matches!(parse(&name)?.node, Node::Id(_)), name })).collect()
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
        error: Error::new(ExitStatus::NoTarget, not_a_target.to_string(), not_a_target.hint(host)),
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
