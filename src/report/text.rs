//! The report as text: lines that people can read before they give them away, and that programs can search.

use std::fmt::Write as _;
use std::time::Duration;

use ssm_session::Direction;

use super::answers::answers;
use super::layout::layout;
use super::pauses::Pause;
use super::rate::Rate;
use super::record::{Happened, Record, Run};
use super::step::{Outcome, Step};
use super::words::Secrets;
use crate::diagnostics::human::{Bytes, Time};

/// The form of the report, for programs that read many.
const FORM: u32 = 1;

/// All of the report.
pub(super) fn report(
    facts: &[(&str, String)],
    steps: &[Step],
    records: &[impl std::ops::Deref<Target = Record>],
    secrets: &Secrets,
) -> String {
    let mut text = format!("ssm-proxy live check, form {FORM}\n");
    text.push_str(
        "What one run saw of Session Manager: times, sizes, counts and the service's words. It has no tokens, credentials,\n\
         ids, names, addresses, accounts or payloads; … stands for what was left out. Read it, then attach it to an issue.\n\n",
    );
    for (name, fact) in facts {
        line(&mut text, &format!("{name}: {fact}"));
    }
    text.push_str("\nsteps:\n");
    for step in steps {
        line(&mut text, &format!("  {}", self::step(step, secrets)));
    }
    text.push_str("\nwhat docs/protocol.md does not know, as far as this run shows it:\n");
    for answer in answers(records) {
        line(&mut text, &format!("  {answer}"));
    }
    for (number, record) in records.iter().enumerate() {
        let _ = writeln!(text, "\nsession {}: {}", number + 1, record.what);
        session(&mut text, record, secrets);
    }
    text
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

fn step(Step { name, outcome, took }: &Step, secrets: &Secrets) -> String {
    let took = took.map(|took| format!(" {}", Time(took))).unwrap_or_default();
    match outcome {
        Outcome::Passed => format!("passed  {name}{took}"),
        Outcome::Skipped => format!("skipped {name}"),
        Outcome::Failed(error) => {
            format!("failed  {name}: status {}: {}", error.status as u8, secrets.clean(&error.message))
        }
    }
}

fn session(text: &mut String, record: &Record, secrets: &Secrets) {
    for (at, happened) in &record.happened {
        line(text, &format!("  at {}: {}", Time(*at), self::happened(happened, secrets)));
    }
    if let Some(round_trip) = record.round_trip {
        line(text, &format!("  round trip: {}", Time(round_trip)));
    }
    let (resent, duplicates) = record.again;
    line(text, &format!("  sent again: {resent}; came again: {duplicates}"));
    line(text, &format!("  to the service: {}", rate(&record.to_service)));
    line(text, &format!("  from the service: {}", rate(&record.from_service)));
    for pause in &record.pauses.all {
        line(text, &format!("  {}", self::pause(record, pause)));
    }
    line(text, "  layouts:");
    for ((direction, sort), extent) in &record.sorts {
        let name = if sort.name.is_empty() { "a type that is no word" } else { &sort.name };
        let (arrow, count) = (arrow(*direction), extent.count);
        line(text, &format!("    {arrow} {name}, {count} times: {}", layout(sort, extent)));
    }
    line(text, "  order:");
    for run in &record.runs {
        line(text, &format!("    {}", self::run(run)));
    }
    if record.unkept > 0 {
        line(text, &format!("    and {} more", record.unkept));
    }
}

fn happened(happened: &Happened, secrets: &Secrets) -> String {
    let said = |text: &str| match secrets.clean(text) {
        empty if empty.is_empty() => "no text".to_owned(),
        said => format!("{said:?}"),
    };
    match happened {
        Happened::Took(what, took) => format!("{what} after {}", Time(*took)),
        Happened::Id(shape) => format!("the session's id has {shape}"),
        Happened::Lost(Some(code), text) => format!("the service closed the connection, code {code}, {}", said(text)),
        Happened::Lost(None, text) => format!("connection lost, {}", said(text)),
        Happened::Closed(text) => format!("channel closed, {}", said(text)),
        Happened::Fact(text) => text.clone(),
    }
}

fn rate(Rate { messages, payload_bytes, fullest, .. }: &Rate) -> String {
    format!("{messages} messages, {fullest} in the fullest second, {} of payload", Bytes(*payload_bytes as f64))
}

fn pause(record: &Record, pause: &Pause) -> String {
    let at = Time(pause.begun.saturating_duration_since(record.begun));
    let after =
        |time: Option<Duration>| time.map_or_else(|| "never".to_owned(), |time| format!("after {}", Time(time)));
    format!(
        "pause at {at}: asked for again {} times; start_publication {}; an acknowledgement {}",
        pause.repeated,
        after(pause.taken_back),
        after(pause.acknowledged)
    )
}

fn run(Run { at, direction, name, payload_type, count }: &Run) -> String {
    let payload_type = payload_type.map(|number| format!(" {number}")).unwrap_or_default();
    let times = if *count == 1 { String::new() } else { format!(", {count} times") };
    format!("{} {} {name}{payload_type}{times}", Time(*at), arrow(*direction))
}

fn arrow(direction: Direction) -> &'static str {
    match direction {
        Direction::ToService => "->",
        Direction::FromService => "<-",
    }
}
