//! Overrides: the program's own settings, which win over environment and profile.
//!
//! They are plain values. This module must not know where they come from.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;

use ssm_net::CONNECT_TIMEOUT;

/// The time limit for one attempt of an API call, its connection included. StartSession answers in under a second, a
/// slow network needs some more, and nobody waits longer than this for a prompt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(20);

/// The program's own settings, which win over environment and profile. As a rule they are its command line.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Overrides {
    /// The profile's name. As with the AWS CLI, it wins over credentials in the environment.
    pub profile: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// The SSM API's URL, `http://` or `https://`.
    pub endpoint_url: Option<String>,
    /// The URL for streams, `http://` or `https://`: its scheme, host and port take the place of those that the API
    /// gives.
    pub ssmmessages_endpoint_url: Option<String>,
    /// The PEM file, or folder of them, with the certificate authorities to trust; `~/` is the home folder.
    pub ca_bundle: Option<String>,
    /// Whether every certificate is accepted, of any issuer and for any name.
    pub no_verify_ssl: bool,
    /// Whether requests are sent without a signature. Credentials are not looked for then.
    pub no_sign_request: bool,
    /// Whether the AWS CLI's cache of temporary credentials is neither read nor written.
    pub no_credential_cache: bool,
    /// Time limits in place of the default ones.
    pub limits: Limits,
}

/// The time limits of a call. [`NO_LIMIT`](ssm_net::NO_LIMIT) stands for no limit, `None` for the default.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Limits {
    /// The limit for a connection, proxy and TLS included: 10 s by default. It holds for a session's stream, too.
    pub connect: Option<Duration>,
    /// The limit from then on until the answer begins: 20 s by default.
    pub read: Option<Duration>,
}

impl Limits {
    /// The limits for the SDK. A whole attempt may take as long as both its parts; if neither is set,
    /// [`ATTEMPT_TIMEOUT`].
    pub(super) fn timeouts(self) -> TimeoutConfig {
        let connect = self.connect.unwrap_or(CONNECT_TIMEOUT);
        let read = self.read.unwrap_or(ATTEMPT_TIMEOUT);
        let attempt = if self == Self::default() { ATTEMPT_TIMEOUT } else { connect.saturating_add(read) };
        TimeoutConfig::builder().connect_timeout(connect).read_timeout(read).operation_attempt_timeout(attempt).build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssm_net::NO_LIMIT;

    #[test]
    fn each_limit_stands_for_itself() {
        let seconds = Duration::from_secs;
        for (connect, read, expected) in [
            (None, None, [seconds(10), seconds(20), seconds(20)]),
            (Some(seconds(30)), None, [seconds(30), seconds(20), seconds(50)]),
            (None, Some(seconds(1)), [seconds(10), seconds(1), seconds(11)]),
            (Some(NO_LIMIT), None, [NO_LIMIT, seconds(20), NO_LIMIT + seconds(20)]),
            (None, Some(NO_LIMIT), [seconds(10), NO_LIMIT, NO_LIMIT + seconds(10)]),
        ] {
            let timeouts = Limits { connect, read }.timeouts();
            let limits = [timeouts.connect_timeout(), timeouts.read_timeout(), timeouts.operation_attempt_timeout()];
            assert_eq!(limits, expected.map(Some), "{connect:?} {read:?}");
        }
    }
}
