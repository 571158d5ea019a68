//! The notice of a lost connection, for a person at a terminal.
//!
//! In a shell that is a line of its own. A program that has taken the whole screen (`vim`, `less`) would be disturbed by
//! lines that scroll: there it is shown in the topmost line, and the cursor stays where it is.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use crate::diagnostics::tell;
use crate::endpoints::window_size::WindowSize;

/// For how long a connection may be away without a word: the service closes one now and then, and another is there within
/// a second.
const QUIET: Duration = Duration::from_secs(2);
const LOST: &str = "connection lost, resuming it; typing is kept; ~. ends the session";
/// The columns of a terminal that does not know its own.
const COLUMNS: usize = 80;
const BACK: &str = "the connection is back";

/// Whether the connection is away, and whether that has been told.
#[derive(Debug, Default)]
pub(super) struct Away {
    since: Option<Instant>,
    told: bool,
}

impl Away {
    pub(super) fn begin(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// When it is to be told.
    pub(super) fn notice_at(&self) -> Option<Instant> {
        self.since.filter(|_| !self.told).map(|since| since + QUIET)
    }

    /// Tells it, where somebody looks.
    pub(super) fn tell(&mut self, is_raw: bool, is_alternate: bool) {
        self.told = true;
        show(LOST, is_raw, is_alternate);
    }

    /// It has been told already, with its cause.
    pub(super) fn was_told(&mut self) {
        self.told = true;
    }

    /// The connection is back.
    pub(super) fn over(&mut self, is_raw: bool, is_alternate: bool) {
        self.since = None;
        if std::mem::take(&mut self.told) {
            show(BACK, is_raw, is_alternate);
        }
    }
}

fn show(text: &str, is_raw: bool, is_alternate: bool) {
    if !is_raw {
        tracing::info!("{text}");
    } else if is_alternate {
        // Saves the cursor, writes in reverse over the first line and no other, and puts the cursor back (VT100).
        let columns = WindowSize::now().map_or(COLUMNS, |size| size.columns.into());
        let line: String = format!(" ssm-proxy: {text} ").chars().take(columns).collect();
        let _ = write!(io::stderr().lock(), "\x1b7\x1b[1;1H\x1b[2K\x1b[7m{line}\x1b[0m\x1b8");
    } else {
        tell(text);
    }
}

/// Which of its two screens a terminal shows: programs that take all of it use the other one.
#[derive(Debug, Default)]
pub(super) struct Screen {
    is_alternate: bool,
    /// The end of what was shown, in case a sequence goes on.
    tail: Vec<u8>,
}

/// The sequences that change screens (xterm), without their last byte.
const CHANGES: [&[u8]; 3] = [b"\x1b[?1049", b"\x1b[?1047", b"\x1b[?47"];
/// The length of the longest of them, in bytes.
const LONGEST: usize = 8;

impl Screen {
    /// Looks at output that is to be shown.
    pub(super) fn shows(&mut self, output: &[u8]) {
        if self.tail.is_empty() && !output.contains(&0x1b) {
            return;
        }
        let mut seen = std::mem::take(&mut self.tail);
        seen.extend_from_slice(output);
        for at in seen.iter().enumerate().filter(|(_, byte)| **byte == 0x1b).map(|(at, _)| at) {
            let sequence = seen.get(at..).unwrap_or_default();
            let last = CHANGES.iter().find_map(|change| sequence.strip_prefix(*change)?.first());
            match last {
                Some(b'h') => self.is_alternate = true,
                Some(b'l') => self.is_alternate = false,
                _ => {}
            }
        }
        let from = seen.len().saturating_sub(LONGEST - 1);
        let tail = seen.get(from..).unwrap_or_default();
        let escape = tail.iter().position(|byte| *byte == 0x1b);
        self.tail = escape.and_then(|at| tail.get(at..)).unwrap_or_default().to_vec();
    }

    pub(super) fn is_alternate(&self) -> bool {
        self.is_alternate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_screen_is_known_wherever_output_is_cut() {
        let output = b"$ vim\r\n\x1b[?1049h\x1b[22;0;0t~\x1b[?1h\x1b[?1049l$ less \x1b[?47h";
        for cut in 0..output.len() {
            let mut screen = Screen::default();
            let mut states = vec![false];
            for part in [&output[..cut], &output[cut..]] {
                for byte in part.chunks(1) {
                    screen.shows(byte);
                    if states.last() != Some(&screen.is_alternate()) {
                        states.push(screen.is_alternate());
                    }
                }
            }
            assert_eq!(states, [false, true, false, true]);
            let mut whole = Screen::default();
            whole.shows(&output[..cut]);
            whole.shows(&output[cut..]);
            assert!(whole.is_alternate(), "cut at {cut}");
        }
    }

    #[test]
    fn only_what_lasts_is_told_and_once() {
        let mut away = Away::default();
        let now = Instant::now();
        away.begin(now);
        away.begin(now + QUIET);
        assert_eq!(away.notice_at(), Some(now + QUIET));
        away.tell(false, false);
        assert_eq!(away.notice_at(), None);
        away.over(false, false);
        away.begin(now);
        assert_eq!(away.notice_at(), Some(now + QUIET));
    }
}
