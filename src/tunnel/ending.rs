//! How a session ends from this side: who wants it, how urgently, and when to stop waiting.
//!
//! Times and decisions only. The order is always the same: the bytes that were read, the terminate flag, its
//! acknowledgement; what cannot be had in time is made up for by TerminateSession.

use std::time::Instant;

use super::limits;
use ssm_channel::Ending as ChannelEnding;

/// An end that is under way.
#[derive(Debug)]
pub(super) struct Ending {
    /// Nobody reads stdout any more, or we were told to go: seconds count, output does not.
    urgent_since: Option<Instant>,
    /// The last time bytes were acknowledged, or the end began.
    progress: Instant,
    /// Messages acknowledged at that time.
    acknowledged: u64,
    flag_acknowledged: Option<Instant>,
}

/// What an ending wants.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Want {
    /// To wait, at most until then.
    Wait(Instant),
    /// To leave: the session is ended on the service.
    Leave,
    /// To leave, and TerminateSession has to end the session.
    LeaveByApi,
}

impl Ending {
    /// Stdin has ended.
    pub(super) fn of_stdin(now: Instant) -> Self {
        Self { urgent_since: None, progress: now, acknowledged: 0, flag_acknowledged: None }
    }

    /// A signal, or stdout without a reader.
    pub(super) fn urgent(now: Instant) -> Self {
        Self { urgent_since: Some(now), ..Self::of_stdin(now) }
    }

    /// It has become urgent, if it was not.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.urgent_since.get_or_insert(now);
    }

    /// Whether seconds count.
    pub(super) fn is_urgent(&self) -> bool {
        self.urgent_since.is_some()
    }

    /// How the channel should end, as soon as it is known that stdin holds nothing more.
    pub(super) fn for_channel(&self, now: Instant, stdin_ended: bool) -> Option<ChannelEnding> {
        match self.urgent_since {
            None => Some(ChannelEnding::Acknowledged),
            Some(since) => (stdin_ended || since + limits::LAST_WORDS <= now).then_some(ChannelEnding::AtOnce),
        }
    }

    /// `messages` have been acknowledged so far.
    pub(super) fn acknowledged(&mut self, now: Instant, messages: u64) {
        if messages != self.acknowledged {
            self.acknowledged = messages;
            self.progress = now;
        }
    }

    /// The terminate flag was acknowledged.
    pub(super) fn flag_acknowledged(&mut self, now: Instant) {
        self.flag_acknowledged.get_or_insert(now);
    }

    /// What to do at `now`; `flag_sent` says whether nothing but the flag's acknowledgement is missing.
    pub(super) fn want(&self, now: Instant, flag_sent: bool) -> Want {
        let until = match (self.flag_acknowledged, self.urgent_since) {
            (Some(_), Some(_)) => return Want::Leave,
            (Some(since), None) => since + limits::LAST_OUTPUT,
            (None, Some(since)) => since + limits::LAST_WORDS + limits::FAREWELL,
            (None, None) if flag_sent => self.progress + limits::FAREWELL,
            (None, None) => self.progress + limits::DELIVERY_STALL,
        };
        match until {
            until if now < until => Want::Wait(until),
            _ if self.flag_acknowledged.is_some() => Want::Leave,
            _ => Want::LeaveByApi,
        }
    }

    /// When [`for_channel`](Self::for_channel) may change its mind.
    pub(super) fn last_words_until(&self) -> Option<Instant> {
        self.urgent_since.map(|since| since + limits::LAST_WORDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const STEP: Duration = Duration::from_millis(1);

    #[test]
    fn stdins_end_waits_for_delivery_as_long_as_there_is_progress() {
        let start = Instant::now();
        let mut ending = Ending::of_stdin(start);
        assert_eq!(ending.for_channel(start, true), Some(ChannelEnding::Acknowledged));
        let later = start + limits::DELIVERY_STALL - STEP;
        ending.acknowledged(later, 1);
        assert_eq!(ending.want(later, false), Want::Wait(later + limits::DELIVERY_STALL));
        assert_eq!(ending.want(later + limits::DELIVERY_STALL, false), Want::LeaveByApi);
        assert_eq!(ending.want(later + limits::FAREWELL, true), Want::LeaveByApi);
    }

    #[test]
    fn an_acknowledged_flag_leaves_time_for_the_last_output_unless_it_is_urgent() {
        let start = Instant::now();
        let mut ending = Ending::of_stdin(start);
        ending.flag_acknowledged(start);
        assert_eq!(ending.want(start, true), Want::Wait(start + limits::LAST_OUTPUT));
        assert_eq!(ending.want(start + limits::LAST_OUTPUT, true), Want::Leave);
        ending.hurry(start);
        assert_eq!(ending.want(start, true), Want::Leave);
    }

    #[test]
    fn a_signal_leaves_a_moment_for_last_words_and_is_over_within_three_seconds() {
        let start = Instant::now();
        let ending = Ending::urgent(start);
        assert_eq!(ending.for_channel(start, false), None);
        assert_eq!(ending.for_channel(start, true), Some(ChannelEnding::AtOnce));
        assert_eq!(ending.for_channel(start + limits::LAST_WORDS, false), Some(ChannelEnding::AtOnce));
        let Want::Wait(until) = ending.want(start, true) else { panic!("does not wait") };
        assert_eq!(ending.want(until, true), Want::LeaveByApi);
        assert!(until + limits::TERMINATE + limits::GOODBYE - start < Duration::from_secs(3));
    }
}
