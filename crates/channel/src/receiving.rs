//! The receiving side of the channel: each frame is checked, put in order, acknowledged, and acted on.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::acknowledgement::{self, Acknowledgement};
use super::assembler::Verdict;
use super::event::{Event, Ignored};
use super::kind::Kind;
use super::message::{Flag, Message, MessageType, PayloadType};
use super::pause::Pause;
use super::send_buffer::Delivered;
use super::{Channel, Phase};

/// The time in which an acknowledgement has arrived at least, or never will, as long as the connection lives. It is the
/// agent's longest timeout: up to then an acknowledgement that is only late has a message sent again.
const ANSWER_TIME: Duration = Duration::from_secs(1);

impl Channel {
    /// A binary frame came from the WebSocket.
    ///
    /// # Errors
    /// Says why the frame was passed over; the session goes on.
    pub fn handle_frame(&mut self, now: Instant, frame: &Bytes) -> Result<(), Ignored> {
        if self.phase == Phase::Closed {
            return Err(Ignored::Closed);
        }
        let message = Message::decode(frame)?;
        match message.message_type {
            MessageType::OutputStreamData => self.handle_stream_data(now, &message),
            MessageType::Acknowledge => self.handle_acknowledgement(now, &message.payload),
            MessageType::StartPublication => {
                self.end_pause(now);
                Ok(())
            }
            MessageType::PausePublication => {
                self.begin_pause(now);
                Ok(())
            }
            MessageType::ChannelClosed => {
                self.phase = Phase::Closed;
                self.events.push_back(Event::Closed { output: acknowledgement::closing_text(&message.payload) });
                Ok(())
            }
            MessageType::InputStreamData | MessageType::Unknown => Err(Ignored::Type),
        }
    }

    fn handle_stream_data(&mut self, now: Instant, message: &Message) -> Result<(), Ignored> {
        if self.receipts.is_full() {
            return Err(Ignored::NoRoom);
        }
        match self.assembler.offer(message.sequence, message.payload_type, &message.payload) {
            Verdict::Refused => return Err(Ignored::NoRoom),
            Verdict::Duplicate => {
                self.duplicates += 1;
                let answer = self.send_buffer.answer_time().max(ANSWER_TIME);
                self.receipts.came_again(now, message.sequence, message.id, answer);
            }
            Verdict::Accepted => {
                self.interruptions.arrived(self.created(now), message.created, message.payload_type);
                self.receipts.arrived(message.sequence, message.id, self.assembler.expected());
            }
        }
        while let Some((payload_type, payload)) = self.assembler.next() {
            self.deliver(now, payload_type, payload);
        }
        Ok(())
    }

    /// Acts on the next message in order. Payload types that this kind of session has no use for are passed over.
    fn deliver(&mut self, now: Instant, payload_type: PayloadType, payload: Bytes) {
        if self.phase == Phase::Starting && self.agent_version.is_none() && !self.is_declined && is_output(payload_type)
        {
            self.begin_without_handshake();
        }
        if self.phase == Phase::Closed || (self.is_declined && is_output(payload_type)) {
            return;
        }
        let Some(payload) = self.decipher(payload_type, payload) else {
            return self.give_up(Event::Undecipherable);
        };
        match payload_type {
            PayloadType::OUTPUT => {
                if matches!(self.phase, Phase::AwaitingFirstOutput { .. }) {
                    self.open();
                }
                if !payload.is_empty() {
                    self.output.push_stdout(payload);
                }
            }
            PayloadType::STDERR if !self.kind.is_some_and(Kind::leads_to_port) && !payload.is_empty() => {
                self.output.push_stderr(payload);
            }
            PayloadType::EXIT_CODE if self.kind == Some(Kind::Command) => {
                self.events.extend(exit_status(&payload).map(Event::ExitStatus));
            }
            PayloadType::HANDSHAKE_REQUEST => self.handle_request(now, &payload),
            PayloadType::ENC_CHALLENGE_REQUEST => self.answer_challenge(now, &payload),
            PayloadType::HANDSHAKE_COMPLETE => self.complete_handshake(now, &payload),
            PayloadType::FLAG if Flag::ConnectToPortError.matches(&payload) => {
                self.events.push_back(Event::PortRefused);
            }
            _ => {}
        }
    }

    /// The plaintext of a payload. Only output is encrypted, in an encrypted session.
    fn decipher(&self, payload_type: PayloadType, payload: Bytes) -> Option<Bytes> {
        match &self.cipher {
            Some(cipher) if is_output(payload_type) => cipher.open(&payload),
            // It should have been encrypted, and there is no key yet.
            None if is_output(payload_type) && self.request.is_some() => None,
            _ => Some(payload),
        }
    }

    /// There is nothing more to be had from this session, for this reason.
    pub(super) fn give_up(&mut self, why: Event) {
        self.phase = Phase::Closed;
        self.events.push_back(why);
    }

    fn handle_acknowledgement(&mut self, now: Instant, payload: &[u8]) -> Result<(), Ignored> {
        let acknowledgement = Acknowledgement::parse(payload).ok_or(Ignored::Acknowledgement)?;
        let was_waiting = self.acknowledged(now, acknowledgement.sequence);
        if self.output.total() > 0 {
            self.send_buffer.presume_delivered();
        }
        if !was_waiting {
            return Err(Ignored::NotWaiting);
        }
        // The flag's acknowledgement alone says little: the agent acknowledges what it keeps out of order too.
        if self.terminate_sequence.is_some() && self.send_buffer.is_idle() {
            self.events.push_back(Event::Ended);
        }
        Ok(())
    }

    /// The agent has our message numbered `sequence`. Whether that was not known.
    pub(super) fn acknowledged(&mut self, now: Instant, sequence: i64) -> bool {
        let Some(message) = self.send_buffer.acknowledged(now, sequence) else { return false };
        self.terminal_size.acknowledged(sequence);
        if !std::mem::replace(&mut self.is_alive, true) && self.agent_version.is_none() {
            self.events.push_back(Event::Alive);
        }
        let shortest = self.send_buffer.shortest_round_trip();
        if self.pause.as_ref().is_some_and(|pause| pause.is_ended_by(now, &message, shortest)) {
            self.end_pause(now);
        }
        // What was not sent on this path says nothing about it.
        let Delivered { sent: Some(sent), payload_bytes, .. } = message else { return true };
        if self.phase == Phase::Starting {
            self.handshake_took.get_or_insert(now.saturating_duration_since(sent));
        }
        self.discovery.acknowledged(now, sequence, payload_bytes);
        true
    }

    fn begin_pause(&mut self, now: Instant) {
        self.discovery.objected();
        match &mut self.pause {
            Some(pause) => pause.asked_again(now),
            None => {
                self.pause = Some(Pause::new(now));
                self.pace.slow_down(now);
            }
        }
    }

    pub(super) fn end_pause(&mut self, now: Instant) {
        if let Some(pause) = self.pause.take() {
            self.pace.go_on(now);
            self.send_buffer.paused(now, pause.lasted(now));
        }
    }
}

/// Whether a message of this type is output, which is encrypted in an encrypted session and begins one without a
/// handshake.
fn is_output(payload_type: PayloadType) -> bool {
    matches!(payload_type, PayloadType::OUTPUT | PayloadType::STDERR | PayloadType::EXIT_CODE)
}

/// The number in `EXIT_CODE: 7`.
fn exit_status(payload: &[u8]) -> Option<i64> {
    std::str::from_utf8(payload).ok()?.strip_prefix("EXIT_CODE:")?.trim().parse().ok()
}
