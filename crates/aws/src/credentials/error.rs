//! The errors of signing in: why there are no credentials.

use std::time::Duration;

use super::{
    super::{kind::ErrorKind, load_error::HalfKeyPair},
    chain::ChainError,
    login::Login,
};

/// Why there are no credentials to sign with. `Display` tells in one line what failed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SignInError {
    /// The profile's chain of roles makes no sense.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// A key pair has one half alone.
    #[error(transparent)]
    HalfKeyPair(#[from] HalfKeyPair),
    /// The source of the credentials cannot be reached. The sentence names its host and says why.
    #[error("no AWS credentials: {0}")]
    Unreachable(String),
    /// The server that gives a container its credentials cannot be reached. No proxy is used for it.
    #[error("no AWS credentials: {what}")]
    ContainerUnreachable {
        /// The variable with the server's address.
        setting: &'static str,
        /// A sentence with the host that cannot be reached, and why.
        what: String,
    },
    /// The instance's metadata service, which has the credentials to assume a role with, cannot be reached. The
    /// sentence says why. No proxy is used for it.
    #[error("no AWS credentials: {0}")]
    MetadataUnreachable(String),
    /// There are no credentials in any place where the profile may have some.
    #[error("profile {profile} has no AWS credentials")]
    Nothing {
        /// The profile in use.
        profile: String,
        /// How its owner signs in.
        login: Login,
    },
    /// The source of the credentials did not give them in time.
    #[error("profile {profile}: no credentials after {} s", limit.as_secs())]
    Late {
        /// The profile in use.
        profile: String,
        /// The time limit.
        limit: Duration,
        /// How its owner signs in.
        login: Login,
    },
    /// The source of the credentials refused, or gave some that cannot be used.
    #[error("profile {profile} gives no AWS credentials: {why}")]
    Refused {
        /// The profile in use.
        profile: String,
        /// The reason, in one line.
        why: String,
        /// How its owner signs in.
        login: Login,
    },
    /// There are no credentials to assume a role with.
    #[error("{base} has no AWS credentials to assume a role with")]
    NoSource {
        /// The base that has none: `profile NAME`, `the instance`.
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
    /// The user has not logged in at IAM Identity Center, or the login is over.
    #[error("profile {profile}: the login at IAM Identity Center is missing or over ({why})")]
    SsoLogin {
        /// The profile to sign in with.
        profile: String,
        /// The reason, in one line.
        why: String,
    },
    /// A `credential_process` gives no credentials.
    #[error("profile {profile}: its credential_process gives no credentials: {why}")]
    Process {
        /// The profile that names it.
        profile: String,
        /// Its message, in one line.
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
    /// AWS wants a code of the MFA device at a time when no person may be asked for it.
    #[error("profile {profile} wants an MFA code again, and nobody may be asked now")]
    MfaLater {
        /// The profile that names the device.
        profile: String,
    },
    /// AWS wants a code of the MFA device, and there is no person to ask for it.
    #[error("profile {profile} wants an MFA code ({serial}), and there is nobody to ask")]
    MfaNobody {
        /// The profile that names the device.
        profile: String,
        /// The device.
        serial: String,
    },
    /// The person who was asked for the code of the MFA device gave none.
    #[error("profile {profile}: no MFA code was given")]
    MfaNone {
        /// The profile that names the device.
        profile: String,
    },
    /// The person who was asked for the code of the MFA device gave a text that is no code.
    #[error("profile {profile}: an MFA code has digits alone")]
    MfaNotDigits {
        /// The profile that names the device.
        profile: String,
    },
}

impl SignInError {
    /// The kind of the failure, by which the caller decides what to do.
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
