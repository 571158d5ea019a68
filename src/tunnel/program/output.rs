//! The output of a program: its stdout and stderr, collected and written.

use std::io::{self, IsTerminal};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use ssm_session::Session;
use tokio::time::timeout;

use super::away::Screen;
use crate::diagnostics::shown_on_terminal;
use crate::endpoints::stdio::{Stderr, Stdout};

/// Collected for one write, in bytes: the capacity of a pipe.
const WRITE: usize = 64 << 10;

/// Both streams.
pub(super) struct Output {
    stdout: Stdout,
    stderr: Stderr,
    out: BytesMut,
    err: BytesMut,
    screen: Screen,
    /// Whether what is written on stdout and what is told are seen on a terminal.
    is_seen: bool,
    /// Everything goes to stdout, the exit status too: AWS's own client does so.
    is_merged: bool,
    /// An exit status that is to be written behind the output that has come before it.
    exit_status: Option<i64>,
}

/// How much was written, and to which.
pub(super) enum Written {
    Out(usize),
    Err(usize),
}

impl Output {
    /// With `is_merged` everything goes to stdout.
    pub(super) fn open(is_merged: bool) -> Self {
        let (out, err, screen) = Default::default();
        let is_seen = io::stdout().is_terminal() && io::stderr().is_terminal();
        let (stdout, stderr) = (Stdout::open(), Stderr::open());
        Self { stdout, stderr, out, err, screen, is_seen, is_merged, exit_status: None }
    }

    /// Adds lines to stdout. A terminal that `is_raw` makes no line ends of its own.
    pub(super) fn say(&mut self, text: &str, is_raw: bool) {
        let end = if is_raw && io::stdout().is_terminal() { "\r\n" } else { "\n" };
        for line in text.split('\n') {
            self.out.extend_from_slice(line.as_bytes());
            self.out.extend_from_slice(end.as_bytes());
        }
    }

    /// The command's exit status has come.
    pub(super) fn exit_status(&mut self, status: i64) {
        self.exit_status = Some(status).filter(|_| self.is_merged);
    }

    /// Takes what the session has delivered, as far as there is room; whether there was anything.
    pub(super) fn collect(&mut self, session: &mut Session) -> bool {
        let before = self.out.len() + self.err.len();
        while self.out.len() < WRITE
            && let Some(bytes) = session.poll_output()
        {
            self.screen.shows(&bytes);
            self.out.extend_from_slice(&bytes);
        }
        while self.err.len() < WRITE
            && let Some(bytes) = session.poll_stderr()
        {
            if self.is_merged { &mut self.out } else { &mut self.err }.extend_from_slice(&bytes);
        }
        if self.out.len() < WRITE
            && let Some(status) = self.exit_status.take()
        {
            self.out.extend_from_slice(format!("EXIT_CODE: {status}").as_bytes());
        }
        self.out.len() + self.err.len() > before
    }

    pub(super) fn is_empty(&self) -> bool {
        self.out.is_empty() && self.err.is_empty()
    }

    pub(super) fn is_on_alternate_screen(&self) -> bool {
        self.screen.is_alternate()
    }

    /// Writes what there is; with nothing to write, watches for stdout's reader to go, which is an error too. May be dropped
    /// at any time.
    pub(super) async fn write_or_watch(&mut self) -> io::Result<Written> {
        let (stdout, stderr, out, err) = (&mut self.stdout, &mut self.stderr, &self.out, &self.err);
        let write = async {
            match out.is_empty() {
                true => Err(stdout.failed().await),
                false => stdout.write(out).await.map(Written::Out),
            }
        };
        tokio::select! {
            biased;
            written = write => written,
            written = stderr.write(err), if !err.is_empty() => Ok(Written::Err(written)),
        }
    }

    pub(super) fn written(&mut self, written: &Written) {
        match written {
            Written::Out(length) => {
                if self.is_seen {
                    shown_on_terminal(self.out.get(..*length).unwrap_or_default());
                }
                self.out.advance(*length);
            }
            Written::Err(length) => self.err.advance(*length),
        }
    }

    /// Waits, up to `limit`, until what was written has reached its readers.
    ///
    /// # Errors
    /// A write to stdout that was under way has failed.
    pub(super) async fn finish(&mut self, limit: Duration) -> io::Result<()> {
        let flush = async {
            let flushed = self.stdout.flush().await;
            self.stderr.flush().await;
            flushed
        };
        // Whoever reads slower than this has left, or is asked to: there is nobody to tell.
        timeout(limit, flush).await.unwrap_or(Ok(()))
    }
}
