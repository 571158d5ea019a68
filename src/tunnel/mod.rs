//! The one loop that joins stdio, channel, gateway, timers and signals; resumes the session and ends it. How it is
//! started is the caller's affair.
//!
//! One task, no locks. Where a queue exists it has a bound, and when it is full the reader before it stops reading.

mod closed;
mod early;
mod ending;
mod limits;
mod link;
mod patience;
mod pulse;
mod sleep;
mod summary;

use std::future::Future;
use std::io;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::{Buf, BytesMut};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::aws::{Aws, Session, Sessions};
use crate::channel::{Channel, Config, Ending as ChannelEnding, Event};
use crate::error::{Error, ExitStatus, tell};
use crate::figures::{Bytes, Time};
use crate::gateway::{Gateway, Loss, Progress};
use crate::stdio::{Asked, Signals, Stdin, Stdout, is_reader_gone};
use early::Early;
use ending::{Ending, Moved, Sight, Want};
use link::{Connector, Failure, Link, LinkEvent, Terminating};
use pulse::{Pulse, Way};
use sleep::SleepWatch;
use summary::Summary;

pub(crate) use closed::{early as closed_early, port_refused};
pub(crate) use limits::TERMINATE;

/// Read from stdin at once, in bytes: the capacity of a pipe.
const READ: usize = 64 << 10;
/// Collected for one write to stdout, in bytes: the capacity of a pipe.
const WRITE: usize = 64 << 10;
/// Frames fed before a flush, or taken before the rest of the loop has its turn.
const BATCH: usize = 64;

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

/// Carries stdin and stdout over the session that `starting` starts, and ends it. `hurry` tells `starting` that a signal
/// has come: it should begin nothing new.
///
/// # Errors
/// Says what failed, and what was sent and is not known to have arrived; the session, if it was started, has been ended
/// all the same.
pub async fn run(
    aws: &Aws,
    sessions: &Sessions,
    starting: impl Future<Output = Result<Session, Error>>,
    hurry: &Notify,
    signals: &mut Signals,
    settings: &Settings,
) -> Result<(), Error> {
    let deadline = Instant::now() + settings.connect_timeout;
    let early = Early::begin(aws).await;
    let (session, interrupted) = start(starting, hurry, signals, deadline).await?;
    let outcome = if interrupted {
        Outcome { over: false, result: Ok(()) }
    } else {
        let connector = Connector::new(aws, sessions, &session.id, settings);
        let link = Link::Down(connector.first(&session.stream, early, deadline));
        Tunnel::new(&connector, link, signals, settings, deadline).run().await
    };
    if !outcome.over {
        end_by_api(sessions, &session.id).await;
    }
    outcome.result
}

/// Opens a session's data channel and does nothing with it.
///
/// # Errors
/// Those of the dial; nothing is tried again.
pub(crate) async fn open(
    aws: &Aws,
    sessions: &Sessions,
    session: &Session,
    settings: &Settings,
) -> Result<Box<Gateway>, Error> {
    Connector::new(aws, sessions, &session.id, settings).connect(&session.stream, None).await
}

/// Waits for the session. A signal does not take the request back, since the service may have acted on it: it only
/// shortens the wait for its answer, and is reported.
async fn start(
    starting: impl Future<Output = Result<Session, Error>>,
    hurry: &Notify,
    signals: &mut Signals,
    deadline: Instant,
) -> Result<(Session, bool), Error> {
    tokio::pin!(starting);
    let begun = Instant::now();
    let report = || tell(&format!("the session has not started yet, after {}", Time(begun.elapsed())));
    tokio::select! {
        session = &mut starting => return session.map(|session| (session, false)),
        signal = signals.end(report) => tracing::info!(signal, "ending"),
        () = sleep_until(deadline) => return Err(not_answered_in_time()),
    }
    hurry.notify_one();
    match timeout(limits::FAREWELL, starting).await {
        Ok(session) => session.map(|session| (session, true)),
        Err(_) => Err(not_answered_in_time()),
    }
}

