//! A terminal as the agent serves it: writes what the client types, sets the size, sends what is shown (sessions §2).

use super::program::READ_BYTES;
use super::{Agent, AgentRequest, Delivery, Phase, characters};
use crate::codec::payload_type;
use bytes::Bytes;
use serde::Deserialize;

#[derive(Deserialize)]
struct Size {
    cols: u32,
    rows: u32,
}

impl Agent {
    /// Takes a message for the terminal. What its handler fails with is not acknowledged, and so blocks all that follows
    /// (sessions §8).
    pub(super) fn deliver_to_terminal(&mut self, kind: u32, payload: Bytes) -> Delivery {
        let alive = self.phase == Phase::Connected && !self.tcp_far_closed;
        match kind {
            payload_type::OUTPUT | payload_type::SIZE if !alive => self.refuse(),
            // What is typed after a new size waits until the terminal has that size.
            payload_type::OUTPUT if self.tcp_room == 0 || !self.requests.is_empty() => Delivery::Blocked,
            payload_type::OUTPUT => {
                self.tcp_room = self.tcp_room.saturating_sub(payload.len());
                self.counts.bytes_to_port += payload.len() as u64;
                self.tcp_out.push_back(payload);
                Delivery::Done
            }
            payload_type::SIZE => match serde_json::from_slice::<Size>(&payload) {
                Ok(size) => {
                    self.requests.push_back(AgentRequest::Resize(size.cols as u16, size.rows as u16));
                    Delivery::Done
                }
                Err(_) => self.refuse(),
            },
            _ => Delivery::Done,
        }
    }

    /// The next output, cut at the border of a character.
    pub(super) fn terminal_output(&mut self) -> Option<(u32, Bytes)> {
        while !self.tcp_in.is_empty() {
            let new = self.tcp_in.split_to(self.tcp_in.len().min(READ_BYTES));
            let payload = characters::cut(&mut self.program.held, &new);
            if !payload.is_empty() {
                return Some((payload_type::OUTPUT, payload));
            }
        }
        None
    }
}
