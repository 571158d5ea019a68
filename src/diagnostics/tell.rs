//! Telling the user: lines on stderr, under the program's name, and in the log.

use std::borrow::Cow;
use std::io::Write;

use super::error::Error;

/// The target of the log events that repeat what the user was told: for logs that are not on stderr as well.
pub const TOLD: &str = "ssm_proxy::told";

/// The longest text that is shown, in characters: a screen full. What a service or an agent has to say is shorter, and
/// one that says more is not to push away what the user was doing.
const MAX_SHOWN_CHARS: usize = 4000;

/// Writes text for the user to stderr, each line under the program's name. Control characters, which would let a
/// service or an agent play with the terminal, are shown as such.
pub fn tell(text: &str) {
    let mut stderr = std::io::stderr().lock();
    for line in shortened(text).lines().filter(|line| !line.trim().is_empty()) {
        // Without a stderr there is nobody to tell.
        let _ = writeln!(stderr, "ssm-proxy: {}", printable(line));
        tracing::info!(target: TOLD, "{}", printable(line));
    }
}

/// Reports the failure that ends the process: one line that says what failed, with the host, and one with what to do.
pub fn tell_failure(host: &str, error: &Error) {
    let [message, hint] = [&error.message, &error.hint].map(|text| printable(&shortened(text)));
    tracing::error!(target: TOLD, status = error.status as u8, "{message}; hint: {hint}");
    // Without a stderr there is nobody to tell.
    let _ = writeln!(std::io::stderr().lock(), "ssm-proxy: {}: {message}\n  hint: {hint}", printable(host));
}

/// `text` with what changes a line without being seen in it replaced by U+FFFD: control characters, line ends included,
/// and those that make a terminal show a text in another order than it has.
pub fn printable(text: &str) -> String {
    let is_shown = |c: char| c == '\t' || !(c.is_control() || is_reordering(c));
    text.chars().map(|c| if is_shown(c) { c } else { char::REPLACEMENT_CHARACTER }).collect()
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
