//! Every wait and bound of a bond's sessions, with its reason. Those of growth are in `growth`.

use std::time::Duration;

use ssm_session::Stats;

/// With nothing else to wait for. Never reached.
pub(super) const FOREVER: Duration = Duration::from_secs(3600);
/// For a joiner that is known, and whose port has taken the connection, to say that it is one: systemd may have to start it.
pub(super) const GREETING: Duration = Duration::from_secs(2);
/// For a joiner that has greeted to say more, once it is answered: a round trip, on a slow way too.
pub(super) const OPENING: Duration = Duration::from_secs(5);
/// As [`GREETING`] for one that is looked for, once a plain session is up: a round trip, and this at the least.
const LOOK_MIN: Duration = Duration::from_millis(150);
/// And this at the most: somebody waits for a login.
const LOOK_MAX: Duration = Duration::from_millis(600);
/// From the terminate flag to the end of a session that nobody needs any more; then the API is asked.
pub(super) const FAREWELL: Duration = Duration::from_millis(1300);
/// For the joiner to confirm the last bytes, before the flags are sent: four round trips until a session counts as silent, and
/// one over another. The rest of [`FAREWELL`] is the flags'.
pub(super) const DELIVERS: Duration = Duration::from_millis(900);
/// For a flag where a round trip is known: so many of them, and [`FLAG_MIN`] at the least.
const FLAG_ROUND_TRIPS: u32 = 3;
/// A round trip of a millisecond says little about a busy machine.
const FLAG_MIN: Duration = Duration::from_millis(250);
/// For all farewells at the end of the program: a flag, then TerminateSession with its own [limit](crate::terminate::LIMIT).
pub(super) const END: Duration = Duration::from_millis(2700);
/// For a session that is given up to hand over what is under way in it.
pub(super) const RETIRED: Duration = Duration::from_secs(10);
/// For an added session to come up and be let in.
pub(super) const JOINS: Duration = Duration::from_secs(30);
/// How long a joiner keeps a bond that has no session any more, and so how long another is tried.
pub(super) const KEPT: Duration = Duration::from_secs(60);
/// Between two tries to get another session for a bond that has none.
pub(super) const AGAIN: Duration = Duration::from_secs(2);

/// How long a joiner is looked for once a plain session with these figures is up.
pub(super) fn look(plain: &Stats) -> Duration {
    plain.round_trip.unwrap_or(LOOK_MIN).clamp(LOOK_MIN, LOOK_MAX)
}

/// For the acknowledgement of the terminate flag.
pub(super) fn flag(stats: &Stats) -> Duration {
    stats.round_trip.map_or(FAREWELL, |time| time.saturating_mul(FLAG_ROUND_TRIPS).clamp(FLAG_MIN, FAREWELL))
}
