//! Stdin, stdout and the signals that come with them: all of the product that differs between operating systems.
//!
//! OpenSSH gives its ProxyCommand pipes or a socketpair on 0 and 1, reads and writes them without ever pausing for
//! long, and hangs up with SIGHUP. Pipes and sockets are driven by readiness, which costs a tenth of the latency of
//! tokio's own stdin; files, terminals and other systems get a thread. It knows bytes, nothing of what they mean.

#[cfg(unix)]
mod readiness;
mod threads;

use std::io;

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

    /// Waits until the reader of fd 1 is gone, where the operating system tells.
    pub async fn closed(&self) {
        match &self.sink {
            #[cfg(unix)]
            Sink::Ready(writer) => writer.closed().await,
            Sink::Thread(_) => std::future::pending().await,
        }
    }
}
