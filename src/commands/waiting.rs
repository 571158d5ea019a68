//! Waiting for a node that is just starting: how long still, how often to look, and what a person sees of it.
//!
//! It must not know what is looked at.

use std::{
    cell::Cell,
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

use ssm_aws::Backoff;
use tokio::sync::Notify;

use crate::diagnostics::printable;

/// The pause after the first look; it doubles.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// The longest pause between two looks: what a person does not mind on top of a minute's wait, and few calls.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// A wait for one node.
#[derive(Debug)]
pub(super) struct Waiting<'a> {
    host: &'a str,
    started: Instant,
    limit: Duration,
    backoff: Cell<Backoff>,
    progress: Cell<Progress>,
    hurry: &'a Notify,
}

/// The line on the terminal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Progress {
    /// Nobody would see it.
    Unseen,
    /// Not shown yet.
    Blank,
    /// Shown, to be wiped.
    Shown,
}

impl<'a> Waiting<'a> {
    /// A wait of at most `limit` from now on, which ends early when `hurry` says so.
    pub(super) fn new(host: &'a str, limit: Duration, hurry: &'a Notify) -> Self {
        let progress = if io::stderr().is_terminal() { Progress::Blank } else { Progress::Unseen };
        let backoff = Cell::new(Backoff::new(PAUSE_MIN, PAUSE_MAX));
        Self { host, started: Instant::now(), limit, backoff, progress: Cell::new(progress), hurry }
    }

    /// Pauses before the next look, or says that it is in vain.
    pub(super) async fn pause(&self) -> bool {
        let waited = self.started.elapsed();
        let Some(left) = self.limit.checked_sub(waited).filter(|left| !left.is_zero()) else { return false };
        self.show(waited);
        let mut backoff = self.backoff.get();
        let pause = backoff.pause(1.0);
        self.backoff.set(backoff);
        tracing::info!(?pause, ?left, "waiting for the node");
        tokio::select! {
            () = tokio::time::sleep(pause.min(left)) => true,
            () = self.hurry.notified() => false,
        }
    }

    fn show(&self, waited: Duration) {
        if self.progress.get() == Progress::Unseen {
            return;
        }
        let (host, waited, limit) = (printable(self.host), waited.as_secs(), self.limit.as_secs());
        // A terminal that is gone shows nothing.
        let _ = write!(io::stderr().lock(), "\r\x1b[Kssm-proxy: {host}: not connected yet, {waited} of {limit} s");
        self.progress.set(Progress::Shown);
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.progress.get() == Progress::Shown {
            // A terminal that is gone needs no wiping.
            let _ = write!(io::stderr().lock(), "\r\x1b[K");
        }
    }
}
