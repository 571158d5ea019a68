//! The judge of pauses: what the client sends while one is on and after it.
//!
//! While the service asks for a pause one message a second is sent to ask whether it is over, and nothing else but
//! acknowledgements. From its beginning on everything goes at half of the rate at most, and the rate grows in steps
//! once the pause is over. Nothing is sent again that is not overdue, and time in which the client had to be silent
//! makes nothing overdue.
//!
//! A pause is over for certain with `start_publication`, with a new socket, and with the acknowledgement of what was
//! first sent in it. Once something that was sent before and again in it is acknowledged a client may believe either,
//! so the judge then demands only what holds both ways.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use standin::codec::{Acknowledgement, Message, message_type, payload_type};

/// Between two messages that ask whether a pause is over.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// No message is overdue sooner than this.
const OVERDUE: Duration = Duration::from_millis(100);
/// Messages a second, of every kind: what a client sends at most that was never told to pause...
const RATE: f64 = 900.0;
/// ...what no pause brings it below...
const FLOOR: f64 = 90.0;
/// ...and what each second without a pause adds.
const GROWTH: f64 = 45.0;
/// Messages that may go at once when a pause begins: what the pace had saved until then.
const SAVED: f64 = 32.0;
/// Rounding, in messages.
const TOLERANCE: f64 = 2.0;

/// When a message was sent.
struct Sent {
    first: Instant,
    /// On this socket.
    last: Option<Instant>,
    /// How long pauses had been on until it was last sent, all in all.
    paused_before: Duration,
}

/// A pause.
struct Pause {
    since: Instant,
    /// When the service last asked for it.
    asked: Instant,
    /// When a message was last sent in it.
    probed: Instant,
    /// Whether the client must hold it for a new one, which began when the judge saw it begin.
    is_certain: bool,
}

/// How much may be sent from a time on.
struct Allowance {
    since: Instant,
    /// Messages a second at that time.
    rate: f64,
    at_once: f64,
    sent: f64,
}

impl Allowance {
    fn rate(&self, now: Instant) -> f64 {
        (self.rate + GROWTH * (now - self.since).as_secs_f64()).min(RATE)
    }

    /// Counts a message, unless the rate is the usual one again. Whether it is one too many.
    fn count(&mut self, now: Instant) -> bool {
        if self.rate(now) >= RATE {
            return false;
        }
        self.sent += 1.0;
        let seconds = (now - self.since).as_secs_f64();
        self.sent > self.at_once + TOLERANCE + self.rate * seconds + GROWTH * seconds * seconds / 2.0
    }
}

#[derive(Default)]
pub(crate) struct Judge {
    sent: HashMap<i64, Sent>,
    pause: Option<Pause>,
    /// A pause may be over, and may not.
    doubt: bool,
    /// How long pauses were on that are over, all in all.
    paused: Duration,
    allowance: Option<Allowance>,
}

impl Judge {
    /// A message of the service's own, as it is delivered.
    pub(crate) fn told(&mut self, now: Instant, name: &str) {
        match (name, &mut self.pause) {
            (message_type::PAUSE_PUBLICATION, Some(pause)) => pause.asked = now,
            (message_type::PAUSE_PUBLICATION, None) => {
                let is_certain = !std::mem::take(&mut self.doubt);
                self.pause = Some(Pause { since: now, asked: now, probed: now, is_certain });
                let before = self.allowance.as_ref().map_or(RATE, |allowance| allowance.rate(now));
                let rate = (before / 2.0).max(FLOOR);
                let lowered = Allowance { since: now, rate, at_once: SAVED, sent: 0.0 };
                self.allowance = is_certain.then_some(lowered);
            }
            (message_type::START_PUBLICATION, _) => self.end(now),
            _ => {}
        }
    }

    /// A frame of the agent's, as it is delivered.
    pub(crate) fn delivered(&mut self, now: Instant, message: &Message) {
        if !message.digest_is_true() {
            return;
        }
        let acknowledged = match (message.name(), message.payload_type) {
            (message_type::ACKNOWLEDGE, _) => {
                serde_json::from_slice::<Acknowledgement>(&message.payload).ok().map(|json| json.sequence)
            }
            // The agent has the response, which is the client's first message.
            (_, payload_type::HANDSHAKE_COMPLETE) => Some(0),
            _ => None,
        };
        let Some(sent) = acknowledged.and_then(|sequence| self.sent.remove(&sequence)) else { return };
        let Some(pause) = &self.pause else { return };
        if sent.first > pause.asked {
            self.end(now);
        } else if sent.last > Some(pause.asked) {
            self.paused += now - pause.since;
            self.pause = None;
            self.doubt = true;
            self.allowance = None;
        }
    }

    /// The client has a new socket, on which everything is sent again.
    pub(crate) fn new_socket(&mut self, now: Instant) {
        if let Some(pause) = self.pause.take() {
            self.paused += now - pause.since;
        }
        self.doubt = false;
        self.sent.values_mut().for_each(|sent| sent.last = None);
    }

    /// The client sends this message.
    pub(crate) fn sent(&mut self, now: Instant, message: &Message) -> Result<(), String> {
        if self.allowance.as_mut().is_some_and(|allowance| allowance.count(now)) {
            return Err(format!("more was sent than the pace allows after a pause: {}", self.state(now)));
        }
        if message.name() != message_type::INPUT {
            return Ok(());
        }
        let sequence = message.sequence;
        let paused_before = self.paused + self.pause.as_ref().map_or(Duration::ZERO, |pause| now - pause.since);
        let sent = self.sent.entry(sequence).or_insert(Sent { first: now, last: None, paused_before });
        let before = sent.last.replace(now);
        let quiet_for = paused_before - std::mem::replace(&mut sent.paused_before, paused_before);
        if let Some(pause) = &mut self.pause {
            let quiet = now - std::mem::replace(&mut pause.probed, now);
            if pause.is_certain && quiet < PROBE_INTERVAL {
                return Err(format!("message {sequence} was sent in a pause: {}", self.state(now)));
            }
        } else if let Some(last) = before
            && now - last < OVERDUE + quiet_for
        {
            return Err(format!("message {sequence} was sent again before it was overdue: {}", self.state(now)));
        }
        Ok(())
    }

    fn end(&mut self, now: Instant) {
        if let Some(pause) = self.pause.take() {
            self.paused += now - pause.since;
            if let Some(allowance) = &mut self.allowance {
                *allowance = Allowance { since: now, at_once: 1.0, sent: 0.0, ..*allowance };
            }
        }
        self.doubt = false;
    }

    fn state(&self, now: Instant) -> String {
        let pause = self.pause.as_ref().map(|pause| now - pause.since);
        let sent = self.allowance.as_ref().map(|allowance| (allowance.sent, now - allowance.since));
        format!("paused for {pause:?}, {sent:?} messages since")
    }
}
