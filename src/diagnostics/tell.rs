//! Telling the user: lines on stderr, under the program's name, and in the log.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use super::error::Error;
use super::error_log;
use super::printable::printable;

/// The target of the log events that repeat what the user was told: for logs that are not on stderr as well.
pub const TOLD: &str = "ssm_proxy::told";

/// The longest text that is shown, in characters: a screen full. What a service or an agent has to say is shorter, and
/// one that says more is not to push away what the user was doing.
const MAX_SHOWN_CHARS: usize = 4000;

/// Whether the terminal is in raw mode: there a line's end does not bring the cursor back.
static RAW: AtomicBool = AtomicBool::new(false);

/// Whether the terminal shows the beginning of a line that something else has written: a prompt, or half of a command.
static WITHIN_LINE: AtomicBool = AtomicBool::new(false);

/// Says whether the terminal is in raw mode from now on. A stderr that is none has no mode.
pub fn set_raw_terminal(raw: bool) {
    RAW.store(raw && io::stderr().is_terminal(), Ordering::Relaxed);
}

/// Says what has been written to the terminal that stderr is, too.
pub fn shown_on_terminal(bytes: &[u8]) {
    if let Some(last) = bytes.last() {
        WITHIN_LINE.store(*last != b'\n', Ordering::Relaxed);
    }
}

/// Stderr for lines, as which they appear whatever mode the terminal is in and whatever it shows.
#[derive(Debug)]
pub struct Lines;

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut stderr = io::stderr().lock();
        let is_raw = RAW.load(Ordering::Relaxed);
        if WITHIN_LINE.swap(false, Ordering::Relaxed) {
            stderr.write_all(if is_raw { b"\r\n" } else { b"\n" })?;
        }
        if !is_raw {
            return stderr.write(bytes);
        }
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            stderr.write_all(line.strip_suffix(b"\n").unwrap_or(line))?;
            if line.ends_with(b"\n") {
                stderr.write_all(b"\r\n")?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

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
    let begin = if RAW.load(Ordering::Relaxed) { "\r" } else { "" };
    let _ = Lines.write_all(format!("{begin}{lines}\n").as_bytes());
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
