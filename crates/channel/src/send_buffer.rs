//! The send buffer holds the bytes to be sent, and the messages that were sent and are not yet acknowledged.
//!
//! Nothing leaves the send buffer but by its acknowledgement. A message that is not acknowledged in time is sent
//! again, and so is every other overdue one: AWS's own client and agent resend only their oldest, which repairs ten
//! messages a second. It knows numbers, times and frames; what the payloads mean is the channel's affair.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use super::rtt::RoundTrip;
use super::window::{Acknowledged, Window};

/// Unacknowledged messages at most, whatever their size: keystrokes at the service's pace and a round trip of two
/// seconds stay below it.
const MAX_MESSAGES: usize = 2048;
/// How far the oldest unacknowledged message may lag behind the newest: half of what the agent keeps out of order.
const MAX_SPAN: i64 = 50_000;
/// Timeouts in a row, without any acknowledgement, after which only one message is sent again each time. The agent
/// acknowledges nothing while sshd reads slowly, and to send it the whole window each time would only burden it.
const PROBE_AFTER: u32 = 3;
/// Agents before 3.2.1041.0 never acknowledge a message a second time. A message resent this often, each time with a
/// later one acknowledged after it, was delivered to such an agent: it would have acknowledged it otherwise.
const WITNESSED_RESENDS: u32 = 12;
/// With such agents, a message resent this often no longer takes room in the window: a window full of messages that
/// will never be acknowledged would let nothing through whose acknowledgement could tell.
const SUSPECTED_RESENDS: u32 = 3;

/// A message that was sent and not yet acknowledged.
#[derive(Debug)]
struct InFlight {
    frame: Bytes,
    /// Length of its payload, before encryption.
    payload_bytes: usize,
    /// Whether that is user data.
    is_data: bool,
    /// When it was sent for the first time, on whatever connection.
    first_sent: Option<Instant>,
    /// When it was last sent on this connection.
    sent: Option<Instant>,
    /// Whether its acknowledgement will tell the round trip: user data, sent once, never overdue (Karn's rule).
    tells_round_trip: bool,
    /// Resends on this connection.
    resends: u32,
    /// Those of them after which something sent later was acknowledged.
    witnessed: u32,
}

/// A message that was acknowledged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delivered {
    /// When it was sent for the first time, if it ever was.
    pub first_sent: Option<Instant>,
    /// When it was last sent on this connection, if it was.
    pub sent: Option<Instant>,
    /// The length of its payload, in bytes.
    pub payload_bytes: usize,
}

/// The send side of the stream.
#[derive(Debug)]
pub(super) struct SendBuffer {
    unsent: BytesMut,
    in_flight: BTreeMap<i64, InFlight>,
    in_flight_bytes: usize,
    next_sequence: i64,
    /// Messages to send as soon as the pace allows, oldest first.
    due: BTreeSet<i64>,
    /// Every transmission in order of time: all share one timeout, so the front is the next to expire.
    transmissions: VecDeque<(Instant, i64)>,
    round_trip: RoundTrip,
    window: Window,
    timeouts_in_a_row: u32,
    backed_off: Option<Instant>,
    /// When the latest-sent message among those acknowledged was sent.
    latest_acknowledged: Option<Instant>,
    resent: u64,
    acknowledged_messages: u64,
    /// The agent never acknowledges a message a second time.
    acknowledges_once: bool,
}

impl SendBuffer {
    pub(super) fn new() -> Self {
        Self {
            unsent: BytesMut::new(),
            in_flight: BTreeMap::new(),
            in_flight_bytes: 0,
            next_sequence: 0,
            due: BTreeSet::new(),
            transmissions: VecDeque::new(),
            round_trip: RoundTrip::default(),
            window: Window::default(),
            timeouts_in_a_row: 0,
            backed_off: None,
            latest_acknowledged: None,
            resent: 0,
            acknowledged_messages: 0,
            acknowledges_once: false,
        }
    }

