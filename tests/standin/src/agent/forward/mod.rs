//! A forwarded port as the agent serves it (sessions §4): connections as streams of smux, or one after another with
//! agents and clients that are too old for it.
//!
//! Which of the two, when it is refused altogether, and what the client's messages do to either. The streams themselves
//! are [`mux`]'s business.

mod mux;
#[cfg(test)]
mod tests;

pub use mux::ForwardCounts;

use super::{Agent, AgentConfig, AgentEvent, Delivery, EndReason, Phase, version};
use crate::codec::{Message, flag, payload_type};
use bytes::Bytes;
use mux::{Dead, Mux};
use std::time::Instant;

/// First client version that speaks smux (sessions §1.3).
const CLIENT_SPEAKS_SMUX: [u64; 4] = [1, 1, 70, 0];
/// Last agent version that does not (sessions §1.3).
const AGENT_SPEAKS_NONE: [u64; 4] = [3, 0, 196, 0];
/// Last client version for which the agent keeps the session alive by signs of life (sessions §1.3).
const KEPT_ALIVE: [u64; 4] = [1, 2, 331, 0];
/// Bytes that are under way inside the agent, to and from its smux; stands for the buffers of the sockets between the
/// two.
pub const PIPE_BYTES: usize = 208 << 10;

/// How connections are carried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub enum ForwardMode {
    /// The session is one connection, as with SSH.
    #[default]
    Direct,
    /// One connection after another, without borders between them (sessions §4.3).
    Basic,
    /// As streams of smux (sessions §4.4).
    Mux,
}

/// What the agent of a forward asks its surroundings to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardRequest {
    /// Connect this stream to the destination; answer with [`Agent::stream_connected`] or [`Agent::stream_refused`].
    Dial(u32),
    /// Close this stream's connection.
    Close(u32),
}

/// What the agent knows of its forward.
#[derive(Debug, Default)]
pub(super) struct State {
    mode: ForwardMode,
    mux: Option<Mux>,
    /// Whether there is no connection, in basic mode, until the client sends something.
    idle: bool,
    /// Whether a connection is made for what the client sent.
    redialling: bool,
    /// What was counted where there is no smux.
    counts: ForwardCounts,
}

impl State {
    pub(super) fn is_redialling(&self) -> bool {
        self.redialling
    }

    pub(super) fn is_basic(&self) -> bool {
        self.mode == ForwardMode::Basic
    }

    pub(super) fn has_streams(&self) -> bool {
        self.mux.is_some()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.mux.as_ref().and_then(Mux::poll_timeout)
    }
}

/// How connections are carried between this agent and a client of this version, as either side decides it for itself.
pub fn mode(config: &AgentConfig, client_version: &str) -> ForwardMode {
    if !config.is_forward() {
        ForwardMode::Direct
    } else if version(client_version) >= CLIENT_SPEAKS_SMUX && version(&config.version) > AGENT_SPEAKS_NONE {
        ForwardMode::Mux
    } else {
        ForwardMode::Basic
    }
}

impl Agent {
    /// How connections are carried; known once the client has answered the handshake.
    pub fn forward_mode(&self) -> ForwardMode {
        self.forward.mode
    }

    /// What was counted of the forward.
    pub fn forward_counts(&self) -> ForwardCounts {
        match &self.forward.mux {
            Some(mux) => mux.counts(),
            None if self.forward.is_basic() => ForwardCounts {
                bytes_to_destinations: self.counts.bytes_to_port,
                bytes_from_destinations: self.counts.bytes_from_port,
                ..self.forward.counts
            },
            None => ForwardCounts::default(),
        }
    }

    /// What the agent of a forward asks for next.
    pub fn poll_forward(&mut self) -> Option<ForwardRequest> {
        self.forward.mux.as_mut().and_then(Mux::poll_request)
    }

    /// A stream's destination was reached.
    pub fn stream_connected(&mut self, now: Instant, id: u32) {
        self.dialled(now, id, true);
    }

    /// A stream's destination could not be reached.
    pub fn stream_refused(&mut self, now: Instant, id: u32) {
        self.dialled(now, id, false);
    }

