//! Ports forwarded through the session: local, remote, dynamic.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends where its connections fail")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use fixtures::{Bench, HOST, Peer, noise};

/// How long a forwarded connection may be silent.
const SILENCE: Duration = Duration::from_secs(60);

#[test]
fn a_local_port_leads_to_the_far_side() {
    let bench = Bench::open();
    let echo = Peer::echo();
    let (ssh, port) = bench.forwarding(|port| format!("-L127.0.0.1:{port}:{}", echo.address()));
    echoes(connect(port));
    let _ = ssh.finish().ok();
    bench.finish();
}

#[test]
fn a_remote_port_leads_back_here() {
    let bench = Bench::open();
    let echo = Peer::echo();
    let forward = format!("-R127.0.0.1:0:{}", echo.address());
    let ssh = bench.ssh().args([forward.as_str(), HOST, "cat"]).start();
    let allocated = ssh.expect_stderr("Allocated port ");
    let port = allocated.split(' ').next().and_then(|port| port.parse().ok()).expect("a port's number");
    echoes(connect(port));
    let _ = ssh.finish().ok();
    bench.finish();
}

#[test]
fn a_socks_proxy_leads_anywhere_on_the_far_side() {
    let bench = Bench::open();
    let echo = Peer::echo();
    let (ssh, port) = bench.forwarding(|port| format!("-D127.0.0.1:{port}"));
    echoes(through_socks(port, echo.address()));
    let _ = ssh.finish().ok();
    bench.finish();
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the forwarded port accepts");
    stream.set_read_timeout(Some(SILENCE)).expect("a limit");
    stream
}

/// Asks the SOCKS 5 proxy at `port` for a connection (RFC 1928, no authentication, an IPv4 address).
fn through_socks(port: u16, to: SocketAddr) -> TcpStream {
    let mut stream = connect(port);
    stream.write_all(&[5, 1, 0]).expect("the greeting goes out");
    let mut method = [0; 2];
    stream.read_exact(&mut method).expect("an answer to the greeting");
    assert_eq!(method, [5, 0]);
    let SocketAddr::V4(to) = to else { panic!("{to} is no IPv4 address") };
    let request = [&[5, 1, 0, 1], to.ip().octets().as_slice(), &to.port().to_be_bytes()].concat();
    stream.write_all(&request).expect("the request goes out");
    let mut reply = [0; 10];
    stream.read_exact(&mut reply).expect("an answer to the request");
    assert_eq!(reply.get(..2), Some([5, 0].as_slice()), "the proxy refuses");
    stream
}

/// Sends bytes in, and fails unless the same come back, to the end of the connection.
fn echoes(mut stream: TcpStream) {
    let input = noise(3, 200_000);
    let mut output = Vec::new();
    thread::scope(|scope| {
        let mut writer = stream.try_clone().expect("a second handle");
        let input = &input;
        scope.spawn(move || {
            writer.write_all(input).expect("the connection takes it");
            writer.shutdown(Shutdown::Write).expect("the connection takes its end");
        });
        stream.read_to_end(&mut output).expect("the connection ends");
    });
    assert!(output == input, "{} bytes went in, {} other ones came back", input.len(), output.len());
}
