//! The record of one session: which messages went which way, what they looked like, and what happened when.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ssm_session::{Direction, LargerMessages, Layout, Observer, Stats};

use super::pauses::Pauses;
use super::rate::Rate;

/// A record that the observer of a session writes to meanwhile.
pub type Recorder = Arc<Mutex<Record>>;

/// Runs of messages of one sort whose order is kept. What matters comes first: a start, a login, an end.
const RUNS: usize = 60;
/// Sorts of messages that are told apart. There are some ten.
const SORTS: usize = 60;

/// What was seen of one session.
#[derive(Debug)]
pub struct Record {
    pub(super) what: &'static str,
    pub(super) begun: Instant,
    pub(super) sorts: BTreeMap<(Direction, Layout), Extent>,
    pub(super) runs: Vec<Run>,
    /// Messages behind the last run that is kept.
    pub(super) unkept: u64,
    pub(super) pauses: Pauses,
    pub(super) to_service: Rate,
    pub(super) from_service: Rate,
    /// What happened besides messages, with its time; texts are the service's own.
    pub(super) happened: Vec<(Duration, Happened)>,
    pub(super) round_trip: Option<Duration>,
    pub(super) larger: Option<LargerMessages>,
    /// Messages that went again, and that came again.
    pub(super) again: (u64, u64),
}

/// Something that happened to a session.
#[derive(Clone, Debug)]
pub enum Happened {
    /// A phase that was measured.
    Took(&'static str, Duration),
    /// The shape of the session's id.
    Id(String),
    /// The connection is lost; the close code, if there was one, and the text.
    Lost(Option<u16>, String),
    /// The session is closed, with this text.
    Closed(String),
    /// Anything else, in words that are nobody's secret.
    Fact(String),
}

/// The extent of the messages of one sort.
#[derive(Debug)]
pub(super) struct Extent {
    pub(super) count: u64,
    pub(super) payload: (usize, usize),
    pub(super) frame: (usize, usize),
}

/// Messages of one type, one after the other.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) at: Duration,
    pub(super) direction: Direction,
    pub(super) name: String,
    pub(super) payload_type: Option<u32>,
    pub(super) count: u64,
}

impl Record {
    pub(super) fn new(what: &'static str) -> Self {
        Self {
            what,
            begun: Instant::now(),
            sorts: BTreeMap::new(),
            runs: Vec::new(),
            unkept: 0,
            pauses: Pauses::default(),
            to_service: Rate::default(),
            from_service: Rate::default(),
            happened: Vec::new(),
            round_trip: None,
            larger: None,
            again: (0, 0),
        }
    }

    /// The observer that writes to `recorder`.
    pub fn observer(recorder: &Recorder) -> Observer {
        let recorder = Arc::clone(recorder);
        Box::new(move |now, direction, layout| {
            recorder.lock().unwrap_or_else(PoisonError::into_inner).saw(now, direction, layout);
        })
    }

    /// Notes what happened.
    pub fn note(&mut self, happened: Happened) {
        if matches!(happened, Happened::Lost(..)) {
            self.pauses.lost();
        }
        self.happened.push((self.begun.elapsed(), happened));
    }

    /// Notes the session's own figures.
    pub fn figures(&mut self, stats: &Stats) {
        (self.round_trip, self.again) = (stats.round_trip, (stats.resent, stats.duplicates));
    }

    /// Notes what became of larger messages in an upload.
    pub fn larger(&mut self, answer: LargerMessages) {
        self.larger = Some(answer);
    }

    fn saw(&mut self, now: Instant, direction: Direction, layout: &Layout) {
        // What came, not what the service says of it.
        let payload = layout.rest.unwrap_or_default();
        match direction {
            Direction::ToService => self.to_service.count(now, payload),
            Direction::FromService => self.from_service.count(now, payload),
        }
        match (direction, layout.name.as_str()) {
            (Direction::FromService, "pause_publication") => self.pauses.asked(now),
            (Direction::FromService, "start_publication") => self.pauses.taken_back(now),
            (Direction::FromService, "acknowledge") => self.pauses.acknowledged(now),
            _ => {}
        }
        self.sort(direction, layout, payload);
        self.run(now, direction, layout);
    }

    /// Counts it among those that differ from it in lengths alone.
    fn sort(&mut self, direction: Direction, layout: &Layout, payload: usize) {
        let fits = layout.payload_length.and_then(|length| usize::try_from(length).ok()) == layout.rest;
        let (payload_length, rest) = if fits { (None, None) } else { (layout.payload_length, layout.rest) };
        let sort = Layout { payload_length, rest, frame_length: 0, ..layout.clone() };
        if self.sorts.len() >= SORTS && !self.sorts.contains_key(&(direction, sort.clone())) {
            return;
        }
        let new = Extent { count: 0, payload: (payload, payload), frame: (layout.frame_length, layout.frame_length) };
        let extent = self.sorts.entry((direction, sort)).or_insert(new);
        extent.count += 1;
        extent.payload = (extent.payload.0.min(payload), extent.payload.1.max(payload));
        extent.frame = (extent.frame.0.min(layout.frame_length), extent.frame.1.max(layout.frame_length));
    }

    fn run(&mut self, now: Instant, direction: Direction, layout: &Layout) {
        let is_same = |run: &&mut Run| {
            run.direction == direction && run.name == layout.name && run.payload_type == layout.payload_type
        };
        if self.unkept == 0
            && let Some(run) = self.runs.last_mut().filter(is_same)
        {
            run.count += 1;
        } else if self.runs.len() < RUNS {
            let at = now.saturating_duration_since(self.begun);
            let (name, payload_type) = (layout.name.clone(), layout.payload_type);
            self.runs.push(Run { at, direction, name, payload_type, count: 1 });
        } else {
            self.unkept += 1;
        }
    }
}
