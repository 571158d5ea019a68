//! The lines of `--check`: a tick or a cross for each step, the cure below the cross, what to type next, and the status of
//! the first cross.
//!
//! It must not know what the steps do.

use std::{
    cell::{Cell, RefCell},
    time::Instant,
};

use super::print::excused;
use crate::{
    error::{Error, ExitStatus, printable},
    stdio::write_all,
};

/// Wide enough for the longest name of a step, "configuration", and two spaces.
const NAME_WIDTH: usize = 15;

/// The steps so far.
#[derive(Debug)]
pub(super) struct Steps {
    first: Cell<ExitStatus>,
    /// Why nobody can read the lines.
    unwritable: RefCell<Option<Error>>,
}

impl Steps {
    /// Begins with a line that says what is checked.
    pub(super) fn start(what: &str) -> Self {
        let steps = Self { first: Cell::new(ExitStatus::Ended), unwritable: RefCell::default() };
        steps.say(&format!("ssm-proxy {}: {}", env!("CARGO_PKG_VERSION"), printable(what)));
        steps
    }

    /// The status of the first step that failed; 0 if none did.
    ///
    /// # Errors
    /// A stdout that the lines could not be written to; a reader that has seen enough is none.
    pub(super) fn status(&self) -> Result<ExitStatus, Error> {
        self.unwritable.borrow().clone().map_or(Ok(self.first.get()), Err)
    }

    /// A step that works.
    pub(super) fn passed(&self, name: &str, text: &str) {
        self.line('✓', name, text);
    }

    /// A step that works, and has taken the time since `begun`.
    pub(super) fn passed_in(&self, name: &str, text: &str, begun: Instant) {
        self.line('✓', name, &format!("{text} ({} ms)", begun.elapsed().as_millis()));
    }

    /// A step that is not taken, which is no failure.
    pub(super) fn skipped(&self, name: &str, text: &str) {
        self.line('-', name, text);
    }

    /// A step that does not work, and what to do about it.
    pub(super) fn failed(&self, name: &str, error: &Error) {
        if self.first.get() == ExitStatus::Ended {
            self.first.set(error.status);
        }
        self.line('✗', name, &error.message);
        self.line(' ', "", &format!("hint: {}", error.hint));
    }

    /// What to type after the last step, and what may come of it.
    pub(super) fn next(&self, command: &str, text: &str) {
        self.line('→', "next", command);
        self.line(' ', "", text);
    }

    /// What a step brought, or its failure.
    pub(super) fn take<T>(&self, name: &str, result: Result<T, Error>) -> Option<T> {
        result.inspect_err(|error| self.failed(name, error)).ok()
    }

    fn line(&self, mark: char, name: &str, text: &str) {
        self.say(&format!("{mark} {name:NAME_WIDTH$}{}", printable(text)));
    }

    fn say(&self, line: &str) {
        if let Err(error) = write_all(format!("{line}\n").as_bytes()).or_else(excused) {
            self.unwritable.replace(Some(error));
        }
    }
}
