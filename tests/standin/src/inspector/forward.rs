//! The judge of forwards: whether the client's bytes are smux as version 1 has it (sessions §4.5).
//!
//! It reads them in the order of their sequence numbers, whatever the order in which they were sent.

use super::Inspector;
use crate::agent::{AgentConfig, ForwardMode, forward_mode};
use crate::codec::{Message, flag, payload_type};
use crate::report::{BreachKind, ForwardTraffic};
use crate::smux::{HEADER_BYTES, Header, VERSION, command};
use bytes::{Buf, Bytes, BytesMut};
use std::collections::{BTreeMap, HashMap};

/// What the judge knows of a forward.
#[derive(Debug, Default)]
pub(super) struct Forward {
    agent: Option<AgentConfig>,
    mux: bool,
    /// Sequence number of the message whose bytes are next, and later ones that came already.
    next: i64,
    early: BTreeMap<i64, Option<Bytes>>,
    unread: BytesMut,
    /// Whether what comes cannot be read any more.
    broken: bool,
    /// Streams that were opened, and whether the client closed them.
    streams: HashMap<u32, bool>,
    traffic: ForwardTraffic,
}

impl Inspector {
    /// The same judge for a session with this agent, whose forwards it then looks into.
    pub fn of_agent(mut self, agent: &AgentConfig) -> Self {
        self.forward.agent = agent.is_forward().then(|| agent.clone());
        self
    }

    /// What the client did with its streams so far.
    pub fn forward_traffic(&self) -> ForwardTraffic {
        self.forward.traffic
    }

    /// The client has answered the handshake: that decides how connections are carried.
    pub(super) fn forward_begins(&mut self) {
        let version = self.client_version.as_deref().unwrap_or("");
        let mode = self.forward.agent.as_ref().map(|agent| forward_mode(agent, version));
        self.forward.mux = mode == Some(ForwardMode::Mux);
    }

    /// Judges a message to a forward that is sent for the first time.
    pub(super) fn judge_forward(&mut self, message: &Message) {
        if self.forward.agent.is_none() {
            return;
        }
        let is_flag = message.payload_type == payload_type::FLAG;
        if is_flag && message.flag_value() == Some(flag::DISCONNECT_TO_PORT) {
            self.forward.traffic.disconnect_flags += 1;
        }
        let data = (message.payload_type == payload_type::OUTPUT).then(|| message.payload.clone());
        self.forward.early.insert(message.sequence, data);
        while let Some(data) = self.forward.early.remove(&self.forward.next) {
            self.forward.next += 1;
            if let Some(data) = data.filter(|_| self.forward.mux && !self.forward.broken) {
                self.forward.unread.extend_from_slice(&data);
                while self.read_frame() {}
            }
        }
    }

    /// Judges the next frame, if it is whole.
    fn read_frame(&mut self) -> bool {
        let Some(header) = Header::decode(&self.forward.unread) else { return false };
        if header.version != VERSION || header.command > command::NOP {
            self.forward.broken = true;
            let bytes = hex::encode(self.forward.unread.get(..HEADER_BYTES).unwrap_or_default());
            let kind = if header.version == VERSION { BreachKind::MuxCommand } else { BreachKind::MuxVersion };
            self.found(kind, bytes);
            return false;
        }
        // The length of other commands means nothing: no data is read after them.
        let length = if header.command == command::PSH { usize::from(header.length) } else { 0 };
        if self.forward.unread.len() < HEADER_BYTES + length {
            return false;
        }
        self.forward.unread.advance(HEADER_BYTES + length);
        self.forward.traffic.frames += 1;
        if length == 0 && header.length > 0 {
            let detail = format!("command {} with length {}", header.command, header.length);
            self.found(BreachKind::MuxLength, detail);
        }
        self.judge_frame(header);
        true
    }

    fn judge_frame(&mut self, header: Header) {
        let id = header.id;
        match header.command {
            command::NOP => {
                self.forward.traffic.nops += 1;
                if id != 0 {
                    self.found(BreachKind::MuxStreamId, format!("a NOP for stream {id}"));
                }
            }
            command::SYN => {
                self.forward.traffic.opened += 1;
                if id.is_multiple_of(2) {
                    self.found(BreachKind::MuxStreamId, format!("stream {id} is not odd"));
                }
                if self.forward.streams.insert(id, false).is_some() {
                    self.found(BreachKind::MuxStreamReused, format!("stream {id}"));
                }
            }
            command::FIN => match self.forward.streams.insert(id, true) {
                Some(false) => self.forward.traffic.closed += 1,
                Some(true) => self.found(BreachKind::MuxFinTwice, format!("stream {id}")),
                None => self.found(BreachKind::MuxUnknownStream, format!("the end of stream {id}")),
            },
            _ => {
                let traffic = &mut self.forward.traffic;
                traffic.bytes += u64::from(header.length);
                traffic.largest_frame = traffic.largest_frame.max(u64::from(header.length));
                match self.forward.streams.get(&id) {
                    Some(false) => {}
                    Some(true) => self.found(BreachKind::MuxDataAfterFin, format!("stream {id}")),
                    None => self.found(BreachKind::MuxUnknownStream, format!("data of stream {id}")),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
