//! What a command line asks for, once it makes sense; and why one does not.

use std::{
    ffi::OsString,
    io::{self, IsTerminal},
    path::PathBuf,
    time::Duration,
};

use clap::ValueEnum;
use ssm_aws::{Overrides, Tag};

use super::{local_forward::LocalForward, parameters::Parameters};
use crate::{diagnostics::Error, public_key::KeySource, target::Node};

/// A command line that makes sense: everything in it validated, every default filled in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Invocation {
    /// What is to be done.
    pub action: Action,
    /// What HOST and the flags say in place of environment and profile, which have not been asked yet.
    pub overrides: Overrides,
    /// How much to log.
    pub verbosity: Verbosity,
    /// Where to log in place of stderr.
    pub log_file: Option<PathBuf>,
    /// Whether what goes to stderr is coloured.
    pub color: Color,
    /// Whether `--` ends the options: then no host, and no file that it fits as a pattern, becomes one.
    pub ends_options: bool,
}

/// What an invocation asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Action {
    /// To carry an SSH connection.
    Connect(Connection),
    /// `--shell`, or HOST alone that a person has typed: a shell on the node, or whatever the document starts.
    Shell(Connection),
    /// `--exec`: to run a command on the node.
    Exec(Connection, CommandKind),
    /// `-L`: to take connections here and carry them to the node, or through it.
    Forward(Forwarding),
    /// `--check`: to walk the way of a connection and say what fails on it. The entry has what the command that comes next
    /// takes from this line, if a line can hold it. With a place for its report, every kind of session is walked.
    Check(Connection, Option<Entry>, Option<ReportPlace>),
    /// `--list`: to show the managed nodes.
    List(Listing),
    /// `--print-ssh-config`: to show ssh_config's entries for these hosts, or for all ids.
    SshConfig(Vec<Host>, Entry),
    /// `--generate-cli-skeleton`: to show the shape of StartSession's request or answer.
    Skeleton(Skeleton),
    /// `--install-plugin`: to put this program in the place of `session-manager-plugin`.
    InstallPlugin(InstallPlugin),
    /// `--bond-setup`: to start a joiner on a node by ssh.
    BondSetup(BondSetup),
}

/// A joiner to be started.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BondSetup {
    /// The node as ssh takes it: an alias of ssh_config, `user@host`, a URL.
    pub host: String,
    /// Further options for ssh.
    pub ssh_options: Vec<OsString>,
    /// Only where nothing is known of the node, without a question and without a word.
    pub if_needed: bool,
}

/// Where the report of a live check goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ReportPlace {
    /// A new file in the current folder, with the date in its name.
    Folder,
    /// This file, which must not be there yet.
    File(PathBuf),
    /// Stdout; the steps then go to stderr.
    Stdout,
}

/// Where the program is to be found by the name of AWS's client.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InstallPlugin {
    /// The folder; `~/.local/bin` without one.
    pub folder: Option<PathBuf>,
    /// Whether another program of that name is replaced.
    pub force: bool,
}

/// Who has started the program, which decides what HOST alone asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StartedBy {
    /// Someone at a terminal, who gets a shell.
    Person,
    /// ssh or another program, which gets a connection to sshd.
    Program,
}

/// How a command of `--exec` runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CommandKind {
    /// With its own stdout, stderr and exit status, and without stdin.
    Plain,
    /// `-t`: on a terminal of the far side, without an exit status.
    OnTerminal,
}

/// Forwards to be kept up.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Forwarding {
    /// Each `-L`, with what starts its sessions; at least one. Whoever has bound the port adds it to the parameters.
    pub forwards: Vec<(LocalForward, Connection)>,
    /// What starts the sessions of connections that each may be carried by several, if they may.
    pub bond: Option<Connection>,
    /// COMMAND, to be run here; empty for none.
    pub command: Vec<OsString>,
    /// Sessions for each forward at most.
    pub sessions: usize,
    /// Whether sessions are kept from their idle limit.
    pub keep_alive: bool,
    /// Whether nothing is said of where they listen.
    pub quiet: bool,
}

/// A connection to be made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Connection {
    /// What messages call the node: HOST as given, or the tags.
    pub host: String,
    /// The node to connect to.
    pub node: Node,
    /// The TCP port on the target, the same as in `parameters`; of a shell and of a command it means nothing.
    pub port: u16,
    /// The session document's name.
    pub document: String,
    /// The document's parameters: for an SSH connection with `portNumber`, for a command with `command`.
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
    /// Sessions that it may be carried over at most, if it may be over several.
    pub bond: Option<usize>,
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
    /// Shown as entries of ssh_config in place of all that.
    pub entry: Option<Entry>,
}

/// A host to make an entry for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Host {
    /// As it was given.
    pub name: String,
    /// Whether it is an id, which has no upper case to lose.
    pub is_id: bool,
}

/// What all entries have of the command line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// Options for the connections, but for region and profile: words of a ProxyCommand.
    pub options: Vec<String>,
    /// Who logs in.
    pub user: Option<String>,
    /// How long the connections try to resume.
    pub resume_timeout: Duration,
}

/// The values of `--output` that `--list` knows.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum Output {
    /// Columns, for people.
    #[default]
    Table,
    /// For programs, with AWS's names.
    Json,
}

/// The values of `--generate-cli-skeleton`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Skeleton {
    /// What `--cli-input-json` takes.
    Input,
    /// What StartSession answers.
    Output,
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
    /// The flags are right, but a file that one of them names cannot be read.
    #[error("{flag}: {error}")]
    File {
        /// The flag, with its dashes.
        flag: &'static str,
        /// What to tell the user.
        error: Error,
    },
}
