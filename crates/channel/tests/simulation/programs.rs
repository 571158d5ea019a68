//! Shells and commands in seeded worlds: what they write and are sent, their exit status, sizes, encryption, and connections
//! that are lost while they run.
//!
//! A program ends when its time has come and all that it was to be sent has arrived, so that a world in which something of
//! that is lost never ends.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ssm_channel::{Accepts, Channel, Config, Event, Kind, Service, Size};
use standin::codec::{channel_closed, message_type, publication};
use standin::{
    Agent, AgentConfig, AgentEvent, AgentRequest, Inspector, InspectorConfig, Link, LinkConfig, SessionKind,
};
use uuid::Uuid;

/// A world that is not over by then never will be.
const LIMIT: Duration = Duration::from_secs(1800);
/// Turns in one moment, after which nothing can be left to move.
const ROUNDS: usize = 2_000;
/// Without a byte read for so long an agent has given its command's output up.
const GIVEN_UP: Duration = Duration::from_secs(20);
/// Memory of a channel, in bytes: what may be out of order, and what is sent.
const MEMORY: usize = 13 << 20;

/// One world, before it is run.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) seed: u64,
    pub(crate) kind: SessionKind,
    pub(crate) encrypted: bool,
    agent: AgentConfig,
    up: LinkConfig,
    down: LinkConfig,
    /// From KMS being asked to its answer.
    kms: Duration,
    /// Written by the program: when after its start, how much, and whether to stderr.
    writes: Vec<(Duration, usize, bool)>,
    /// Typed: when, and how much.
    typed: Vec<(Duration, usize)>,
    /// Sizes that the terminal takes.
    sizes: Vec<(Duration, Size)>,
    /// The client's socket is away: from when, for how long.
    cuts: Vec<(Duration, Duration)>,
    /// How long the program runs at least, and its exit code; none if a signal kills it.
    runs: Duration,
    code: Option<i32>,
}

impl Script {
    pub(crate) fn of(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let kinds = [SessionKind::Shell, SessionKind::InteractiveCommand, SessionKind::NonInteractiveCommand];
        let kind = rng.choice(kinds).unwrap_or(SessionKind::Shell);
        let (encrypted, calm) = (rng.u8(..3) == 0, rng.u8(..3) == 0);
        let span = rng.choice([200, 2_000, 10_000]).unwrap_or(200);
        let up_to = |rng: &mut fastrand::Rng, millis: u64| Duration::from_micros(rng.u64(..=millis * 1000));
        let has_terminal = kind != SessionKind::NonInteractiveCommand;
        let link = |rng: &mut fastrand::Rng, corrupt: f64| LinkConfig {
            loss: if calm { 0.0 } else { rng.f64() * 0.1 },
            duplicate: if calm { 0.0 } else { rng.f64() * 0.1 },
            reorder: if calm { 0.0 } else { rng.f64() * 0.2 },
            reorder_by: up_to(rng, 100),
            corrupt: if calm { 0.0 } else { rng.f64() * corrupt },
            delay: Duration::from_millis(rng.choice([0, 1, 20, 100]).unwrap_or(0)),
            jitter: up_to(rng, 20),
            ..LinkConfig::default()
        };
        let agent = AgentConfig {
            kind,
            command: "command".to_owned(),
            separate: true,
            kms_key_id: encrypted.then(|| "alias/key".to_owned()),
            kms_challenge: rng.bool(),
            request_delay: up_to(&mut rng, 50),
            complete_delay: up_to(&mut rng, 20),
            complete_gap: up_to(&mut rng, 5),
            skip_gap: up_to(&mut rng, 10),
            launch_delay: up_to(&mut rng, 50),
            decrypt_delay: up_to(&mut rng, 500),
            ..AgentConfig::default()
        };
        let count = |rng: &mut fastrand::Rng, most: usize| rng.usize(..=most);
        let stderr = !has_terminal;
        let writes = (0..count(&mut rng, 20))
            .map(|_| (up_to(&mut rng, span), rng.usize(1..3_000), stderr && rng.u8(..3) == 0))
            .collect::<Vec<_>>();
        // Only what has a terminal can be sent anything, and only what has written something is known to be there.
        let silent = !encrypted && writes.is_empty();
        let typed = if has_terminal && !silent { count(&mut rng, 10) } else { 0 };
        let typed = (0..typed).map(|_| (up_to(&mut rng, span), rng.usize(1..2_000))).collect();
        let sizes = if has_terminal { count(&mut rng, 5) } else { 0 };
        let sizes =
            (0..sizes).map(|n| (up_to(&mut rng, span), Size { cols: 80 + n as u16, rows: rng.u16(1..100) })).collect();
        let cuts = if rng.bool() { count(&mut rng, 3) } else { 0 };
        let cuts = (0..cuts).map(|_| (up_to(&mut rng, span * 2), up_to(&mut rng, 3_000))).collect();
        Self {
            seed,
            kind,
            encrypted,
            agent,
            // The agent does not check digests: no client can mend what is changed on the way up.
            up: link(&mut rng, 0.0),
            down: link(&mut rng, 0.03),
            kms: up_to(&mut rng, 1_000),
            writes: sorted(writes),
            typed: sorted(typed),
            sizes: sorted(sizes),
            cuts: sorted(cuts),
            runs: up_to(&mut rng, span),
            code: if rng.u8(..5) == 0 { None } else { Some(rng.i32(0..256)) },
        }
    }
}

