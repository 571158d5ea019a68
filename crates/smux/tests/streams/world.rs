//! One world, run and judged.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ssm_smux::{Config, DIAL_LIMIT, Event, Mux, QUEUE_LIMIT, ResetReason, Stall, StreamId};

use crate::agent::{Agent, Sent, pattern};
use crate::script::{Close, Connection, Script};

/// Bytes in one message of the session.
const MESSAGE: usize = 1024;
/// Bytes that the session has in flight.
const WINDOW: u64 = 256 << 10;
/// Messages a millisecond, each way; the real ones are one, and these worlds are in a hurry.
const MESSAGES: usize = 4;
/// Calls of `handle_timeout` with nothing else to do, after which the clock turns in circles.
const TIMEOUTS: u32 = 60;
/// Milliseconds without anything but NOPs, after which a world is over.
const SILENCE: u64 = 60_000;

macro_rules! ensure {
    ($holds:expr, $($text:tt)+) => {
        if !$holds {
            return Err(format!($($text)+));
        }
    };
}

/// What has happened.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    pub(crate) up: u64,
    pub(crate) down: u64,
    /// Streams whose bytes all arrived, both ways.
    pub(crate) complete: u64,
    pub(crate) refused: u64,
    pub(crate) reset: u64,
    pub(crate) overrun: u64,
    pub(crate) pauses: u64,
    pub(crate) unanswered: u64,
    pub(crate) undelivered: u64,
    pub(crate) nops: u64,
}

impl Summary {
    pub(crate) fn add(&mut self, other: &Self) {
        self.up += other.up;
        self.down += other.down;
        self.complete += other.complete;
        self.refused += other.refused;
        self.reset += other.reset;
        self.overrun += other.overrun;
        self.pauses += other.pauses;
        self.unanswered += other.unanswered;
        self.undelivered += other.undelivered;
        self.nops += other.nops;
    }
}

/// The local side of a connection.
#[derive(Debug)]
struct Local {
    plan: Connection,
    id: Option<StreamId>,
    opened: u64,
    sent: usize,
    read: usize,
    is_closed: bool,
    /// It was reset, by itself, at the end or by the multiplexer.
    is_reset: bool,
    is_readable: bool,
    end: Option<Event>,
    stalls: Vec<Stall>,
}

#[derive(Debug)]
enum Down {
    Payload(Vec<u8>),
    ConnectFailed,
}

pub(crate) struct World {
    script: Script,
    start: Instant,
    now: u64,
    mux: Mux,
    agent: Agent,
    locals: Vec<Local>,
    up: VecDeque<(u64, Vec<u8>)>,
    acknowledgements: VecDeque<(u64, u64)>,
    acknowledged: u64,
    /// What the agent has taken of the byte stream.
    taken: u64,
    outbox: VecDeque<u8>,
    down: VecDeque<(u64, Down)>,
    was_away: bool,
    /// When something other than a NOP last moved.
    busy: u64,
    is_paused: bool,
    summary: Summary,
}

impl World {
    pub(crate) fn new(script: Script) -> Self {
        let start = Instant::now();
        let config = Config {
            keep_alive: script.keep_alive,
            unread_limit: script.unread_limit,
            in_flight_limit: script.in_flight_limit,
        };
        let local = |plan: &Connection| Local {
            plan: plan.clone(),
            id: None,
            opened: 0,
            sent: 0,
            read: 0,
            is_closed: false,
            is_reset: false,
            is_readable: false,
            end: None,
            stalls: Vec::new(),
        };
        Self {
            start,
            now: 0,
            mux: Mux::new(config, start),
            agent: Agent::new(&script.connections, script.budget),
            locals: script.connections.iter().map(local).collect(),
            up: VecDeque::new(),
            acknowledgements: VecDeque::new(),
            acknowledged: 0,
            taken: 0,
            outbox: VecDeque::new(),
            down: VecDeque::new(),
            was_away: false,
            busy: 0,
            is_paused: false,
            summary: Summary::default(),
            script,
        }
    }

    pub(crate) fn run(mut self) -> Result<Summary, String> {
        self.until_it_rests()?;
        for local in 0..self.locals.len() {
            if self.locals[local].end.is_none() && !self.locals[local].is_reset {
                let plan = &self.locals[local].plan;
                ensure!(plan.reads == 0, "it rests before its end: {:?}, {:?}", self.locals[local], self.mux.stats());
                self.reset(local);
            }
        }
        self.busy = self.now;
        self.until_it_rests()?;
        self.judge()?;
        Ok(self.summary)
    }

