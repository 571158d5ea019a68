//! The error log: a file for what the user is told while stderr is `/dev/null` and nobody can see it.
//!
//! ssh starts its ProxyCommand so where `ControlPersist` is on, unless it has `-v`: the process outlives the command that it
//! was started for, and is to leave the terminal alone.

#[cfg(unix)]
use std::io;
use std::{io::Write, path::PathBuf, time::SystemTime};

use aws_smithy_types::{DateTime, date_time::Format};

use super::printable::printable;
use crate::state;

/// The file's name, in the state folder.
const NAME: &str = "errors.log";
/// Bytes from which on the file is put aside: some hundred errors. With the one put aside before there are at most two of
/// them, and the last entry.
const FULL: u64 = 64 << 10;

/// Where the file is, if there is a folder for it.
pub fn path() -> Option<PathBuf> {
    Some(state::folder()?.join(NAME))
}

/// Writes `lines` into the file, under the time in UTC and this process's id, if stderr is `/dev/null`.
pub fn keep(lines: &str) {
    if !stderr_is_null() {
        return;
    }
    if let Some(path) = path() {
        // There is nobody to tell that it failed.
        let _ = state::append(&path, FULL).and_then(|mut file| file.write_all(entry(lines).as_bytes()));
    }
}

/// The lines as they can be shown, each with a stamp. Written at once they stay together when several processes write.
fn entry(lines: &str) -> String {
    let now = DateTime::from(SystemTime::now()).fmt(Format::DateTime).unwrap_or_default();
    let stamp = format!("{now} [{}]", std::process::id());
    lines.lines().map(|line| format!("{stamp} {}\n", printable(line))).collect()
}

/// Whether fd 2 is the device of `/dev/null`.
#[cfg(unix)]
fn stderr_is_null() -> bool {
    let (Ok(stderr), Ok(null)) = (rustix::fs::fstat(io::stderr()), rustix::fs::stat("/dev/null")) else { return false };
    rustix::fs::FileType::from_raw_mode(stderr.st_mode).is_char_device() && stderr.st_rdev == null.st_rdev
}

/// OpenSSH for Windows has no `ControlPersist`.
#[cfg(not(unix))]
fn stderr_is_null() -> bool {
    false
}
