//! How the user signs in, which is where credentials are renewed.

use aws_config::profile::{Profile as Section, ProfileSet};

/// How many `source_profile` steps are followed to find out how the user signs in: more than anyone has.
const MAX_PROFILE_STEPS: usize = 8;

/// Where the credentials in use come from, and so where they can be renewed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Login {
    /// Nowhere: requests are not signed.
    Unsigned,
    /// The environment's keys.
    Environment,
    /// IAM Identity Center, configured in the profile of this name.
    Sso(String),
    /// The console's login (`aws login`), configured in the profile of this name.
    Console(String),
    /// What a profile has: keys, a process; nothing that one command renews.
    Profile {
        /// The profile in use.
        name: String,
        /// The last profile of its chain of `source_profile`: the one that would have the keys.
        last: String,
    },
}

impl Login {
    /// How the owner of `profile` signs in, as far as the chain of `source_profile` tells.
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
