//! Stdin, stdout and the signals that come with them: all of the product that differs between operating systems.
//!
//! OpenSSH gives its ProxyCommand pipes or a socketpair on 0 and 1, reads and writes them without ever pausing for
//! long, and hangs up with SIGHUP. Pipes and sockets are driven by readiness, which costs a tenth of the latency of
//! tokio's own stdin; files, terminals and other systems get a thread. It knows bytes, nothing of what they mean.

mod output;
#[cfg(unix)]
mod readiness;
mod threads;
#[cfg(unix)]
mod watch;

use std::io;

pub use output::write_all;

/// Bytes from fd 0.
pub struct Stdin {
    source: Source,
}

enum Source {
    #[cfg(unix)]
    Ready(readiness::Reader),
    Thread(threads::Reader),
}

/// Bytes to fd 1.
pub struct Stdout {
    sink: Sink,
}

enum Sink {
    #[cfg(unix)]
    Ready(readiness::Writer),
    Thread(threads::Writer),
}

impl Stdin {
    /// Takes over fd 0, in the way that fits what it is. With `shallow`, a pipe is made to hold little where the
    /// operating system can do that. Within a tokio runtime only.
    #[cfg_attr(windows, expect(unused_variables, reason = "a thread reads one chunk ahead, whatever there is"))]
    pub fn open(shallow: bool) -> Self {
        #[cfg(unix)]
        if let Some(reader) = readiness::Reader::open(shallow) {
            return Self { source: Source::Ready(reader) };
        }
        Self { source: Source::Thread(threads::Reader::start()) }
    }

    /// Reads at least one byte, at most `buffer` has room for; 0 at the end. May be dropped at any time without loss.
    ///
    /// # Errors
    /// Those of `read(2)`.
    pub async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.source {
            #[cfg(unix)]
            Source::Ready(reader) => reader.read(buffer).await,
            Source::Thread(reader) => reader.read(buffer).await,
        }
    }
}

impl Stdout {
    /// Takes over fd 1, in the way that fits what it is. Within a tokio runtime only.
    pub fn open() -> Self {
        #[cfg(unix)]
        if let Some(writer) = readiness::Writer::open() {
            return Self { sink: Sink::Ready(writer) };
        }
        Self { sink: Sink::Thread(threads::Writer::start()) }
    }

    /// Writes at least one byte of `bytes` and says how many. May be dropped at any time: nothing is then written.
    ///
    /// # Errors
    /// Those of `write(2)`; a reader that is gone is one of them.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.sink {
            #[cfg(unix)]
            Sink::Ready(writer) => writer.write(bytes).await,
            Sink::Thread(writer) => writer.write(bytes).await,
        }
    }

    /// Waits until all that was written has reached fd 1.
    ///
    /// # Errors
    /// Those of the writes that were still under way.
    pub async fn flush(&mut self) -> io::Result<()> {
        match &mut self.sink {
            #[cfg(unix)]
            Sink::Ready(_) => Ok(()),
            Sink::Thread(writer) => writer.flush().await,
        }
    }

    /// Waits until nothing can be written any more: a write that was under way has failed, or the reader is gone. May be
    /// dropped at any time. On Windows nobody tells of a reader that is gone but the next write.
    pub async fn failed(&mut self) -> io::Error {
        match &mut self.sink {
            #[cfg(unix)]
            Sink::Ready(writer) => writer.failed().await,
            Sink::Thread(writer) => writer.failed().await,
        }
    }

    /// Whether [`failed`](Self::failed) tells of a reader that is gone.
    pub fn is_watched() -> bool {
        cfg!(unix)
    }
}

/// Whether a failed write to fd 1 says that its reader is gone, which is how a pipeline ends: a pipe without a reader, a
/// socket whose other end is closed, a terminal that has hung up.
pub fn is_reader_gone(cause: &io::Error) -> bool {
    matches!(cause.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) || has_hung_up(cause)
}

/// A terminal that has hung up says EIO, as a broken disk does, and no more that it is a terminal.
#[cfg(unix)]
fn has_hung_up(cause: &io::Error) -> bool {
    use rustix::fs::{FileType, fstat};

    let is_device = || fstat(io::stdout()).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_char_device());
    cause.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) && is_device()
}

/// A pipe whose reader is gone can say that it is not connected, for which the standard library has no kind.
#[cfg(windows)]
fn has_hung_up(cause: &io::Error) -> bool {
    /// As winerror.h numbers it.
    const ERROR_PIPE_NOT_CONNECTED: i32 = 233;
    cause.raw_os_error() == Some(ERROR_PIPE_NOT_CONNECTED)
}