/// Ends a session that nothing can be sent over, and says so if that fails.
pub async fn end_by_api(sessions: &Sessions, session_id: &str) {
    let why = match timeout(limits::TERMINATE, sessions.terminate(session_id)).await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.message,
        Err(_) => "no answer from the service".to_owned(),
    };
    tell(&format!("session {session_id} could not be ended and stays until the service ends it as idle: {why}"));
}

/// The running tunnel.
struct Tunnel<'a> {
    connector: &'a Connector<'a>,
    link: Link<'a>,
    channel: Channel,
    stdin: Stdin,
    stdin_ended: bool,
    stdout: Stdout,
    stdout_gone: bool,
    /// Output collected for the next write.
    outbox: BytesMut,
    signals: &'a mut Signals,
    port: u16,
    /// When the handshake must be complete.
    connect_deadline: Option<Instant>,
    resumes: bool,
    /// Without the service's pace there is none: batches grow by themselves.
    pulse: Option<Pulse>,
    sleep_watch: SleepWatch,
    summary: Summary,
    ending: Option<Ending>,
    terminating: Option<Terminating<'a>>,
    /// The signal that began the end.
    signal: Option<&'static str>,
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
    Link(LinkEvent),
    Terminated(Result<(), Error>),
    Woke,
    /// Nothing is ready, and bulk flows.
    Rest,
}

