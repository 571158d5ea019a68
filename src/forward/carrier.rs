//! A carrier: one session of a forward at work, with the connections that it carries.
//!
//! One task drives the session. The tasks of its connections put bytes into its lane and take them out; each side wakes the
//! other.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Once;
use std::time::{Duration, Instant};

use ssm_aws::{Aws, ErrorKind};
use ssm_session::{Closed, ConnectError, Event, Kind, Session};
use ssm_smux::Event as StreamEvent;
use tokio::sync::Notify;
use tokio::time::sleep_until;

use super::lane::{Key, Lane};
use super::limits;
use super::told::Told;
use crate::diagnostics::{Error, session as words, tell};
use crate::terminate;

/// An old agent is told of once, however many sessions have it.
static TELL_OF_AGE: Once = Once::new();

/// Where a carrier is.
#[derive(Clone, Debug)]
pub(super) enum State {
    /// Its session is being started.
    Starting,
    /// It takes connections.
    Up,
    /// Its session is over, for this reason if it is not wanted.
    Gone(Option<Error>),
}

/// The part of a lane's state that a connection has to know.
#[derive(Default)]
pub(super) struct Stream {
    /// Something has changed.
    pub(super) changed: Notify,
    /// The far side has closed it, and nothing comes any more.
    pub(super) is_finished: Cell<bool>,
    /// The destination could not be connected to.
    pub(super) is_refused: Cell<bool>,
    /// It ends at once: its session is over, or it was reset.
    pub(super) is_gone: Cell<bool>,
    /// Its end is waited for, and others need its place.
    pub(super) is_hurried: Cell<bool>,
}

/// The state that the tasks of a carrier share.
pub(super) struct Carrier {
    state: RefCell<State>,
    /// The state has changed.
    pub(super) changed: Notify,
    lane: RefCell<Option<Lane>>,
    streams: RefCell<HashMap<Key, Rc<Stream>>>,
    /// Connections that have been given a place here.
    placed: Cell<usize>,
    /// Those of them whose end alone is waited for, the longest first.
    lingering: RefCell<Vec<Key>>,
    begun: Instant,
    /// Since when its session has no connection to AWS, once it had one.
    away_since: Cell<Option<Instant>>,
    idle_since: Cell<Instant>,
    /// There is something to do.
    work: Notify,
    is_ending: Cell<bool>,
    /// Its session is over, or is being ended: nobody moves its lane any more.
    is_over: Cell<bool>,
    /// It has taken connections.
    was_up: Cell<bool>,
    /// The text with which the service has closed its session.
    closing: RefCell<Option<String>>,
}

