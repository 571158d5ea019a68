//! A lock across processes: a locked file. The operating system unlocks it when its holder ends.

use std::{
    fs::{File, OpenOptions, TryLockError},
    path::Path,
    time::{Duration, Instant},
};

/// How long to wait for the holder, which may be asking a person for an MFA code. It is shorter than the time limit of
/// the whole search, so that the search can go on without the lock.
const WAIT: Duration = Duration::from_secs(120);
/// The pause between two tries: too short to be noticed by a person. A try costs some microseconds.
const TRY_EVERY: Duration = Duration::from_millis(20);

/// The lock, held until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Waits for the lock of the file `path`. `None` if that takes too long, or if the file cannot be locked: the
    /// caller goes on without the lock.
    pub(super) async fn wait(path: &Path) -> Option<Self> {
        let file = open(path).ok()?;
        let deadline = Instant::now() + WAIT;
        loop {
            match file.try_lock() {
                Ok(()) => return Some(Self { _file: file }),
                Err(TryLockError::Error(_)) => return None,
                Err(TryLockError::WouldBlock) if Instant::now() >= deadline => return None,
                Err(TryLockError::WouldBlock) => tokio::time::sleep(TRY_EVERY).await,
            }
        }
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
