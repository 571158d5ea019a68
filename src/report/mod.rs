//! The report of a live check: what the service did, in numbers and in its own words, without anything that says who asked
//! or where.
//!
//! It has no token, no credentials, no id, no name of a host, a user or a profile, no account and no payload. Numbers come
//! from an observer that sees no payloads, and whatever is text passes [`Secrets::clean`].

mod answers;
mod file;
mod layout;
mod pauses;
mod rate;
mod record;
mod step;
mod text;
mod words;

use std::sync::{Arc, Mutex, PoisonError};

pub use file::{create, create_in};
pub use record::{Happened, Record, Recorder};
pub use step::{Outcome, Step};
pub use words::{Secrets, shape};

/// A report that is being made.
#[derive(Debug, Default)]
pub struct Report {
    /// Facts about both sides, in the order of the report.
    facts: Vec<(&'static str, String)>,
    steps: Vec<Step>,
    records: Vec<Recorder>,
    secrets: Secrets,
}

impl Report {
    /// Notes a fact, which must be nobody's secret.
    pub fn fact(&mut self, name: &'static str, fact: impl Into<String>) {
        self.facts.push((name, fact.into()));
    }

    /// Takes the steps that were taken.
    pub fn steps(&mut self, steps: &[Step]) {
        self.steps = steps.to_vec();
    }

    /// What may not be in it.
    pub fn secrets(&mut self) -> &mut Secrets {
        &mut self.secrets
    }

    /// A recorder for another session, which is called `what`.
    pub fn record(&mut self, what: &'static str) -> Recorder {
        let recorder: Recorder = Arc::new(Mutex::new(Record::new(what)));
        self.records.push(Arc::clone(&recorder));
        recorder
    }

    /// The report as text.
    pub fn text(&self) -> String {
        let records: Vec<_> =
            self.records.iter().map(|record| record.lock().unwrap_or_else(PoisonError::into_inner)).collect();
        text::report(&self.facts, &self.steps, &records, &self.secrets)
    }
}
