//! How many bytes have come by when.
//!
//! It knows counts and times; who counts, and what, is not its affair.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::stats::Samples;

/// Times and the totals at them, both ascending.
type History = Vec<(Instant, u64)>;

/// A counter with its history, shared between the thread that counts and the one that asks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter(Arc<(Mutex<History>, Condvar)>);

impl Meter {
    fn history(&self) -> MutexGuard<'_, History> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes came just now.
    pub(crate) fn count(&self, bytes: usize) {
        let mut history = self.history();
        let total = history.last().map_or(0, |(_, total)| *total) + bytes as u64;
        history.push((Instant::now(), total));
        self.0.1.notify_all();
    }

    /// Waits until so many bytes have come, and says when the last of them did. `None` when `limit` is over before.
    pub(crate) fn wait_for(&self, total: u64, limit: Duration) -> Option<Instant> {
        let history = self.history();
        let waited = self
            .0
            .1
            .wait_timeout_while(history, limit, |history| history.last().is_none_or(|(_, counted)| *counted < total));
        let history = waited.unwrap_or_else(PoisonError::into_inner).0;
        let at = history.partition_point(|(_, counted)| *counted < total);
        history.get(at).map(|(at, _)| *at)
    }

    /// Bytes that had come by `at`.
    pub(crate) fn by(&self, at: Instant) -> u64 {
        let history = self.history();
        let after = history.partition_point(|(time, _)| *time <= at);
        after.checked_sub(1).and_then(|last| history.get(last)).map_or(0, |(_, total)| *total)
    }

    /// Bytes a second between two times.
    pub(crate) fn rate(&self, from: Instant, to: Instant) -> f64 {
        (self.by(to) - self.by(from)) as f64 / (to - from).as_secs_f64()
    }

    /// The rates of the whole seconds between two times.
    pub(crate) fn rates(&self, from: Instant, to: Instant) -> Samples {
        const SECOND: Duration = Duration::from_secs(1);
        let starts = std::iter::successors(Some(from), |start| Some(*start + SECOND));
        let starts = starts.take_while(|start| *start + SECOND <= to);
        Samples::new(starts.map(|start| self.rate(start, start + SECOND)).collect())
    }

    /// The first time at or after `from` from which each of the next five tenths of a second brings `rate` bytes a
    /// second or more: one large delivery alone does not make a rate.
    pub(crate) fn steady_from(&self, from: Instant, to: Instant, rate: f64) -> Option<Instant> {
        const TENTH: Duration = Duration::from_millis(100);
        let steps = (to - from).as_millis().saturating_sub(500) as u32 / 10;
        let is_steady =
            |start: &Instant| (0..5).all(|n| self.rate(*start + TENTH * n, *start + TENTH * (n + 1)) >= rate);
        (0..steps).map(|step| from + Duration::from_millis(10) * step).find(is_steady)
    }
}
