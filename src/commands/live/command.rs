//! Commands in a live check: an exit status, and a download.

use std::time::{Duration, Instant};

use ssm_session::Accepts;

use super::{tour::Tour, visit::Visit};
use crate::{
    cli::COMMAND_DOCUMENT,
    commands::steps::Steps,
    diagnostics::{Error, ExitStatus, human::Bytes},
    report::Happened,
};

/// How long a command may take to end.
const ENDED: Duration = Duration::from_secs(60);
/// How long the exit status may take once the connection was lost: the agent does not read on what the command writes, and one
/// that has more to write never ends.
const LOST: Duration = Duration::from_secs(5);
/// How long the end of the session may take after that.
const CLOSED: Duration = Duration::from_secs(10);
/// A command with a status that none has by accident.
const COMMAND: &str = "sh -c 'exit 7'";
const STATUS: i64 = 7;
/// Bytes of the download: a second and a half at an agent's pace.
const DOWNLOAD: u64 = 1_500_000;
const SOURCE: &str = "head -c 1500000 /dev/zero";

/// Takes the steps.
pub(super) async fn command(tour: &Tour<'_>, steps: &mut Steps) {
    let running = run(tour, "command", COMMAND, STATUS);
    steps.timed("command", running, |_| format!("it has run, and ended with {STATUS} as it was to")).await;
}

/// Takes the step of a download.
pub(super) async fn download(tour: &Tour<'_>, steps: &mut Steps) {
    let downloading = async {
        let ran = run(tour, "command with a download", SOURCE, 0).await?;
        if ran.received != DOWNLOAD {
            let message = format!("{} of {DOWNLOAD} bytes came", ran.received);
            return Err(Error::new(ExitStatus::Broken, message, "look at the report for pauses, and check again"));
        }
        Ok(ran)
    };
    let text = |ran: &Ran| {
        let rate = ran.received as f64 / ran.took.as_secs_f64().max(f64::MIN_POSITIVE);
        format!("{} at {}/s", Bytes(ran.received as f64), Bytes(rate))
    };
    steps.timed("download", downloading, text).await;
}

/// What came of a command.
struct Ran {
    received: u64,
    /// From the first byte to the last.
    took: Duration,
}

/// Runs a command that is to end with `status`.
async fn run(tour: &Tour<'_>, what: &'static str, command: &str, status: i64) -> Result<Ran, Error> {
    let parameters = [("command", command), ("separateOutputStream", "true")];
    let request = tour.request(COMMAND_DOCUMENT, &parameters);
    let begun = Instant::now();
    let mut visit = Visit::open(tour, what, request, Accepts::All).await?;
    let ended = wait(&mut visit, status).await;
    let (first, last) = visit.came.unwrap_or((begun, begun));
    let ran = Ran { received: visit.received, took: last.saturating_duration_since(first) };
    visit.note(Happened::Took("the output came from its first byte to its last", ran.took));
    let closed = visit.end().await;
    ended.and(closed).map(|()| ran)
}

async fn wait(visit: &mut Visit<'_>, status: i64) -> Result<(), Error> {
    let ended = |visit: &mut Visit<'_>| (visit.status.is_some() || visit.connections > 1).then_some(());
    visit.until(ENDED, "the command to end", ended).await?;
    let ended = match visit.until(LOST, "its exit status", |visit| visit.status).await {
        Err(_) if !visit.is_closed && visit.connections > 1 => return Err(lost()),
        ended => ended?,
    };
    visit.until(CLOSED, "the end of the session", |visit| visit.is_closed.then_some(())).await?;
    if ended == status {
        return Ok(());
    }
    let hint = "the node has perhaps no such program, as Windows has none: run a command of its own with --exec";
    Err(Error::new(ExitStatus::Unavailable, format!("the command ended with {ended} in place of {status}"), hint))
}

fn lost() -> Error {
    let message = "the connection was lost while the command ran, and the agent does not read on after that";
    Error::new(ExitStatus::TryAgain, message, "check the network, and check again")
}
