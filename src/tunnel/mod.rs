//! The tunnel: one loop that joins a session to stdin, stdout, timers and signals, and ends it. The caller starts the
//! session.
//!
//! One task, no locks. Where a queue exists it has a bound, and when it is full the reader before it stops reading.

mod batching;
mod ending;
mod limits;
mod outcome;
mod program;
mod summary;
mod way;

use std::future::Future;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Buf, BytesMut};
use ssm_aws::{ApiError, Aws, Session as Started, Sessions};
use ssm_session::{Accepts, Closed, ConnectError, Early, Event, Options, Service, Session};
use tokio::sync::Notify;
use tokio::time::{sleep_until, timeout};

use crate::diagnostics::human::{Bytes, Time};
use crate::diagnostics::{Error, ExitStatus, session as words, tell};
use crate::endpoints::signals::{Asked, Signals};
use crate::endpoints::stdio::{Stdin, Stdout, is_reader_gone};
use crate::terminate;
use batching::{Batching, Direction};
use ending::{Ending, Moved, NextStep, View};
use program::Left;
use summary::Summary;

use outcome::{ENDED, Outcome};
pub use outcome::{Notes, Ran, SessionEnd, Settings, Wanted, status_of_signal};
pub(crate) use way::{Terminating, Way};

/// Read from stdin at once, in bytes: the capacity of a pipe.
const READ: usize = 64 << 10;
/// Collected for one write to stdout, in bytes: the capacity of a pipe.
const WRITE: usize = 64 << 10;
/// Whether the loop goes on, and with what.
type Flow<T = ()> = ControlFlow<Outcome, T>;

/// The end of the loop, after which the session is `over` on the service or not.
fn end<T>(over: bool, result: Result<(), Error>) -> Flow<T> {
    ControlFlow::Break(Outcome { over, result: result.map(|()| ENDED) })
}

/// Carries stdin and stdout over the session that `starting` starts, and ends it. `hurry` tells `starting` that a signal
/// has come: it should begin nothing new. Gives what came of it.
///
/// # Errors
/// Any failure, and bytes that were sent and may not have arrived. The session, if it was started, has been ended by then.
pub async fn run(
    aws: &Aws,
    sessions: &Sessions,
    starting: impl Future<Output = Result<Started, Error>>,
    hurry: &Notify,
    signals: &mut Signals,
    settings: &Settings,
) -> Result<Ran, Error> {
    let deadline = Instant::now() + settings.connect_timeout;
    let early = Early::begin(aws).await;
    let (started, interrupted) = start(starting, hurry, signals, deadline).await?;
    let session_id = started.id.clone();
    let outcome = if let Some(signal) = interrupted {
        Outcome { over: false, result: Ok(settings.program.map_or(ENDED, |_| outcome::status_of_signal(signal))) }
    } else {
        let options = Options {
            connect_timeout: deadline.saturating_duration_since(Instant::now()),
            resume_timeout: settings.resume_timeout,
            service: settings.service,
            accepts: if settings.program.is_some() { Accepts::All } else { Accepts::Port },
            may_be_unsigned: settings.program.is_some_and(Wanted::is_as_plugin),
        };
        let session = Session::adopt(aws, sessions, started, early, options);
        match settings.program {
            None => run_session(Tunnel::new(aws, session, signals, settings)).await,
            Some(wanted) => match program::run(aws, session, signals, settings, wanted).await {
                Left::Ended(outcome) => outcome,
                Left::Port(session) => run_session(Tunnel::of_open(aws, *session, signals, settings)).await,
                Left::Forward(session, agent_version) => return Ok(Ran::Forward(session, agent_version)),
            },
        }
    };
    if !outcome.over {
        terminate::by_api(&session_id, sessions.terminate(&session_id)).await;
    }
    outcome.result.map(Ran::Ended)
}

async fn run_session(tunnel: Tunnel<'_, Session>) -> Outcome {
    let (outcome, session) = tunnel.run().await;
    session.close().await;
    outcome
}

/// Waits for the session. A signal does not take the request back, since the service may have acted on it: it only
/// shortens the wait for its answer, and is reported.
async fn start(
    starting: impl Future<Output = Result<Started, Error>>,
    hurry: &Notify,
    signals: &mut Signals,
    deadline: Instant,
) -> Result<(Started, Option<&'static str>), Error> {
    tokio::pin!(starting);
    let begun = Instant::now();
    let report = || tell(&format!("the session has not started yet, after {}", Time(begun.elapsed())));
    let signal = tokio::select! {
        session = &mut starting => return session.map(|session| (session, None)),
        signal = signals.end(report) => signal,
        () = sleep_until(deadline.into()) => return Err(words::not_answered_in_time()),
    };
    tracing::info!(signal, "ending");
    hurry.notify_one();
    match timeout(limits::FAREWELL, starting).await {
        Ok(session) => session.map(|session| (session, Some(signal))),
        Err(_) => Err(words::not_answered_in_time()),
    }
}

