//! A shell in a live check: a line that it answers, and its end.

use std::time::Duration;

use ssm_session::{Accepts, Kind, Size};

use super::{tour::Tour, visit::Visit};
use crate::{
    cli::SHELL_DOCUMENT,
    commands::steps::Steps,
    diagnostics::{Error, ExitStatus},
};

/// How long a shell may take to answer: agents read its output after a second.
const ANSWER: Duration = Duration::from_secs(15);
/// A size at which no line is broken.
const SIZE: Size = Size { cols: 300, rows: 100 };
/// A line that shells of Unix and PowerShell answer with [`ANSWERED`], which the line itself does not have in it.
const QUESTION: &[u8] = b"echo ready-$((40+2))\r";
const ANSWERED: &[u8] = b"ready-42";
/// The line that ends it, with its session.
const EXIT: &[u8] = b"exit\r";

/// Takes the steps. Whether a session could be started.
pub(super) async fn shell(tour: &Tour<'_>, steps: &mut Steps) -> bool {
    let opening = async {
        let request = tour.request(SHELL_DOCUMENT, &[]);
        let mut visit = Visit::open(tour, "shell", request, Accepts::All).await?;
        let greeted = greet(&mut visit).await;
        visit.or_end(greeted).await
    };
    let text = |_: &Visit<'_>| "it has begun, and answers".to_owned();
    let Some(mut visit) = steps.timed("shell", opening, text).await else { return false };
    let leaving = async {
        visit.send(EXIT, ANSWER).await?;
        visit.until(ANSWER, "the shell to end", |visit| visit.is_closed.then_some(())).await
    };
    steps.timed("exit", leaving, |()| "the shell has ended, and its session with it".to_owned()).await;
    steps.take("end of shell", visit.end().await);
    true
}

async fn greet(visit: &mut Visit<'_>) -> Result<(), Error> {
    if !matches!(visit.ready, Some((Kind::Terminal, _))) {
        let hint = "the preferences of Session Manager have another document for shells";
        return Err(Error::new(ExitStatus::Config, "the document for shells starts no shell", hint));
    }
    visit.session().resize(SIZE);
    visit.send(QUESTION, ANSWER).await?;
    let has_answered =
        |visit: &mut Visit<'_>| visit.output.windows(ANSWERED.len()).any(|window| window == ANSWERED).then_some(());
    visit.until(ANSWER, "the shell to answer", has_answered).await
}
