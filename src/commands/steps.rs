//! The report of `--check`, line by line: a tick or a cross for each step, the cure below a cross, and at the end the
//! command to type next. The exit status is that of the first cross.
//!
//! It must not know what the steps do.

use std::{
    io::{self, Write},
    time::{Duration, Instant},
};

use super::print::excused;
use crate::{
    diagnostics::{Error, ExitStatus, printable},
    endpoints::stdio::write_all,
    report::{Outcome, Step},
};

/// Wide enough for the longest name of a step, "configuration", and two spaces.
const NAME_WIDTH: usize = 15;

/// Where the lines go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Lines {
    /// To stdout.
    Stdout,
    /// To stderr, where stdout has something else.
    Stderr,
}

/// The steps so far.
#[derive(Debug)]
pub(super) struct Steps {
    lines: Lines,
    taken: Vec<Step>,
    first_failure: Option<ExitStatus>,
    /// Why nobody can read the lines.
    unwritable: Option<Error>,
}

impl Steps {
    /// Begins with a line that says what is checked.
    pub(super) fn start(what: &str, lines: Lines) -> Self {
        let mut steps = Self { lines, taken: Vec::new(), first_failure: None, unwritable: None };
        steps.say(&format!("ssm-proxy {}: {}", env!("CARGO_PKG_VERSION"), printable(what)));
        steps
    }

    /// The status of the first step that failed; 0 if none did.
    ///
    /// # Errors
    /// If stdout cannot be written to. A reader that has seen enough is no error.
    pub(super) fn status(&self) -> Result<ExitStatus, Error> {
        self.unwritable.clone().map_or(Ok(self.first_failure.unwrap_or(ExitStatus::Ended)), Err)
    }

    /// The steps that were taken, in their order.
    pub(super) fn taken(&self) -> &[Step] {
        &self.taken
    }

    /// A step that works.
    pub(super) fn passed(&mut self, name: &str, text: &str) {
        self.line('✓', name, text);
        self.note(name, Outcome::Passed, None);
    }

    /// Takes a step and reports its result, which `text` puts into words, with the time that the step took.
    pub(super) async fn timed<T, E: Into<Error>>(
        &mut self,
        name: &str,
        step: impl Future<Output = Result<T, E>>,
        text: impl FnOnce(&T) -> String,
    ) -> Option<T> {
        let begun = Instant::now();
        let brought = self.take(name, step.await)?;
        let took = begun.elapsed();
        self.line('✓', name, &format!("{} ({} ms)", text(&brought), took.as_millis()));
        self.note(name, Outcome::Passed, Some(took));
        Some(brought)
    }

    /// A step that is not taken, which is no failure.
    pub(super) fn skipped(&mut self, name: &str, text: &str) {
        self.line('-', name, text);
        self.note(name, Outcome::Skipped, None);
    }

    /// A step that does not work, and what to do about it.
    pub(super) fn failed(&mut self, name: &str, error: &Error) {
        self.first_failure.get_or_insert(error.status);
        self.line('✗', name, &error.message);
        self.line(' ', "", &format!("hint: {}", error.hint));
        self.note(name, Outcome::Failed(error.clone()), None);
    }

    /// What to type after the last step, and what may come of it.
    pub(super) fn next(&mut self, command: &str, text: &str) {
        self.line('→', "next", command);
        self.line(' ', "", text);
    }

    /// The result of a step; a failure is reported.
    pub(super) fn take<T>(&mut self, name: &str, result: Result<T, impl Into<Error>>) -> Option<T> {
        result.map_err(|error| self.failed(name, &error.into())).ok()
    }

    fn note(&mut self, name: &str, outcome: Outcome, took: Option<Duration>) {
        self.taken.push(Step { name: name.to_owned(), outcome, took });
    }

    fn line(&mut self, mark: char, name: &str, text: &str) {
        self.say(&format!("{mark} {name:NAME_WIDTH$}{}", printable(text)));
    }

    fn say(&mut self, line: &str) {
        let line = format!("{line}\n");
        match self.lines {
            // Without a stderr there is nobody to tell.
            Lines::Stderr => drop(io::stderr().write_all(line.as_bytes())),
            Lines::Stdout => {
                if let Err(error) = write_all(line.as_bytes()).or_else(excused) {
                    self.unwritable = Some(error);
                }
            }
        }
    }
}
