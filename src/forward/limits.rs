//! Every wait and bound of a forward, with its reason; docs/forwards.md lists them.

use std::time::Duration;

/// With nothing else to wait for. Never reached.
pub(super) const FOREVER: Duration = Duration::from_secs(3600);
/// Read from a local connection at once, in bytes: what a session sends in 16 ms.
pub(super) const READ: usize = 16 << 10;
/// After the handshake: for an agent that refuses the destination to say so, which it does right behind it.
pub(super) const SETTLED: Duration = Duration::from_millis(60);
/// How long the FIN of a connection whose local side has sent its end of file is held back while nothing comes from the far
/// side. A FIN would close it in both directions, and cut the answer off; without one a server that waits for the end of file
/// waits for ever.
pub(super) const HALF_CLOSED: Duration = Duration::from_secs(5);
/// For the client of a connection that the far side has closed to read what is left and to close its own end.
pub(super) const SEEN_OFF: Duration = Duration::from_secs(60);
/// For a session that is being started, while another can take the connection.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);
/// Without its connection to AWS for so long, a session gets no new connections if others can: most are back by then.
pub(super) const AWAY: Duration = Duration::from_secs(3);
/// Without a connection for so long, a session that is not the only one is ended.
pub(super) const IDLE: Duration = Duration::from_secs(60);
/// After a session beside others could not be started: until the next attempt. A quota or a throttled API needs time.
pub(super) const NO_MORE: Duration = Duration::from_secs(60);
/// From the terminate flag to the end of the session; then the API is asked.
pub(super) const FAREWELL: Duration = Duration::from_millis(1300);
/// For all sessions to end: those that are up take [`FAREWELL`] and TerminateSession's
/// [limit](crate::terminate::LIMIT), one that is being started has to be first.
pub(super) const END: Duration = Duration::from_secs(5);
/// After a connection could not be taken: until the next is tried.
pub(super) const REST: Duration = Duration::from_millis(100);
/// The same failure is told again after this time: a browser retries ten times a second.
pub(super) const AGAIN: Duration = Duration::from_secs(10);
