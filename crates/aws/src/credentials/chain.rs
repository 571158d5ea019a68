//! The chain of a profile: the base credentials, and the roles that are assumed one after the other from there.
//!
//! The chain is read from the sections of the profile files, by the AWS CLI's rules. No credentials are fetched here.

use std::fmt;

use aws_config::profile::{Profile as Section, ProfileSet};

/// The base credentials, and the roles that are assumed from there, first to last.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Chain {
    pub(super) base: Base,
    pub(super) roles: Vec<Role>,
}

/// Why a profile's chain makes no sense. `Display` tells in one line what is wrong.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ChainError {
    /// Each `source_profile` names another, in a circle.
    #[error("profile {profile}: its source_profile leads back to profile {again}")]
    Circle {
        /// The profile in use.
        profile: String,
        /// The profile that comes twice.
        again: String,
    },
    /// The profile that `source_profile` names does not exist.
    #[error("profile {profile}: there is no profile {missing}, its source_profile")]
    MissingProfile {
        /// The profile that names another.
        profile: String,
        /// The profile that does not exist.
        missing: String,
    },
    /// The value of `credential_source` is not known.
    #[error("profile {profile}: credential_source {unknown} is not known")]
    UnknownSource {
        /// The profile that has the setting.
        profile: String,
        /// The value.
        unknown: String,
    },
    /// A profile has both `source_profile` and `credential_source`.
    #[error("profile {profile} has source_profile and credential_source")]
    TwoSources {
        /// The profile that has both.
        profile: String,
    },
    /// A profile with `role_arn` has neither `source_profile` nor `credential_source`.
    #[error("profile {profile} has a role_arn, and nothing to assume the role with")]
    NoSource {
        /// The profile that has neither.
        profile: String,
    },
}

/// The base of a chain: credentials for which no role is assumed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Base {
    /// Other settings of this profile: a web identity, a console login, or none at all.
    Profile(String),
    /// This profile's `credential_process`.
    Process(String),
    /// This profile's keys. Its other settings do not count.
    Keys(String),
    /// A role of IAM Identity Center.
    Sso(SsoRole),
    /// `credential_source = Environment`.
    Environment,
    /// `credential_source = EcsContainer`.
    Container,
    /// `credential_source = Ec2InstanceMetadata`.
    InstanceMetadata,
}

/// A role of IAM Identity Center, as a profile names it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct SsoRole {
    pub(super) profile: String,
    pub(super) account_id: String,
    pub(super) role_name: String,
    pub(super) login: SsoLogin,
}

/// How the user signs in at IAM Identity Center.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum SsoLogin {
    /// By the `[sso-session …]` of this name.
    Session(String),
    /// At this start URL, which is in the profile itself.
    StartUrl(String),
}

/// A role for AssumeRole, as a profile describes it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Role {
    pub(super) profile: String,
    pub(super) arn: String,
    pub(super) session_name: Option<String>,
    pub(super) external_id: Option<String>,
    /// The MFA device, if the role wants a code.
    pub(super) mfa_serial: Option<String>,
    /// The lifetime of the role's credentials, in seconds.
    pub(super) duration_seconds: Option<i32>,
}

/// The settings that win over a process and over keys. The SDK deals with them.
const OTHERS: [&str; 4] = ["web_identity_token_file", "sso_session", "sso_start_url", "login_session"];

impl Chain {
    /// The chain of `profile`. A profile that does not exist has a chain without roles.
    ///
    /// # Errors
    /// If the source of a role makes no sense.
    pub(super) fn of(profile: &str, sections: &ProfileSet) -> Result<Self, ChainError> {
        let mut roles = Vec::new();
        let mut visited = vec![profile];
        let mut name = profile;
        let base = loop {
            let Some(section) = sections.get_profile(name) else { break Base::Profile(name.to_owned()) };
            // Keys win over a role, except in the first profile.
            if !roles.is_empty() && has_keys(section) {
                break Base::Keys(name.to_owned());
            }
            let Some(role) = Role::of(section) else { break Base::without_role(section) };
            roles.push(role);
            match RoleSource::of(section)? {
                RoleSource::Base(base) => break base,
                RoleSource::Profile(next) if next == name && has_keys(section) => break Base::Keys(name.to_owned()),
                RoleSource::Profile(next) if visited.contains(&next) => {
                    return Err(ChainError::Circle { profile: profile.to_owned(), again: next.to_owned() });
                }
                RoleSource::Profile(next) if sections.get_profile(next).is_none() => {
                    return Err(ChainError::MissingProfile { profile: name.to_owned(), missing: next.to_owned() });
                }
                RoleSource::Profile(next) => {
                    visited.push(next);
                    name = next;
                }
            }
        };
        roles.reverse();
        Ok(Self { base, roles })
    }
}

