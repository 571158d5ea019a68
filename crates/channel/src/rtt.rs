//! The round-trip estimate and the retransmission timeout: RFC 6298, with limits for this service.
//!
//! It sees samples and timeouts, never messages: Karn's rule (no sample from a message that was sent twice) is kept
//! by the caller.

use std::time::Duration;

/// Timeout before anything was measured. Agents refuse data without an acknowledgement until they have connected to
/// sshd, so a login waits this long for the repair; a second, as for TCP, would be felt.
const INITIAL: Duration = Duration::from_millis(180);
/// Lower limit: the agent acknowledges after its write to sshd, and both hosts' schedulers take their share.
const MIN: Duration = Duration::from_millis(100);
/// Upper limit, with back-off. An agent whose sshd reads slowly acknowledges nothing for as long as it takes, so
/// the timeout grows; this keeps the repair prompt once it reads on.
const MAX: Duration = Duration::from_secs(4);
/// Granularity: the least that is added to the smoothed round trip. The agent uses the same 10 ms.
const GRANULARITY: Duration = Duration::from_millis(10);
/// Doublings after which [`MAX`] is reached from [`MIN`].
const MAX_BACKOFF: u32 = 6;

/// Smoothed round trip, its variation, and the timeout that follows from them.
#[derive(Clone, Debug, Default)]
pub(super) struct RoundTrip {
    estimate: Option<Estimate>,
    backoff: u32,
}

#[derive(Clone, Copy, Debug)]
struct Estimate {
    smoothed: Duration,
    variation: Duration,
}

impl RoundTrip {
    /// A message sent once was acknowledged after `sample`.
    pub(super) fn sample(&mut self, sample: Duration) {
        self.backoff = 0;
        self.estimate = Some(match self.estimate {
            None => Estimate { smoothed: sample, variation: sample / 2 },
            Some(Estimate { smoothed, variation }) => Estimate {
                variation: (variation * 3 + smoothed.abs_diff(sample)) / 4,
                smoothed: (smoothed * 7 + sample) / 8,
            },
        });
    }

    /// A timeout passed without an acknowledgement: the next one is twice as long.
    pub(super) fn back_off(&mut self) {
        self.backoff = (self.backoff + 1).min(MAX_BACKOFF);
    }

    /// The peer answers again after a silence: the next timeout is a normal one.
    pub(super) fn forgive(&mut self) {
        self.backoff = 0;
    }

    /// The path is another one now.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// How long to wait for an acknowledgement before sending again.
    pub(super) fn timeout(&self) -> Duration {
        (self.without_back_off() * (1 << self.backoff)).min(MAX)
    }

    /// The same, as it was before there was none in time.
    pub(super) fn without_back_off(&self) -> Duration {
        match self.estimate {
            None => INITIAL,
            Some(Estimate { smoothed, variation }) => (smoothed + (variation * 4).max(GRANULARITY)).max(MIN),
        }
    }

    /// The smoothed round trip, once measured.
    pub(super) fn smoothed(&self) -> Option<Duration> {
        self.estimate.map(|estimate| estimate.smoothed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn the_first_sample_sets_the_estimate_as_rfc_6298_says() {
        let mut rtt = RoundTrip::default();
        assert_eq!(rtt.timeout(), INITIAL);
        rtt.sample(millis(200));
        assert_eq!(rtt.smoothed(), Some(millis(200)));
        assert_eq!(rtt.timeout(), millis(200 + 4 * 100));
    }

    #[test]
    fn equal_samples_close_in_on_the_round_trip_and_never_go_below_the_minimum() {
        let mut rtt = RoundTrip::default();
        (0..50).for_each(|_| rtt.sample(millis(300)));
        assert_eq!(rtt.timeout(), millis(300) + GRANULARITY);
        (0..100).for_each(|_| rtt.sample(millis(1)));
        assert_eq!(rtt.timeout(), MIN);
    }

    #[test]
    fn back_off_doubles_to_a_limit_and_a_sample_ends_it() {
        let mut rtt = RoundTrip::default();
        rtt.back_off();
        assert_eq!(rtt.timeout(), INITIAL * 2);
        (0..100).for_each(|_| rtt.back_off());
        assert_eq!(rtt.timeout(), MAX);
        rtt.sample(millis(40));
        assert_eq!(rtt.timeout(), millis(40 + 4 * 20));
    }
}