    /// Takes bytes of the stream.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.unsent.extend_from_slice(bytes);
    }

    /// Bytes taken and not yet in a message.
    pub(super) fn unsent(&self) -> usize {
        self.unsent.len()
    }

    /// Whether everything taken was sent and acknowledged.
    pub(super) fn is_idle(&self) -> bool {
        self.unsent.is_empty() && self.in_flight.is_empty()
    }

    /// Bytes of user data that wait for their acknowledgement.
    pub(super) fn data_in_flight(&self) -> usize {
        self.in_flight.values().filter(|message| message.is_data).map(|message| message.payload_bytes).sum()
    }

    /// Whether a message waits for its acknowledgement.
    pub(super) fn awaits_acknowledgement(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// The number of the next new message.
    pub(super) fn next_sequence(&self) -> i64 {
        self.next_sequence
    }

    /// The payload of the next new message, at most `max` bytes, if there are bytes and the window has room.
    pub(super) fn next_payload(&mut self, max: usize) -> Option<Bytes> {
        if self.unsent.is_empty() {
            return None;
        }
        let length = self.unsent.len().min(max);
        if !self.has_room(length) {
            return None;
        }
        Some(self.unsent.split_to(length).freeze())
    }

    /// Bytes that were taken wait for nothing but room in the window.
    pub(super) fn wants_room(&mut self) {
        if !self.unsent.is_empty() {
            self.window.was_full();
        }
    }

    /// Whether `next_payload` would give one.
    pub(super) fn can_send_data(&self, max: usize) -> bool {
        !self.unsent.is_empty() && self.has_room(self.unsent.len().min(max))
    }

    fn has_room(&self, length: usize) -> bool {
        let span = self.in_flight.first_key_value().map_or(0, |(oldest, _)| self.next_sequence - oldest);
        self.in_flight.is_empty()
            || (self.in_flight_bytes + length <= self.window.limit()
                && self.in_flight.len() < MAX_MESSAGES
                && span < MAX_SPAN)
    }

    /// Puts a new message, numbered [`next_sequence`](Self::next_sequence), into the send buffer, due at once.
    pub(super) fn store(&mut self, frame: Bytes, payload_bytes: usize, is_data: bool) {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        self.in_flight_bytes += payload_bytes;
        let message = InFlight {
            frame,
            payload_bytes,
            is_data,
            first_sent: None,
            sent: None,
            // The agent may acknowledge its handshake's messages late, for reasons that are not the path's.
            tells_round_trip: is_data,
            resends: 0,
            witnessed: 0,
        };
        self.in_flight.insert(sequence, message);
        self.due.insert(sequence);
    }

    /// The number of the oldest message that is due.
    pub(super) fn next_due(&self) -> Option<i64> {
        self.due.first().copied()
    }

    /// The length of an unacknowledged message's payload, in bytes.
    pub(super) fn payload_bytes(&self, sequence: i64) -> usize {
        self.in_flight.get(&sequence).map_or(0, |message| message.payload_bytes)
    }

    /// The oldest message that is due, which goes out at `now`, and its number.
    pub(super) fn transmit_due(&mut self, now: Instant) -> Option<(i64, Bytes)> {
        let sequence = self.due.pop_first()?;
        self.transmit(now, sequence)
    }

    /// One unacknowledged message, which goes out at `now` to ask whether the peer answers again, and its number.
    pub(super) fn transmit_probe(&mut self, now: Instant) -> Option<(i64, Bytes)> {
        let sequence = self.probe()?;
        self.due.remove(&sequence);
        self.transmit(now, sequence)
    }

    /// The message to ask with: the oldest, since the agent takes it first. One that acknowledges only once may have
    /// the oldest already and would be asked in vain, so there they take turns.
    fn probe(&self) -> Option<i64> {
        let mut messages = self.in_flight.iter();
        let probe = match self.acknowledges_once {
            true => messages.min_by_key(|(_, message)| message.sent),
            false => messages.next(),
        };
        probe.map(|(sequence, _)| *sequence)
    }

    fn transmit(&mut self, now: Instant, sequence: i64) -> Option<(i64, Bytes)> {
        let message = self.in_flight.get_mut(&sequence)?;
        let sent = message.sent.replace(now);
        if message.first_sent.is_none() {
            message.first_sent = Some(now);
        } else {
            message.tells_round_trip = false;
            self.resent += 1;
            message.resends += 1;
            if self.acknowledges_once && message.resends == SUSPECTED_RESENDS {
                self.in_flight_bytes -= message.payload_bytes;
            }
            if sent.is_some() && self.latest_acknowledged > sent {
                message.witnessed += 1;
            }
        }
        self.transmissions.push_back((now, sequence));
        Some((sequence, message.frame.clone()))
    }

    /// Takes the newest message back, if it has this number and is not yet acknowledged: its bytes are to be sent
    /// first, and its number is free again.
    pub(super) fn take_back(&mut self, sequence: i64) {
        if sequence + 1 != self.next_sequence {
            return;
        }
        let Some(message) = self.remove(sequence) else { return };
        let payload = message.frame.len().saturating_sub(message.payload_bytes);
        let mut unsent = BytesMut::from(message.frame.get(payload..).unwrap_or_default());
        unsent.unsplit(std::mem::take(&mut self.unsent));
        self.unsent = unsent;
        self.next_sequence = sequence;
    }

    /// The message numbered `sequence` was acknowledged, if it was waiting for that.
    pub(super) fn acknowledged(&mut self, now: Instant, sequence: i64) -> Option<Delivered> {
        let message = self.remove(sequence)?;
        self.acknowledged_messages += 1;
        let sent = message.sent.filter(|_| message.tells_round_trip);
        let sample = sent.map(|sent| now.saturating_duration_since(sent));
        if let Some(sample) = sample {
            self.round_trip.sample(sample);
            self.latest_acknowledged = self.latest_acknowledged.max(sent);
        }
        self.window.acknowledged(now, Acknowledged { sequence, sample }, self.next_sequence);
        if std::mem::take(&mut self.timeouts_in_a_row) > PROBE_AFTER {
            self.resume_after_silence(now);
        }
        let InFlight { first_sent, sent, payload_bytes, .. } = message;
        Some(Delivered { first_sent, sent, payload_bytes })
    }

    fn remove(&mut self, sequence: i64) -> Option<InFlight> {
        let message = self.in_flight.remove(&sequence)?;
        if !self.acknowledges_once || message.resends < SUSPECTED_RESENDS {
            self.in_flight_bytes -= message.payload_bytes;
        }
        self.due.remove(&sequence);
        Some(message)
    }

    /// The peer answers after it had been silent: what was held back gets a new, normal timeout.
    fn resume_after_silence(&mut self, now: Instant) {
        self.round_trip.forgive();
        self.transmissions.clear();
        for (sequence, message) in &mut self.in_flight {
            if !self.due.contains(sequence) {
                message.tells_round_trip = false;
                message.sent = Some(now);
                self.transmissions.push_back((now, *sequence));
            }
        }
    }

    /// When the next message becomes overdue.
    pub(super) fn timeout(&mut self) -> Option<Instant> {
        let timeout = self.round_trip.timeout();
        self.drop_stale_transmissions();
        self.transmissions.front().map(|(sent, _)| *sent + timeout)
    }

    /// Makes every overdue message due again. Returns how many of more than `large` payload bytes there were.
    pub(super) fn expire(&mut self, now: Instant, large: usize) -> usize {
        let timeout = self.round_trip.timeout();
        self.drop_stale_transmissions();
        let mut large_ones = 0;
        while let Some((sent, sequence)) = self.transmissions.pop_front_if(|(sent, _)| *sent + timeout <= now) {
            large_ones +=
                usize::from(self.in_flight.get(&sequence).is_some_and(|message| message.payload_bytes > large));
            self.overdue(now, sent, sequence);
            self.drop_stale_transmissions();
        }
        if self.transmissions.is_empty() && self.due.is_empty() {
            // Everything is overdue and held back.
            self.due.extend(self.probe());
        }
        large_ones
    }

    fn overdue(&mut self, now: Instant, sent: Instant, sequence: i64) {
        // Messages of one flight that expire together are one event: the timeout doubles once for them all.
        if self.backed_off.is_none_or(|backed_off| sent >= backed_off) {
            self.backed_off = Some(now);
            self.round_trip.back_off();
            self.timeouts_in_a_row += 1;
        }
        if let Some(message) = self.in_flight.get_mut(&sequence) {
            message.tells_round_trip = false;
        }
        self.window.lost();
        if self.timeouts_in_a_row <= PROBE_AFTER {
            self.due.insert(sequence);
        }
    }

    fn drop_stale_transmissions(&mut self) {
        while let Some((sent, sequence)) = self.transmissions.front() {
            let is_latest = self.in_flight.get(sequence).is_some_and(|message| message.sent == Some(*sent));
            if is_latest && !self.due.contains(sequence) {
                return;
            }
            self.transmissions.pop_front();
        }
    }

    /// A pause of this length is over. No timeout ran in it, so that its end makes nothing due: each message has the time
    /// left that it had when the pause began, and they become overdue one after the other, as they were sent. A round
    /// trip with a pause in it tells nothing.
    pub(super) fn paused(&mut self, now: Instant, pause: Duration) {
        let later = |sent: Instant| (sent + pause).min(now);
        let in_flight = &mut self.in_flight;
        self.transmissions.retain_mut(|(sent, sequence)| {
            let is_latest = in_flight.get(sequence).is_some_and(|message| message.sent == Some(*sent));
            *sent = later(*sent);
            is_latest
        });
        for message in in_flight.values_mut() {
            message.sent = message.sent.map(later);
            message.tells_round_trip = false;
        }
        self.backed_off = self.backed_off.map(later);
        self.latest_acknowledged = self.latest_acknowledged.map(later);
    }

    /// The socket is a new one: nothing that was measured or concluded on the old one holds, and everything
    /// unacknowledged is due again, oldest first.
    pub(super) fn new_path(&mut self) {
        self.transmissions.clear();
        self.due.extend(self.in_flight.keys());
        self.timeouts_in_a_row = 0;
        self.round_trip.reset();
        self.window.new_path(self.next_sequence);
        self.latest_acknowledged = None;
        for message in self.in_flight.values_mut() {
            message.sent = None;
            message.resends = 0;
            message.witnessed = 0;
        }
        self.in_flight_bytes = self.in_flight.values().map(|message| message.payload_bytes).sum();
    }

    /// The agent is of the kind that never acknowledges a message a second time. To be said before any data is sent.
    pub(super) fn acknowledges_once(&mut self) {
        self.acknowledges_once = true;
        // The terminal's size may have been sent often by then.
        let suspected = self.in_flight.values().filter(|message| message.resends >= SUSPECTED_RESENDS);
        self.in_flight_bytes -= suspected.map(|message| message.payload_bytes).sum::<usize>();
    }

    /// Drops what such an agent must have (see [`WITNESSED_RESENDS`]). To be called only once bytes have come from
    /// sshd: before it is connected, the agent refuses messages without a word.
    pub(super) fn presume_delivered(&mut self) {
        if !self.acknowledges_once {
            return;
        }
        let presumed = self.in_flight.iter().filter(|(_, message)| message.witnessed >= WITNESSED_RESENDS);
        let presumed: Vec<i64> = presumed.map(|(sequence, _)| *sequence).collect();
        for sequence in presumed {
            self.remove(sequence);
        }
    }

    /// The smoothed round trip, once measured.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.round_trip.smoothed()
    }

    /// The shortest round trip of late, once measured.
    pub(super) fn shortest_round_trip(&self) -> Option<Duration> {
        self.window.shortest_round_trip()
    }

    /// The time in which what is sent is answered.
    pub(super) fn answer_time(&self) -> Duration {
        self.round_trip.without_back_off()
    }

    /// Whether a message of more payload bytes than this was sent on this connection and not acknowledged.
    pub(super) fn awaits_acknowledgement_above(&self, payload_bytes: usize) -> bool {
        self.in_flight.values().any(|message| message.sent.is_some() && message.payload_bytes > payload_bytes)
    }

    /// Messages sent more than once, counted by resend.
    pub(super) fn resent(&self) -> u64 {
        self.resent
    }

    /// Messages acknowledged.
    pub(super) fn acknowledged_messages(&self) -> u64 {
        self.acknowledged_messages
    }

    /// Payload bytes sent and not yet acknowledged.
    pub(super) fn in_flight_bytes(&self) -> usize {
        self.in_flight_bytes
    }
}
