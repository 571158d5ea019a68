//! What goes wrong on a session on request, and what the service does to clients that go too far (protocol §10).

use super::{Session, is_oversized};
use crate::codec::message_type;
use crate::fault::Fault;
use crate::options::Oversized;
use crate::rate::TOLERATED;
use crate::report::{BreachKind, SessionState};
use crate::socket::Frame;
use bytes::Bytes;
use std::time::Instant;

/// Oversized payloads after the pause that are tolerated when they are punished.
const OVERSIZED_TOLERATED: u32 = 10;
/// Close code of a message that is too big (RFC 6455, 7.4.1).
pub(super) const TOO_BIG: u16 = 1009;

impl Session {
    pub(super) fn fault(&mut self, now: Instant, fault: Fault) {
        self.faults += 1;
        match fault {
            Fault::Close(code, reason) => self.close(now, code, &reason),
            Fault::SmallerCell(limit) => {
                self.cell_limit = Some(limit);
                self.close(now, 1000, "Bye");
            }
            Fault::Reset => {
                if let Some(socket) = self.detach(None) {
                    socket.reset();
                    self.pause_agent(now);
                }
            }
            Fault::Drop => {
                drop(self.detach(None));
                self.pause_agent(now);
            }
            Fault::Silent(time) => self.silent_until = Some(now + time),
            Fault::StopReading(time) => self.deaf_until = Some(now + time),
            Fault::Pause => self.publication(message_type::PAUSE_PUBLICATION),
            Fault::Start => self.publication(message_type::START_PUBLICATION),
            Fault::ChannelClosed(output) => self.end(now, SessionState::Failed, &output),
            Fault::Terminate => self.end(now, SessionState::EndedByAdmin, ""),
            Fault::Text(text) => self.to_client.push_back(Frame::Text(text)),
            Fault::Binary(bytes) => self.to_client.push_back(Frame::Binary(bytes.into())),
            Fault::Inject(kind, payload) => {
                if let Some(agent) = &mut self.agent {
                    agent.inject(now, kind, payload.into());
                }
            }
            Fault::AgentAway(time) => {
                if let Some(agent) = &mut self.agent {
                    agent.transport_lost();
                    self.agent_away_until = Some(now + time);
                    // A start_publication after it was never seen (§4.5), so none is sent.
                    self.publication(message_type::PAUSE_PUBLICATION);
                }
            }
            Fault::Uplink(config) => self.uplink.set_config(config),
            Fault::Downlink(config) => self.downlink.set_config(config),
        }
    }

    pub(super) fn enforce_limits(&mut self, now: Instant, frame: &Bytes) {
        if self.ended.is_some() {
            return;
        }
        if self.hub.options.limits {
            let too_fast = self.inspector.too_fast_for(now);
            if too_fast >= TOLERATED * 2 {
                return self.end(now, SessionState::Failed, "");
            }
            if too_fast >= TOLERATED && !self.rate_paused {
                self.rate_paused = true;
                let detail = format!("{} messages in one second", self.inspector.traffic().peak_per_second);
                self.hub.shared.update(|report| report.breach(BreachKind::Rate, Some(&self.id), detail));
                self.publication(message_type::PAUSE_PUBLICATION);
            } else if too_fast.is_zero() && self.rate_paused {
                self.rate_paused = false;
                self.publication(message_type::START_PUBLICATION);
            }
        }
        let Some(limit) = self.hub.options.payload_kill else { return };
        if is_oversized(frame, limit) {
            self.punish_oversized(now);
        }
    }

    fn punish_oversized(&mut self, now: Instant) {
        let follows = self.hub.options.oversized;
        if self.oversized == 0 || follows == Oversized::Pauses {
            self.publication(message_type::PAUSE_PUBLICATION);
        }
        self.oversized += 1;
        if self.oversized <= OVERSIZED_TOLERATED {
            return;
        }
        match follows {
            Oversized::Ends => self.end(now, SessionState::Failed, ""),
            Oversized::Pauses => {}
            Oversized::Closes => {
                self.oversized = 0;
                self.fault(now, Fault::Close(TOO_BIG, String::new()));
            }
        }
    }
}
