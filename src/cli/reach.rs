//! The flags for how AWS is reached, under the AWS CLI's names: trust, signatures, time limits.

use std::time::Duration;

use clap::{Args, builder::NonEmptyStringValueParser};
use ssm_aws::Limits;
use ssm_net::NO_LIMIT;

#[derive(Debug, Args)]
pub(super) struct Reach {
    /// Certificate authorities to trust
    #[arg(
        long, value_name = "PATH", value_parser = NonEmptyStringValueParser::new(), hide_short_help = true,
        long_help = "A PEM file with the certificate authorities to trust in place of the system's, for the API, the \
            WebSocket and proxies. [default: AWS_CA_BUNDLE, or the profile's ca_bundle]"
    )]
    pub(super) ca_bundle: Option<String>,

    /// Take any TLS certificate
    #[arg(
        long,
        hide_short_help = true,
        long_help = "Take any TLS certificate, of the API, the WebSocket and proxies. Whoever is in between can then read \
            and change what is said to AWS, the session's token and credentials that AWS hands out included; what ssh \
            says stays its own secret. A line on stderr says so each time. In a network that inspects TLS, --ca-bundle \
            is what you want."
    )]
    pub(super) no_verify_ssl: bool,

    /// Do not sign requests
    #[arg(
        long,
        hide_short_help = true,
        long_help = "Look for no credentials, and sign neither requests nor the WebSocket's upgrade. AWS refuses such \
            requests; gateways of your own and doubles of AWS may take them."
    )]
    pub(super) no_sign_request: bool,

    /// Limit for a connection to AWS [default: 10]
    #[arg(
        long,
        value_name = "SECS",
        hide_short_help = true,
        long_help = "How long one connection to AWS may take to come up, proxy and TLS included: for a call of the API, and \
            for the session's WebSocket. 0 is no limit; --connect-timeout holds all the same. [default: 10; for the \
            WebSocket 15, its upgrade included]"
    )]
    cli_connect_timeout: Option<u32>,

    /// Limit for AWS's answer [default: 20]
    #[arg(
        long,
        value_name = "SECS",
        hide_short_help = true,
        long_help = "How long AWS may take to answer a call of the API, once there is a connection. 0 is no limit; \
            --connect-timeout holds all the same. [default: 20, its connection included]"
    )]
    cli_read_timeout: Option<u32>,
}

impl Reach {
    /// The time limits that are asked for.
    pub(super) fn limits(&self) -> Limits {
        Limits { connect: self.cli_connect_timeout.map(limit), read: self.cli_read_timeout.map(limit) }
    }
}

fn limit(seconds: u32) -> Duration {
    match seconds {
        0 => NO_LIMIT,
        seconds => Duration::from_secs(seconds.into()),
    }
}