fn sorted<T: Timed>(mut all: Vec<T>) -> Vec<T> {
    all.sort_by_key(Timed::at);
    all
}

/// Something that happens at a time.
trait Timed {
    fn at(&self) -> Duration;
}

impl<T> Timed for (Duration, T) {
    fn at(&self) -> Duration {
        self.0
    }
}

impl<T, U> Timed for (Duration, T, U) {
    fn at(&self) -> Duration {
        self.0
    }
}

/// The byte at a place of a stream: such that a lost, doubled or exchanged piece shows. Below 128, since a terminal's output
/// is held back within a character.
fn byte_at(place: u64, salt: u64) -> u8 {
    ((place ^ salt << 40).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 57) as u8
}

/// A stream of known bytes.
#[derive(Default)]
struct Stream {
    salt: u64,
    written: u64,
    taken: u64,
    arrived: u64,
}

impl Stream {
    fn take(&mut self, room: usize) -> Vec<u8> {
        let end = self.written.min(self.taken + room as u64);
        let bytes = (self.taken..end).map(|place| byte_at(place, self.salt)).collect();
        self.taken = end;
        bytes
    }

    fn arrive(&mut self, bytes: &[u8]) -> Result<(), String> {
        for byte in bytes {
            if self.arrived >= self.taken || *byte != byte_at(self.arrived, self.salt) {
                return Err(format!("byte {} of stream {} is not the one that was sent", self.arrived, self.salt));
            }
            self.arrived += 1;
        }
        Ok(())
    }
}

/// What became of a world.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Summary {
    pub(crate) bytes: u64,
    pub(crate) cuts: u64,
    /// Worlds in which output was lost, in which that was told, and in which it was told for nothing.
    pub(crate) lost: u64,
    pub(crate) told: u64,
    pub(crate) needless: u64,
    /// Worlds whose handshake was not complete in time.
    pub(crate) failed: u64,
}

impl Summary {
    pub(crate) fn add(&mut self, other: &Self) {
        self.bytes += other.bytes;
        self.cuts += other.cuts;
        self.lost += other.lost;
        self.told += other.told;
        self.needless += other.needless;
        self.failed += other.failed;
    }
}

pub(crate) struct World {
    script: Script,
    start: Instant,
    now: Instant,
    channel: Channel,
    agent: Agent,
    judge: Inspector,
    up: Link,
    down: Link,
    data_key: [u8; 64],
    /// When KMS has made the key.
    key_at: Option<Instant>,
    launched: Option<Instant>,
    /// When the agent has read something of it for the last time, or could not.
    moved_at: Instant,
    /// Everything of the program's has been handed over.
    ended: bool,
    writes: VecDeque<(Duration, usize, bool)>,
    typed: VecDeque<(Duration, usize)>,
    sizes: VecDeque<(Duration, Size)>,
    cuts: VecDeque<(Duration, Duration)>,
    away_until: Option<Instant>,
    stdout: Stream,
    stderr: Stream,
    input: Stream,
    wanted: Option<Size>,
    applied: Option<Size>,
    ready: Option<Kind>,
    status: Option<i64>,
    closing: Option<Bytes>,
    /// The agent ended with messages that the client never acknowledged.
    lingered_out: bool,
    over: bool,
    summary: Summary,
}

