//! A program on the far side, a shell or a command, joined to stdin, stdout, stderr and the terminal.
//!
//! One task, one loop, as for a connection to a port; what differs is that a terminal has a size and escapes, that there are
//! two streams of output and an exit status, and that nothing but the program's own end or the API ends the session.

mod away;
mod input;
mod output;
mod result;

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use ssm_aws::Aws;
use ssm_session::{ConnectError, Event, Kind, Session, Size};
use tokio::time::sleep_until;

use super::limits;
use super::outcome::{Outcome, Settings, Wanted, status_of_signal as status};
use super::summary::Summary;
use crate::diagnostics::{Error, session as words, tell};
use crate::endpoints::escapes::Typed;
use crate::endpoints::job_control::{JobSignal, JobSignals};
use crate::endpoints::signals::{Asked, Signals};
use crate::endpoints::stdio::is_reader_gone;
use crate::endpoints::window_size::{SizeChanges, WindowSize};
use away::Away;
use input::{ESCAPES, ESCAPES_OF_PLUGIN, Input};
use output::{Output, Written};
use result::{Ended, Seen};

/// The terminal's size where there is none to ask: wide, so that lines are not broken. AWS's own client says the same.
const NO_TERMINAL: Size = Size { cols: 300, rows: 100 };
/// The characters by which a terminal interrupts and quits a program (ETX, FS); agents take them for the signals.
const INTERRUPT: u8 = 0x03;
const QUIT: u8 = 0x1c;
/// The character by which a terminal stops a program (SUB).
const STOP: u8 = 0x1a;

/// Whether the loop goes on.
type Flow = ControlFlow<Outcome>;

/// The session has ended on this side, and not on the service: `status` is what the process ends with.
fn leave(status: u8) -> Flow {
    Flow::Break(Outcome { over: false, result: Ok(status) })
}

/// How a program was left.
pub(super) enum Left {
    Ended(Outcome),
    /// The session turned out to be a connection to a port, which has a loop of its own.
    Port(Box<Session>),
    /// The session turned out to be a forward, with an agent of this version.
    Forward(Box<Session>, Option<String>),
}

/// Runs until the session has ended, or has to be ended by the API; or until it turns out to be a forward.
pub(super) async fn run(
    aws: &Aws,
    session: Session,
    signals: &mut Signals,
    settings: &Settings,
    wanted: Wanted,
) -> Left {
    match Program::new(aws, session, signals, settings, wanted) {
        Ok(program) => program.run().await,
        Err(cause) => Left::Ended(Outcome { over: false, result: Err(words::no_terminal(&cause)) }),
    }
}

struct Program<'a> {
    aws: &'a Aws,
    settings: &'a Settings,
    session: Session,
    wanted: Wanted,
    signals: &'a mut Signals,
    jobs: JobSignals,
    sizes: SizeChanges,
    input: Input,
    output: Output,
    summary: Summary,
    away: Away,
    /// Why the latest attempt to connect has failed, while there is no connection.
    failed: Option<Arc<ConnectError>>,
    /// When it is told that nothing more has come from a command whose connection was lost.
    doubt: Option<Instant>,
    kind: Option<Kind>,
    /// The agent's version, of a session that another carries on.
    handed: Option<Option<String>>,
    exit_status: Option<i64>,
    /// The signal that was passed on to the program, and when nothing more is expected of a command.
    interrupted: Option<(&'static str, Option<Instant>)>,
    /// The session is closed; this is how.
    closed: Option<Ended>,
}

/// The event that ended a wait.
enum Turn {
    Signal(Asked),
    Job(JobSignal),
    Resized(WindowSize),
    Wrote(Result<Written, io::Error>),
    Typed(io::Result<Vec<Typed>>),
    Session,
    Woke,
}

