//! A step of a check, and how it went.

use std::time::Duration;

use crate::diagnostics::Error;

/// A step that was taken, or not.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// How it went.
    pub outcome: Outcome,
    /// How long it took, if that was measured.
    pub took: Option<Duration>,
}

/// How a step went.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It works.
    Passed,
    /// It does not.
    Failed(Error),
    /// It was not taken.
    Skipped,
}
