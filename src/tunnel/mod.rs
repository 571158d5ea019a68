//! The one loop that joins stdio, channel, gateway, timers and signals; resumes the session and ends it. How it is
//! started is the caller's affair.
//!
//! One task, no locks. Where a queue exists it has a bound, and when it is full the reader before it stops reading.

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
use crate::channel::{Channel, Config, Event};
use crate::error::{Error, ExitStatus, tell};
use crate::figures::Time;
use crate::gateway::{Gateway, Loss, Progress};
use crate::stdio::{Asked, Signals, Stdin, Stdout};
use early::Early;
use ending::{Ending, Want};
use link::{Connector, Failure, Link, LinkEvent};
use patience::Patience;
use pulse::{Pulse, Way};
use sleep::SleepWatch;
use summary::Summary;

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
/// Says what failed; the session, if it was started, has been ended all the same.
pub async fn run(
    aws: &Aws,
    sessions: &Sessions,
    starting: impl Future<Output = Result<Session, Error>>,
    hurry: &Notify,
    settings: &Settings,
) -> Result<(), Error> {
    let deadline = Instant::now() + settings.connect_timeout;
    let mut signals = Signals::listen().map_err(|cause| broken(format!("cannot listen for signals: {cause}")))?;
    let early = Early::begin(aws).await;
    let (session, interrupted) = start(starting, hurry, &mut signals, deadline).await?;
    let outcome = if interrupted {
        Outcome { over: false, result: Ok(()) }
    } else {
        let connector = Connector::new(aws, sessions, &session.id, Patience::new(settings.resume_timeout));
        let link = Link::Down(connector.first(&session.stream, early));
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
pub(crate) async fn open(aws: &Aws, sessions: &Sessions, session: &Session) -> Result<Box<Gateway>, Error> {
    let connector = Connector::new(aws, sessions, &session.id, Patience::new(Duration::ZERO));
    connector.first(&session.stream, None).await.map_err(|failure| failure.error)
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
    signals: Signals,
    /// When the handshake must be complete.
    connect_deadline: Option<Instant>,
    resumes: bool,
    /// Without the service's pace there is none: batches grow by themselves.
    pulse: Option<Pulse>,
    sleep_watch: SleepWatch,
    summary: Summary,
    ending: Option<Ending>,
    /// The session is closed; this is how, and since when stdout's reader has taken nothing.
    closed: Option<(Result<(), Error>, Instant)>,
}

/// What ended the wait.
enum Turn {
    Signal(Asked),
    Wrote(io::Result<usize>),
    Read(io::Result<usize>),
    Link(LinkEvent),
    Woke,
    /// Nothing is ready, and bulk flows.
    Rest,
}

impl<'a> Tunnel<'a> {
    fn new(
        connector: &'a Connector<'a>,
        link: Link<'a>,
        signals: Signals,
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
            connect_deadline: Some(connect_deadline),
            resumes: !settings.resume_timeout.is_zero(),
            pulse: settings.paced.then(|| Pulse::new(Instant::now())),
            sleep_watch: SleepWatch::new(Instant::now(), SystemTime::now()),
            summary: Summary::new(Instant::now()),
            ending: None,
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
        let patience = if self.is_urgent() { limits::GOODBYE } else { limits::DRAIN_STALL };
        // Best effort: the outcome is settled, and a reader that is gone needs nothing.
        let _ = timeout(patience, self.write_rest()).await;
        tracing::info!("{}", self.report(Instant::now()));
        if let Link::Up(gateway) = self.link {
            let _ = timeout(limits::GOODBYE, gateway.close()).await;
        }
        outcome
    }

    /// Writes what has been delivered and not yet been written.
    async fn write_rest(&mut self) -> io::Result<()> {
        if self.stdout_gone {
            return Ok(());
        }
        while let Some(bytes) = self.channel.poll_output() {
            self.outbox.extend_from_slice(&bytes);
        }
        while !self.outbox.is_empty() {
            let length = self.stdout.write(&self.outbox).await?;
            self.outbox.advance(length);
        }
        self.stdout.flush().await
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
                self.end_urgently(now);
            }
            Turn::Signal(Asked::Report) => tell(&self.report(now)),
            Turn::Wrote(Ok(length)) => {
                self.outbox.advance(length);
                if let Some((_, progress)) = &mut self.closed {
                    *progress = now;
                }
            }
            Turn::Wrote(Err(cause)) => {
                tracing::info!(%cause, "stdout is closed");
                self.stdout_gone = true;
                self.end_urgently(now);
            }
            Turn::Read(Ok(length)) if length > 0 => {
                self.moved(now, Way::Up, length);
                self.channel.send(now, buffer.get(..length).unwrap_or_default());
            }
            Turn::Read(end) => {
                tracing::debug!(error = end.err().map(tracing::field::display), "stdin has ended");
                self.stdin_ended = true;
                self.ending.get_or_insert_with(|| Ending::of_stdin(now));
            }
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
            Event::PortRefused => return Err(Outcome { over: false, result: Err(port_refused("")) }),
            Event::Unsupported(why) => return Err(Outcome { over: false, result: Err(unsupported(why)) }),
            Event::Closed { output } => {
                let result = self.closing_result(&output);
                self.closed = Some((result, now));
            }
        }
        Ok(())
    }

    /// What `channel_closed` means, given what came before it.
    fn closing_result(&self, output: &str) -> Result<(), Error> {
        tracing::info!("the service has closed the session");
        if self.channel.has_received_output() || self.channel.has_sent_flag() || self.is_urgent() {
            if !output.trim().is_empty() {
                tell(output);
            }
            return Ok(());
        }
        if self.connect_deadline.is_none() {
            return Err(port_refused(output));
        }
        Err(closed_early(output))
    }

    /// A closed session is left once everything it delivered is written, or nobody takes it.
    fn settle_closed(&self, now: Instant) -> Result<Instant, Outcome> {
        let Some((result, progress)) = &self.closed else { return Ok(now) };
        let limit = *progress + limits::DRAIN_STALL;
        if self.outbox.is_empty() || self.is_urgent() || limit <= now {
            return Err(Outcome { over: true, result: result.clone() });
        }
        Ok(limit)
    }

    fn is_urgent(&self) -> bool {
        self.ending.as_ref().is_some_and(Ending::is_urgent)
    }

    fn settle_ending(&mut self, now: Instant) -> Result<Option<Instant>, Outcome> {
        let Some(ending) = &mut self.ending else { return Ok(None) };
        if let Some(how) = ending.for_channel(now, self.stdin_ended) {
            self.channel.finish(how);
        }
        let is_ready = self.channel.is_ready() && matches!(self.link, Link::Up(_));
        if !is_ready {
            // There is no way to send the flag. What was read is kept for the handshake or the resume to come, each of
            // which has its own limit; if nobody waits for that, the API ends the session.
            return match ending.is_urgent() {
                true => Err(Outcome { over: false, result: Ok(()) }),
                false => Ok(None),
            };
        }
        ending.acknowledged(now, self.channel.stats().acknowledged);
        match ending.want(now, self.channel.has_sent_flag()) {
            Want::Leave => Err(Outcome { over: self.channel.agent_knows_flag(), result: Ok(()) }),
            Want::LeaveByApi => Err(Outcome { over: false, result: Ok(()) }),
            Want::Wait(until) => {
                let last_words = ending.last_words_until().filter(|until| *until > now);
                Ok(Some(last_words.map_or(until, |last_words| until.min(last_words))))
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
                let result = Err(not_connected_in_time());
                Err(Outcome { over: false, result })
            }
            deadline => Ok(deadline),
        }
    }
}

