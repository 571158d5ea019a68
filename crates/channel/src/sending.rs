//! What the channel sends next, and when: one function decides, and both that send and that wait ask it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use uuid::Uuid;

use super::acknowledgement::Acknowledgement;
use super::discovery::Situation;
use super::event::Ending;
use super::message::{FLAG_FIN, FLAG_SYN, Flag, Message, MessageType, PayloadType};
use super::{Channel, Phase};

/// Acknowledgements go before data, but one message in this many is data if there is any: a download at full rate
/// would otherwise leave an upload nothing.
const DATA_SHARE: u32 = 16;

/// What goes out next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Next {
    /// An acknowledgement of something that has arrived.
    Acknowledgement,
    /// In a pause: a message that asks whether it is over.
    Probe,
    /// A message of the send buffer that is due.
    Due,
    /// A new message: bytes that were taken, or the terminate flag behind the last of them.
    New,
}

impl Channel {
    /// The next message for the WebSocket, if one may go at `now`: within pace and window.
    pub fn poll_frame(&mut self, now: Instant) -> Option<Bytes> {
        self.discovery.path_in_use(now);
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
            Phase::Handshake | Phase::Open => None,
        };
        let next = self.next_frame(now).map(|(_, at)| at);
        let overdue = if self.pause.is_none() && self.has_transport { self.send_buffer.timeout() } else { None };
        [hold, next, overdue, self.pause_limit(now)].into_iter().flatten().min()
    }

    /// What goes out next and when, if nothing else happens: now, or at a later time.
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
        if !self.may_send_new() {
            return None;
        }
        if self.send_buffer.can_send_data(self.payload_size(now)) {
            return Some((Next::New, self.holds_until(now).unwrap_or(now)));
        }
        self.may_terminate().then_some((Next::New, now))
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
        let is_part = self.send_buffer.unsent() < self.payload_size(now) && self.ending.is_none();
        self.bulk.holds_until(now).filter(|_| is_part && self.send_buffer.unsent() > 0)
    }

    /// Puts the next new message into the send buffer, if there is anything to say and room to say it.
    fn store_next(&mut self, now: Instant) {
        if !self.may_send_new() || self.holds_until(now).is_some() {
            return;
        }
        let size = self.payload_size(now);
        if let Some(payload) = self.send_buffer.next_payload(size) {
            self.bulk.cut(now, payload.len() == size);
            self.discovery.stored(now, self.send_buffer.next_sequence(), payload.len());
            self.store(now, PayloadType::OUTPUT, payload);
        } else if self.may_terminate() {
            self.terminate_sequence = Some(self.send_buffer.next_sequence());
            let flag = Flag::TerminateSession.to_payload();
            self.store(now, PayloadType::FLAG, Bytes::copy_from_slice(&flag));
        }
    }

    /// Whether anything waits to be sent, or to be acknowledged.
    pub(crate) fn has_something_to_send(&self) -> bool {
        !self.send_buffer.is_idle() || (self.terminate_sequence.is_none() && self.may_terminate())
    }

    fn may_terminate(&self) -> bool {
        match self.ending {
            None => false,
            Some(Ending::Acknowledged) => self.send_buffer.is_idle(),
            Some(Ending::AtOnce) => self.send_buffer.unsent() == 0,
        }
    }

    pub(crate) fn store(&mut self, now: Instant, payload_type: PayloadType, payload: Bytes) {
        let payload_bytes = payload.len();
        let message = Message {
            message_type: MessageType::InputStreamData,
            created: self.created(now),
            sequence: self.send_buffer.next_sequence(),
            flags: 0,
            id: self.new_id(),
            payload_type,
            payload,
        };
        // The agent may acknowledge its handshake's messages late, for reasons that are not the path's.
        let tells_round_trip = payload_type == PayloadType::OUTPUT;
        self.send_buffer.store(message.encode(), payload_bytes, tells_round_trip);
    }

    fn created(&self, now: Instant) -> u64 {
        let elapsed = now.saturating_duration_since(self.started).as_millis();
        self.unix_millis.saturating_add(u64::try_from(elapsed).unwrap_or(u64::MAX)).max(1)
    }

    fn new_id(&mut self) -> Uuid {
        uuid::Builder::from_random_bytes(self.ids.u128(..).to_be_bytes()).into_uuid()
    }
}
