//! The example `port`, run as a program of its own against the stand-in of AWS.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test ends where something cannot be set up")]

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use standin::{Options, Server};

const NODE: &str = "i-0123456789abcdef0";
/// For the session's end to show in the stand-in's report.
const ENDED: Duration = Duration::from_secs(10);

/// Cargo builds a package's examples with its tests, beside them.
fn example() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().with_file_name("examples").join(format!("port{}", std::env::consts::EXE_SUFFIX))
}

#[test]
fn bytes_go_through_the_example_and_back_and_the_session_ends() {
    let echo = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = echo.local_addr().unwrap();
    thread::spawn(move || {
        for stream in echo.incoming().flatten() {
            let mut back = stream.try_clone().unwrap();
            thread::spawn(move || io::copy(&mut &stream, &mut back));
        }
    });
    let server = Server::start(Options { ports: vec![(7, address)], ..Options::default() }).unwrap();
    let credentials = server.credentials();
    let mut child = Command::new(example())
        .args([NODE, "7"])
        .env_clear()
        .envs([
            ("AWS_ENDPOINT_URL_SSM", server.endpoint().as_str()),
            ("AWS_REGION", server.region()),
            ("AWS_ACCESS_KEY_ID", &credentials.access_key_id),
            ("AWS_SECRET_ACCESS_KEY", &credentials.secret_access_key),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("cargo has built the example");
    let sent: Vec<u8> = (0..200_000_u32).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let writer = thread::spawn({
        let sent = sent.clone();
        move || stdin.write_all(&sent).map(|()| stdin)
    });
    let mut received = vec![0; sent.len()];
    stdout.read_exact(&mut received).unwrap();
    assert!(received == sent, "the bytes that came back are not those that were sent");
    drop(writer.join().unwrap().unwrap());
    assert!(child.wait().unwrap().success());
    assert!(server.wait_for(ENDED, |report| report.open_sessions().next().is_none()), "{:#?}", server.report());
    assert!(server.report().breaches.is_empty(), "{:#?}", server.report().breaches);
}
