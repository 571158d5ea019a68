//! A forward in a live check: one connection to sshd, as a stream of the session.

use std::time::{Duration, Instant};

use ssm_session::{Accepts, Kind};
use ssm_smux::{Config, Event as StreamEvent, Mux, StreamId};

use super::{tour::Tour, visit::Visit};
use crate::{
    cli::FORWARD_DOCUMENT,
    commands::{probe, steps::Steps},
    diagnostics::{Error, ExitStatus, session as words},
    forward::takes_one,
};

/// How long the first line of sshd may take.
const ANSWER: Duration = Duration::from_secs(10);

/// Takes the step.
pub(super) async fn forward(tour: &Tour<'_>, steps: &mut Steps) {
    let text = |(): &()| "sshd's first line has come over a stream".to_owned();
    steps.timed("forward", one_stream(tour), text).await;
}

async fn one_stream(tour: &Tour<'_>) -> Result<(), Error> {
    let port = tour.connection.port.to_string();
    let request = tour.request(FORWARD_DOCUMENT, &[("portNumber", &port)]);
    let mut visit = Visit::open(tour, "forward", request, Accepts::All).await?;
    let came = match &visit.ready {
        Some((Kind::Forward, agent)) if takes_one(agent.as_deref()) => {
            visit.until(ANSWER, "the first line of sshd", |visit| probe::banner(&visit.output).map(drop)).await
        }
        Some((Kind::Forward, _)) => over_stream(&mut visit).await,
        _ => Err(words::no_forward("the document for forwards starts no forward".to_owned())),
    };
    let ended = visit.end().await;
    came.and(ended)
}

/// Opens a stream, waits for the first line on it, and closes it.
async fn over_stream(visit: &mut Visit<'_>) -> Result<(), Error> {
    let now = Instant::now();
    let mut mux = Mux::new(Config::default(), now);
    let id = mux.open(now).map_err(|error| not_smux(&error))?;
    transmit(visit, &mut mux).await?;
    visit.until(ANSWER, "the first line of sshd", |visit| line(visit, &mut mux, id)).await??;
    mux.close(id);
    transmit(visit, &mut mux).await
}

/// What has come on the stream, if that is a line of sshd, or shows that none will come.
fn line(visit: &mut Visit<'_>, mux: &mut Mux, id: StreamId) -> Option<Result<(), Error>> {
    let bytes = std::mem::take(&mut visit.output);
    if let Err(error) = mux.handle_bytes(&bytes) {
        return Some(Err(not_smux(&error)));
    }
    while let Some(event) = mux.poll_event() {
        if matches!(event, StreamEvent::Refused { .. } | StreamEvent::Finished(_)) {
            let message = "the node cannot connect to the port of the forward";
            return Some(Err(Error::new(ExitStatus::Unavailable, message, words::UNREACHABLE)));
        }
    }
    probe::banner(mux.read(id)).map(|_| Ok(()))
}

/// Sends what the streams have to say.
async fn transmit(visit: &mut Visit<'_>, mux: &mut Mux) -> Result<(), Error> {
    let mut bytes = Vec::new();
    mux.poll_transmit(Instant::now(), usize::from(u16::MAX), &mut bytes);
    visit.send(&bytes, ANSWER).await
}

fn not_smux(error: &impl std::fmt::Display) -> Error {
    let hint = "say so in an issue, with the report";
    Error::new(ExitStatus::Broken, format!("the agent's streams cannot be read: {error}"), hint)
}
