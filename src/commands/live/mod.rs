//! The live check, `--check --report`: every kind of session, one after the other, against the real service. A step that
//! fails says why, and the next is taken all the same.

mod command;
mod forward;
mod ledger;
mod several;
mod shell;
mod tour;
mod tunnel;
mod upload;
mod visit;

use std::cell::RefCell;

use ssm_aws::Aws;

use super::steps::Steps;
use crate::{
    cli::{Connection, SHELL_DOCUMENT},
    diagnostics::{Error, ExitStatus, tell},
    endpoints::signals::Signals,
    report::Report,
};
use tour::Tour;

/// A node whose sessions are looked at.
pub(super) struct Subject<'a> {
    pub(super) aws: &'a Aws,
    pub(super) connection: &'a Connection,
    /// Its id.
    pub(super) id: &'a str,
    /// Whether it is known to run Windows.
    pub(super) is_windows: bool,
}

/// Walks every kind. No session is left, however it ends.
pub(super) async fn live(subject: Subject<'_>, steps: &mut Steps, report: &RefCell<Report>, signals: &mut Signals) {
    let Subject { aws, connection, id, is_windows } = subject;
    let tour = Tour::new(aws, connection, id, report);
    let ended = signals.unless_ended(walk(&tour, steps, is_windows), || tell("checking")).await;
    tour.ledger.end_all().await;
    if let Err(signal) = ended {
        steps.failed("check", &ended_by(signal));
    }
}

/// The error of a check that a signal has ended.
pub(super) fn ended_by(signal: &str) -> Error {
    Error::new(ExitStatus::Broken, format!("ended by {signal}"), "check again")
}

async fn walk(tour: &Tour<'_>, steps: &mut Steps, is_windows: bool) {
    let has_tunnel = tunnel::tunnel(tour, steps).await;
    let has_shell = shell::shell(tour, steps).await;
    if is_windows {
        let why = "not tried on Windows, which has no sh";
        steps.skipped("command", why);
        steps.skipped("download", why);
    } else {
        command::command(tour, steps).await;
        command::download(tour, steps).await;
    }
    forward::forward(tour, steps).await;
    let request = match (has_tunnel, has_shell) {
        (true, _) => tour.tunnel(),
        (false, true) => tour.request(SHELL_DOCUMENT, &[]),
        (false, false) => return steps.skipped("four at once", "not tried: not even one can be started"),
    };
    several::several(tour, steps, &request).await;
}
