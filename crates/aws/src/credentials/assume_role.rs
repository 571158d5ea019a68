//! AssumeRole, as a profile describes it.
//!
//! It must not know where the credentials come from that ask for the role, nor who keeps those of the role.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_credential_types::{
    Credentials,
    provider::{SharedCredentialsProvider, error::CredentialsError},
};
use aws_sdk_sts::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::assume_role::{AssumeRoleError, AssumeRoleOutput},
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_types::SdkConfig;

use super::{
    cache::{Entry, Issuer},
    chain::Role,
    error::SignInError,
    mfa::{self, MfaPrompt},
};
use crate::cause::cause;

/// Assumes `role` with the credentials `source`.
///
/// # Errors
/// A [`SignInError`] where there is something better to say than what AWS says.
pub(super) async fn assume_role(
    role: &Role,
    source: Credentials,
    sts: &SdkConfig,
    prompt: Option<&dyn MfaPrompt>,
) -> Result<Entry, CredentialsError> {
    let code = match &role.mfa_serial {
        Some(serial) => Some(mfa::code(&role.profile, serial, prompt).await.map_err(CredentialsError::provider_error)?),
        None => None,
    };
    let config = sts.to_builder().credentials_provider(SharedCredentialsProvider::new(source)).build();
    tracing::info!(role = role.arn, profile = role.profile, "assuming a role");
    let answer = Client::new(&config)
        .assume_role()
        .role_arn(&role.arn)
        .role_session_name(role.session_name.clone().unwrap_or_else(session_name))
        .set_external_id(role.external_id.clone())
        .set_duration_seconds(role.duration_seconds)
        .set_serial_number(role.mfa_serial.clone())
        .set_token_code(code.map(|code| code.to_string()))
        .send()
        .await
        .map_err(|error| refusal(role, error))?;
    entry(answer).ok_or_else(|| CredentialsError::unhandled("the answer to AssumeRole has no credentials"))
}

/// The session's name where the profile gives none; CloudTrail shows it.
fn session_name() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("ssm-proxy-{}", now.as_secs())
}

fn entry(answer: AssumeRoleOutput) -> Option<Entry> {
    let (keys, user) = (answer.credentials?, answer.assumed_role_user?);
    let mut credentials = Credentials::builder()
        .access_key_id(keys.access_key_id)
        .secret_access_key(keys.secret_access_key)
        .session_token(keys.session_token)
        .expiry(keys.expiration.try_into().ok()?)
        .provider_name("AssumeRole");
    credentials.set_account_id(account_of(&user.arn).map(Into::into));
    let issuer = Issuer::AssumedRole { id: user.assumed_role_id, arn: user.arn };
    Some(Entry { credentials: credentials.build(), issuer })
}

/// The account in an ARN.
fn account_of(arn: &str) -> Option<&str> {
    arn.split(':').nth(4).filter(|account| !account.is_empty())
}

fn refusal(role: &Role, error: SdkError<AssumeRoleError, HttpResponse>) -> CredentialsError {
    let Role { profile, arn, .. } = role;
    let said = error.as_service_error().and_then(ProvideErrorMetadata::message).unwrap_or_default();
    let (profile, why) = (profile.clone(), cause(&error));
    let error = match error.code() {
        Some("AccessDenied") if said.contains("MultiFactorAuthentication failed") => {
            SignInError::MfaRefused { profile, why }
        }
        Some("AccessDenied") => SignInError::AssumeRole { profile, role: arn.clone(), why },
        _ => return CredentialsError::provider_error(error),
    };
    CredentialsError::provider_error(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_is_in_the_arn() {
        assert_eq!(account_of("arn:aws:sts::111122223333:assumed-role/r/me"), Some("111122223333"));
        assert_eq!(account_of("arn:aws:iam:::x"), None);
        assert_eq!(account_of("r"), None);
    }
}