impl Carrier {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self {
            state: RefCell::new(State::Starting),
            changed: Notify::new(),
            lane: RefCell::default(),
            streams: RefCell::default(),
            placed: Cell::new(0),
            lingering: RefCell::default(),
            begun: Instant::now(),
            away_since: Cell::default(),
            idle_since: Cell::new(Instant::now()),
            work: Notify::new(),
            is_ending: Cell::new(false),
            is_over: Cell::new(false),
            was_up: Cell::new(false),
            closing: RefCell::default(),
        })
    }

    /// The text with which the service has closed its session, if it has.
    pub(super) fn closing(&self) -> Option<String> {
        self.closing.borrow().clone()
    }

    pub(super) fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Whether it takes connections, or soon will.
    pub(super) fn is_live(&self) -> bool {
        !self.is_ending.get() && !self.is_over.get() && !matches!(*self.state.borrow(), State::Gone(_))
    }

    /// Whether it carries one connection at a time, because its agent is old.
    pub(super) fn takes_one(&self) -> bool {
        self.lane.borrow().as_ref().is_some_and(Lane::takes_one)
    }

    /// Whether it has taken connections.
    pub(super) fn was_up(&self) -> bool {
        self.was_up.get()
    }

    /// How many connections have a place here.
    pub(super) fn placed(&self) -> usize {
        self.placed.get()
    }

    /// Waits until it has room for another connection, or is gone.
    pub(super) async fn room(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // From here on no change is missed.
            changed.as_mut().enable();
            if !self.is_live() || !self.is_full() {
                return;
            }
            changed.await;
        }
    }

    /// How well another connection would fare here: the lower the better.
    pub(super) fn load(&self) -> (bool, usize) {
        let is_bad = self.look(|lane| lane.is_stalled() || lane.is_full() || !lane.wants_input());
        let is_away = self.away_since.get().is_some_and(|since| since + limits::AWAY <= Instant::now());
        (is_bad || is_away || self.is_slow(), self.in_use())
    }

    /// Connections that are more than waited for.
    fn in_use(&self) -> usize {
        self.placed.get().saturating_sub(self.lingering.borrow().len())
    }

    /// Whether it has no room for another connection.
    pub(super) fn is_full(&self) -> bool {
        self.look(Lane::is_full)
    }

    /// Whether its session takes long to start.
    pub(super) fn is_slow(&self) -> bool {
        matches!(*self.state.borrow(), State::Starting) && self.begun + limits::PATIENCE <= Instant::now()
    }

    /// Whether it does not move, and nobody needs it.
    pub(super) fn is_abandoned(&self) -> bool {
        self.in_use() == 0 && self.away_since.get().is_none() && self.look(Lane::is_stalled)
    }

    /// Since when it has no connections, if it has none.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        (self.placed.get() == 0).then(|| self.idle_since.get())
    }

    /// Keeps a place for a connection until that is dropped.
    pub(super) fn place(self: &Rc<Self>) -> Place {
        self.placed.set(self.placed.get() + 1);
        Place { carrier: Rc::clone(self), lingers: Cell::default() }
    }

    pub(super) fn set(&self, state: State) {
        if matches!(state, State::Up) {
            self.was_up.set(true);
        }
        self.state.replace(state);
        self.changed.notify_waiters();
    }

    /// Asks it to end.
    pub(super) fn end(&self) {
        self.is_ending.set(true);
        self.work.notify_one();
    }

    /// Opens a stream, if there is room for one.
    pub(super) fn open(&self) -> Option<(Key, Rc<Stream>)> {
        if self.is_over.get() {
            return None;
        }
        let key = self.lane.borrow_mut().as_mut()?.open(Instant::now())?;
        let stream = Rc::<Stream>::default();
        self.streams.borrow_mut().insert(key, Rc::clone(&stream));
        if self.look(Lane::is_crowded) {
            self.hurry();
        }
        self.work.notify_one();
        Some((key, stream))
    }

    /// Has the connection end whose end was waited for longest.
    fn hurry(&self) {
        let lingering = self.lingering.borrow();
        let mut streams = lingering.iter().filter_map(|key| self.stream(*key));
        if let Some(stream) = streams.find(|stream| !stream.is_hurried.get()) {
            stream.is_hurried.set(true);
            stream.changed.notify_one();
        }
    }

    /// Does something with the lane, and has it moved on.
    pub(super) fn with_lane<T: Default>(&self, act: impl FnOnce(&mut Lane) -> T) -> T {
        let result = self.lane.borrow_mut().as_mut().map(act).unwrap_or_default();
        self.work.notify_one();
        result
    }

    /// Looks at the lane.
    pub(super) fn look<T: Default>(&self, look: impl FnOnce(&Lane) -> T) -> T {
        self.lane.borrow().as_ref().map(look).unwrap_or_default()
    }

    /// Forgets a connection that has ended here.
    pub(super) fn forget(&self, key: Key) {
        self.streams.borrow_mut().remove(&key);
    }

    fn stream(&self, key: Key) -> Option<Rc<Stream>> {
        self.streams.borrow().get(&key).cloned()
    }

    /// Ends all connections at once, and takes no more.
    fn drop_streams(&self) {
        self.is_over.set(true);
        self.changed.notify_waiters();
        for (_, stream) in self.streams.borrow_mut().drain() {
            stream.is_gone.set(true);
            stream.changed.notify_one();
        }
    }
}

/// A connection's place.
pub(super) struct Place {
    carrier: Rc<Carrier>,
    /// The connection, if its end alone is waited for.
    lingers: Cell<Option<Key>>,
}

impl Place {
    /// Says which connection it has whose end alone is waited for, if it is one: it is in no other's way then.
    pub(super) fn linger(&self, key: Option<Key>) {
        let before = self.lingers.replace(key);
        if before != key {
            let mut lingering = self.carrier.lingering.borrow_mut();
            lingering.retain(|other| Some(*other) != before);
            lingering.extend(key);
        }
    }
}

impl std::ops::Deref for Place {
    type Target = Rc<Carrier>;

    fn deref(&self) -> &Rc<Carrier> {
        &self.carrier
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.linger(None);
        let placed = self.carrier.placed.get().saturating_sub(1);
        self.carrier.placed.set(placed);
        if placed == 0 {
            self.carrier.idle_since.set(Instant::now());
            self.carrier.work.notify_one();
        }
    }
}

