//! Goal 3: sustained rates, at the service's limits over paths of every length and with loss, and without limits.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use fixtures::standin::{LinkConfig, Options};

use crate::bare;
use crate::client::{Client, Usage};
use crate::far::{BANNER, Far};
use crate::meter::Meter;
use crate::rig::{Rig, Scene, Subject};
use crate::stats::Samples;
use crate::table::Row;

/// Upload at the message budget: 900 messages a second of 1024 bytes.
pub(crate) const CEILING: f64 = 900.0 * 1024.0;
/// Payload of the agent's messages, in bytes.
const PAYLOAD: f64 = 1024.0;
/// How long the first byte may take.
const LIMIT: Duration = Duration::from_secs(30);
/// From the first byte on, nothing is measured for this long.
const WARM_UP: Duration = Duration::from_secs(3);

pub(crate) fn measure(subject: &Subject, quick: bool) -> io::Result<Vec<Row>> {
    let span = Duration::from_secs(if quick { 3 } else { 6 });
    let mut rows = Vec::new();
    for round_trip in [0, 20, 100, 200] {
        rows.push(upload(subject, round_trip, 0.0, span)?);
    }
    for round_trip in [0, 100] {
        rows.push(upload(subject, round_trip, 0.005, span)?);
    }
    for round_trip in [0, 100] {
        rows.push(download(subject, round_trip, span)?);
    }
    rows.extend(both(subject, span)?);
    rows.extend(unlimited(subject, if quick { 1 } else { 3 })?);
    Ok(rows)
}

/// A transfer that goes on.
pub(crate) struct Transfer {
    pub(crate) rig: Rig,
    pub(crate) client: Client,
    pub(crate) up: Meter,
    pub(crate) down: Meter,
}

impl Transfer {
    /// Uploads if `up`, downloads if the far end sends; returns when the first bytes have come both ways.
    pub(crate) fn start(scene: Scene, far: Far, up: bool, subject: &Subject, unpaced: bool) -> io::Result<Self> {
        let (address, arrived) = far.listen()?;
        let rig = Rig::new(scene, address)?;
        let mut client = if unpaced { rig.start_unpaced(subject)? } else { rig.start(subject)? };
        let down = client.count_stdout();
        if up {
            client.pump_stdin();
        }
        let begun = down.wait_for(BANNER.len() as u64, LIMIT).is_some();
        if !begun || (up && arrived.wait_for(1, LIMIT).is_none()) {
            return Err(io::Error::other("the session brought nothing within 30 s"));
        }
        Ok(Self { rig, client, up: arrived, down })
    }

    /// Lets time pass, and says from when to when.
    pub(crate) fn pass(&self, span: Duration) -> (Instant, Instant) {
        let from = Instant::now();
        thread::sleep(span);
        (from, from + span)
    }
}

fn scene(round_trip: u64, standin: Options) -> Scene {
    let round_trip = (round_trip > 0).then(|| Duration::from_millis(round_trip));
    Scene { standin, round_trip, ..Scene::default() }
}

/// Kilobytes (1000 bytes) a second, for reading.
pub(crate) fn kilobytes(rate: f64) -> String {
    format!("{:.1} kB/s", rate / 1e3)
}

fn spread(rates: &Samples) -> String {
    format!("{:.0} to {:.0}", rates.least() / 1e3, rates.most() / 1e3)
}

fn upload(subject: &Subject, round_trip: u64, loss: f64, span: Duration) -> io::Result<Row> {
    let lossy = LinkConfig { loss, ..LinkConfig::default() };
    let standin = Options { uplink: lossy.clone(), downlink: lossy, ..Options::default() };
    let transfer = Transfer::start(scene(round_trip, standin), Far::Takes, true, subject, false)?;
    transfer.pass(WARM_UP);
    let (from, to) = transfer.pass(span);
    let rate = transfer.up.rate(from, to);
    let (with, wanted) =
        if loss > 0.0 { (format!(", {} % loss each way", loss * 100.0), 0.90) } else { (String::new(), 0.97) };
    let what = format!("upload, {round_trip} ms{with}{}", note(&transfer.rig));
    Ok(Row::new("3 throughput", what, kilobytes(rate))
        .spread(spread(&transfer.up.rates(from, to)))
        .baseline(format!("{} budget", kilobytes(CEILING)))
        .ratio(rate / CEILING)
        .target(format!("{wanted} or more"), rate >= CEILING * wanted))
}

fn note(rig: &Rig) -> String {
    let complaints = rig.complaints();
    if complaints.is_empty() { complaints } else { format!(" ({complaints})") }
}

/// Bytes that the agent has sent, each once.
fn sent_by_agent(rig: &Rig) -> u64 {
    rig.server.report().sessions.last().map_or(0, |session| session.agent.bytes_from_port)
}

