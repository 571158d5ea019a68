//! EC2 Instance Connect: it lets the owner of a public key log in as one user of an instance, for 60 seconds.
//!
//! This module must not know where the key comes from, nor who logs in.

use aws_sdk_ec2instanceconnect::{Client, config::Builder};

use super::{
    backoff::Backoff,
    call::Call,
    config::Aws,
    error::ApiError,
    kind::ErrorKind,
    repeat::{Attempts, BACKOFF, repeat},
};

/// How often a key is pushed while the service throttles or fails. To push it twice does no harm.
const ATTEMPTS: u32 = 3;

/// The id of an EC2 instance. Keys can be pushed to EC2 instances alone.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InstanceId(String);

/// A hybrid node or an ECS task, to which no key can be pushed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0} is no EC2 instance, and EC2 Instance Connect pushes keys to those alone")]
pub struct NotAnInstance(pub String);

impl InstanceId {
    /// The instance id of a target.
    ///
    /// # Errors
    /// If the target is a hybrid node or an ECS task.
    pub fn of(target: &str) -> Result<Self, NotAnInstance> {
        let id = target.to_owned();
        if target.starts_with("i-") { Ok(Self(id)) } else { Err(NotAnInstance(id)) }
    }
}

/// The EC2 Instance Connect call of one [`Aws`].
#[derive(Clone, Debug)]
pub struct InstanceConnect {
    aws: Aws,
    client: Client,
    backoff: Backoff,
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
    /// Besides those of every call, [`ErrorKind::Gone`] if there is no such instance.
    pub async fn push_key(&self, instance: &InstanceId, user: &str, public_key: &str) -> Result<(), ApiError> {
        let InstanceId(instance_id) = instance;
        tracing::info!(instance_id, user, "pushing the public key");
        let send = || {
            let request = self.client.send_ssh_public_key().instance_id(instance_id).instance_os_user(user);
            request.ssh_public_key(public_key).send()
        };
        let again = |kind| matches!(kind, ErrorKind::Throttled | ErrorKind::Passing);
        let attempts = Attempts { limit: ATTEMPTS, backoff: self.backoff };
        let call = Call::SendSshPublicKey { user: user.to_owned() };
        repeat(&self.aws, &call, attempts, again, send).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Reason, error::ApiFailure, test_support::Service};

    const MILLI: Duration = Duration::from_millis(1);

    async fn push(answers: &[(u16, &str)]) -> (Result<(), ApiError>, Vec<String>) {
        let service = Service::answering(answers.iter().copied());
        let aws = service.aws("").await;
        let config = Builder::from(aws.sdk()).http_client(service.clone()).build();
        let client = Client::from_conf(config);
        let connect = InstanceConnect { aws, client, backoff: Backoff::new(MILLI, MILLI) };
        let result = connect.push_key(&InstanceId::of("i-0abc").unwrap(), "ec2-user", "ssh-ed25519 AAAA").await;
        (result, service.requests())
    }

    #[tokio::test]
    async fn instance_user_and_key_are_sent() {
        let (result, requests) = push(&[(200, r#"{"RequestId":"1","Success":true}"#)]).await;
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
    async fn each_refusal_has_its_reason() {
        for (code, reason) in [
            ("AuthException", Reason::NotPermitted),
            ("AccessDeniedException", Reason::NotPermitted),
            ("EC2InstanceNotFoundException", Reason::NotFound),
            ("EC2InstanceStateInvalidException", Reason::NotRunning),
            ("EC2InstanceUnavailableException", Reason::NotRunning),
            ("EC2InstanceTypeInvalidException", Reason::Other),
            ("InvalidArgsException", Reason::Other),
        ] {
            let answer = format!(r#"{{"__type":"{code}","message":"why"}}"#);
            let (result, requests) = push(&[(400, &answer)]).await;
            let error = result.unwrap_err();
            assert!(error.to_string().ends_with(&format!("({code}: why)")), "{error:?}");
            let ApiFailure::Refused(refusal) = *error.failure else { panic!("{error:?}") };
            assert_eq!((refusal.reason, requests.len()), (reason, 1), "{code}");
        }
    }

    #[tokio::test]
    async fn throttling_is_waited_out() {
        let throttled = (400, r#"{"__type":"ThrottlingException"}"#);
        assert_eq!(push(&[throttled, throttled, (200, "{}")]).await.0, Ok(()));
    }

    #[test]
    fn keys_are_for_instances_alone() {
        assert!(InstanceId::of("i-0abc").is_ok());
        for id in ["mi-0abc", "ecs:a_b_c"] {
            assert_eq!(InstanceId::of(id), Err(NotAnInstance(id.to_owned())));
        }
    }

    #[tokio::test]
    async fn messages_name_the_host_of_the_partition() {
        let mut aws = Service::answering([]).aws("").await;
        let call = Call::SendSshPublicKey { user: "me".to_owned() };
        assert_eq!(aws.host(&call).await, "ec2-instance-connect.eu-west-1.amazonaws.com");
        aws.region = "cn-north-1".to_owned();
        assert_eq!(aws.host(&call).await, "ec2-instance-connect.cn-north-1.amazonaws.com.cn");
        aws.instance_connect_endpoint = Some("http://127.0.0.1:1".to_owned());
        assert_eq!(aws.host(&call).await, "127.0.0.1");
    }
}
