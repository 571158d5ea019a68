//! Measures a client of Session Manager end to end, against goals that are printed beside the results.
//!
//! `benches/run --help` says how to use it, `benches/README.md` what each figure means. Every goal is a file here;
//! around them: `rig` (the stand-in and the path to it), `client` (the processes under test), `far` (what the target's
//! port leads to), `bare`, `floor` and the `reference` program (what results are compared with), `table`.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a measurement that cannot be set up ends the program; the table is its output"
)]

mod arguments;
mod bare;
mod bond;
mod client;
mod cost;
mod far;
mod floor;
mod forward;
mod latency;
mod login;
mod machine;
mod meter;
mod path;
mod payload;
mod program;
mod recovery;
mod rig;
mod start;
mod stats;
mod table;
mod throughput;
mod trips;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;

use arguments::{Arguments, Goal};
use rig::Subject;
use table::Row;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let subject = match arguments.subject() {
        Ok(subject) => subject,
        Err(message) => {
            tell(&message);
            return ExitCode::from(2);
        }
    };
    let begun = Instant::now();
    let rows: Vec<Row> = arguments.goals().iter().flat_map(|goal| measure(*goal, &subject, arguments.quick)).collect();
    let missed = rows.iter().filter(|row| row.met == Some(false)).count();
    println!("`{}` on {}\n\n{}", subject.paced, machine::describe(), table::render(&rows, arguments.markdown));
    println!(
        "{missed} goals missed; {} s{}",
        begun.elapsed().as_secs(),
        if arguments.quick { ", --quick" } else { "" }
    );
    if arguments.strict && missed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// The figures of one goal. One that cannot be measured is a goal missed, with the reason for its result.
fn measure(goal: Goal, subject: &Subject, quick: bool) -> Vec<Row> {
    let measured = match goal {
        Goal::Start => start::measure(subject, quick),
        Goal::Throughput => throughput::measure(subject, quick),
        Goal::Trips => trips::measure(subject, quick),
        Goal::Latency => latency::measure(subject, quick),
        Goal::Recovery => Ok(recovery::measure(subject, quick)),
        Goal::Payload => Ok(payload::measure(subject, quick)),
        Goal::Cost => Ok(cost::measure(subject, quick)),
        Goal::Forward => forward::measure(subject, quick),
        Goal::Program => program::measure(subject, quick),
        Goal::Login => login::measure(subject, quick),
        Goal::Bond => return bond::measure(subject, quick, &|row| tell(&row.line())),
        Goal::Keys => return bond::measure_keys(subject, quick, &|row| tell(&row.line())),
    };
    let rows = measured
        .unwrap_or_else(|error| vec![Row::new("", format!("{goal:?}"), error.to_string()).target("a result", false)]);
    for row in &rows {
        tell(&row.line());
    }
    rows
}

/// Progress goes to stderr: stdout has the table alone. Nobody is left to tell when it is closed.
fn tell(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
