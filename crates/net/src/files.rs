//! Files: those that the user names are read within limits, and private ones are written for their owner alone.
//!
//! A FIFO that nobody writes to, or a mount whose server is gone, keeps whoever opens it or reads from it for ever. One
//! thread does everything else, signals included, so that files are read on another: regular ones alone, of bounded size.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    path::Path,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use tempfile::NamedTempFile;

/// The time limit for the files of one setting. Files on a disk take milliseconds; a network drive that has to be
/// mounted first, or a disk that has to spin up, takes some seconds.
const LIMIT: Duration = Duration::from_secs(10);

/// Reads a regular file of at most `max` bytes. Blocks: call it within [`in_time`] or [`wait`].
///
/// # Errors
/// Those of the system; a file that is not regular, or is larger.
pub fn read(path: &Path, max: usize) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let size = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
    let mut bytes = Vec::with_capacity(size.min(max).saturating_add(1));
    // The size may change while the file is read.
    file.take(u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() > max {
        return Err(io::Error::other(format!("it has more than {} KiB", max >> 10)));
    }
    Ok(bytes)
}

/// Reads a regular text file of at most `max` bytes. Blocks, as [`read`] does.
///
/// # Errors
/// Those of [`read`]; a text that is not UTF-8.
pub fn read_text(path: &Path, max: usize) -> io::Result<String> {
    String::from_utf8(read(path, max)?).map_err(|_| io::Error::other("it is not UTF-8"))
}

/// Runs `work`, which reads files, on another thread, and waits up to 10 s for its end. Work that takes longer is left
/// behind, and ends with the process at the latest.
///
/// # Errors
/// If the work takes too long, or if no thread can be started.
pub async fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    in_time_of(LIMIT, work).await
}

async fn in_time_of<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    match tokio::time::timeout(limit, tokio::task::spawn_blocking(work)).await {
        Ok(done) => done.map_err(io::Error::other),
        Err(_) => Err(late(limit)),
    }
}

/// Does as [`in_time`] does, but needs no runtime: it blocks for up to 10 s.
///
/// # Errors
/// Those of [`in_time`].
pub fn wait<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    wait_for(LIMIT, work)
}

fn wait_for<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let (done, answer) = mpsc::sync_channel(1);
    // The receiver is gone if the time was up.
    thread::Builder::new().name("files".to_owned()).spawn(move || drop(done.send(work())))?;
    answer.recv_timeout(limit).map_err(|error| match error {
        RecvTimeoutError::Timeout => late(limit),
        RecvTimeoutError::Disconnected => io::Error::other("reading it failed"),
    })
}

/// Makes a folder and those that it is in, as far as they are missing, for their owner alone (0700).
///
/// # Errors
/// Those of `mkdir(2)`.
pub fn create_private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Writes a file in one step, for its owner alone (0600): a reader sees the old content or the new. The folder is made if
/// it is missing, as by [`create_private_folder`].
///
/// # Errors
/// Those of making the folder, of writing, and of `rename(2)`.
pub fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    create_private_folder(folder)?;
    let mut unfinished = NamedTempFile::new_in(folder)?;
    unfinished.write_all(content)?;
    unfinished.persist(path)?;
    Ok(())
}

fn late(limit: Duration) -> io::Error {
    io::Error::other(format!("it is not read within {} s", limit.as_secs()))
}

/// Opens a file for reading. A FIFO is opened without waiting for a writer, and a terminal does not become ours.
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

    #[cfg(unix)]
    #[test]
    fn a_private_file_and_its_folder_are_their_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = Folder::new();
        let path = folder.path("a").join("b").join("file");
        for content in [b"one".as_slice(), b"another"] {
            write_private(&path, content).unwrap();
            assert_eq!(read(&path, 8).unwrap(), content);
        }
        for (path, expected) in [(&*path, 0o600), (path.parent().unwrap(), 0o700), (&folder.path("a"), 0o700)] {
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, expected, "{}", path.display());
        }
        assert_eq!(path.parent().unwrap().read_dir().unwrap().count(), 1, "nothing else is left behind");
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
