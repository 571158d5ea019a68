//! The limits of the tunnel's waits, each with its reason; docs/reconnecting.md lists them. `cli` has those that a user
//! may change.

use std::time::Duration;

/// With nothing else to wait for. Never reached: a live link has its keep-alive, an attempt its own limits.
pub(super) const FOREVER: Duration = Duration::from_secs(3600);

/// For how long the first dial is tried again without a word. A trouble that passes sooner is no news.
pub(super) const QUIET: Duration = Duration::from_secs(3);

/// After a signal: OpenSSH sends SIGHUP and closes our stdin 2 ms later, and what it wrote last is still in there.
pub(super) const LAST_WORDS: Duration = Duration::from_millis(20);
/// From the moment nobody listens any more to the acknowledgement of the terminate flag and of what was sent before it.
/// Then the API is asked.
pub(super) const FAREWELL: Duration = Duration::from_millis(1300);
/// With nothing but the terminate flag unacknowledged: how many round trips that may take before the API is asked. An
/// agent that sshd has left before the flag came may never acknowledge it; any other does so in one.
const FLAG_ROUND_TRIPS: u32 = 3;
/// The same at the least: a round trip of a millisecond says little about a busy machine.
const FLAG_MIN: Duration = Duration::from_millis(250);
/// After stdin has ended and all of it was delivered: how long the far side may be silent until nothing more is expected
/// of it. Long enough for a server to think and for a lost message to be repaired, short enough for a person to wait when
/// there is no answer to come. Nobody in a pipeline needs it when the far side closes.
const ANSWER: Duration = Duration::from_secs(5);
/// The same where nothing was asked, since stdin was empty; and where nothing but stdin's end would tell that ssh is gone,
/// of which the end of the session must be within 3 s.
const GREETING: Duration = Duration::from_secs(1);
/// After the terminate flag was acknowledged while stdout is still read: for the last output and `channel_closed`.
/// The agent itself waits at most 2 s for its own acknowledgements.
pub(super) const LAST_OUTPUT: Duration = Duration::from_millis(1000);
/// For stdout's reader to take what is left, while the session is still to be ended on the service. Once it has ended, the
/// reader may take its time, as with any other program of a pipeline.
pub(super) const DRAIN: Duration = Duration::from_secs(10);
/// For the close frame to be handed over to the operating system.
pub(super) const GOODBYE: Duration = Duration::from_millis(100);

/// For a command to write something after the connection has come back, until a person is told that it may never again.
pub(super) const DOUBT: Duration = Duration::from_secs(10);

/// For a command to end after it was interrupted. The agent hears nothing more until it has: then the API is asked.
pub(super) const INTERRUPTED: Duration = Duration::from_secs(3);

/// For the acknowledgement of the terminate flag, with nothing else missing.
pub(super) fn flag(round_trip: Option<Duration>) -> Duration {
    round_trip.map_or(FAREWELL, |time| time.saturating_mul(FLAG_ROUND_TRIPS).clamp(FLAG_MIN, FAREWELL))
}

/// For the far side's silence after stdin's end. `asked` says whether anything was sent, `watched` whether it is noticed
/// when stdout's reader goes.
pub(super) fn silence(asked: bool, watched: bool) -> Duration {
    if asked && watched { ANSWER } else { GREETING }
}
