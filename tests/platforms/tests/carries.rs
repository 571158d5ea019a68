//! Bytes and files arrive whole, both ways and over TLS, through the program of another platform; and it notices when
//! nobody reads its output any more.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where its pipes break")]

use std::io::{Read, Write, pipe};
use std::process::Stdio;
use std::thread;

use fixtures::standin::{Options, SessionState};
use fixtures::{Bench, HOST, Peer, Setup, noise};
use platforms::{LENGTH, facing};

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
    platforms::ssh_and_scp(&bench);
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