/// Drives the session of a carrier until it is over. `up` has the version of its agent if it is up already. `destination` is
/// for what is told of it, `may_idle` says whether the carrier may be ended when it has nothing to do.
pub(super) async fn run(
    carrier: &Carrier,
    mut session: Session,
    up: Option<Option<String>>,
    aws: &Aws,
    destination: &str,
    keep_alive: bool,
    may_idle: impl Fn() -> bool,
) {
    let mut driver = Driver {
        carrier,
        session: &mut session,
        aws,
        destination,
        keep_alive,
        settled_at: None,
        told: Told::default(),
    };
    if let Some(agent_version) = up {
        driver.up(Instant::now(), agent_version.as_deref());
    }
    let closed = driver.run(may_idle).await;
    carrier.drop_streams();
    if let Some(Closed::ByService { output }) = &closed {
        carrier.closing.replace(Some(output.clone()));
    }
    let is_over = match &closed {
        Some(why) => why.is_over(),
        None => driver.farewell().await,
    };
    if !is_over {
        terminate::by_api(session.id(), session.terminate()).await;
    }
    // One that was set before says more.
    if !matches!(carrier.state(), State::Gone(_)) {
        let error = closed.filter(|_| !carrier.is_ending.get()).map(|why| reason(&why, carrier, aws));
        carrier.set(State::Gone(error));
    }
    session.close().await;
}

/// Why a session is over that was wanted.
fn reason(why: &Closed, carrier: &Carrier, aws: &Aws) -> Error {
    let is_up = carrier.lane.borrow().is_some();
    match why {
        Closed::ByService { output } if is_up => words::forward_ended(output),
        why => words::closed(why, aws),
    }
}

struct Driver<'a> {
    carrier: &'a Carrier,
    session: &'a mut Session,
    aws: &'a Aws,
    destination: &'a str,
    keep_alive: bool,
    /// When the agent has had the time to refuse the destination as such.
    settled_at: Option<Instant>,
    told: Told,
}

