//! Tells bulk from everything else: in bulk one full message follows another.
//!
//! It sees lengths and times. What is done about bulk is the channel's affair: its last, part-filled message may wait
//! a moment for more, and larger messages may be tried.

use std::time::{Duration, Instant};

/// Full messages in a row from which on part-filled ones wait: far more than a login or a screen has.
const FLOWING: u32 = 48;
/// Full messages in a row from which on bulk is called sustained: about a second at the service's pace.
const SUSTAINED: u32 = 768;
/// The number that one part-filled message takes off the count. Bulk has one now and then, too.
const PARTIAL: u32 = 16;
/// Without a full message for this long, bulk is over.
const OVER: Duration = Duration::from_millis(300);
/// How long a part-filled message waits behind a full one: time for ssh to be scheduled and to write more.
const HOLD: Duration = Duration::from_millis(6);

#[derive(Debug, Default)]
pub(super) struct Bulk {
    full: u32,
    last_full: Option<Instant>,
}

impl Bulk {
    /// A message was cut from the stream, filled or not.
    pub(super) fn cut(&mut self, now: Instant, is_full: bool) {
        if self.last_full.is_none_or(|last| last + OVER < now) {
            self.full = 0;
        }
        if is_full {
            self.full = (self.full + 1).min(SUSTAINED);
            self.last_full = Some(now);
        } else {
            self.full = self.full.saturating_sub(PARTIAL);
        }
    }

    /// Whether it is bulk, and has been for long.
    pub(super) fn is_sustained(&self) -> bool {
        self.full == SUSTAINED
    }

    /// Until when a part-filled message is to wait, if at all.
    pub(super) fn holds_until(&self, now: Instant) -> Option<Instant> {
        let until = self.last_full.filter(|_| self.full >= FLOWING)? + HOLD;
        (now < until).then_some(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bulk_is_many_full_messages_and_ends_without_them() {
        let mut bulk = Bulk::default();
        let now = Instant::now();
        (1..FLOWING).for_each(|_| bulk.cut(now, true));
        assert_eq!(bulk.holds_until(now), None);
        bulk.cut(now, true);
        assert_eq!(bulk.holds_until(now), Some(now + HOLD));
        assert_eq!(bulk.holds_until(now + HOLD), None);
        bulk.cut(now, false);
        assert_eq!(bulk.holds_until(now), None, "a part-filled message takes off many full ones");
        (0..SUSTAINED + PARTIAL).for_each(|_| bulk.cut(now, true));
        assert!(bulk.is_sustained());
        bulk.cut(now + OVER * 2, true);
        assert!(!bulk.is_sustained());
    }
}
