//! Two ends that send bulk one way and a key's echo, with next to nothing waiting in themselves: what a key waits for is
//! between them.
//!
//! Both ways are records of one size that begin with a number. Keys are numbered from 1; the echo of a key is the first
//! record from the far end that says its number or a higher one.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{ChildStdin, ChildStdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::far::BANNER;
use crate::latency::KEY_EVERY;

/// Bytes of a record.
const RECORD: usize = 1024;
/// Bytes that the kernel of the far end may hold, which it doubles.
const SEND_BUFFER: usize = 8192;
/// How long an echo may take.
const LIMIT: Duration = Duration::from_secs(30);

fn record(number: u64, noise: &[u8]) -> Vec<u8> {
    let mut record = number.to_be_bytes().to_vec();
    record.extend_from_slice(noise.get(..RECORD - record.len()).unwrap_or_default());
    record
}

fn read_number(from: &mut impl Read) -> io::Result<u64> {
    let mut record = [0; RECORD];
    from.read_exact(&mut record)?;
    let number = record.first_chunk().copied().unwrap_or_default();
    Ok(u64::from_be_bytes(number))
}

/// The far end. It takes bulk if `up`, else sends it. Its threads end with the program.
pub(super) fn listen(up: bool) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // The end of a connection, however it comes, is the client's affair.
            thread::spawn(move || drop(if up { take(stream) } else { send(stream) }));
        }
    });
    Ok(address)
}

/// Answers each key that comes between records of bulk.
fn take(mut stream: TcpStream) -> io::Result<()> {
    let noise = fixtures::noise(2, RECORD);
    stream.set_nodelay(true)?;
    stream.write_all(BANNER)?;
    loop {
        let number = read_number(&mut stream)?;
        if number > 0 {
            stream.write_all(&record(number, &noise))?;
        }
    }
}

/// Sends records without end, each with the number of the latest key.
fn send(mut stream: TcpStream) -> io::Result<()> {
    let noise = fixtures::noise(2, RECORD);
    stream.set_nodelay(true)?;
    rustix::net::sockopt::set_socket_send_buffer_size(&stream, SEND_BUFFER)?;
    stream.write_all(BANNER)?;
    let latest = Arc::new(AtomicU64::new(0));
    let (mut keys, newest) = (stream.try_clone()?, Arc::clone(&latest));
    thread::spawn(move || {
        while let Ok(number) = read_number(&mut keys) {
            newest.store(number, Ordering::Relaxed);
        }
    });
    loop {
        stream.write_all(&record(latest.load(Ordering::Relaxed), &noise))?;
    }
}

/// The near end: a client's pipes with bulk in one of them.
pub(super) struct Pipes {
    keyboard: Keyboard,
    /// Numbers that the far end has said, when they came.
    echoes: Receiver<(u64, Instant)>,
}

/// Where keys are pressed.
enum Keyboard {
    /// Between records of bulk, by the thread that sends those.
    Beside(Sender<u64>),
    /// On a pipe of their own.
    Alone(ChildStdin),
}

/// Echoes that have come.
pub(super) struct Echoed {
    pub(super) times: Vec<Duration>,
    pub(super) took: Duration,
}

impl Pipes {
    pub(super) fn new(client: &mut Client, up: bool) -> io::Result<Self> {
        let (stdin, mut stdout) = (client.stdin(), client.stdout());
        stdout.read_exact(&mut [0; BANNER.len()])?;
        let (seen, echoes) = channel();
        thread::spawn(move || watch(&mut stdout, &seen));
        if !up {
            return Ok(Self { keyboard: Keyboard::Alone(stdin), echoes });
        }
        let (press, presses) = channel();
        thread::spawn(move || drop(send_beside(stdin, &presses)));
        Ok(Self { keyboard: Keyboard::Beside(press), echoes })
    }

    /// Presses so many keys, and waits for their echoes.
    pub(super) fn press(&mut self, keys: usize) -> io::Result<Echoed> {
        let begun = Instant::now();
        let noise = fixtures::noise(2, RECORD);
        let mut pressed = Vec::with_capacity(keys);
        for number in 1..=keys as u64 {
            thread::sleep(KEY_EVERY);
            let now = Instant::now();
            pressed.push((number, now));
            match &mut self.keyboard {
                Keyboard::Alone(stdin) => stdin.write_all(&record(number, &noise))?,
                Keyboard::Beside(press) => press.send(number).map_err(io::Error::other)?,
            }
        }
        let mut times = Vec::with_capacity(keys);
        let mut next = pressed.into_iter().peekable();
        while next.peek().is_some() {
            let (echoed, at) = self.echoes.recv_timeout(LIMIT).map_err(io::Error::other)?;
            while let Some((_, pressed)) = next.next_if(|(number, _)| *number <= echoed) {
                times.push(at - pressed);
            }
        }
        Ok(Echoed { times, took: begun.elapsed() })
    }
}

/// Reads records, and passes on the first of each number.
fn watch(stdout: &mut ChildStdout, seen: &Sender<(u64, Instant)>) {
    let mut last = 0;
    while let Ok(number) = read_number(stdout) {
        if number > last {
            last = number;
            // Nobody looks any more when the measurement is over.
            let _ = seen.send((number, Instant::now()));
        }
    }
}

/// Sends records without end, a key's as soon as one is pressed.
fn send_beside(mut stdin: ChildStdin, presses: &Receiver<u64>) -> io::Result<()> {
    let noise = fixtures::noise(2, RECORD);
    let bulk = record(0, &noise);
    loop {
        match presses.try_recv() {
            Ok(number) => stdin.write_all(&record(number, &noise))?,
            Err(_) => stdin.write_all(&bulk)?,
        }
    }
}