fn download(subject: &Subject, round_trip: u64, span: Duration) -> io::Result<Row> {
    let transfer = Transfer::start(scene(round_trip, Options::default()), Far::Sends, false, subject, false)?;
    transfer.pass(WARM_UP);
    let before = sent_by_agent(&transfer.rig);
    let (from, to) = transfer.pass(span);
    let offered = (sent_by_agent(&transfer.rig) - before) as f64 / from.elapsed().as_secs_f64();
    let rate = transfer.down.rate(from, to);
    Ok(Row::new("3 throughput", format!("download, {round_trip} ms{}", note(&transfer.rig)), kilobytes(rate))
        .spread(spread(&transfer.down.rates(from, to)))
        .baseline(format!("{} sent by the agent", kilobytes(offered)))
        .ratio(rate / offered)
        .target("0.97 or more", rate >= offered * 0.97))
}

/// Both ways at once: acknowledgements come first, data has the rest of the message budget.
fn both(subject: &Subject, span: Duration) -> io::Result<Vec<Row>> {
    let transfer = Transfer::start(scene(20, Options::default()), Far::Sends, true, subject, false)?;
    transfer.pass(WARM_UP);
    let messages = || transfer.rig.server.report().sessions.last().map_or(0, |s| s.traffic.messages_from_client);
    let (before, offered_before) = (messages(), sent_by_agent(&transfer.rig));
    let (from, to) = transfer.pass(span);
    let seconds = from.elapsed().as_secs_f64();
    let sent = (messages() - before) as f64 / seconds;
    let offered = (sent_by_agent(&transfer.rig) - offered_before) as f64 / seconds;
    let (down, up) = (transfer.down.rate(from, to), transfer.up.rate(from, to));
    let rest = (900.0 - down / PAYLOAD) * PAYLOAD;
    Ok(vec![
        Row::new("3 throughput", format!("both, 20 ms: download{}", note(&transfer.rig)), kilobytes(down))
            .spread(spread(&transfer.down.rates(from, to)))
            .baseline(format!("{} sent by the agent", kilobytes(offered)))
            .ratio(down / offered)
            .target("0.97 or more", down >= offered * 0.97),
        Row::new("3 throughput", "both, 20 ms: upload", kilobytes(up))
            .spread(spread(&transfer.up.rates(from, to)))
            .baseline(format!("{} left by acks", kilobytes(rest)))
            .ratio(up / rest),
        Row::new("3 throughput", "both, 20 ms: messages sent", format!("{sent:.0} /s"))
            .baseline("900 /s budget")
            .ratio(sent / 900.0)
            .target("0.97 or more", sent >= 873.0),
    ])
}

/// A transfer without limits, as one figure each.
struct Unlimited {
    rate: f64,
    per_cpu: f64,
}

/// Without limits, against a bare WebSocket loop that carries the same frames. Stand-in, writer and reader share the
/// processors with the client, which the loop does without; so it is processor time that tells client from client.
fn unlimited(subject: &Subject, runs: usize) -> io::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (name, far, up) in [("upload", Far::Takes, true), ("download", Far::Sends, false)] {
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..runs {
            ours.push(unlimited_once(subject, far, up)?);
            bare.push(bare::run(up, Duration::from_secs(2))?);
        }
        let rate = Samples::new(ours.iter().map(|run| run.rate / 1e6).collect());
        let bare_rate = Samples::new(bare.iter().map(|run| run.rate / 1e6).collect());
        let per_cpu = Samples::new(ours.iter().map(|run| run.per_cpu / 1e6).collect());
        let bare_per_cpu = Samples::new(bare.iter().map(|run| run.per_cpu / 1e6).collect());
        let ratio = per_cpu.median() / bare_per_cpu.median();
        rows.push(
            Row::new("3 throughput", format!("{name} without limits, ws"), format!("{:.0} MB/s", rate.median()))
                .spread(rate.spread(0))
                .baseline(format!("{:.0} MB/s bare loop", bare_rate.median()))
                .ratio(rate.median() / bare_rate.median())
                .target("60 MB/s or more", rate.median() >= 60.0),
        );
        rows.push(
            Row::new("3 throughput", "  per second of its CPU", format!("{:.0} MB", per_cpu.median()))
                .spread(per_cpu.spread(0))
                .baseline(format!("{:.0} MB bare loop's client", bare_per_cpu.median()))
                .ratio(ratio)
                .target("0.5 or more", ratio >= 0.5),
        );
    }
    Ok(rows)
}

fn unlimited_once(subject: &Subject, far: Far, up: bool) -> io::Result<Unlimited> {
    let transfer = Transfer::start(scene(0, Options::default().unpaced()), far, up, subject, true)?;
    transfer.pass(Duration::from_secs(1));
    let Usage { cpu: before, .. } = transfer.client.usage();
    let (from, to) = transfer.pass(Duration::from_secs(2));
    let cpu = transfer.client.usage().cpu - before;
    let meter = if up { &transfer.up } else { &transfer.down };
    let rate = meter.rate(from, to);
    Ok(Unlimited { rate, per_cpu: rate * (to - from).as_secs_f64() / cpu.as_secs_f64() })
}
