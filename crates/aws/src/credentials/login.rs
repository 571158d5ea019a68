//! Logins: the ways in which a user signs in to AWS, and so renews the credentials.

use aws_config::profile::{Profile as Section, ProfileSet};

/// The most `source_profile` steps that are followed to find the login: more than anybody has.
const MAX_PROFILE_STEPS: usize = 8;

/// The source of the credentials in use, where they can be renewed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Login {
    /// None: requests are not signed.
    Unsigned,
    /// The environment's keys.
    Environment,
    /// IAM Identity Center, configured in the profile of this name.
    Sso(String),
    /// The console's login (`aws login`), configured in the profile of this name.
    Console(String),
    /// Other settings of a profile, such as keys or a process. No single command renews them.
    Profile {
        /// The profile in use.
        name: String,
        /// The last profile of its `source_profile` chain, which would have the keys.
        last: String,
    },
}

impl Login {
    /// The login of `profile`, found along its chain of `source_profile`.
    pub(in super::super) fn of(profile: &str, sections: &ProfileSet) -> Self {
        let mut name = profile;
        for _ in 0..MAX_PROFILE_STEPS {
            let Some(section) = sections.get_profile(name) else { break };
            let has = |key| Section::get(section, key).is_some();
            if has("sso_session") || has("sso_start_url") {
                return Self::Sso(name.to_owned());
            }
            if has("login_session") {
                return Self::Console(name.to_owned());
            }
            match section.get("source_profile") {
                Some(next) if next != name => name = next,
                _ => break,
            }
        }
        Self::Profile { name: profile.to_owned(), last: name.to_owned() }
    }
}