impl World {
    pub(crate) fn new(script: Script) -> Self {
        let start = Instant::now();
        let rng = |n: u64| fastrand::Rng::with_seed(script.seed.wrapping_mul(7).wrapping_add(n));
        let unix_millis = 1_790_000_000_000;
        let config = Config { unix_millis, seed: script.seed, service: Service::Aws, accepts: Accepts::All };
        let mut channel = Channel::new(config, start);
        let has_terminal = script.kind != SessionKind::NonInteractiveCommand;
        let wanted = has_terminal.then_some(Size { cols: 79, rows: 24 });
        wanted.into_iter().for_each(|size| channel.resize(size));
        channel.transport_up();
        let stream = |salt| Stream { salt, ..Stream::default() };
        let mut data_key = [0; 64];
        rng(5).fill(&mut data_key);
        let mut judge = Inspector::new(InspectorConfig::default()).of_kind(script.kind, script.encrypted);
        if script.encrypted {
            judge.set_data_key(&data_key);
        }
        Self {
            start,
            now: start,
            channel,
            // The agent's clock is behind.
            agent: Agent::new(start, unix_millis - 40_000, script.agent.clone(), rng(1)),
            judge,
            up: Link::new(script.up.clone(), rng(2)),
            down: Link::new(script.down.clone(), rng(3)),
            data_key,
            key_at: None,
            launched: None,
            moved_at: start,
            ended: false,
            writes: script.writes.clone().into(),
            typed: script.typed.clone().into(),
            sizes: script.sizes.clone().into(),
            cuts: script.cuts.clone().into(),
            away_until: None,
            stdout: stream(1),
            stderr: stream(2),
            input: stream(3),
            wanted,
            applied: None,
            ready: None,
            status: None,
            closing: None,
            lingered_out: false,
            over: false,
            summary: Summary::default(),
            script,
        }
    }

    pub(crate) fn run(mut self) -> Result<Summary, String> {
        let mut rounds = 0;
        while !self.over {
            let moved = self.turn().map_err(|broken| format!("after {:?}: {broken}", self.now - self.start))?;
            let breaches = self.judge.take_breaches();
            if !breaches.is_empty() {
                return Err(format!("after {:?}: breaches: {breaches:?}", self.now - self.start));
            }
            rounds = if moved { rounds + 1 } else { 0 };
            if rounds > ROUNDS || self.channel.buffered_bytes() > MEMORY {
                return Err(format!("in circles, or without bounds, after {:?}", self.now - self.start));
            }
            if !moved && !self.over {
                self.pass_time()?;
            }
        }
        self.verdict()
    }

    fn turn(&mut self) -> Result<bool, String> {
        let mut moved = self.cut_and_mend();
        moved |= self.person();
        moved |= self.client()?;
        moved |= self.network();
        moved |= self.node()?;
        Ok(moved)
    }

    /// The service closes the client's socket, or the client has another; the agent is told to pause meanwhile.
    fn cut_and_mend(&mut self) -> bool {
        let (start, now) = (self.start, self.now);
        if self.away_until.take_if(|until| *until <= now).is_some() {
            self.channel.transport_up();
            self.tell_agent(message_type::START_PUBLICATION);
            return true;
        }
        let cut = self.cuts.pop_front_if(|(at, _)| start + *at <= now);
        let Some((_, lasts)) = cut.filter(|_| self.away_until.is_none()) else { return cut.is_some() };
        self.away_until = Some(now + lasts);
        self.summary.cuts += 1;
        self.channel.transport_lost(lasts.is_zero());
        self.judge.transport_lost();
        self.up.clear();
        self.down.clear();
        self.tell_agent(message_type::PAUSE_PUBLICATION);
        true
    }

    fn tell_agent(&mut self, name: &str) {
        self.agent.handle_frame(self.now, &publication(name, Uuid::nil(), 1).encode());
    }

    /// Types, and drags the window's corner.
    fn person(&mut self) -> bool {
        let (start, now) = (self.start, self.now);
        let mut moved = false;
        while let Some((_, length)) = self.typed.pop_front_if(|(at, _)| start + *at <= now) {
            self.input.written += length as u64;
        }
        while let Some((_, size)) = self.sizes.pop_front_if(|(at, _)| start + *at <= now) {
            self.channel.resize(size);
            self.wanted = Some(size);
            moved = true;
        }
        let typed = self.input.take(self.channel.send_capacity(now));
        moved |= !typed.is_empty();
        assert_eq!(self.channel.send(now, &typed), typed.len());
        moved
    }

