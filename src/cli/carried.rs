//! Carried options: those of a command line that makes ssh_config entries, written again for the ProxyCommand in them.

use clap::{ArgAction, ArgMatches, Command, error::ErrorKind, parser::ValueSource};

use super::quoting::Platform;

/// The options that belong to the run that makes entries, not to the connections; and region and profile, which the maker
/// of the entries adds itself.
const LEFT_OUT: [&str; 12] = [
    "print_ssh_config",
    "list",
    "check",
    "report",
    "output",
    "host",
    "port",
    "target",
    "user",
    "region",
    "profile",
    "color",
];

/// Those of the options left out whose values an entry has all the same.
const OF_AN_ENTRY: [&str; 3] = ["region", "profile", "user"];

/// The options as words of a ProxyCommand, with what ssh_config takes for a token written so that it is none.
///
/// # Errors
/// A value that no line can hold, or a user who is no word.
pub(super) fn options(command: &mut Command, matches: &ArgMatches) -> Result<Vec<String>, clap::Error> {
    let value = |id| matches.get_one::<String>(id).map_or("", String::as_str);
    if value("user").contains([' ', '"']) {
        return Err(command.error(ErrorKind::InvalidValue, "in an ssh_config entry --user is one word"));
    }
    let quote = |word: &str| Platform::HERE.quote(word);
    let is_one_line = OF_AN_ENTRY.into_iter().all(|id| quote(value(id)).is_some());
    let mut words = Vec::new();
    for arg in command.get_arguments() {
        let id = arg.get_id().as_str();
        let Some(long) = arg.get_long() else { continue };
        // With --list tags say what is listed, and a check has found the node that they stand for.
        let is_left_out =
            LEFT_OUT.contains(&id) || id == "tag" && (matches.get_flag("list") || matches.get_flag("check"));
        if is_left_out || matches.value_source(id) != Some(ValueSource::CommandLine) {
            continue;
        }
        let values: Vec<String> =
            matches.get_raw(id).unwrap_or_default().map(|value| value.to_string_lossy().into_owned()).collect();
        match arg.get_action() {
            ArgAction::Count => words.extend(vec![format!("--{long}"); matches.get_count(id).into()]),
            action if !action.takes_values() => words.push(format!("--{long}")),
            _ if arg.is_require_equals_set() => words.extend(values.iter().map(|value| format!("--{long}={value}"))),
            _ => words.extend(values.into_iter().flat_map(|value| [format!("--{long}"), value])),
        }
    }
    let quoted: Option<_> = words.iter().map(|word| quote(word)).collect();
    quoted
        .filter(|_| is_one_line)
        .ok_or_else(|| command.error(ErrorKind::InvalidValue, "an ssh_config entry has no place for a line's end"))
}
