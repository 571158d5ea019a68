//! Pauses: the service's `pause_publication` and what ends them.
//!
//! A pause is a reason to hold back and to ask again slowly, never to drop bytes, to end the session or to wait for
//! ever: to clients it has been seen both under overload and when the agent's side was away, and not always was it
//! taken back. `start_publication` ends it, and so does the acknowledgement of something that was sent after it began.
//! Data and acknowledgements that were under way when it came say nothing about it. It knows times only.

use std::time::{Duration, Instant};

use super::send_buffer::Delivered;

/// First interval between probes with the oldest unacknowledged message; it doubles.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// Longest interval between probes.
const PROBE_INTERVAL_MAX: Duration = Duration::from_secs(4);
/// A pause in which data has waited this long is taken for a broken path. The agent's side resumes its own socket within
/// about 10 s; this leaves it three times that.
const LIMIT: Duration = Duration::from_secs(30);
/// The round trip where none was measured: none that a session is used with is longer.
const ROUND_TRIP: Duration = Duration::from_secs(1);

/// A pause that is on.
#[derive(Debug)]
pub(super) struct Pause {
    since: Instant,
    /// When the service last asked for it.
    asked: Instant,
    /// Since when something has waited to be sent or to be acknowledged.
    waiting: Option<Instant>,
    probe_at: Instant,
    interval: Duration,
}

impl Pause {
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, asked: now, waiting: None, probe_at: now + PROBE_INTERVAL, interval: PROBE_INTERVAL }
    }

    /// Whether something waits at `now`: a pause without anything to say is nobody's loss, however long it lasts.
    pub(super) fn waits(&mut self, now: Instant, waits: bool) {
        self.waiting = if waits { self.waiting.or(Some(now)) } else { None };
    }

    /// The service asks for it once more: nothing that was sent before can end it now.
    pub(super) fn asked_again(&mut self, now: Instant) {
        self.asked = now;
    }

    /// Whether the acknowledgement of this message, which comes at `now`, ends the pause.
    ///
    /// It does for certain if the message was sent for the first time after the service had asked for the pause. A
    /// message that was sent before and served as a probe is acknowledged for one or the other (the ambiguity of Karn's
    /// rule). Its acknowledgement counts once the probe's can be there, the `shortest` round trip after the probe. An
    /// earlier transmission's would then be more than [`PROBE_INTERVAL`] late; and no probe would ever end a pause that
    /// is not taken back if this were not believed.
    pub(super) fn is_ended_by(&self, now: Instant, message: &Delivered, shortest: Option<Duration>) -> bool {
        let is_after = |sent: Option<Instant>| sent.is_some_and(|sent| sent > self.asked);
        let answers = message.sent.is_some_and(|sent| sent + shortest.unwrap_or(ROUND_TRIP) <= now);
        is_after(message.first_sent) || (is_after(message.sent) && answers)
    }

    /// How long it has lasted.
    pub(super) fn lasted(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    /// Whether a probe is to go out at `now`; if so, the next one is later.
    pub(super) fn take_probe(&mut self, now: Instant) -> bool {
        let is_time = self.probe_at <= now;
        if is_time {
            self.interval = (self.interval * 2).min(PROBE_INTERVAL_MAX);
            self.probe_at = now + self.interval;
        }
        is_time
    }

    /// When the next probe is to go out.
    pub(super) fn probe_at(&self) -> Instant {
        self.probe_at
    }

    /// When something has waited too long, if anything waits.
    pub(super) fn limit(&self) -> Option<Instant> {
        self.waiting.map(|since| since + LIMIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_come_slower_and_slower_to_a_limit() {
        let start = Instant::now();
        let mut pause = Pause::new(start);
        let mut now = start;
        let intervals = std::iter::from_fn(|| {
            let interval = pause.probe_at() - now;
            now = pause.probe_at();
            assert!(!pause.take_probe(now - Duration::from_millis(1)));
            assert!(pause.take_probe(now));
            Some(interval.as_secs())
        });
        assert_eq!(intervals.take(5).collect::<Vec<_>>(), [1, 2, 4, 4, 4]);
    }

    #[test]
    fn the_limit_is_for_what_waits() {
        let start = Instant::now();
        let mut pause = Pause::new(start);
        let later = start + LIMIT * 9;
        pause.waits(later, false);
        assert_eq!(pause.limit(), None);
        pause.waits(later, true);
        pause.waits(later + LIMIT / 2, true);
        assert_eq!(pause.limit(), Some(later + LIMIT));
        pause.waits(later + LIMIT / 2, false);
        assert_eq!(pause.limit(), None);
    }

    #[test]
    fn only_what_was_sent_after_it_began_ends_it() {
        let ms = Duration::from_millis;
        let start = Instant::now();
        let mut pause = Pause::new(start);
        let message = |first: u64, last: u64| Delivered {
            first_sent: Some(start + ms(first) - ms(100)),
            sent: Some(start + ms(last) - ms(100)),
            payload_bytes: 1,
        };
        let ends =
            |pause: &Pause, at, message: Delivered, shortest| pause.is_ended_by(start + ms(at), &message, shortest);
        let shortest = Some(ms(40));
        assert!(!ends(&pause, 5, message(99, 99), shortest), "it was under way");
        assert!(!ends(&pause, 5, message(100, 100), shortest), "it was sent at the moment at which the pause came");
        assert!(ends(&pause, 1001, message(1100, 1100), shortest));
        assert!(!ends(&pause, 1039, message(99, 1100), shortest), "sooner than any answer to the probe");
        assert!(ends(&pause, 1040, message(99, 1100), shortest));
        assert!(!ends(&pause, 1999, message(99, 1100), None));
        assert!(ends(&pause, 2000, message(99, 1100), None));
        pause.asked_again(start + ms(1010));
        assert!(!ends(&pause, 1040, message(1100, 1100), shortest), "the service has asked for it since");
    }
}
