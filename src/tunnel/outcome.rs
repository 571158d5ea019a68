//! The settings of a run, and its outcome.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use ssm_aws::Aws;
use ssm_session::{Closed, Service, Session};

use crate::diagnostics::{Error, session as words};
use crate::endpoints::signals::number;

/// The status of a process whose session has ended in order.
pub(super) const ENDED: u8 = 0;

/// The settings of a run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The TCP port on the target, which messages name.
    pub port: u16,
    /// From now to a complete handshake.
    pub connect_timeout: Duration,
    /// How long to try to resume a lost connection; zero for not at all.
    pub resume_timeout: Duration,
    /// Whose service it is, and so what pace it bears.
    pub service: Service,
    /// The program on the far side that the session is joined to; none for ssh.
    pub program: Option<Wanted>,
    /// What is noted of the run for whoever has asked for it.
    pub notes: Rc<Notes>,
}

/// What is noted of a run, besides its result: for a caller who tells it in the words of AWS's own client.
#[derive(Debug, Default)]
pub struct Notes {
    is_up: Cell<bool>,
    end: RefCell<Option<SessionEnd>>,
}

/// How a session has ended on the service.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SessionEnd {
    /// It was closed, with this text of the service or of the agent; mostly with none.
    Closed(String),
    /// It was over when it was to be resumed.
    WhileAway,
}

impl Notes {
    /// Whether the session has begun.
    pub fn is_up(&self) -> bool {
        self.is_up.get()
    }

    /// How the session has ended on the service, if it has.
    pub fn end(&self) -> Option<SessionEnd> {
        self.end.borrow().clone()
    }

    /// Notes that the session has begun.
    pub fn up(&self) {
        self.is_up.set(true);
    }

    pub(super) fn closed(&self, why: &Closed) {
        let end = match why {
            Closed::ByService { output } => SessionEnd::Closed(output.clone()),
            Closed::WhileAway => SessionEnd::WhileAway,
            _ => return,
        };
        self.ended(end);
    }

    /// Notes how the session has ended on the service.
    pub fn ended(&self, end: SessionEnd) {
        self.end.replace(Some(end));
    }
}

impl Settings {
    /// The error of a session that is closed for this reason alone.
    pub(crate) fn closed(&self, why: &Closed, aws: &Aws) -> Error {
        match why {
            Closed::NotConnected(failed) => words::not_connected(self.connect_timeout, failed.as_deref(), aws),
            Closed::NotResumed(failed) => words::not_resumed(self.resume_timeout, failed.as_deref(), aws),
            why => words::closed(why, aws),
        }
    }
}

/// A program on the far side.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Wanted {
    /// A shell, or whatever the document starts.
    Shell,
    /// A command without a terminal, whose exit status becomes ours.
    Command,
    /// A command on a terminal, which has none.
    CommandOnTerminal,
    /// Whatever the session is, carried as AWS's own client carries it.
    AsPlugin {
        /// Whether it is known to be on a terminal, whose size may then be told before the session has begun.
        on_terminal: bool,
        /// Whether it is known to be a shell.
        is_shell: bool,
    },
}

impl Wanted {
    /// Whether it is carried as AWS's own client carries it.
    pub(super) fn is_as_plugin(self) -> bool {
        matches!(self, Self::AsPlugin { .. })
    }

    /// Whether the far side is known to be a terminal, or takes no harm of the size of one, before the session has begun.
    pub(super) fn takes_size_at_once(self) -> bool {
        !matches!(self, Self::Command | Self::AsPlugin { on_terminal: false, .. })
    }
}

/// How the loop ended.
pub(crate) struct Outcome {
    /// Whether the service knows that the session is over.
    pub(crate) over: bool,
    /// What the process ends with.
    pub(crate) result: Result<u8, Error>,
}

/// What a run has come to.
pub enum Ran {
    /// The session is over; the process ends with this status.
    Ended(u8),
    /// The session turned out to be a forward, with an agent of this version. It is up, and somebody has to keep it so.
    Forward(Box<Session>, Option<String>),
}

/// What shells make of a program's end by a signal: 128 and the signal's number.
pub fn status_of_signal(signal: &str) -> u8 {
    128 + match signal {
        "SIGHUP" | "the window's close" | "the log-off" | "the shutdown" => 1,
        "SIGINT" | "Ctrl-C" => 2,
        "SIGQUIT" => 3,
        "SIGPIPE" => 13,
        other => number(other).unwrap_or(15),
    }
}
