//! One world: ssh, channel, network, agent and sshd in one thread, with time as a number.
//!
//! Invariants: bytes arrive as they were sent, in order, both ways; nothing acknowledged is missing at the end; no
//! rule of the protocol is broken (the stand-in's judge looks at every frame); memory stays within its bounds; the
//! pace stays below the service's limit; a pause is heeded (`pauses.rs`); a round trip is never measured shorter than
//! the path; a new socket carries again at once what was not acknowledged on the old one; and the world ends.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ssm_channel::{Accepts, Channel, Config, Event, Kind, Service};
use standin::agent::version;
use standin::codec::{Message, channel_closed, message_type, publication};
use standin::{Agent, AgentEvent, Inspector, InspectorConfig, Link};
use uuid::Uuid;

use crate::pauses;
use crate::script::{Ender, Oversize, Script, Spell, Write};

/// Virtual time after which a world has not ended.
const LIMIT: Duration = Duration::from_secs(4 * 3600);
/// Rounds of one instant after which a world turns in circles.
const ROUNDS: u32 = 100_000;
/// The most that a channel may hold: window and look-ahead one way, reordered and delivered bytes the other way.
const MEMORY: usize = (256 << 10) + (64 << 10) + 2 * (11 << 20) + (256 << 10);
/// Messages a second that the service tolerates.
const SERVICE_LIMIT: u64 = 1000;
/// How long the tunnel waits for an old agent's acknowledgements at the end before it asks the API to end the session.
const PATIENCE: Duration = Duration::from_secs(60);
/// How soon after a new socket the first unacknowledged message must be on it: less than any retransmission timeout.
const RESENT_WITHIN: Duration = Duration::from_millis(50);
/// Payload bytes in a message that every service takes.
const CERTAIN_PAYLOAD: usize = 1024;
/// First agent that acknowledges duplicates.
const ACKNOWLEDGES_AGAIN: [u64; 4] = [3, 2, 1041, 0];

/// What worlds did, added up.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    pub(crate) bytes_up: u64,
    pub(crate) bytes_down: u64,
    pub(crate) client_resends: u64,
    pub(crate) agent_resends: u64,
    /// Frames that the client sent.
    pub(crate) frames: u64,
    pub(crate) cuts: u64,
    /// Messages with more payload than is certain, each transmission counted.
    pub(crate) larger: u64,
    /// Those of them that were sent after the first cut.
    pub(crate) larger_later: u64,
    /// The client has said that its messages will never be delivered.
    pub(crate) refused: bool,
    pub(crate) most_memory: usize,
    pub(crate) virtual_hours: f64,
}

impl Summary {
    pub(crate) fn add(&mut self, other: &Self) {
        self.bytes_up += other.bytes_up;
        self.bytes_down += other.bytes_down;
        self.client_resends += other.client_resends;
        self.agent_resends += other.agent_resends;
        self.frames += other.frames;
        self.cuts += other.cuts;
        self.larger += other.larger;
        self.most_memory = self.most_memory.max(other.most_memory);
        self.virtual_hours += other.virtual_hours;
    }
}

