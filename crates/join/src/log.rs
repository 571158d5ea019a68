//! What is worth a line: on stderr, which is systemd's journal, the log file or nothing.

use std::fmt::Arguments;
use std::io::Write;

/// Writes one line. Where nobody reads, it is lost and the work goes on.
pub(crate) fn line(text: Arguments<'_>) {
    let mut stderr = std::io::stderr().lock();
    drop(stderr.write_all(format!("{text}\n").as_bytes()));
}
