//! Why the SDK's providers have no credentials, where there is something better to say than what they say.
//!
//! It must not decide where to look next: an error that says "nothing is here" passes through as it is.

use aws_credential_types::provider::error::CredentialsError;

use super::{
    super::cause::{cause, unreachable},
    chain::{Base, SsoRole},
    error::SignInError,
};

/// IAM Identity Center's failures: a wrong role, or a login that is over.
pub(super) fn sso(role: &SsoRole, error: CredentialsError) -> CredentialsError {
    let SsoRole { profile, account_id, role_name, .. } = role.clone();
    if !is_refusal(&error) {
        return error;
    }
    let why = cause(&error);
    let is_not_yours = why.starts_with("ForbiddenException") || why.starts_with("ResourceNotFoundException");
    CredentialsError::provider_error(match is_not_yours {
        true => SignInError::SsoRole { profile, account_id, role_name, why },
        false => SignInError::SsoLogin { profile, why },
    })
}

/// The failures of a `credential_process`.
pub(super) fn process(profile: &str, error: CredentialsError) -> CredentialsError {
    if !is_refusal(&error) {
        return error;
    }
    let cause = cause(&error);
    let why = cause.strip_prefix("Error retrieving credentials: ").unwrap_or(&cause).to_owned();
    CredentialsError::provider_error(SignInError::Process { profile: profile.to_owned(), why })
}

/// Nobody answers at the address that `setting` names for a container's credentials.
pub(super) fn container(setting: &'static str, error: CredentialsError) -> CredentialsError {
    match unreachable(&error) {
        Some(what) => CredentialsError::provider_error(SignInError::ContainerUnreachable { setting, what }),
        None => error,
    }
}

/// A role cannot be assumed since `base` has no credentials to do it with: there is nowhere else to look for them.
pub(super) fn no_source(base: &Base, error: CredentialsError) -> CredentialsError {
    match (&error, unreachable(&error)) {
        // It is the metadata service that has no credentials if it cannot be reached.
        (CredentialsError::CredentialsNotLoaded(_), Some(what)) => {
            CredentialsError::provider_error(SignInError::MetadataUnreachable(what))
        }
        (CredentialsError::CredentialsNotLoaded(_), None) => {
            CredentialsError::provider_error(SignInError::NoSource { base: base.to_string() })
        }
        _ => error,
    }
}

/// Whether somebody was asked and said no, rather than that nobody was there or the question made no sense.
fn is_refusal(error: &CredentialsError) -> bool {
    let is_answer = matches!(error, CredentialsError::ProviderError(_) | CredentialsError::Unhandled(_));
    is_answer && unreachable(error).is_none()
}
