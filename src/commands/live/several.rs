//! Several sessions at once in a live check.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use ssm_aws::StartRequest;
use ssm_session::Accepts;

use super::{tour::Tour, visit::Visit};
use crate::{
    commands::steps::Steps,
    diagnostics::{Error, human::Time},
    report::Happened,
};

/// As many as a forward has at most unless it is told otherwise.
const SESSIONS: usize = 4;

/// Takes the step, with sessions of this request.
pub(super) async fn several(tour: &Tour<'_>, steps: &mut Steps, request: &StartRequest) {
    let text = |times: &Vec<Duration>| {
        let times: Vec<_> = times.iter().map(|time| Time(*time).to_string()).collect();
        format!("all are up, after {}", times.join(", "))
    };
    steps.timed("four at once", all(tour, request), text).await;
}

/// Starts them at the same time, ends them when all are up, and gives how long each took.
async fn all(tour: &Tour<'_>, request: &StartRequest) -> Result<Vec<Duration>, Error> {
    let begun = Instant::now();
    let opening = (0..SESSIONS).map(|_| async {
        let visit = Visit::open(tour, "one of four at once", request.clone(), Accepts::All).await?;
        visit.note(Happened::Took("it was up", begun.elapsed()));
        Ok::<_, Error>((visit, begun.elapsed()))
    });
    let mut times = Vec::new();
    let (mut visits, mut failure) = (Vec::new(), None);
    for opened in join_all(opening).await {
        match opened {
            Ok((visit, took)) => {
                times.push(took);
                visits.push(visit);
            }
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    let up = visits.len();
    let ended = join_all(visits.into_iter().map(Visit::end)).await.into_iter().collect::<Result<(), Error>>();
    match failure {
        Some(error) => Err(error.after(&format!("{up} of {SESSIONS} came up"))),
        None => ended.map(|()| times),
    }
}
