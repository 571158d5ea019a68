//! The one loop that joins a session to stdin, stdout, timers and signals, and ends it. How the session is started is the
//! caller's affair.
//!
//! One task, no locks. Where a queue exists it has a bound, and when it is full the reader before it stops reading.

mod batching;
mod ending;
mod limits;
mod summary;

use std::future::Future;
use std::io;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use ssm_aws::{ApiError, Aws, Session as Started, Sessions};
use ssm_session::{Closed, ConnectError, Early, Event, Options, Session};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::diagnostics::human::{Bytes, Time};
use crate::diagnostics::{Error, ExitStatus, session as words, tell};
use crate::endpoints::signals::{Asked, Signals};
use crate::endpoints::stdio::{Stdin, Stdout, is_reader_gone};
use batching::{Batching, Direction};
use ending::{Ending, Moved, Sight, Want};
use summary::Summary;

pub(crate) use limits::TERMINATE;

/// Read from stdin at once, in bytes: the capacity of a pipe.
const READ: usize = 64 << 10;
/// Collected for one write to stdout, in bytes: the capacity of a pipe.
const WRITE: usize = 64 << 10;
/// What a run can be told besides the session itself.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The TCP port on the target, for what is said of it.
    pub port: u16,
    /// From now to a complete handshake.
    pub connect_timeout: Duration,
    /// How long to try to resume a lost connection; zero for not at all.
    pub resume_timeout: Duration,
    /// Whether to keep to the service's pace.
    pub paced: bool,
}

/// How the loop ended.
struct Outcome {
    /// Whether the service knows that the session is over.
    over: bool,
    result: Result<(), Error>,
}

/// Whether the loop goes on, and with what.
type Flow<T = ()> = ControlFlow<Outcome, T>;

/// The end of the loop, after which the session is `over` on the service or not.
fn end<T>(over: bool, result: Result<(), Error>) -> Flow<T> {
    ControlFlow::Break(Outcome { over, result })
}

/// TerminateSession, called.
type Terminating = Pin<Box<dyn Future<Output = Result<(), ApiError>>>>;

/// Carries stdin and stdout over the session that `starting` starts, and ends it. `hurry` tells `starting` that a signal
/// has come: it should begin nothing new.
///
/// # Errors
/// Says what failed, and what was sent and is not known to have arrived; the session, if it was started, has been ended
/// all the same.
pub async fn run(
    aws: &Aws,
    sessions: &Sessions,
    starting: impl Future<Output = Result<Started, Error>>,
    hurry: &Notify,
    signals: &mut Signals,
    settings: &Settings,
) -> Result<(), Error> {
    let deadline = Instant::now() + settings.connect_timeout;
    let early = Early::begin(aws).await;
    let (started, interrupted) = start(starting, hurry, signals, deadline).await?;
    let session_id = started.id.clone();
    let outcome = if interrupted {
        Outcome { over: false, result: Ok(()) }
    } else {
        let options = Options {
            connect_timeout: deadline.saturating_duration_since(Instant::now()),
            resume_timeout: settings.resume_timeout,
            paced: settings.paced,
        };
        let session = Session::adopt(aws, sessions, started.id, started.stream, early, options);
        Tunnel::new(aws, session, signals, settings).run().await
    };
    if !outcome.over {
        end_by_api(sessions, &session_id).await;
    }
    outcome.result
}

/// Waits for the session. A signal does not take the request back, since the service may have acted on it: it only
/// shortens the wait for its answer, and is reported.
async fn start(
    starting: impl Future<Output = Result<Started, Error>>,
    hurry: &Notify,
    signals: &mut Signals,
    deadline: Instant,
) -> Result<(Started, bool), Error> {
    tokio::pin!(starting);
    let begun = Instant::now();
    let report = || tell(&format!("the session has not started yet, after {}", Time(begun.elapsed())));
    tokio::select! {
        session = &mut starting => return session.map(|session| (session, false)),
        signal = signals.end(report) => tracing::info!(signal, "ending"),
        () = sleep_until(deadline) => return Err(words::not_answered_in_time()),
    }
    hurry.notify_one();
    match timeout(limits::FAREWELL, starting).await {
        Ok(session) => session.map(|session| (session, true)),
        Err(_) => Err(words::not_answered_in_time()),
    }
}

/// Ends a session that nothing can be sent over, and says so if that fails.
pub async fn end_by_api(sessions: &Sessions, session_id: &str) {
    let why = match timeout(limits::TERMINATE, sessions.terminate(session_id)).await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer from the service".to_owned(),
    };
    tell(&format!("session {session_id} could not be ended and stays until the service ends it as idle: {why}"));
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
struct Tunnel<'a> {
    aws: &'a Aws,
    settings: &'a Settings,
    session: Session,
    state: State,
    stdin: Stdin,
    stdin_ended: bool,
    stdout: Stdout,
    stdout_gone: bool,
    /// Output collected for the next write.
    outbox: BytesMut,
    signals: &'a mut Signals,
    /// Without the service's pace there is none: batches grow by themselves.
    batching: Option<Batching>,
    summary: Summary,
    ending: Option<Ending>,
    terminating: Option<Terminating>,
    /// The signal that began the end.
    signal: Option<&'static str>,
    /// Why the latest attempt to connect has failed, while there is no connection.
    failed: Option<Arc<ConnectError>>,
    /// That there is no connection has been told.
    told: bool,
    /// Why stdout takes nothing, if that is not its reader's doing.
    unwritable: Option<Error>,
    /// Something that was delivered could not be written in time.
    unwritten: bool,
    /// The session is closed; this is how.
    closed: Option<Result<(), Error>>,
}

