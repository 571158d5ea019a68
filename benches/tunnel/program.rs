//! Goal 9: shells and commands. Their first output, a key's echo, and what they cost.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::ChildStdout;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fixtures::HOST;
use fixtures::standin::Options;

use crate::client::Client;
use crate::far::Far;
use crate::rig::{Rig, Scene, Subject};
use crate::stats::Samples;
use crate::table::Row;

const GOAL: &str = "9 programs";
/// Between two keys: a person who types very fast.
const KEY_EVERY: Duration = Duration::from_millis(31);
/// From the first bytes on, nothing is measured for this long.
const WARM_UP: Duration = Duration::from_secs(2);
/// What figures are scaled to, in bytes.
const VOLUME: f64 = 100e6;
const MEBIBYTE: f64 = 1024.0 * 1024.0;
/// The key that is pressed; no other output has it.
const KEY: u8 = b'K';

pub(crate) fn measure(subject: &Subject, quick: bool) -> io::Result<Vec<Row>> {
    if !subject.is_ours {
        return Ok(Vec::new());
    }
    let span = Duration::from_secs(if quick { 5 } else { 15 });
    let mut rows = vec![first_output(subject, if quick { 5 } else { 15 })?];
    for (what, beside) in [("idle", ""), ("beside 0.8 MB/s of output", "while :; do echo y; done & ")] {
        rows.push(echo(subject, what, beside, if quick { 60 } else { 200 })?);
    }
    for (what, arguments, kms) in [
        ("a shell", "--exec -t", false),
        ("an encrypted shell", "--exec -t", true),
        ("a command", "--exec", false),
        ("an encrypted command", "--exec", true),
    ] {
        rows.extend(cost(subject, what, arguments, kms, span)?);
    }
    Ok(rows)
}

/// The stand-in, whose agent takes no time of its own at the start.
fn standin(kms: bool) -> Options {
    let mut options = Options::default();
    (options.agent.first_read_delay, options.agent.launch_delay) = (Duration::ZERO, Duration::ZERO);
    options.agent.kms_key_id = kms.then(|| "alias/bench".to_owned());
    options
}

fn start(subject: &Subject, arguments: &str, command: &str, kms: bool) -> io::Result<(Rig, Client)> {
    let (far, _) = Far::Takes.listen()?;
    let mut rig = Rig::new(Scene { standin: standin(kms), tls: true, ..Scene::default() }, far)?;
    let endpoint = rig.variables.iter().find(|(name, _)| name == "AWS_ENDPOINT_URL_SSM").cloned();
    rig.variables.extend(endpoint.map(|(_, url)| ("AWS_ENDPOINT_URL_KMS".to_owned(), url)));
    let line = format!("{} {arguments} {HOST} -- sh -c '{command}'", subject.program.display());
    let client = Client::start(rig.command(subject, &line))?;
    Ok((rig, client))
}

/// From the moment when a program writes its first line, which is that moment, to that line on stdout.
fn first_output(subject: &Subject, runs: usize) -> io::Result<Row> {
    let mut times = Vec::new();
    for _ in 0..runs {
        let (_rig, mut client) = start(subject, "--exec -t", "date +%s%N", false)?;
        let mut line = String::new();
        BufReader::new(client.stdout()).read_line(&mut line)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let written: u128 = line.trim().parse().map_err(|_| io::Error::other(format!("no time: {line:?}")))?;
        times.push(now.saturating_sub(written) as f64 / 1e6);
    }
    let times = Samples::new(times);
    Ok(Row::new(GOAL, "from the first line written to that line on stdout, TLS", format!("{:.1} ms", times.median()))
        .spread(times.spread(1))
        .target("10 ms or less", times.median() <= 10.0))
}

/// From a key pressed to its echo by the far side's program.
fn echo(subject: &Subject, what: &str, beside: &str, keys: usize) -> io::Result<Row> {
    let command = format!("stty raw -echo; echo ready; {beside}exec cat");
    let (rig, mut client) = start(subject, "--exec -t", &command, false)?;
    let (mut keyboard, mut screen) = (client.stdin(), client.stdout());
    let mut ready = [0; 5];
    screen.read_exact(&mut ready)?;
    thread::sleep(WARM_UP);
    let mut times = Vec::new();
    let (pressed, presses) = std::sync::mpsc::channel();
    let hands = thread::spawn(move || -> io::Result<()> {
        for _ in 0..keys {
            thread::sleep(KEY_EVERY);
            // The receiver is there as long as there are keys to come.
            let _ = pressed.send(Instant::now());
            keyboard.write_all(&[KEY])?;
        }
        // Held until all echoes have come.
        thread::sleep(WARM_UP * 4);
        Ok(())
    });
    for at in presses {
        find(&mut screen, KEY)?;
        times.push(at.elapsed());
    }
    client.end();
    drop(hands);
    let times = Samples::milliseconds(times);
    Ok(Row::new(GOAL, format!("a key's echo, {what}: median"), format!("{:.1} ms", times.median())).spread(format!(
        "p99 {:.1} ms {}",
        times.p99(),
        rig.complaints()
    )))
}

/// Reads up to the next byte that is this one.
fn find(screen: &mut ChildStdout, byte: u8) -> io::Result<()> {
    let mut next = [0];
    loop {
        screen.read_exact(&mut next)?;
        if next == [byte] {
            return Ok(());
        }
    }
}

/// Processor time of output at the service's pace, and the most that is resident.
fn cost(subject: &Subject, what: &str, arguments: &str, kms: bool, span: Duration) -> io::Result<Vec<Row>> {
    let (rig, mut client) = start(subject, arguments, "exec yes", kms)?;
    let meter = client.count_stdout();
    meter.wait_for(1, Duration::from_secs(30)).ok_or_else(|| io::Error::other("nothing came"))?;
    thread::sleep(WARM_UP);
    let (from, before) = (Instant::now(), client.usage().cpu);
    thread::sleep(span);
    let (to, usage) = (Instant::now(), client.usage());
    let rate = meter.rate(from, to);
    let seconds = (usage.cpu - before).as_secs_f64() / (rate * span.as_secs_f64()) * VOLUME;
    client.end();
    Ok(vec![
        Row::new(GOAL, format!("output of {what}, TLS"), format!("{:.1} kB/s", rate / 1e3)).spread(rig.complaints()),
        Row::new(GOAL, format!("output of {what}, TLS: CPU per 100 MB"), format!("{seconds:.2} s"))
            .target("3 s or less", seconds <= 3.0),
        Row::new(
            GOAL,
            format!("output of {what}, TLS: peak memory"),
            format!("{:.1} MiB", usage.peak as f64 / MEBIBYTE),
        )
        .target("16 MiB or less", usage.peak as f64 / MEBIBYTE <= 16.0),
    ])
}
