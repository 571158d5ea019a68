//! Why there are no credentials.

use std::time::Duration;

use super::{
    super::{kind::ErrorKind, load_error::HalfKeyPair},
    chain::ChainError,
    login::Login,
};

/// Why there are no credentials to sign with. Shown, it says what failed in one line.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SignInError {
    /// The profile's way to credentials makes no sense.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// There is one half of a key pair.
    #[error(transparent)]
    HalfKeyPair(#[from] HalfKeyPair),
    /// Whoever gives the credentials cannot be reached: a sentence that says who and why.
    #[error("no AWS credentials: {0}")]
    Unreachable(String),
    /// Whoever gives a container its credentials cannot be reached. No proxy leads there.
    #[error("no AWS credentials: {what}")]
    ContainerUnreachable {
        /// The variable that says where they are.
        setting: &'static str,
        /// A sentence that says who cannot be reached, and why.
        what: String,
    },
    /// The instance's metadata service, which has the credentials to assume a role with, cannot be reached: a sentence
    /// that says why. No proxy leads there.
    #[error("no AWS credentials: {0}")]
    MetadataUnreachable(String),
    /// There are none in any place where the profile may have some.
    #[error("profile {profile} has no AWS credentials")]
    Nothing {
        /// The profile in use.
        profile: String,
        /// How its owner signs in.
        login: Login,
    },
    /// Whoever gives the credentials did not do so in time.
    #[error("profile {profile}: no credentials after {} s", limit.as_secs())]
    Late {
        /// The profile in use.
        profile: String,
        /// How long they were waited for.
        limit: Duration,
        /// How its owner signs in.
        login: Login,
    },
    /// Whoever gives the credentials refused, or gave none that can be used.
    #[error("profile {profile} gives no AWS credentials: {why}")]
    Refused {
        /// The profile in use.
        profile: String,
        /// The reason, in one line.
        why: String,
        /// How its owner signs in.
        login: Login,
    },
    /// There are none to assume a role with.
    #[error("{base} has no AWS credentials to assume a role with")]
    NoSource {
        /// Who has none: `profile base`, `the instance`.
        base: String,
    },
    /// The role of IAM Identity Center is not the user's.
    #[error("profile {profile}: role {role_name} of account {account_id} is not yours ({why})")]
    SsoRole {
        /// The profile that names the role.
        profile: String,
        /// Its `sso_account_id`.
        account_id: String,
        /// Its `sso_role_name`.
        role_name: String,
        /// AWS's reason, in one line.
        why: String,
    },
    /// The login at IAM Identity Center never was, or is over.
    #[error("profile {profile}: the login at IAM Identity Center is missing or over ({why})")]
    SsoLogin {
        /// The profile to sign in with.
        profile: String,
        /// The reason, in one line.
        why: String,
    },
    /// A `credential_process` gives none.
    #[error("profile {profile}: its credential_process gives no credentials: {why}")]
    Process {
        /// The profile that names it.
        profile: String,
        /// What it says, in one line.
        why: String,
    },
    /// AssumeRole is not permitted.
    #[error("profile {profile}: AssumeRole of {role} is not permitted ({why})")]
    AssumeRole {
        /// The profile that names the role.
        profile: String,
        /// The role's ARN.
        role: String,
        /// AWS's reason, in one line.
        why: String,
    },
    /// AWS does not accept the code of the MFA device.
    #[error("profile {profile}: AWS does not accept the MFA code ({why})")]
    MfaRefused {
        /// The profile that names the device.
        profile: String,
        /// AWS's reason, in one line.
        why: String,
    },
    /// A code of the MFA device is wanted, and nobody may be asked for it any more.
    #[error("profile {profile} wants an MFA code again, and nobody may be asked now")]
    MfaLater {
        /// The profile that names the device.
        profile: String,
    },
    /// A code of the MFA device is wanted, and nobody can be asked for it.
    #[error("profile {profile} wants an MFA code ({serial}), and there is nobody to ask")]
    MfaNobody {
        /// The profile that names the device.
        profile: String,
        /// The device.
        serial: String,
    },
    /// Somebody was asked for the code of the MFA device, and gave none.
    #[error("profile {profile}: no MFA code was given")]
    MfaNone {
        /// The profile that names the device.
        profile: String,
    },
    /// Somebody was asked for the code of the MFA device, and gave what can be none.
    #[error("profile {profile}: an MFA code has digits alone")]
    MfaNotDigits {
        /// The profile that names the device.
        profile: String,
    },
}

impl SignInError {
    /// What the failure means for whoever asked.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Chain(_) => ErrorKind::Lasting,
            Self::Unreachable(_) | Self::ContainerUnreachable { .. } | Self::MetadataUnreachable(_) => {
                ErrorKind::Passing
            }
            _ => ErrorKind::Denied,
        }
    }
}
