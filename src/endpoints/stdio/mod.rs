//! Stdin and stdout as asynchronous streams, in the way that fits the operating system and what they are.
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
pub struct Stdin(Input);

enum Input {
    #[cfg(unix)]
    Ready(readiness::Reader),
    Thread(threads::Reader),
}

/// Bytes to fd 1.
pub struct Stdout(Output);

enum Output {
    #[cfg(unix)]
    Ready(readiness::Writer),
    Thread(threads::Writer),
}

/// Bytes to fd 2.
pub struct Stderr {
    writer: Option<threads::Writer>,
    /// Nobody takes them any more.
    gone: bool,
}

impl Stdin {
    /// Takes over fd 0, in the way that fits what it is. With `shallow`, a pipe is made to hold little where the
    /// operating system can do that. Within a tokio runtime only.
    #[cfg_attr(windows, expect(unused_variables, reason = "a thread reads one chunk ahead, whatever there is"))]
    pub fn open(shallow: bool) -> Self {
        #[cfg(unix)]
        if let Some(reader) = readiness::Reader::open(shallow) {
            return Self(Input::Ready(reader));
        }
        Self(Input::Thread(threads::Reader::start()))
    }

    /// A pipe that was made to hold little holds so many times as much from now on.
    #[cfg_attr(windows, expect(unused_variables, reason = "as in open"))]
    pub fn hold(&self, times: usize) {
        #[cfg(unix)]
        if let Input::Ready(reader) = &self.0 {
            reader.hold(times);
        }
    }

    /// Reads at least one byte, at most `buffer` has room for; 0 at the end. May be dropped at any time without loss.
    ///
    /// # Errors
    /// Those of `read(2)`.
    pub async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            #[cfg(unix)]
            Input::Ready(reader) => reader.read(buffer).await,
            Input::Thread(reader) => reader.read(buffer).await,
        }
    }
}

impl Stdout {
    /// Takes over fd 1, in the way that fits what it is. Within a tokio runtime only.
    pub fn open() -> Self {
        #[cfg(unix)]
        if let Some(writer) = readiness::Writer::open() {
            return Self(Output::Ready(writer));
        }
        Self(Output::Thread(threads::Writer::start()))
    }

    /// Writes at least one byte of `bytes` and says how many. May be dropped at any time: nothing is then written.
    ///
    /// # Errors
    /// Those of `write(2)`; a reader that is gone is one of them.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            #[cfg(unix)]
            Output::Ready(writer) => writer.write(bytes).await,
            Output::Thread(writer) => writer.write(bytes).await,
        }
    }

    /// Waits until all that was written has reached fd 1.
    ///
    /// # Errors
    /// Those of the writes that were still under way.
    pub async fn flush(&mut self) -> io::Result<()> {
        match &mut self.0 {
            #[cfg(unix)]
            Output::Ready(_) => Ok(()),
            Output::Thread(writer) => writer.flush().await,
        }
    }

    /// Waits until nothing can be written any more: a write that was under way has failed, or the reader is gone. May be
    /// dropped at any time. On Windows only the next write tells that the reader is gone.
    pub async fn failed(&mut self) -> io::Error {
        match &mut self.0 {
            #[cfg(unix)]
            Output::Ready(writer) => writer.failed().await,
            Output::Thread(writer) => writer.failed().await,
        }
    }

    /// Whether [`failed`](Self::failed) tells of a reader that is gone.
    pub fn is_watched() -> bool {
        cfg!(unix)
    }
}

impl Stderr {
    /// Takes over fd 2 when there is something to write.
    pub fn open() -> Self {
        Self { writer: None, gone: false }
    }

    /// Writes at least one byte of `bytes` and says how many. Where nobody takes them, they are gone: there is nobody to tell.
    /// May be dropped at any time: nothing is then written. Within a tokio runtime only.
    pub async fn write(&mut self, bytes: &[u8]) -> usize {
        if self.gone {
            return bytes.len();
        }
        let writer = self.writer.get_or_insert_with(threads::Writer::of_stderr);
        match writer.write(bytes).await {
            Ok(length) => length,
            Err(cause) => {
                tracing::info!(%cause, "stderr is closed");
                self.gone = true;
                bytes.len()
            }
        }
    }

    /// Waits until all that was written has reached fd 2, or is gone.
    pub async fn flush(&mut self) {
        if let Some(writer) = &mut self.writer {
            let _ = writer.flush().await;
        }
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
