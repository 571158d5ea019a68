//! The agent as a state machine: what it answers to each message, and what it does when time passes.
//!
//! No sockets, no runtime, no clock (the time is handed in), no randomness but the generator that is handed in.
//! It behaves as protocol §4.2, §4.3, §5 and §6 say, including what a client would wish it did not do. It judges
//! nobody: breaches are [`crate::inspector`]'s business.

mod config;
pub mod handshake;
mod outgoing;
#[cfg(test)]
mod tests;

pub use config::{AgentConfig, version};

use crate::codec::{Acknowledgement, Message, SYN, flag, message_type, payload_type};
use bytes::{Bytes, BytesMut};
use outgoing::Outgoing;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Bytes of frames that wait while the agent's reader is blocked, before [`Agent::wants_frames`] says no. It
/// stands for the buffers between the service and the agent.
pub const INBOX_BYTES: usize = 1 << 20;
/// Bytes read from the TCP port ahead of the message that will carry them; stands for the socket's buffer.
pub const TCP_READ_BYTES: usize = 64 << 10;

/// How much of its surroundings' tardiness (timers are coarse) the agent makes up for when it spaces messages.
const MAX_CATCH_UP: Duration = Duration::from_millis(2);

/// Why the agent ended the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndReason {
    /// The client's terminate flag (§6).
    Flag,
    /// The TCP peer closed.
    Peer,
    /// The port could not be reached.
    Refused,
    /// No response within the time, or one that the agent objects to (§5).
    Handshake,
    /// The client asked for the port to be disconnected, which an SSH session takes for a failure (§6).
    Disconnected,
}

/// What the agent asks its surroundings to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentEvent {
    /// Connect to this port; answer with [`Agent::tcp_connected`] or [`Agent::tcp_refused`].
    Connect(String),
    /// Close the TCP connection after writing what [`Agent::poll_tcp_write`] gave.
    CloseTcp,
    /// The session is over; the service sends `channel_closed` with this text.
    Ended(EndReason, String),
}

/// What the agent counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct AgentCounts {
    /// Data messages acknowledged and thrown away because the handshake was not complete (§5).
    pub thrown_away: u64,
    /// Messages refused without acknowledgement because the port was not connected yet (§5).
    pub refused: u64,
    /// Messages that came a second time.
    pub duplicates: u64,
    /// Messages that came ahead of an earlier one.
    pub out_of_order: u64,
    /// Messages that the agent sent again.
    pub retransmissions: u64,
    /// Bytes given to the TCP port.
    pub bytes_to_port: u64,
    /// Bytes taken from the TCP port and sent.
    pub bytes_from_port: u64,
    /// Frames that were no message.
    pub malformed: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Starting { at: Instant },
    AwaitingResponse { since: Instant },
    Completing { at: Instant, since: Instant },
    Gap { until: Instant },
    Connecting,
    Connected,
    Closing { deadline: Instant, reason: EndReason },
    Ended,
}

#[derive(Debug, PartialEq, Eq)]
enum Delivery {
    Done,
    Refused,
    Blocked,
}

/// One agent, serving one session.
#[derive(Debug)]
pub struct Agent {
    config: AgentConfig,
    rng: fastrand::Rng,
    born: Instant,
    epoch_ms: u64,
    phase: Phase,
    paused: bool,
    transport: bool,
    frozen: bool,
    deaf: bool,
    draining: bool,
    response_taken: bool,
    terminated: bool,
    refusals_left: u32,
    inbox: VecDeque<Bytes>,
    inbox_bytes: usize,
    expected: i64,
    reorder: HashMap<i64, Message>,
    next_sequence: i64,
    outgoing: Outgoing,
    out: VecDeque<Bytes>,
    next_tick: Instant,
    next_data: Instant,
    tcp_room: usize,
    tcp_out: VecDeque<Bytes>,
    tcp_in: BytesMut,
    tcp_far_closed: bool,
    events: VecDeque<AgentEvent>,
    counts: AgentCounts,
}