    fn client(&mut self) -> Result<bool, String> {
        let now = self.now;
        let mut moved = false;
        if self.key_at.take_if(|at| *at <= now).is_some() {
            self.channel.encrypt(now, &self.data_key, b"blob");
            moved = true;
        }
        self.channel.handle_timeout(now);
        while let Some(event) = self.channel.poll_event() {
            moved = true;
            match event {
                Event::KeyWanted(_) if self.script.encrypted => self.key_at = Some(now + self.script.kms),
                Event::Ready { kind, .. } => self.ready = Some(kind),
                Event::ExitStatus(status) => self.status = Some(status),
                Event::Closed { .. } => self.over = true,
                Event::Alive | Event::CustomerMessage(_) => {}
                Event::Stalled => self.cuts.push_front((Duration::ZERO, Duration::from_millis(100))),
                unexpected => return Err(format!("unexpected {unexpected:?}")),
            }
        }
        while let Some(bytes) = self.channel.poll_output() {
            self.stdout.arrive(&bytes)?;
            moved = true;
        }
        while let Some(bytes) = self.channel.poll_stderr() {
            self.stderr.arrive(&bytes)?;
            moved = true;
        }
        while let Some(frame) = self.channel.poll_frame(now) {
            self.judge.from_client(now, &frame);
            self.up.send(now, frame);
            moved = true;
        }
        Ok(moved)
    }

    fn network(&mut self) -> bool {
        let now = self.now;
        let mut moved = false;
        while self.agent.wants_frames()
            && let Some(frame) = self.up.poll(now)
        {
            self.agent.handle_frame(now, &frame);
            moved = true;
        }
        while self.channel.wants_frames()
            && let Some(frame) = self.down.poll(now)
        {
            self.judge.to_client(now, &frame);
            let _ = self.channel.handle_frame(now, &frame);
            moved = true;
        }
        if let Some(frame) = self.closing.clone().filter(|_| self.away_until.is_none() && !self.over) {
            moved |= self.channel.handle_frame(now, &frame).is_ok();
        }
        moved
    }

    /// The agent and its program.
    fn node(&mut self) -> Result<bool, String> {
        let now = self.now;
        let mut moved = false;
        if self.agent.poll_timeout().is_some_and(|at| at <= now) {
            self.agent.handle_timeout(now);
        }
        while let Some(request) = self.agent.poll_request() {
            moved = true;
            match request {
                AgentRequest::Start(_) => {
                    self.agent.started(now);
                    self.launched = Some(now);
                }
                AgentRequest::Resize(cols, rows) => self.applied = Some(Size { cols, rows }),
                AgentRequest::Decrypt(_) => self.agent.decrypted(now, Duration::ZERO, Ok(self.data_key.to_vec())),
                AgentRequest::Signal(signal) => return Err(format!("nobody has asked for {signal:?}")),
            }
        }
        moved |= self.program();
        self.agent.tcp_room(now, usize::MAX);
        while let Some(bytes) = self.agent.poll_tcp_write() {
            self.input.arrive(&bytes)?;
            moved = true;
        }
        while let Some(event) = self.agent.poll_event() {
            moved = true;
            if let AgentEvent::Ended(_, text) = event {
                self.lingered_out = self.agent.unacknowledged() > 0;
                self.closing = Some(channel_closed("s", &text, Uuid::nil(), 1).encode());
            }
        }
        while let Some(frame) = self.agent.poll_frame(now) {
            if self.away_until.is_none() {
                self.down.send(now, frame);
            }
            moved = true;
        }
        Ok(moved)
    }

    fn program(&mut self) -> bool {
        let now = self.now;
        let Some(launched) = self.launched.filter(|_| !self.ended) else { return false };
        let mut moved = false;
        while let Some((_, length, to_stderr)) = self.writes.pop_front_if(|(at, ..)| launched + *at <= now) {
            let stream = if to_stderr { &mut self.stderr } else { &mut self.stdout };
            stream.written += length as u64;
        }
        let out = self.stdout.take(self.agent.tcp_read_room());
        if !out.is_empty() {
            self.agent.tcp_data(now, &out);
            moved = true;
        }
        let err = self.stderr.take(self.agent.stderr_read_room());
        if !err.is_empty() {
            self.agent.stderr_data(now, &err);
            moved = true;
        }
        if moved || self.away_until.is_some() {
            self.moved_at = now;
        }
        if self.may_end(launched) {
            self.ended = true;
            if self.script.kind == SessionKind::NonInteractiveCommand {
                self.agent.stderr_closed(now);
                self.agent.exited(now, self.script.code);
            }
            self.agent.tcp_closed(now);
            moved = true;
        }
        moved
    }

