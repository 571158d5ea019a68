//! The wait for a node that is just starting: its limit, its pauses, and its line on the terminal.
//!
//! It must not know what is waited for.

use std::{
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
    backoff: Backoff,
    /// Whether there is a line on the terminal, to be wiped.
    shown: bool,
    hurry: &'a Notify,
}

impl<'a> Waiting<'a> {
    /// A wait of at most `limit` from now on, which ends early when `hurry` says so.
    pub(super) fn new(host: &'a str, limit: Duration, hurry: &'a Notify) -> Self {
        let backoff = Backoff::new(PAUSE_MIN, PAUSE_MAX);
        Self { host, started: Instant::now(), limit, backoff, shown: false, hurry }
    }

    /// Pauses before the next look; false if that would be in vain.
    pub(super) async fn pause(&mut self) -> bool {
        let waited = self.started.elapsed();
        let Some(left) = self.limit.checked_sub(waited).filter(|left| !left.is_zero()) else { return false };
        self.show(waited);
        let pause = self.backoff.pause(1.0);
        tracing::info!(?pause, ?left, "waiting for the node");
        tokio::select! {
            () = tokio::time::sleep(pause.min(left)) => true,
            () = self.hurry.notified() => false,
        }
    }

    fn show(&mut self, waited: Duration) {
        let mut stderr = io::stderr().lock();
        if stderr.is_terminal() {
            let (host, waited, limit) = (printable(self.host), waited.as_secs(), self.limit.as_secs());
            // A terminal that is gone shows nothing.
            let _ = write!(stderr, "\r\x1b[Kssm-proxy: {host}: not connected yet, {waited} of {limit} s");
            self.shown = true;
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.shown {
            // A terminal that is gone needs no wiping.
            let _ = write!(io::stderr().lock(), "\r\x1b[K");
        }
    }
}
