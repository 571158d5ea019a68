//! The session: a data channel over one connection after another.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::{Buf, Bytes, BytesMut};
use ssm_aws::{ApiError, Aws, DataKey, ErrorKind, Session as Started, Sessions, StartRequest, Stream};
use ssm_channel::{Accepts, Channel, Config, Event as ChannelEvent, Service, Size, Stats};
use ssm_gateway::{Gateway, Loss, Progress};
use tokio::time::timeout;

use crate::connector::{Attempted, Connector};
use crate::early::Early;
use crate::error::ConnectError;
use crate::event::{Closed, Event};
use crate::key::KeyCall;
use crate::limits;
use crate::link::{Link, LinkEvent};
use crate::observer::{self, Direction, Observer};
use crate::retries::Retries;
use crate::sleep::SleepWatch;

/// Frames fed before a flush, or taken before the caller has its turn.
const BATCH: usize = 64;

/// What agents say when they have waited for the handshake in vain (known from their code).
const TIMED_OUT: &str = "Handshake timed out";
/// What AWS's client says where it has not been told the target, to which the key of a session is bound.
pub const NO_ENCRYPTION: &str = "Installed version of CLI does not support Session Manager encryption feature. Please \
    upgrade to the latest version of your CLI (e.g., AWS CLI).";

/// The options of a session.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// From the beginning to a complete handshake.
    pub connect_timeout: Duration,
    /// How long to try to resume a lost connection; zero for not at all.
    pub resume_timeout: Duration,
    /// Whose service it is, and so what pace it bears.
    pub service: Service,
    /// Which sessions the caller can make use of.
    pub accepts: Accepts,
    /// Whether the first connection may go without a signature if there are no credentials. The token that came with the
    /// session then opens it, as far as the service lets it; nothing resumes it.
    pub may_be_unsigned: bool,
}

impl Default for Options {
    /// A minute for the agent to start and answer, ten to come back after a loss, a port of a node, at the service's pace.
    fn default() -> Self {
        let (connect_timeout, resume_timeout) = (Duration::from_secs(60), Duration::from_secs(600));
        Self { connect_timeout, resume_timeout, service: Service::Aws, accepts: Accepts::Port, may_be_unsigned: false }
    }
}

/// Where the session is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// The handshake is not complete, and has to be by then.
    Establishing { deadline: Instant },
    /// The handshake is complete.
    Open,
    /// There is nothing more to come.
    Closed,
}

/// One Session Manager session. See the [crate's documentation](crate) for how it is driven.
pub struct Session {
    connector: Arc<Connector>,
    options: Options,
    state: State,
    link: Link,
    /// The way to the data channel that came with the session, until it has led there.
    first: Option<Arc<Stream>>,
    early: Option<Early>,
    retries: Retries,
    /// Why the latest attempt failed, while there is no connection.
    failed: Option<Arc<ConnectError>>,
    channel: Channel,
    /// The target that StartSession was called with.
    target: String,
    /// The data key, while KMS makes it.
    key: Option<KeyCall>,
    /// Why there is none.
    key_failure: Option<Closed>,
    /// The key that has made it, from when the agent is told until the session has begun.
    key_sent: Option<String>,
    sleep_watch: SleepWatch,
    /// When the connection is to be looked at again.
    keep_alive: Option<Instant>,
    events: VecDeque<Event>,
    /// Bytes that were taken, and for which the channel has no room yet. Never more than it had room for once.
    held: BytesMut,
    /// Bytes that are taken, whatever happens meanwhile.
    promised: usize,
    /// The caller has been told that there is no room for bytes, and not yet that there is some again.
    is_full: bool,
    /// The terminate flag is to follow the last byte.
    finishing: bool,
    /// Who is shown each frame, if anybody is.
    observer: Option<Observer>,
}

impl Session {
    /// Starts a session and begins to connect to it.
    ///
    /// # Errors
    /// Those of [`Sessions::start`].
    pub async fn start(aws: &Aws, request: &StartRequest, options: Options) -> Result<Self, ApiError> {
        let early = Early::begin(aws).await;
        let sessions = Sessions::new(aws);
        let started = sessions.start(request).await?;
        Ok(Self::adopt(aws, &sessions, started, early, options))
    }

