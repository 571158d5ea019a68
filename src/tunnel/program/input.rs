//! The input of a program: keys of a terminal in raw mode, or the bytes of a pipe and their end.

use std::future::pending;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use ssm_session::{Kind, Session};

use crate::diagnostics::set_raw_terminal;
use crate::endpoints::escapes::{Escapes, Typed};
use crate::endpoints::job_control::JobSignals;
use crate::endpoints::raw_mode::RawMode;
use crate::endpoints::stdio::Stdin;

/// Bytes that may wait to be sent while more are read, so that an escape is seen behind them.
const WAITING: usize = 64 << 10;
/// Bytes read at once.
const READ: usize = 4 << 10;
/// The character by which a terminal ends its input at the beginning of a line (EOT).
const END_OF_TRANSMISSION: u8 = 0x04;
/// How long a shell has to be quiet after output until it is told the end of its input again, at the least.
const QUIET: Duration = Duration::from_millis(300);
/// The same as a part of the time since that end: each time counts as input, and the service's idle limit has to hold for
/// a command that writes something now and then for ever.
const QUIET_SHARE: u32 = 20;
/// The list that `~?` shows.
pub(super) const ESCAPES: &str = "\
escapes, after a newline:
  ~.   end the session
  ~#   show what the session has carried
  ~^Z  stop ssm-proxy; fg goes on
  ~~   send one ~
  ~?   this list";
/// The same for the plugin, which nobody could let go on.
pub(super) const ESCAPES_OF_PLUGIN: &str = "\
escapes, after a newline:
  ~.   end the session
  ~#   show what the session has carried
  ~~   send one ~
  ~?   this list";

/// Where stdin's bytes come from and what their end means.
#[derive(Default)]
pub(super) struct Input {
    stdin: Option<Stdin>,
    buffer: Vec<u8>,
    raw: Option<RawMode>,
    escapes: Option<Escapes>,
    /// Bytes that wait to be sent.
    waiting: BytesMut,
    /// The byte that was read last.
    last: Option<u8>,
    /// The kind of the session, once that is known.
    kind: Option<Kind>,
    /// The program is a shell, as far as it is known.
    is_shell: bool,
    /// A port's bytes have ended: the terminate flag is to follow.
    finishing: bool,
    /// When a shell's input has ended.
    ended: Option<Instant>,
    /// When the latest output came that a shell has written since it was last told of the end.
    output: Option<Instant>,
}

impl Input {
    /// Begins to read what a session of this kind can use: nothing for a command without a terminal, which has no stdin.
    pub(super) fn open(&mut self, kind: Kind, is_shell: bool) -> io::Result<()> {
        self.kind = Some(kind);
        self.is_shell = is_shell;
        if kind == Kind::Command {
            if !io::stdin().is_terminal() {
                tracing::info!("stdin is not passed on: the command has none on the far side");
            }
            return Ok(());
        }
        if kind == Kind::Terminal && io::stdin().is_terminal() {
            self.raw = Some(RawMode::enter()?);
            set_raw_terminal(true);
            self.escapes = Some(Escapes::default());
        }
        self.stdin = Some(Stdin::open(false));
        self.buffer = vec![0; READ];
        Ok(())
    }

    pub(super) fn is_raw(&self) -> bool {
        self.raw.is_some()
    }

    /// Waits for more to be typed. May be dropped at any time without loss.
    ///
    /// # Errors
    /// A terminal that is gone, or cannot be read.
    pub(super) async fn read(&mut self) -> io::Result<Vec<Typed>> {
        let Some(stdin) = self.stdin.as_mut().filter(|_| self.waiting.len() < WAITING) else { return pending().await };
        let length = stdin.read(&mut self.buffer).await;
        let read = match (length, &self.escapes) {
            (Ok(0), Some(_)) => return Err(io::ErrorKind::UnexpectedEof.into()),
            (Ok(0), None) => return Ok(self.end()),
            (Err(cause), Some(_)) => return Err(cause),
            (Err(cause), None) => {
                tracing::info!(%cause, "stdin cannot be read");
                return Ok(self.end());
            }
            (Ok(length), _) => self.buffer.get(..length).unwrap_or_default(),
        };
        self.last = read.last().copied();
        Ok(match &mut self.escapes {
            Some(escapes) => escapes.typed(read),
            None => vec![Typed::Bytes(read.to_vec())],
        })
    }

    /// Stdin has ended. A program on a terminal is told as a terminal tells it, and twice: within a line the first passes on
    /// the line, and in a shell it may be for a command that the last lines were for, `cat >FILE` for example. For a shell the
    /// last line is ended first, since those that edit lines take it for the end at the beginning of a line alone.
    fn end(&mut self) -> Vec<Typed> {
        self.stdin = None;
        if self.kind == Some(Kind::Port) {
            self.finishing = true;
            return Vec::new();
        }
        let is_within_line = self.last.is_some_and(|last| last != b'\n' && last != b'\r');
        let mut end = vec![END_OF_TRANSMISSION; 2];
        if is_within_line && self.is_shell {
            end.insert(0, b'\n');
        }
        self.ended = self.is_shell.then(Instant::now);
        vec![Typed::Bytes(end)]
    }

    /// The far side has written something.
    pub(super) fn output_came(&mut self, now: Instant) {
        if self.ended.is_some() {
            self.output = Some(now);
        }
    }

    /// Tells a shell the end of its input again, once it has written something and is quiet since; says when that is to be
    /// looked at. One that edits lines, such as bash, takes what comes while a command runs from a terminal in another mode,
    /// in which the end is none: it reads a NUL later, and waits at its prompt.
    pub(super) fn remind(&mut self, now: Instant) -> Option<Instant> {
        let (ended, output) = (self.ended?, self.output?);
        let due = output + QUIET.max(output.saturating_duration_since(ended) / QUIET_SHARE);
        // What was typed is on its way before it.
        if now < due || !self.waiting.is_empty() {
            return Some(due).filter(|due| now < *due);
        }
        self.output = None;
        self.push(&[END_OF_TRANSMISSION]);
        None
    }

    /// Takes bytes to be sent.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
    }

    /// Hands over as many bytes as the session takes.
    pub(super) fn send(&mut self, now: Instant, session: &mut Session) {
        if !self.waiting.is_empty() {
            let room = session.send_capacity(now).min(self.waiting.len());
            let sent = session.send(now, self.waiting.get(..room).unwrap_or_default());
            self.waiting.advance(sent);
        }
        if self.finishing && self.waiting.is_empty() {
            session.finish();
        }
    }

    /// The program goes on after a stop: another may have changed the terminal meanwhile.
    pub(super) fn resume(&mut self) {
        if let Some(raw) = &mut self.raw
            && let Err(cause) = raw.resume()
        {
            tracing::info!(%cause, "the terminal cannot be made raw again");
        }
    }

    /// Stops this program until a shell lets it go on.
    pub(super) async fn stop(&mut self, jobs: &mut JobSignals) -> io::Result<()> {
        set_raw_terminal(false);
        let stopped = jobs.stop(self.raw.as_mut()).await;
        set_raw_terminal(self.is_raw());
        stopped
    }

    /// Puts the terminal back as it was.
    pub(super) fn close(&mut self) {
        self.raw = None;
        set_raw_terminal(false);
    }
}
