//! A session to a port as the agent serves it: connects, passes bytes both ways, heeds the client's flags (protocol §5,
//! §6).

use super::{Agent, Delivery, EndReason, Phase};
use crate::codec::{Message, flag, payload_type};
use std::time::Instant;

impl Agent {
    /// The port was connected.
    pub fn tcp_connected(&mut self, now: Instant) {
        if self.phase == Phase::Connecting {
            self.phase = Phase::Connected;
            self.next_data = now;
            self.basic_dialled(true);
            self.read(now);
            self.step(now);
        }
    }

    /// The port could not be connected; `error` is the system's text.
    pub fn tcp_refused(&mut self, now: Instant, error: &str) {
        if self.phase != Phase::Connecting {
            return;
        }
        self.basic_dialled(false);
        let text = if self.config.crash_on_refused_port {
            String::new()
        } else {
            format!("\n----------ERROR-------\nUnable to connect to specified port: {error}")
        };
        self.end(EndReason::Refused, text);
        self.step(now);
    }

    pub(super) fn deliver_to_port(&mut self, now: Instant, message: &Message) -> Delivery {
        match self.phase {
            Phase::Starting { .. }
            | Phase::AwaitingResponse { .. }
            | Phase::Decrypting { .. }
            | Phase::Decrypted { .. }
            | Phase::Challenging { .. }
            | Phase::AwaitingChallenge { .. }
            | Phase::Completing { .. }
            | Phase::Gap { .. }
            | Phase::Unmarked { .. } => {
                self.counts.thrown_away += 1;
                return Delivery::Done;
            }
            Phase::Connecting if self.forward.is_redialling() => return Delivery::Blocked,
            Phase::Launching { .. } | Phase::Failing { .. } | Phase::Connecting => {
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
        if let Some(delivery) = self.deliver_to_forward(now, message) {
            return delivery;
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
        self.tear_down(now);
        self.close(now, reason);
    }
}
