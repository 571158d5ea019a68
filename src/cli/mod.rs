//! The command line: the flags, what they mean together, and the help text.
//!
//! It reads its arguments, the files that they name as `file://PATH`, and the terminal's colour habits, nothing else: no
//! AWS, no printing. `main` shows what a [`Refusal`] holds.

mod carried;
mod flags;
mod help;
mod input;
mod invocation;
mod leftover;
mod line;
mod local_forward;
mod parameters;
pub mod plugin;
mod quoting;
mod reach;
mod remote_command;
mod service;
mod ssh_words;
#[cfg(test)]
mod tests;
mod unused;

use std::ffi::{OsStr, OsString};

use clap::{
    ColorChoice, Command, CommandFactory, FromArgMatches,
    error::{ContextKind, ContextValue, ErrorKind},
};

use self::{flags::Flags, line::Line};
pub use self::{
    invocation::{
        Action, BondSetup, Color, CommandKind, Connection, Entry, Forwarding, Host, InstallPlugin, Invocation, Listing,
        Output, PushKey, Refusal, ReportPlace, Skeleton, StartedBy, Verbosity,
    },
    local_forward::{Bind, Interface, LocalForward},
    parameters::Parameters,
    quoting::Platform,
    service::{COMMAND_DOCUMENT, FORWARD_DOCUMENT, SHELL_DOCUMENT, parameters_at},
};

impl Invocation {
    /// Reads a command line; the first of `args` is the program's name. A HOST alone is a shell or a connection by who has
    /// started the program.
    ///
    /// # Errors
    /// [`Refusal::Usage`] for what clap refuses, for values out of range and for flags that contradict each other;
    /// [`Refusal::Target`] with status 68 for a HOST that is no target; [`Refusal::File`] with status 78 for a file that
    /// cannot be read.
    pub fn parse_from<A: Into<OsString>>(
        args: impl IntoIterator<Item = A>,
        started_by: StartedBy,
    ) -> Result<Self, Refusal> {
        let args = leftover::without_command(args.into_iter().map(Into::into).collect());
        let ends_options = args.iter().any(|arg| arg == "--");
        let (args, ssh) = ssh_words::split_off(args);
        let (args, words) = remote_command::split_off(args);
        let mut command = command().color(color_of(&args));
        for option in ["--wait", "--bond"] {
            if let Some(number) = leftover::number_of(option, &args) {
                let message = format!("{option} takes its number with '=': {option}={number}");
                return Err(command.error(ErrorKind::ValueValidation, message).into());
            }
        }
        let matches = command.try_get_matches_from_mut(args);
        let matches = match matches {
            Err(error) if words.as_ref().is_some_and(Vec::is_empty) && is_of_command(&error) => {
                let (kind, message) = service::no_command();
                return Err(command.error(kind, message).into());
            }
            matches => matches?,
        };
        let flags = Flags::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
        let line = Line { command: &mut command, matches: &matches, ends_options, words, ssh, started_by };
        flags.into_invocation(line)
    }
}

/// Whether an error may come of a COMMAND that stands where PORT and options do.
fn is_of_command(error: &clap::Error) -> bool {
    let is_port = || error.get(ContextKind::InvalidArg) == Some(&ContextValue::String("[PORT]".to_owned()));
    error.kind() == ErrorKind::UnknownArgument || is_port()
}

/// The command line's definition, for whoever makes pages and completions from it.
pub fn command() -> Command {
    Flags::command().args(unused::args())
}

/// What `--color` says in `args`, ahead of the parsing that its answer is to colour.
fn color_of(args: &[OsString]) -> ColorChoice {
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
