//! The service that is asked for, and the session document and parameters that start it.
//!
//! It knows documents of Session Manager, and neither nodes nor how flags are written.

use clap::error::ErrorKind;

use super::{
    invocation::{CommandKind, Connection},
    local_forward::LocalForward,
    parameters::Parameters,
};

/// The session document that forwards one connection to a port of the target (protocol §1).
const SSH_DOCUMENT: &str = "AWS-StartSSHSession";
/// The account's own document for shells. StartSession takes it for granted, but policies that look at documents
/// (`ssm:SessionDocumentAccessCheck`) want its name.
pub const SHELL_DOCUMENT: &str = "SSM-SessionManagerRunShell";
/// The document that runs a command without a terminal.
pub const COMMAND_DOCUMENT: &str = "AWS-StartNonInteractiveCommand";
/// The document that runs a command on a terminal of the far side.
pub(super) const TERMINAL_DOCUMENT: &str = "AWS-StartInteractiveCommand";
/// The document that forwards connections to a port of the node.
pub const FORWARD_DOCUMENT: &str = "AWS-StartPortForwardingSession";
/// The document that forwards them to a server through it.
const REMOTE_FORWARD_DOCUMENT: &str = "AWS-StartPortForwardingSessionToRemoteHost";
/// Where sshd listens unless the command line says otherwise.
const DEFAULT_PORT: u16 = 22;
/// The document parameter that carries the port (protocol §1).
const PORT_PARAMETER: &str = "portNumber";
/// The document parameter that names the server behind the node.
const HOST_PARAMETER: &str = "host";
/// The document parameter that carries a command.
const COMMAND_PARAMETER: &str = "command";
/// The document parameter that keeps stdout and stderr apart and lets the agent send both at once, and an exit status at
/// the end. Without it all output comes when the command has ended.
const SEPARATE_PARAMETER: &str = "separateOutputStream";

/// What a session is to serve.
#[derive(Clone, Copy, Debug)]
pub(super) enum Service {
    /// A connection to a port of the target.
    Tunnel,
    /// A shell, or whatever the document starts.
    Shell,
    /// A command.
    Command(CommandKind),
    /// Connections that are taken on this side.
    Forward,
}

/// What a command line says of the session.
#[derive(Debug)]
pub(super) struct Request {
    /// The document, if it names one.
    pub(super) document: Option<String>,
    pub(super) parameters: Parameters,
    /// PORT.
    pub(super) port: Option<u16>,
    /// COMMAND, quoted.
    pub(super) command: Option<String>,
}

/// What starts a service.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) document: String,
    pub(super) parameters: Parameters,
    /// The port of a tunnel.
    pub(super) port: u16,
}

/// A usage error: its kind and message.
type Wrong = (ErrorKind, String);

/// A connection to the node's sshd in place of this one.
pub(super) fn to_ssh(connection: &Connection) -> Connection {
    let mut parameters = Parameters::new();
    set_port(&mut parameters, DEFAULT_PORT);
    Connection { document: SSH_DOCUMENT.to_owned(), parameters, port: DEFAULT_PORT, ..connection.clone() }
}

/// The parameters of a connection, with another port.
pub fn parameters_at(connection: &Connection, port: u16) -> Parameters {
    let mut parameters = connection.parameters.clone();
    set_port(&mut parameters, port);
    parameters
}

fn set_port(parameters: &mut Parameters, port: u16) {
    parameters.insert(PORT_PARAMETER.to_owned(), vec![port.to_string()]);
}

/// Leaves the port of these parameters to PORT.
pub(super) fn remove_port(parameters: &mut Parameters) {
    parameters.remove(PORT_PARAMETER);
}

impl Request {
    /// Whether it asks for a connection to a port, or to sshd, without saying so.
    pub(super) fn is_for_tunnel(&self) -> bool {
        let by_document = match &self.document {
            Some(document) => document == SSH_DOCUMENT,
            None => self.parameters.contains_key(PORT_PARAMETER),
        };
        self.port.is_some() || by_document
    }
}

