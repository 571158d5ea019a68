//! Fd 1 for those who may block: the commands that print, and the thread that writes to a file or terminal.

use std::io::{self, Write};

/// Writes all of `bytes` to fd 1, however long that takes. Past the standard library's handle, which takes a descriptor
/// that is not open for writing for one that takes everything; and where another process has made it non-blocking too.
///
/// # Errors
/// Those of `write(2)`.
#[cfg(unix)]
pub fn write_all(mut bytes: &[u8]) -> io::Result<()> {
    use std::os::fd::AsFd;

    use rustix::event::{PollFd, PollFlags, poll};

    let mut stdout = std::fs::File::from(io::stdout().as_fd().try_clone_to_owned()?);
    while !bytes.is_empty() {
        match stdout.write(bytes) {
            Ok(length) => bytes = bytes.get(length..).unwrap_or_default(),
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => {
                // Whatever comes of it, the next write tells.
                let _ = poll(&mut [PollFd::new(&stdout, PollFlags::OUT)], None);
            }
            Err(cause) => return Err(cause),
        }
    }
    Ok(())
}

/// Writes all of `bytes` to standard output, however long that takes. By the standard library's handle, since a console
/// takes characters and not bytes.
///
/// # Errors
/// Those of `WriteFile`.
#[cfg(windows)]
pub fn write_all(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}
