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
mod parameters;
mod quoting;
mod reach;
#[cfg(test)]
mod tests;
mod unused;

use std::ffi::{OsStr, OsString};

use clap::{ColorChoice, Command, CommandFactory, FromArgMatches, error::ErrorKind};

use self::flags::Flags;
pub use self::{
    invocation::{
        Action, Color, Connection, Entry, Host, Invocation, Listing, Output, PushKey, Refusal, Skeleton, Verbosity,
    },
    parameters::Parameters,
    quoting::Platform,
};

impl Invocation {
    /// Reads a command line; the first of `args` is the program's name.
    ///
    /// # Errors
    /// [`Refusal::Usage`] for what clap refuses, for values out of range and for flags that contradict each other;
    /// [`Refusal::Target`] with status 68 for a HOST that is no target; [`Refusal::File`] with status 78 for a file that
    /// cannot be read.
    pub fn parse_from<A: Into<OsString>>(args: impl IntoIterator<Item = A>) -> Result<Self, Refusal> {
        let args = leftover::without_command(args.into_iter().map(Into::into).collect());
        let ends_options = args.iter().any(|arg| arg == "--");
        let mut command = command().color(color_of(&args));
        if let Some(number) = leftover::number_of_wait(&args) {
            let message = format!("--wait takes its number with '=': --wait={number}");
            return Err(command.error(ErrorKind::ValueValidation, message).into());
        }
        let matches = command.try_get_matches_from_mut(args)?;
        let flags = Flags::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
        flags.into_invocation(&mut command, &matches, ends_options)
    }
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