/// What ended the wait.
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

impl<'a> Tunnel<'a> {
    fn new(aws: &'a Aws, session: Session, signals: &'a mut Signals, settings: &'a Settings) -> Self {
        let now = Instant::now();
        Self {
            aws,
            settings,
            session,
            state: State::Establishing { quiet_until: now + limits::QUIET },
            stdin: Stdin::open(settings.paced),
            stdin_ended: false,
            stdout: Stdout::open(),
            stdout_gone: false,
            outbox: BytesMut::with_capacity(WRITE),
            signals,
            batching: settings.paced.then(|| Batching::new(now)),
            summary: Summary::new(now),
            ending: None,
            terminating: None,
            signal: None,
            failed: None,
            told: false,
            unwritable: None,
            unwritten: false,
            closed: None,
        }
    }

    async fn run(mut self) -> Outcome {
        let mut buffer = vec![0; READ];
        let outcome = loop {
            let now = Instant::now();
            let wake = match self.settle(now) {
                ControlFlow::Continue(wake) => wake,
                ControlFlow::Break(outcome) => break outcome,
            };
            let mut turn = self.wait(wake, &mut buffer).await;
            if matches!(turn, Turn::Rest) {
                self.rest().await;
                // What has come meanwhile is taken first, so that it goes out in one write with what was there.
                turn = self.wait(wake, &mut buffer).await;
            }
            if let ControlFlow::Break(outcome) = self.take(turn, &buffer) {
                break outcome;
            }
        };
        self.write_rest(outcome.over).await;
        tracing::info!("{}", self.report(Instant::now()));
        let result = outcome.result.and_then(|()| self.nothing_lost());
        self.session.close().await;
        Outcome { over: outcome.over, result }
    }