impl<'a> Program<'a> {
    fn new(
        aws: &'a Aws,
        mut session: Session,
        signals: &'a mut Signals,
        settings: &'a Settings,
        wanted: Wanted,
    ) -> io::Result<Self> {
        let now = Instant::now();
        let window = WindowSize::now();
        if wanted.takes_size_at_once() {
            session.resize(window.map_or(NO_TERMINAL, size));
        }
        Ok(Self {
            aws,
            settings,
            session,
            wanted,
            signals,
            jobs: if wanted.is_as_plugin() { JobSignals::listen_to_ignored() } else { JobSignals::listen() }?,
            sizes: SizeChanges::since(window)?,
            input: Input::default(),
            output: Output::open(wanted.is_as_plugin()),
            summary: Summary::new(now),
            away: Away::default(),
            failed: None,
            doubt: None,
            kind: None,
            handed: None,
            exit_status: None,
            interrupted: None,
            closed: None,
        })
    }

    async fn run(mut self) -> Left {
        let mut outcome = loop {
            let now = Instant::now();
            let wake = match self.settle(now) {
                ControlFlow::Continue(wake) => wake,
                ControlFlow::Break(outcome) => break outcome,
            };
            let turn = self.wait(wake).await;
            if let ControlFlow::Break(outcome) = self.take(turn).await {
                break outcome;
            }
        };
        if let Some(agent_version) = self.handed {
            return match self.kind {
                Some(Kind::Port) => Left::Port(Box::new(self.session)),
                _ => Left::Forward(Box::new(self.session), agent_version),
            };
        }
        // The terminal is raw until the last of the output is on it, of which it would else make other line ends.
        // Once the session has ended, whoever reads may take their time, until a signal says that they do not.
        let patience = if outcome.over { limits::FOREVER } else { limits::GOODBYE };
        tokio::select! {
            written = self.output.finish(patience) => {
                // What the last write brings to light counts like any other's, unless something else has ended the run.
                if let (Err(cause), Outcome { over: true, result: Ok(_) }) = (written, &outcome) {
                    outcome.result = unwritable(&cause);
                }
            }
            _ = self.signals.end(|| {}) => {}
        }
        self.input.close();
        tracing::info!("{}", self.report(Instant::now()));
        self.session.close().await;
        Left::Ended(outcome)
    }

    /// Brings everything up to date at `now` and says when to do so again at the latest.
    fn settle(&mut self, now: Instant) -> ControlFlow<Outcome, Instant> {
        self.session.handle_timeout(now);
        while let Some(event) = self.session.poll_event() {
            self.handle(now, event)?;
        }
        if self.output.collect(&mut self.session) {
            self.summary.output(now);
            self.input.output_came(now);
        }
        if self.output.is_empty()
            && let Some(ended) = self.closed.take()
        {
            return ControlFlow::Break(ended.outcome(&self.seen(), self.session.channel()));
        }
        let reminder = self.input.remind(now);
        self.input.send(now, &mut self.session);
        self.session.transmit(now, self.output.is_empty());
        let notice = self.away.notice_at();
        if notice.is_some_and(|at| at <= now) {
            self.away.tell(self.input.is_raw(), self.output.is_on_alternate_screen());
        }
        let interrupted = self.interrupted.and_then(|(_, until)| until);
        if let Some((signal, Some(until))) = self.interrupted
            && until <= now
        {
            tracing::info!(signal, "the command has not ended");
            leave(status(signal))?;
        }
        if self.doubt.is_some_and(|at| at <= now) {
            self.doubt = None;
            if self.session.channel().output_is_in_doubt() {
                tell(words::QUIET_SINCE_LOSS);
            }
        }
        let times = [self.session.poll_timeout(now), self.away.notice_at(), interrupted, self.doubt, reminder];
        ControlFlow::Continue(times.into_iter().flatten().min().unwrap_or(now + limits::FOREVER))
    }

    /// Waits for the next thing to happen, in order of precedence. Nothing is lost by what is not waited for.
    async fn wait(&mut self, wake: Instant) -> Turn {
        tokio::select! {
            biased;
            signal = self.signals.next() => Turn::Signal(signal),
            job = self.jobs.next() => Turn::Job(job),
            size = self.sizes.next() => Turn::Resized(size),
            wrote = self.output.write_or_watch() => Turn::Wrote(wrote),
            typed = self.input.read() => Turn::Typed(typed),
            _ = self.session.progress() => Turn::Session,
            () = sleep_until(wake.into()) => Turn::Woke,
        }
    }

