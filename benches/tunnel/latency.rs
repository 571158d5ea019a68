//! Goal 5: what a person feels. A keystroke beside a full upload, by the real ssh; a byte on an idle session.

use std::io::{self, BufRead, Read, Write};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use fixtures::standin::Options;
use fixtures::{HOST, Running, Sshd, User};

use crate::client::Client;
use crate::far::{self, BANNER, Far};
use crate::path::{Path, Tap, Way};
use crate::rig::{Rig, Scene, Subject};
use crate::stats::Samples;
use crate::table::Row;
use crate::throughput::CEILING;

const LIMIT: Duration = Duration::from_secs(30);
/// From the beginning of the bulk on, no key is pressed for this long.
const WARM_UP: Duration = Duration::from_secs(4);
/// Between two keys: a person who types very fast.
pub(crate) const KEY_EVERY: Duration = Duration::from_millis(31);
/// Between two bytes on an idle session: few enough to stay below every limit of messages.
const BYTE_EVERY: Duration = Duration::from_millis(5);

pub(crate) fn measure(subject: &Subject, quick: bool) -> io::Result<Vec<Row>> {
    let mut rows = Vec::new();
    let keys = if quick { 150 } else { 400 };
    for round_trip in [0, 100] {
        rows.extend(beside_bulk(subject, Duration::from_millis(round_trip), keys)?);
    }
    rows.extend(idle(subject, if quick { 300 } else { 1500 })?);
    Ok(rows)
}

/// Extra time of keys, and the rate of the bulk beside them.
pub(crate) struct Typed {
    pub(crate) extra: Samples,
    pub(crate) bulk: Option<f64>,
}

/// What goes beside keys on their shared connection, without end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Bulk {
    Up,
    Down,
}

fn beside_bulk(subject: &Subject, round_trip: Duration, keys: usize) -> io::Result<Vec<Row>> {
    let ours = through_client(subject, round_trip, keys)?;
    let ideal = through_ideal(subject, round_trip, keys)?;
    let what = format!("key beside bulk, {} ms: median", round_trip.as_millis());
    let (median, p99) = (ours.extra.median(), ours.extra.p99());
    let bulk = ours.bulk.unwrap_or_default() / 1e3;
    Ok(vec![
        Row::new("5 latency", what, format!("{median:.1} ms extra"))
            .spread(ours.extra.spread(0))
            .baseline(format!("{:.1} ms ideal tunnel at 0.92 MB/s", ideal.extra.median()))
            .target("below 40 ms", median < 40.0),
        Row::new(
            "5 latency",
            format!("  p99 of {} keys; bulk at {bulk:.0} kB/s", ours.extra.len()),
            format!("{p99:.1} ms extra"),
        )
        .baseline(format!("{:.1} ms ideal tunnel", ideal.extra.p99()))
        .target("below 120 ms", p99 < 120.0),
    ])
}

/// Types beside bulk through the client under test.
fn through_client(subject: &Subject, round_trip: Duration, keys: usize) -> io::Result<Typed> {
    let folder = tempfile::Builder::new().prefix("ssm-proxy-bench-").tempdir()?;
    let sshd = Sshd::start(&folder.path().join("sshd"));
    let round_trip_or_none = (!round_trip.is_zero()).then_some(round_trip);
    let rig = Rig::new(Scene { round_trip: round_trip_or_none, ..Scene::default() }, sshd.address())?;
    let home = folder.path().join("home");
    let user = User::new(&home, &subject.program, &subject.paced, &sshd, rig.variables.clone());
    let bytes = || rig.server.report().sessions.last().map_or(0, |session| session.traffic.bytes_from_client);
    type_beside(&user, Bulk::Up, Order::TerminalFirst, round_trip, keys, warm_up, bytes)
}

/// The same through a tunnel in which nothing waits but the next kilobyte: what remains is ssh's own.
fn through_ideal(subject: &Subject, round_trip: Duration, keys: usize) -> io::Result<Typed> {
    let folder = tempfile::Builder::new().prefix("ssm-proxy-bench-").tempdir()?;
    let sshd = Sshd::start(&folder.path().join("sshd"));
    let mut path = Path::new(round_trip, None)?;
    path.lead_to(sshd.address());
    let reference = subject.tools.join("reference");
    let command = format!("{} pace {} {CEILING}", reference.display(), path.address());
    let user = User::new(&folder.path().join("home"), &reference, &command, &sshd, Vec::new());
    type_beside(&user, Bulk::Up, Order::TerminalFirst, round_trip, keys, warm_up, || 0)
}

fn warm_up() -> io::Result<()> {
    thread::sleep(WARM_UP);
    Ok(())
}

/// What the shared connection carries first, which decides how much sshd itself holds back of what it sends: 16 KiB if that has
/// a terminal, else 128 KiB.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Order {
    TerminalFirst,
    BulkFirst,
}

