//! EC2 Instance Connect: a public key for one user of an instance, good for 60 seconds.
//!
//! It must not know where the key comes from, nor what is done with the minute.

use std::time::Duration;

use aws_sdk_ec2instanceconnect::{
    Client,
    config::{
        Builder,
        endpoint::{DefaultResolver, Params, ResolveEndpoint},
    },
};

use super::{
    call::{Attempts, BACKOFF, Call, repeat},
    config::Aws,
    fault::Kind,
    http::host_of,
};
use crate::diagnostics::{Error, ExitStatus};

/// How often a key is pushed while the service throttles or fails. Pushing it twice does no harm.
const ATTEMPTS: u32 = 3;

/// The call, for one account and region.
#[derive(Clone, Debug)]
pub struct InstanceConnect {
    aws: Aws,
    client: Client,
    backoff: Duration,
}

impl InstanceConnect {
    /// The call with this region and these credentials. Nothing is sent yet.
    pub fn new(aws: &Aws) -> Self {
        let mut config = Builder::from(aws.sdk());
        // The SDK's configuration has the endpoint of SSM.
        config.set_endpoint_url(aws.instance_connect_endpoint.clone());
        if !aws.signs() {
            config.set_allow_no_auth();
        }
        Self { aws: aws.clone(), client: Client::from_conf(config.build()), backoff: BACKOFF }
    }

    /// Lets the owner of `public_key` (`KIND BASE64`) in as `user` for the next 60 seconds.
    ///
    /// # Errors
    /// 68 if there is no such instance, 69 if it does not run, 75 for the network and throttling, 77 for credentials
    /// and permissions, 78 for a user or key that the service refuses, and for what is no EC2 instance.
    pub async fn push_key(&self, instance_id: &str, user: &str, public_key: &str) -> Result<(), Error> {
        check_target(instance_id)?;
        tracing::info!(instance_id, user, "pushing the public key");
        let send = || {
            let request = self.client.send_ssh_public_key().instance_id(instance_id).instance_os_user(user);
            request.ssh_public_key(public_key).send()
        };
        let again = |kind| matches!(kind, Kind::Throttled | Kind::Passing);
        let attempts = Attempts { limit: ATTEMPTS, backoff: self.backoff };
        match repeat(&self.aws, Call::SendSshPublicKey { user }, attempts, again, send).await {
            Ok(_) => Ok(()),
            Err(fault) => Err(fault.error),
        }
    }
}

/// Checks that the target is something that keys can be pushed to.
///
/// # Errors
/// Status 78 if it is a hybrid node or an ECS task.
pub fn check_target(id: &str) -> Result<(), Error> {
    if id.starts_with("i-") {
        return Ok(());
    }
    let message = format!("{id} is no EC2 instance, and EC2 Instance Connect pushes keys to those alone");
    Err(Error::new(ExitStatus::Config, message, "leave --push-key out, and put your key into authorized_keys there"))
}

/// The API's host as a person would look it up; for messages.
pub(super) async fn host(aws: &Aws) -> String {
    let params = Params::builder()
        .region(aws.region.clone())
        .set_use_fips(aws.sdk().use_fips())
        .set_use_dual_stack(aws.sdk().use_dual_stack())
        .set_endpoint(aws.instance_connect_endpoint.clone())
        .build();
    let endpoint = match &params {
        Ok(params) => ResolveEndpoint::resolve_endpoint(&DefaultResolver::new(), params).await.ok(),
        Err(_) => None,
    };
    let host = endpoint.as_ref().and_then(|endpoint| host_of(endpoint.url()));
    host.map_or_else(|| format!("EC2 Instance Connect in {}", aws.region), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::test_support::Service;

    async fn push(answers: &[(u16, &str)], id: &str) -> (Result<(), Error>, Vec<String>) {
        let service = Service::answering(answers.iter().copied());
        let aws = service.aws("").await;
        let config = Builder::from(aws.sdk()).http_client(service.clone()).build();
        let client = Client::from_conf(config);
        let connect = InstanceConnect { aws, client, backoff: Duration::from_millis(1) };
        let result = connect.push_key(id, "ec2-user", "ssh-ed25519 AAAA").await;
        (result, service.requests())
    }

    #[tokio::test]
    async fn instance_user_and_key_are_sent() {
        let (result, requests) = push(&[(200, r#"{"RequestId":"1","Success":true}"#)], "i-0abc").await;
        assert_eq!(result, Ok(()));
        assert_eq!(
            requests,
            [concat!(
                r#"SendSSHPublicKey {"InstanceId":"i-0abc","InstanceOSUser":"ec2-user","#,
                r#""SSHPublicKey":"ssh-ed25519 AAAA"}"#
            )]
        );
    }

    #[tokio::test]
    async fn each_refusal_has_its_status() {
        for (code, status) in [
            ("AuthException", ExitStatus::Denied),
            ("AccessDeniedException", ExitStatus::Denied),
            ("EC2InstanceNotFoundException", ExitStatus::NoTarget),
            ("EC2InstanceStateInvalidException", ExitStatus::Unavailable),
            ("EC2InstanceUnavailableException", ExitStatus::Unavailable),
            ("EC2InstanceTypeInvalidException", ExitStatus::Config),
            ("InvalidArgsException", ExitStatus::Config),
        ] {
            let answer = format!(r#"{{"__type":"{code}","message":"why"}}"#);
            let (result, requests) = push(&[(400, &answer)], "i-0abc").await;
            let error = result.unwrap_err();
            assert_eq!((error.status, requests.len()), (status, 1), "{code}: {error:?}");
            assert!(error.message.ends_with(&format!("({code}: why)")), "{error:?}");
        }
    }

    #[tokio::test]
    async fn throttling_is_waited_out() {
        let throttled = (400, r#"{"__type":"ThrottlingException"}"#);
        assert_eq!(push(&[throttled, throttled, (200, "{}")], "i-0abc").await.0, Ok(()));
    }

    #[tokio::test]
    async fn nothing_is_sent_for_what_is_no_instance() {
        for id in ["mi-0abc", "ecs:a_b_c"] {
            let (result, requests) = push(&[], id).await;
            assert_eq!(result.unwrap_err().status, ExitStatus::Config);
            assert!(requests.is_empty());
        }
    }

    #[tokio::test]
    async fn messages_name_the_host_of_the_partition() {
        let mut aws = Service::answering([]).aws("").await;
        assert_eq!(host(&aws).await, "ec2-instance-connect.eu-west-1.amazonaws.com");
        aws.region = "cn-north-1".to_owned();
        assert_eq!(host(&aws).await, "ec2-instance-connect.cn-north-1.amazonaws.com.cn");
        aws.instance_connect_endpoint = Some("http://127.0.0.1:1".to_owned());
        assert_eq!(host(&aws).await, "127.0.0.1");
    }
}