    /// Acts on what ended the wait.
    async fn take(&mut self, turn: Turn) -> Flow {
        let now = Instant::now();
        match turn {
            Turn::Woke | Turn::Session => {}
            Turn::Signal(Asked::Report) => tell(&self.report(now)),
            Turn::Signal(Asked::End(signal)) => return self.signal(now, signal),
            // Nobody would let it go on: who has called it waits for its end.
            Turn::Job(JobSignal::Stop) if self.wanted.is_as_plugin() => self.input.push(&[STOP]),
            Turn::Job(JobSignal::Stop) => self.stop().await,
            Turn::Job(JobSignal::Continued) => self.input.resume(),
            Turn::Resized(window)
                if self.kind.map_or(self.wanted.takes_size_at_once(), |kind| kind == Kind::Terminal) =>
            {
                self.session.resize(size(window));
            }
            Turn::Resized(_) => {}
            Turn::Wrote(Ok(written)) => self.output.written(&written),
            Turn::Wrote(Err(cause)) => return Flow::Break(Outcome { over: false, result: unwritable(&cause) }),
            Turn::Typed(Ok(typed)) => {
                for piece in typed {
                    self.typed(now, piece).await?;
                }
            }
            Turn::Typed(Err(cause)) => {
                tracing::info!(%cause, "the terminal is gone");
                return leave(status("SIGHUP"));
            }
        }
        Flow::Continue(())
    }

    async fn typed(&mut self, now: Instant, piece: Typed) -> Flow {
        match piece {
            Typed::Bytes(bytes) => self.input.push(&bytes),
            Typed::End => return leave(0),
            Typed::Help if self.wanted.is_as_plugin() => tell(ESCAPES_OF_PLUGIN),
            Typed::Help => tell(ESCAPES),
            Typed::Summary => tell(&self.report(now)),
            Typed::Suspend if self.wanted.is_as_plugin() => self.input.push(&[b'~', STOP]),
            Typed::Suspend => self.stop().await,
        }
        Flow::Continue(())
    }

    /// Stops this program, with the terminal as it was, until a shell lets it go on.
    async fn stop(&mut self) {
        if let Err(cause) = self.input.stop(&mut self.jobs).await {
            tracing::info!(%cause, "the terminal cannot be made raw again");
        }
    }

    /// A signal asks us to end. What can be interrupted on the far side is, the first time.
    fn signal(&mut self, now: Instant, signal: &'static str) -> Flow {
        tracing::info!(signal, "signal");
        let byte = match signal {
            "SIGINT" | "Ctrl-C" => INTERRUPT,
            "SIGQUIT" => QUIT,
            _ => return leave(status(signal)),
        };
        if self.interrupted.is_some() || !matches!(self.kind, Some(Kind::Terminal | Kind::Command)) {
            return leave(status(signal));
        }
        self.input.push(&[byte]);
        if self.wanted.is_as_plugin() && self.kind == Some(Kind::Terminal) {
            return Flow::Continue(());
        }
        // A program on a terminal may take it for a key; a command is deaf until it has ended.
        let until = (self.kind == Some(Kind::Command)).then(|| now + limits::INTERRUPTED);
        self.interrupted = Some((signal, until));
        Flow::Continue(())
    }