/// How far the session has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// Its handshake is not complete. Nothing is told before this time: what passes sooner is no news.
    Establishing { quiet_until: Instant },
    /// Bytes may flow.
    Established,
}

/// The running tunnel.
pub(crate) struct Tunnel<'a, W> {
    aws: &'a Aws,
    settings: &'a Settings,
    way: W,
    /// For how many sessions stdin's pipe has the size.
    width: usize,
    state: State,
    stdin: Stdin,
    stdin_ended: bool,
    stdout: Stdout,
    stdout_gone: bool,
    /// Output that waits for the next write.
    outbox: BytesMut,
    signals: &'a mut Signals,
    /// None without the service's pace: batches grow by themselves then.
    batching: Option<Batching>,
    summary: Summary,
    ending: Option<Ending>,
    terminating: Option<Terminating>,
    /// The signal that began the end.
    signal: Option<&'static str>,
    /// Why the latest attempt to connect has failed, while there is no connection.
    failed: Option<Arc<ConnectError>>,
    /// Whether the user has been told that there is no connection.
    told: bool,
    /// The error of a stdout that cannot be written to although its reader is there.
    unwritable: Option<Error>,
    /// Whether output of the session could not be written in time.
    unwritten: bool,
    /// What the way has said before.
    early: Vec<Event>,
    /// The result of a session that is closed.
    closed: Option<Result<(), Error>>,
}

/// The event that ended a wait.
enum Turn {
    Signal(Asked),
    Wrote(io::Result<usize>),
    Read(io::Result<usize>),
    /// The session has taken in this many bytes from its connection.
    Session(usize),
    Terminated(Result<(), ApiError>),
    Woke,
    /// Nothing is ready, and bulk flows.
    Rest,
}

impl<'a, W: Way> Tunnel<'a, W> {
    /// The tunnel over a way that is being established.
    pub(crate) fn new(aws: &'a Aws, way: W, signals: &'a mut Signals, settings: &'a Settings) -> Self {
        let now = Instant::now();
        Self {
            aws,
            settings,
            way,
            width: 1,
            state: State::Establishing { quiet_until: now + limits::QUIET },
            stdin: Stdin::open(settings.service == Service::Aws),
            stdin_ended: false,
            stdout: Stdout::open(),
            stdout_gone: false,
            outbox: BytesMut::with_capacity(WRITE),
            signals,
            batching: (settings.service == Service::Aws).then(|| Batching::new(now)),
            summary: Summary::new(now),
            ending: None,
            terminating: None,
            signal: None,
            failed: None,
            told: false,
            unwritable: None,
            unwritten: false,
            early: Vec::new(),
            closed: None,
        }
    }

    /// The tunnel over a way whose handshake is complete.
    pub(crate) fn of_open(aws: &'a Aws, way: W, signals: &'a mut Signals, settings: &'a Settings) -> Self {
        let mut tunnel = Self::new(aws, way, signals, settings);
        tunnel.state = State::Established;
        tunnel.summary.connected(Instant::now());
        tunnel
    }

    /// The same over a way that has said these things meanwhile.
    pub(crate) fn after(self, early: Vec<Event>) -> Self {
        Self { early, ..self }
    }

    /// Carries bytes until the end; gives how it ended, and the way, to be left.
    pub(crate) async fn run(mut self) -> (Outcome, W) {
        let mut buffer = vec![0; READ];
        let now = Instant::now();
        let mut flow = std::mem::take(&mut self.early).into_iter().try_for_each(|event| self.handle(now, event));
        let outcome = loop {
            match flow {
                ControlFlow::Break(outcome) => break outcome,
                ControlFlow::Continue(()) => flow = self.turn(&mut buffer).await,
            }
        };
        self.write_rest(outcome.over).await;
        tracing::info!("{}", self.report(Instant::now()));
        let result = outcome.result.and_then(|status| self.nothing_lost().map(|()| status));
        (Outcome { over: outcome.over, result }, self.way)
    }