impl Agent {
    /// An agent that starts at `now`, which is `epoch_ms` milliseconds after the Unix epoch.
    pub fn new(now: Instant, epoch_ms: u64, config: AgentConfig, rng: fastrand::Rng) -> Self {
        Self {
            phase: Phase::Starting { at: now + config.request_delay },
            outgoing: Outgoing::new(config.send_capacity),
            refusals_left: config.refuse_first,
            next_tick: now + config.tick,
            config,
            rng,
            born: now,
            epoch_ms,
            paused: false,
            transport: true,
            frozen: false,
            deaf: false,
            draining: false,
            response_taken: false,
            terminated: false,
            inbox: VecDeque::new(),
            inbox_bytes: 0,
            expected: 0,
            reorder: HashMap::new(),
            next_sequence: 0,
            out: VecDeque::new(),
            next_data: now,
            tcp_room: 0,
            tcp_out: VecDeque::new(),
            tcp_in: BytesMut::new(),
            tcp_far_closed: false,
            events: VecDeque::new(),
            counts: AgentCounts::default(),
        }
    }

    /// What it counted so far.
    pub fn counts(&self) -> AgentCounts {
        self.counts
    }

    /// Whether the session is over for it.
    pub fn is_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// Whether its reader has stopped for good: a second response or a second terminate flag (§5, §6).
    pub fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// Whether it holds back because of `pause_publication` (§4.5).
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// Messages that it sent and that are not acknowledged.
    pub fn unacknowledged(&self) -> usize {
        self.outgoing.len()
    }

    /// Sequence number of the next client message that it takes in order.
    pub fn expected(&self) -> i64 {
        self.expected
    }

    /// Whether frames may be handed in; while it says no they have to wait outside (back-pressure).
    pub fn wants_frames(&self) -> bool {
        self.inbox_bytes < INBOX_BYTES
    }

    /// A frame came from the service.
    pub fn handle_frame(&mut self, now: Instant, frame: &Bytes) {
        if !self.transport || self.phase == Phase::Ended {
            return;
        }
        self.inbox_bytes += frame.len();
        self.inbox.push_back(frame.clone());
        self.read(now);
        self.step(now);
    }