impl Service {
    /// The document and all its parameters.
    ///
    /// # Errors
    /// What contradicts itself.
    pub(super) fn start(self, request: Request) -> Result<Start, Wrong> {
        match self {
            Self::Tunnel => tunnel(request),
            Self::Shell => {
                let Request { document, parameters, .. } = request;
                let document = document.unwrap_or_else(|| SHELL_DOCUMENT.to_owned());
                Ok(Start { document, parameters, port: DEFAULT_PORT })
            }
            Self::Command(kind) => run(kind, request),
            // Each of them adds what is its own.
            Self::Forward => {
                let Request { document, parameters, .. } = request;
                Ok(Start { document: document.unwrap_or_default(), parameters, port: DEFAULT_PORT })
            }
        }
    }
}

impl Service {
    /// Whether several sessions can carry it together.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn bonds(self, start: &Start) -> Result<(), Wrong> {
        match self {
            Self::Tunnel if start.document == SSH_DOCUMENT => Ok(()),
            Self::Forward if start.document.is_empty() => Ok(()),
            Self::Tunnel | Self::Forward => {
                let message = format!("--bond is for sessions of {SSH_DOCUMENT}, not of {}", start.document);
                Err((ErrorKind::ArgumentConflict, message))
            }
            Self::Shell | Self::Command(_) => {
                let message = "--bond is for SSH connections, in the ProxyCommand, and for -L".to_owned();
                Err((ErrorKind::ArgumentConflict, message))
            }
        }
    }
}

fn tunnel(Request { document, mut parameters, port, .. }: Request) -> Result<Start, Wrong> {
    let port = agreed_port(port, &parameters)?;
    set_port(&mut parameters, port);
    Ok(Start { document: document.unwrap_or_else(|| SSH_DOCUMENT.to_owned()), parameters, port })
}

fn run(kind: CommandKind, request: Request) -> Result<Start, Wrong> {
    let Request { document, mut parameters, command, .. } = request;
    let has_command = parameters.contains_key(COMMAND_PARAMETER);
    match command {
        Some(_) if has_command => {
            let message = "COMMAND and the parameter 'command' name a command each; give one of them".to_owned();
            return Err((ErrorKind::ArgumentConflict, message));
        }
        Some(command) => drop(parameters.insert(COMMAND_PARAMETER.to_owned(), vec![command])),
        // A document of one's own may need none.
        None if !has_command && document.is_none() => return Err(no_command()),
        None => {}
    }
    let default = match kind {
        CommandKind::Plain => COMMAND_DOCUMENT,
        CommandKind::OnTerminal => TERMINAL_DOCUMENT,
    };
    let document = document.unwrap_or_else(|| default.to_owned());
    if document == COMMAND_DOCUMENT {
        parameters.entry(SEPARATE_PARAMETER.to_owned()).or_insert_with(|| vec!["true".to_owned()]);
    }
    Ok(Start { document, parameters, port: DEFAULT_PORT })
}

/// The document and the parameters of one forward, besides those that are given; `document` is empty if none is.
pub(super) fn forward(to: &LocalForward, document: &mut String, parameters: &mut Parameters) {
    if document.is_empty() {
        *document = if to.is_on_node() { FORWARD_DOCUMENT } else { REMOTE_FORWARD_DOCUMENT }.to_owned();
    }
    if !to.is_on_node() {
        parameters.insert(HOST_PARAMETER.to_owned(), vec![to.host.clone()]);
    }
    set_port(parameters, to.port);
}

/// The error of a line whose COMMAND is missing, or is not where it belongs.
pub(super) fn no_command() -> Wrong {
    let message = "no COMMAND given: it stands behind '--', as in ssm-proxy --exec HOST -- COMMAND";
    (ErrorKind::MissingRequiredArgument, message.to_owned())
}

/// The one port that PORT and the parameters agree on.
fn agreed_port(positional: Option<u16>, parameters: &Parameters) -> Result<u16, Wrong> {
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
