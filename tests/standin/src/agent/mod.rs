//! The agent as a state machine: what it answers to each message, and what it does when time passes.
//!
//! No sockets, no runtime, no clock (the time is handed in), no randomness but the generator that is handed in.
//! It behaves as protocol §4.2, §4.3, §5 and §6 say and, in shells and commands, as sessions §2, §3 and §5 do, including
//! what a client would wish it did not do. "Sessions" is the description of what is beyond SSH. It judges
//! nobody: breaches are [`crate::inspector`]'s business.

mod characters;
pub mod cipher;
mod command;
mod config;
mod forward;
pub mod handshake;
mod outgoing;
mod phases;
mod port;
mod program;
mod secret;
mod shell;
#[cfg(test)]
mod tests;
pub mod words;

pub use config::{AgentConfig, LOCAL_FORWARD, version};
pub use forward::{ForwardCounts, ForwardMode, ForwardRequest, PIPE_BYTES, mode as forward_mode};
pub use program::{Program, Signal};
pub use secret::DecryptRequest;

use crate::codec::{Acknowledgement, Message, message_type, payload_type};
use crate::kind::SessionKind;
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
    /// The terminal or the command came to its end.
    Program,
    /// The program could not be started.
    NotStarted,
    /// The smux of a forward died: the client broke its protocol or was silent for too long (sessions §4.4).
    Mux,
}

/// What the agent asks its surroundings to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentEvent {
    /// Connect to this port; answer with [`Agent::tcp_connected`] or [`Agent::tcp_refused`].
    Connect(String),
    /// Close the TCP connection after writing what [`Agent::poll_tcp_write`] gave, or let go of the program.
    CloseTcp,
    /// The session is over; the service sends `channel_closed` with this text.
    Ended(EndReason, String),
}

/// What the agent of a shell or command asks its surroundings to do besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentRequest {
    /// Start this program; answer with [`Agent::started`] or [`Agent::start_failed`]. What it says is handed in as the
    /// port's bytes are, [`Agent::stderr_data`] and [`Agent::exited`] besides.
    Start(Program),
    /// Set the size of the program's terminal: columns and rows.
    Resize(u16, u16),
    /// Send the program a signal.
    Signal(Signal),
    /// Let KMS decrypt a data key; answer with [`Agent::decrypted`].
    Decrypt(DecryptRequest),
}

/// What the agent counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct AgentCounts {
    /// Data messages acknowledged and thrown away because the handshake was not complete (§5).
    pub thrown_away: u64,
    /// Messages refused without acknowledgement because the port was not connected yet (§5) or the program was not there,
    /// and those whose handling failed (sessions §2.1, §5.3).
    pub refused: u64,
    /// Messages that came a second time.
    pub duplicates: u64,
    /// Messages that came ahead of an earlier one.
    pub out_of_order: u64,
    /// Messages that the agent sent again.
    pub retransmissions: u64,
    /// Bytes given to the TCP port or the terminal.
    pub bytes_to_port: u64,
    /// Bytes taken from the TCP port or the program and sent.
    pub bytes_from_port: u64,
    /// Bytes of a command's output that were lost because they were read in a pause (sessions §3.3).
    pub lost_output: u64,
    /// Frames that were no message.
    pub malformed: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Starting { at: Instant },
    AwaitingResponse { since: Instant },
    Completing { at: Instant, since: Instant },
    Decrypting { since: Instant, until: Option<Instant> },
    Decrypted { since: Instant },
    Challenging { since: Instant },
    AwaitingChallenge { since: Instant, sent: Instant },
    Gap { until: Instant },
    Unmarked { until: Instant },
    Launching { at: Instant },
    Connecting,
    Connected,
    Failing { at: Instant },
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
    requests: VecDeque<AgentRequest>,
    counts: AgentCounts,
    program: program::State,
    forward: forward::State,
    secret: secret::State,
    client_version: String,
}