impl Driver<'_> {
    /// Returns why the session is closed, or nothing if it is to be ended.
    async fn run(&mut self, may_idle: impl Fn() -> bool) -> Option<Closed> {
        let mut payload = Vec::new();
        let mut was_full = false;
        loop {
            let now = Instant::now();
            self.session.handle_timeout(now);
            while let Some(event) = self.session.poll_event() {
                if let Some(closed) = self.handle(now, event) {
                    self.receive();
                    return Some(closed);
                }
            }
            if self.settled_at.is_some_and(|at| at <= now) {
                self.settled_at = None;
                self.carrier.set(State::Up);
            }
            let idle_at = self.carrier.idle_since().map(|since| since + limits::IDLE).filter(|_| may_idle());
            self.receive();
            if self.carrier.is_ending.get() || idle_at.is_some_and(|at| at <= now) {
                self.carrier.is_ending.set(true);
                return None;
            }
            self.send(now, &mut payload);
            if std::mem::replace(&mut was_full, self.carrier.is_full()) && !was_full {
                // There is room for the next.
                self.carrier.changed.notify_waiters();
            }
            self.session.transmit(now, true);
            let lane = self.carrier.look(Lane::poll_timeout);
            let times = [self.session.poll_timeout(now), lane, idle_at, self.settled_at];
            let wake = times.into_iter().flatten().min().unwrap_or(now + limits::FOREVER);
            tokio::select! {
                _ = self.session.progress() => {}
                () = self.carrier.work.notified() => {}
                () = sleep_until(wake.into()) => {}
            }
        }
    }

    /// Ends the session by the flag; whether the service knows of it.
    async fn farewell(&mut self) -> bool {
        self.session.finish();
        let limit = Instant::now() + limits::FAREWELL;
        loop {
            let now = Instant::now();
            self.session.handle_timeout(now);
            while let Some(event) = self.session.poll_event() {
                match event {
                    Event::Terminated => return self.session.channel().agent_knows_flag(),
                    Event::Closed(why) => return why.is_over(),
                    _ => {}
                }
            }
            while self.session.poll_output().is_some() {}
            self.session.transmit(now, true);
            let wake = self.session.poll_timeout(now).unwrap_or(limit).min(limit);
            if limit <= now {
                return false;
            }
            tokio::select! {
                _ = self.session.progress() => {}
                () = sleep_until(wake.into()) => {}
            }
        }
    }

    /// The session has begun, with an agent of this version.
    fn up(&mut self, now: Instant, agent_version: Option<&str>) {
        tracing::info!(session = self.session.id(), agent_version, "forward is up");
        let lane = Lane::new(agent_version, self.keep_alive, now);
        if lane.takes_one() {
            TELL_OF_AGE.call_once(|| {
                tell("the agent on the node is old: a session carries one connection at a time; others wait");
            });
        }
        self.carrier.lane.replace(Some(lane));
        self.settled_at = Some(now + limits::SETTLED);
    }

    fn handle(&mut self, now: Instant, event: Event) -> Option<Closed> {
        match event {
            Event::Ready { kind: Kind::Forward, agent_version } => self.up(now, agent_version.as_deref()),
            Event::Ready { kind, .. } => {
                let why = words::no_forward(format!("the document starts a session of another kind: {kind:?}"));
                self.carrier.set(State::Gone(Some(why)));
                self.carrier.is_ending.set(true);
            }
            Event::Connected => {
                self.carrier.away_since.set(None);
                self.carrier.with_lane(|lane| lane.resumed(now));
            }
            Event::PortRefused => self.carrier.with_lane(Lane::connect_failed),
            Event::Notice(text) => tell(&text),
            Event::Lost(loss) => {
                self.carrier.away_since.set(self.carrier.away_since.get().or(Some(now)));
                tracing::info!("{}: connection lost: {loss}", self.destination);
            }
            Event::Retrying { error, resuming } => self.retrying(&error, resuming),
            Event::Unsupported(why) => {
                self.carrier.set(State::Gone(Some(words::no_forward(why))));
                self.carrier.is_ending.set(true);
            }
            Event::Closed(why) => return Some(why),
            Event::Output(_) | Event::Stderr(_) | Event::ExitStatus(_) | Event::Writable | Event::Terminated => {}
        }
        None
    }

    /// The session has no connection, for this reason. It is asked for again and again, but for one that is not permitted:
    /// another session may be, and this one would only hold up its connections.
    fn retrying(&self, error: &ConnectError, resuming: bool) {
        let failure = words::connect(error, self.aws);
        let what = if resuming { "connection lost, resuming it" } else { "no connection yet" };
        tracing::info!("{what}: {failure}");
        match error.kind() {
            ErrorKind::Denied if resuming => {
                self.carrier.set(State::Gone(Some(failure)));
                self.carrier.is_ending.set(true);
            }
            kind if resuming && kind.is_denial() => self.told.tell(&format!("{what}: {failure}; {}", failure.hint)),
            _ => {}
        }
    }

    /// Gives the lane what has come, and tells the connections.
    fn receive(&mut self) {
        let mut lane = self.carrier.lane.borrow_mut();
        let Some(lane) = lane.as_mut() else { return };
        if !self.session.channel().is_disconnecting() {
            lane.disconnected();
        }
        let mut only = false;
        while lane.wants_input()
            && let Some(bytes) = self.session.poll_output()
        {
            only |= lane.takes_one();
            if let Err(broken) = lane.handle_bytes(&bytes) {
                self.carrier.set(State::Gone(Some(words::broken_forward(&broken))));
                self.carrier.is_ending.set(true);
                break;
            }
        }
        lane.handle_timeout(Instant::now());
        while let Some(event) = lane.poll_event() {
            let Some(stream) = self.carrier.stream(Key::Stream(event.stream())) else { continue };
            match event {
                StreamEvent::Finished(_) => stream.is_finished.set(true),
                StreamEvent::Refused { reported, .. } => {
                    stream.is_refused.set(reported);
                    stream.is_finished.set(true);
                }
                StreamEvent::Reset(_, why) => {
                    tracing::info!("{}: a connection is reset: {why:?}", self.destination);
                    stream.is_gone.set(true);
                }
                StreamEvent::Stalled(_, stall) => tracing::info!("{}: {stall:?}", self.destination),
                StreamEvent::Readable(_) | StreamEvent::Writable(_) => {}
            }
            stream.changed.notify_one();
        }
        if only && let Some(stream) = self.carrier.stream(Key::Only) {
            stream.changed.notify_one();
        }
    }

    /// Gives the session what the lane has to send.
    fn send(&mut self, now: Instant, payload: &mut Vec<u8>) {
        let mut lane = self.carrier.lane.borrow_mut();
        let Some(lane) = lane.as_mut() else { return };
        let stats = self.session.stats();
        lane.delivered(now, stats.bytes_sent.saturating_sub(self.session.undelivered_bytes() as u64));
        loop {
            let room = self.session.send_capacity(now);
            payload.clear();
            lane.poll_transmit(now, room, payload);
            if room == 0 || payload.is_empty() {
                break;
            }
            self.session.send(now, payload);
        }
        if lane.take_disconnect() {
            self.session.disconnect();
            // There is room for the next.
            self.carrier.changed.notify_waiters();
        }
        if lane.takes_one()
            && let Some(stream) = self.carrier.stream(Key::Only)
        {
            stream.changed.notify_one();
        }
    }
}

/// Waits until a carrier is up, or is gone.
pub(super) async fn settled(carrier: &Carrier, limit: Duration) -> State {
    let until = tokio::time::Instant::now() + limit;
    loop {
        let changed = carrier.changed.notified();
        tokio::pin!(changed);
        // From here on no change is missed.
        changed.as_mut().enable();
        match carrier.state() {
            State::Starting if tokio::time::timeout_at(until, changed).await.is_ok() => {}
            state => return state,
        }
    }
}
