//! How a call is repeated, and how it fails.
//!
//! It must not know what a call is for.

use std::time::Duration;

use aws_sdk_ssm::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::{
    backoff::Backoff,
    call::Call,
    config::Aws,
    error::{ApiError, ApiFailure},
    explain::{explain, failed},
    kind::ErrorKind,
};

/// The pauses after failed attempts. Those of four make 3.5 s at most, about as long as a person waits before asking why.
pub(super) const BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(2));

/// How often and how fast a call is repeated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempts {
    /// Attempts in all.
    pub(super) limit: u32,
    /// The pauses between them.
    pub(super) backoff: Backoff,
}

/// Sends as often as `attempts` allows, as long as `again` says so of the failure.
pub(super) async fn repeat<T, E, F>(
    aws: &Aws,
    call: &Call,
    attempts: Attempts,
    again: impl Fn(ErrorKind) -> bool,
    send: impl Fn() -> F,
) -> Result<T, ApiError>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    // Not an async closure: what awaits one is not known to be `Send`.
    F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
{
    // Ahead of the call and outside its time limit: fetching credentials may take a person's attention.
    if let Err(error) = aws.credentials().await {
        return Err(failed(aws, call, ApiFailure::SignIn(error)).await);
    }
    let Attempts { limit, mut backoff } = attempts;
    let mut attempts_left = limit;
    loop {
        attempts_left = attempts_left.saturating_sub(1);
        let error = match send().await {
            Ok(answer) => return Ok(answer),
            Err(error) => explain(aws, call, error).await,
        };
        let kind = error.kind();
        if let (ErrorKind::Expired, Some(credentials)) = (kind, aws.cached_credentials()) {
            credentials.forget().await;
        }
        // Credentials have been looked for with a patience of their own.
        let is_signed = !matches!(*error.failure, ApiFailure::SignIn(_));
        if attempts_left == 0 || !is_signed || !again(kind) {
            return Err(error);
        }
        tracing::info!(operation = call.operation(), attempts_left, why = %error, "trying again");
        tokio::time::sleep(backoff.pause(fastrand::f64())).await;
    }
}
