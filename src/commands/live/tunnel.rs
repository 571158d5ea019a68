//! A connection to sshd in a live check: its first line, a cut of the connection in its middle, what sshd says after that, and
//! an upload.

use std::time::{Duration, Instant};

use ssm_session::Accepts;

use super::{tour::Tour, upload::upload, visit::Visit};
use crate::{
    commands::{probe, steps::Steps},
    diagnostics::{Error, human::Time},
    report::Happened,
};

/// How long sshd may take for its first line, and for its answer to ours.
const ANSWER: Duration = Duration::from_secs(10);
/// How long the connection may take to be there again.
const BACK: Duration = Duration::from_secs(20);
/// The line by which a client introduces itself, which sshd answers with its offer of ciphers.
const HELLO: &[u8] = b"SSH-2.0-ssm_proxy_check\r\n";

/// Takes the steps. Whether a session could be started.
pub(super) async fn tunnel(tour: &Tour<'_>, steps: &mut Steps) -> bool {
    let opening = async {
        let mut visit = Visit::open(tour, "connection to sshd", tour.tunnel(), Accepts::Port).await?;
        let line = visit.until(ANSWER, "the first line of sshd", |visit| probe::banner(&visit.output)).await;
        visit.or_end(line).await
    };
    let text = |_: &Visit<'_>| "sshd's first line has come".to_owned();
    let Some(mut visit) = steps.timed("tunnel", opening, text).await else { return false };
    let back = |back: &Duration| format!("the connection was cut here and came back within {}", Time(*back));
    if steps.timed("reconnect", reconnect(&mut visit), back).await.is_some() {
        upload(&mut visit, steps).await;
    }
    steps.take("end of tunnel", visit.end().await);
    true
}

/// Cuts the connection and waits until sshd answers over the next one, to what was said over it. Gives the time until the
/// connection was back.
async fn reconnect(visit: &mut Visit<'_>) -> Result<Duration, Error> {
    let (begun, connections, received) = (Instant::now(), visit.connections, visit.received);
    visit.session().cut(begun);
    visit.until(BACK, "the connection to come back", |visit| (visit.connections > connections).then_some(())).await?;
    let back = begun.elapsed();
    visit.note(Happened::Took("the connection was back", back));
    let asked = Instant::now();
    visit.send(HELLO, ANSWER).await?;
    visit.until(ANSWER, "the answer of sshd", |visit| (visit.received > received).then_some(())).await?;
    visit.note(Happened::Took("sshd answered over it", asked.elapsed()));
    Ok(back)
}
