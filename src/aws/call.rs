//! One call of an AWS API: what it is called in messages, what IAM must allow for it, and how it is repeated.
//!
//! It must not know what a call is for.

use std::time::Duration;

use aws_sdk_ssm::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::{
    config::Aws,
    fault::{self, Fault, Kind},
    instance_connect,
};
use crate::diagnostics::denial::{Denial, OWN_SESSIONS};

/// The pause after the first failed attempt; it doubles from attempt to attempt. With four attempts that makes 3.5 s
/// at most, about as long as a person waits before asking why.
pub(super) const BACKOFF: Duration = Duration::from_millis(500);

/// A call, for the words about it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Call<'a> {
    StartSession { document: &'a str },
    ResumeSession,
    TerminateSession,
    DescribeInstanceInformation,
    SendSshPublicKey { user: &'a str },
}

impl Call<'_> {
    /// The operation's name.
    pub(super) fn operation(self) -> &'static str {
        match self {
            Self::StartSession { .. } => "StartSession",
            Self::ResumeSession => "ResumeSession",
            Self::TerminateSession => "TerminateSession",
            Self::DescribeInstanceInformation => "DescribeInstanceInformation",
            Self::SendSshPublicKey { .. } => "SendSSHPublicKey",
        }
    }

    /// The host that it is sent to, for messages.
    pub(super) async fn host(self, aws: &Aws) -> String {
        match self {
            Self::SendSshPublicKey { .. } => instance_connect::host(aws).await,
            _ => aws.api_host().await,
        }
    }

    /// The session document that it names; empty if it names none.
    pub(super) fn document(&self) -> &str {
        match self {
            Self::StartSession { document } => document,
            _ => "",
        }
    }

    /// What helps when the call is denied with these words.
    pub(super) fn permission(self, said: &str) -> String {
        let denial = Denial::read(said);
        match self {
            Self::StartSession { document } => {
                let on = match denial.resource {
                    Some(arn) if arn.contains(":document/") => format!("the session document, {arn}"),
                    Some(arn) if arn.contains("instance/") => format!("the node, {arn}"),
                    _ => format!("the node and on document/{document}"),
                };
                denial.cure("ssm:StartSession", &on)
            }
            Self::ResumeSession | Self::TerminateSession => {
                denial.cure(&format!("ssm:{}", self.operation()), OWN_SESSIONS)
            }
            Self::DescribeInstanceInformation => {
                let cure = denial.cure("ssm:DescribeInstanceInformation", "*");
                format!("{cure}; an instance id in place of a name needs no look-up")
            }
            Self::SendSshPublicKey { user } => {
                let on = format!("the instance, for ec2:osuser {user}");
                denial.cure("ec2-instance-connect:SendSSHPublicKey", &on)
            }
        }
    }

    /// The flags that are worth a look when the service refuses the call for a reason of its own.
    pub(super) fn flags(self) -> &'static str {
        match self {
            Self::StartSession { .. } => "check HOST, --document-name, --parameters and --endpoint-url",
            Self::ResumeSession | Self::TerminateSession => "check --endpoint-url",
            Self::DescribeInstanceInformation => "check HOST, --tag and --endpoint-url",
            Self::SendSshPublicKey { .. } => "check --push-key and --user; the key must be ed25519 or RSA",
        }
    }
}

/// How often and how fast a call is repeated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempts {
    /// Attempts in all.
    pub(super) limit: u32,
    /// The pause after the first; it doubles.
    pub(super) backoff: Duration,
}

/// Sends as often as `attempts` allows, as long as `again` says so of the failure.
pub(super) async fn repeat<T, E>(
    aws: &Aws,
    call: Call<'_>,
    attempts: Attempts,
    again: impl Fn(Kind) -> bool,
    send: impl AsyncFn() -> Result<T, SdkError<E, HttpResponse>>,
) -> Result<T, Fault>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    // Ahead of the call and outside its time limit: fetching credentials may take a person's attention.
    aws.credentials().await.map_err(|error| Fault { kind: Kind::Lasting, error })?;
    let Attempts { limit, mut backoff } = attempts;
    let mut attempts_left = limit;
    loop {
        attempts_left = attempts_left.saturating_sub(1);
        let fault = match send().await {
            Ok(answer) => return Ok(answer),
            Err(error) => fault::explain(aws, call, error).await,
        };
        if let (Kind::Expired, Some(credentials)) = (fault.kind, aws.cached_credentials()) {
            credentials.forget().await;
        }
        if attempts_left == 0 || !again(fault.kind) {
            return Err(fault);
        }
        tracing::info!(operation = call.operation(), attempts_left, why = %fault.error, "trying again");
        // Half of it by chance, so that many who were throttled together do not come back together.
        tokio::time::sleep(backoff.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        backoff *= 2;
    }
}
