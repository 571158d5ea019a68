//! Goal 8: port forwards, one connection and several, beside what one session carries.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use fixtures::HOST;
use fixtures::standin::Options;

use crate::client::{Client, Usage};
use crate::far::{BANNER, Far, pump};
use crate::meter::Meter;
use crate::rig::{PORT, Rig, Scene, Subject};
use crate::stats::Samples;
use crate::table::Row;
use crate::throughput::CEILING;

const GOAL: &str = "8 forwards";
/// How long anything may take to come about.
const LIMIT: Duration = Duration::from_secs(30);
/// From the first bytes on, nothing is measured for this long.
const WARM_UP: Duration = Duration::from_secs(2);
/// What figures are scaled to, in bytes.
const VOLUME: f64 = 100e6;
const MEBIBYTE: f64 = 1024.0 * 1024.0;
/// Connections held at once for the figure of memory.
const MANY: usize = 100;

pub(crate) fn measure(subject: &Subject, quick: bool) -> io::Result<Vec<Row>> {
    if !subject.is_ours {
        return Ok(Vec::new());
    }
    let span = Duration::from_secs(if quick { 4 } else { 10 });
    let mut rows = Vec::new();
    for up in [true, false] {
        rows.extend(transfers(subject, up, span)?);
    }
    rows.push(churn(subject, span)?);
    rows.push(first_byte(subject, if quick { 50 } else { 200 })?);
    rows.push(memory(subject)?);
    Ok(rows)
}

/// A forward that listens.
struct Forward {
    rig: Rig,
    client: Client,
    port: u16,
    arrived: Meter,
}

impl Forward {
    fn start(subject: &Subject, far: Far) -> io::Result<Self> {
        let (address, arrived) = far.listen()?;
        let rig = Rig::new(Scene { standin: Options::default(), tls: true, ..Scene::default() }, address)?;
        let line = format!("{} -L 0:localhost:{PORT} {HOST} 2>&1", subject.program.display());
        let mut client = Client::start(rig.command(subject, &line))?;
        let mut said = String::new();
        BufReader::new(client.stdout()).read_line(&mut said)?;
        let port = said.trim().rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        let port = port.ok_or_else(|| io::Error::other(said))?;
        Ok(Self { rig, client, port, arrived })
    }

    /// A connection, once its first bytes have come.
    fn connect(&self) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.read_exact(&mut vec![0; BANNER.len()])?;
        Ok(stream)
    }

    fn usage(&self) -> Usage {
        self.client.usage()
    }

    /// Ends it, and says what the stand-in has to say against it.
    fn end(self) -> String {
        self.client.end();
        self.rig.complaints()
    }
}

/// Rates of one and of four connections, and what they cost.
fn transfers(subject: &Subject, up: bool, span: Duration) -> io::Result<Vec<Row>> {
    let name = if up { "upload" } else { "download" };
    let mut rates = Vec::new();
    let mut rows = Vec::new();
    for connections in [1, 4] {
        let forward = Forward::start(subject, if up { Far::Takes } else { Far::Sends })?;
        let received = Meter::default();
        for _ in 0..connections {
            let mut stream = forward.connect()?;
            let meter = received.clone();
            thread::spawn(move || {
                if up {
                    return pump(&mut stream);
                }
                let mut chunk = vec![0; 64 << 10];
                while let Ok(length @ 1..) = stream.read(&mut chunk) {
                    meter.count(length);
                }
            });
        }
        thread::sleep(WARM_UP);
        let meter = if up { &forward.arrived } else { &received };
        let (from, before) = (Instant::now(), forward.usage().cpu);
        thread::sleep(span);
        let (to, cpu) = (Instant::now(), forward.usage().cpu - before);
        let (rate, spread) = (meter.rate(from, to), meter.rates(from, to));
        let seconds = cpu.as_secs_f64() / (rate * span.as_secs_f64()) * VOLUME;
        rates.push(rate);
        let mut row = Row::new(GOAL, format!("{name}, {connections} at once"), format!("{:.3} MB/s", rate / 1e6))
            .spread(format!("{:.3} to {:.3} MB/s", spread.least() / 1e6, spread.most() / 1e6));
        if up && connections == 1 {
            row =
                row.baseline("the message budget").ratio(rate / CEILING).target("0.97 or more", rate >= 0.97 * CEILING);
        }
        if let ([one, four], 4) = (rates.as_slice(), connections) {
            row = row.baseline("one connection").ratio(four / one).target("3.6 or more", *four >= 3.6 * one);
        }
        rows.push(row);
        rows.push(
            Row::new(GOAL, format!("{name}, {connections} at once, TLS: CPU per 100 MB"), format!("{seconds:.2} s"))
                .spread(forward.end()),
        );
    }
    Ok(rows)
}

/// Connections one after another, each with an answer, whose far side closes first.
fn churn(subject: &Subject, span: Duration) -> io::Result<Row> {
    let forward = Forward::start(subject, Far::Echoes)?;
    let (begun, mut count) = (Instant::now(), 0_u32);
    while begun.elapsed() < span {
        let stream = forward.connect()?;
        // Closed by a reset: an end would be held back.
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
        count += 1;
    }
    let rate = f64::from(count) / begun.elapsed().as_secs_f64();
    Ok(Row::new(GOAL, "connections opened and closed, one after another", format!("{rate:.0} a second"))
        .spread(forward.end()))
}

/// From a local connect to the first byte of a server that speaks first.
fn first_byte(subject: &Subject, runs: usize) -> io::Result<Row> {
    let forward = Forward::start(subject, Far::Echoes)?;
    let mut times = Vec::new();
    let mut open = Vec::new();
    // The first of each session waits for its start.
    for _ in 0..8 {
        open.push(forward.connect()?);
    }
    for _ in 0..runs {
        let begun = Instant::now();
        let stream = forward.connect()?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
    }
    drop(open);
    let times = Samples::new(times);
    Ok(Row::new(GOAL, "first byte of a new connection", format!("{:.1} ms", times.median())).spread(times.spread(1)))
}

/// The most that is resident with many connections that all echo.
fn memory(subject: &Subject) -> io::Result<Row> {
    let forward = Forward::start(subject, Far::Echoes)?;
    let mut streams = Vec::new();
    for _ in 0..MANY {
        streams.push(forward.connect()?);
    }
    let chunk = fixtures::noise(3, 16 << 10);
    for stream in &mut streams {
        stream.write_all(&chunk)?;
    }
    for stream in &mut streams {
        stream.read_exact(&mut vec![0; chunk.len()])?;
    }
    let peak = forward.usage().peak as f64 / MEBIBYTE;
    Ok(Row::new(GOAL, format!("peak memory, {MANY} connections, TLS"), format!("{peak:.1} MiB")).spread(forward.end()))
}
