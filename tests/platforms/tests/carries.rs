//! Bytes and files arrive whole, both ways and over TLS, through the program of another platform; and it notices when
//! nobody reads its output any more.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where its files cannot be read or written")]

use std::fs;
use std::io::{Read, Write, pipe};
use std::process::Stdio;
use std::thread;

use fixtures::standin::{Options, SessionState};
use fixtures::{Bench, HOST, Peer, Setup, noise};
use platforms::facing;

/// What goes each way, in bytes: four seconds at the service's pace.
const LENGTH: usize = 4 << 20;

#[test]
#[ignore = "contrib/platforms runs it"]
fn bytes_through_pipes() {
    let echo = Peer::echo();
    let bench = Bench::encrypted(facing(&echo));
    let sent = noise(1, LENGTH);

    let mut proxy = bench.proxy().args([HOST, "7"]).start();
    let (mut stdin, bytes) = (proxy.take_stdin(), sent.clone());
    // Stdin stays open until all has come back, as ssh's does.
    let writer = thread::spawn(move || stdin.write_all(&bytes).map(|()| stdin));
    proxy.expect_bytes(LENGTH);
    drop(writer.join().unwrap().expect("all of it was read"));

    let done = proxy.ended().ok();
    assert!(done.stdout == sent, "other bytes came back than were sent");
    assert_eq!(done.stderr, "");
    bench.finish();
}

#[test]
#[ignore = "contrib/platforms runs it"]
fn ssh_and_scp() {
    let bench = Bench::encrypted(Options::default());
    assert_eq!(bench.ssh().args([HOST, "echo in"]).run().ok().text(), "in\n");

    let [here, there, back] = ["here", "there", "back"].map(|name| bench.folder().join(name));
    let sent = noise(2, LENGTH);
    fs::write(&here, &sent).expect("room for the file");
    let far = format!("{HOST}:{}", there.display());
    for (from, to) in [(here.display().to_string(), far.clone()), (far, back.display().to_string())] {
        let _ = bench.user().openssh("scp").arg("-q").args([from, to]).run().ok();
    }
    assert!(fs::read(&there).expect("the file that went up") == sent, "other bytes went up");
    assert!(fs::read(&back).expect("the file that came down") == sent, "other bytes came down");
    bench.finish();
}

#[test]
#[ignore = "contrib/platforms runs it"]
fn a_reader_of_stdout_that_goes_in_the_middle_of_a_download_ends_the_session() {
    let source = Peer::source(noise(3, 4 * LENGTH));
    let bench = Bench::with(Setup { standin: facing(&source), ..Setup::default() });
    let (mut reader, writer) = pipe().unwrap();
    let proxy = bench.proxy().args([HOST, "7"]).stdin(Stdio::piped()).stdout(writer).spawn();
    reader.read_exact(&mut vec![0; LENGTH / 4]).unwrap();
    drop(reader);
    // Its stdin stays open: only its output can tell.
    let done = proxy.ended().ok();
    assert_eq!(done.stderr, "");
    let state = bench.finish().sessions.pop().map(|session| session.state);
    assert_eq!(state, Some(SessionState::EndedByFlag));
}
