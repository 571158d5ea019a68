//! Where the APIs and the streams of sessions are: hosts, as a person would look them up.

use aws_sdk_ec2instanceconnect::config::endpoint as instance_connect;
use aws_sdk_ssm::config::endpoint as ssm;

use super::{call::Call, config::Aws, http::host_of};
use ssm_net::Address;

impl Aws {
    /// Where the streams of sessions are, as far as that is known before one is started: the host that the user set, or
    /// that of the region. With an API endpoint of the user's own it is not known.
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

    /// The host that a call is sent to, for messages.
    pub(super) async fn host(&self, call: &Call) -> String {
        match call {
            Call::SendSshPublicKey { .. } => self.instance_connect_host().await,
            _ => self.api_host().await,
        }
    }

    /// The SSM API's host.
    pub(super) async fn api_host(&self) -> String {
        use ssm::ResolveEndpoint;

        let params = ssm::Params::builder()
            .region(self.region.clone())
            .set_use_fips(self.sdk().use_fips())
            .set_use_dual_stack(self.sdk().use_dual_stack())
            .set_endpoint(self.endpoint_override.clone())
            .build();
        let endpoint = match &params {
            Ok(params) => ssm::DefaultResolver::new().resolve_endpoint(params).await.ok(),
            Err(_) => None,
        };
        let host = endpoint.as_ref().and_then(|endpoint| host_of(endpoint.url()));
        host.unwrap_or_else(|| format!("SSM in {}", self.region))
    }

    /// EC2 Instance Connect's host.
    async fn instance_connect_host(&self) -> String {
        use instance_connect::ResolveEndpoint;

        let params = instance_connect::Params::builder()
            .region(self.region.clone())
            .set_use_fips(self.sdk().use_fips())
            .set_use_dual_stack(self.sdk().use_dual_stack())
            .set_endpoint(self.instance_connect_endpoint.clone())
            .build();
        let endpoint = match &params {
            Ok(params) => instance_connect::DefaultResolver::new().resolve_endpoint(params).await.ok(),
            Err(_) => None,
        };
        let host = endpoint.as_ref().and_then(|endpoint| host_of(endpoint.url()));
        host.unwrap_or_else(|| format!("EC2 Instance Connect in {}", self.region))
    }
}
