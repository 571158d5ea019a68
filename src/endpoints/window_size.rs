//! The terminal's size in characters (TIOCGWINSZ), and its changes (SIGWINCH).

use std::io;

/// A terminal's size.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct WindowSize {
    /// Characters in a line; never 0.
    pub columns: u16,
    /// Lines; never 0.
    pub rows: u16,
}

impl WindowSize {
    /// The size of the terminal that stdout is, else stdin, else stderr; nothing if none of them is one that knows its
    /// size.
    pub fn now() -> Option<Self> {
        imp::now()
    }

    /// A size without a character is that of a terminal which does not know its own.
    fn of(columns: u16, rows: u16) -> Option<Self> {
        (columns > 0 && rows > 0).then_some(Self { columns, rows })
    }
}

/// The changes of the terminal's size.
pub struct SizeChanges {
    hints: imp::Hints,
    last: Option<WindowSize>,
    look: fn() -> Option<WindowSize>,
}

impl SizeChanges {
    /// Starts to listen for changes of the size that is `known`. Within a tokio runtime only.
    ///
    /// # Errors
    /// If the signal's handler cannot be installed.
    pub fn since(known: Option<WindowSize>) -> io::Result<Self> {
        Ok(Self { hints: imp::Hints::listen()?, last: known, look: WindowSize::now })
    }

    /// Waits until the size is another than the one before. May be dropped at any time.
    pub async fn next(&mut self) -> WindowSize {
        loop {
            self.hints.next().await;
            if let Some(size) = (self.look)().filter(|size| self.last != Some(*size)) {
                self.last = Some(size);
                return size;
            }
        }
    }
}

#[cfg(unix)]
mod imp {
    use std::io;
    use std::os::fd::{AsFd, BorrowedFd};

    use rustix::termios::{Winsize, tcgetwinsize};
    use tokio::signal::unix::{Signal, SignalKind, signal};

    use super::WindowSize;

    pub(super) fn now() -> Option<WindowSize> {
        let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
        [stdout.as_fd(), stdin.as_fd(), stderr.as_fd()].into_iter().find_map(size)
    }

    pub(super) fn size(terminal: BorrowedFd<'_>) -> Option<WindowSize> {
        let Winsize { ws_col, ws_row, .. } = tcgetwinsize(terminal).ok()?;
        WindowSize::of(ws_col, ws_row)
    }

    /// The signals that say that the size may have changed.
    pub(super) struct Hints {
        signal: Signal,
    }

    impl Hints {
        pub(super) fn listen() -> io::Result<Self> {
            Ok(Self { signal: signal(SignalKind::window_change())? })
        }

        pub(super) async fn next(&mut self) {
            if self.signal.recv().await.is_none() {
                std::future::pending().await
            }
        }
    }
}

#[cfg(windows)]
mod imp {
    use std::io;
    use std::time::Duration;

    use tokio::time::{Interval, MissedTickBehavior, interval};
    use winapi_util::{HandleRef, console::screen_buffer_info};

    use super::WindowSize;

    /// How often the size is looked at, since a Windows console sends no signal. AWS's own client looks as often.
    const LOOK: Duration = Duration::from_millis(500);

    pub(super) fn now() -> Option<WindowSize> {
        // Stdin has no size here: it is the buffer of keys, not the screen.
        [HandleRef::stdout(), HandleRef::stderr()].into_iter().find_map(|handle| {
            let window = screen_buffer_info(handle).ok()?.window_rect();
            let length = |from: i16, to: i16| u16::try_from(i32::from(to) - i32::from(from) + 1).ok();
            WindowSize::of(length(window.left, window.right)?, length(window.top, window.bottom)?)
        })
    }

    /// The times at which the size may have changed.
    pub(super) struct Hints {
        ticks: Interval,
    }

    impl Hints {
        #[expect(clippy::unnecessary_wraps, reason = "as where a handler is installed")]
        pub(super) fn listen() -> io::Result<Self> {
            let mut ticks = interval(LOOK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            Ok(Self { ticks })
        }

        pub(super) async fn next(&mut self) {
            self.ticks.tick().await;
        }
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::fd::AsFd;
    use std::sync::atomic::{AtomicU16, Ordering};
    use std::time::Duration;

    use rustix::process::{Signal, getpid, kill_process};
    use rustix::termios::{Winsize, tcsetwinsize};
    use tokio::time::timeout;

    use super::*;
    use crate::endpoints::pseudo_terminal;

    #[test]
    fn a_terminal_that_knows_its_size_has_one() {
        let (_controller, terminal) = pseudo_terminal::open();
        assert_eq!(imp::size(terminal.as_fd()), None, "a new one has no characters");
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&terminal, size).unwrap();
        assert_eq!(imp::size(terminal.as_fd()), Some(WindowSize { columns: 80, rows: 24 }));
        let file = tempfile::tempfile().unwrap();
        assert_eq!(imp::size(file.as_fd()), None);
    }

    #[tokio::test]
    async fn a_change_alone_is_told() {
        static COLUMNS: AtomicU16 = AtomicU16::new(80);
        let look = || WindowSize::of(COLUMNS.load(Ordering::Relaxed), 24);
        let mut changes = SizeChanges { hints: imp::Hints::listen().unwrap(), last: look(), look };
        let hint = || kill_process(getpid(), Signal::WINCH).unwrap();
        hint();
        timeout(Duration::from_millis(100), changes.next()).await.unwrap_err();
        COLUMNS.store(100, Ordering::Relaxed);
        hint();
        assert_eq!(changes.next().await, WindowSize { columns: 100, rows: 24 });
        COLUMNS.store(0, Ordering::Relaxed);
        hint();
        timeout(Duration::from_millis(100), changes.next()).await.unwrap_err();
    }
}
