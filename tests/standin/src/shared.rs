//! The report, shared between the stand-in's thread and the tests that wait for something to appear in it.

use crate::report::Report;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A report that can be waited on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shared {
    inner: Arc<(Mutex<Report>, Condvar)>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Report> {
        self.inner.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the report and wakes those who wait.
    pub(crate) fn update<T>(&self, change: impl FnOnce(&mut Report) -> T) -> T {
        let result = change(&mut self.lock());
        self.inner.1.notify_all();
        result
    }

    /// A copy of the report.
    pub(crate) fn snapshot(&self) -> Report {
        self.lock().clone()
    }

    /// Waits until `condition` holds, at most `timeout`; says whether it holds.
    pub(crate) fn wait_for(&self, timeout: Duration, mut condition: impl FnMut(&Report) -> bool) -> bool {
        let deadline = Instant::now() + timeout;
        let mut report = self.lock();
        while !condition(&report) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            report = self.inner.1.wait_timeout(report, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}
