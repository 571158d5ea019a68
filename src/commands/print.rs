//! To write on stdout, for the commands that no ProxyCommand is: it belongs to SSH otherwise.

use std::io::{self, Write};

use crate::diagnostics::{Error, ExitStatus};

/// Writes all of `text`.
///
/// # Errors
/// A stdout that cannot be written to; a reader that has seen enough is none.
pub(super) fn print(text: &str) -> Result<(), Error> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(cause) if cause.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::new(ExitStatus::Broken, format!("cannot write: {cause}"), "check where stdout goes"))
        }
        _ => Ok(()),
    }
}
