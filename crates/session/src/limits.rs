//! Every wait of a session that its [`Options`](crate::Options) do not set, with its reason.

use std::time::Duration;

use ssm_aws::Aws;

/// With nothing else to wait for. Never reached: a connection has its keep-alive, an attempt its own limits.
pub(crate) const FOREVER: Duration = Duration::from_secs(3600);

/// One dial: name, TCP, TLS, upgrade.
const DIAL: Duration = Duration::from_secs(15);

/// The part of a dial that ends with TLS: what the user allows, or [`DIAL`].
pub(crate) fn connection(aws: &Aws) -> Duration {
    aws.limits().connect.unwrap_or(DIAL)
}

/// One dial. A limit that the user has set for its connection leaves [`DIAL`] for the rest.
pub(crate) fn dial(aws: &Aws) -> Duration {
    aws.limits().connect.map_or(DIAL, |connection| connection.saturating_add(DIAL))
}

/// For credentials that a first connection can do without. Half the time that there is to connect.
pub(crate) const CREDENTIALS: Duration = Duration::from_secs(30);

/// For the close frame to be handed over to the operating system.
pub(crate) const GOODBYE: Duration = Duration::from_millis(100);

/// For the agent to end a session that it has been told there is no data key for: a round trip, and what it does then.
pub(crate) const CANCELLATION: Duration = Duration::from_secs(3);