    fn instant(&self) -> Instant {
        self.start + Duration::from_millis(self.now)
    }

    fn is_away(&self) -> bool {
        self.script.away.iter().any(|(from, until)| (*from..*until).contains(&self.now))
    }

    fn until_it_rests(&mut self) -> Result<(), String> {
        let mut timeouts = 0;
        loop {
            let moved = self.step()?;
            self.check_bounds()?;
            if moved {
                self.now += 1;
                timeouts = 0;
                continue;
            }
            let timeout = self.mux.poll_timeout().map(|at| (at - self.start).as_micros().div_ceil(1000) as u64);
            let other = self.next();
            timeouts = if other.is_none() { timeouts + 1 } else { 0 };
            if other.is_none() && timeout.is_none() || self.now > self.busy + SILENCE {
                return Ok(());
            }
            ensure!(timeouts <= TIMEOUTS, "the clock turns in circles");
            // A client that knows of the interruption does not look.
            let timeout = timeout.filter(|_| !self.is_away() || !self.script.tells);
            let next = other.into_iter().chain(timeout).min().unwrap_or(self.now);
            self.now = next.max(self.now + 1);
        }
    }

    /// When something happens next, other than the multiplexer's own timers.
    fn next(&self) -> Option<u64> {
        let back = self.script.away.iter().map(|(_, until)| *until).filter(|until| *until > self.now);
        let local = self.locals.iter().flat_map(|local| {
            let killed = match local.plan.close {
                Close::Killed(at) => at,
                _ => 0,
            };
            [local.plan.at, local.opened + local.plan.reads_from, killed]
        });
        let network = [
            self.up.front().map(|(at, _)| *at),
            self.acknowledgements.front().map(|(at, _)| *at),
            self.down.front().map(|(at, _)| *at),
        ];
        let later = network.into_iter().flatten().chain(local).filter(|at| *at > self.now);
        later.chain(back).chain(self.agent.next(self.now)).min()
    }

    /// One millisecond; whether anything has moved.
    fn step(&mut self) -> Result<bool, String> {
        let is_away = self.is_away();
        if std::mem::replace(&mut self.was_away, is_away) && !is_away && self.script.tells {
            self.mux.resumed(self.instant());
        }
        if !is_away || !self.script.tells {
            self.mux.handle_timeout(self.instant());
        }
        let mut moved = false;
        if !is_away {
            moved |= self.arrive();
        }
        let nops = self.agent.nops;
        let mut busy = self.agent.step(self.now)? && self.agent.nops == nops;
        busy |= self.agent_sends();
        if !is_away {
            busy |= self.client_receives()?;
        }
        for local in 0..self.locals.len() {
            busy |= self.serve(local)?;
        }
        if busy {
            self.busy = self.now;
        }
        moved |= busy;
        self.heed_events()?;
        if !is_away {
            moved |= self.client_sends();
        }
        Ok(moved)
    }

    fn client_sends(&mut self) -> bool {
        let mut moved = false;
        for _ in 0..MESSAGES {
            let mut payload = Vec::new();
            if self.mux.handed_over() - self.acknowledged >= WINDOW
                || self.mux.poll_transmit(self.instant(), MESSAGE, &mut payload) == 0
            {
                break;
            }
            self.up.push_back((self.now + self.script.delay, payload));
            moved = true;
        }
        moved
    }

    /// What is under way to the agent, and its acknowledgements.
    fn arrive(&mut self) -> bool {
        let mut moved = false;
        while self.up.front().is_some_and(|(at, _)| *at <= self.now) && self.agent.has_room() {
            let (_, payload) = self.up.pop_front().unwrap();
            self.agent.receive(&payload);
            self.taken += payload.len() as u64;
            self.acknowledgements.push_back((self.now + self.script.delay, self.taken));
            moved = true;
        }
        while let Some((_, total)) = self.acknowledgements.pop_front_if(|(at, _)| *at <= self.now) {
            self.acknowledged = total;
            self.mux.delivered(self.instant(), total);
            moved = true;
        }
        moved
    }

    fn agent_sends(&mut self) -> bool {
        let mut moved = false;
        for _ in 0..MESSAGES {
            if self.outbox.len() < MESSAGE
                && let Some(Sent::Bytes(bytes)) = self.agent.sent.pop_front_if(|sent| matches!(sent, Sent::Bytes(_)))
            {
                self.outbox.extend(bytes);
            }
            let at = self.now + self.script.delay;
            if !self.outbox.is_empty() {
                let count = self.outbox.len().min(MESSAGE);
                self.down.push_back((at, Down::Payload(self.outbox.drain(..count).collect())));
            } else if self.agent.sent.pop_front().is_some() {
                self.down.push_back((at, Down::ConnectFailed));
            } else {
                break;
            }
            moved = true;
        }
        moved
    }

