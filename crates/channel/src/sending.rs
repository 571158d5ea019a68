//! The sending side of the channel. One function decides which message goes out next, and when; sending and waiting both ask
//! it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use uuid::Uuid;

use super::acknowledgement::Acknowledgement;
use super::discovery::Situation;
use super::kind::Kind;
use super::message::{FLAG_FIN, FLAG_SYN, Flag, Message, MessageType, PayloadType};
use super::terminal_size::Size;
use super::{Channel, Phase};

/// Acknowledgements go before data, but one message in this many is data if there is any: a download at full rate
/// would otherwise leave an upload nothing.
const DATA_SHARE: u32 = 16;

/// The message that goes out next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Next {
    /// An acknowledgement of something that has arrived.
    Acknowledgement,
    /// In a pause: a message that asks whether it is over.
    Probe,
    /// A message of the send buffer that is due.
    Due,
    /// A new message: the terminal's size, bytes that were taken, or the terminate flag behind the last of them.
    New,
}

impl Channel {
    /// The next message for the WebSocket, if one may go at `now`: within pace and window.
    pub fn poll_frame(&mut self, now: Instant) -> Option<Bytes> {
        self.discovery.path_in_use(now);
        if self.has_transport {
            let round_trip = self.send_buffer.shortest_round_trip().unwrap_or_default();
            self.interruptions.end(self.created(now + round_trip));
        }
        self.take_back_refused(now);
        let Some((next, at)) = self.next_frame(now) else {
            self.note_full_window(now);
            return None;
        };
        if at > now {
            return None;
        }
        let frame = match next {
            Next::Acknowledgement => self.send_acknowledgement(now),
            Next::Probe => self.send_probe(now),
            Next::Due => self.send_due(now),
            Next::New => {
                self.store_next(now);
                self.send_due(now)
            }
        }?;
        self.pace.spend(now);
        Some(frame)
    }

    /// When [`handle_timeout`](Self::handle_timeout) and [`poll_frame`](Self::poll_frame) are to be called next, if
    /// nothing else happens. It may be in the past.
    pub fn poll_timeout(&mut self, now: Instant) -> Option<Instant> {
        let hold = match self.phase {
            Phase::Closed => return None,
            Phase::AwaitingFirstOutput { until } => Some(until),
            Phase::Starting | Phase::Open => None,
        };
        let next = self.next_frame(now).map(|(_, at)| at);
        let overdue = if self.pause.is_none() && self.has_transport { self.send_buffer.timeout() } else { None };
        [hold, next, overdue, self.pause_limit(now)].into_iter().flatten().min()
    }

    /// The message that goes out next and its time, if nothing else happens: now, or later.
    fn next_frame(&self, now: Instant) -> Option<(Next, Instant)> {
        if !self.has_transport || self.phase == Phase::Closed {
            return None;
        }
        let pace = self.pace.next(now);
        let data = self.next_data(now).map(|(next, at)| (next, at.max(pace)));
        if self.receipts.is_empty() {
            return data;
        }
        // Acknowledgements go before data, but for data's share.
        let is_datas_turn = self.acknowledgements_in_a_row + 1 >= DATA_SHARE;
        data.filter(|(_, at)| is_datas_turn && *at <= pace.max(now)).or(Some((Next::Acknowledgement, pace)))
    }

    /// Which data goes out next, and when the pace is not what it waits for.
    fn next_data(&self, now: Instant) -> Option<(Next, Instant)> {
        if let Some(pause) = &self.pause {
            return self.has_something_to_send().then(|| (Next::Probe, pause.probe_at()));
        }
        if self.send_buffer.next_due().is_some() {
            return Some((Next::Due, self.due_rests_until(now).unwrap_or(now)));
        }
        if self.next_size().is_some() {
            return Some((Next::New, now));
        }
        if !self.may_send_new() {
            return None;
        }
        if self.send_buffer.can_send_data(self.payload_size(now)) {
            return Some((Next::New, self.holds_until(now).unwrap_or(now)));
        }
        (self.may_disconnect() || self.may_terminate()).then_some((Next::New, now))
    }

    fn send_acknowledgement(&mut self, now: Instant) -> Option<Bytes> {
        let (sequence, id) = self.receipts.pop(now)?;
        self.acknowledgements_in_a_row = self.acknowledgements_in_a_row.saturating_add(1);
        let message = Message {
            message_type: MessageType::Acknowledge,
            created: self.created(now),
            sequence: 0,
            flags: FLAG_SYN | FLAG_FIN,
            id: self.new_id(),
            payload_type: PayloadType::UNDEFINED,
            payload: Acknowledgement::of_output(sequence, id),
        };
        Some(message.encode())
    }

    /// Asks in a pause whether it is over.
    fn send_probe(&mut self, now: Instant) -> Option<Bytes> {
        if !self.pause.as_mut()?.take_probe(now) {
            return None;
        }
        if !self.send_buffer.awaits_acknowledgement() {
            // Nothing to ask with but what is held back: its first message.
            self.store_next(now);
        }
        self.acknowledgements_in_a_row = 0;
        let probe = self.send_buffer.transmit_probe(now);
        self.transmitted(now, probe)
    }

    fn send_due(&mut self, now: Instant) -> Option<Bytes> {
        self.acknowledgements_in_a_row = 0;
        let message = self.send_buffer.transmit_due(now);
        self.transmitted(now, message)
    }

