//! Goal 7: from the end of a trouble to full rate.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use fixtures::standin::{Fault, LinkConfig};

use crate::far::Far;
use crate::path::Cut;
use crate::rig::{Scene, Subject};
use crate::stats::Samples;
use crate::table::Row;
use crate::throughput::{CEILING, Transfer};

const ROUND_TRIP: Duration = Duration::from_millis(100);
/// ResumeSession by a new connection with TLS: three round trips that no client can do without.
const API: Duration = Duration::from_millis(300);
const WANTED: Duration = Duration::from_secs(1);
/// Longer than anything takes that is not broken.
const LIMIT: Duration = Duration::from_secs(30);
/// How long nothing passes on the way up: 200 messages at full rate.
const BURST: Duration = Duration::from_millis(222);

pub(crate) fn measure(subject: &Subject, quick: bool) -> Vec<Row> {
    const GOAL: &str = "7 recovery";
    // Of several lengths, since what a client waits between two attempts must not happen to fit one of them.
    let broken: &[u64] = if quick { &[3000] } else { &[1500, 3000, 4700, 10_000] };
    let silent: &[u64] = if quick { &[3000] } else { &[1500, 3000] };
    let mut cuts = vec![
        (Cut::Broken, broken, "connection broken, dials too", API),
        (Cut::Silent, silent, "silence", Duration::ZERO),
    ];
    if !quick {
        cuts.push((Cut::Silent, &[8000], "long silence", API));
    }
    let cuts = cuts.into_iter();
    let mut rows: Vec<Row> = cuts
        .map(|(kind, lengths, name, api)| Row::or_missed(GOAL, name, cut(subject, kind, lengths, name, api)))
        .collect();
    for round_trip in [Duration::ZERO, ROUND_TRIP] {
        rows.push(Row::or_missed(GOAL, "a burst of losses", burst(subject, round_trip)));
    }
    rows
}

/// Cuts for each of these times, in milliseconds.
fn cut(subject: &Subject, kind: Cut, lengths: &[u64], name: &str, api: Duration) -> io::Result<Row> {
    let times: io::Result<Vec<Duration>> =
        lengths.iter().map(|length| cut_once(subject, kind, Duration::from_millis(*length))).collect();
    let times = Samples::milliseconds(times?);
    let lengths: Vec<String> = lengths.iter().map(|length| format!("{:.1}", *length as f64 / 1e3)).collect();
    let wanted = (WANTED + api).as_secs_f64() * 1e3;
    Ok(Row::new(
        "7 recovery",
        format!("{name} for {} s: to full rate", lengths.join(", ")),
        format!("{:.0} ms", times.median()),
    )
    .spread(times.spread(0))
    .baseline(format!("{} ms of it the API's", api.as_millis()))
    .target(format!("{wanted:.0} ms or less, each"), times.most() <= wanted))
}

fn cut_once(subject: &Subject, kind: Cut, length: Duration) -> io::Result<Duration> {
    let scene = Scene { round_trip: Some(ROUND_TRIP), tls: true, ..Scene::default() };
    let transfer = Transfer::start(scene, Far::Takes, true, subject, false)?;
    thread::sleep(Duration::from_secs(2));
    transfer.rig.path().cut(kind);
    thread::sleep(length);
    let mended = Instant::now();
    transfer.rig.path().mend();
    let steady = fixtures::until(LIMIT, || transfer.up.steady_from(mended, Instant::now(), CEILING * 0.8));
    steady.map(|at| at - mended).ok_or_else(|| io::Error::other("full rate never came back"))
}

/// Loses everything for [`BURST`]; from then on until all that had been sent by then has arrived.
fn burst(subject: &Subject, round_trip: Duration) -> io::Result<Row> {
    let round_trip_or_none = (!round_trip.is_zero()).then_some(round_trip);
    let scene = Scene { round_trip: round_trip_or_none, ..Scene::default() };
    let transfer = Transfer::start(scene, Far::Takes, true, subject, false)?;
    thread::sleep(Duration::from_secs(4));
    let server = &transfer.rig.server;
    server.control().fault(Fault::Uplink(LinkConfig { loss: 1.0, ..LinkConfig::default() }));
    thread::sleep(BURST);
    server.control().fault(Fault::Uplink(LinkConfig::default()));
    let ended = Instant::now();
    server.wait_for(LIMIT, |report| report.sessions.iter().any(|session| session.faults == 2));
    let session = server.report().sessions.pop().unwrap_or_default();
    // Some of what was sent is the handshake's.
    let repaired = transfer.up.wait_for(session.traffic.bytes_from_client.saturating_sub(1024), LIMIT);
    let repaired = repaired.map(|at| at.saturating_duration_since(ended));
    let took = repaired.ok_or_else(|| io::Error::other("what was lost was never repaired"))?;
    let what = format!("{} messages lost in a row, {} ms: repaired", session.uplink.lost, round_trip.as_millis());
    Ok(Row::new("7 recovery", what, format!("{} ms", took.as_millis())).target("1000 ms or less", took <= WANTED))
}
