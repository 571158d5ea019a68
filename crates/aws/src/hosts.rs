//! Hosts of the APIs and of sessions' streams, by AWS's endpoint rules.

use aws_sdk_ec2instanceconnect::config::endpoint as instance_connect;
use aws_sdk_kms::config::endpoint as kms;
use aws_sdk_ssm::config::endpoint as ssm;

use super::{call::Call, config::Aws, http::host_of};
use ssm_net::Address;

/// The host of a service, by the endpoint rules of the SDK. Each of the SDK's crates has types of its own for them, so
/// no function can take them all.
macro_rules! host_of_service {
    ($aws:expr, $rules:ident, $endpoint:expr, $call:expr) => {{
        use $rules::ResolveEndpoint;

        let params = $rules::Params::builder()
            .region($aws.region.clone())
            .set_use_fips($aws.sdk().use_fips())
            .set_use_dual_stack($aws.sdk().use_dual_stack())
            .set_endpoint($endpoint.clone())
            .build();
        let endpoint = match &params {
            Ok(params) => $rules::DefaultResolver::new().resolve_endpoint(params).await.ok(),
            Err(_) => None,
        };
        let host = endpoint.as_ref().and_then(|endpoint| host_of(endpoint.url()));
        host.unwrap_or_else(|| format!("{} in {}", $call.service(), $aws.region))
    }};
}

impl Aws {
    /// The address of sessions' streams, as far as it is known before a session is started: the one that the user has
    /// set, or the region's. `None` if the user has set an endpoint for the API: its streams may be anywhere.
    pub async fn stream_address(&self) -> Option<Address> {
        if let Some(url) = &self.stream_override {
            return Address::of(&url.parse().ok()?);
        }
        if self.endpoint_override.is_some() {
            return None;
        }
        let rest = self.api_host().await.strip_prefix("ssm").filter(|rest| rest.starts_with(['.', '-']))?.to_owned();
        Some(Address { host: format!("ssmmessages{rest}"), port: 443, encrypted: true })
    }

    /// The host that a call is sent to, for messages. If the rules give none: the service and the region.
    pub(super) async fn host(&self, call: &Call) -> String {
        match call {
            Call::SendSshPublicKey { .. } => {
                host_of_service!(self, instance_connect, &self.instance_connect_endpoint, call)
            }
            Call::GenerateDataKey { .. } => host_of_service!(self, kms, &self.kms_endpoint, call),
            Call::StartSession { .. }
            | Call::ResumeSession
            | Call::TerminateSession
            | Call::DescribeInstanceInformation => host_of_service!(self, ssm, &self.endpoint_override, call),
        }
    }

    /// The SSM API's host.
    pub(super) async fn api_host(&self) -> String {
        self.host(&Call::ResumeSession).await
    }
}
