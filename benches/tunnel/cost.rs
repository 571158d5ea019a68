//! Goal 6: processor time, memory, size, and what an idle session wakes up for.

use std::io;
use std::thread;
use std::time::Duration;

use fixtures::standin::Options;

use crate::far::{BANNER, Far};
use crate::floor;
use crate::rig::{Rig, Scene, Subject};
use crate::table::Row;
use crate::throughput::Transfer;

const GOAL: &str = "6 cost";
const LIMIT: Duration = Duration::from_secs(30);
/// What figures are scaled to, in bytes.
const VOLUME: f64 = 100e6;
const MEBIBYTE: f64 = 1024.0 * 1024.0;

pub(crate) fn measure(subject: &Subject, quick: bool) -> Vec<Row> {
    let span = Duration::from_secs(if quick { 5 } else { 15 });
    let mut rows = Vec::new();
    for (name, far, up) in [("upload", Far::Takes, true), ("download", Far::Sends, false)] {
        rows.push(Row::or_missed(GOAL, name, transfer(subject, name, far, up, span)));
    }
    rows.push(Row::or_missed(GOAL, "memory", memory(subject)));
    if subject.is_ours {
        rows.push(Row::or_missed(GOAL, "binary", size(subject)));
    }
    rows.push(Row::or_missed(GOAL, "idle", idle(subject, Duration::from_secs(if quick { 15 } else { 60 }))));
    rows
}

/// Processor time of a transfer at the service's pace, over TLS.
fn transfer(subject: &Subject, name: &str, far: Far, up: bool, span: Duration) -> io::Result<Row> {
    let transfer = Transfer::start(Scene { tls: true, ..Scene::default() }, far, up, subject, false)?;
    transfer.pass(Duration::from_secs(2));
    let before = transfer.client.usage().cpu;
    let (from, to) = transfer.pass(span);
    let cpu = transfer.client.usage().cpu - before;
    let meter = if up { &transfer.up } else { &transfer.down };
    let seconds = cpu.as_secs_f64() / (meter.by(to) - meter.by(from)) as f64 * VOLUME;
    // Ended first: what runs beside it changes what a wake-up costs.
    drop(transfer);
    let floor = floor::measure(up, span)? * VOLUME;
    Ok(Row::new(GOAL, format!("{name} at the service's rate, TLS: CPU per 100 MB"), format!("{seconds:.2} s"))
        .spread(format!("{:.1} % of a core", cpu.as_secs_f64() / span.as_secs_f64() * 100.0))
        .baseline(format!("{floor:.2} s to wake, read and write"))
        .ratio(seconds / floor)
        .target("3 s or less, aim 1.5 s", seconds <= 3.0))
}

/// The most that is ever resident, with every window and buffer filled: both ways at once, with and without limits.
fn memory(subject: &Subject) -> io::Result<Row> {
    let paced = Scene { tls: true, round_trip: Some(Duration::from_millis(100)), ..Scene::default() };
    let unpaced = Scene { tls: true, standin: Options::default().unpaced(), ..Scene::default() };
    let mut peaks = Vec::new();
    for (scene, without_pace) in [(paced, false), (unpaced, true)] {
        let transfer = Transfer::start(scene, Far::Sends, true, subject, without_pace)?;
        transfer.pass(Duration::from_secs(4));
        peaks.push(transfer.client.usage().peak as f64 / MEBIBYTE);
    }
    let most = peaks.iter().copied().fold(0.0, f64::max);
    let each: Vec<String> = peaks.iter().map(|peak| format!("{peak:.1}")).collect();
    Ok(Row::new(GOAL, "peak memory, both ways at once, TLS", format!("{most:.1} MiB"))
        .spread(format!("{} with, without limits", each.join(", ")))
        .target("16 MiB or less", most <= 16.0))
}

fn size(subject: &Subject) -> io::Result<Row> {
    let bytes = subject.program.metadata()?.len() as f64 / 1e6;
    Ok(Row::new(GOAL, "size of the binary", format!("{bytes:.1} MB")).target("12 MB or less", bytes <= 12.0))
}

/// Wake-ups of a session on which nothing happens. A ping takes four: its answer, and the time for it, on the way to which
/// tokio's timer looks at the clock up to three times.
fn idle(subject: &Subject, span: Duration) -> io::Result<Row> {
    let (far, _) = Far::Takes.listen()?;
    let rig = Rig::new(Scene { tls: true, ..Scene::default() }, far)?;
    let mut client = rig.start(subject)?;
    let up = client.count_stdout().wait_for(BANNER.len() as u64, LIMIT);
    up.ok_or_else(|| io::Error::other("no banner came"))?;
    let _stdin = client.stdin();
    thread::sleep(Duration::from_secs(2));
    let pings = || rig.server.report().sessions.last().map_or(0, |session| session.traffic.pings);
    let (asleep_before, pings_before) = (client.usage().sleeps, pings());
    thread::sleep(span);
    let (wakes, pings) = (client.usage().sleeps - asleep_before, pings() - pings_before);
    Ok(Row::new(GOAL, format!("idle for {} s: wake-ups", span.as_secs()), wakes.to_string())
        .baseline(format!("{pings} pings"))
        .target("4 for each ping, 4 more", wakes <= pings * 4 + 4))
}