impl Agent {
    /// An agent that starts at `now`, which is `epoch_ms` milliseconds after the Unix epoch.
    pub fn new(now: Instant, epoch_ms: u64, config: AgentConfig, mut rng: fastrand::Rng) -> Self {
        Self {
            secret: secret::State::new(&config, &mut rng),
            program: program::State::new(),
            forward: forward::State::default(),
            client_version: String::new(),
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
            requests: VecDeque::new(),
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
        if self.phase != Phase::Connected || self.paused || now < self.next_data {
            return None;
        }
        let (kind, payload) = self.next_output()?;
        self.fill_pipe(now);
        self.counts.bytes_from_port += payload.len() as u64;
        let late = now.checked_sub(MAX_CATCH_UP).unwrap_or(now);
        self.next_data = self.next_data.max(late) + self.config.spacing;
        self.send_stream(now, 0, kind, payload);
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
            Phase::AwaitingResponse { since } | Phase::Decrypted { since } | Phase::Challenging { since } => {
                Some(*since + self.config.response_timeout)
            }
            Phase::Decrypting { since, until } => {
                let limit = *since + self.config.response_timeout;
                Some(until.map_or(limit, |until| until.min(limit)))
            }
            Phase::AwaitingChallenge { sent, .. } => Some(*sent + self.config.response_timeout),
            Phase::Gap { until } | Phase::Unmarked { until } => Some(*until),
            Phase::Launching { at } | Phase::Failing { at } => Some(*at),
            Phase::Closing { deadline, .. } => Some(*deadline),
            Phase::Connected => self.program.read_from().or(self.forward.poll_timeout()),
            Phase::Connecting => None,
            Phase::Ended => return None,
        };
        let active = !self.paused && self.transport;
        let tick = (active && !self.outgoing.is_empty()).then_some(self.next_tick);
        let data = (active && self.phase == Phase::Connected && self.has_output()).then_some(self.next_data);
        [phase, tick, data].into_iter().flatten().min()
    }

    /// What the agent asks for next.
    pub fn poll_event(&mut self) -> Option<AgentEvent> {
        self.events.pop_front()
    }

    /// What the agent of a shell or command asks for next; look here before [`Self::poll_event`].
    pub fn poll_request(&mut self) -> Option<AgentRequest> {
        self.requests.pop_front()
    }

    /// The next bytes for the TCP port or the terminal.
    pub fn poll_tcp_write(&mut self) -> Option<Bytes> {
        self.tcp_out.pop_front()
    }

    /// Whether [`Self::poll_tcp_write`] has something.
    pub fn has_tcp_write(&self) -> bool {
        !self.tcp_out.is_empty()
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
        if self.config.kind != SessionKind::Port {
            return self.program_read_room();
        }
        if self.paused || self.phase != Phase::Connected || self.tcp_far_closed || !self.reads_port() {
            return 0;
        }
        TCP_READ_BYTES.saturating_sub(self.tcp_in.len())
    }

    /// Bytes came from the TCP port.
    pub fn tcp_data(&mut self, now: Instant, bytes: &[u8]) {
        if self.phase == Phase::Connected {
            if self.loses_output(0, bytes.len()) {
                return self.step(now);
            }
            if self.tcp_in.is_empty() {
                self.next_data = self.next_data.max(now);
            }
            self.tcp_in.extend_from_slice(bytes);
        }
    }

    /// The TCP peer closed. The agent notices when everything read before is sent and while it is not paused (§4.5).
    pub fn tcp_closed(&mut self, now: Instant) {
        if self.reads_port() {
            self.tcp_far_closed = true;
        }
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
        while !self.frozen && !self.deaf && !self.program.is_waited_for() && self.phase != Phase::Ended {
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
        if self.config.kind != SessionKind::Port {
            return self.deliver_to_program(now, message);
        }
        match message.payload_type {
            payload_type::HANDSHAKE_RESPONSE => self.take_response(now, &message.payload),
            payload_type::OUTPUT | payload_type::FLAG => self.deliver_to_port(now, message),
            _ => Delivery::Done,
        }
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

    fn send_stream(&mut self, now: Instant, flags: u64, payload_type: u32, payload: Bytes) {
        let payload = self.encrypted(payload_type, payload);
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
