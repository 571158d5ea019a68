//! Leftovers: words of the AWS CLI's command line that stayed in ours, and numbers that lack their `=`.
//!
//! It knows command lines as they come, before the flags are read.

use std::ffi::{OsStr, OsString};

/// `aws ssm start-session` without its first word.
const COMMAND: [&str; 2] = ["ssm", "start-session"];

/// The command line without what is left of `aws ssm start-session`: its last two words anywhere ahead of `--`, or the
/// very last at the start, if an option follows. The first of `args` is the program's name.
pub(super) fn without_command(args: Vec<OsString>) -> Vec<OsString> {
    let end = args.iter().position(|arg| arg == "--").unwrap_or(args.len());
    let starts_option = |arg: &OsString| arg.as_encoded_bytes().starts_with(b"-");
    let both = args.get(1..end).and_then(|args| args.windows(2).position(|pair| pair == COMMAND));
    let last = || args.get(1).is_some_and(|arg| arg == "start-session") && args.get(2).is_some_and(starts_option);
    let left = match both {
        Some(at) => at + 1..at + 3,
        None if last() => 1..2,
        None => return args,
    };
    args.into_iter().enumerate().filter(|(at, _)| !left.contains(at)).map(|(_, arg)| arg).collect()
}

/// The number that stands behind `option` as a word of its own, where it would be taken for HOST.
pub(super) fn number_of<'a>(option: &str, args: &'a [OsString]) -> Option<&'a str> {
    let mut args = args.iter().map(OsString::as_os_str).skip(1).take_while(|arg| *arg != "--");
    args.find(|arg| *arg == option)?;
    let is_number = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    args.next().and_then(OsStr::to_str).filter(is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn what_is_left_of_the_command_goes() {
        for (line, rest) in [
            ("p ssm start-session --target i-0", "p --target i-0"),
            ("p start-session --target i-0", "p --target i-0"),
            ("p --region eu-west-1 ssm start-session --target i-0", "p --region eu-west-1 --target i-0"),
            ("p ssm start-session", "p"),
            ("p start-session", "p start-session"),
            ("p start-session 22", "p start-session 22"),
            ("p -- ssm start-session", "p -- ssm start-session"),
            ("p -v -- start-session -x", "p -v -- start-session -x"),
            ("p ssm 22", "p ssm 22"),
            ("p", "p"),
        ] {
            assert_eq!(without_command(words(line)), words(rest), "{line}");
        }
    }

    #[test]
    fn a_number_behind_its_option_is_seen() {
        for (line, number) in [
            ("p --wait 30 web", Some("30")),
            ("p -v --wait 30", Some("30")),
            ("p --wait web 22", None),
            ("p --wait=30 22", None),
            ("p --wait -- 30", None),
            ("p -- --wait 30", None),
            ("p --wait", None),
            ("p 30", None),
        ] {
            assert_eq!(number_of("--wait", &words(line)), number, "{line}");
        }
    }
}