impl Base {
    fn without_role(section: &Section) -> Self {
        let has = |key: &str| value(section, key).is_some();
        let name = section.name().to_owned();
        match SsoRole::of(section) {
            Some(role) => Self::Sso(role),
            None if OTHERS.into_iter().any(has) => Self::Profile(name),
            None if has("credential_process") => Self::Process(name),
            None if has_keys(section) => Self::Keys(name),
            None => Self::Profile(name),
        }
    }

    fn named(source: &str) -> Option<Self> {
        let known = [
            ("Environment", Self::Environment),
            ("EcsContainer", Self::Container),
            ("Ec2InstanceMetadata", Self::InstanceMetadata),
        ];
        known.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(source)).map(|(_, base)| base)
    }
}

/// The words for the base in a message.
impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Profile(name) | Self::Process(name) | Self::Keys(name) => write!(f, "profile {name}"),
            Self::Sso(role) => write!(f, "profile {}", role.profile),
            Self::Environment => f.write_str("the environment"),
            Self::Container => f.write_str("the container"),
            Self::InstanceMetadata => f.write_str("the instance"),
        }
    }
}

impl SsoRole {
    fn of(section: &Section) -> Option<Self> {
        // In a profile with a web identity's token the settings of IAM Identity Center do not count.
        if value(section, "web_identity_token_file").is_some() {
            return None;
        }
        let text = |key| value(section, key).map(str::to_owned);
        let login = match (text("sso_session"), text("sso_start_url")) {
            (Some(session), _) => SsoLogin::Session(session),
            (None, Some(url)) => SsoLogin::StartUrl(url),
            (None, None) => return None,
        };
        let profile = section.name().to_owned();
        Some(Self { profile, account_id: text("sso_account_id")?, role_name: text("sso_role_name")?, login })
    }
}

impl Role {
    fn of(section: &Section) -> Option<Self> {
        // A web identity's role is not assumed by AssumeRole. The SDK does all of it.
        if value(section, "web_identity_token_file").is_some() {
            return None;
        }
        let text = |key| value(section, key).map(str::to_owned);
        Some(Self {
            profile: section.name().to_owned(),
            arn: text("role_arn")?,
            session_name: text("role_session_name"),
            external_id: text("external_id"),
            mfa_serial: text("mfa_serial"),
            // As with the AWS CLI, a value that is no number does not count.
            duration_seconds: value(section, "duration_seconds").and_then(|seconds| seconds.parse().ok()),
        })
    }
}

/// The source of the credentials that assume a role.
enum RoleSource<'a> {
    Profile(&'a str),
    Base(Base),
}

impl<'a> RoleSource<'a> {
    fn of(section: &'a Section) -> Result<Self, ChainError> {
        let profile = section.name().to_owned();
        match (value(section, "source_profile"), value(section, "credential_source")) {
            (Some(profile), None) => Ok(Self::Profile(profile)),
            (None, Some(source)) => match Base::named(source) {
                Some(base) => Ok(Self::Base(base)),
                None => Err(ChainError::UnknownSource { profile, unknown: source.to_owned() }),
            },
            (Some(_), Some(_)) => Err(ChainError::TwoSources { profile }),
            (None, None) => Err(ChainError::NoSource { profile }),
        }
    }
}

fn has_keys(section: &Section) -> bool {
    ["aws_access_key_id", "aws_secret_access_key"].into_iter().any(|key| value(section, key).is_some())
}

