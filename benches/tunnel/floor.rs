//! What the system alone takes of a processor for the same bytes: a thread that wakes as often as is worth it, reads from
//! one end and writes to the other. No messages, no digests, no TLS: below this no client can get by waking so often.

use std::io::{self, PipeReader, PipeWriter, Read, Write, pipe};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::bare::own_processor_time;
use crate::far;
use crate::throughput::CEILING;

/// From one look at stdin to the next: a key must not wait longer.
const UP: Duration = Duration::from_millis(5);
/// From one look at the socket to the next while nothing comes from stdin.
const DOWN: Duration = Duration::from_millis(10);
/// Bytes a second that an upload brings: the budget, in messages of 1536 bytes.
const UPLOAD: f64 = CEILING * 1.5;
/// What the agent sends, and the time from one to the next.
const MESSAGE: [u8; 1024] = [0; 1024];
const INTERVAL: Duration = Duration::from_millis(1);

/// Seconds of a processor that an upload, or a download, takes for each byte.
pub(crate) fn measure(up: bool, span: Duration) -> io::Result<f64> {
    let (from_pipe, to_pipe) = pipe()?;
    let (here, there) = connected()?;
    if up { upload(from_pipe, to_pipe, here, there, span) } else { download(from_pipe, to_pipe, here, there, span) }
}

fn upload(
    stdin: PipeReader,
    mut ssh: PipeWriter,
    socket: TcpStream,
    service: TcpStream,
    span: Duration,
) -> io::Result<f64> {
    thread::spawn(move || far::pump(&mut ssh));
    thread::spawn(move || drain(service));
    carry(stdin, socket, UP, (UPLOAD * UP.as_secs_f64()) as usize, span)
}

fn download(
    ssh: PipeReader,
    stdout: PipeWriter,
    socket: TcpStream,
    mut service: TcpStream,
    span: Duration,
) -> io::Result<f64> {
    thread::spawn(move || {
        while service.write_all(&MESSAGE).is_ok() {
            thread::sleep(INTERVAL);
        }
    });
    thread::spawn(move || drain(ssh));
    carry(socket, stdout, DOWN, 64 << 10, span)
}

/// Moves at most `most` bytes at each beat.
fn carry(mut from: impl Read, mut to: impl Write, beat: Duration, most: usize, span: Duration) -> io::Result<f64> {
    let mut chunk = vec![0; most];
    let (begun, cpu) = (Instant::now(), own_processor_time());
    let mut carried = 0.0;
    while begun.elapsed() < span {
        thread::sleep(beat);
        let length = from.read(&mut chunk)?;
        to.write_all(chunk.get(..length).unwrap_or_default())?;
        carried += length as f64;
    }
    Ok((own_processor_time() - cpu).as_secs_f64() / carried)
}

fn drain(mut from: impl Read) {
    let mut chunk = vec![0; 64 << 10];
    while let Ok(1..) = from.read(&mut chunk) {}
}

fn connected() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let here = TcpStream::connect(listener.local_addr()?)?;
    let (there, _) = listener.accept()?;
    here.set_nodelay(true)?;
    there.set_nodelay(true)?;
    Ok((here, there))
}
