//! UNIX sockets in place of a port.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};

use fixtures::{HOST, Peer, Signal};

use super::{answers, bench, leads, places};

#[test]
fn a_socket_is_there_while_it_runs() {
    let bench = bench(&[leads("localhost:7", Peer::echo().address())]);
    let path = bench.folder().join("forward.sock");
    let running = bench.proxy().args([&format!("-L{}:localhost:7", path.display()), HOST]).start();
    assert_eq!(places(&running, 1), [path.display().to_string()]);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "others may connect");
    answers(&mut UnixStream::connect(&path).unwrap(), "through a socket");
    running.signal(Signal::TERM);
    let _ = running.ended().ok();
    assert!(!path.exists(), "its file is left");
    bench.finish();
}

/// Killed, it cannot clean up: neither the socket nor, with AWS, the session. The next run is not hindered.
#[test]
fn the_socket_of_one_that_was_killed_is_replaced() {
    let bench = bench(&[leads("localhost:7", Peer::echo().address())]);
    let path = bench.folder().join("forward.sock");
    let forward = format!("-L{}:localhost:7", path.display());
    let start = || {
        let running = bench.proxy().args([&forward, "--sessions=1", HOST]).start();
        let _ = places(&running, 1);
        running
    };
    let killed = start();
    killed.signal(Signal::KILL);
    let _ = killed.ended();
    assert!(path.exists(), "the file of one that was killed is left");
    let next = start();
    answers(&mut UnixStream::connect(&path).unwrap(), "again");

    // One at which somebody listens is not taken away, and costs no session.
    let before = bench.server().report().calls_of("StartSession");
    let refused = bench.proxy().args([&forward, HOST]).run().code(69);
    assert!(refused.stderr.contains(&format!("cannot listen at {}: ", path.display())), "{refused}");
    assert_eq!(bench.server().report().calls_of("StartSession"), before);
    answers(&mut UnixStream::connect(&path).unwrap(), "still here");

    next.signal(Signal::TERM);
    let _ = next.ended().ok();
    bench.fault(fixtures::standin::Fault::Terminate);
    bench.finish();
}

/// The file of the one before is no affair of the one that ends.
#[test]
fn what_is_no_socket_stays() {
    let bench = bench(&[]);
    let path = bench.folder().join("precious.txt");
    std::fs::write(&path, "precious").unwrap();
    let done = bench.proxy().args([&format!("-L{}:localhost:7", path.display()), HOST]).run().code(69);
    assert!(done.stderr.contains("cannot listen at "), "{done}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    let live = bench.folder().join("other.sock");
    let other = UnixListener::bind(&live).unwrap();
    let _ = bench.proxy().args([&format!("-L{}:localhost:7", live.display()), HOST]).run().code(69);
    drop(other);
    assert!(live.exists());
    assert_eq!(bench.finish().calls_of("StartSession"), 0);
}
