//! Errors of the SDK's credentials providers, as [`SignInError`]s where those tell more.
//!
//! An error that says that there are no credentials passes unchanged, since the search goes on then. This module must
//! not decide where.

use aws_credential_types::provider::error::CredentialsError;

use super::{
    super::cause::{cause, unreachable},
    chain::{Base, SsoRole},
    error::SignInError,
};

/// An error of IAM Identity Center: the role is not the user's, or the login is over.
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

/// An error of a `credential_process`.
pub(super) fn process(profile: &str, error: CredentialsError) -> CredentialsError {
    if !is_refusal(&error) {
        return error;
    }
    let cause = cause(&error);
    let why = cause.strip_prefix("Error retrieving credentials: ").unwrap_or(&cause).to_owned();
    CredentialsError::provider_error(SignInError::Process { profile: profile.to_owned(), why })
}

/// An error of a container's credentials: the server whose address is in `setting` cannot be reached.
pub(super) fn container(setting: &'static str, error: CredentialsError) -> CredentialsError {
    match unreachable(&error) {
        Some(what) => CredentialsError::provider_error(SignInError::ContainerUnreachable { setting, what }),
        None => error,
    }
}

/// An error of the base of a chain. If `base` has no credentials, the role cannot be assumed, and the search ends.
pub(super) fn no_source(base: &Base, error: CredentialsError) -> CredentialsError {
    match (&error, unreachable(&error)) {
        // The metadata service alone says that it has no credentials when it cannot be reached.
        (CredentialsError::CredentialsNotLoaded(_), Some(what)) => {
            CredentialsError::provider_error(SignInError::MetadataUnreachable(what))
        }
        (CredentialsError::CredentialsNotLoaded(_), None) => {
            CredentialsError::provider_error(SignInError::NoSource { base: base.to_string() })
        }
        _ => error,
    }
}

/// Whether the provider has answered, and refused. A provider that cannot be reached, or is set up wrongly, has not.
fn is_refusal(error: &CredentialsError) -> bool {
    let is_answer = matches!(error, CredentialsError::ProviderError(_) | CredentialsError::Unhandled(_));
    is_answer && unreachable(error).is_none()
}
