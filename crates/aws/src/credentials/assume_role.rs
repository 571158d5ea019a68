//! AssumeRole: the STS call for the temporary credentials of a role.
//!
//! This module must not know where the credentials come from that sign the call, nor where the role's are kept.

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
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use aws_types::SdkConfig;
use bytes::Bytes;
use zeroize::Zeroizing;

use super::{
    cache::{IssuedCredentials, Issuer},
    chain::Role,
    error::SignInError,
    mfa::{self, MfaPrompt},
};
use crate::cause::cause;

/// Assumes `role` with the credentials `source`. `prompt` asks for the code of an MFA device if the role wants one.
///
/// # Errors
/// A [`SignInError`] if there is no code or AWS refuses; else the SDK's error.
pub(super) async fn assume_role(
    role: &Role,
    source: Credentials,
    sts: &SdkConfig,
    prompt: Option<&dyn MfaPrompt>,
) -> Result<IssuedCredentials, CredentialsError> {
    let code = match &role.mfa_serial {
        Some(serial) => Some(mfa::code(&role.profile, serial, prompt).await.map_err(CredentialsError::provider_error)?),
        None => None,
    };
    ask(role, source, code, sts).await
}

async fn ask(
    role: &Role,
    source: Credentials,
    code: Option<Zeroizing<String>>,
    sts: &SdkConfig,
) -> Result<IssuedCredentials, CredentialsError> {
    let config = sts.to_builder().credentials_provider(SharedCredentialsProvider::new(source)).build();
    tracing::info!(role = role.arn, profile = role.profile, "assuming a role");
    let call = Client::new(&config)
        .assume_role()
        .role_arn(&role.arn)
        .role_session_name(role.session_name.clone().unwrap_or_else(session_name))
        .set_external_id(role.external_id.clone())
        .set_duration_seconds(role.duration_seconds)
        .set_serial_number(role.mfa_serial.clone())
        .customize();
    let call = match code {
        Some(code) => call.mutate_request(move |request| add_code(request, &code)),
        None => call,
    };
    let answer = call.send().await.map_err(|error| refusal(role, error))?;
    entry(answer).ok_or_else(|| CredentialsError::unhandled("the answer to AssumeRole has no credentials"))
}

/// Adds the code of an MFA device, which has digits alone, to the form in the request's body. The SDK would take the
/// code as a `String`, copy it, and leave both in memory. The body that is made here is wiped when it is dropped.
fn add_code(request: &mut HttpRequest, code: &str) {
    const PARAMETER: &[u8] = b"&TokenCode=";
    let form = request.body().bytes().unwrap_or_default();
    let parts = [form, PARAMETER, code.as_bytes()];
    let length = parts.iter().map(|part| part.len()).sum();
    // All capacity from the start: a vector that grows leaves copies of its bytes behind.
    let mut with_code = Zeroizing::new(Vec::with_capacity(length));
    parts.into_iter().for_each(|part| with_code.extend_from_slice(part));
    *request.body_mut() = SdkBody::from(Bytes::from_owner(with_code));
    request.headers_mut().insert("content-length", length.to_string());
}

/// The name of the role's session, which CloudTrail shows, if the profile gives none.
fn session_name() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("ssm-proxy-{}", now.as_secs())
}

fn entry(answer: AssumeRoleOutput) -> Option<IssuedCredentials> {
    let (keys, user) = (answer.credentials?, answer.assumed_role_user?);
    let mut credentials = Credentials::builder()
        .access_key_id(keys.access_key_id)
        .secret_access_key(keys.secret_access_key)
        .session_token(keys.session_token)
        .expiry(keys.expiration.try_into().ok()?)
        .provider_name("AssumeRole");
    credentials.set_account_id(account_of(&user.arn).map(Into::into));
    let issuer = Issuer::AssumedRole { id: user.assumed_role_id, arn: user.arn };
    Some(IssuedCredentials { credentials: credentials.build(), issuer })
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
    use std::time::Duration;

    use aws_config::{BehaviorVersion, Region, retry::RetryConfig};

    use super::*;
    use crate::test_support::Service;

    #[tokio::test]
    async fn the_code_is_in_each_attempt_once() {
        let service = Service::answering([(500, ""), (400, "")]);
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("eu-west-1"))
            .retry_config(RetryConfig::standard().with_initial_backoff(Duration::from_millis(1)))
            .http_client(service.clone())
            .build();
        let role = Role {
            profile: "ops".to_owned(),
            arn: "arn:aws:iam::111122223333:role/ops".to_owned(),
            session_name: Some("me".to_owned()),
            external_id: None,
            mfa_serial: Some("m".to_owned()),
            duration_seconds: None,
        };
        let source = Credentials::new("AKID", "secret", None, None, "test");
        let code = Some(Zeroizing::new("123456".to_owned()));
        ask(&role, source, code, &config).await.unwrap_err();
        let form = "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A111122223333%3Arole%2Fops\
            &RoleSessionName=me&SerialNumber=m&TokenCode=123456";
        assert_eq!(service.requests(), [format!(" {form}"), format!(" {form}")]);
    }

    #[test]
    fn the_account_is_in_the_arn() {
        assert_eq!(account_of("arn:aws:sts::111122223333:assumed-role/r/me"), Some("111122223333"));
        assert_eq!(account_of("arn:aws:iam:::x"), None);
        assert_eq!(account_of("r"), None);
    }
}
