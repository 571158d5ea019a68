//! Telling the user: lines on stderr, under the program's name, and in the log.

use std::borrow::Cow;
use std::io::{self, Write};

use super::error::Error;
use super::error_log;
use super::printable::printable;

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
    fn a_text_without_end_is_cut() {
        assert_eq!(shortened(&"é".repeat(MAX_SHOWN_CHARS)), "é".repeat(MAX_SHOWN_CHARS));
        assert_eq!(shortened(&"é".repeat(MAX_SHOWN_CHARS + 1)), "é".repeat(MAX_SHOWN_CHARS) + "…");
    }
}
