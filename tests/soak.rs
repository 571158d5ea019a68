//! One ssh session for a long time, with steady traffic both ways, over a close of its connection each minute.
//!
//! No part of the ordinary run: `tests/run --soak MINUTES` runs it and shows its figures.

use std::io::{ErrorKind, Read, Write, pipe};
use std::process::Stdio;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use fixtures::standin::{Fault, Options, Scheduled, When};
use fixtures::{Bench, HOST, Memory, Setup, noise};

/// Bytes that are compared at once. Each block is another one.
const BLOCK: usize = 64 << 10;

/// From one close of the connection to the next. The service does it each hour.
const CLOSE_EVERY: Duration = Duration::from_secs(60);

/// How long nothing may come back.
const STALL: Duration = Duration::from_secs(30);

/// How far what ssm-proxy has allocated may grow from the first minute's end on.
const GROWTH: u64 = 4 << 20;

/// What the release build may hold at most, the program included. A build without optimisation is larger by itself.
const PEAK: u64 = 24 << 20;

#[test]
#[ignore = "as long as SOAK_MINUTES says: tests/run --soak MINUTES"]
fn a_session_over_repeated_closes() {
    let minutes: u32 = std::env::var("SOAK_MINUTES").unwrap().parse().expect("SOAK_MINUTES is a number of minutes");
    let schedule = vec![Scheduled { when: When::Every(CLOSE_EVERY), fault: Fault::bye() }];
    let standin = Options { schedule, ..Options::default() };
    let bench = Bench::with(Setup { standin, ..Setup::default() });
    let (mut back, stdout) = pipe().unwrap();
    let mut ssh = bench.ssh().args([HOST, "exec cat"]).stdin(Stdio::piped()).stdout(stdout).spawn();
    let end = Instant::now() + minutes * Duration::from_secs(60);

    let mut stdin = ssh.take_stdin();
    let writer = thread::spawn(move || {
        let blocks = (0..).take_while(|_| Instant::now() < end);
        blocks.map_while(|number| stdin.write_all(&noise(number, BLOCK)).ok()).count()
    });
    let (came_back, blocks) = channel();
    let reader = thread::spawn(move || {
        for number in 0.. {
            let mut block = vec![0; BLOCK];
            match back.read_exact(&mut block) {
                Ok(()) => assert!(block == noise(number, BLOCK), "block {number} came back as another"),
                Err(end) if end.kind() == ErrorKind::UnexpectedEof => return,
                Err(error) => panic!("block {number}: {error}"),
            }
            came_back.send(()).unwrap();
        }
    });

    let mut received = 0;
    let mut memory: Vec<Memory> = Vec::new();
    let mut look_at = Instant::now();
    loop {
        match blocks.recv_timeout(STALL) {
            Ok(()) => received += 1,
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => panic!("nothing came back for {STALL:?}, after {received} blocks\n{ssh}"),
        }
        if Instant::now() >= look_at {
            look_at += Duration::from_secs(1);
            memory.extend(ssh.memory());
        }
    }
    reader.join().unwrap();
    let sent = writer.join().unwrap();
    let _ = ssh.ended().ok();
    assert_eq!(sent, received, "blocks sent and brought back");

    let session = bench.session();
    eprintln!("{minutes} minutes, {} bytes each way, all of them compared", sent * BLOCK);
    eprintln!(
        "{} closes lived through; messages: {} to the service, {} from it, at most {} to it in a second",
        session.resumes,
        session.traffic.messages_from_client,
        session.traffic.messages_to_client,
        session.traffic.peak_per_second
    );
    stays_small(&memory);
    assert!(session.resumes >= u64::from(minutes) - 1, "the connection was closed {} times only", session.resumes);
    bench.finish();
}

/// Says how large the program was, looked at once a second, and fails if it grew.
fn stays_small(memory: &[Memory]) {
    if let (Some(first), Some(settled), Some(last)) = (memory.first(), memory.get(59), memory.last()) {
        eprintln!(
            "resident memory: {} kB at the start, {} kB after a minute, {} kB at the end, {} kB at most",
            first.resident >> 10,
            settled.resident >> 10,
            last.resident >> 10,
            last.peak >> 10
        );
        assert!(last.allocated < settled.allocated + GROWTH, "memory grew: {settled:?}, at the end {last:?}");
        if std::env::var_os("SSM_PROXY").is_some() {
            assert!(last.peak < PEAK, "ssm-proxy's memory: {last:?}");
        }
    }
}
