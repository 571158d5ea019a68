//! What the flags mean together: an [`Invocation`], or a usage error.
//!
//! It must not know how they are written, nor what becomes of them.

use std::{ffi::OsString, time::Duration};

use clap::{ArgMatches, Command, ValueEnum, error::ErrorKind};
use ssm_aws::Overrides;

use super::{
    super::{
        carried,
        input::{self, Input},
        invocation::{
            Action, CommandKind, Connection, Entry, Forwarding, Host, InstallPlugin, Invocation, Listing, Output,
            PushKey, Refusal, ReportPlace, Skeleton, StartedBy, Verbosity,
        },
        line::Line,
        local_forward::LocalForward,
        parameters::Parameters,
        remote_command,
        service::{self, Request, Service},
        ssh_words,
    },
    Flags, reason,
};
use crate::{
    diagnostics::{Error, ExitStatus},
    target::{Alias, Node, Target},
};

impl Flags {
    /// What the flags mean together.
    pub(in super::super) fn into_invocation(mut self, line: Line<'_>) -> Result<Invocation, Refusal> {
        let verbosity = match self.verbose {
            _ if self.debug => Verbosity::Debug,
            0 => Verbosity::Quiet,
            1 => Verbosity::Steps,
            _ => Verbosity::Debug,
        };
        let (color, log_file, ends_options) = (self.color, self.log_file.take(), line.ends_options);
        let mut overrides = self.overrides();
        let action = self.into_action(&mut overrides, line)?;
        Ok(Invocation { action, overrides, verbosity, log_file, color, ends_options })
    }

    fn into_action(mut self, overrides: &mut Overrides, mut line: Line<'_>) -> Result<Action, Refusal> {
        if self.bond_setup {
            let setup = ssh_words::read(self.host.take(), line.ssh.take().unwrap_or_default(), self.if_needed);
            let setup = setup.map_err(|why| line.command.error(ErrorKind::ValueValidation, why))?;
            return Ok(Action::BondSetup(setup));
        }
        if let Some(folder) = self.install_plugin.take() {
            return Ok(Action::InstallPlugin(InstallPlugin { folder, force: self.force }));
        }
        // clap asks for no option that could not stand beside HOST.
        if self.force {
            let message = "--force is of use with --install-plugin alone";
            return Err(line.command.error(ErrorKind::MissingRequiredArgument, message).into());
        }
        if self.report.is_some() && !self.check {
            let message = "--report is what --check writes: ssm-proxy --check --report HOST";
            return Err(line.command.error(ErrorKind::MissingRequiredArgument, message).into());
        }
        let entry = match self.print_ssh_config {
            Some(_) => Some(self.entry(line.command, line.matches)?),
            None => None,
        };
        match (entry, self.generate_cli_skeleton) {
            (entry, _) if self.list => Ok(Action::List(self.into_listing(entry, line.command)?)),
            (Some(entry), _) => Ok(Action::SshConfig(self.into_hosts(line.command)?, entry)),
            (None, Some(skeleton)) if skeleton == Skeleton::Input || !self.names_target() => {
                Ok(Action::Skeleton(skeleton))
            }
            (None, _) => self.into_session(overrides, line),
        }
    }