    fn dialled(&mut self, now: Instant, id: u32, connected: bool) {
        let Some(mux) = self.forward.mux.as_mut().filter(|_| self.phase == Phase::Connected) else { return };
        if !mux.dialled(id, connected) {
            return;
        }
        // First the flag, in which no stream is named, then the stream's end (sessions §4.4).
        if !connected {
            self.send_stream(now, 0, payload_type::FLAG, flag::CONNECT_TO_PORT_FAILED.to_be_bytes().to_vec().into());
        }
        self.go_on(now);
    }

    /// Whether a stream has something for its destination.
    pub fn stream_wants_write(&self, id: u32) -> bool {
        self.phase == Phase::Connected && self.forward.mux.as_ref().is_some_and(|mux| mux.wants_write(id))
    }

    /// The next data for a stream's destination, which has taken everything before.
    pub fn stream_write(&mut self, now: Instant, id: u32) -> Option<Bytes> {
        let mux = self.forward.mux.as_mut().filter(|_| self.phase == Phase::Connected)?;
        let data = mux.write(id);
        self.go_on(now);
        data
    }

    /// How many bytes [`Self::stream_data`] may hand in now.
    pub fn stream_read_room(&self, id: u32) -> usize {
        if self.phase != Phase::Connected {
            return 0;
        }
        self.forward.mux.as_ref().map_or(0, |mux| mux.read_room(id))
    }

    /// Bytes came from a stream's destination.
    pub fn stream_data(&mut self, now: Instant, id: u32, bytes: &[u8]) {
        if let Some(mux) = self.forward.mux.as_mut().filter(|_| self.phase == Phase::Connected) {
            mux.data(id, bytes);
            self.fill_pipe(now);
        }
    }

    /// A stream's destination closed its connection.
    pub fn stream_closed(&mut self, now: Instant, id: u32) {
        if let Some(mux) = self.forward.mux.as_mut().filter(|_| self.phase == Phase::Connected) {
            mux.closed(id);
            self.go_on(now);
        }
    }

    /// Something has changed in the smux: there may be room for more, and something to say.
    fn go_on(&mut self, now: Instant) {
        let parsed = self.forward.mux.as_mut().map_or(Ok(()), Mux::parse);
        self.settle(now, parsed);
        self.read(now);
        self.step(now);
    }

    /// Ends the session when the smux is dead, else lets it speak.
    fn settle(&mut self, now: Instant, result: Result<(), Dead>) {
        match result {
            Ok(()) => self.fill_pipe(now),
            Err(Dead) if self.phase == Phase::Connected => self.close(now, EndReason::Mux),
            Err(Dead) => {}
        }
    }

    /// Moves frames from the smux to where the messages are made of, while there is room.
    pub(super) fn fill_pipe(&mut self, now: Instant) {
        let Some(mux) = &mut self.forward.mux else { return };
        while self.tcp_in.len() < PIPE_BYTES {
            let Some(frame) = mux.next_frame() else { return };
            if self.tcp_in.is_empty() {
                self.next_data = self.next_data.max(now);
            }
            self.tcp_in.extend_from_slice(&frame);
        }
    }

    /// The handshake is over: refuses the forward, connects, or waits for streams.
    pub(super) fn begin_port(&mut self, now: Instant) {
        self.forward.mode = mode(&self.config, &self.client_version);
        if let Some(text) = objection(&self.config).filter(|_| self.config.is_forward()) {
            return self.end(EndReason::Refused, text);
        }
        if self.forward.mode == ForwardMode::Mux {
            let keep_alive = version(&self.client_version) <= KEPT_ALIVE;
            self.forward.mux = Some(Mux::new(now, keep_alive));
            self.phase = Phase::Connected;
            self.next_data = now;
            return self.read(now);
        }
        self.dial();
    }

    fn dial(&mut self) {
        self.phase = Phase::Connecting;
        self.forward.counts.streams += u64::from(self.forward.is_basic());
        self.events.push_back(AgentEvent::Connect(self.config.port.clone()));
    }

