//! The end of a session by the API, for when nothing can be sent over it.

use std::time::Duration;

use ssm_aws::ApiError;
use tokio::time::timeout;

use crate::diagnostics::tell;

/// For TerminateSession. With the waits of the tunnel before it the whole end takes less than 3 s, also on a machine that
/// takes some tenths of a second to wake a process.
pub const LIMIT: Duration = Duration::from_millis(1300);

/// Waits for `call`, TerminateSession for this session, and says so if that fails.
pub async fn by_api(session_id: &str, call: impl Future<Output = Result<(), ApiError>>) {
    let why = match timeout(LIMIT, call).await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer from the service".to_owned(),
    };
    tell(&format!("session {session_id} could not be ended and stays until the service ends it as idle: {why}"));
}
