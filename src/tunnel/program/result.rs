//! The result of a program: its exit status, or the error that ended its session.

use ssm_aws::Aws;
use ssm_session::{Channel, Closed, Kind};

use crate::diagnostics::{Error, ExitStatus, session as words, tell};
use crate::tunnel::outcome::{Outcome, Settings, Wanted, status_of_signal};

/// The status of a command whose own does not fit: a signal has ended it, of which nobody knows more, or it is one of
/// Windows's above 255.
const OTHER: u8 = 255;

/// The facts by which the end of a program is judged.
pub(super) struct Seen {
    pub(super) wanted: Wanted,
    /// The kind of the session, once it had begun.
    pub(super) kind: Option<Kind>,
    /// The command's, once it has come; -1 after a signal.
    pub(super) exit_status: Option<i64>,
    /// The signal that was passed on to the program.
    pub(super) interrupted: Option<&'static str>,
    /// The agent has taken what it was sent, and has said nothing.
    pub(super) is_silent: bool,
    /// A part of the command's output may be lost.
    pub(super) lost_output: bool,
}

impl Seen {
    /// Whether the process ends with the status of a command. AWS's own client may have asked for one without.
    fn is_command(&self) -> bool {
        match self.wanted {
            Wanted::Command => true,
            Wanted::AsPlugin { .. } => self.kind == Some(Kind::Command) && self.exit_status.is_some(),
            Wanted::Shell | Wanted::CommandOnTerminal => false,
        }
    }
}

/// How the session has ended.
pub(super) struct Ended {
    /// Whether the service knows.
    over: bool,
    why: Option<Error>,
}

impl Ended {
    /// Why nothing more comes from the session.
    pub(super) fn of(why: Closed, seen: &Seen, aws: &Aws, settings: &Settings) -> Self {
        let over = why.is_over();
        let why = match why {
            Closed::ByService { output } => closed_by_service(&output, seen),
            // The exit status comes behind all output: nothing but the end was missed.
            Closed::WhileAway if seen.exit_status.is_some() => None,
            why => Some(settings.closed(&why, aws)),
        };
        Self { over, why }
    }

    /// The outcome of the run, once all output is written.
    pub(super) fn outcome(self, seen: &Seen, channel: &Channel) -> Outcome {
        let result = match (self.why, seen.interrupted) {
            (Some(error), _) => Err(error),
            (None, Some(signal)) if seen.is_command() => Ok(status_of_signal(signal)),
            _ if channel.lacks_messages() => Err(words::output_missing()),
            _ if seen.is_command() || (seen.exit_status.is_some() && !seen.wanted.is_as_plugin()) => exit_status(seen),
            _ => Ok(0),
        };
        Outcome { over: self.over, result }
    }
}

fn closed_by_service(output: &str, seen: &Seen) -> Option<Error> {
    tracing::info!("the service has closed the session");
    if seen.interrupted.is_some() {
        tell(output);
        return None;
    }
    match seen.kind {
        // A program on a terminal that has written nothing: without a handshake, nothing but its end is told.
        None if output.is_empty() && seen.is_silent && seen.wanted != Wanted::Command => None,
        None => Some(words::closed_early(output)),
        // It may stand still on a stream that nobody reads any more, until a limit ends the session.
        Some(_) if seen.lost_output => words::closed_program(output).err().map(words::output_lost_before),
        Some(_) => words::closed_program(output).err(),
    }
}

/// The command's exit status becomes ours, whichever document has started it.
fn exit_status(seen: &Seen) -> Result<u8, Error> {
    let status = seen.exit_status.map(|status| u8::try_from(status).unwrap_or(OTHER));
    match status {
        Some(status) if seen.lost_output => Err(words::output_lost(status)),
        Some(status) => Ok(status),
        None if seen.lost_output => Err(words::output_lost_before(no_exit_status())),
        None => Err(no_exit_status()),
    }
}

fn no_exit_status() -> Error {
    Error::new(
        ExitStatus::Broken,
        "the session ended, and the agent gave no exit status of the command",
        "look at what the command has done, and at the agent's log on the target: amazon-ssm-agent.log",
    )
}
