//! Every wait of the tunnel, with its reason; the README lists them. Those that a user may change are in `cli`.

use std::time::Duration;

use ssm_aws::Aws;

/// With nothing else to wait for. Never reached: a live link has its keep-alive, an attempt its own limits.
pub(super) const FOREVER: Duration = Duration::from_secs(3600);

/// One dial: name, TCP, TLS, upgrade.
const DIAL: Duration = Duration::from_secs(15);

/// The part of a dial that ends with TLS: what the user allows, or [`DIAL`].
pub(super) fn connection(aws: &Aws) -> Duration {
    aws.limits().connect.unwrap_or(DIAL)
}

/// One dial. A limit that the user has set for its connection leaves [`DIAL`] for the rest.
pub(super) fn dial(aws: &Aws) -> Duration {
    aws.limits().connect.map_or(DIAL, |connection| connection.saturating_add(DIAL))
}

/// After a signal: OpenSSH sends SIGHUP and closes our stdin 2 ms later, and what it wrote last is still in there.
pub(super) const LAST_WORDS: Duration = Duration::from_millis(20);
/// From the moment nobody listens any more to the acknowledgement of the terminate flag. Then the API is asked.
pub(super) const FAREWELL: Duration = Duration::from_millis(1400);
/// For TerminateSession by API. With [`LAST_WORDS`] and [`FAREWELL`] the whole end takes less than 3 s.
pub(crate) const TERMINATE: Duration = Duration::from_millis(1400);
/// After stdin has ended while stdout is still read: how long the delivery of what was read may make no progress.
pub(super) const DELIVERY_STALL: Duration = Duration::from_secs(10);
/// After the terminate flag was acknowledged while stdout is still read: for the last output and `channel_closed`.
/// The agent itself waits at most 2 s for its own acknowledgements.
pub(super) const LAST_OUTPUT: Duration = Duration::from_millis(1000);
/// After the session was closed: how long stdout's reader may take nothing of what is left for it.
pub(super) const DRAIN_STALL: Duration = Duration::from_secs(10);
/// For the close frame to be handed over to the operating system.
pub(super) const GOODBYE: Duration = Duration::from_millis(100);