    /// Takes over a session that has been started, here or elsewhere, and begins to connect to it.
    pub fn adopt(aws: &Aws, sessions: &Sessions, started: Started, early: Option<Early>, options: Options) -> Self {
        let Started { id, target, stream } = started;
        let now = Instant::now();
        let unix_time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let config = Config {
            unix_millis: u64::try_from(unix_time.as_millis()).unwrap_or(u64::MAX),
            seed: fastrand::u64(..),
            service: options.service,
            accepts: options.accepts,
        };
        Self {
            connector: Arc::new(Connector::new(aws.clone(), sessions.clone(), id, options.may_be_unsigned)),
            options,
            state: State::Establishing { deadline: now + options.connect_timeout },
            link: Link::Pausing(now),
            first: Some(Arc::new(stream)),
            early,
            retries: Retries::new(options.connect_timeout),
            failed: None,
            channel: Channel::new(config, now),
            target,
            key: None,
            key_failure: None,
            key_sent: None,
            sleep_watch: SleepWatch::new(now, SystemTime::now()),
            keep_alive: None,
            events: VecDeque::new(),
            held: BytesMut::new(),
            promised: 0,
            is_full: true,
            finishing: false,
            observer: None,
        }
    }

    /// The session's id.
    pub fn id(&self) -> &str {
        &self.connector.session_id
    }

    /// Waits for the next event, output and room for more bytes among them, and does what is to be done meanwhile. May be
    /// dropped at any time without loss. Nothing comes after [`Event::Closed`].
    pub async fn next(&mut self) -> Event {
        loop {
            let now = Instant::now();
            self.handle_timeout(now);
            if let Some(bytes) = self.poll_output() {
                return Event::Output(bytes);
            }
            if let Some(bytes) = self.poll_stderr() {
                return Event::Stderr(bytes);
            }
            if let Some(event) = self.poll_event() {
                return event;
            }
            self.transmit(now, true);
            if self.is_full && self.room(now) > 0 {
                self.is_full = false;
                return Event::Writable;
            }
            let wake = self.poll_timeout(now).unwrap_or(now + limits::FOREVER);
            tokio::select! {
                _ = self.progress() => {}
                () = tokio::time::sleep_until(wake.into()) => {}
            }
        }
    }

    /// Shows the layout of each frame to `observer`, from now on. It is read for nobody else.
    pub fn observe(&mut self, observer: Observer) {
        self.observer = Some(observer);
    }

    /// Lets go of the connection without a word, as if the network had cut it: the session is then resumed.
    pub fn cut(&mut self, now: Instant) {
        if self.is_connected() {
            self.lost(now, Loss::Failed("cut by this side".to_owned()));
        }
    }

    /// How many bytes [`send`](Self::send) takes from now on, whatever happens until then. If that is none,
    /// [`next`](Self::next) tells when it changes.
    pub fn send_capacity(&mut self, now: Instant) -> usize {
        self.promised = self.room(now);
        self.is_full |= self.promised == 0;
        self.promised
    }

    fn room(&self, now: Instant) -> usize {
        if self.state == State::Closed || !self.held.is_empty() { 0 } else { self.channel.send_capacity(now) }
    }

    /// Takes bytes for the far side, as many as [`send_capacity`](Self::send_capacity) has promised. Returns how many.
    pub fn send(&mut self, now: Instant, bytes: &[u8]) -> usize {
        let bytes = bytes.get(..self.promised).unwrap_or(bytes);
        self.promised -= bytes.len();
        let taken = self.channel.send(now, bytes);
        // Messages that went meanwhile have left the channel less room than it had.
        self.held.extend_from_slice(bytes.get(taken..).unwrap_or_default());
        bytes.len()
    }

    /// Gives the channel what it had no room for, and the end behind it.
    fn release(&mut self, now: Instant) {
        if !self.held.is_empty() {
            let taken = self.channel.send(now, &self.held);
            self.held.advance(taken);
        }
        if self.finishing && self.held.is_empty() {
            self.channel.finish();
        }
    }

    /// The terminal has this size, from now on. A session that runs in none does not mind.
    pub fn resize(&mut self, size: Size) {
        self.channel.resize(size);
    }

