//! The data key of an encrypted session, on its way from KMS.

use std::pin::Pin;
use std::time::Instant;

use ssm_aws::{ApiError, Aws, DataKey, Kms};
use ssm_channel::KeyRequest;

/// The pairs that the agent has KMS decrypt the key with, too (known from its code): both sides must name the same.
const SESSION_ID: &str = "aws:ssm:SessionId";
const TARGET_ID: &str = "aws:ssm:TargetId";
const CHALLENGE: &str = "aws:ssm:RandomChallenge";

/// GenerateDataKey, called.
pub(crate) struct KeyCall {
    /// The key's id, as the agent calls it.
    pub(crate) key_id: String,
    /// When it was asked for.
    pub(crate) asked: Instant,
    call: Pin<Box<dyn Future<Output = Result<DataKey, ApiError>> + Send>>,
}

impl KeyCall {
    /// Asks for the key of this session on this target.
    pub(crate) fn begin(aws: &Aws, session_id: &str, target: &str, request: KeyRequest, now: Instant) -> Self {
        let KeyRequest { key_id, challenge } = request;
        let context = [(SESSION_ID, Some(session_id)), (TARGET_ID, Some(target)), (CHALLENGE, challenge.as_deref())];
        let named = context.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
        let context: Vec<(String, String)> = named.collect();
        let (kms, key) = (Kms::new(aws), key_id.clone());
        let call = Box::pin(async move {
            let context: Vec<(&str, &str)> = context.iter().map(|(name, value)| (&**name, &**value)).collect();
            kms.generate_data_key(&key, &context).await
        });
        Self { key_id, asked: now, call }
    }

    /// Waits for the key of a call that is under way; without one, for ever. May be dropped at any time.
    pub(crate) async fn next(call: &mut Option<Self>) -> Result<DataKey, ApiError> {
        match call {
            Some(KeyCall { call, .. }) => call.await,
            None => std::future::pending().await,
        }
    }
}
