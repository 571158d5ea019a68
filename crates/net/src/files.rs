//! Files that the user names: regular ones alone, of bounded size, read on a thread of their own and within a limit.
//!
//! A FIFO that nobody writes to, or a mount whose server is gone, keeps whoever opens it or reads from it for ever. One
//! thread does everything else here, signals included, so it never reads such a file itself.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read},
    path::Path,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

/// How long the files of one setting may take. Those of a disk take milliseconds; a network drive that has to be
/// mounted first, or a disk that has to spin up, takes some seconds.
const LIMIT: Duration = Duration::from_secs(10);

/// Reads a regular file of at most `max` bytes. It blocks: call it within [`in_time`] or [`wait`].
///
/// # Errors
/// What the system says, and files of another kind or size.
pub fn read(path: &Path, max: usize) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let size = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
    let mut bytes = Vec::with_capacity(size.min(max).saturating_add(1));
    // What a file says of its size may change while it is read.
    file.take(u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() > max {
        return Err(io::Error::other(format!("it has more than {} KiB", max >> 10)));
    }
    Ok(bytes)
}

/// The same of a text.
///
/// # Errors
/// Those of [`read`], and what is not UTF-8.
pub fn read_text(path: &Path, max: usize) -> io::Result<String> {
    String::from_utf8(read(path, max)?).map_err(|_| io::Error::other("it is not UTF-8"))
}

/// Runs what reads files on another thread, and waits for it within the limit. What is not done by then goes on, and
/// ends with the process.
///
/// # Errors
/// If it takes too long, or if there is no thread to be had.
pub async fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    in_time_of(LIMIT, work).await
}

async fn in_time_of<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    match tokio::time::timeout(limit, tokio::task::spawn_blocking(work)).await {
        Ok(done) => done.map_err(io::Error::other),
        Err(_) => Err(late(limit)),
    }
}

/// The same before there is a runtime: blocks for as long as the limit at most.
///
/// # Errors
/// Those of [`in_time`].
pub fn wait<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    wait_for(LIMIT, work)
}

fn wait_for<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let (done, answer) = mpsc::sync_channel(1);
    // Whoever waits may have given up.
    thread::Builder::new().name("files".to_owned()).spawn(move || drop(done.send(work())))?;
    answer.recv_timeout(limit).map_err(|error| match error {
        RecvTimeoutError::Timeout => late(limit),
        RecvTimeoutError::Disconnected => io::Error::other("reading it failed"),
    })
}

fn late(limit: Duration) -> io::Error {
    io::Error::other(format!("it is not read within {} s", limit.as_secs()))
}

/// Opens a file for reading, without waiting for whoever is to write into it, and without taking a terminal.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, flags.bits().cast_signed());
    }
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::Folder;

    #[test]
    fn a_file_is_read_up_to_its_limit() {
        let folder = Folder::new();
        let path = folder.write("file", "eight by");
        assert_eq!(read(&path, 8).unwrap(), b"eight by");
        assert_eq!(read_text(&path, 9).unwrap(), "eight by");
        let large = folder.write("large", &"x".repeat(2049));
        assert_eq!(read(&large, 2048).unwrap_err().to_string(), "it has more than 2 KiB");
        std::fs::write(&path, b"\xff").unwrap();
        assert_eq!(read_text(&path, 8).unwrap_err().to_string(), "it is not UTF-8");
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_regular_file_is_refused_at_once() {
        let folder = Folder::new();
        let fifo = folder.path("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        for path in [&fifo, fifo.parent().unwrap(), Path::new("/dev/null"), Path::new("/dev/zero")] {
            assert_eq!(read(path, 8).unwrap_err().to_string(), "it is no regular file", "{}", path.display());
        }
    }

    /// Work that is done when the sender is gone, as a read is from a mount whose server comes back.
    fn stuck() -> (mpsc::Sender<()>, impl FnOnce() -> bool + Send + 'static) {
        let (server, answer) = mpsc::channel();
        (server, move || answer.recv().is_ok())
    }

    #[tokio::test]
    async fn what_is_stuck_is_left_behind() {
        let limit = Duration::from_millis(10);
        let (server, work) = stuck();
        assert_eq!(in_time_of(limit, work).await.unwrap_err().to_string(), "it is not read within 0 s");
        drop(server);
        let (server, work) = stuck();
        assert_eq!(wait_for(limit, work).unwrap_err().to_string(), "it is not read within 0 s");
        drop(server);
        assert_eq!((in_time(|| 1).await.unwrap(), wait(|| 2).unwrap()), (1, 2));
    }
}
