//! Retries: calls are sent again after failures that may pass, with backoff.
//!
//! This module must not know what a call is for.

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

/// The pauses between attempts. With four attempts they make 3.5 s at most: about as long as a person waits without
/// asking why.
pub(super) const BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(2));

/// How often a call is sent, and at which pauses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempts {
    /// The most attempts, the first one included.
    pub(super) limit: u32,
    /// The pauses between attempts.
    pub(super) backoff: Backoff,
}

/// Sends a call, and sends it again as long as `again` is true for the kind of its error and `attempts` are left.
///
/// # Errors
/// That of the last attempt, or of the search for credentials ahead of the first.
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
    // Outside the call's time limit: a person may have to do something before there are credentials.
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
        // The search for credentials has its own time limit and is not repeated.
        let is_signed = !matches!(*error.failure, ApiFailure::SignIn(_));
        if attempts_left == 0 || !is_signed || !again(kind) {
            return Err(error);
        }
        tracing::info!(operation = call.operation(), attempts_left, why = %error, "trying again");
        tokio::time::sleep(backoff.pause(fastrand::f64())).await;
    }
}