/// One shared connection, as `ControlMaster auto` makes it: a terminal that echoes keys, and bulk beside it, with keys from
/// the end of `warm_up` on. `bytes` are those of the bulk so far.
pub(crate) fn type_beside(
    user: &User,
    bulk: Bulk,
    order: Order,
    round_trip: Duration,
    keys: usize,
    warm_up: impl FnOnce() -> io::Result<()>,
    bytes: impl Fn() -> u64,
) -> io::Result<Typed> {
    let socket = user.home().join("shared");
    let ssh = |arguments: &[&str]| user.openssh("ssh").arg("-S").arg(&socket).args(arguments).limit(LIMIT);
    let terminal = |options: &[&str]| -> io::Result<(Running, io::BufReader<io::PipeReader>)> {
        let (screen, writer) = io::pipe()?;
        let typist = ssh(options).args(["-tt", HOST, "stty raw -echo; echo ready; exec cat"]).stdout(writer).start();
        let mut screen = io::BufReader::new(screen);
        screen.read_until(b'\n', &mut Vec::new())?;
        Ok((typist, screen))
    };
    let begin_bulk = || match bulk {
        Bulk::Up => {
            let mut sink = ssh(&[HOST, "exec cat >/dev/null"]).start();
            let mut source = sink.take_stdin();
            thread::spawn(move || far::pump(&mut source));
            sink
        }
        Bulk::Down => ssh(&[HOST, "exec cat /dev/zero"]).stdout(Stdio::null()).spawn(),
    };
    let (_others, (mut typist, mut screen)) = match order {
        Order::TerminalFirst => {
            let terminal = terminal(&["-M"])?;
            (vec![begin_bulk()], terminal)
        }
        Order::BulkFirst => {
            let master = ssh(&["-M", "-N", HOST]).start();
            let begun = Instant::now();
            while !socket.exists() {
                if begun.elapsed() > LIMIT {
                    return Err(io::Error::other("ssh does not share its connection"));
                }
                thread::sleep(KEY_EVERY);
            }
            (vec![begin_bulk(), master], terminal(&[])?)
        }
    };
    let mut keyboard = typist.take_stdin();
    warm_up()?;
    let (begun, before) = (Instant::now(), bytes());
    let (pressed, presses) = channel();
    let hands = thread::spawn(move || -> io::Result<()> {
        for _ in 0..keys {
            thread::sleep(KEY_EVERY);
            // The receiver is there as long as there are keys to come.
            let _ = pressed.send(Instant::now());
            keyboard.write_all(b"k")?;
        }
        Ok(())
    });
    let mut extra = Vec::with_capacity(keys);
    for at in presses {
        screen.read_exact(&mut [0])?;
        extra.push(at.elapsed().saturating_sub(round_trip));
    }
    let carried = bytes() - before;
    let bulk_rate = (carried > 0).then(|| carried as f64 / begun.elapsed().as_secs_f64());
    hands.join().map_err(|_| io::Error::other("the typist failed"))??;
    Ok(Typed { extra: Samples::milliseconds(extra), bulk: bulk_rate })
}

/// When bytes passed on the wire, seen beside the gateway.
type Sight = (Way, Instant, bool);

/// A byte there and back, each way from pipe to wire or wire to pipe, against a byte through `cat`.
fn idle(subject: &Subject, bytes: usize) -> io::Result<Vec<Row>> {
    let (seen, sights) = channel::<Sight>();
    let tap: Tap = Arc::new(move |way, at, bytes: &[u8]| {
        let is_output = bytes.windows(18).any(|part| part == b"output_stream_data");
        // Nobody looks any more when the measurement is over.
        let _ = seen.send((way, at, is_output));
    });
    let (far, _) = Far::Echoes.listen()?;
    let rig = Rig::new(Scene { standin: Options::default(), tap: Some(tap), ..Scene::default() }, far)?;
    let mut client = Pipes::new(rig.start(subject)?);
    client.stdout.read_exact(&mut [0; BANNER.len()])?;
    let mut cat = Pipes::new(Client::start(Command::new("cat"))?);
    let (mut up, mut down, mut plain) = (Vec::new(), Vec::new(), Vec::new());
    // By turns, so that both meet the same machine.
    for _ in 0..bytes {
        thread::sleep(BYTE_EVERY);
        let (written, read) = cat.there_and_back()?;
        plain.push(read - written);
        thread::sleep(BYTE_EVERY);
        sights.try_iter().for_each(drop);
        let (written, read) = client.there_and_back()?;
        let seen: Vec<Sight> = sights.try_iter().collect();
        let there = seen.iter().find(|(way, ..)| *way == Way::Up).map(|(_, at, _)| *at);
        let back = seen.iter().rev().find(|(way, _, is_output)| *way == Way::Down && *is_output).map(|(_, at, _)| *at);
        up.extend(there.map(|at| at - written));
        down.extend(back.map(|at| read.saturating_duration_since(at)));
    }
    let cat = Samples::milliseconds(plain);
    let row = |what: &str, way: Vec<Duration>| {
        let way = Samples::milliseconds(way);
        let added = way.p99() - cat.p99();
        Row::new("5 latency", format!("idle, {what}: p99 of {}, added to a pipe", way.len()), format!("{added:.3} ms"))
            .spread(format!("median {:.3}, p99 {:.3}", way.median(), way.p99()))
            .baseline(format!("cat: median {:.3}, p99 {:.3} ms", cat.median(), cat.p99()))
            .target("below 0.2 ms", added < 0.2)
    };
    Ok(vec![row("stdin to wire", up), row("wire to stdout", down)])
}

/// A process and its two pipes.
struct Pipes {
    _process: Client,
    stdin: ChildStdin,
    stdout: ChildStdout,
}

impl Pipes {
    fn new(mut process: Client) -> Self {
        let (stdin, stdout) = (process.stdin(), process.stdout());
        Self { _process: process, stdin, stdout }
    }

    /// Writes a byte and reads one; when it was written, and when read.
    fn there_and_back(&mut self) -> io::Result<(Instant, Instant)> {
        let written = Instant::now();
        self.stdin.write_all(b"k")?;
        self.stdout.read_exact(&mut [0])?;
        Ok((written, Instant::now()))
    }
}
