//! Files, terminals, and every descriptor of systems without readiness: a thread that blocks in its stead.

use std::io::{self, Read};
use std::thread;

use super::output;
#[cfg(unix)]
use super::watch::Watch;
use bytes::{Buf, Bytes};
use tokio::sync::mpsc::{self, Receiver, Sender};

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

/// A thread that writes fd 1, one piece at a time.
pub(super) struct Writer {
    pieces: Sender<Bytes>,
    written: Receiver<io::Result<()>>,
    under_way: bool,
    #[cfg(unix)]
    watch: Option<Watch>,
}

impl Writer {
    pub(super) fn start() -> Self {
        let (pieces, work) = mpsc::channel(1);
        let (results, written) = mpsc::channel(1);
        thread::spawn(move || write_all(work, &results));
        Self {
            pieces,
            written,
            under_way: false,
            #[cfg(unix)]
            watch: Watch::start(),
        }
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush().await?;
        let permit = self.pieces.reserve().await.map_err(|_| io::ErrorKind::BrokenPipe)?;
        permit.send(Bytes::copy_from_slice(bytes));
        self.under_way = true;
        Ok(bytes.len())
    }

    pub(super) async fn flush(&mut self) -> io::Result<()> {
        if self.under_way {
            let result = self.written.recv().await.unwrap_or(Err(io::ErrorKind::BrokenPipe.into()));
            self.under_way = false;
            result?;
        }
        Ok(())
    }

    /// A write that is under way may fail, and the reader may go. Windows says so to those alone who write: an empty
    /// write would look like the end to whoever reads, and a look at the pipe takes unsafe code.
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

fn write_all(mut pieces: Receiver<Bytes>, results: &Sender<io::Result<()>>) {
    while let Some(piece) = pieces.blocking_recv() {
        let result = output::write_all(&piece);
        if result.is_err() | results.blocking_send(result).is_err() {
            return;
        }
    }
}
