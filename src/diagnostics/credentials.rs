//! The words for credentials that are not to be had.

use ssm_aws::{ChainError, ErrorKind, HalfKeyPair, Login, SignInError};

use super::error::{Error, ExitStatus};

/// What failed, and what to do about it.
pub(super) fn sign_in(error: &SignInError) -> Error {
    let status = match error.kind() {
        ErrorKind::Lasting => ExitStatus::Config,
        ErrorKind::Passing => ExitStatus::TryAgain,
        _ => ExitStatus::Denied,
    };
    let message = match error {
        SignInError::MfaLater { profile } => {
            format!("profile {profile} wants an MFA code again, and the terminal is in use")
        }
        SignInError::MfaNobody { profile, serial } => {
            format!("profile {profile} wants an MFA code ({serial}), and there is no terminal to ask on")
        }
        error => error.to_string(),
    };
    Error::new(status, message, hint(error))
}

fn hint(error: &SignInError) -> String {
    let hint = match error {
        SignInError::Chain(error) => return chain(error),
        SignInError::HalfKeyPair(half) => return half_key_pair(half).hint,
        SignInError::Unreachable(_) => "check the network; behind a proxy, set HTTPS_PROXY",
        SignInError::ContainerUnreachable { setting, .. } => {
            return format!("check {setting}, and whether its server runs");
        }
        SignInError::MetadataUnreachable(_) => {
            "credential_source = Ec2InstanceMetadata needs an EC2 instance that has its metadata service on"
        }
        SignInError::Nothing { login, .. } | SignInError::Late { login, .. } | SignInError::Refused { login, .. } => {
            return renewal(login);
        }
        SignInError::NoSource { .. } => "check source_profile and credential_source of the profile",
        SignInError::SsoRole { profile, .. } => {
            return format!("check sso_role_name and sso_account_id of profile {profile}");
        }
        SignInError::SsoLogin { profile, .. } => return renewal(&Login::Sso(profile.clone())),
        SignInError::Process { profile, .. } => {
            return format!("run the credential_process of profile {profile} in a terminal");
        }
        SignInError::AssumeRole { .. } => {
            "IAM must allow sts:AssumeRole on the role, and the role's trust policy must allow you"
        }
        SignInError::MfaRefused { .. } => "wait for the next code, then connect again: each works once",
        SignInError::MfaNone { .. } => "connect again, and type the code",
        SignInError::MfaNotDigits { .. } => "connect again, and type the code as the device shows it",
        SignInError::MfaLater { profile } => {
            let command = caller_identity(profile);
            return format!("{command} in another terminal asks for it; a longer duration_seconds puts that off");
        }
        SignInError::MfaNobody { profile, .. } => {
            let command = caller_identity(profile);
            return format!("{command} in a terminal first: the credentials that it caches serve here too");
        }
    };
    hint.to_owned()
}

/// What is wrong with a key pair, and what to do about it.
pub(super) fn half_key_pair(half: &HalfKeyPair) -> Error {
    let HalfKeyPair { profile, set, missing } = half;
    let hint = match profile {
        Some(profile) => format!("set {missing} of profile {profile} too"),
        None => format!("set {missing} too, or unset {set} to use a profile"),
    };
    Error::new(ExitStatus::Denied, half.to_string(), hint)
}

/// What makes credentials good again.
pub(super) fn renewal(login: &Login) -> String {
    match login {
        Login::Unsigned => "leave --no-sign-request out: AWS takes signed requests alone".to_owned(),
        Login::Environment => {
            "renew AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or name a profile with --profile"
                .to_owned()
        }
        Login::Sso(profile) => format!("aws sso login{}", profile_flag(profile)),
        Login::Console(profile) => format!("aws login{}", profile_flag(profile)),
        Login::Profile { name, last } => {
            format!("{} tells what is wrong, aws configure{} sets keys", caller_identity(name), profile_flag(last))
        }
    }
}

/// What to do about roles whose source makes no sense.
fn chain(error: &ChainError) -> String {
    match error {
        ChainError::Circle { again, .. } => {
            format!("let the last source_profile name a profile with credentials, not {again}")
        }
        ChainError::MissingProfile { profile, missing } => {
            format!("add profile {missing}, or correct source_profile of profile {profile}")
        }
        ChainError::UnknownSource { .. } => "it is one of Environment, Ec2InstanceMetadata, EcsContainer".to_owned(),
        ChainError::TwoSources { .. } => "leave one of them".to_owned(),
        ChainError::NoSource { .. } => {
            "add source_profile = PROFILE, or credential_source = Ec2InstanceMetadata".to_owned()
        }
    }
}

/// The command with which the AWS CLI finds a profile's credentials.
fn caller_identity(profile: &str) -> String {
    format!("aws sts get-caller-identity{}", profile_flag(profile))
}

/// How a command of the AWS CLI names the profile, after a space; nothing for the default.
fn profile_flag(profile: &str) -> String {
    match profile {
        "default" => String::new(),
        profile => format!(" --profile {profile}"),
    }
}

impl From<SignInError> for Error {
    fn from(error: SignInError) -> Self {
        sign_in(&error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remedy_names_the_profile_to_sign_in_with() {
        let profile = |name: &str, last: &str| Login::Profile { name: name.to_owned(), last: last.to_owned() };
        for (login, hint) in [
            (Login::Sso("base".to_owned()), "aws sso login --profile base"),
            (Login::Console("console".to_owned()), "aws login --profile console"),
            (
                profile("mfa", "keys"),
                "aws sts get-caller-identity --profile mfa tells what is wrong, aws configure --profile keys sets keys",
            ),
            (profile("default", "default"), "aws sts get-caller-identity tells what is wrong, aws configure sets keys"),
        ] {
            assert_eq!(renewal(&login), hint);
        }
    }

    #[test]
    fn a_code_that_cannot_be_asked_for_is_asked_for_elsewhere() {
        let error = sign_in(&SignInError::MfaLater { profile: "mfa".to_owned() });
        assert_eq!(error.status, ExitStatus::Denied);
        assert_eq!(error.message, "profile mfa wants an MFA code again, and the terminal is in use");
        assert_eq!(
            error.hint,
            "aws sts get-caller-identity --profile mfa in another terminal asks for it; a longer duration_seconds puts \
             that off"
        );
    }

    #[test]
    fn what_is_no_code_is_typed_again() {
        let error = sign_in(&SignInError::MfaNotDigits { profile: "mfa".to_owned() });
        assert_eq!(error.status, ExitStatus::Denied);
        assert_eq!(error.message, "profile mfa: an MFA code has digits alone");
        assert_eq!(error.hint, "connect again, and type the code as the device shows it");
    }

    #[test]
    fn what_the_files_say_is_78_and_what_the_network_does_is_75() {
        let chain = ChainError::NoSource { profile: "none".to_owned() };
        assert_eq!(sign_in(&chain.into()).status, ExitStatus::Config);
        for error in [
            SignInError::Unreachable("x".to_owned()),
            SignInError::ContainerUnreachable { setting: "X", what: "x".to_owned() },
            SignInError::MetadataUnreachable("x".to_owned()),
        ] {
            assert_eq!(sign_in(&error).status, ExitStatus::TryAgain);
        }
    }
}
