//! Blocking threads for files and terminals on 0 and 1, and for everything there on systems without readiness.

use std::io::{self, Read};
use std::thread;

use super::output;
#[cfg(unix)]
use super::watch::Watch;
use bytes::{Buf, Bytes};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::{JoinHandle, spawn_blocking};

/// Bytes read at once.
const CHUNK: usize = 16 << 10;

/// A thread that reads fd 0, one chunk ahead.
pub(super) struct Reader {
    chunks: Receiver<io::Result<Bytes>>,
    rest: Bytes,
}

impl Reader {
    pub(super) fn start() -> Self {
        let (sender, chunks) = mpsc::channel(1);
        // The thread ends with the process: a blocked read cannot be called back.
        thread::spawn(move || read_all(&sender));
        Self { chunks, rest: Bytes::new() }
    }

    pub(super) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() {
            self.rest = self.chunks.recv().await.transpose()?.unwrap_or_default();
        }
        let length = self.rest.len().min(buffer.len());
        if let Some(buffer) = buffer.get_mut(..length) {
            self.rest.copy_to_slice(buffer);
        }
        Ok(length)
    }
}

/// Sends chunks until the end or an error; the closed channel then says that it is over.
fn read_all(chunks: &Sender<io::Result<Bytes>>) {
    let mut stdin = io::stdin().lock();
    let mut buffer = vec![0; CHUNK];
    loop {
        let chunk = match stdin.read(&mut buffer) {
            Ok(0) => return,
            Ok(length) => Ok(Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default())),
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => continue,
            Err(cause) => Err(cause),
        };
        if chunk.is_err() | chunks.blocking_send(chunk).is_err() {
            return;
        }
    }
}

/// Writes fd 1 or fd 2 on a thread, one piece at a time.
pub(super) struct Writer {
    write: fn(&[u8]) -> io::Result<()>,
    under_way: Option<JoinHandle<io::Result<()>>>,
    #[cfg(unix)]
    watch: Option<Watch>,
}

impl Writer {
    /// One for fd 1, which is told when its reader goes.
    pub(super) fn start() -> Self {
        Self {
            #[cfg(unix)]
            watch: Watch::start(),
            ..Self::of(output::write_all)
        }
    }

    /// One for fd 2.
    pub(super) fn of_stderr() -> Self {
        Self::of(output::write_all_to_stderr)
    }

    fn of(write: fn(&[u8]) -> io::Result<()>) -> Self {
        Self {
            write,
            under_way: None,
            #[cfg(unix)]
            watch: None,
        }
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush().await?;
        let (write, piece) = (self.write, Bytes::copy_from_slice(bytes));
        self.under_way = Some(spawn_blocking(move || write(&piece)));
        Ok(bytes.len())
    }

    pub(super) async fn flush(&mut self) -> io::Result<()> {
        let Some(writing) = &mut self.under_way else { return Ok(()) };
        let written = writing.await;
        self.under_way = None;
        written.map_err(io::Error::other)?
    }

    /// Waits until a write that is under way fails, or the reader goes. Windows tells of a reader that is gone only by a
    /// failed write: an empty write would look like the end to the reader, and a look at the pipe takes unsafe code.
    pub(super) async fn failed(&mut self) -> io::Error {
        if let Err(cause) = self.flush().await {
            return cause;
        }
        #[cfg(unix)]
        if let Some(watch) = &self.watch {
            watch.gone().await;
            return io::ErrorKind::BrokenPipe.into();
        }
        std::future::pending().await
    }
}