    /// Tells the window if bytes wait for nothing but it.
    fn note_full_window(&mut self, now: Instant) {
        if self.pause.is_none() && self.may_send_new() && self.holds_until(now).is_none() {
            self.send_buffer.wants_room();
        }
    }

    /// Whether new messages may follow those in the send buffer.
    fn may_send_new(&self) -> bool {
        self.phase == Phase::Open && self.terminate_sequence.is_none() && !self.discovery.holds()
    }

    fn transmitted(&mut self, now: Instant, message: Option<(i64, Bytes)>) -> Option<Bytes> {
        let (sequence, frame) = message?;
        self.discovery.transmitted(now, sequence);
        Some(frame)
    }

    fn take_back_refused(&mut self, now: Instant) {
        if let Some(sequence) = self.discovery.take_refused(now) {
            self.send_buffer.take_back(sequence);
        }
    }

    /// Until when nothing is sent again, because all that is due is a message that the service objected to.
    fn due_rests_until(&self, now: Instant) -> Option<Instant> {
        let sequence = self.send_buffer.next_due()?;
        self.discovery.rests_until(now, sequence, self.send_buffer.payload_bytes(sequence))
    }

    /// Payload bytes in the next message at most.
    fn payload_size(&self, now: Instant) -> usize {
        let situation = Situation {
            sustained: self.bulk.is_sustained(),
            round_trip: self.send_buffer.round_trip().unwrap_or(Duration::MAX),
            available: self.send_buffer.unsent(),
        };
        self.discovery.size(now, situation)
    }

    /// Until when what is there waits for more, because it fills no message and is part of bulk.
    fn holds_until(&self, now: Instant) -> Option<Instant> {
        let is_part = self.send_buffer.unsent() < self.payload_size(now) && !self.is_finishing;
        self.bulk.holds_until(now).filter(|_| is_part && self.send_buffer.unsent() > 0)
    }

    /// Puts the next new message into the send buffer, if there is anything to say and room to say it.
    fn store_next(&mut self, now: Instant) {
        if let Some(size) = self.next_size() {
            self.terminal_size.sent(size, self.send_buffer.next_sequence());
            return self.store(now, PayloadType::SIZE, size.to_payload().into());
        }
        if !self.may_send_new() || self.holds_until(now).is_some() {
            return;
        }
        let size = self.payload_size(now);
        if let Some(payload) = self.send_buffer.next_payload(size) {
            self.bulk.cut(now, payload.len() == size);
            self.discovery.stored(now, self.send_buffer.next_sequence(), payload.len());
            self.store(now, PayloadType::OUTPUT, payload);
        } else if self.may_disconnect() {
            self.is_disconnecting = false;
            let flag = Flag::DisconnectToPort.to_payload();
            self.store(now, PayloadType::FLAG, Bytes::copy_from_slice(&flag));
        } else if self.may_terminate() {
            self.terminate_sequence = Some(self.send_buffer.next_sequence());
            let flag = Flag::TerminateSession.to_payload();
            self.store(now, PayloadType::FLAG, Bytes::copy_from_slice(&flag));
        }
    }

    /// Whether anything waits to be sent, or to be acknowledged.
    pub(crate) fn has_something_to_send(&self) -> bool {
        !self.send_buffer.is_idle()
            || self.next_size().is_some()
            || self.may_disconnect()
            || (self.terminate_sequence.is_none() && self.may_terminate())
    }

    /// The size to send now. It waits for the moment that user data waits for, since an agent that completes a handshake loses
    /// both, and follows no terminate flag. A session that is known to lead to a port gets none.
    fn next_size(&self) -> Option<Size> {
        let is_held = matches!(self.phase, Phase::AwaitingFirstOutput { .. }) || self.terminate_sequence.is_some();
        let is_for_nobody = self.kind.is_some_and(Kind::leads_to_port);
        self.terminal_size.next().filter(|_| !is_for_nobody && !is_held)
    }

    fn may_disconnect(&self) -> bool {
        self.is_disconnecting && self.send_buffer.unsent() == 0
    }

    /// Agents heed the flag in sessions to a port alone, and acknowledge it in all.
    fn may_terminate(&self) -> bool {
        self.is_finishing && self.kind.is_some_and(Kind::leads_to_port) && self.send_buffer.unsent() == 0
    }

    pub(crate) fn store(&mut self, now: Instant, payload_type: PayloadType, payload: Bytes) {
        let is_data = payload_type == PayloadType::OUTPUT;
        let payload_bytes = payload.len();
        // Nothing that is sent is near the length that one key may not encrypt.
        let payload = match &mut self.cipher {
            Some(cipher) if is_data => cipher.seal(&payload).unwrap_or_default(),
            _ => payload,
        };
        let message = Message {
            message_type: MessageType::InputStreamData,
            created: self.created(now),
            sequence: self.send_buffer.next_sequence(),
            flags: 0,
            id: self.new_id(),
            payload_type,
            payload,
        };
        self.send_buffer.store(message.encode(), payload_bytes, is_data);
    }

    pub(super) fn created(&self, now: Instant) -> u64 {
        let elapsed = now.saturating_duration_since(self.started).as_millis();
        self.unix_millis.saturating_add(u64::try_from(elapsed).unwrap_or(u64::MAX)).max(1)
    }

    fn new_id(&mut self) -> Uuid {
        uuid::Builder::from_random_bytes(self.ids.u128(..).to_be_bytes()).into_uuid()
    }
}