/// A setting of a profile, unless it is blank.
pub(super) fn value<'a>(section: &'a Section, key: &str) -> Option<&'a str> {
    section.get(key).map(str::trim).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use aws_types::os_shim_internal::{Env, Fs};

    use super::*;
    use crate::test_support::Folder;

    async fn sections(config: &str) -> ProfileSet {
        let folder = Folder::new();
        let files = folder.profile_files(config, "");
        aws_config::profile::load(&Fs::real(), &Env::from_slice(&[]), &files, None).await.unwrap()
    }

    fn plain_role(profile: &str, arn: &str) -> Role {
        Role {
            profile: profile.to_owned(),
            arn: arn.to_owned(),
            session_name: None,
            external_id: None,
            mfa_serial: None,
            duration_seconds: None,
        }
    }

    #[tokio::test]
    async fn every_setting_of_a_role_is_read() {
        let config = "[default]\nrole_arn = r\nsource_profile = keys\nrole_session_name = me\nexternal_id = x\n\
            mfa_serial = m\nduration_seconds = 3600\n[profile keys]\naws_access_key_id = a\n";
        let role = Role {
            session_name: Some("me".to_owned()),
            external_id: Some("x".to_owned()),
            mfa_serial: Some("m".to_owned()),
            duration_seconds: Some(3600),
            ..plain_role("default", "r")
        };
        let chain = Chain::of("default", &sections(config).await).unwrap();
        assert_eq!(chain, Chain { base: Base::Keys("keys".to_owned()), roles: vec![role] });
    }

    #[tokio::test]
    async fn roles_are_in_the_order_of_their_assumption() {
        let config = "[profile c]\nrole_arn = C\nsource_profile = b\n[profile b]\nrole_arn = B\nsource_profile = a\n\
            [profile a]\ncredential_process = x\n";
        let chain = Chain::of("c", &sections(config).await).unwrap();
        assert_eq!(chain.base, Base::Process("a".to_owned()));
        assert_eq!(chain.roles, [plain_role("b", "B"), plain_role("c", "C")]);
    }

    #[tokio::test]
    async fn keys_win_over_a_role_but_in_the_first_profile() {
        let config = "[profile self]\nrole_arn = S\nsource_profile = self\naws_access_key_id = a\n\
            [profile next]\nrole_arn = N\nsource_profile = self\n";
        let sections = sections(config).await;
        let base = Base::Keys("self".to_owned());
        assert_eq!(
            Chain::of("self", &sections).unwrap(),
            Chain { base: base.clone(), roles: vec![plain_role("self", "S")] }
        );
        assert_eq!(Chain::of("next", &sections).unwrap(), Chain { base, roles: vec![plain_role("next", "N")] });
    }

    #[tokio::test]
    async fn each_base_is_told_from_the_others() {
        let config = "[profile keys]\naws_access_key_id = a\n\
            [profile process]\ncredential_process = x\naws_access_key_id = a\n\
            [profile web]\nrole_arn = W\nweb_identity_token_file = f\nsource_profile = process\n\
            [profile ecs]\nrole_arn = E\ncredential_source = EcsContainer\n\
            [profile imds]\nrole_arn = E\ncredential_source = ec2instancemetadata\n\
            [profile env]\nrole_arn = E\ncredential_source = Environment\n\
            [profile session]\nsso_session = corp\nsso_account_id = 1\nsso_role_name = r\n\
            [profile legacy]\nsso_start_url = https://x\nsso_account_id = 1\nsso_role_name = r\n\
            [profile token-only]\nsso_session = corp\n";
        let sections = sections(config).await;
        let profile = |name: &str| Base::Profile(name.to_owned());
        let sso = |profile: &str, login| {
            let (account_id, role_name) = ("1".to_owned(), "r".to_owned());
            Base::Sso(SsoRole { profile: profile.to_owned(), account_id, role_name, login })
        };
        for (name, base) in [
            ("keys", Base::Keys("keys".to_owned())),
            ("process", Base::Process("process".to_owned())),
            ("web", profile("web")),
            ("ecs", Base::Container),
            ("imds", Base::InstanceMetadata),
            ("env", Base::Environment),
            ("session", sso("session", SsoLogin::Session("corp".to_owned()))),
            ("legacy", sso("legacy", SsoLogin::StartUrl("https://x".to_owned()))),
            ("token-only", profile("token-only")),
            ("nowhere", profile("nowhere")),
        ] {
            assert_eq!(Chain::of(name, &sections).unwrap().base, base, "{name}");
        }
    }

    #[tokio::test]
    async fn a_chain_that_makes_no_sense_is_an_error() {
        let config = "[profile loop]\nrole_arn = L\nsource_profile = pool\n\
            [profile pool]\nrole_arn = P\nsource_profile = loop\n\
            [profile self]\nrole_arn = S\nsource_profile = self\n\
            [profile gone]\nrole_arn = G\nsource_profile = nowhere\n\
            [profile both]\nrole_arn = B\nsource_profile = loop\ncredential_source = Environment\n\
            [profile none]\nrole_arn = N\n\
            [profile odd]\nrole_arn = O\ncredential_source = Moon\n";
        let sections = sections(config).await;
        for (name, message) in [
            ("loop", "profile loop: its source_profile leads back to profile loop"),
            ("self", "profile self: its source_profile leads back to profile self"),
            ("gone", "profile gone: there is no profile nowhere, its source_profile"),
            ("both", "profile both has source_profile and credential_source"),
            ("none", "profile none has a role_arn, and nothing to assume the role with"),
            ("odd", "profile odd: credential_source Moon is not known"),
        ] {
            let error = Chain::of(name, &sections).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
    }
}
