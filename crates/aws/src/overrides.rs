//! What the program says in place of environment and profile.
//!
//! Plain values. It must not know where they are read from or whom they are asked of.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;

use ssm_net::CONNECT_TIMEOUT;

/// For one whole attempt of an API call, its connection included. StartSession answers in under a second; a slow network
/// may need some more, and nobody waits longer for a prompt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(20);

/// What the program says in place of environment and profile: its command line, as a rule.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Overrides {
    /// The profile's name. As with the AWS CLI, it wins over credentials in the environment.
    pub profile: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// The SSM API's URL, `http://` or `https://`.
    pub endpoint_url: Option<String>,
    /// Where streams are dialled in place of what the API says, `http://` or `https://`.
    pub ssmmessages_endpoint_url: Option<String>,
    /// The PEM file, or folder of them, with the certificate authorities to trust; `~/` is the home folder.
    pub ca_bundle: Option<String>,
    /// Take every certificate, whoever made it.
    pub no_verify_ssl: bool,
    /// Send requests without a signature, and look for no credentials.
    pub no_sign_request: bool,
    /// Leave the AWS CLI's cache of temporary credentials alone.
    pub no_credential_cache: bool,
    /// Time limits in place of ours.
    pub limits: Limits,
}

/// Time limits of a call; [`NO_LIMIT`](ssm_net::NO_LIMIT) for none.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Limits {
    /// To connect, through proxies and TLS. A session's stream is connected to within the same time.
    pub connect: Option<Duration>,
    /// From then on until the answer begins.
    pub read: Option<Duration>,
}

impl Limits {
    /// The limits as the SDK takes them. An attempt may take as long as both its parts; if nobody has asked for either,
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