    fn client_receives(&mut self) -> Result<bool, String> {
        let mut moved = false;
        while self.down.front().is_some_and(|(at, _)| *at <= self.now) {
            let is_paused = !self.mux.wants_input();
            self.summary.pauses += u64::from(is_paused && !self.is_paused);
            self.is_paused = is_paused;
            if is_paused {
                let awaited = self.locals.iter().filter(|local| local.id.is_some() && local.is_awaiting());
                ensure!(awaited.count() <= 1, "a pause for one, while others wait");
                break;
            }
            match self.down.pop_front() {
                Some((_, Down::Payload(payload))) => {
                    self.mux.handle_bytes(&payload).map_err(|failure| failure.to_string())?;
                }
                _ => self.mux.connect_failed(),
            }
            self.heed_events()?;
            for local in 0..self.locals.len() {
                if self.locals[local].plan.is_prompt() {
                    self.read(local)?;
                }
            }
            moved = true;
        }
        Ok(moved)
    }

    fn heed_events(&mut self) -> Result<(), String> {
        while let Some(event) = self.mux.poll_event() {
            let now = self.now;
            let local = self.locals.iter_mut().find(|local| local.id == Some(event.stream()));
            let local = local.ok_or_else(|| format!("{event:?} of nobody"))?;
            ensure!(local.end.is_none() && !local.is_reset, "{event:?} after the end of {local:?}");
            match event {
                Event::Readable(_) => local.is_readable = true,
                Event::Writable(_) => ensure!(!local.is_closed, "writable after the end"),
                Event::Finished(_) | Event::Refused { .. } => local.end = Some(event),
                Event::Reset(_, ResetReason::Overrun) => {
                    ensure!(!local.plan.is_prompt(), "a reader that reads at once is reset: {local:?}");
                    local.is_reset = true;
                    self.summary.overrun += 1;
                }
                Event::Stalled(_, stall) => {
                    let least = DIAL_LIMIT.as_millis() as u64;
                    ensure!(now >= local.opened + least, "stalled at once: {local:?}");
                    ensure!(self.mux.is_stalled(), "{stall:?}, and not stalled");
                    local.stalls.push(stall);
                    match stall {
                        Stall::Unanswered => self.summary.unanswered += 1,
                        Stall::Undelivered => self.summary.undelivered += 1,
                    }
                }
            }
        }
        Ok(())
    }

    fn serve(&mut self, index: usize) -> Result<bool, String> {
        let (now, instant) = (self.now, self.instant());
        let local = &mut self.locals[index];
        if local.plan.at > now || local.end.is_some() || local.is_reset {
            return Ok(false);
        }
        let Some(id) = local.id else {
            local.id = Some(self.mux.open(instant).map_err(|error| error.to_string())?);
            local.opened = now;
            return Ok(true);
        };
        if matches!(local.plan.close, Close::Killed(at) if at <= now) {
            self.reset(index);
            return Ok(true);
        }
        let mut moved = false;
        let count = (local.plan.upload - local.sent).min(MESSAGES * 2_000);
        if count > 0 && !local.is_closed {
            let bytes: Vec<u8> = (local.sent..local.sent + count).map(|at| pattern(id.get(), at)).collect();
            let taken = self.mux.send(id, &bytes);
            local.sent += taken;
            moved |= taken > 0;
        }
        moved |= self.read(index)?;
        self.heed_events()?;
        let local = &mut self.locals[index];
        let is_time = match local.plan.close {
            Close::AtOnce => local.sent == local.plan.upload,
            Close::AfterFin | Close::Killed(_) => false,
            Close::AfterAnswer => local.sent == local.plan.upload && local.read == local.plan.answer,
        };
        if (is_time || local.end.is_some()) && !local.is_closed {
            local.is_closed = true;
            self.mux.close(id);
            moved = true;
        }
        Ok(moved)
    }

