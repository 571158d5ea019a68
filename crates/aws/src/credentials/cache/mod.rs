//! The AWS CLI's cache of temporary credentials, `~/.aws/cli/cache`: both programs use the credentials of each other.
//!
//! Processes that want the same credentials at the same time fetch them once. An error of reading or writing the cache
//! is no failure: the credentials are fetched then. This module must not know how they are fetched.

mod entry;
mod lock;
mod name;

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use aws_credential_types::{
    Credentials,
    provider::{self, error::CredentialsError},
};
use ssm_net::files;

pub(super) use self::entry::{IssuedCredentials, Issuer};
use self::lock::Lock;
use super::chain::{Base, Chain, Role, SsoRole};

/// The remaining lifetime below which credentials are fetched anew, as by the AWS CLI.
const FRESH: Duration = Duration::from_secs(15 * 60);
/// The remaining lifetime down to which cached credentials are used if new ones cannot be had: botocore's "mandatory"
/// limit.
const USABLE: Duration = Duration::from_secs(10 * 60);

/// A folder of cached credentials, one file for each role.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    folder: PathBuf,
}

/// The name of a role's file, without its ending.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Name(String);

impl Name {
    pub(super) fn of_role(role: &Role) -> Self {
        Self(name::of_role(role))
    }

    pub(super) fn of_sso(role: &SsoRole) -> Self {
        Self(name::of_sso(role))
    }

    /// The name for the credentials at the end of `chain`; `None` if they are not cached.
    pub(super) fn of_chain(chain: &Chain) -> Option<Self> {
        match (chain.roles.last(), &chain.base) {
            (Some(role), _) => Some(Self::of_role(role)),
            (None, Base::Sso(role)) => Some(Self::of_sso(role)),
            (None, _) => None,
        }
    }
}

impl Cache {
    /// The AWS CLI's cache in this home folder.
    pub(super) fn of_aws_cli(home: &Path) -> Self {
        Self { folder: [".aws", "cli", "cache"].iter().fold(home.to_owned(), |path, part| path.join(part)) }
    }

