//! The errors of settings: which setting makes no sense, and where it comes from.

use std::fmt;

/// The error of loading an [`Aws`](crate::Aws). `Display` tells in one line what failed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum LoadError {
    /// A profile file cannot be read, or has a line that makes no sense.
    #[error("the profile files cannot be read: {why}")]
    ProfileFiles {
        /// The line, or what the system says.
        why: String,
        /// The config file's name.
        file: String,
    },
    /// The profile that is named does not exist.
    #[error("there is no AWS profile {name:?}")]
    NoSuchProfile {
        /// Its name.
        name: String,
        /// The names of the profiles that exist, sorted.
        known: Vec<String>,
        /// The config file's name.
        file: String,
    },
    /// Nothing names a region.
    #[error("no AWS region is set")]
    NoRegion {
        /// The profile in use.
        profile: String,
        /// The config file's name.
        file: String,
    },
    /// The text that is set as the region cannot be one.
    #[error("{0:?} is not a region")]
    NotARegion(String),
    /// The text that is set as the URL of an API or of the streams is no URL, or has a user's name in it.
    #[error("{0} is no http or https URL with a host")]
    NotAUrl(Origin),
    /// The environment has one half of a key pair.
    #[error(transparent)]
    HalfKeyPair(#[from] HalfKeyPair),
}

/// One half of a key pair without the other.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HalfKeyPair {
    /// The profile that has the half; `None` for the environment.
    pub profile: Option<String>,
    /// The variable or setting that is there.
    pub set: &'static str,
    /// The variable or setting that is missing.
    pub missing: &'static str,
}

impl std::error::Error for HalfKeyPair {}

impl fmt::Display for HalfKeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { profile, set, missing } = self;
        match profile {
            Some(profile) => write!(f, "profile {profile} has {set}, but no {missing}"),
            None => write!(f, "{set} is set, but {missing} is not"),
        }
    }
}

/// Where a setting comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Origin {
    /// This field of [`Overrides`](crate::Overrides).
    Override(&'static str),
    /// This variable of the environment.
    Variable(&'static str),
    /// A profile.
    Profile {
        /// The setting's name there.
        setting: &'static str,
        /// The profile's name.
        profile: String,
    },
}

/// The setting's name and place: `Overrides::ca_bundle`, `AWS_CA_BUNDLE`, `ca_bundle of profile default`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Override(field) => write!(f, "Overrides::{field}"),
            Self::Variable(name) => f.write_str(name),
            Self::Profile { setting, profile } => write!(f, "{setting} of profile {profile}"),
        }
    }
}
