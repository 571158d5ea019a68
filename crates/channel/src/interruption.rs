//! Interruptions: whether the output of a command may have been lost while there was no connection.
//!
//! The agent is told to pause while its client is away. An agent that reads output of a `NonInteractiveCommands` session in
//! a pause gives that stream up for good, without a word, and still delivers the exit status (seen with the agent's own
//! code). Output that was made after the interruption shows that its stream has not been given up. Without any, nothing
//! shows that it has, either: then a part may be lost. A stream that never had any output is not suspected while the other
//! goes on, though its first may have been lost: else no command that writes to one stream could outlive an interruption.
//!
//! The two sides' clocks are not compared: a message counts as made after the interruption if it would have arrived well
//! after it even by the fastest way that any message has taken. The interruption is over when something has come again, or
//! when the agent must have been told so: a round trip after the new connection was opened.

use super::message::PayloadType;

/// How much later than the end of an interruption a message has to have been made to show anything: this many milliseconds,
/// and this many times the difference between the two fastest. The fastest way that was seen is not the fastest there is,
/// and the less messages differ, the nearer it comes to that.
const MARGIN: u64 = 2;
const MARGIN_TIMES: u64 = 4;

/// Output's two streams.
#[derive(Clone, Copy, Debug, Default)]
struct Streams {
    stdout: bool,
    stderr: bool,
}

impl Streams {
    fn add(&mut self, payload_type: PayloadType) {
        self.stdout |= payload_type == PayloadType::OUTPUT;
        self.stderr |= payload_type == PayloadType::STDERR;
    }

    fn any(self) -> bool {
        self.stdout || self.stderr
    }
}

/// The latest interruption. Times are in milliseconds of the client's clock.
#[derive(Clone, Copy, Debug)]
struct Interruption {
    /// When something came for the last time before it.
    from: u64,
    /// When the agent knew at the latest that it was over.
    until: Option<u64>,
    /// Streams with output made after it.
    alive: Streams,
}

/// The interruptions of a session, and the output that came around them.
#[derive(Debug, Default)]
pub(super) struct Interruptions {
    /// The two least amounts that the client's clock was ahead of a message's date when it arrived, in milliseconds.
    least_leads: Option<(i64, i64)>,
    last: u64,
    latest: Option<Interruption>,
    /// Streams that have ever had output.
    written: Streams,
    /// The command had ended before the latest interruption.
    ended_before: bool,
    /// The exit status has come: nothing that follows is an interruption of the command.
    has_ended: bool,
}

impl Interruptions {
    /// There is no connection any more.
    pub(super) fn begin(&mut self) {
        if self.has_ended {
            return;
        }
        let unproven = self.latest.filter(|latest| !latest.alive.any());
        let from = unproven.map_or(self.last, |latest| latest.from);
        self.latest = Some(Interruption { from, until: None, alive: Streams::default() });
    }

    /// There is a connection, and the agent knows by this time.
    pub(super) fn end(&mut self, by: u64) {
        if let Some(latest) = &mut self.latest {
            latest.until.get_or_insert(by);
        }
    }

    /// A message that was made when the agent's clock said `created` has arrived for the first time.
    pub(super) fn arrived(&mut self, now: u64, created: u64, payload_type: PayloadType) {
        let lead = now.cast_signed().saturating_sub(created.cast_signed());
        let (least, second) = match self.least_leads {
            Some((least, second)) if lead < least => (lead, least.min(second)),
            Some((least, second)) => (least, second.min(lead)),
            None => (lead, i64::MAX),
        };
        self.least_leads = Some((least, second));
        self.last = now;
        self.written.add(payload_type);
        self.has_ended |= payload_type == PayloadType::EXIT_CODE;
        let Some(latest) = &mut self.latest else { return };
        let until = latest.until.map_or(now, |until| until.min(now));
        latest.until = Some(until);
        // When it would have arrived by the fastest way.
        let made = created.saturating_add_signed(least);
        let margin = second.saturating_sub(least).unsigned_abs().saturating_mul(MARGIN_TIMES).saturating_add(MARGIN);
        if made >= until.saturating_add(margin) {
            latest.alive.add(payload_type);
        }
        if payload_type == PayloadType::EXIT_CODE {
            self.ended_before = made <= latest.from;
        }
    }

