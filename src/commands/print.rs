//! Output on stdout of the commands that list, check and show. When ssh has started the program, stdout belongs to SSH.

use tokio::{
    sync::mpsc::{self, Receiver, Sender},
    task::{JoinHandle, spawn_blocking},
};

use crate::{
    diagnostics::Error,
    endpoints::stdio::{is_reader_gone, write_all},
};

/// Texts that may wait for their reader.
const WAITING: usize = 64;

/// Writes all of `text`. May be dropped at any time: a reader that takes nothing holds up nobody but itself.
///
/// # Errors
/// A stdout that cannot be written to; a reader that has seen enough is none.
pub(super) async fn print(text: String) -> Result<(), Error> {
    // Only a panic would keep it from its answer, and it has none.
    let written = spawn_blocking(move || write_all(text.as_bytes())).await.unwrap_or(Ok(()));
    written.or_else(excused)
}

/// A reader that has seen enough is no error.
pub(super) fn excused(cause: std::io::Error) -> Result<(), Error> {
    if is_reader_gone(&cause) { Ok(()) } else { Err(Error::unwritable(&cause)) }
}

/// Takes texts for stdout from a loop that must not wait for their reader. What finds no room is left out.
#[derive(Clone)]
pub(super) struct Texts(Sender<String>);

/// The writing of [`Texts`], on a thread.
pub(super) struct Writing(Option<JoinHandle<Result<(), Error>>>);

impl Texts {
    /// Begins to write them, in their order. Within a tokio runtime only.
    pub(super) fn begin() -> (Self, Writing) {
        let (texts, waiting) = mpsc::channel(WAITING);
        (Self(texts), Writing(Some(spawn_blocking(move || write(waiting)))))
    }

    pub(super) fn add(&self, text: String) {
        if self.0.try_send(text).is_err() {
            tracing::info!("stdout takes nothing: a text is left out");
        }
    }
}

impl Writing {
    /// Waits until all texts are written and no more can come. May be dropped at any time.
    ///
    /// # Errors
    /// A stdout that could not be written to from the beginning.
    pub(super) async fn done(&mut self) -> Result<(), Error> {
        let Some(writing) = &mut self.0 else { return Ok(()) };
        // Only a panic would keep it from its answer, and it has none.
        let written = writing.await.unwrap_or(Ok(()));
        self.0 = None;
        written
    }

    /// Waits for a stdout that could not be written to from the beginning. May be dropped at any time.
    pub(super) async fn failed(&mut self) -> Error {
        match self.done().await {
            Err(error) => error,
            Ok(()) => std::future::pending().await,
        }
    }
}

fn write(mut waiting: Receiver<String>) -> Result<(), Error> {
    if let Some(first) = waiting.blocking_recv() {
        write_all(first.as_bytes()).or_else(excused)?;
    }
    // Whoever has seen the first may leave later: what the texts are about goes on.
    while let Some(text) = waiting.blocking_recv() {
        if let Err(cause) = write_all(text.as_bytes()) {
            tracing::info!(%cause, "stdout is closed");
        }
    }
    Ok(())
}