    /// The time named by [`Self::poll_timeout`] has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.step(now);
        if now >= self.next_tick {
            if !self.paused
                && self.transport
                && self.phase != Phase::Ended
                && let Some(frame) = self.outgoing.tick(now)
            {
                self.counts.retransmissions += 1;
                self.out.push_back(frame);
            }
            while self.next_tick <= now {
                self.next_tick += self.config.tick.max(Duration::from_micros(100));
            }
        }
    }

    /// The next frame for the service, if there is one now.
    pub fn poll_frame(&mut self, now: Instant) -> Option<Bytes> {
        if !self.transport {
            return None;
        }
        if let Some(frame) = self.out.pop_front() {
            return Some(frame);
        }
        if self.phase != Phase::Connected || self.paused || self.tcp_in.is_empty() || now < self.next_data {
            return None;
        }
        let payload = self.tcp_in.split_to(self.tcp_in.len().min(self.config.payload)).freeze();
        self.counts.bytes_from_port += payload.len() as u64;
        let late = now.checked_sub(MAX_CATCH_UP).unwrap_or(now);
        self.next_data = self.next_data.max(late) + self.config.spacing;
        self.send_stream(now, 0, payload_type::OUTPUT, payload);
        self.step(now);
        self.out.pop_front()
    }

    /// Whether [`Self::poll_frame`] has something that waits for nothing but to be taken.
    pub fn has_frames(&self) -> bool {
        self.transport && !self.out.is_empty()
    }

    /// When to call [`Self::handle_timeout`] and look for frames again, at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let phase = match &self.phase {
            Phase::Starting { at } | Phase::Completing { at, .. } => self.transport.then_some(*at),
            Phase::AwaitingResponse { since } => Some(*since + self.config.response_timeout),
            Phase::Gap { until } => Some(*until),
            Phase::Closing { deadline, .. } => Some(*deadline),
            Phase::Connecting | Phase::Connected => None,
            Phase::Ended => return None,
        };
        let active = !self.paused && self.transport;
        let tick = (active && !self.outgoing.is_empty()).then_some(self.next_tick);
        let data = (active && self.phase == Phase::Connected && !self.tcp_in.is_empty()).then_some(self.next_data);
        [phase, tick, data].into_iter().flatten().min()
    }

    /// What the agent asks for next.
    pub fn poll_event(&mut self) -> Option<AgentEvent> {
        self.events.pop_front()
    }

    /// The next bytes for the TCP port.
    pub fn poll_tcp_write(&mut self) -> Option<Bytes> {
        self.tcp_out.pop_front()
    }

    /// Whether [`Self::poll_tcp_write`] has something.
    pub fn has_tcp_write(&self) -> bool {
        !self.tcp_out.is_empty()
    }

    /// The port was connected.
    pub fn tcp_connected(&mut self, now: Instant) {
        if self.phase == Phase::Connecting {
            self.phase = Phase::Connected;
            self.next_data = now;
            self.read(now);
            self.step(now);
        }
    }

    /// The port could not be connected; `error` is the system's text.
    pub fn tcp_refused(&mut self, now: Instant, error: &str) {
        if self.phase != Phase::Connecting {
            return;
        }
        let text = if self.config.crash_on_refused_port {
            String::new()
        } else {
            format!("\n----------ERROR-------\nUnable to connect to specified port: {error}")
        };
        self.end(EndReason::Refused, text);
        self.step(now);
    }

    /// How many bytes the TCP peer can take now. At zero the agent blocks in its write and reads nothing, not even
    /// acknowledgements, as the real one does (§4.2).
    pub fn tcp_room(&mut self, now: Instant, bytes: usize) {
        self.tcp_room = bytes;
        if bytes > 0 {
            self.read(now);
            self.step(now);
        }
    }

    /// How many bytes [`Self::tcp_data`] may hand in now.
    pub fn tcp_read_room(&self) -> usize {
        if self.paused || self.phase != Phase::Connected || self.tcp_far_closed {
            return 0;
        }
        TCP_READ_BYTES.saturating_sub(self.tcp_in.len())
    }

    /// Bytes came from the TCP port.
    pub fn tcp_data(&mut self, now: Instant, bytes: &[u8]) {
        if self.phase == Phase::Connected {
            if self.tcp_in.is_empty() {
                self.next_data = self.next_data.max(now);
            }
            self.tcp_in.extend_from_slice(bytes);
        }
    }

    /// The TCP peer closed. The agent notices when everything read before is sent and while it is not paused (§4.5).
    pub fn tcp_closed(&mut self, now: Instant) {
        self.tcp_far_closed = true;
        self.step(now);
    }

    /// The agent's own connection to the service broke: what was under way is lost.
    pub fn transport_lost(&mut self) {
        self.transport = false;
        self.inbox.clear();
        self.inbox_bytes = 0;
        self.out.clear();
    }

    /// The agent's own connection to the service is back.
    pub fn transport_up(&mut self, now: Instant) {
        self.transport = true;
        self.step(now);
    }

    /// Sends a stream message of any payload type with the agent's next sequence number (§10.11).
    pub fn inject(&mut self, now: Instant, payload_type: u32, payload: Bytes) {
        if self.phase != Phase::Ended {
            self.send_stream(now, 0, payload_type, payload);
        }
    }

    fn read(&mut self, now: Instant) {
        while !self.frozen && !self.deaf && self.phase != Phase::Ended {
            if self.draining {
                self.draining = false;
                if let Some(message) = self.reorder.remove(&self.expected) {
                    match self.deliver(now, &message) {
                        Delivery::Done => {
                            self.expected += 1;
                            self.draining = true;
                        }
                        Delivery::Refused => {
                            self.reorder.insert(self.expected, message);
                        }
                        Delivery::Blocked => {
                            self.reorder.insert(self.expected, message);
                            self.draining = true;
                            return;
                        }
                    }
                    continue;
                }
            }
            let Some(frame) = self.inbox.pop_front() else { return };
            if self.process(now, &frame) == Delivery::Blocked {
                self.inbox.push_front(frame);
                return;
            }
            self.inbox_bytes = self.inbox_bytes.saturating_sub(frame.len());
        }
    }

    fn process(&mut self, now: Instant, frame: &Bytes) -> Delivery {
        let Ok(message) = Message::decode(frame) else {
            self.counts.malformed += 1;
            return Delivery::Done;
        };
        match message.name() {
            message_type::START_PUBLICATION => self.paused = false,
            message_type::PAUSE_PUBLICATION => self.paused = true,
            message_type::ACKNOWLEDGE => {
                self.paused = false;
                if let Ok(ack) = serde_json::from_slice::<Acknowledgement>(&message.payload) {
                    self.outgoing.acknowledged(now, ack.sequence);
                }
            }
            message_type::INPUT => {
                self.paused = false;
                return self.stream_message(now, message);
            }
            _ => self.counts.malformed += 1,
        }
        Delivery::Done
    }

    fn stream_message(&mut self, now: Instant, message: Message) -> Delivery {
        if message.sequence < self.expected {
            self.counts.duplicates += 1;
            if self.config.acknowledges_duplicates() {
                self.acknowledge(now, &message);
            }
        } else if message.sequence > self.expected {
            let known = self.reorder.contains_key(&message.sequence);
            if known {
                self.counts.duplicates += 1;
                self.acknowledge(now, &message);
            } else if self.reorder.len() < self.config.reorder_capacity {
                self.counts.out_of_order += 1;
                self.acknowledge(now, &message);
                self.reorder.insert(message.sequence, message);
            }
        } else {
            match self.deliver(now, &message) {
                Delivery::Done if self.frozen => {}
                Delivery::Done => {
                    self.acknowledge(now, &message);
                    self.expected += 1;
                    self.draining = true;
                }
                Delivery::Refused => {}
                Delivery::Blocked => return Delivery::Blocked,
            }
        }
        Delivery::Done
    }

    fn deliver(&mut self, now: Instant, message: &Message) -> Delivery {
        match message.payload_type {
            payload_type::HANDSHAKE_RESPONSE => {
                self.take_response(now, &message.payload);
                Delivery::Done
            }
            payload_type::OUTPUT | payload_type::FLAG => self.deliver_to_port(now, message),
            _ => Delivery::Done,
        }
    }

    fn take_response(&mut self, now: Instant, payload: &[u8]) {
        let Phase::AwaitingResponse { since } = self.phase else {
            self.frozen = true;
            return;
        };
        if std::mem::replace(&mut self.response_taken, true) {
            self.frozen = true;
            return;
        }
        if let Some(objection) = handshake::objection(payload) {
            let id = &self.config.session_id;
            let text = format!("Setting up data channel with id {id} failed: {objection}");
            self.end(EndReason::Handshake, text);
            return;
        }
        self.phase = Phase::Completing { at: now + self.config.complete_delay, since };
        if self.config.complete_before_ack {
            self.step(now);
        }
    }

    fn deliver_to_port(&mut self, now: Instant, message: &Message) -> Delivery {
        match self.phase {
            Phase::Starting { .. } | Phase::AwaitingResponse { .. } | Phase::Completing { .. } | Phase::Gap { .. } => {
                self.counts.thrown_away += 1;
                return Delivery::Done;
            }
            Phase::Connecting => {
                self.counts.refused += 1;
                return Delivery::Refused;
            }
            // The flag is handed to a queue without room, which nobody reads any more (§6): from here on the agent takes
            // nothing, acknowledgements included, until it ends by itself.
            Phase::Closing { reason: EndReason::Peer, .. } if message.payload_type == payload_type::FLAG => {
                self.deaf = true;
                return Delivery::Refused;
            }
            Phase::Closing { reason: EndReason::Peer, .. } => return Delivery::Done,
            Phase::Connected => {}
            Phase::Closing { .. } | Phase::Ended => {
                let again = message.flag_value() == Some(flag::TERMINATE_SESSION)
                    && message.payload_type == payload_type::FLAG
                    && self.terminated;
                self.frozen |= again;
                return Delivery::Refused;
            }
        }
        if self.refusals_left > 0 {
            self.refusals_left -= 1;
            self.counts.refused += 1;
            return Delivery::Refused;
        }
        if message.payload_type == payload_type::FLAG {
            self.take_flag(now, message);
            return Delivery::Done;
        }
        if self.tcp_far_closed {
            return Delivery::Done;
        }
        if self.tcp_room == 0 {
            return Delivery::Blocked;
        }
        self.tcp_room = self.tcp_room.saturating_sub(message.payload.len());
        self.counts.bytes_to_port += message.payload.len() as u64;
        self.tcp_out.push_back(message.payload.clone());
        Delivery::Done
    }

    fn take_flag(&mut self, now: Instant, message: &Message) {
        let reason = match message.flag_value() {
            Some(flag::TERMINATE_SESSION) if self.config.knows_terminate() => EndReason::Flag,
            Some(flag::DISCONNECT_TO_PORT) => EndReason::Disconnected,
            _ => return,
        };
        self.terminated = true;
        self.close(now, reason);
    }

    fn close(&mut self, now: Instant, reason: EndReason) {
        self.tcp_in.clear();
        self.events.push_back(AgentEvent::CloseTcp);
        self.phase = Phase::Closing { deadline: now + self.config.linger, reason };
    }

    fn end(&mut self, reason: EndReason, text: String) {
        self.phase = Phase::Ended;
        self.events.push_back(AgentEvent::Ended(reason, text));
    }

    /// Goes on from phase to phase as far as `now` allows.
    fn step(&mut self, now: Instant) {
        loop {
            match self.phase {
                Phase::Starting { at } if now >= at && self.transport => {
                    let request = handshake::request(&self.config).to_string();
                    self.phase = Phase::AwaitingResponse { since: now };
                    self.send_stream(now, SYN, payload_type::HANDSHAKE_REQUEST, request.into());
                    if self.config.duplicate_request {
                        self.out.extend(self.out.back().cloned());
                    }
                }
                Phase::AwaitingResponse { since } if now >= since + self.config.response_timeout => {
                    let id = &self.config.session_id;
                    let text = format!("Setting up data channel with id {id} failed: handshake timed out");
                    self.end(EndReason::Handshake, text);
                }
                Phase::Completing { at, since } if now >= at && self.transport => {
                    let took = u64::try_from(now.duration_since(since).as_nanos()).unwrap_or(u64::MAX);
                    let complete = handshake::complete(&self.config, took).to_string();
                    self.phase = Phase::Gap { until: now + self.config.complete_gap };
                    self.send_stream(now, 0, payload_type::HANDSHAKE_COMPLETE, complete.into());
                }
                Phase::Gap { until } if now >= until => {
                    self.phase = Phase::Connecting;
                    self.events.push_back(AgentEvent::Connect(self.config.port.clone()));
                }
                Phase::Connected if self.tcp_far_closed && self.tcp_in.is_empty() && !self.paused => {
                    self.close(now, EndReason::Peer);
                }
                Phase::Closing { deadline, reason } if now >= deadline || self.outgoing.is_empty() => {
                    self.end(reason, String::new());
                }
                _ => return,
            }
        }
    }

    fn send_stream(&mut self, now: Instant, flags: u64, payload_type: u32, payload: Bytes) {
        let message = Message::new(message_type::OUTPUT, self.next_sequence, flags, payload_type, payload);
        let frame = self.stamp(now, message).encode();
        self.outgoing.store(now, self.next_sequence, frame.clone());
        self.next_sequence += 1;
        if !self.paused {
            self.out.push_back(frame);
        }
    }

    fn acknowledge(&mut self, now: Instant, message: &Message) {
        let (id, date) = (self.fresh_id(), self.created_date(now));
        self.out.push_back(message.acknowledgement(id, date).encode());
    }

    fn stamp(&mut self, now: Instant, message: Message) -> Message {
        let (id, date) = (self.fresh_id(), self.created_date(now));
        message.stamped(id, date)
    }

    fn fresh_id(&mut self) -> Uuid {
        uuid::Builder::from_random_bytes(self.rng.u128(..).to_be_bytes()).into_uuid()
    }

    fn created_date(&self, now: Instant) -> u64 {
        let age = now.saturating_duration_since(self.born).as_millis();
        self.epoch_ms.saturating_add(u64::try_from(age).unwrap_or(u64::MAX)).max(1)
    }
}
