//! The program of one session where there are no pseudo-terminals of Unix: none can be started.

use crate::agent::{Agent, Program, Signal};
use std::time::Instant;

/// The program of one session.
#[derive(Default)]
pub(crate) struct Process;

impl Process {
    /// Starts nothing.
    ///
    /// # Errors
    /// Always.
    pub(crate) fn start(&mut self, _: &Program) -> Result<(), String> {
        Err("programs cannot be started on this system".into())
    }

    /// Nothing runs.
    pub(crate) fn close(&mut self) {}

    /// Nothing has a size.
    pub(crate) fn resize(&self, _: u16, _: u16) {}

    /// Nothing takes a signal.
    pub(crate) fn signal(&self, _: Signal) {}

    /// Nothing moves.
    pub(crate) fn pump(&mut self, _: Instant, _: &mut Agent) -> bool {
        false
    }

    /// Nothing happens.
    pub(crate) async fn ready(&mut self, _: bool, _: bool) {
        std::future::pending().await
    }
}