/// Writes what there is; with nothing to write, watches for the reader to go, which is an error too.
async fn write_or_watch(stdout: &mut Stdout, bytes: &[u8]) -> io::Result<usize> {
    if bytes.is_empty() {
        stdout.closed().await;
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    stdout.write(bytes).await
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

fn not_connected_in_time() -> Error {
    let hint = "check the target's agent and the network, or allow more time with --connect-timeout";
    Error::new(ExitStatus::TryAgain, "the session's handshake was not completed in time", hint)
}

/// The session is of a kind that cannot carry SSH.
pub(crate) fn unsupported(why: String) -> Error {
    Error::new(ExitStatus::Config, why, "use --document-name AWS-StartSSHSession, or a document of session type Port")
}

/// Closed before the handshake was complete.
pub(crate) fn closed_early(output: &str) -> Error {
    let what = format!("the session was closed before it was established{}", detail(output));
    Error::new(ExitStatus::Unavailable, what, "look at the agent's log on the target: amazon-ssm-agent.log")
}

/// Closed after the handshake and before a single byte: the port refused, or the agent failed while connecting to it.
pub(crate) fn port_refused(output: &str) -> Error {
    let what = format!("the target's port refused the connection{}", detail(output));
    let hint = "check that sshd runs on the target and listens on that port";
    Error::new(ExitStatus::Unavailable, what, hint)
}

/// The service's text as the end of a sentence, without the line `----------ERROR-------` that agents put above it.
fn detail(output: &str) -> String {
    let words = output.split_whitespace().filter(|word| !word.starts_with("-----"));
    let text = words.collect::<Vec<_>>().join(" ");
    if text.is_empty() { String::new() } else { format!(": {text}") }
}