/// The byte at a place in a stream: such that a lost, doubled or exchanged piece shows.
fn byte_at(place: u64) -> u8 {
    (place.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8
}

/// A stream of known bytes: how much is written, how much has arrived.
#[derive(Default)]
struct Stream {
    writes: VecDeque<Write>,
    total: u64,
    available: u64,
    taken: u64,
    arrived: u64,
}

impl Stream {
    fn new(writes: &[Write]) -> Self {
        let total = writes.iter().map(|write| write.bytes as u64).sum();
        Self { writes: writes.to_vec().into(), total, ..Self::default() }
    }

    /// The next bytes, at most `room`.
    fn peek(&self, room: usize) -> Vec<u8> {
        let end = self.available.min(self.taken + room as u64);
        (self.taken..end).map(byte_at).collect()
    }

    fn arrive(&mut self, bytes: &[u8], what: &str) -> Result<(), String> {
        for byte in bytes {
            if self.arrived >= self.taken || *byte != byte_at(self.arrived) {
                return Err(format!("{what}: byte {} is not the one that was sent", self.arrived));
            }
            self.arrived += 1;
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.arrived == self.total
    }
}

/// Spells of one kind, and until when the present one lasts.
struct Spells {
    coming: VecDeque<Spell>,
    until: Option<Instant>,
}

impl Spells {
    fn new(mut spells: Vec<Spell>) -> Self {
        spells.sort_by_key(|spell| spell.at);
        Self { coming: spells.into(), until: None }
    }

    /// The spell that begins now, if one does.
    fn begins(&mut self, start: Instant, now: Instant) -> Option<Spell> {
        let spell = self.coming.pop_front_if(|spell| start + spell.at <= now)?;
        self.until = Some(self.until.map_or(now, |until| until.max(now)) + spell.lasts);
        Some(spell)
    }

    fn ends(&mut self, now: Instant) -> bool {
        self.until.take_if(|until| *until <= now).is_some()
    }

    fn is_on(&self) -> bool {
        self.until.is_some()
    }

    fn next(&self, start: Instant) -> Option<Instant> {
        self.until.into_iter().chain(self.coming.front().map(|spell| start + spell.at)).min()
    }
}

pub(crate) struct World {
    script: Script,
    start: Instant,
    now: Instant,
    channel: Channel,
    judge: Inspector,
    pause_judge: pauses::Judge,
    up: Link,
    down: Link,
    agent: Agent,
    upload: Stream,
    download: Stream,
    client_cuts: Spells,
    agent_cuts: Spells,
    pauses: Spells,
    peer_stalls: Spells,
    reader_stalls: Spells,
    connects_at: Option<Instant>,
    /// Messages that the client sent, besides acknowledgements.
    sent: u64,
    /// A new socket on which something has to be sent again: by when, and how much had been sent before.
    resend_due: Option<(Instant, u64)>,
    /// The session is over for the service; this is said to the client when it is attached.
    closing: Option<Bytes>,
    ending: Option<Instant>,
    over: bool,
    summary: Summary,
}

impl World {
    pub(crate) fn new(script: Script) -> Self {
        let start = Instant::now();
        let rng = |n: u64| fastrand::Rng::with_seed(script.seed.wrapping_mul(5).wrapping_add(n));
        let config = Config {
            unix_millis: 1_790_000_000_000,
            seed: script.seed,
            service: script.service,
            accepts: Accepts::Port,
        };
        let mut channel = Channel::new(config, start);
        channel.transport_up();
        Self {
            start,
            now: start,
            channel,
            judge: Inspector::new(InspectorConfig::default()),
            pause_judge: pauses::Judge::default(),
            up: Link::new(script.up.clone(), rng(1)),
            down: Link::new(script.down.clone(), rng(2)),
            agent: Agent::new(start, 1_790_000_000_000, script.agent.clone(), rng(3)),
            upload: Stream::new(&script.upload),
            download: Stream::new(&script.download),
            client_cuts: Spells::new(script.client_cuts.clone()),
            agent_cuts: Spells::new(script.agent_cuts.clone()),
            pauses: Spells::new(script.pauses.clone()),
            peer_stalls: Spells::new(script.peer_stalls.clone()),
            reader_stalls: Spells::new(script.reader_stalls.clone()),
            connects_at: None,
            sent: 0,
            resend_due: None,
            closing: None,
            ending: None,
            over: false,
            summary: Summary::default(),
            script,
        }
    }

    pub(crate) fn run(mut self) -> Result<Summary, String> {
        let mut rounds = 0;
        while !self.over {
            let moved = self.turn().map_err(|broken| format!("after {:?}: {broken}", self.now - self.start))?;
            self.judge_now()?;
            rounds = if moved { rounds + 1 } else { 0 };
            if rounds > ROUNDS {
                return Err(format!("turns in circles after {:?}", self.now - self.start));
            }
            if !moved && !self.over {
                self.pass_time()?;
            }
        }
        let traffic = self.judge.traffic();
        self.summary.bytes_up = self.upload.arrived;
        self.summary.bytes_down = self.download.arrived;
        self.summary.client_resends = self.channel.stats().resent;
        self.summary.agent_resends = self.agent.counts().retransmissions;
        self.summary.virtual_hours = (self.now - self.start).as_secs_f64() / 3600.0;
        if self.script.service == Service::Aws && traffic.peak_per_second >= SERVICE_LIMIT {
            return Err(format!("{} messages in one second", traffic.peak_per_second));
        }
        Ok(self.summary)
    }

    /// Lets everything happen that can happen now; whether anything did.
    fn turn(&mut self) -> Result<bool, String> {
        let mut moved = self.breaks_and_mends();
        moved |= self.ssh()?;
        moved |= self.network();
        moved |= self.target()?;
        moved |= self.end();
        Ok(moved)
    }

    fn breaks_and_mends(&mut self) -> bool {
        let (start, now) = (self.start, self.now);
        let mut moved = false;
        if let Some(cut) = self.client_cuts.begins(start, now) {
            // The service closes sockets in good order too.
            self.cut_client(cut.lasts.is_zero());
            moved = true;
        }
        if self.client_cuts.ends(now) {
            if self.closing.is_some() {
                // ResumeSession says that there is no such session any more.
                self.over = true;
            }
            // What the service has closed the socket for is rightly not sent again at once.
            let waits = self.channel.awaits_acknowledgement() && self.script.oversize != Oversize::RefusedWithClose;
            self.resend_due = waits.then_some((now + RESENT_WITHIN, self.sent));
            if let Some(oversize) = self.script.oversize_later {
                self.script.oversize = oversize;
            }
            self.channel.transport_up();
            moved = true;
        }
        if self.agent_cuts.begins(start, now).is_some() {
            self.agent.transport_lost();
            self.tell_client(message_type::PAUSE_PUBLICATION);
            moved = true;
        }
        if self.agent_cuts.ends(now) {
            self.agent.transport_up(now);
            self.tell_client(message_type::START_PUBLICATION);
            moved = true;
        }
        if let Some(pause) = self.pauses.begins(start, now) {
            self.tell_client(message_type::PAUSE_PUBLICATION);
            if pause.lasts.is_zero() {
                self.pauses.until = None;
            }
            moved = true;
        }
        if self.pauses.ends(now) {
            self.tell_client(message_type::START_PUBLICATION);
            moved = true;
        }
        moved |= self.peer_stalls.begins(start, now).is_some() | self.peer_stalls.ends(now);
        moved |= self.reader_stalls.begins(start, now).is_some() | self.reader_stalls.ends(now);
        moved
    }

    fn cut_client(&mut self, closed_by_service: bool) {
        self.summary.cuts += 1;
        self.resend_due = None;
        self.channel.transport_lost(closed_by_service);
        self.judge.transport_lost();
        self.pause_judge.new_socket(self.now);
        self.up.clear();
        self.down.clear();
    }

    /// A message of the service's own, past the agent's links.
    fn tell_client(&mut self, name: &str) {
        if !self.client_cuts.is_on() {
            let _ = self.channel.handle_frame(self.now, &publication(name, Uuid::nil(), 1).encode());
            self.pause_judge.told(self.now, name);
        }
    }

    /// ssh and the channel.
    fn ssh(&mut self) -> Result<bool, String> {
        let now = self.now;
        let mut moved = false;
        while let Some(write) = self.upload.writes.pop_front_if(|write| self.start + write.at <= now) {
            self.upload.available += write.bytes as u64;
        }
        self.channel.handle_timeout(now);
        while let Some(event) = self.channel.poll_event() {
            moved = true;
            self.heed(event)?;
        }
        if self.reader_stalls.is_on() {
            self.judge.forgive_acknowledgements();
        } else {
            while let Some(bytes) = self.channel.poll_output() {
                self.download.arrive(&bytes, "to ssh")?;
                moved = true;
            }
        }
        let taken = self.channel.send(now, &self.upload.peek(self.channel.send_capacity(now)));
        self.upload.taken += taken as u64;
        moved |= taken > 0;
        while let Some(frame) = self.channel.poll_frame(now) {
            let message = Message::decode(&frame).map_err(|error| format!("{error:?}"))?;
            self.pause_judge.sent(now, &message)?;
            self.summary.frames += 1;
            self.sent += u64::from(message.name() == message_type::INPUT);
            if self.service_takes(&message) {
                self.judge.from_client(now, &frame);
                self.up.send(now, frame);
            }
            moved = true;
        }
        Ok(moved)
    }

    /// Whether the service forwards a frame; it may answer one whose payload is too large for it.
    fn service_takes(&mut self, message: &Message) -> bool {
        if message.payload.len() <= CERTAIN_PAYLOAD {
            return true;
        }
        self.summary.larger += 1;
        self.summary.larger_later += u64::from(self.summary.cuts > 0);
        match self.script.oversize {
            Oversize::Taken => {}
            Oversize::TakenWithPause | Oversize::RefusedWithPause => self.tell_client(message_type::PAUSE_PUBLICATION),
            Oversize::RefusedWithClose => {
                self.cut_client(true);
                self.client_cuts.until = Some(self.now + Duration::from_millis(100));
            }
        }
        matches!(self.script.oversize, Oversize::Taken | Oversize::TakenWithPause)
    }

    fn heed(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Ready { kind: Kind::Port, agent_version }
                if agent_version.as_ref() == Some(&self.script.agent.version) => {}
            Event::CustomerMessage(text) if text == self.script.agent.customer_message => {}
            Event::Stalled => {
                self.cut_client(false);
                self.client_cuts.until = Some(self.now + Duration::from_millis(100));
            }
            Event::PayloadRefused if self.script.oversize_later == Some(Oversize::RefusedWithClose) => {
                self.summary.refused = true;
                self.over = true;
            }
            Event::Ended if self.ending.is_some() => {
                // The flag is in sequence: whoever has it has everything before it.
                if self.upload.arrived != self.upload.taken {
                    let Stream { arrived, taken, .. } = self.upload;
                    return Err(format!("the flag overtook data: {arrived} of {taken} bytes arrived"));
                }
                self.over = true;
            }
            Event::Closed { .. } if self.closing.is_some() => self.over = true,
            unexpected => return Err(format!("unexpected {unexpected:?}")),
        }
        Ok(())
    }

    fn network(&mut self) -> bool {
        let now = self.now;
        let mut moved = false;
        while self.agent.wants_frames()
            && let Some(frame) = self.up.poll(now)
        {
            if !self.agent_cuts.is_on() {
                self.agent.handle_frame(now, &frame);
            }
            moved = true;
        }
        while self.channel.wants_frames()
            && let Some(frame) = self.down.poll(now)
        {
            self.judge.to_client(now, &frame);
            if let Ok(message) = Message::decode(&frame) {
                self.pause_judge.delivered(now, &message);
            }
            let _ = self.channel.handle_frame(now, &frame);
            moved = true;
        }
        if let Some(frame) = self.closing.clone().filter(|_| !self.client_cuts.is_on() && !self.over) {
            moved |= self.channel.handle_frame(now, &frame).is_ok();
        }
        moved
    }

    /// The agent and sshd.
    fn target(&mut self) -> Result<bool, String> {
        let now = self.now;
        let mut moved = false;
        if self.agent.poll_timeout().is_some_and(|at| at <= now) {
            self.agent.handle_timeout(now);
        }
        if self.connects_at.take_if(|at| *at <= now).is_some() {
            self.agent.tcp_connected(now);
            moved = true;
        }
        self.agent.tcp_room(now, if self.peer_stalls.is_on() { 0 } else { usize::MAX });
        while let Some(event) = self.agent.poll_event() {
            moved = true;
            match event {
                AgentEvent::Connect(_) => self.connects_at = Some(now + self.script.connect),
                AgentEvent::CloseTcp => {}
                AgentEvent::Ended(_, text) => self.close(&text),
            }
        }
        while let Some(bytes) = self.agent.poll_tcp_write() {
            self.upload.arrive(&bytes, "to sshd")?;
            moved = true;
        }
        while let Some(write) = self.download.writes.pop_front_if(|write| self.start + write.at <= now) {
            self.download.available += write.bytes as u64;
        }
        let bytes = self.download.peek(self.agent.tcp_read_room());
        self.agent.tcp_data(now, &bytes);
        self.download.taken += bytes.len() as u64;
        moved |= !bytes.is_empty();
        while let Some(frame) = self.agent.poll_frame(now) {
            if !self.client_cuts.is_on() {
                self.down.send(now, frame);
            }
            moved = true;
        }
        Ok(moved)
    }

    fn close(&mut self, text: &str) {
        self.closing.get_or_insert_with(|| channel_closed("s", text, Uuid::nil(), 1).encode());
    }

    /// Ends the session when its time has come.
    fn end(&mut self) -> bool {
        if self.is_old() && self.patience_ends().is_some_and(|end| end <= self.now) && self.closing.is_none() {
            self.close("ended by the API");
            return true;
        }
        let is_time = self.script.ends_at.map_or(self.is_quiet(), |at| self.start + at <= self.now);
        if self.ending.is_some() || self.closing.is_some() || !is_time {
            return false;
        }
        self.ending = Some(self.now);
        match self.script.ender {
            Ender::Client => self.channel.finish(),
            Ender::Peer => self.agent.tcp_closed(self.now),
            Ender::Service => self.close("ended by an administrator"),
        }
        true
    }

    /// Everything is delivered and, by whoever does that, acknowledged.
    fn is_quiet(&self) -> bool {
        self.channel.is_ready()
            && self.upload.is_done()
            && self.download.is_done()
            && self.agent.unacknowledged() == 0
            && (self.is_old() || !self.channel.awaits_acknowledgement())
    }

    fn is_old(&self) -> bool {
        version(&self.script.agent.version) < ACKNOWLEDGES_AGAIN
    }

    fn patience_ends(&self) -> Option<Instant> {
        self.ending.map(|since| since + PATIENCE)
    }

    fn judge_now(&mut self) -> Result<(), String> {
        if !self.client_cuts.is_on() {
            self.judge.check(self.now);
        }
        let breaches = self.judge.take_breaches();
        if !breaches.is_empty() {
            return Err(format!("after {:?}: breaches: {breaches:?}", self.now - self.start));
        }
        if self.agent.is_frozen() {
            return Err("the agent's reader is frozen".into());
        }
        if let Some((_, before)) = self.resend_due.take_if(|(at, _)| *at <= self.now)
            && self.sent == before
        {
            return Err("nothing was sent again on the new socket".into());
        }
        let memory = self.channel.buffered_bytes();
        self.summary.most_memory = self.summary.most_memory.max(memory);
        if memory > MEMORY {
            return Err(format!("{memory} bytes held"));
        }
        let shortest = self.script.up.delay + self.script.down.delay;
        match self.channel.stats().round_trip {
            Some(measured) if measured < shortest => Err(format!("measured {measured:?} on a path of {shortest:?}")),
            _ => Ok(()),
        }
    }

    fn pass_time(&mut self) -> Result<(), String> {
        let spells = [&self.client_cuts, &self.agent_cuts, &self.pauses, &self.peer_stalls, &self.reader_stalls];
        let spells = spells.into_iter().filter_map(|spells| spells.next(self.start));
        let writes = [&self.upload, &self.download].into_iter().filter_map(|stream| stream.writes.front());
        let writes = writes.map(|write| self.start + write.at);
        let end = self.script.ends_at.filter(|_| self.ending.is_none()).map(|at| self.start + at);
        let resend = self.resend_due.map(|(at, _)| at);
        let patience = self.patience_ends().filter(|_| self.is_old() && self.closing.is_none());
        let down = self.down.poll_timeout().filter(|_| self.channel.wants_frames());
        let up = self.up.poll_timeout().filter(|_| self.agent.wants_frames());
        let machines = [
            self.channel.poll_timeout(self.now),
            self.agent.poll_timeout(),
            up,
            down,
            self.connects_at,
            end,
            patience,
            resend,
        ];
        let next = machines.into_iter().flatten().chain(spells).chain(writes).min();
        let Some(next) = next else {
            return Err(format!("nothing will ever happen again after {:?}: {}", self.now - self.start, self.state()));
        };
        // A time that has passed and moved nothing is looked at again a little later.
        self.now = next.max(self.now + Duration::from_micros(100));
        match self.now - self.start {
            elapsed if elapsed > LIMIT => Err(format!("not over after {elapsed:?}: {}", self.state())),
            _ => Ok(()),
        }
    }

    fn state(&self) -> String {
        format!(
            "up {}/{}, down {}/{}, agent expects {} and has {} unacknowledged, channel waits {}, ready {}, ending {}, {:?}, {:?}",
            self.upload.arrived,
            self.upload.total,
            self.download.arrived,
            self.download.total,
            self.agent.expected(),
            self.agent.unacknowledged(),
            self.channel.awaits_acknowledgement(),
            self.channel.is_ready(),
            self.ending.is_some(),
            self.channel.stats(),
            self.agent.counts(),
        )
    }
}
