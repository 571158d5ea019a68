//! Why the SDK's providers have no credentials, in the words of someone who can do something about it.
//!
//! It must not decide where to look next: an error that says "nothing is here" passes through as it is.

use aws_credential_types::provider::error::CredentialsError;

use super::{chain::SsoRole, profile_flag};
use crate::{
    aws::fault::{cause, unreachable},
    error::{Error, ExitStatus},
};

/// IAM Identity Center's failures: a wrong role, or a login that is over.
pub(super) fn sso(role: &SsoRole, error: CredentialsError) -> CredentialsError {
    let SsoRole { profile, account_id, role_name, .. } = role;
    if !is_refusal(&error) {
        return error;
    }
    let cause = cause(&error);
    let (message, hint) = if cause.starts_with("ForbiddenException") || cause.starts_with("ResourceNotFoundException") {
        (
            format!("profile {profile}: role {role_name} of account {account_id} is not yours ({cause})"),
            format!("check sso_role_name and sso_account_id of profile {profile}"),
        )
    } else {
        (
            format!("profile {profile}: the login at IAM Identity Center is missing or over ({cause})"),
            format!("aws sso login{}", profile_flag(profile)),
        )
    };
    CredentialsError::provider_error(Error::new(ExitStatus::Denied, message, hint))
}

/// The failures of a `credential_process`.
pub(super) fn process(profile: &str, error: CredentialsError) -> CredentialsError {
    if !is_refusal(&error) {
        return error;
    }
    let cause = cause(&error);
    let cause = cause.strip_prefix("Error retrieving credentials: ").unwrap_or(&cause);
    CredentialsError::provider_error(Error::new(
        ExitStatus::Denied,
        format!("profile {profile}: its credential_process gives no credentials: {cause}"),
        format!("run the credential_process of profile {profile} in a terminal"),
    ))
}

/// Nobody answers at the address that `setting` names for a container's credentials. No proxy leads there.
pub(super) fn container(setting: &str, error: CredentialsError) -> CredentialsError {
    match unreachable(&error) {
        Some(message) => silent(&message, format!("check {setting}, and whether its server runs")),
        None => error,
    }
}

fn silent(message: &str, hint: impl Into<String>) -> CredentialsError {
    let error = Error::new(ExitStatus::TryAgain, format!("no AWS credentials: {message}"), hint);
    CredentialsError::provider_error(error)
}

/// A role cannot be assumed since `source` has no credentials to do it with: there is nowhere else to look for them.
pub(super) fn no_source(source: &impl std::fmt::Display, error: CredentialsError) -> CredentialsError {
    match (&error, unreachable(&error)) {
        // It is the metadata service that has no credentials if it cannot be reached.
        (CredentialsError::CredentialsNotLoaded(_), Some(message)) => silent(
            &message,
            "credential_source = Ec2InstanceMetadata needs an EC2 instance that has its metadata service on",
        ),
        (CredentialsError::CredentialsNotLoaded(_), None) => CredentialsError::provider_error(Error::new(
            ExitStatus::Denied,
            format!("{source} has no AWS credentials to assume a role with"),
            "check source_profile and credential_source of the profile",
        )),
        _ => error,
    }
}

/// Whether somebody was asked and said no, rather than that nobody was there or the question made no sense.
fn is_refusal(error: &CredentialsError) -> bool {
    let is_answer = matches!(error, CredentialsError::ProviderError(_) | CredentialsError::Unhandled(_));
    is_answer && unreachable(error).is_none()
}