impl<'a> Tunnel<'a> {
    fn new(
        connector: &'a Connector<'a>,
        link: Link<'a>,
        signals: &'a mut Signals,
        settings: &Settings,
        connect_deadline: Instant,
    ) -> Self {
        let unix_time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let config = Config {
            unix_millis: u64::try_from(unix_time.as_millis()).unwrap_or(u64::MAX),
            seed: fastrand::u64(..),
            paced: settings.paced,
        };
        Self {
            connector,
            link,
            channel: Channel::new(config, Instant::now()),
            stdin: Stdin::open(settings.paced),
            stdin_ended: false,
            stdout: Stdout::open(),
            stdout_gone: false,
            outbox: BytesMut::with_capacity(WRITE),
            signals,
            port: settings.port,
            connect_deadline: Some(connect_deadline),
            resumes: !settings.resume_timeout.is_zero(),
            pulse: settings.paced.then(|| Pulse::new(Instant::now())),
            sleep_watch: SleepWatch::new(Instant::now(), SystemTime::now()),
            summary: Summary::new(Instant::now()),
            ending: None,
            terminating: None,
            signal: None,
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
                Ok(wake) => wake,
                Err(outcome) => break outcome,
            };
            let mut turn = self.wait(wake, &mut buffer).await;
            if matches!(turn, Turn::Rest) {
                self.rest().await;
                // What has come meanwhile is taken first, so that it goes out in one write with what was there.
                turn = self.wait(wake, &mut buffer).await;
            }
            if let Err(outcome) = self.take(turn, &buffer) {
                break outcome;
            }
        };
        self.write_rest(outcome.over).await;
        tracing::info!("{}", self.report(Instant::now()));
        let result = outcome.result.and_then(|()| self.nothing_lost());
        if let Link::Up(gateway) = self.link {
            let _ = timeout(limits::GOODBYE, gateway.close()).await;
        }
        Outcome { over: outcome.over, result }
    }

    /// Writes what has been delivered and not yet been written: all of it if the session `is_over` and only the reader is
    /// waited for, else what the reader takes in time.
    async fn write_rest(&mut self, is_over: bool) {
        if self.stdout_gone {
            return;
        }
        while let Some(bytes) = self.channel.poll_output() {
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
        let what = match self.channel.undelivered_bytes() {
            0 if self.unwritten => "a part of what the target sent not written".to_owned(),
            0 if self.channel.lacks_messages() && !self.is_urgent() => {
                "a part of what the target sent missing".to_owned()
            }
            0 => return Ok(()),
            _ if self.connect_deadline.is_some() => return Err(self.connector.not_connected_before(&how)),
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
        if let Some(pulse) = &mut self.pulse {
            std::thread::sleep(pulse.rest(Instant::now()));
            pulse.beat(Instant::now());
        }
        // What has become ready meanwhile is known only after a turn of the runtime.
        tokio::task::yield_now().await;
    }

    /// Waits for the next thing to happen, in order of precedence. Nothing is lost by what is not waited for.
    async fn wait(&mut self, wake: Instant, buffer: &mut [u8]) -> Turn {
        let room = self.channel.send_capacity(Instant::now()).min(buffer.len());
        let wants_input = !self.stdin_ended && room >= self.pulse.as_ref().map_or(1, Pulse::least_read);
        let wants_frames = self.channel.wants_frames();
        let may_rest = self.pulse.as_ref().is_some_and(Pulse::is_bulk) && !self.link.is_at_work();
        let buffer = buffer.get_mut(..room).unwrap_or_default();
        tokio::select! {
            biased;
            signal = self.signals.next() => Turn::Signal(signal),
            wrote = write_or_watch(&mut self.stdout, &self.outbox), if !self.stdout_gone => Turn::Wrote(wrote),
            read = self.stdin.read(buffer), if wants_input => Turn::Read(read),
            event = self.link.next(wants_frames), if self.closed.is_none() => Turn::Link(event),
            ended = terminated(&mut self.terminating) => Turn::Terminated(ended),
            () = std::future::ready(()), if may_rest => Turn::Rest,
            () = sleep_until(wake) => Turn::Woke,
        }
    }

    /// Acts on what ended the wait.
    fn take(&mut self, turn: Turn, buffer: &[u8]) -> Result<(), Outcome> {
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
                self.moved(now, Way::Up, length);
                self.channel.send(now, buffer.get(..length).unwrap_or_default());
            }
            Turn::Read(end) => {
                tracing::debug!(error = end.err().map(tracing::field::display), "stdin has ended");
                self.stdin_ended = true;
                let asked = self.channel.stats().bytes_sent > 0;
                let silence = limits::silence(asked, Stdout::is_watched());
                self.ending.get_or_insert_with(|| Ending::of_stdin(now, silence));
            }
            Turn::Terminated(Ok(())) => return Err(Outcome { over: true, result: Ok(()) }),
            // The flag may do it yet; if not, the API is asked again, and what it says is told.
            Turn::Terminated(Err(cause)) => tracing::info!("cannot end the session by the API: {cause}"),
            Turn::Link(LinkEvent::Connected(gateway)) => return self.connected(now, gateway),
            Turn::Link(LinkEvent::Progress(progress)) => return self.progress(now, progress),
        }
        Ok(())
    }

    fn moved(&mut self, now: Instant, way: Way, bytes: usize) {
        if let Some(pulse) = &mut self.pulse {
            pulse.moved(now, way, bytes);
        }
    }

    fn report(&self, now: Instant) -> String {
        format!("session {}: {}", self.connector.session_id(), self.summary.line(now, &self.channel.stats()))
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

    fn connected(&mut self, now: Instant, gateway: Result<Box<Gateway>, Failure>) -> Result<(), Outcome> {
        let gateway = match gateway {
            Ok(gateway) => gateway,
            // The flag did its work, and the connection went before it could be acknowledged.
            Err(Failure { session_is_over: true, .. }) if self.channel.has_sent_flag() => {
                return Err(Outcome { over: true, result: Ok(()) });
            }
            Err(Failure { error, session_is_over }) => {
                return Err(Outcome { over: session_is_over, result: Err(error) });
            }
        };
        self.link = Link::Up(gateway);
        self.connector.connected(now);
        self.summary.connected(now);
        self.channel.transport_up();
        Ok(())
    }

    /// Takes what came from the gateway, and whatever has come with it.
    fn progress(&mut self, now: Instant, first: Progress) -> Result<(), Outcome> {
        let mut next = Some(first);
        for left in (0..BATCH).rev() {
            match next {
                Some(Progress::Frame(frame)) => {
                    self.moved(now, Way::Down, frame.len());
                    if let Err(ignored) = self.channel.handle_frame(now, &frame) {
                        tracing::debug!(bytes = frame.len(), "ignored {ignored}");
                    }
                }
                Some(Progress::Lost(loss)) => return self.lost(now, &loss),
                Some(Progress::Alive) => {}
                Some(Progress::Flushed) | None => return Ok(()),
            }
            next = match &mut self.link {
                // What is taken here must be looked at in the next round.
                Link::Up(gateway) if left > 0 && self.channel.wants_frames() => gateway.try_frame(),
                _ => None,
            };
        }
        Ok(())
    }

    fn lost(&mut self, now: Instant, loss: &Loss) -> Result<(), Outcome> {
        tracing::info!("connection lost: {loss}");
        self.summary.lost(now);
        self.channel.transport_lost(matches!(loss, Loss::Closed { .. }));
        if self.is_urgent() {
            return Err(Outcome { over: false, result: Ok(()) });
        }
        if !self.resumes {
            return Err(Outcome { over: false, result: Err(broken(format!("the connection was lost: {loss}"))) });
        }
        self.link = Link::Down(self.connector.resume(now));
        Ok(())
    }

    /// Brings everything up to date at `now` and says when to do so again at the latest.
    fn settle(&mut self, now: Instant) -> Result<Instant, Outcome> {
        self.channel.handle_timeout(now);
        while let Some(event) = self.channel.poll_event() {
            self.heed(now, event)?;
        }
        while self.outbox.len() < WRITE
            && let Some(bytes) = self.channel.poll_output()
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
        let link = self.settle_link(now)?;
        let connect = self.settle_connect(now)?;
        Ok([ending, link, connect].into_iter().flatten().min().unwrap_or(now + limits::FOREVER))
    }

    fn heed(&mut self, now: Instant, event: Event) -> Result<(), Outcome> {
        match event {
            Event::Ready { agent_version } => {
                self.summary.ready(now, &agent_version);
                self.connect_deadline = None;
            }
            Event::CustomerMessage(text) => tell(&text),
            Event::Ended => {
                if let Some(ending) = &mut self.ending {
                    ending.flag_acknowledged(now);
                }
            }
            Event::Stalled => return self.lost(now, &Loss::Silent),
            Event::PayloadRefused => return Err(Outcome { over: false, result: Err(payload_refused()) }),
            Event::PortRefused => return Err(Outcome { over: false, result: Err(port_refused(self.port, "")) }),
            Event::Unsupported(why) => return Err(Outcome { over: false, result: Err(unsupported(why)) }),
            Event::Closed { output } => {
                self.closed = Some(self.closing_result(&output));
            }
        }
        Ok(())
    }

    /// What `channel_closed` means, given what came before it.
    fn closing_result(&self, output: &str) -> Result<(), Error> {
        tracing::info!("the service has closed the session");
        if self.channel.has_sent_flag() || self.is_urgent() {
            tell(output);
            return Ok(());
        }
        // An agent acknowledges nothing before it has connected to the port.
        let has_delivered = self.channel.stats().bytes_sent > self.channel.undelivered_bytes() as u64;
        if self.channel.has_received_output() || has_delivered {
            return closed::in_use(output);
        }
        if self.connect_deadline.is_none() {
            return Err(port_refused(self.port, output));
        }
        Err(closed_early(output))
    }

    /// A closed session is left once everything it delivered is written, or nobody takes it.
    fn settle_closed(&self, now: Instant) -> Result<Instant, Outcome> {
        match &self.closed {
            Some(result) if self.outbox.is_empty() || self.is_urgent() => {
                Err(Outcome { over: true, result: result.clone() })
            }
            // A reader that is there may take its time.
            _ => Ok(now + limits::FOREVER),
        }
    }

    fn is_urgent(&self) -> bool {
        self.ending.as_ref().is_some_and(Ending::is_urgent)
    }

    fn settle_ending(&mut self, now: Instant) -> Result<Option<Instant>, Outcome> {
        let Some(ending) = &mut self.ending else { return Ok(None) };
        let is_ready = self.channel.is_ready() && matches!(self.link, Link::Up(_));
        if !is_ready {
            // There is no way to send the flag. What was read is kept for the handshake or the resume to come, each of
            // which has its own limit; if nobody waits for that, the API ends the session.
            ending.interrupted(now);
            return match ending.is_urgent() {
                true => Err(Outcome { over: false, result: Ok(()) }),
                false => Ok(None),
            };
        }
        let stats = self.channel.stats();
        let sight = Sight {
            stdin_ended: self.stdin_ended,
            delivered: self.channel.undelivered_bytes() == 0,
            writing: !self.outbox.is_empty(),
            moved: Moved { acknowledged: stats.acknowledged, received: stats.bytes_received },
            round_trip: stats.round_trip,
        };
        loop {
            match ending.want(now, &sight) {
                Want::Wait => return Ok(None),
                Want::WaitUntil(until) => return Ok(Some(until)),
                Want::Flag => self.channel.finish(ChannelEnding::AtOnce),
                Want::Api => self.terminating = Some(self.connector.terminate()),
                Want::Leave => return Err(Outcome { over: self.channel.agent_knows_flag(), result: Ok(()) }),
                Want::LeaveByApi => return Err(Outcome { over: false, result: Ok(()) }),
            }
        }
    }

    /// Feeds the gateway and keeps it alive.
    fn settle_link(&mut self, now: Instant) -> Result<Option<Instant>, Outcome> {
        let Link::Up(gateway) = &mut self.link else { return Ok(self.channel.poll_timeout(now)) };
        while !gateway.is_flushing() {
            for frame in std::iter::from_fn(|| self.channel.poll_frame(now)).take(BATCH) {
                gateway.feed(frame);
            }
            // What stdout has to write goes before its acknowledgement.
            if !gateway.is_flushing() || !self.outbox.is_empty() {
                break;
            }
            if let Err(loss) = gateway.try_flush() {
                self.lost(now, &loss)?;
                return Ok(Some(now));
            }
        }
        if self.sleep_watch.has_slept(now, SystemTime::now()) {
            tracing::info!("the machine was asleep: asking whether the connection is still there");
            gateway.doubt();
        }
        let waiting = self.channel.awaits_acknowledgement();
        let keep_alive = match gateway.keep_alive(now, waiting, self.channel.wants_frames()) {
            Ok(at) => at,
            Err(loss) => {
                self.lost(now, &loss)?;
                return Ok(Some(now));
            }
        };
        // While the socket is being written to nothing can be fed, and the channel's own times do not matter.
        let channel = if gateway.is_flushing() { None } else { self.channel.poll_timeout(now) };
        Ok(Some(channel.map_or(keep_alive, |channel| channel.min(keep_alive))))
    }

    fn settle_connect(&self, now: Instant) -> Result<Option<Instant>, Outcome> {
        match self.connect_deadline {
            Some(deadline) if deadline <= now => {
                Err(Outcome { over: false, result: Err(self.connector.not_connected()) })
            }
            deadline => Ok(deadline),
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
async fn terminated(terminating: &mut Option<Terminating<'_>>) -> Result<(), Error> {
    let Some(call) = terminating else { return std::future::pending().await };
    let ended = call.await;
    *terminating = None;
    ended
}

async fn sleep_until(time: Instant) {
    tokio::time::sleep_until(time.into()).await;
}

fn broken(what: String) -> Error {
    Error::new(ExitStatus::Broken, what, "connect again; -v shows what happened before")
}

fn payload_refused() -> Error {
    let what = "the service closes every new connection over messages of more than 1024 bytes, which it took before";
    Error::new(ExitStatus::Broken, what, "connect again: a new session begins with smaller messages")
}

fn not_answered_in_time() -> Error {
    let hint = "check the network; behind a proxy, set HTTPS_PROXY; --connect-timeout allows more time";
    Error::new(ExitStatus::TryAgain, "StartSession was not answered in time", hint)
}

/// The session is of a kind that cannot carry SSH.
pub(crate) fn unsupported(why: String) -> Error {
    Error::new(ExitStatus::Config, why, "use --document-name AWS-StartSSHSession, or a document of session type Port")
}
