//! One at a time, across processes: a file whose lock the operating system takes back when its holder ends.

use std::{
    fs::{File, OpenOptions, TryLockError},
    path::Path,
    time::{Duration, Instant},
};

/// How long to wait for another process. It may be asking a person for an MFA code, who has to find the device first;
/// afterwards there must be time left to do without it.
const WAIT: Duration = Duration::from_secs(120);
/// How often to try. A person does not notice it, and it costs some microseconds.
const TRY_EVERY: Duration = Duration::from_millis(20);

/// A lock that is held until this is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Waits until nobody else holds the lock; `None` if that takes too long, or if `path` cannot be locked: then it is
    /// better to go on than to fail.
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