    /// Whether its time has come, and it has got all that it was to be sent. What a reader that has given up leaves behind is
    /// lost.
    fn may_end(&self, launched: Instant) -> bool {
        // An agent that has read nothing for so long will never read again.
        let has_given_up = self.moved_at + GIVEN_UP <= self.now;
        let is_read = |stream: &Stream| stream.taken == stream.written || has_given_up;
        self.writes.is_empty()
            && launched + self.script.runs <= self.now
            && is_read(&self.stdout)
            && is_read(&self.stderr)
            && self.typed.is_empty()
            && self.sizes.is_empty()
            && self.input.arrived == self.input.written
            && (self.applied == self.wanted || !self.is_heard())
    }

    /// Whether the client has a sign that the program is there. The size of one that is silent may be lost, and is not missed.
    fn is_heard(&self) -> bool {
        self.script.encrypted || !self.script.writes.is_empty()
    }

    fn pass_time(&mut self) -> Result<(), String> {
        let (start, launched) = (self.start, self.launched);
        let program = launched.filter(|_| !self.ended).map(|launched| {
            let write = self.writes.front().map(|(at, ..)| launched + *at);
            write.unwrap_or((launched + self.script.runs).max(self.moved_at + GIVEN_UP))
        });
        let times = [
            self.channel.poll_timeout(self.now),
            self.agent.poll_timeout(),
            self.up.poll_timeout().filter(|_| self.agent.wants_frames()),
            self.down.poll_timeout().filter(|_| self.channel.wants_frames()),
            self.typed.front().map(|(at, _)| start + *at),
            self.sizes.front().map(|(at, _)| start + *at),
            self.cuts.front().map(|(at, _)| start + *at),
            self.away_until,
            self.key_at,
            program,
        ];
        let next = times.into_iter().flatten().min();
        let Some(next) = next else { return Err(format!("nothing will ever happen again: {}", self.state())) };
        // A time that has passed and moved nothing is looked at again a little later.
        self.now = next.max(self.now + Duration::from_micros(200));
        if self.now - self.start > LIMIT { Err(format!("not over: {}", self.state())) } else { Ok(()) }
    }

    fn state(&self) -> String {
        format!(
            "typed {}/{}, stdout {}/{}, stderr {}/{}, size {:?} of {:?}, ready {:?}, launched {}, ended {}",
            self.input.arrived,
            self.input.written,
            self.stdout.arrived,
            self.stdout.written,
            self.stderr.arrived,
            self.stderr.written,
            self.applied,
            self.wanted,
            self.ready,
            self.launched.is_some(),
            self.ended,
        )
    }

    /// Whether what came is what was to come, and what did not come was told.
    fn verdict(mut self) -> Result<Summary, String> {
        self.summary.bytes = self.stdout.arrived + self.stderr.arrived + self.input.arrived;
        if !self.ended {
            // The agent gives a handshake up after 15 s.
            self.summary.failed = 1;
            return if self.ready.is_none() { Ok(self.summary) } else { Err(format!("cut off: {}", self.state())) };
        }
        let is_lost = |stream: &Stream| stream.arrived < stream.written;
        // A stream that never had any is not suspected while the other goes on.
        let is_seen = |stream: &Stream, other: &Stream| is_lost(stream) && (stream.arrived > 0 || other.arrived == 0);
        let lost = is_seen(&self.stdout, &self.stderr) || is_seen(&self.stderr, &self.stdout);
        let told = self.channel.may_have_lost_output();
        self.summary.lost = u64::from(lost);
        self.summary.told = u64::from(told);
        self.summary.needless = u64::from(told && !lost);
        if lost && !told && !self.lingered_out && !self.channel.lacks_messages() {
            return Err(format!("output is lost, and nobody is told: {}", self.state()));
        }
        if told && self.summary.cuts == 0 {
            return Err("output is said to be lost without an interruption".into());
        }
        let sent = self.agent.exit_code().filter(|_| !self.lingered_out);
        if sent.is_some() && self.status != sent.map(i64::from) {
            return Err(format!("the exit status was {sent:?}, not {:?}", self.status));
        }
        let kind = if self.script.kind == SessionKind::NonInteractiveCommand { Kind::Command } else { Kind::Terminal };
        match self.ready {
            Some(ready) if ready != kind => Err(format!("{:?} taken for {ready:?}", self.script.kind)),
            _ => Ok(self.summary),
        }
    }
}