    /// The cached credentials if they are fresh; else those that `fetch` brings, which are cached then.
    ///
    /// # Errors
    /// Those of `fetch`.
    pub(super) async fn get_or(
        &self,
        name: &Name,
        fetch: impl Future<Output = Result<IssuedCredentials, CredentialsError>>,
    ) -> provider::Result {
        let before = self.read(name);
        if let Some(credentials) = before.as_ref().filter(|found| outlives(found, FRESH)) {
            return Ok(credentials.clone());
        }
        let _lock = self.lock(name).await;
        // Another process, which had the lock before, may have fetched the credentials meanwhile. New ones are used
        // even if their whole lifetime is 15 minutes.
        let found = self.read(name);
        let expiry = |credentials: &Option<Credentials>| credentials.as_ref().and_then(Credentials::expiry);
        let enough = if expiry(&found) > expiry(&before) { USABLE } else { FRESH };
        if let Some(credentials) = found.as_ref().filter(|found| outlives(found, enough)) {
            return Ok(credentials.clone());
        }
        match (fetch.await, found) {
            (Ok(entry), _) => {
                if let Err(error) = self.write(name, &entry) {
                    tracing::debug!(%error, folder = %self.folder.display(), "credentials are not cached");
                }
                Ok(entry.credentials)
            }
            (Err(error), Some(old)) if outlives(&old, USABLE) => {
                tracing::debug!(%error, "credentials cannot be renewed; the cached ones still serve");
                Ok(old)
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Removes the credentials with this key id, which AWS no longer accepts. Newer ones stay.
    pub(super) fn forget(&self, name: &Name, access_key_id: &str) {
        if self.read(name).is_some_and(|found| found.access_key_id() == access_key_id) {
            // A file that is gone already, or cannot be removed, changes nothing here.
            let _ = fs::remove_file(self.file(name));
        }
    }

    fn read(&self, name: &Name) -> Option<Credentials> {
        let credentials = entry::read(&self.file(name))?;
        tracing::debug!(file = name.0, "credentials are in the cache");
        Some(credentials)
    }

    fn write(&self, name: &Name, entry: &IssuedCredentials) -> io::Result<()> {
        entry::write(&self.file(name), entry)
    }

    async fn lock(&self, name: &Name) -> Option<Lock> {
        files::create_private_folder(&self.folder).ok()?;
        Lock::wait(&self.folder.join(format!("{}.lock", name.0))).await
    }

    fn file(&self, name: &Name) -> PathBuf {
        self.folder.join(format!("{}.json", name.0))
    }
}

fn outlives(credentials: &Credentials, time: Duration) -> bool {
    credentials.expiry().is_some_and(|expiry| expiry >= SystemTime::now() + time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::Folder;

    const MINUTE: Duration = Duration::from_secs(60);

    fn entry(key_id: &str, left: Duration) -> IssuedCredentials {
        let credentials = Credentials::builder()
            .access_key_id(key_id)
            .secret_access_key("secret")
            .session_token("token")
            .expiry(SystemTime::now() + left)
            .provider_name("test")
            .build();
        IssuedCredentials { credentials, issuer: Issuer::Sso }
    }

    async fn get(
        cache: &Cache,
        fetched: Result<IssuedCredentials, CredentialsError>,
    ) -> Result<String, CredentialsError> {
        let credentials = cache.get_or(&Name("n".to_owned()), async { fetched }).await?;
        Ok(credentials.access_key_id().to_owned())
    }

    #[tokio::test]
    async fn what_is_fresh_is_served_and_what_is_not_is_fetched() {
        for (left, expected) in [(16 * MINUTE, "OLD"), (14 * MINUTE, "NEW"), (Duration::ZERO, "NEW")] {
            let folder = Folder::new();
            let cache = Cache::of_aws_cli(&folder.path(""));
            assert_eq!(get(&cache, Ok(entry("OLD", left))).await.unwrap(), "OLD");
            assert_eq!(get(&cache, Ok(entry("NEW", 60 * MINUTE))).await.unwrap(), expected, "{left:?}");
            assert_eq!(get(&cache, Err(CredentialsError::unhandled("x"))).await.unwrap(), expected, "{left:?}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_renewed_serves_until_ten_minutes_before_its_end() {
        for (left, serves) in [(11 * MINUTE, true), (9 * MINUTE, false)] {
            let folder = Folder::new();
            let cache = Cache::of_aws_cli(&folder.path(""));
            assert_eq!(get(&cache, Ok(entry("OLD", left))).await.unwrap(), "OLD");
            assert_eq!(get(&cache, Err(CredentialsError::unhandled("x"))).await.is_ok(), serves, "{left:?}");
        }
    }

    #[tokio::test]
    async fn what_is_refused_is_forgotten_and_nothing_else() {
        let folder = Folder::new();
        let cache = Cache::of_aws_cli(&folder.path(""));
        let name = Name("n".to_owned());
        assert_eq!(get(&cache, Ok(entry("OLD", 60 * MINUTE))).await.unwrap(), "OLD");
        cache.forget(&name, "OTHER");
        assert_eq!(cache.read(&name).unwrap().access_key_id(), "OLD");
        cache.forget(&name, "OLD");
        assert!(cache.read(&name).is_none());
    }

    #[tokio::test]
    async fn many_at_once_fetch_once() {
        // Even those who find an old entry, and get a new one that is no longer fresh for those who come later.
        for left in [60 * MINUTE, 15 * MINUTE] {
            let folder = Folder::new();
            let cache = Cache::of_aws_cli(&folder.path(""));
            assert_eq!(get(&cache, Ok(entry("OLD", 5 * MINUTE))).await.unwrap(), "OLD");
            let fetches = std::sync::atomic::AtomicU32::new(0);
            let name = Name("n".to_owned());
            let ask = || {
                cache.get_or(&name, async {
                    fetches.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    tokio::task::yield_now().await;
                    Ok(entry("NEW", left))
                })
            };
            for answer in futures_util::future::join_all(std::iter::repeat_with(ask).take(20)).await {
                assert_eq!(answer.unwrap().access_key_id(), "NEW");
            }
            assert_eq!(fetches.into_inner(), 1, "{left:?}");
        }
    }

    #[tokio::test]
    async fn without_a_place_to_write_credentials_are_fetched_each_time() {
        let folder = Folder::new();
        let cache = Cache::of_aws_cli(&folder.write("a file", ""));
        for key_id in ["ONE", "TWO"] {
            assert_eq!(get(&cache, Ok(entry(key_id, 60 * MINUTE))).await.unwrap(), key_id);
        }
    }
}
