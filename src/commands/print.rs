//! Output on stdout of the commands that list, check and show. When ssh has started the program, stdout belongs to SSH.

use crate::{
    diagnostics::Error,
    endpoints::stdio::{is_reader_gone, write_all},
};

/// Writes all of `text`. May be dropped at any time: a reader that takes nothing holds up nobody but itself.
///
/// # Errors
/// A stdout that cannot be written to; a reader that has seen enough is none.
pub(super) async fn print(text: String) -> Result<(), Error> {
    // Only a panic would keep it from its answer, and it has none.
    let written = tokio::task::spawn_blocking(move || write_all(text.as_bytes())).await.unwrap_or(Ok(()));
    written.or_else(excused)
}

/// A reader that has seen enough is no error.
pub(super) fn excused(cause: std::io::Error) -> Result<(), Error> {
    if is_reader_gone(&cause) { Ok(()) } else { Err(Error::unwritable(&cause)) }
}
