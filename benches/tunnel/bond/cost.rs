//! What a bond costs on both halves: processor time, memory, and the size of the joiner.

use std::io;
use std::time::Duration;

use super::rates::Transfer;
use super::{Carrier, GOAL, name};
use crate::far::Far;
use crate::rig::{Scene, Subject};
use crate::table::Row;

/// What figures are scaled to, in bytes.
const VOLUME: f64 = 100e6;
const MEBIBYTE: f64 = 1024.0 * 1024.0;
/// The most that the joiner may have, in bytes.
const SIZE: f64 = 400e3;

pub(super) fn measure(subject: &Subject, quick: bool, take: &mut dyn FnMut(Row)) {
    let span = Duration::from_secs(if quick { 4 } else { 10 });
    for up in [true, false] {
        let mut plain = None;
        for carrier in
            Carrier::and_baseline(subject, &[Carrier::Plain, Carrier::Bond(1), Carrier::Bond(4), Carrier::Bond(8)])
        {
            take(Row::or_missed(GOAL, "CPU", processor(subject, carrier, up, span, &mut plain)));
        }
    }
    for carrier in Carrier::and_baseline(subject, &[Carrier::Plain, Carrier::Bond(1), Carrier::Bond(8)]) {
        take(Row::or_missed(GOAL, "memory", memory(subject, carrier)));
    }
    take(Row::or_missed(GOAL, "the joiner", size()));
}

fn processor(
    subject: &Subject,
    carrier: Carrier,
    up: bool,
    span: Duration,
    plain: &mut Option<f64>,
) -> io::Result<Row> {
    let transfer = Transfer::start(Scene { tls: true, ..Scene::default() }, subject, carrier, up)?;
    let measured = transfer.measure(span);
    let [client, far] = [measured.client, measured.far].map(|time| time.as_secs_f64() / measured.bytes * VOLUME);
    let what = format!("{}, TLS, {}: CPU per 100 MB", name(up), carrier.name());
    let row = Row::new(GOAL, what, format!("{client:.2} s")).spread(format!(
        "{}at {:.2} MB/s{}",
        if carrier == Carrier::Plain { String::new() } else { format!("on the node {far:.2} s, ") },
        measured.rate / 1e6,
        transfer.node.complaints(),
    ));
    let Some(plain) = *plain else {
        *plain = Some(client);
        return Ok(row);
    };
    Ok(row.baseline(format!("{plain:.2} s plain session")).ratio(client / plain))
}

/// The most that is ever resident, with both ways at once.
fn memory(subject: &Subject, carrier: Carrier) -> io::Result<Row> {
    let scene = Scene { tls: true, round_trip: Some(Duration::from_millis(100)), ..Scene::default() };
    let transfer = Transfer::with(scene, subject, carrier, true, Far::Sends)?;
    transfer.measure(Duration::from_secs(3));
    let (client, far) = transfer.usage();
    let [client, far] = [client, far].map(|usage| usage.peak as f64 / MEBIBYTE);
    let what = format!("peak memory, both ways at once, TLS, 100 ms: {}", carrier.name());
    let row = Row::new(GOAL, what, format!("{client:.1} MiB"));
    Ok(if carrier == Carrier::Plain { row } else { row.spread(format!("on the node {far:.1} MiB")) })
}

fn size() -> io::Result<Row> {
    let program = fixtures::joiner_program();
    let bytes = program.metadata()?.len() as f64;
    let what = format!("size of the joiner ({})", program.file_name().unwrap_or_default().display());
    Ok(Row::new(GOAL, what, format!("{:.0} kB", bytes / 1e3)).target("400 kB or less", bytes <= SIZE))
}
