//! The terminal: a question to the person at the controlling terminal, whose answer is not shown.
//!
//! Stdin and stdout are left alone: they belong to SSH. It must not know what is asked.

use std::io;

use zeroize::Zeroizing;

/// The longest answer, in bytes: a terminal's own limit for a line is of this order.
#[cfg(unix)]
const MAX_ANSWER: usize = 4096;

/// Shows `question` and waits for a line, which is not shown. Dropping the future puts the terminal back as it was;
/// the process should end soon after that, since a line that is typed later may still be read.
///
/// # Errors
/// If there is no terminal, or if it belongs to another program just now.
pub async fn ask_hidden(question: &str) -> io::Result<Zeroizing<String>> {
    // Whoever waits for signals beside this has a turn first: one that kills would leave the terminal without echo.
    tokio::task::yield_now().await;
    imp::ask_hidden(question).await
}

#[cfg(unix)]
mod imp {
    use std::{
        fs::{File, OpenOptions},
        io::{self, Read, Write},
        sync::Arc,
    };

    use nix::{
        sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr},
        unistd::{getpgrp, tcgetpgrp},
    };
    use zeroize::Zeroizing;

    use super::MAX_ANSWER;

    pub(super) async fn ask_hidden(question: &str) -> io::Result<Zeroizing<String>> {
        let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty");
        let terminal = Arc::new(terminal.map_err(|_| io::Error::other("there is no terminal"))?);
        if !is_foreground(&terminal) {
            // Reading would stop this process, and ssh with it.
            return Err(io::Error::other("another program has the terminal"));
        }
        let _hidden = Hidden::hide(&terminal)?;
        (&*terminal).write_all(question.as_bytes())?;
        let reader = Arc::clone(&terminal);
        // A thread, since not every system can wait for a terminal in another way. It ends with the process.
        tokio::task::spawn_blocking(move || read_line(&reader)).await.map_err(io::Error::other)?
    }

    /// Whether the terminal's keys are meant for us.
    fn is_foreground(terminal: &File) -> bool {
        tcgetpgrp(terminal).is_ok_and(|foreground| foreground == getpgrp())
    }

    fn read_line(mut terminal: &File) -> io::Result<Zeroizing<String>> {
        let mut line = Zeroizing::new(Vec::with_capacity(MAX_ANSWER));
        let mut byte = [0];
        while line.len() < MAX_ANSWER && terminal.read(&mut byte)? == 1 && byte != *b"\n" {
            line.extend_from_slice(&byte);
        }
        Ok(Zeroizing::new(String::from_utf8_lossy(&line).into_owned()))
    }

    /// A terminal that shows nothing of what is typed but the end of the line, until this is dropped.
    struct Hidden {
        terminal: Arc<File>,
        before: Termios,
    }

    impl Hidden {
        fn hide(terminal: &Arc<File>) -> io::Result<Self> {
            let before = tcgetattr(terminal)?;
            let mut hidden = before.clone();
            hidden.local_flags.remove(LocalFlags::ECHO);
            hidden.local_flags.insert(LocalFlags::ECHONL);
            // What was typed before the question is no answer to it.
            tcsetattr(terminal, SetArg::TCSAFLUSH, &hidden)?;
            Ok(Self { terminal: Arc::clone(terminal), before })
        }
    }

    impl Drop for Hidden {
        fn drop(&mut self) {
            // A shell that has taken the terminal back has put it in order itself.
            if is_foreground(&self.terminal) {
                // A terminal that is gone needs no order.
                let _ = tcsetattr(&self.terminal, SetArg::TCSANOW, &self.before);
            }
        }
    }
}

#[cfg(windows)]
mod imp {
    use std::io;

    use zeroize::Zeroizing;

    pub(super) async fn ask_hidden(question: &str) -> io::Result<Zeroizing<String>> {
        let question = question.to_owned();
        let answer = tokio::task::spawn_blocking(move || rpassword::prompt_password(question)).await;
        Ok(Zeroizing::new(answer.map_err(io::Error::other)??))
    }
}
