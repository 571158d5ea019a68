//! An error in the words that a user reads, and the exit status that goes with it.

use std::io;
use std::process::ExitCode;

/// How the process ends, in the terms of BSD's `sysexits.h`. docs/troubleshooting.md has the same table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ExitStatus {
    /// The session ended normally.
    Ended = 0,
    /// The session broke after it had been established.
    Broken = 1,
    /// The command line was wrong (clap's own status).
    Usage = 2,
    /// There is no such target (`EX_NOHOST`).
    NoTarget = 68,
    /// The target is not connected to Session Manager, or its port refuses connections (`EX_UNAVAILABLE`).
    Unavailable = 69,
    /// The network or the service failed in a way that may pass, throttling included (`EX_TEMPFAIL`).
    TryAgain = 75,
    /// Credentials are missing, expired or not permitted to do this (`EX_NOPERM`).
    Denied = 77,
    /// The configuration is incomplete or wrong: no region, no such profile (`EX_CONFIG`).
    Config = 78,
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status as u8)
    }
}

/// A failure in the words a user reads.
///
/// Neither text ever holds a token, a credential or payload bytes.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// The status the process exits with.
    pub status: ExitStatus,
    /// What failed, one line, without the program's name or the host: `main` puts those before it.
    pub message: String,
    /// What to do next, one line, ending where possible with the very command, flag or IAM action.
    pub hint: String,
}

impl Error {
    /// An error with its exit status, what failed, and what to do next.
    pub fn new(status: ExitStatus, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { status, message: message.into(), hint: hint.into() }
    }

    /// A stdout that cannot be written to, for a reason other than a reader that is gone.
    pub fn unwritable(cause: &io::Error) -> Self {
        let hint = "check where stdout goes: the space left there, and whether it is open for writing";
        Self::new(ExitStatus::Broken, format!("stdout cannot be written to: {cause}"), hint)
    }

    /// The same as the reason for `what`.
    #[must_use]
    pub fn after(self, what: &str) -> Self {
        Self { message: format!("{what}: {}", self.message), ..self }
    }
}
