//! A command of this side that runs while forwards are up. It has the terminal.

use std::{ffi::OsString, process::ExitStatus as Status, time::Duration};

use tokio::{
    process::{Child, Command},
    time::timeout,
};

use crate::{
    diagnostics::{Error, ExitStatus},
    endpoints::descriptors::Descriptors,
    endpoints::signals::{Asked, Signals},
};

/// For a command to end after the signal that ends us was passed on to it.
const FAREWELL: Duration = Duration::from_secs(3);

/// Runs a command until it has ended, and gives its status. Ctrl-C is the command's affair, which gets it from the terminal
/// as we do; other signals that end us are passed on to it.
///
/// # Errors
/// If it cannot be started.
pub(super) async fn run(
    program: &OsString,
    arguments: &[OsString],
    signals: &mut Signals,
    descriptors: &Descriptors,
    report: impl Fn(),
) -> Result<u8, Error> {
    let mut child = descriptors.as_before(|| Command::new(program).args(arguments).spawn()).map_err(|cause| {
        let message = format!("{} cannot be run: {cause}", program.display());
        Error::new(ExitStatus::Usage, message, "write the command behind '--', as it is typed in a shell")
    })?;
    loop {
        tokio::select! {
            biased;
            ended = child.wait() => return Ok(ended.map_or(0, status)),
            signal = signals.next() => match signal {
                Asked::Report => report(),
                Asked::End("SIGINT" | "SIGQUIT" | "Ctrl-C" | "Ctrl-Break") => {}
                Asked::End(signal) => {
                    tracing::info!(signal, "ending, and the command with it");
                    pass_on(&child);
                    let ended = timeout(FAREWELL, child.wait()).await;
                    return Ok(ended.ok().and_then(Result::ok).map_or(128 + 15, status));
                }
            },
        }
    }
}

#[cfg(unix)]
fn pass_on(child: &Child) {
    use rustix::process::{Pid, Signal, kill_process};

    let id = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    // One that has ended meanwhile needs no signal.
    let _ = id.map(|id| kill_process(id, Signal::TERM));
}

/// A console tells all its programs by itself.
#[cfg(windows)]
fn pass_on(_: &Child) {}

/// The status as a shell gives it: 128 and the number of the signal that has ended a command.
fn status(status: Status) -> u8 {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return u8::try_from(128 + signal).unwrap_or(u8::MAX);
    }
    status.code().map_or(u8::MAX, |code| u8::try_from(code).unwrap_or(u8::MAX))
}
