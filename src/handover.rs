//! The handover of a secret from this process to itself: it is executed anew (`execve`), with the secret in a pipe and no more
//! among its arguments and in its environment.
//!
//! Programs that call AWS's client pass it a session's token as an argument, which `ps` shows to everybody, or in the
//! environment, which every process inherits that is started from here. A variable cannot be taken out of the environment of a
//! running process without unsafe code, and the arguments not at all. The process keeps its id, its descriptors and the
//! signals that are ignored.

use std::ffi::OsString;
use std::io;

/// The most that is read of a pipe, in bytes. A session's response has some 1000.
#[cfg(unix)]
const LONGEST: u64 = 1 << 20;

/// Executes this program anew, with the place of `secret` for its first argument and without this variable. Returns where
/// that does not succeed: nothing has changed then.
#[cfg(unix)]
pub fn execute(args: &[OsString], variable: Option<&str>, secret: &str) -> io::Error {
    use std::os::fd::AsRawFd;
    use std::os::unix::process::CommandExt;

    let attempt = || {
        // The reading end is to be inherited, so neither is closed by itself.
        let (reader, writer) = rustix::pipe::pipe()?;
        // What does not fit into an empty pipe would be waited for.
        rustix::fs::fcntl_setfl(&writer, rustix::fs::OFlags::NONBLOCK)?;
        let written = rustix::io::write(&writer, secret.as_bytes())?;
        drop(writer);
        let place = format!("/dev/fd/{}", reader.as_raw_fd());
        // Not every system has such files.
        std::fs::File::open(&place)?;
        let mut args = args.iter();
        let (Some(name), Some(_)) = (args.next(), args.next()) else { return Err(io::ErrorKind::InvalidInput.into()) };
        if written != secret.len() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let mut command = std::process::Command::new(own_path(name)?);
        command.arg0(name).arg(place).args(args);
        if let Some(variable) = variable {
            command.env_remove(variable);
        }
        let failure = command.exec();
        drop(reader);
        Err(failure)
    };
    attempt().map_or_else(|error| error, |never: std::convert::Infallible| match never {})
}

/// This program's file, by the name that it was called by if that still leads to it: `ps` and `pkill` then show and find what
/// was called.
#[cfg(unix)]
fn own_path(name: &std::ffi::OsStr) -> io::Result<std::path::PathBuf> {
    let called = std::path::PathBuf::from(name);
    let candidates = match name.to_str() {
        Some(name) if !name.contains('/') => crate::executable::on_path(name),
        _ => vec![called],
    };
    match candidates.into_iter().next().filter(|path| crate::executable::is_this(path)) {
        Some(path) => Ok(path),
        None => std::env::current_exe(),
    }
}

/// No other system replaces a process.
#[cfg(not(unix))]
pub fn execute(_: &[OsString], _: Option<&str>, _: &str) -> io::Error {
    io::ErrorKind::Unsupported.into()
}

/// The secret that is at this place.
///
/// # Errors
/// If there is none.
#[cfg(unix)]
pub fn receive(place: &str) -> io::Result<String> {
    let mut secret = String::new();
    io::Read::read_to_string(&mut io::Read::take(std::fs::File::open(place)?, LONGEST), &mut secret)?;
    Ok(secret)
}

/// None is handed over.
///
/// # Errors
/// Always.
#[cfg(not(unix))]
pub fn receive(_: &str) -> io::Result<String> {
    Err(io::ErrorKind::Unsupported.into())
}
