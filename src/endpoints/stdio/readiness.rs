//! Pipes and sockets on 0 and 1, driven by readiness.
//!
//! `O_NONBLOCK` belongs to the open file, which the parent may share: it is put back on the way out, and is never set
//! on a terminal or on what is also fd 2.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;

use super::watch::Watch;
use rustix::fs::{FileType, OFlags};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;

/// An open file in non-blocking mode. Dropping this makes the file blocking again, unless it was non-blocking before: 0 and
/// 1 may be the same open file, or the parent may want it so.
struct NonBlocking {
    fd: OwnedFd,
    was_blocking: bool,
}

impl NonBlocking {
    fn new(fd: OwnedFd) -> io::Result<Self> {
        let flags = rustix::fs::fcntl_getfl(&fd)?;
        rustix::fs::fcntl_setfl(&fd, flags | OFlags::NONBLOCK)?;
        Ok(Self { fd, was_blocking: !flags.contains(OFlags::NONBLOCK) })
    }
}

impl Drop for NonBlocking {
    fn drop(&mut self) {
        if !self.was_blocking {
            return;
        }
        // There is nobody left to tell if this fails.
        let _ = rustix::fs::fcntl_getfl(&self.fd)
            .and_then(|flags| rustix::fs::fcntl_setfl(&self.fd, flags - OFlags::NONBLOCK));
    }
}

/// What a descriptor is, if it can be driven by readiness: a pipe or a socket, and not also fd 2.
fn kind(fd: impl AsFd) -> Option<FileType> {
    let stat = rustix::fs::fstat(fd).ok()?;
    let stderr = rustix::fs::fstat(io::stderr());
    let is_stderr = stderr.is_ok_and(|stderr| (stderr.st_dev, stderr.st_ino) == (stat.st_dev, stat.st_ino));
    let kind = FileType::from_raw_mode(stat.st_mode);
    (!is_stderr && matches!(kind, FileType::Fifo | FileType::Socket)).then_some(kind)
}

/// Bytes that a pipe is to hold: two pages, what ssh sends in 6 to 9 ms at the service's pace. The usual 64 KiB hold what
/// it sends in 50 to 70 ms, and a key pressed meanwhile waits behind them.
#[cfg(target_os = "linux")]
const PIPE: usize = 8192;

/// Makes a pipe hold so many times [`PIPE`]. A socket, or a pipe that holds more bytes already, stays as it is.
#[cfg(target_os = "linux")]
fn set_depth(fd: impl AsFd, times: usize) {
    let _ = rustix::pipe::fcntl_setpipe_size(fd, PIPE.saturating_mul(times));
}

#[cfg(not(target_os = "linux"))]
fn set_depth(_: impl AsFd, _: usize) {}

/// Another descriptor of the same file for the runtime to own, what it is, and the mode that holds until it is dropped;
/// nothing if it cannot be driven by readiness.
fn take_over(fd: impl AsFd) -> Option<(FileType, OwnedFd, NonBlocking)> {
    let kind = kind(&fd)?;
    let own = || fd.as_fd().try_clone_to_owned().ok();
    Some((kind, own()?, NonBlocking::new(own()?).ok()?))
}

fn socket(fd: OwnedFd) -> io::Result<UnixStream> {
    // Any stream socket reads and writes alike; only addresses differ, and nobody asks for those.
    UnixStream::from_std(StdUnixStream::from(fd))
}

pub(super) struct Reader {
    stream: Input,
    /// Whether a pipe was made to hold little.
    is_shallow: bool,
    _mode: NonBlocking,
}

enum Input {
    Pipe(pipe::Receiver),
    Socket(UnixStream),
}

impl Reader {
    /// Fd 0, if it is a pipe or a socket.
    pub(super) fn open(shallow: bool) -> Option<Self> {
        let stdin = io::stdin();
        if shallow {
            set_depth(&stdin, 1);
        }
        let (kind, fd, mode) = take_over(stdin)?;
        let stream = match kind {
            FileType::Fifo => Input::Pipe(pipe::Receiver::from_owned_fd(fd).ok()?),
            _ => Input::Socket(socket(fd).ok()?),
        };
        Some(Self { stream, is_shallow: shallow, _mode: mode })
    }

    /// A pipe that was made to hold little holds so many times as much.
    pub(super) fn hold(&self, times: usize) {
        if self.is_shallow && matches!(self.stream, Input::Pipe(_)) {
            set_depth(io::stdin(), times);
        }
    }

    pub(super) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.stream {
            Input::Pipe(pipe) => pipe.read(buffer).await,
            Input::Socket(socket) => socket.read(buffer).await,
        }
    }
}

pub(super) struct Writer {
    stream: Output,
    _mode: NonBlocking,
}

enum Output {
    Pipe(pipe::Sender),
    Socket(UnixStream, Option<Watch>),
}

impl Writer {
    /// Fd 1, if it is a pipe or a socket.
    pub(super) fn open() -> Option<Self> {
        let (kind, fd, mode) = take_over(io::stdout())?;
        let stream = match kind {
            FileType::Fifo => Output::Pipe(pipe::Sender::from_owned_fd(fd).ok()?),
            _ => Output::Socket(socket(fd).ok()?, Watch::start()),
        };
        Some(Self { stream, _mode: mode })
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.stream {
            Output::Pipe(pipe) => pipe.write(bytes).await,
            Output::Socket(socket, _) => socket.write(bytes).await,
        }
    }

    /// The kernel reports an error on the writing end of a pipe as soon as its last reader is gone; for a socket it does
    /// so only if the other end was reset, hence the watch.
    pub(super) async fn failed(&mut self) -> io::Error {
        let is_gone = match &self.stream {
            Output::Pipe(pipe) => pipe.ready(Interest::ERROR).await.is_ok(),
            Output::Socket(_, Some(watch)) => {
                watch.gone().await;
                true
            }
            Output::Socket(_, None) => false,
        };
        if is_gone { io::ErrorKind::BrokenPipe.into() } else { std::future::pending().await }
    }
}
