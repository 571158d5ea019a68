//! Goal 10: one connection over several sessions, beside a plain session in the same run.

mod cost;
mod faults;
mod keys;
mod login;
mod node;
mod peer;
mod rates;

use crate::rig::Subject;
use crate::table::Row;

const GOAL: &str = "11 bonds";
/// The port of the node at which aggligator's half there takes connections.
const AGGLIGATOR_PORT: u16 = 10130;

/// The rows, each told as soon as it is there.
pub(crate) fn measure(subject: &Subject, quick: bool, tell: &dyn Fn(&Row)) -> Vec<Row> {
    told(subject, tell, |take| {
        rates::measure(subject, quick, take);
        faults::measure(subject, quick, take);
        login::measure(subject, quick, take);
        cost::measure(subject, quick, take);
    })
}

/// The same of keys beside bulk.
pub(crate) fn measure_keys(subject: &Subject, quick: bool, tell: &dyn Fn(&Row)) -> Vec<Row> {
    told(subject, tell, |take| keys::measure(subject, quick, take))
}

fn told(subject: &Subject, tell: &dyn Fn(&Row), measure: impl FnOnce(&mut dyn FnMut(Row))) -> Vec<Row> {
    let mut rows = Vec::new();
    if subject.is_ours {
        measure(&mut |row: Row| {
            tell(&row);
            rows.push(row);
        });
    }
    rows
}

/// What carries a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Carrier {
    /// A session as it is without `--bond`.
    Plain,
    /// A bond of up to so many sessions.
    Bond(usize),
    /// The crate aggligator over so many sessions, all started at once.
    Aggligator(usize),
    /// The same, started one a second.
    AggligatorGrowing(usize),
}

impl Carrier {
    /// Those that are measured: `own`, and their like of aggligator if that is there.
    fn and_baseline(subject: &Subject, own: &[Self]) -> Vec<Self> {
        let like = own.iter().filter_map(|carrier| match carrier {
            Self::Bond(sessions) => Some(Self::Aggligator(*sessions)),
            _ => None,
        });
        own.iter().copied().chain(like.filter(|_| subject.aggligator.is_some())).collect()
    }

    /// The ProxyCommand.
    fn command(self, subject: &Subject) -> String {
        let program = subject.program.display();
        let baseline = |sessions, apart| {
            let baseline = subject.aggligator.as_deref().unwrap_or("".as_ref()).display();
            format!("{baseline} near {sessions} {apart} {program} %h {AGGLIGATOR_PORT}")
        };
        match self {
            Self::Plain => subject.paced.clone(),
            Self::Bond(sessions) => format!("{program} --bond={sessions} %h %p"),
            Self::Aggligator(sessions) => baseline(sessions, 0),
            Self::AggligatorGrowing(sessions) => baseline(sessions, 1),
        }
    }

    /// How many sessions there are once it has grown.
    fn sessions(self) -> usize {
        match self {
            Self::Plain => 1,
            Self::Bond(sessions) | Self::Aggligator(sessions) | Self::AggligatorGrowing(sessions) => sessions,
        }
    }

    /// Whether goals are for it.
    fn is_ours(self) -> bool {
        matches!(self, Self::Bond(_))
    }

    fn name(self) -> String {
        match self {
            Self::Plain => "plain session".to_owned(),
            Self::Bond(sessions) => format!("bond of {sessions}"),
            Self::Aggligator(sessions) => format!("aggligator over {sessions}"),
            Self::AggligatorGrowing(sessions) => format!("aggligator over 1, then {sessions}"),
        }
    }
}

/// A direction of bulk, as a row calls it.
fn name(up: bool) -> &'static str {
    if up { "upload" } else { "download" }
}
