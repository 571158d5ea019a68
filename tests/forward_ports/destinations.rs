//! Destinations that refuse, hang, or do not read; and local readers that are slow.

use std::io::{Read, Write, copy};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use fixtures::standin::Options;
use fixtures::{HOST, Peer, until};

use super::{Forward, all, answers, bench, bench_with, echoes, fill, is_reset, leads, total};

/// What may be resident at most with [`ssm_smux`]'s 16 MiB of unread bytes, in the build that is shipped; others are larger.
const MEMORY: u64 = 48 << 20;

#[test]
fn a_refused_destination_resets_the_connection_and_is_named() {
    let bench = bench(&[]);
    let forward = Forward::to(&bench, &["db.internal:5432"], &[]);
    for _ in 0..3 {
        is_reset(&mut forward.connect());
    }
    forward.says("security groups");
    let done = forward.end();
    let told: Vec<_> = done.stderr.lines().skip(1).collect();
    let line = "ssm-proxy: db.internal:5432: the node cannot connect to it";
    assert_eq!(told.iter().filter(|told| **told == line).count(), 3, "{done}");
    assert_eq!(told.iter().filter(|told| told.contains("security groups")).count(), 1, "{done}");
    assert_eq!(told.len(), 4, "{done}");
    let report = bench.finish();
    assert_eq!(report.calls_of("StartSession"), 1, "a refused destination costs no other session");
}

#[test]
fn a_host_that_the_agent_denies_is_an_error_at_the_start() {
    let bench = bench(&[]);
    let done = bench.proxy().args(["-L0:169.254.169.254:80", HOST]).run();
    assert_ne!(done.status.code(), Some(0));
    assert!(done.stderr.contains("Forwarding to IP address 169.254.169.254 is forbidden"), "{done}");
    assert!(!done.stderr.contains("listening on"), "{done}");
    assert_eq!(done.stderr.lines().count(), 2, "{done}");
    bench.finish();
}

#[test]
fn a_destination_that_does_not_answer_holds_up_no_other_forward_and_no_end() {
    let bench = bench(&["filtered:1=hangs".to_owned(), leads("localhost:7", Peer::echo().address())]);
    let forward = Forward::to(&bench, &["filtered:1", "localhost:7"], &[]);
    let hanging: Vec<_> = (0..6).map(|_| forward.connect()).collect();
    bench.wait_for("dials that hang", |report| {
        report.sessions.iter().filter_map(|session| session.forward).map(|forward| forward.counts.open).sum::<u64>()
            >= 4
    });
    answers(&mut super::connect(forward.ports[1]), "not held up");
    drop(hanging);
    let ended = Instant::now();
    let _ = forward.end();
    assert!(ended.elapsed() < Duration::from_secs(3), "{:?}", ended.elapsed());
    bench.finish();
}

/// The agent stalls for all connections of a session when one of them is not read. Once that is noticed, after 10 s, others
/// are put elsewhere.
#[test]
fn a_connection_that_is_not_read_is_left_alone_by_the_next_ones() {
    let server = Peer::each(|before, mut stream| {
        if before == 0 {
            return std::mem::forget(stream);
        }
        drop(copy(&mut stream.try_clone().unwrap(), &mut stream));
    });
    let bench = bench_with(&[leads("localhost:7", server.address())], Options::default().unpaced());
    let forward = Forward::to(&bench, &["localhost:7"], &["--no-pace", "--sessions", "2"]);
    let deaf = forward.connect();
    deaf.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    fill(&deaf, 64 << 20);
    let stuck = Instant::now();
    // As long as nothing is noticed, some of those that come at once are put where nothing moves.
    let work = || {
        let mut streams: Vec<_> = (0..4).map(|_| forward.connect()).collect();
        let mut works = |stream: &mut TcpStream| {
            stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
            stream.write_all(b"?").unwrap();
            stream.read_exact(&mut [0]).is_ok()
        };
        streams.iter_mut().all(&mut works).then_some(())
    };
    let noticed = until(Duration::from_secs(30), work);
    assert!(noticed.is_some(), "connections do not work {:?} after one got stuck", stuck.elapsed());
    eprintln!("noticed after {:?}", stuck.elapsed());
    let mut more: Vec<_> = (0..4).map(|_| forward.connect()).collect();
    more.iter_mut().for_each(|stream| answers(stream, "elsewhere"));
    let _ = forward.end();
    bench.finish();
}

/// A reader that stops shares its session with others here: it loses its connection when it has 16 MiB to read, and the others
/// never wait.
#[test]
fn a_local_reader_that_stops_holds_up_no_other_and_has_bounded_memory() {
    const LENGTH: usize = 32 << 20;
    let server = Peer::each(|before, mut stream| {
        if before == 0 {
            return drop(stream.write_all(&vec![7; LENGTH]));
        }
        drop(copy(&mut stream.try_clone().unwrap(), &mut stream));
    });
    let bench = bench_with(&[leads("localhost:7", server.address())], Options::default().unpaced());
    let forward = Forward::to(&bench, &["localhost:7"], &["--no-pace", "--sessions", "1"]);
    let slow = forward.connect();
    // The others come only when this one is at the destination: which is first is for the destination to see.
    bench.wait_for("the first connection's bytes", |report| total(report, |counts| counts.bytes_from_destinations) > 0);
    for round in 0..8 {
        all((0..4).map(|seed| echoes(forward.connect(), round * 4 + seed, 300_000)));
    }
    let memory = forward.running.memory();
    if let Some(memory) = memory {
        eprintln!("peak memory: {} MiB", memory.peak >> 20);
        assert!(memory.peak < MEMORY, "{memory:?}");
    }
    drop(slow);
    let _ = forward.end();
    bench.finish();
}

/// Alone on its session it may be as slow as it likes: nothing is lost, and memory stays bounded.
#[test]
fn a_slow_local_reader_gets_everything() {
    const LENGTH: usize = 40 << 20;
    let server = Peer::source(fixtures::noise(9, LENGTH));
    let bench = bench_with(&[leads("localhost:7", server.address())], Options::default().unpaced());
    let forward = Forward::to(&bench, &["localhost:7"], &["--no-pace"]);
    let mut stream = forward.connect();
    // Much more has come than is taken.
    bench.wait_for("more than is taken", |report| total(report, |counts| counts.bytes_from_destinations) > 12 << 20);
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    assert!(all == fixtures::noise(9, LENGTH), "{} bytes came", all.len());
    if let Some(memory) = forward.running.memory() {
        eprintln!("peak memory: {} MiB", memory.peak >> 20);
        assert!(memory.peak < MEMORY, "{memory:?}");
    }
    let _ = forward.end();
    bench.finish();
}
