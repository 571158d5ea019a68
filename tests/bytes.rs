//! stdin and stdout of ssm-proxy itself: every byte, nothing else, on any kind of descriptor.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::Duration;

use fixtures::standin::Options;
use fixtures::{Bench, HOST, Peer, Setup, noise};
use rustix::fs::{OFlags, fcntl_getfl};

/// How long one byte may take to come back.
const ANSWER: Duration = Duration::from_secs(60);

/// A bench whose target has `peer` on port 7, where ssm-proxy can be run without ssh.
fn facing(peer: &Peer) -> Bench {
    let standin = Options { ports: vec![(7, peer.address())], ..Options::default() };
    Bench::with(Setup { standin, ..Setup::default() })
}

#[test]
fn every_value_of_a_byte_and_a_lone_newline_as_single_writes() {
    let bench = facing(&Peer::echo());
    let mut proxy = bench.proxy().args([HOST, "7"]).start();
    let sent: Vec<u8> = (0..=255).chain(*b"\n").collect();
    for (before, byte) in sent.iter().enumerate() {
        proxy.write(&[*byte]);
        let back = proxy.stdout().wait(ANSWER, |bytes| (bytes.len() > before).then(|| bytes.to_vec()));
        assert_eq!(back.as_deref(), sent.get(..=before), "after byte {byte:#04x}\n{proxy}");
    }
    let done = proxy.hang_up().ok();
    assert_eq!(done.stdout, sent);
    assert_eq!(done.stderr, "", "ssm-proxy is silent on success");
    bench.finish();
}

#[test]
fn logs_never_reach_stdout_and_hold_no_secret() {
    let bench = facing(&Peer::echo());
    let sent = [noise(4, 50_000).as_slice(), b"a line that no log may repeat\n"].concat();
    let mut proxy = bench.proxy().args(["-vv", "--debug", HOST, "7"]).start();
    proxy.write(&sent);
    let back = proxy.stdout().wait(ANSWER, |bytes| (bytes.len() >= sent.len()).then_some(()));
    assert!(back.is_some(), "not everything came back\n{proxy}");
    let done = proxy.hang_up().ok();
    assert!(done.stdout == sent, "stdout is not what the far side sent: {done}");
    assert_ne!(done.stderr, "", "-vv logs");
    let secret = &bench.server().credentials().secret_access_key;
    assert!(!done.stderr.contains(secret.as_str()), "the secret key is in the log: {done}");
    assert!(!done.stderr.contains("no log may repeat"), "a payload is in the log: {done}");
    bench.finish();
}

#[test]
fn descriptors_0_and_1_are_one_socketpair() {
    let bench = facing(&Peer::echo());
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    ours.set_read_timeout(Some(ANSWER)).unwrap();
    let kept = theirs.try_clone().unwrap();
    let descriptor = || Stdio::from(OwnedFd::from(theirs.try_clone().unwrap()));
    let proxy = bench.proxy().args([HOST, "7"]).stdin(descriptor()).stdout(descriptor()).spawn();
    let sent = noise(5, 100_000);
    let mut writer = ours.try_clone().unwrap();
    let mut back = vec![0; sent.len()];
    std::thread::scope(|scope| {
        scope.spawn(|| writer.write_all(&sent).unwrap());
        ours.read_exact(&mut back).unwrap();
    });
    assert!(back == sent, "other bytes came back");
    drop((ours, writer));
    let _ = proxy.ended().ok();
    let flags = fcntl_getfl(&kept).unwrap();
    assert!(!flags.contains(OFlags::NONBLOCK), "a descriptor that others share was left non-blocking");
    bench.finish();
}

#[test]
fn a_file_is_sent_whole() {
    let sink = Peer::sink();
    let bench = facing(&sink);
    let sent = noise(6, 300_000);
    let path = bench.folder().join("sent");
    fs::write(&path, &sent).unwrap();
    let _ = bench.proxy().args([HOST, "7"]).stdin(File::open(&path).unwrap()).run().ok();
    let received = sink.received();
    assert!(received == sent, "{} bytes were sent, {} other ones received", sent.len(), received.len());
    bench.finish();
}

#[test]
fn a_file_takes_all_that_comes() {
    let sent = noise(7, 300_000);
    let bench = facing(&Peer::source(sent.clone()));
    let mut file = File::options().read(true).write(true).create_new(true).open(bench.folder().join("got")).unwrap();
    let stdout = file.try_clone().unwrap();
    // stdin stays open: it is the far side that ends this.
    let (_ours, theirs) = UnixStream::pair().unwrap();
    let _ = bench.proxy().args([HOST, "7"]).stdin(OwnedFd::from(theirs)).stdout(stdout).run().ok();
    let mut received = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut received).unwrap();
    assert!(received == sent, "{} bytes were sent, {} other ones received", sent.len(), received.len());
    bench.finish();
}

#[test]
fn dev_null_is_an_empty_input() {
    let bench = facing(&Peer::echo());
    let done = bench.proxy().args([HOST, "7"]).run().ok();
    assert_eq!((done.text().as_str(), done.stderr.as_str()), ("", ""));
    bench.finish();
}

#[test]
fn dev_null_takes_any_output() {
    let bench = facing(&Peer::source(noise(8, 300_000)));
    let (_ours, theirs) = UnixStream::pair().unwrap();
    let _ = bench.proxy().args([HOST, "7"]).stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).run().ok();
    bench.finish();
}

#[test]
fn a_terminal_on_descriptors_0_and_1() {
    let bench = facing(&Peer::echo());
    let line = format!("stty -echo; echo quiet; exec ssm-proxy {HOST} 7");
    let mut terminal = bench.user().tool("sh").args(["-c", &line]).on_terminal(24, 80);
    terminal.expect("quiet\r\n");
    terminal.press("typed\n");
    terminal.expect("typed\r\n");
    terminal.press("\x04");
    assert_eq!(terminal.finish().code(), Some(0));
    bench.finish();
}