    /// Brings everything up to date, waits for the next thing to happen, and acts on it.
    async fn turn(&mut self, buffer: &mut [u8]) -> Flow {
        let wake = self.settle(Instant::now())?;
        let mut turn = self.wait(wake, buffer).await;
        if matches!(turn, Turn::Rest) {
            self.rest().await;
            // What has come meanwhile is taken first, so that it goes out in one write with what was there.
            turn = self.wait(wake, buffer).await;
        }
        self.take(turn, buffer)
    }

    /// Writes the rest of the output. If the session `is_over`, that takes as long as the reader wants; else the reader has
    /// a limit, and what it does not take in time is left.
    async fn write_rest(&mut self, is_over: bool) {
        if self.stdout_gone {
            return;
        }
        while let Some(bytes) = self.way.poll_output() {
            self.outbox.extend_from_slice(&bytes);
        }
        let limit = match (self.is_urgent(), is_over) {
            (true, _) => limits::GOODBYE,
            (false, true) => limits::FOREVER,
            (false, false) => limits::DRAIN,
        };
        let (stdout, outbox) = (&mut self.stdout, &mut self.outbox);
        let written = async {
            while !outbox.is_empty() {
                let length = stdout.write(outbox).await?;
                outbox.advance(length);
            }
            stdout.flush().await
        };
        let report = || tell("the session has ended; what it brought is still being written");
        match self.signals.unless_ended(timeout(limit, written), report).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(cause))) => self.stdout_failed(&cause),
            Ok(Err(_)) => self.unwritten = true,
            Err(signal) => (self.unwritten, self.signal) = (true, Some(signal)),
        }
    }

    /// Fails if bytes are known to be lost, or may be, at an end that was in order otherwise.
    fn nothing_lost(&self) -> Result<(), Error> {
        if let Some(error) = &self.unwritable {
            return Err(error.clone());
        }
        let how = match self.signal {
            Some(signal) => format!("ended by {signal}"),
            None if self.stdout_gone => "ended by stdout's reader".to_owned(),
            None => "the session was closed".to_owned(),
        };
        let what = match self.way.undelivered_bytes() {
            0 if self.unwritten => "a part of what the target sent not written".to_owned(),
            0 if self.way.lacks_output() && !self.is_urgent() => "a part of what the target sent missing".to_owned(),
            0 => return Ok(()),
            _ if self.state != State::Established => {
                return Err(words::not_connected_before(&how, self.failed.as_deref(), self.aws));
            }
            bytes => format!("{} of what was sent not known to have arrived", Bytes(bytes as f64)),
        };
        let hint = match self.is_urgent() {
            true => "check what has arrived, and do the rest again",
            false => {
                "sshd, the machine or somebody else has ended it (CloudTrail has calls of TerminateSession); check what has \
                 arrived, and do the rest again"
            }
        };
        Err(Error::new(ExitStatus::Broken, format!("{how}, with {what}"), hint))
    }

    /// Lets the thread sleep until the next beat. No other task needs the thread, and a timer would not keep packets from
    /// waking it.
    async fn rest(&mut self) {
        if let Some(batching) = &mut self.batching {
            std::thread::sleep(batching.rest(Instant::now()));
            batching.begin(Instant::now());
        }
        // What has become ready meanwhile is known only after a turn of the runtime.
        tokio::task::yield_now().await;
    }

    /// Waits for the next thing to happen, in order of precedence. Nothing is lost by what is not waited for.
    async fn wait(&mut self, wake: Instant, buffer: &mut [u8]) -> Turn {
        let room = self.way.send_capacity(Instant::now()).min(buffer.len());
        let wants_input = !self.stdin_ended && room >= self.batching.as_ref().map_or(1, Batching::least_read);
        let may_rest = self.batching.as_ref().is_some_and(Batching::is_bulk) && !self.way.is_at_work();
        let buffer = buffer.get_mut(..room).unwrap_or_default();
        tokio::select! {
            biased;
            signal = self.signals.next() => Turn::Signal(signal),
            wrote = write_or_watch(&mut self.stdout, &self.outbox), if !self.stdout_gone => Turn::Wrote(wrote),
            read = self.stdin.read(buffer), if wants_input => Turn::Read(read),
            received = self.way.progress() => Turn::Session(received),
            ended = terminated(&mut self.terminating) => Turn::Terminated(ended),
            () = std::future::ready(()), if may_rest => Turn::Rest,
            () = sleep_until(wake.into()) => Turn::Woke,
        }
    }

    /// Acts on what ended the wait.
    fn take(&mut self, turn: Turn, buffer: &[u8]) -> Flow {
        let now = Instant::now();
        match turn {
            Turn::Woke | Turn::Rest => {}
            Turn::Signal(Asked::End(signal)) => {
                tracing::info!(signal, "ending");
                self.signal.get_or_insert(signal);
                self.end_urgently(now);
            }
            Turn::Signal(Asked::Report) => tell(&self.report(now)),
            Turn::Wrote(Ok(length)) => self.outbox.advance(length),
            Turn::Wrote(Err(cause)) => {
                self.stdout_failed(&cause);
                self.end_urgently(now);
            }
            Turn::Read(Ok(length)) if length > 0 => {
                self.moved(now, Direction::Up, length);
                self.way.send(now, buffer.get(..length).unwrap_or_default());
            }
            Turn::Read(end) => {
                tracing::debug!(error = end.err().map(tracing::field::display), "stdin has ended");
                self.stdin_ended = true;
                self.way.input_ended();
                let asked = self.way.stats().bytes_sent > 0;
                let silence = limits::silence(asked, Stdout::is_watched());
                self.ending.get_or_insert_with(|| Ending::of_stdin(now, silence));
            }
            Turn::Terminated(Ok(())) => return end(true, Ok(())),
            // The flag may do it yet; if not, the API is asked again, and what it says is told.
            Turn::Terminated(Err(cause)) => tracing::info!("cannot end the session by the API: {cause}"),
            Turn::Session(received) => self.moved(now, Direction::Down, received),
        }
        Flow::Continue(())
    }

    fn moved(&mut self, now: Instant, direction: Direction, bytes: usize) {
        if let Some(batching) = &mut self.batching {
            batching.moved(now, direction, bytes);
        }
    }

    fn report(&self, now: Instant) -> String {
        format!("{}: {}", self.way.name(), self.summary.line(now, &self.way.stats()))
    }

    /// Stdout takes nothing any more.
    fn stdout_failed(&mut self, cause: &io::Error) {
        tracing::info!(%cause, "stdout is closed");
        self.stdout_gone = true;
        if !is_reader_gone(cause) {
            self.unwritable = Some(Error::unwritable(cause));
        }
    }

    fn end_urgently(&mut self, now: Instant) {
        self.ending.get_or_insert_with(|| Ending::urgent(now)).hurry(now);
    }

    /// Brings everything up to date at `now` and says when to do so again at the latest.
    fn settle(&mut self, now: Instant) -> Flow<Instant> {
        self.way.handle_timeout(now);
        while let Some(event) = self.way.poll_event() {
            self.handle(now, event)?;
        }
        let width = self.way.width().max(1);
        if std::mem::replace(&mut self.width, width) != width {
            self.stdin.hold(width);
        }
        while self.outbox.len() < WRITE
            && let Some(bytes) = self.way.poll_output()
        {
            self.summary.output(now);
            self.outbox.extend_from_slice(&bytes);
        }
        if self.stdout_gone {
            self.outbox.clear();
        }
        if let Some(result) = &self.closed {
            // Left once everything that came is written, or nobody takes it. A reader that is there may take its time.
            let is_left = self.outbox.is_empty() || self.is_urgent();
            return if is_left { end(true, result.clone()) } else { Flow::Continue(now + limits::FOREVER) };
        }
        let ending = self.settle_ending(now)?;
        // What stdout has to write goes before its acknowledgement.
        self.way.transmit(now, self.outbox.is_empty());
        let session = self.way.poll_timeout(now);
        Flow::Continue([ending, session].into_iter().flatten().min().unwrap_or(now + limits::FOREVER))
    }

    fn handle(&mut self, now: Instant, event: Event) -> Flow {
        match event {
            Event::Connected => {
                (self.failed, self.told) = (None, false);
                self.summary.connected(now);
            }
            Event::Ready { agent_version, .. } => {
                self.state = State::Established;
                self.settings.notes.up();
                self.summary.ready(now, agent_version.as_deref());
            }
            Event::Notice(text) => tell(&text),
            Event::Terminated => {
                if let Some(ending) = &mut self.ending {
                    ending.flag_acknowledged(now);
                }
            }
            Event::Lost(loss) => {
                tracing::info!("connection lost: {loss}");
                self.summary.lost(now);
                if self.is_urgent() {
                    return end(false, Ok(()));
                }
            }
            Event::Retrying { error, resuming } => self.retrying(now, error, resuming),
            Event::PortRefused => return end(false, Err(words::port_refused(self.settings.port, ""))),
            Event::Unsupported(why) => return end(false, Err(words::unsupported(why))),
            Event::Closed(why) => return self.handle_closed(why),
            // Those of a port session's bytes are polled for, and it has no others.
            Event::Output(_) | Event::Writable | Event::Stderr(_) | Event::ExitStatus(_) => {}
        }
        Flow::Continue(())
    }

    /// An attempt to connect has failed, and another follows. The user is told if that will not pass by itself.
    fn retrying(&mut self, now: Instant, error: Arc<ConnectError>, resuming: bool) {
        let failure = words::connect(&error, self.aws);
        tracing::info!("cannot {} yet: {failure}", if resuming { "resume" } else { "connect" });
        let (is_news, what) = match self.state {
            _ if resuming => (error.kind().is_denial(), "connection lost, resuming it"),
            State::Establishing { quiet_until } => (quiet_until <= now, "no connection yet, trying again"),
            State::Established => (false, ""),
        };
        self.failed = Some(error);
        if is_news && !std::mem::replace(&mut self.told, true) {
            tell(&format!("{what}: {failure}; {}", failure.hint));
        }
    }

    /// Nothing more comes from the session.
    fn handle_closed(&mut self, why: Closed) -> Flow {
        let over = why.is_over();
        self.settings.notes.closed(&why);
        if let Some(error) = self.way.failure() {
            return end(over, Err(error));
        }
        let error = match why {
            Closed::ByService { output } => {
                self.closed = Some(self.closing_result(&output));
                return Flow::Continue(());
            }
            // The flag did its work, and the connection went before it could be acknowledged.
            Closed::WhileAway if self.way.has_sent_flag() => return end(over, Ok(())),
            why => self.settings.closed(&why, self.aws),
        };
        end(over, Err(error))
    }

    /// The result of a session that the service has closed, by what came before that.
    fn closing_result(&self, output: &str) -> Result<(), Error> {
        tracing::info!("the service has closed the session");
        if self.way.has_sent_flag() || self.is_urgent() {
            tell(output);
            return Ok(());
        }
        // An agent acknowledges nothing before it has connected to the port.
        let has_delivered = self.way.stats().bytes_sent > self.way.undelivered_bytes() as u64;
        if self.way.has_received_output() || has_delivered {
            return words::closed_in_use(output);
        }
        match self.state {
            State::Established => Err(words::port_refused(self.settings.port, output)),
            State::Establishing { .. } => Err(words::closed_early(output)),
        }
    }

    fn is_urgent(&self) -> bool {
        self.ending.as_ref().is_some_and(Ending::is_urgent)
    }

    fn settle_ending(&mut self, now: Instant) -> Flow<Option<Instant>> {
        let Some(ending) = &mut self.ending else { return Flow::Continue(None) };
        let is_ready = self.state == State::Established && self.way.is_connected();
        if !is_ready {
            // There is no way to send the flag. What was read is kept for the handshake or the resume to come, each of
            // which has its own limit; if nobody waits for that, the API ends the session.
            ending.interrupted(now);
            return if ending.is_urgent() { end(false, Ok(())) } else { Flow::Continue(None) };
        }
        let stats = self.way.stats();
        let view = View {
            stdin_ended: self.stdin_ended,
            delivered: self.way.undelivered_bytes() == 0,
            writing: !self.outbox.is_empty(),
            moved: Moved { acknowledged: stats.acknowledged, received: stats.bytes_received },
            round_trip: stats.round_trip,
        };
        loop {
            match ending.next_step(now, &view) {
                NextStep::Wait => return Flow::Continue(None),
                NextStep::WaitUntil(until) => return Flow::Continue(Some(until)),
                NextStep::Flag => self.way.finish(),
                NextStep::Api => self.terminating = Some(self.way.terminate()),
                NextStep::Leave => return end(self.way.knows_flag(), Ok(())),
                NextStep::LeaveByApi => return end(false, Ok(())),
            }
        }
    }
}

/// Writes `bytes`. With nothing to write, watches for the reader to go, which is an error too.
async fn write_or_watch(stdout: &mut Stdout, bytes: &[u8]) -> io::Result<usize> {
    if bytes.is_empty() {
        return Err(stdout.failed().await);
    }
    stdout.write(bytes).await
}

/// Waits for the answer of TerminateSession, if it has been called.
async fn terminated(terminating: &mut Option<Terminating>) -> Result<(), ApiError> {
    let Some(call) = terminating else { return std::future::pending().await };
    let ended = call.await;
    *terminating = None;
    ended
}
