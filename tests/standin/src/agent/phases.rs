//! The phases of the agent's session: from its start over the handshake to the end, as far as time moves them
//! (protocol §5, §6; sessions §1.2, §2.1, §5.2).

use super::{Agent, Delivery, EndReason, Phase, handshake};
use crate::codec::{SYN, payload_type};
use crate::kind::SessionKind;
use std::time::Instant;

impl Agent {
    /// Goes on from phase to phase as far as `now` allows.
    pub(super) fn step(&mut self, now: Instant) {
        while self.step_handshake(now) || self.step_session(now) {}
    }

    fn step_handshake(&mut self, now: Instant) -> bool {
        let limit = self.config.response_timeout;
        match self.phase {
            Phase::Starting { at } if now >= at && self.transport => self.begin(now),
            Phase::AwaitingResponse { since } | Phase::Decrypting { since, .. } | Phase::Decrypted { since }
                if now >= since + limit =>
            {
                self.give_up_handshake();
            }
            Phase::Decrypting { since, until: Some(until) } if now >= until => {
                self.phase = Phase::Decrypted { since };
                self.read(now);
            }
            Phase::Challenging { since } => self.challenge(now, since),
            Phase::AwaitingChallenge { sent, .. } if now >= sent + limit => {
                self.end(EndReason::Handshake, failed("Timed out waiting for encryption challenge."));
            }
            Phase::Completing { at, since } if now >= at && self.transport => {
                let took = u64::try_from(now.duration_since(since).as_nanos()).unwrap_or(u64::MAX);
                let complete = handshake::complete(&self.config, took, &self.client_version).to_string();
                self.phase = Phase::Gap { until: now + self.config.complete_gap };
                self.send_stream(now, 0, payload_type::HANDSHAKE_COMPLETE, complete.into());
            }
            _ => return false,
        }
        true
    }

    fn step_session(&mut self, now: Instant) -> bool {
        match self.phase {
            Phase::Gap { until } if now >= until && self.config.kind == SessionKind::Port => self.begin_port(now),
            Phase::Gap { until } | Phase::Unmarked { until } if now >= until => {
                self.phase = Phase::Launching { at: until + self.config.launch_delay };
            }
            Phase::Launching { at } if now >= at => self.launch(now),
            Phase::Connected if self.config.kind != SessionKind::Port => return self.step_program(now),
            Phase::Connected if self.forward.has_streams() => return self.step_forward(now),
            Phase::Connected if self.tcp_far_closed && self.tcp_in.is_empty() && !self.paused => {
                if self.forward.is_basic() { self.hang_up() } else { self.close(now, EndReason::Peer) }
            }
            Phase::Failing { at } if now >= at => self.fail(now),
            Phase::Closing { deadline, reason } if now >= deadline || self.outgoing.is_empty() => {
                self.end(reason, String::new());
            }
            _ => return false,
        }
        true
    }

    /// The agent is connected: it shakes hands, or marks that it does not.
    fn begin(&mut self, now: Instant) {
        if !self.config.shakes_hands() {
            self.phase = Phase::Unmarked { until: now + self.config.skip_gap };
            return;
        }
        let request = handshake::request(&self.config, self.secret.challenge_text()).to_string();
        self.phase = Phase::AwaitingResponse { since: now };
        self.send_stream(now, SYN, payload_type::HANDSHAKE_REQUEST, request.into());
        if self.config.duplicate_request {
            self.out.extend(self.out.back().cloned());
        }
    }

    fn give_up_handshake(&mut self) {
        let text = match self.config.kind {
            SessionKind::Port => {
                let id = &self.config.session_id;
                format!("Setting up data channel with id {id} failed: handshake timed out")
            }
            _ => failed(
                "Handshake timed out. Please ensure that you have the latest version of the session manager plugin.",
            ),
        };
        self.end(EndReason::Handshake, text);
    }

    pub(super) fn take_response(&mut self, now: Instant, payload: &[u8]) -> Delivery {
        let since = match self.phase {
            Phase::AwaitingResponse { since } => since,
            Phase::Decrypting { .. } => return Delivery::Blocked,
            Phase::Decrypted { since } => return self.take_key(since),
            _ => {
                self.frozen = true;
                return Delivery::Done;
            }
        };
        if std::mem::replace(&mut self.response_taken, true) {
            self.frozen = true;
            return Delivery::Done;
        }
        if let Some(objection) = handshake::objection(&self.config, payload) {
            let text = match self.config.kind {
                SessionKind::Port => {
                    format!("Setting up data channel with id {} failed: {objection}", self.config.session_id)
                }
                _ => failed(&objection),
            };
            self.end(EndReason::Handshake, text);
            return Delivery::Done;
        }
        let response = serde_json::from_slice::<handshake::Response>(payload).ok();
        if let Some(version) = response.as_ref().and_then(|response| response.client_version.clone()) {
            self.client_version = version;
        }
        if self.config.is_encrypted() {
            return self.ask_for_key(since, response.and_then(|response| response.key()));
        }
        self.phase = Phase::Completing { at: now + self.config.complete_delay, since };
        if self.config.complete_before_ack {
            self.step(now);
        }
        Delivery::Done
    }
}

/// The text of `channel_closed` after a handshake that failed (sessions §5.4).
pub(super) fn failed(reason: &str) -> String {
    format!("\n----------ERROR-------\nEncountered error while initiating handshake. {reason}")
}