    fn handle(&mut self, now: Instant, event: Event) -> Flow {
        match event {
            Event::Connected => {
                self.failed = None;
                self.doubt = (self.wanted == Wanted::Command).then(|| now + limits::DOUBT);
                self.summary.connected(now);
                self.away.over(self.input.is_raw(), self.output.is_on_alternate_screen());
            }
            Event::Ready { kind, agent_version } => return self.ready(now, kind, agent_version.as_deref()),
            Event::ExitStatus(status) => {
                self.exit_status = Some(status);
                self.output.exit_status(status);
            }
            Event::Notice(text) if self.wanted.is_as_plugin() => self.output.say(&text, self.input.is_raw()),
            // A command's stderr is its own.
            Event::Notice(text) if self.wanted == Wanted::Command => tracing::info!(text, "the preferences say"),
            Event::Notice(text) => tell(&text),
            Event::Lost(loss) => {
                tracing::info!("connection lost: {loss}");
                self.summary.lost(now);
                self.away.begin(now);
                self.doubt = None;
            }
            Event::Retrying { error, resuming } => self.retrying(now, error, resuming),
            Event::PortRefused => return self.failed(words::port_refused(self.settings.port, "")),
            Event::Unsupported(why) => return self.failed(words::no_program(why)),
            Event::Closed(why) => {
                self.settings.notes.closed(&why);
                self.closed = Some(Ended::of(why, &self.seen(), self.aws, self.settings));
            }
            // The first is of flags, which end no program; the others are polled for.
            Event::Terminated | Event::Output(_) | Event::Stderr(_) | Event::Writable => {}
        }
        Flow::Continue(())
    }

    /// Whether it is known to be a shell.
    fn is_shell(&self) -> bool {
        matches!(self.wanted, Wanted::Shell | Wanted::AsPlugin { is_shell: true, .. })
    }

    fn failed(&self, error: Error) -> Flow {
        Flow::Break(Outcome { over: false, result: Err(error) })
    }

    /// The session has begun, and this is what it turned out to be.
    fn ready(&mut self, now: Instant, kind: Kind, agent_version: Option<&str>) -> Flow {
        self.summary.ready(now, agent_version);
        tracing::info!(session_id = self.session.id(), ?kind, "session begun");
        self.kind = Some(kind);
        if kind != Kind::Forward {
            // A forward has begun when it listens.
            self.settings.notes.up();
        }
        if kind == Kind::Port && self.wanted.is_as_plugin() {
            // sftp has Ctrl-C end a transfer, and not the connection.
            self.signals.leave_ignored();
        }
        if kind == Kind::Forward || kind == Kind::Port && self.wanted.is_as_plugin() {
            self.handed = Some(agent_version.map(str::to_owned));
            return leave(0);
        }
        if kind == Kind::Terminal && !self.wanted.takes_size_at_once() {
            self.session.resize(WindowSize::now().map_or(NO_TERMINAL, size));
        }
        match self.input.open(kind, self.is_shell()) {
            Ok(()) => Flow::Continue(()),
            Err(cause) => self.failed(words::no_terminal(&cause)),
        }
    }

    /// An attempt to connect has failed, and another follows. A person is told what they may have to do something about.
    fn retrying(&mut self, now: Instant, error: Arc<ConnectError>, resuming: bool) {
        let failure = words::connect(&error, self.aws);
        tracing::info!("cannot {} yet: {failure}", if resuming { "resume" } else { "connect" });
        let is_news =
            if resuming { error.kind().is_denial() } else { self.summary.has_begun_before(now, limits::QUIET) };
        if is_news && self.failed.is_none() {
            let what = if resuming { "connection lost, resuming it" } else { "no connection yet, trying again" };
            tell(&format!("{what}: {failure}; {}", failure.hint));
            if resuming {
                self.away.was_told();
            }
        }
        self.failed = Some(error);
    }

    /// The facts by which the program's end is judged.
    fn seen(&self) -> Seen {
        let interrupted = self.interrupted.map(|(signal, _)| signal);
        let channel = self.session.channel();
        Seen {
            wanted: self.wanted,
            kind: self.kind,
            exit_status: self.exit_status,
            interrupted,
            is_silent: channel.is_silent(),
            lost_output: channel.may_have_lost_output(),
        }
    }

    fn report(&self, now: Instant) -> String {
        format!("session {}: {}", self.session.id(), self.summary.line(now, &self.session.stats()))
    }
}

/// What the process ends with, since stdout takes nothing more.
fn unwritable(cause: &io::Error) -> Result<u8, Error> {
    tracing::info!(%cause, "stdout is closed");
    match is_reader_gone(cause) {
        true => Ok(status("SIGPIPE")),
        false => Err(Error::unwritable(cause)),
    }
}

fn size(window: WindowSize) -> Size {
    Size { cols: window.columns, rows: window.rows }
}
