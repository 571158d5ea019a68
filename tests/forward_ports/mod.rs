//! `ssm-proxy -L`: local ports that lead through Session Manager, and that stay up. A file for each theme.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where it cannot set its scene, or where its connections fail"
)]

mod basics;
mod databases;
mod destinations;
mod endings;
mod half_close;
mod load;
mod one_at_a_time;
mod stays_up;
mod unix_sockets;
mod web;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fixtures::standin::{ApiFault, ApiRule, ForwardCounts, Options, Report};
use fixtures::{Bench, Done, HOST, Running, Setup, Signal, noise};

/// How long anything may be silent that is not meant to be.
const SILENCE: Duration = Duration::from_secs(60);

/// A bench with these destinations of forwards: `db:5432=127.0.0.1:1234`, as the stand-in reads them.
fn bench(destinations: &[String]) -> Bench {
    bench_with(destinations, Options::default())
}

/// The same at another service.
fn bench_with(destinations: &[String], standin: Options) -> Bench {
    let destinations = destinations.iter().map(|text| text.parse().unwrap()).collect();
    Bench::with(Setup { standin: Options { destinations, ..standin }, ..Setup::default() })
}

/// A destination of forwards that leads to this address.
fn leads(to: &str, address: SocketAddr) -> String {
    format!("{to}={address}")
}

/// A forward at work: it listens at these ports, in the order of its `-L`.
struct Forward {
    running: Running,
    ports: Vec<u16>,
}

impl Forward {
    /// A forward of free ports to these destinations, once it listens.
    fn to(bench: &Bench, destinations: &[&str], options: &[&str]) -> Self {
        let forwards: Vec<String> = destinations.iter().map(|to| format!("-L0:{to}")).collect();
        let running = bench.proxy().args(&forwards).args(options).arg(HOST).start();
        let ports = places(&running, forwards.len()).iter().map(|place| port_of(place)).collect();
        Self { running, ports }
    }

    /// A connection to the first of its ports.
    fn connect(&self) -> TcpStream {
        connect(self.ports[0])
    }

    /// Ends it as a person does, and gives what it has said.
    fn end(self) -> Done {
        self.running.signal(Signal::INT);
        self.running.ended().ok()
    }

    /// Waits until it has said this.
    fn says(&self, text: &str) {
        let _ = self.running.expect_stderr(text);
    }
}

/// Where it listens, in the order in which it says so.
fn places(running: &Running, count: usize) -> Vec<String> {
    let found = running.stderr().wait(SILENCE, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let whole = text.lines().zip(text.split_inclusive('\n')).filter(|(_, line)| line.ends_with('\n'));
        let places: Vec<String> =
            whole.filter_map(|(line, _)| Some(line.strip_prefix("listening on ")?.to_owned())).collect();
        (places.len() >= count).then_some(places)
    });
    found.unwrap_or_else(|| panic!("it does not listen at {count} places\n{running}"))
}

fn port_of(place: &str) -> u16 {
    place.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or_else(|| panic!("{place} has no port"))
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the forwarded port accepts");
    stream.set_read_timeout(Some(SILENCE)).unwrap();
    stream
}

/// A line goes there and back.
#[track_caller]
fn answers(stream: &mut (impl Read + Write), line: &str) {
    stream.write_all(format!("{line}\n").as_bytes()).unwrap();
    let mut back = vec![0; line.len() + 1];
    stream.read_exact(&mut back).unwrap_or_else(|cause| panic!("no answer to {line:?}: {cause}"));
    assert_eq!(back, format!("{line}\n").as_bytes());
}

/// Whether the other side breaks the connection: a reset, and no end in order.
#[track_caller]
fn is_reset(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    let cause = stream.read_to_end(&mut rest).expect_err("the connection ends by a reset");
    assert_eq!(cause.kind(), std::io::ErrorKind::ConnectionReset);
}

/// Sends bytes in, in a thread of its own, and fails unless an echo brings the same back. The local side closes only then.
fn echoes(stream: TcpStream, seed: u64, length: usize) -> JoinHandle<()> {
    thread::spawn(move || {
        let input = noise(seed, length);
        let mut output = vec![0; length];
        thread::scope(|scope| {
            let (mut writer, mut reader) = (&stream, &stream);
            let input = &input;
            scope.spawn(move || writer.write_all(input).expect("the connection takes it"));
            reader.read_exact(&mut output).expect("all comes back");
        });
        assert!(input == output, "other bytes came back");
        stream.shutdown(Shutdown::Both).expect("the connection is still there");
    })
}

fn all(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    // Each has begun before the first is waited for.
    let threads: Vec<_> = threads.into_iter().collect();
    for thread in threads {
        thread.join().expect("each connection is as it should be");
    }
}

fn rule(operation: &str, fault: ApiFault, skip: u32, times: u32) -> ApiRule {
    ApiRule { operation: operation.to_owned(), fault, skip, times }
}

/// Writes until nothing more is taken, or so many bytes are; says how many were.
fn fill(mut stream: &TcpStream, length: usize) -> usize {
    let chunk = vec![7; 64 << 10];
    let mut taken = 0;
    while taken < length
        && let Ok(written) = stream.write(&chunk)
    {
        taken += written;
    }
    taken
}

/// What the agents of all sessions have counted together.
fn total(report: &Report, of: impl Fn(ForwardCounts) -> u64) -> u64 {
    report.sessions.iter().filter_map(|session| session.forward).map(|forward| of(forward.counts)).sum()
}