    /// The one connection of a forward without streams has ended on this side. See [`Channel::disconnect`].
    pub fn disconnect(&mut self) {
        self.channel.disconnect();
    }

    /// Nothing more is to be sent: ends a session to a port by the terminate flag, behind the last byte. Others end with
    /// what runs in them, or by [`terminate`](Self::terminate).
    pub fn finish(&mut self) {
        self.finishing = true;
        self.promised = 0;
    }

    /// Ends the session by the API, for when nothing can be sent over it.
    ///
    /// # Errors
    /// Those of [`Sessions::terminate`].
    pub fn terminate(&self) -> impl Future<Output = Result<(), ApiError>> + Send + use<> {
        let connector = Arc::clone(&self.connector);
        async move { connector.sessions.terminate(&connector.session_id).await }
    }

    /// Leaves the connection, with a close frame if there is one; the session goes on.
    pub async fn close(self) {
        if let Link::Up(gateway) = self.link {
            let _ = timeout(limits::GOODBYE, gateway.close()).await;
        }
    }

    /// The time that [`poll_timeout`](Self::poll_timeout) named has come; then see [`poll_event`](Self::poll_event) and
    /// [`poll_output`](Self::poll_output).
    pub fn handle_timeout(&mut self, now: Instant) {
        self.channel.handle_timeout(now);
        while let Some(event) = self.channel.poll_event() {
            self.handle_event(now, event);
        }
        match self.state {
            State::Establishing { deadline } if deadline <= now => self.not_established(),
            State::Open if !self.is_connected() && self.retries.deadline(now) <= now => self.not_resumed(),
            _ => {}
        }
    }

    fn handle_event(&mut self, now: Instant, event: ChannelEvent) {
        let event = match event {
            // A command may be silent for as long as it likes.
            ChannelEvent::Alive => return self.state = State::Open,
            ChannelEvent::KeyWanted(request) => {
                if self.target.is_empty() {
                    let why = Closed::TargetUnknown { key_id: request.key_id };
                    return self.without_key(now, NO_ENCRYPTION, why);
                }
                let (aws, id) = (&self.connector.aws, &self.connector.session_id);
                self.key = Some(KeyCall::begin(aws, id, &self.target, request, now));
                return;
            }
            ChannelEvent::Ready { kind, agent_version } => {
                self.state = State::Open;
                self.key_sent = None;
                Event::Ready { kind, agent_version }
            }
            ChannelEvent::ExitStatus(status) => Event::ExitStatus(status),
            ChannelEvent::Undecipherable => return self.closed(Closed::Undecipherable),
            ChannelEvent::CustomerMessage(text) => Event::Notice(text),
            ChannelEvent::Ended => Event::Terminated,
            ChannelEvent::Stalled => return self.lost(now, Loss::Silent),
            ChannelEvent::PayloadRefused => return self.closed(Closed::PayloadRefused),
            ChannelEvent::PortRefused => Event::PortRefused,
            ChannelEvent::Unsupported(why) => Event::Unsupported(why),
            ChannelEvent::Closed { output } => return self.closed_by_service(now, output),
        };
        self.events.push_back(event);
    }

    /// KMS has answered.
    fn take_key(&mut self, now: Instant, answer: Result<DataKey, ApiError>) {
        let Some(KeyCall { key_id, .. }) = self.key.take() else { return };
        match answer {
            Ok(key) => {
                self.channel.encrypt(now, &key.plaintext, &key.ciphertext);
                self.key_sent = Some(key_id);
            }
            Err(error) => {
                let text = format!("Error calling KMS GenerateDataKey API: {error}");
                self.without_key(now, &text, Closed::NoDataKey { key_id, error });
            }
        }
    }

    /// Tells the agent that there is no key, upon which it ends the session; in case it does not, a limit does.
    fn without_key(&mut self, now: Instant, text: &str, why: Closed) {
        self.channel.refuse_encryption(now, text);
        self.key_failure = Some(why);
        self.state = State::Establishing { deadline: now + limits::CANCELLATION };
    }

