//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
Joins the connections of one ssm-proxy bond into one connection to sshd.

Usage: ssm-proxy-join --systemd [--to HOST:PORT] [--idle SECONDS]
       ssm-proxy-join --background [--to HOST:PORT] [--idle SECONDS] [--log-file PATH]

  --systemd          serve two sockets of systemd: the first port and the join port
  --background       read a secret of 64 hex digits from stdin, serve two free ports of 127.0.0.1 in the
                     background and print `listening FIRST JOIN VERSION`
  --to HOST:PORT     where bonds go (127.0.0.1:22)
  --idle SECONDS     end after so long without a bond (60 with --systemd, else 3600)
  --log-file PATH    where the one in the background writes its log (nowhere)
  --version          print the version
  --help             print this
";

/// How the program has been called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// With the sockets of systemd.
    Systemd,
    /// To start itself anew in the background.
    Background,
    /// As that which is in the background.
    Detached,
    /// For the version.
    Version,
    /// For help.
    Help,
}

/// The command line, read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    pub(crate) mode: Mode,
    /// Where bonds go that name no destination.
    pub(crate) to: String,
    /// After how long without a bond the program ends.
    pub(crate) idle: Duration,
    pub(crate) log_file: Option<PathBuf>,
}

/// Reads the command line, the program's own name left out.
///
/// # Errors
/// In one line, what is wrong with it.
pub(crate) fn read(mut given: impl Iterator<Item = OsString>) -> Result<Arguments, String> {
    let (mut mode, mut idle) = (None, None);
    let (mut to, mut log_file) = ("127.0.0.1:22".to_owned(), None);
    while let Some(argument) = given.next() {
        let argument = argument.to_string_lossy().into_owned();
        let mut value = || given.next().ok_or_else(|| format!("{argument} needs a value"));
        let asked = match argument.as_str() {
            "--systemd" => Mode::Systemd,
            "--background" => Mode::Background,
            "--detached" => Mode::Detached,
            "--version" => Mode::Version,
            "--help" | "-h" => Mode::Help,
            "--to" => {
                to = destination(&value()?.to_string_lossy())?;
                continue;
            }
            "--idle" => {
                let text = value()?.to_string_lossy().into_owned();
                let seconds = text.parse().map_err(|_| format!("--idle is a number of seconds, not {text}"))?;
                idle = Some(Duration::from_secs(seconds));
                continue;
            }
            "--log-file" => {
                log_file = Some(PathBuf::from(value()?));
                continue;
            }
            other => return Err(format!("there is no {other}")),
        };
        if mode.replace(asked).is_some_and(|other| other != asked) {
            return Err("only one mode at a time".to_owned());
        }
    }
    let mode = mode.ok_or("give --systemd or --background")?;
    let usual = if mode == Mode::Systemd { 60 } else { 3600 };
    Ok(Arguments { mode, to, idle: idle.unwrap_or(Duration::from_secs(usual)), log_file })
}

fn destination(text: &str) -> Result<String, String> {
    let is_whole = text
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0));
    if is_whole { Ok(text.to_owned()) } else { Err(format!("--to is HOST:PORT, not {text}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &str) -> Result<Arguments, String> {
        read(words.split_whitespace().map(OsString::from))
    }

    #[test]
    fn modes_have_their_own_idle_limits() {
        assert_eq!(of("--systemd").map(|read| read.idle.as_secs()), Ok(60));
        assert_eq!(of("--background").map(|read| read.idle.as_secs()), Ok(3600));
        assert_eq!(
            of("--systemd --idle 5 --to [::1]:22").map(|read| (read.idle.as_secs(), read.to)),
            Ok((5, "[::1]:22".to_owned()))
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (words, why) in [
            ("", "give --systemd or --background"),
            ("--systemd --background", "only one mode at a time"),
            ("--systemd --idle", "--idle needs a value"),
            ("--systemd --idle soon", "--idle is a number of seconds, not soon"),
            ("--systemd --to node", "--to is HOST:PORT, not node"),
            ("--systemd --to node:0", "--to is HOST:PORT, not node:0"),
            ("--secret", "there is no --secret"),
        ] {
            assert_eq!(of(words), Err(why.to_owned()), "{words}");
        }
    }
}
