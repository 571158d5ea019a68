//! Programs that close one direction and go on with the other. A session can close both alone, so the end is held back.

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::process::Command;
use std::time::{Duration, Instant};

use fixtures::standin::Options;
use fixtures::{Peer, noise};

use super::{Forward, bench, bench_with, leads};

/// How long the end of a connection is held back: that of docs/forwards.md, and what a busy machine adds.
const HELD_BACK: Duration = Duration::from_secs(5);

/// Other systems' nc has no -N.
#[test]
#[cfg(target_os = "linux")]
fn the_answer_to_a_half_closed_request_arrives() {
    let answer = [b"HTTP/1.0 200 OK\r\n\r\n".as_slice(), &noise(6, 100_000)].concat();
    let server = Peer::server(Duration::from_millis(300), answer.clone());
    let bench = bench(&[leads("localhost:80", server.address())]);
    let forward = Forward::to(&bench, &["localhost:80"], &[]);
    let nc = fixtures::Tool::new("nc").args(["-N", "127.0.0.1", &forward.ports[0].to_string()]);
    let done = nc.run_with("GET / HTTP/1.0\r\n\r\n").ok();
    assert!(done.stdout == answer, "{done}");
    assert!(done.took < HELD_BACK, "the end of the server is the end: {done}");
    let _ = forward.end();
    bench.finish();
}

/// Its answer is lost, and it does not wait for ever.
#[test]
fn a_server_that_waits_for_the_end_gets_it() {
    let sink = Peer::sink();
    let bench = bench(&[leads("localhost:9", sink.address())]);
    let forward = Forward::to(&bench, &["localhost:9"], &[]);
    let input = noise(8, 300_000);
    let mut stream = forward.connect();
    stream.write_all(&input).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let closed = Instant::now();
    assert!(sink.received() == input, "other bytes arrived");
    assert!((HELD_BACK..HELD_BACK * 3).contains(&closed.elapsed()), "{:?}", closed.elapsed());
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    let _ = forward.end();
    bench.finish();
}

/// A local program that has closed both directions looks the same, until something comes for it.
#[test]
fn a_connection_whose_client_is_gone_ends() {
    let server = Peer::each(|_, mut stream| while stream.write_all(b"tick").is_ok() {});
    let bench = bench(&[leads("localhost:9", server.address())]);
    let forward = Forward::to(&bench, &["localhost:9"], &[]);
    let mut stream = forward.connect();
    stream.read_exact(&mut [0; 4]).unwrap();
    drop(stream);
    bench.wait_for_within(HELD_BACK, "the end of the connection", |report| {
        super::total(report, |counts| counts.open) == 0
    });
    let _ = forward.end();
    bench.finish();
}

#[test]
fn git_clones_through_it() {
    let port = fixtures::free_port();
    let bench = bench(&[format!("git.internal:9418=127.0.0.1:{port}")]);
    let root = bench.folder().join("repositories");
    let work = root.join("project");
    fs::create_dir_all(&work).unwrap();
    fixtures::tree(&work, 200);
    let git = |arguments: &[&str]| {
        let status = Command::new("git")
            .current_dir(&work)
            .args(["-c", "user.name=a", "-c", "user.email=a@b"])
            .args(arguments)
            .status();
        assert!(status.unwrap().success(), "git {arguments:?}");
    };
    git(&["init", "-q", "-b", "main"]);
    git(&["add", "."]);
    git(&["commit", "-q", "-m", "files"]);
    let daemon = bench
        .user()
        .tool("git")
        .args(["daemon", "--export-all", "--reuseaddr", "--listen=127.0.0.1"])
        .args([format!("--port={port}"), format!("--base-path={}", root.display())])
        .arg(&root)
        .spawn();
    daemon.listens(port);
    let forward = Forward::to(&bench, &["git.internal:9418"], &[]);
    let clone = bench.folder().join("clone");
    let url = format!("git://127.0.0.1:{}/project", forward.ports[0]);
    let _ = bench.user().tool("git").args(["clone", "-q", &url]).arg(&clone).run().ok();
    for folder in [&work, &clone] {
        fs::remove_dir_all(folder.join(".git")).unwrap();
    }
    fixtures::same_tree(&work, &clone);
    let _ = forward.end();
    bench.finish();
}

/// What the client has not read when the server closes is still its own, though it goes on sending.
#[test]
fn the_rest_of_an_answer_survives_a_client_that_still_sends() {
    let answer = noise(7, 2 << 20);
    let sent = answer.clone();
    let server = Peer::each(move |_, mut stream| {
        stream.read_exact(&mut [0; 4]).unwrap();
        stream.write_all(&sent).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let bench = bench_with(&[leads("localhost:80", server.address())], Options::default().unpaced());
    let forward = Forward::to(&bench, &["localhost:80"], &["--no-pace"]);
    let mut stream = forward.connect();
    stream.write_all(b"get\n").unwrap();
    bench.wait_for("the end of the server", |report| super::total(report, |counts| counts.open) == 0);
    let mut begun = vec![0; 64 << 10];
    stream.read_exact(&mut begun).unwrap();
    stream.write_all(b"thanks").unwrap();
    let mut rest = Vec::new();
    // Each is sent after what was read before it, and each may be the one that is answered by a reset.
    loop {
        let mut part = vec![0; 16 << 10];
        let length = stream.read(&mut part).expect("the answer goes on");
        if length == 0 {
            break;
        }
        rest.extend_from_slice(&part[..length]);
        stream.write_all(b"more").expect("the connection is not broken");
    }
    assert!([begun, rest].concat() == answer, "the answer is not whole");
    let _ = forward.end();
    bench.finish();
}
