//! What a user can be told: one line that says what failed, one that says what to do next, and an exit status.
//!
//! Every failure of the product ends as one of these; nothing but `main` prints them.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::error_log;

/// How the process ends, in the terms of BSD's `sysexits.h`. The README lists the same table.
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
    /// Whether nothing was heard from AWS at all: then it costs nobody but us to try again soon.
    pub unheard: bool,
}

impl Error {
    /// An error with its exit status, what failed, and what to do next.
    pub fn new(status: ExitStatus, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { status, message: message.into(), hint: hint.into(), unheard: false }
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

    /// The same, of a failure in which nothing was heard from AWS.
    #[must_use]
    pub fn unheard(self) -> Self {
        Self { unheard: true, ..self }
    }
}

/// An error and each that caused it. An `io::Error`'s own source passes over the error it carries: that one too.
pub(crate) fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(carried) => Some(carried as &(dyn StdError + 'static)),
        None => error.source(),
    })
}

/// The target of the log events that repeat what the user was told: for logs that are not on stderr as well.
pub const TOLD: &str = "ssm_proxy::told";

/// The longest text that is shown, in characters: a screen full. What a service or an agent has to say is shorter, and
/// one that says more is not to push away what the user was doing.
const MAX_SHOWN_CHARS: usize = 4000;

/// Writes text for the user to stderr, each line under the program's name. Control characters, which would let a
/// service or an agent play with the terminal, are shown as such.
pub fn tell(text: &str) {
    for line in shortened(text).lines().filter(|line| !line.trim().is_empty()) {
        say(&format!("ssm-proxy: {}", printable(line)));
        tracing::info!(target: TOLD, "{}", printable(line));
    }
}

/// Reports the failure that ends the process: one line that says what failed, with the host, and one with what to do.
pub fn tell_failure(host: &str, error: &Error) {
    let [message, hint] = [&error.message, &error.hint].map(|text| printable(&shortened(text)));
    tracing::error!(target: TOLD, status = error.status as u8, "{message}; hint: {hint}");
    say(&format!("ssm-proxy: {}: {message}\n  hint: {hint}", printable(host)));
}

/// Writes lines to stderr, and keeps them where nobody can see that.
fn say(lines: &str) {
    // Without a stderr there is nobody to tell.
    let _ = writeln!(io::stderr().lock(), "{lines}");
    error_log::keep(lines);
}

/// `text` with what changes a line without being seen in it replaced by U+FFFD: control characters, line ends included,
/// and those that make a terminal show a text in another order than it has.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if is_shown(c) { c } else { char::REPLACEMENT_CHARACTER }).collect()
}

/// Whether a character is what it is seen as, and changes nothing else of a line.
pub(crate) fn is_shown(c: char) -> bool {
    c == '\t' || !(c.is_control() || is_reordering(c))
}

/// Unicode's line and paragraph separators, and its marks, embeddings, overrides and isolates of direction.
fn is_reordering(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The part of `text` that is shown.
fn shortened(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(MAX_SHOWN_CHARS) {
        Some((end, _)) => Cow::Owned(format!("{}…", text.get(..end).unwrap_or_default())),
        None => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb\u{9b}c\td\n"), "a\u{fffd}[2Jb\u{fffd}c\td\u{fffd}");
    }

    #[test]
    fn a_text_is_shown_in_the_order_that_it_has() {
        assert_eq!(printable("i-1\u{202e}dorp\u{2069} \u{200f}x\u{2028}"), "i-1\u{fffd}dorp\u{fffd} \u{fffd}x\u{fffd}");
        assert_eq!(printable("é שלום 日本"), "é שלום 日本");
    }

    #[test]
    fn a_text_without_end_is_cut() {
        assert_eq!(shortened(&"é".repeat(MAX_SHOWN_CHARS)), "é".repeat(MAX_SHOWN_CHARS));
        assert_eq!(shortened(&"é".repeat(MAX_SHOWN_CHARS + 1)), "é".repeat(MAX_SHOWN_CHARS) + "…");
    }
}