    /// The one connection of basic mode is there, or is not.
    pub(super) fn basic_dialled(&mut self, connected: bool) {
        (self.forward.idle, self.forward.redialling) = (false, false);
        if self.forward.is_basic() {
            let counts = &mut self.forward.counts;
            (counts.open, counts.refused) = (u64::from(connected), counts.refused + u64::from(!connected));
            counts.peak = counts.peak.max(counts.open);
        }
    }

    /// Takes stream data and flags while the forward is up; `None` when it is no business of forwards.
    pub(super) fn deliver_to_forward(&mut self, now: Instant, message: &Message) -> Option<Delivery> {
        let is_flag = message.payload_type == payload_type::FLAG;
        match self.forward.mode {
            ForwardMode::Direct => None,
            // Flags but that of the end are ignored (sessions §4.4).
            ForwardMode::Mux if is_flag => {
                let ends = message.flag_value() == Some(flag::TERMINATE_SESSION);
                (!ends).then_some(Delivery::Done)
            }
            ForwardMode::Mux => Some(self.deliver_to_mux(now, &message.payload)),
            ForwardMode::Basic if is_flag => {
                let disconnects = message.flag_value() == Some(flag::DISCONNECT_TO_PORT);
                if disconnects {
                    self.hang_up();
                }
                disconnects.then_some(Delivery::Done)
            }
            // What it sends is the first of a new connection; nothing else is read until that is there (sessions §4.3).
            ForwardMode::Basic if self.forward.idle => {
                self.forward.redialling = true;
                self.dial();
                Some(Delivery::Blocked)
            }
            ForwardMode::Basic => None,
        }
    }

    fn deliver_to_mux(&mut self, now: Instant, payload: &Bytes) -> Delivery {
        let Some(mux) = &mut self.forward.mux else { return Delivery::Done };
        // What is not read any more fills the socket, and then the agent's one reader stands still (sessions §4.7).
        if mux.unparsed() + payload.len() > PIPE_BYTES {
            return Delivery::Blocked;
        }
        let result = mux.receive(payload);
        self.settle(now, result);
        Delivery::Done
    }

    /// Closes the connection of basic mode and waits for the client to send something (sessions §4.3).
    pub(super) fn hang_up(&mut self) {
        if !std::mem::replace(&mut self.forward.idle, true) {
            self.tcp_in.clear();
            self.tcp_far_closed = false;
            self.forward.counts.open = 0;
            self.events.push_back(AgentEvent::CloseTcp);
        }
    }

    /// Whether there is a connection to read from.
    pub(super) fn reads_port(&self) -> bool {
        self.forward.mux.is_none() && !self.forward.idle
    }

    /// Signs of life; whether there was anything to do.
    pub(super) fn step_forward(&mut self, now: Instant) -> bool {
        let Some(mux) = &mut self.forward.mux else { return false };
        match mux.keep_alive(now) {
            Ok(false) => false,
            Ok(true) => {
                self.fill_pipe(now);
                true
            }
            Err(Dead) => {
                self.settle(now, Err(Dead));
                true
            }
        }
    }

    /// The smux is torn down at the client's word; sometimes its streams' ends are still seen (sessions §4.4).
    pub(super) fn tear_down(&mut self, now: Instant) {
        // What is under way stays whole: no end in the middle of a frame.
        let whole = self.tcp_in.is_empty();
        let Some(mux) = self.forward.mux.as_ref().filter(|_| whole && self.rng.bool()) else { return };
        let ends: Vec<u8> =
            mux.open().into_iter().flat_map(|id| crate::smux::frame(crate::smux::command::FIN, id, b"")).collect();
        for payload in ends.chunks(self.config.payload.max(1)) {
            self.send_stream(now, 0, payload_type::OUTPUT, Bytes::copy_from_slice(payload));
        }
    }
}

/// Why the agent refuses the forward altogether (sessions §4.2).
fn objection(config: &AgentConfig) -> Option<String> {
    if config.port.is_empty() {
        let properties: Vec<String> = config.properties.iter().map(|(name, value)| format!("{name}:{value}")).collect();
        return Some(format!("Port number is empty in session properties. map[{}]", properties.join(" ")));
    }
    let host = config.host();
    config.is_denied(host).then(|| format!("Forwarding to IP address {host} is forbidden."))
}
