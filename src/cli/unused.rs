//! Unused options: the AWS CLI has them for every command, and they mean nothing for a connection. They are taken without
//! effect, so that its lines of ssh_config can stay as they are.

use clap::{Arg, ArgAction};

/// What `--output` may say: the formats of both versions of the AWS CLI.
pub(super) const FORMATS: [&str; 6] = ["json", "table", "text", "yaml", "yaml-stream", "off"];

/// The options. Nobody asks for their values.
pub(super) fn args() -> [Arg; 5] {
    [
        // A list that is not what these ask for would mislead.
        value("query", "JMESPATH", "Taken from the AWS CLI's lines, without effect: no answer is shown.")
            .conflicts_with("list"),
        switch("no-paginate", "Taken from the AWS CLI's lines, without effect: no answer has pages.")
            .conflicts_with("list"),
        value("cli-binary-format", "FORMAT", "").hide(true),
        switch("no-cli-pager", "").hide(true),
        switch("no-cli-auto-prompt", "").hide(true),
    ]
}

fn value(name: &'static str, value_name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value_name).help(help).hide_short_help(true)
}

fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help).hide_short_help(true)
}