    /// The agent has ended the session, perhaps because there was no data key in time.
    fn closed_by_service(&mut self, now: Instant, output: String) {
        let late = self.key.take().map(|key| {
            let waited = now.saturating_duration_since(key.asked);
            Closed::DataKeyLate { key_id: key.key_id, waited }
        });
        let sent = self.key_sent.take().filter(|_| output.contains(TIMED_OUT));
        let why = late.or(sent.map(|key_id| Closed::DecryptLate { key_id }));
        self.closed(why.unwrap_or(Closed::ByService { output }));
    }

    /// The next thing that the session has to say.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next bytes from the far side, in order.
    pub fn poll_output(&mut self) -> Option<Bytes> {
        self.channel.poll_output()
    }

    /// The next bytes that a command has written to its stderr, in order among themselves.
    pub fn poll_stderr(&mut self) -> Option<Bytes> {
        self.channel.poll_stderr()
    }

    /// Sends what may be sent, and keeps the connection alive. Without `flush` it is handed to the operating system by the
    /// next [`progress`](Self::progress): for callers who have something to write before.
    pub fn transmit(&mut self, now: Instant, flush: bool) {
        if self.state == State::Closed {
            return;
        }
        self.release(now);
        let Link::Up(gateway) = &mut self.link else { return };
        while !gateway.is_flushing() {
            for frame in std::iter::from_fn(|| self.channel.poll_frame(now)).take(BATCH) {
                observer::show(&mut self.observer, now, Direction::ToService, &frame);
                gateway.feed(frame);
            }
            if !gateway.is_flushing() || !flush {
                break;
            }
            if let Err(loss) = gateway.try_flush() {
                return self.lost(now, loss);
            }
        }
        if self.sleep_watch.has_slept(now, SystemTime::now()) {
            tracing::info!("the machine was asleep: asking whether the connection is still there");
            gateway.doubt();
        }
        let waiting = self.channel.awaits_acknowledgement();
        match gateway.keep_alive(now, waiting, self.channel.wants_frames()) {
            Ok(at) => self.keep_alive = Some(at),
            Err(loss) => self.lost(now, loss),
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) and [`transmit`](Self::transmit) are to be called next, if nothing
    /// else happens. It may be in the past.
    pub fn poll_timeout(&mut self, now: Instant) -> Option<Instant> {
        if !self.events.is_empty() {
            return Some(now);
        }
        let state = match self.state {
            State::Closed => return None,
            State::Establishing { deadline } => Some(deadline),
            State::Open => None,
        };
        let (link, channel) = match &self.link {
            // While the socket is being written to nothing can be fed, and the channel's own times do not matter.
            Link::Up(gateway) if gateway.is_flushing() => (self.keep_alive, None),
            Link::Up(_) => (self.keep_alive, self.channel.poll_timeout(now)),
            Link::Pausing(_) | Link::Connecting(_) => {
                let deadline = (self.state == State::Open).then(|| self.retries.deadline(now));
                (deadline, self.channel.poll_timeout(now))
            }
        };
        [state, link, channel].into_iter().flatten().min()
    }

    /// Waits for something to happen on the connection and takes it in, with whatever has come with it. Returns the bytes
    /// of the frames that have come. May be dropped at any time without loss.
    pub async fn progress(&mut self) -> usize {
        if self.state == State::Closed {
            return std::future::pending().await;
        }
        let happened = tokio::select! {
            biased;
            happened = self.link.next(self.channel.wants_frames()) => happened,
            answer = KeyCall::next(&mut self.key) => {
                self.take_key(Instant::now(), answer);
                return 0;
            }
        };
        let now = Instant::now();
        match happened {
            LinkEvent::Progress(progress) => return self.take(now, progress),
            LinkEvent::Pause => self.attempt(),
            LinkEvent::Attempted(attempted) => self.attempted(now, attempted),
        }
        0
    }

    fn take(&mut self, now: Instant, first: Progress) -> usize {
        let mut received = 0;
        let mut next = Some(first);
        for left in (0..BATCH).rev() {
            match next {
                Some(Progress::Frame(frame)) => {
                    received += frame.len();
                    observer::show(&mut self.observer, now, Direction::FromService, &frame);
                    if let Err(ignored) = self.channel.handle_frame(now, &frame) {
                        tracing::debug!(bytes = frame.len(), "ignored {ignored}");
                    }
                }
                Some(Progress::Lost(loss)) => {
                    self.lost(now, loss);
                    break;
                }
                Some(Progress::Alive) => {}
                Some(Progress::Flushed) | None => break,
            }
            next = match &mut self.link {
                // What is taken here must be looked at in the next round.
                Link::Up(gateway) if left > 0 && self.channel.wants_frames() => gateway.try_frame(),
                _ => None,
            };
        }
        received
    }

    fn attempt(&mut self) {
        let connector = Arc::clone(&self.connector);
        self.link = Link::Connecting(match &self.first {
            Some(stream) => Box::pin(connector.first(Arc::clone(stream), self.early.take())),
            None => Box::pin(connector.resume()),
        });
    }

    fn attempted(&mut self, now: Instant, attempted: Attempted) {
        match attempted {
            Ok(Some(gateway)) => self.connected(now, gateway),
            Ok(None) => self.closed(Closed::WhileAway),
            Err(error) => self.failed(now, error),
        }
    }

    fn connected(&mut self, now: Instant, gateway: Box<Gateway>) {
        if self.first.take().is_some() {
            self.retries = Retries::new(self.options.resume_timeout);
        }
        self.retries.connected(now);
        self.failed = None;
        self.link = Link::Up(gateway);
        self.channel.transport_up();
        self.events.push_back(Event::Connected);
    }

    fn failed(&mut self, now: Instant, error: ConnectError) {
        let error = Arc::new(error);
        let may_pass = match self.first {
            // A permission is missing for good, and nobody has begun to work yet.
            Some(_) => matches!(error.kind(), ErrorKind::Throttled | ErrorKind::Passing),
            // An SSO login may be renewed in another window.
            None => error.kind().may_pass() && !(self.connector.is_unsigned() && error.kind().is_denial()),
        };
        if !may_pass {
            return self.closed(Closed::Failed(error));
        }
        if error.is_unheard() {
            self.retries.unheard();
        }
        self.failed = Some(Arc::clone(&error));
        self.events.push_back(Event::Retrying { error, resuming: self.first.is_none() });
        self.schedule(now);
    }

    fn lost(&mut self, now: Instant, loss: Loss) {
        self.keep_alive = None;
        self.channel.transport_lost(matches!(loss, Loss::Closed { .. }));
        let loss = Arc::new(loss);
        self.events.push_back(Event::Lost(Arc::clone(&loss)));
        if self.options.resume_timeout.is_zero() {
            self.link = Link::Pausing(now + limits::FOREVER);
            return self.closed(Closed::Lost(loss));
        }
        self.retries.lost(now);
        self.schedule(now);
    }

    /// Pauses before the next attempt, unless there is no time for one.
    fn schedule(&mut self, now: Instant) {
        match self.retries.next_attempt(now, fastrand::f64()) {
            Some(pause) => self.link = Link::Pausing(now + pause),
            None if self.first.is_some() => self.not_established(),
            None => self.not_resumed(),
        }
    }

    fn not_established(&mut self) {
        let error = self.failed.take().filter(|_| !self.is_connected());
        self.closed(Closed::NotConnected(error));
    }

    fn not_resumed(&mut self) {
        let error = self.failed.take();
        self.closed(Closed::NotResumed(error));
    }

    fn closed(&mut self, why: Closed) {
        if self.state != State::Closed {
            self.state = State::Closed;
            // What failed first is what the rest came of.
            let why = self.key_failure.take().unwrap_or(why);
            self.events.push_back(Event::Closed(why));
        }
    }

    /// Whether there is a connection.
    pub fn is_connected(&self) -> bool {
        matches!(self.link, Link::Up(_))
    }

    /// Whether something is under way that reading has no part in: a connection, or a flush.
    pub fn is_at_work(&self) -> bool {
        self.link.is_at_work()
    }

    /// Bytes taken by [`send`](Self::send) that are not known to have arrived.
    pub fn undelivered_bytes(&self) -> usize {
        self.held.len() + self.channel.undelivered_bytes()
    }

    /// The data channel, for what it can tell.
    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// Figures of the session so far.
    pub fn stats(&self) -> Stats {
        self.channel.stats()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("id", &self.id()).field("state", &self.state).finish_non_exhaustive()
    }
}
