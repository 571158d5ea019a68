//! Goal 2: round trips from exec to sshd's banner, and how soon the agent's first refusals are repaired.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use fixtures::standin::Options;

use crate::far::{BANNER, Far};
use crate::rig::{Rig, Scene, Subject};
use crate::stats::Samples;
use crate::table::Row;

const ROUND_TRIP: Duration = Duration::from_millis(100);
const LIMIT: Duration = Duration::from_secs(30);
/// API: TCP, TLS, request, with the gateway's TCP and TLS meanwhile; upgrade; open message and handshake request;
/// handshake response and banner.
const LEAST: f64 = 6.0;
/// Timers and processes wake up late.
const LATE: Duration = Duration::from_millis(10);

pub(crate) fn measure(subject: &Subject, quick: bool) -> io::Result<Vec<Row>> {
    let runs = if quick { 2 } else { 5 };
    let (mut near, mut far) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        near.push(banner(subject, Duration::ZERO)?);
        far.push(banner(subject, ROUND_TRIP)?);
    }
    let (near, far) = (Samples::milliseconds(near), Samples::milliseconds(far));
    let trips = (far.median() - near.median()) / ROUND_TRIP.as_secs_f64() / 1e3;
    let mut rows = vec![
        Row::new("2 trips", "round trips from exec to the banner, TLS", format!("{trips:.1}"))
            .spread(format!("{} ms in all", far.spread(0)))
            .baseline(format!("{LEAST} with both dials at once"))
            .ratio(trips / LEAST)
            .target("6", trips < LEAST + 0.5),
    ];
    for round_trip in [Duration::ZERO, ROUND_TRIP] {
        let refused = repeat(runs, || first_data(subject, round_trip, 1))?;
        let taken = repeat(runs, || first_data(subject, round_trip, 0))?;
        let extra = refused.median() - taken.median();
        rows.push(
            Row::new(
                "2 trips",
                format!("first data refused, {} ms: repaired", round_trip.as_millis()),
                format!("{extra:.0} ms later"),
            )
            .spread(refused.spread(0))
            .baseline(format!("{:.0} ms when taken", taken.median()))
            .target("200 ms or less", extra <= (Duration::from_millis(200) + LATE).as_secs_f64() * 1e3),
        );
    }
    Ok(rows)
}

fn repeat(runs: usize, mut once: impl FnMut() -> io::Result<Duration>) -> io::Result<Samples> {
    let times: io::Result<Vec<Duration>> = (0..runs).map(|_| once()).collect();
    times.map(Samples::milliseconds)
}

/// From exec to the banner on stdout.
fn banner(subject: &Subject, round_trip: Duration) -> io::Result<Duration> {
    let (far, _) = Far::Takes.listen()?;
    let rig = Rig::new(Scene { round_trip: Some(round_trip), tls: true, ..Scene::default() }, far)?;
    let mut client = rig.start(subject)?;
    let at = client.count_stdout().wait_for(BANNER.len() as u64, LIMIT);
    let took = at.map(|at| at - client.started());
    client.end();
    took.ok_or_else(|| io::Error::other("no banner came"))
}

/// From the first byte on stdin to its arrival, with an agent that refuses the first `refusals` messages.
fn first_data(subject: &Subject, round_trip: Duration, refusals: u32) -> io::Result<Duration> {
    let mut standin = Options::default();
    standin.agent.refuse_first = refusals;
    let (far, arrived) = Far::Takes.listen()?;
    let rig = Rig::new(Scene { standin, round_trip: Some(round_trip), ..Scene::default() }, far)?;
    let mut client = rig.start(subject)?;
    let banner = client.count_stdout().wait_for(BANNER.len() as u64, LIMIT);
    let mut stdin = client.stdin();
    let written = Instant::now();
    stdin.write_all(b"SSH-2.0-client\r\n")?;
    let at = banner.and_then(|_| arrived.wait_for(1, LIMIT));
    at.map(|at| at - written).ok_or_else(|| io::Error::other("the first data did not arrive"))
}
