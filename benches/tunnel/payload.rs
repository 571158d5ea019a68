//! Goal 4: larger messages where the service takes them, and the way back where it does not.

use std::io;
use std::time::Duration;

use fixtures::standin::{Options, Oversized};

use crate::far::Far;
use crate::rig::{Scene, Subject};
use crate::table::Row;
use crate::throughput::{CEILING, Transfer, kilobytes};

/// The last part of a transfer, in which its rate is measured.
const SPAN: Duration = Duration::from_secs(5);
/// What AWS's own client puts into a message.
const CERTAIN: usize = 1024;

pub(crate) fn measure(subject: &Subject, quick: bool) -> Vec<Row> {
    // How long a client may take to find out.
    let discovery = Duration::from_secs(if quick { 7 } else { 15 });
    let standin = |payload_kill, oversized| Options { payload_kill, oversized, ..Options::default() };
    let services = [
        ("service takes 1536", standin(None, Oversized::default()), 1.45, "1.45 or more"),
        ("service pauses above 1024", standin(Some(CERTAIN), Oversized::Pauses), 0.97, "0.97 or more"),
        ("service closes above 1024", standin(Some(CERTAIN), Oversized::Closes), 0.97, "0.97 or more"),
        ("service ends sessions above 1024", standin(Some(CERTAIN), Oversized::Ends), 0.97, "0.97 or more"),
    ];
    let rows = services.into_iter().map(|(name, standin, wanted, target)| {
        Row::or_missed(
            "4 payload",
            name,
            upload(subject, standin, discovery).map(|(rate, largest, closes)| {
                let what = format!("{name}: upload after {} s", discovery.as_secs());
                Row::new("4 payload", what, kilobytes(rate))
                    .spread(format!("payloads to {largest}, {closes} closes"))
                    .baseline(format!("{} budget at 1024", kilobytes(CEILING)))
                    .ratio(rate / CEILING)
                    .target(target, rate >= CEILING * wanted)
            }),
        )
    });
    rows.collect()
}

/// The rate at the end, the largest payload that was sent, and how often the service closed the connection.
fn upload(subject: &Subject, standin: Options, discovery: Duration) -> io::Result<(f64, u64, usize)> {
    let transfer = Transfer::start(Scene { standin, ..Scene::default() }, Far::Takes, true, subject, false)?;
    transfer.pass(discovery);
    let (from, to) = transfer.pass(SPAN);
    let session = transfer.rig.server.report().sessions.pop().unwrap_or_default();
    Ok((transfer.up.rate(from, to), session.traffic.largest_payload, session.client_closes.len()))
}