    /// Whether output may be lost, of a command that has ended or of which nothing more will come.
    pub(super) fn may_have_lost_output(&self) -> bool {
        let Some(Interruption { alive, .. }) = self.latest.filter(|_| !self.ended_before) else { return false };
        !alive.any() || (self.written.stdout && !alive.stdout) || (self.written.stderr && !alive.stderr)
    }

    /// Whether no stream that was in use has shown yet, since the latest interruption, that it goes on: the command may be
    /// quiet, or stand still for ever on a stream that nobody reads any more.
    pub(super) fn leave_doubt(&self) -> bool {
        !self.has_ended && self.written.any() && self.latest.is_some_and(|latest| !latest.alive.any())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The agent's clock is this much behind, and messages take 20 ms or more.
    const BEHIND: u64 = 5_000;

    fn after_one_interruption() -> Interruptions {
        let mut interruptions = Interruptions::default();
        let made = |at: u64| at - BEHIND;
        interruptions.arrived(10_020, made(10_000), PayloadType::OUTPUT);
        interruptions.arrived(10_500, made(10_450), PayloadType::OUTPUT);
        assert!(!interruptions.may_have_lost_output());
        interruptions.begin();
        assert!(interruptions.may_have_lost_output());
        // Sent again, and made before it.
        interruptions.arrived(12_000, made(10_490), PayloadType::OUTPUT);
        assert!(interruptions.may_have_lost_output());
        interruptions
    }

    #[test]
    fn output_made_after_an_interruption_shows_that_its_stream_goes_on() {
        let mut interruptions = after_one_interruption();
        interruptions.arrived(12_600, 12_500 - BEHIND, PayloadType::OUTPUT);
        assert!(!interruptions.may_have_lost_output());
        interruptions.begin();
        interruptions.arrived(14_000, 13_900 - BEHIND, PayloadType::EXIT_CODE);
        assert!(interruptions.may_have_lost_output(), "nothing was written after the second");
    }

    #[test]
    fn one_message_is_enough_a_round_trip_after_the_new_connection() {
        // The two fastest messages differed by 30 ms.
        for (made, is_proof) in [(12_401, false), (12_402, true)] {
            let mut interruptions = after_one_interruption();
            interruptions.begin();
            interruptions.end(12_300);
            interruptions.end(12_900);
            interruptions.arrived(13_000, made - BEHIND, PayloadType::OUTPUT);
            assert_eq!(interruptions.may_have_lost_output(), !is_proof, "made at {made}");
        }
    }

    #[test]
    fn a_command_that_wrote_and_is_quiet_since_an_interruption_is_in_doubt() {
        let mut interruptions = Interruptions::default();
        interruptions.begin();
        assert!(!interruptions.leave_doubt(), "it had written nothing");
        let mut interruptions = after_one_interruption();
        assert!(interruptions.leave_doubt());
        interruptions.arrived(12_600, 12_500 - BEHIND, PayloadType::OUTPUT);
        assert!(!interruptions.leave_doubt());
        interruptions.begin();
        assert!(interruptions.leave_doubt());
        interruptions.arrived(14_000, 13_900 - BEHIND, PayloadType::EXIT_CODE);
        assert!(!interruptions.leave_doubt(), "it has ended");
    }

    #[test]
    fn nothing_is_interrupted_after_the_exit_status() {
        let mut interruptions = Interruptions::default();
        interruptions.arrived(10_020, 10_000 - BEHIND, PayloadType::OUTPUT);
        interruptions.arrived(10_030, 10_010 - BEHIND, PayloadType::EXIT_CODE);
        interruptions.begin();
        assert!(!interruptions.may_have_lost_output());
    }

    #[test]
    fn each_stream_that_was_in_use_has_to_show_it() {
        let mut interruptions = Interruptions::default();
        interruptions.arrived(10_020, 10_000 - BEHIND, PayloadType::STDERR);
        interruptions.begin();
        interruptions.arrived(12_000, 11_000 - BEHIND, PayloadType::UNDEFINED);
        interruptions.arrived(12_600, 12_500 - BEHIND, PayloadType::OUTPUT);
        assert!(interruptions.may_have_lost_output());
        interruptions.arrived(12_700, 12_600 - BEHIND, PayloadType::STDERR);
        assert!(!interruptions.may_have_lost_output());
    }

    #[test]
    fn a_command_that_had_ended_before_has_lost_nothing() {
        let mut interruptions = after_one_interruption();
        interruptions.arrived(12_010, 10_470 - BEHIND, PayloadType::EXIT_CODE);
        assert!(!interruptions.may_have_lost_output());
    }
}