    /// Writes what has been delivered and not yet been written: all of it if the session `is_over` and only the reader is
    /// waited for, else what the reader takes in time.
    async fn write_rest(&mut self, is_over: bool) {
        if self.stdout_gone {
            return;
        }
        while let Some(bytes) = self.session.poll_output() {
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

    /// Whether the end, which was in order otherwise, has cost no byte that is known of.
    fn nothing_lost(&self) -> Result<(), Error> {
        if let Some(error) = &self.unwritable {
            return Err(error.clone());
        }
        let how = match self.signal {
            Some(signal) => format!("ended by {signal}"),
            None if self.stdout_gone => "ended by stdout's reader".to_owned(),
            None => "the session was closed".to_owned(),
        };
        let what = match self.session.channel().undelivered_bytes() {
            0 if self.unwritten => "a part of what the target sent not written".to_owned(),
            0 if self.session.channel().lacks_messages() && !self.is_urgent() => {
                "a part of what the target sent missing".to_owned()
            }
            0 => return Ok(()),
            _ if self.state != State::Established => return Err(words::not_connected_before(&how, self.failure())),
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

    /// Lets the thread sleep, there being no other task that it would keep from work. To wait for a timer instead would
    /// wake it for each packet that arrives.
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
        let room = self.session.send_capacity(Instant::now()).min(buffer.len());
        let wants_input = !self.stdin_ended && room >= self.batching.as_ref().map_or(1, Batching::least_read);
        let may_rest = self.batching.as_ref().is_some_and(Batching::is_bulk) && !self.session.is_at_work();
        let buffer = buffer.get_mut(..room).unwrap_or_default();
        tokio::select! {
            biased;
            signal = self.signals.next() => Turn::Signal(signal),
            wrote = write_or_watch(&mut self.stdout, &self.outbox), if !self.stdout_gone => Turn::Wrote(wrote),
            read = self.stdin.read(buffer), if wants_input => Turn::Read(read),
            received = self.session.progress() => Turn::Session(received),
            ended = terminated(&mut self.terminating) => Turn::Terminated(ended),
            () = std::future::ready(()), if may_rest => Turn::Rest,
            () = sleep_until(wake) => Turn::Woke,
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
                self.session.send(now, buffer.get(..length).unwrap_or_default());
            }
            Turn::Read(end) => {
                tracing::debug!(error = end.err().map(tracing::field::display), "stdin has ended");
                self.stdin_ended = true;
                let asked = self.session.stats().bytes_sent > 0;
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
        format!("session {}: {}", self.session.id(), self.summary.line(now, &self.session.stats()))
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

    /// Why the latest attempt to connect has failed, in words, while there is no connection.
    fn failure(&self) -> Option<Error> {
        self.failed.as_ref().map(|error| words::connect(error, self.aws))
    }

    /// Brings everything up to date at `now` and says when to do so again at the latest.
    fn settle(&mut self, now: Instant) -> Flow<Instant> {
        self.session.handle_timeout(now);
        while let Some(event) = self.session.poll_event() {
            self.handle(now, event)?;
        }
        while self.outbox.len() < WRITE
            && let Some(bytes) = self.session.poll_output()
        {
            self.summary.output(now);
            self.outbox.extend_from_slice(&bytes);
        }
        if self.stdout_gone {
            self.outbox.clear();
        }
        if self.closed.is_some() {
            return self.settle_closed(now);
        }
        let ending = self.settle_ending(now)?;
        // What stdout has to write goes before its acknowledgement.
        self.session.transmit(now, self.outbox.is_empty());
        let session = self.session.poll_timeout(now);
        Flow::Continue([ending, session].into_iter().flatten().min().unwrap_or(now + limits::FOREVER))
    }

    fn handle(&mut self, now: Instant, event: Event) -> Flow {
        match event {
            Event::Connected => {
                (self.failed, self.told) = (None, false);
                self.summary.connected(now);
            }
            Event::Ready { agent_version } => {
                self.state = State::Established;
                self.summary.ready(now, &agent_version);
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
            // They are polled for.
            Event::Output(_) | Event::Writable => {}
        }
        Flow::Continue(())
    }

    /// An attempt to connect has failed, and another follows. A person is told what they may have to do something about.
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
        let error = match why {
            Closed::ByService { output } => {
                self.closed = Some(self.closing_result(&output));
                return Flow::Continue(());
            }
            // The flag did its work, and the connection went before it could be acknowledged.
            Closed::WhileAway if self.session.channel().has_sent_flag() => return end(over, Ok(())),
            Closed::WhileAway => words::over_while_away(),
            Closed::Lost(loss) => words::lost(&loss),
            Closed::PayloadRefused => words::payload_refused(),
            Closed::Failed(error) => words::connect(&error, self.aws),
            Closed::NotConnected(error) => {
                let failed = error.map(|error| words::connect(&error, self.aws));
                words::not_connected(self.settings.connect_timeout, failed)
            }
            Closed::NotResumed(error) => {
                let failed = error.map(|error| words::connect(&error, self.aws));
                words::not_resumed(self.settings.resume_timeout, failed)
            }
        };
        end(over, Err(error))
    }

    /// What `channel_closed` means, given what came before it.
    fn closing_result(&self, output: &str) -> Result<(), Error> {
        tracing::info!("the service has closed the session");
        if self.session.channel().has_sent_flag() || self.is_urgent() {
            tell(output);
            return Ok(());
        }
        // An agent acknowledges nothing before it has connected to the port.
        let has_delivered = self.session.stats().bytes_sent > self.session.channel().undelivered_bytes() as u64;
        if self.session.channel().has_received_output() || has_delivered {
            return words::closed_in_use(output);
        }
        match self.state {
            State::Established => Err(words::port_refused(self.settings.port, output)),
            State::Establishing { .. } => Err(words::closed_early(output)),
        }
    }

    /// A closed session is left once everything it delivered is written, or nobody takes it.
    fn settle_closed(&self, now: Instant) -> Flow<Instant> {
        match &self.closed {
            Some(result) if self.outbox.is_empty() || self.is_urgent() => end(true, result.clone()),
            // A reader that is there may take its time.
            _ => Flow::Continue(now + limits::FOREVER),
        }
    }

    fn is_urgent(&self) -> bool {
        self.ending.as_ref().is_some_and(Ending::is_urgent)
    }

    fn settle_ending(&mut self, now: Instant) -> Flow<Option<Instant>> {
        let Some(ending) = &mut self.ending else { return Flow::Continue(None) };
        let is_ready = self.state == State::Established && self.session.is_connected();
        if !is_ready {
            // There is no way to send the flag. What was read is kept for the handshake or the resume to come, each of
            // which has its own limit; if nobody waits for that, the API ends the session.
            ending.interrupted(now);
            return if ending.is_urgent() { end(false, Ok(())) } else { Flow::Continue(None) };
        }
        let stats = self.session.stats();
        let sight = Sight {
            stdin_ended: self.stdin_ended,
            delivered: self.session.channel().undelivered_bytes() == 0,
            writing: !self.outbox.is_empty(),
            moved: Moved { acknowledged: stats.acknowledged, received: stats.bytes_received },
            round_trip: stats.round_trip,
        };
        loop {
            match ending.want(now, &sight) {
                Want::Wait => return Flow::Continue(None),
                Want::WaitUntil(until) => return Flow::Continue(Some(until)),
                Want::Flag => self.session.finish(),
                Want::Api => self.terminating = Some(Box::pin(self.session.terminate())),
                Want::Leave => return end(self.session.channel().agent_knows_flag(), Ok(())),
                Want::LeaveByApi => return end(false, Ok(())),
            }
        }
    }
}

/// Writes what there is; with nothing to write, watches for the reader to go, which is an error too.
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

async fn sleep_until(time: Instant) {
    tokio::time::sleep_until(time.into()).await;
}
