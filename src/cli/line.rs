//! A command line as far as the flags do not say it.

use std::ffi::OsString;

use clap::{ArgMatches, Command};

use super::invocation::StartedBy;

/// What goes with the flags of one line.
pub(super) struct Line<'a> {
    /// For errors in its form.
    pub(super) command: &'a mut Command,
    pub(super) matches: &'a ArgMatches,
    /// Whether `--` ends the options.
    pub(super) ends_options: bool,
    /// COMMAND, on a line that may have one.
    pub(super) words: Option<Vec<OsString>>,
    /// HOST and the options of ssh, on a line that may have those.
    pub(super) ssh: Option<Vec<OsString>>,
    pub(super) started_by: StartedBy,
}
