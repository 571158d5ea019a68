//! Blocking output on fd 1 and fd 2, for the commands that print and for the threads that write to a file or terminal.

use std::io::{self, Write};

/// Writes all of `bytes` to fd 1, however long that takes, also where another process has made fd 1 non-blocking. It goes past
/// the standard library's handle, which drops everything without an error if fd 1 is not open for writing.
///
/// # Errors
/// Those of `write(2)`.
#[cfg(unix)]
pub fn write_all(bytes: &[u8]) -> io::Result<()> {
    write_to(&io::stdout(), bytes)
}

/// The same for fd 2.
///
/// # Errors
/// Those of `write(2)`.
#[cfg(unix)]
pub(super) fn write_all_to_stderr(bytes: &[u8]) -> io::Result<()> {
    write_to(&io::stderr(), bytes)
}

#[cfg(unix)]
fn write_to(fd: &impl std::os::fd::AsFd, mut bytes: &[u8]) -> io::Result<()> {
    use rustix::event::{PollFd, PollFlags, poll};

    let mut file = std::fs::File::from(fd.as_fd().try_clone_to_owned()?);
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(length) => bytes = bytes.get(length..).unwrap_or_default(),
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => {
                // Whatever comes of it, the next write tells.
                let _ = poll(&mut [PollFd::new(&file, PollFlags::OUT)], None);
            }
            Err(cause) => return Err(cause),
        }
    }
    Ok(())
}

/// Writes all of `bytes` to standard output, however long that takes. It uses the standard library's handle, since a
/// console takes characters and not bytes.
///
/// # Errors
/// Those of `WriteFile`.
#[cfg(windows)]
pub fn write_all(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

/// The same for standard error.
///
/// # Errors
/// Those of `WriteFile`.
#[cfg(windows)]
pub(super) fn write_all_to_stderr(bytes: &[u8]) -> io::Result<()> {
    io::stderr().lock().write_all(bytes)
}