    /// The local program reads as much as it does in a millisecond.
    fn read(&mut self, index: usize) -> Result<bool, String> {
        let local = &mut self.locals[index];
        let Some(id) = local.id.filter(|_| self.now >= local.opened + local.plan.reads_from) else { return Ok(false) };
        let mut left = local.plan.reads;
        let before = local.read;
        while left > 0 {
            let bytes = self.mux.read(id);
            let Some(bytes) = bytes.get(..left.min(bytes.len())).filter(|bytes| !bytes.is_empty()) else { break };
            ensure!(local.is_readable, "bytes that were not announced");
            for byte in bytes {
                ensure!(*byte == !pattern(id.get(), local.read), "byte {} of {id} is another", local.read);
                local.read += 1;
            }
            left -= bytes.len();
            let count = bytes.len();
            self.mux.consume(id, count);
        }
        if self.mux.read(id).is_empty() {
            local.is_readable = false;
        }
        Ok(local.read > before)
    }

    fn reset(&mut self, index: usize) {
        let local = &mut self.locals[index];
        local.is_reset = true;
        self.summary.reset += 1;
        if let Some(id) = local.id {
            self.mux.reset(id);
        }
    }

    fn check_bounds(&self) -> Result<(), String> {
        let stats = self.mux.stats();
        ensure!(stats.queued <= self.locals.len() * QUEUE_LIMIT, "{stats:?}");
        ensure!(stats.unread <= self.script.unread_limit * 2, "{stats:?}");
        let awaiting = self.locals.iter().filter(|local| local.id.is_some() && local.is_awaiting()).count();
        let has_slack = awaiting <= 1 || stats.unread <= self.script.unread_limit + MESSAGE || self.is_paused;
        ensure!(has_slack, "{stats:?} while {awaiting} wait");
        for local in &self.locals {
            let most = QUEUE_LIMIT + self.script.in_flight_limit + MESSAGE;
            ensure!(local.id.is_none_or(|id| self.mux.undelivered(id) <= most), "too much of {local:?}");
        }
        Ok(())
    }

    /// What has to hold at the end.
    fn judge(&mut self) -> Result<(), String> {
        let stats = self.mux.stats();
        ensure!(stats.streams == 0 && stats.queued == 0 && stats.unread == 0, "something is left: {stats:?}");
        let nop = if self.script.keep_alive { 8 } else { 0 };
        ensure!(stats.in_flight <= nop && stats.ignored == 0 && !self.mux.is_stalled(), "something is left: {stats:?}");
        ensure!((self.agent.nops > 0) <= self.script.keep_alive, "NOPs");
        self.summary.nops = self.agent.nops;
        for local in &self.locals {
            let Some(id) = local.id else { continue };
            let Some(far) = self.agent.streams.get(&id.get()) else {
                ensure!(local.is_reset && local.read == 0, "the agent has never heard of {local:?}");
                continue;
            };
            let plan = &local.plan;
            ensure!(far.taken.len() <= local.sent, "{id}: bytes from nowhere");
            let wrong = (0..far.taken.len()).find(|at| far.taken[*at] != pattern(id.get(), *at));
            ensure!(wrong.is_none(), "{id}: byte {wrong:?} is another at the destination");
            ensure!(local.read <= far.answered, "{id}: bytes from nowhere");
            self.summary.up += far.taken.len() as u64;
            self.summary.down += local.read as u64;
            if self.script.away.is_empty() && self.script.budget >= 4 << 20 && plan.dial >= 9_000 && local.sent > 0 {
                ensure!(local.is_reset || local.stalls.contains(&Stall::Unanswered), "unnoticed: {local:?}");
            }
            if local.is_reset {
                continue;
            }
            match local.end {
                Some(Event::Refused { reported: true, .. }) if plan.refused => self.summary.refused += 1,
                Some(Event::Refused { reported: false, .. }) => {
                    ensure!(far.hung_up && far.answered == 0, "called refused: {local:?}");
                }
                Some(Event::Finished(_)) if !plan.refused => {
                    let is_whole_up = far.taken.len() == local.sent && local.sent == plan.upload;
                    ensure!(far.hung_up || is_whole_up, "{id}: {} of {} bytes up", far.taken.len(), plan.upload);
                    let is_whole_down = local.read == plan.answer;
                    let may_be_cut = plan.close == Close::AtOnce;
                    ensure!(is_whole_down || may_be_cut, "{id}: {} of {} bytes down", local.read, plan.answer);
                    ensure!(!far.hung_up || is_whole_down, "{id}: {} of {} bytes down", local.read, plan.answer);
                    self.summary.complete += u64::from(is_whole_up && is_whole_down);
                }
                other => return Err(format!("ended by {other:?}: {local:?}")),
            }
        }
        Ok(())
    }
}

impl Local {
    /// Whether bytes of the far side are still to come to it, as far as it knows.
    fn is_awaiting(&self) -> bool {
        self.end.is_none() && !self.is_reset && !self.is_readable
    }
}