    /// An action that begins with a session.
    fn into_session(mut self, overrides: &mut Overrides, line: Line<'_>) -> Result<Action, Refusal> {
        let Line { command, matches, words, started_by, .. } = line;
        let report = self.report.take().map(|file| match file.as_deref() {
            None => ReportPlace::Folder,
            Some("-") => ReportPlace::Stdout,
            Some(file) => ReportPlace::File(file.into()),
        });
        let entry = if self.check { self.entry(command, matches).ok() } else { None };
        let (skeleton, is_check) = (self.generate_cli_skeleton, self.check);
        let input = self.input(command)?;
        let (host, target) = self.target(input.target.clone(), command)?;
        let forwards = std::mem::take(&mut self.local_forward);
        let (words, local) = if forwards.is_empty() { (words, None) } else { (None, words) };
        let request = self.request(input.document_name, input.parameters, words, command)?;
        let service = if forwards.is_empty() { self.service(&request, started_by) } else { Service::Forward };
        let start = service.start(request).map_err(|(kind, message)| command.error(kind, message))?;
        if self.bond.is_some() {
            service.bonds(&start).map_err(|(kind, message)| command.error(kind, message))?;
        }
        // HOST is typed for one connection; flags stand in an ssh_config line for many.
        overrides.profile = target.profile.or_else(|| overrides.profile.take());
        overrides.region = target.region.or_else(|| overrides.region.take());
        let connection = Connection {
            host,
            node: target.node,
            port: start.port,
            document: start.document,
            parameters: start.parameters,
            reason: self.reason.or(input.reason),
            push_key: self.push_key.zip(self.user).map(|(key, user)| PushKey { key: key.as_str().into(), user }),
            wait: Duration::from_secs(self.wait.into()),
            connect_timeout: Duration::from_secs(self.connect_timeout.into()),
            resume_timeout: Duration::from_secs(self.resume_timeout.into()),
            paced: !self.no_pace,
            bond: self.bond.map(usize::from),
        };
        Ok(match (skeleton, service) {
            (Some(skeleton), _) => Action::Skeleton(skeleton),
            (None, Service::Tunnel) if is_check => Action::Check(connection, entry, report),
            (None, Service::Tunnel) => Action::Connect(connection),
            (None, Service::Shell) => Action::Shell(connection),
            (None, Service::Command(kind)) => Action::Exec(connection, kind),
            (None, Service::Forward) => Action::Forward(Forwarding {
                forwards: forwards.into_iter().map(|to| forward(to, &connection)).collect(),
                bond: self.bond.map(|_| service::to_ssh(&connection)),
                command: local.unwrap_or_default(),
                sessions: self.sessions.into(),
                keep_alive: self.keep_alive,
                quiet: self.quiet,
            }),
        })
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

    /// What the line says of the session, with `document` and `parameters` of the JSON.
    fn request(
        &mut self,
        document: Option<String>,
        parameters: Parameters,
        words: Option<Vec<OsString>>,
        command: &mut Command,
    ) -> Result<Request, Refusal> {
        let text = remote_command::text(words.unwrap_or_default());
        let text = text.map_err(|why| command.error(ErrorKind::ValueValidation, why))?;
        let parameters = self.parameters.take().unwrap_or_else(|| {
            let mut parameters = parameters;
            if self.port.is_some() {
                service::remove_port(&mut parameters);
            }
            parameters
        });
        Ok(Request { document: self.document_name.take().or(document), parameters, port: self.port, command: text })
    }

    /// The service that is asked for. A person who names none gets a shell, unless the line has what is of use to ssh alone.
    fn service(&self, request: &Request, started_by: StartedBy) -> Service {
        let is_for_ssh = || {
            self.check
                || self.push_key.is_some()
                || self.user.is_some()
                || self.bond.is_some()
                || request.is_for_tunnel()
        };
        match started_by {
            _ if self.exec && self.tty => Service::Command(CommandKind::OnTerminal),
            _ if self.exec => Service::Command(CommandKind::Plain),
            _ if self.shell => Service::Shell,
            StartedBy::Person if !is_for_ssh() => Service::Shell,
            StartedBy::Person | StartedBy::Program => Service::Tunnel,
        }
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

/// One forward, with what starts its sessions.
fn forward(to: LocalForward, connection: &Connection) -> (LocalForward, Connection) {
    let mut connection = connection.clone();
    service::forward(&to, &mut connection.document, &mut connection.parameters);
    connection.port = to.port;
    (to, connection)
}

fn parse(host: &str) -> Result<Target, Refusal> {
    Target::parse(host).map_err(|not_a_target| Refusal::Target {
        host: host.to_owned(),
        error: Error::new(ExitStatus::NoTarget, not_a_target.to_string(), not_a_target.hint(host)),
    })
}
