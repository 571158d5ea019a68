//! What is known of the joiners of nodes: one small file in the user's cache folder for each node.
//!
//! It says at which ports a joiner was, and the secret that opens it, or that there was none. A file that cannot be read or
//! written costs a session more at the start, never a connection: failures are logged and forgotten.

use std::{
    io,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use ssm_aws::Aws;
use ssm_bond::opening::Secret;
use ssm_net::files;
use zeroize::Zeroizing;

use crate::state::{CacheFolder, Key};

/// The folder of the files, in the cache folder.
const FOLDER: &str = "joiners";
/// The largest file that is read, in bytes: a record has some 150.
const MAX_BYTES: usize = 4096;
/// For how long it is not looked for a joiner again where there was none.
const ABSENT: Duration = Duration::from_secs(3600);
/// Files that nobody has written for so long are removed: most of their nodes are gone.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// A joiner as it was last seen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Joiner {
    /// The port at which a connection begins a bond.
    pub first_port: u16,
    /// The port at which a connection joins one.
    pub join_port: u16,
    /// What opens it, if it asks for a secret.
    pub secret: Option<Secret>,
    /// Its version, if it was told.
    pub version: Option<String>,
}

/// What is known of a node.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Known {
    /// It has this joiner, or had it a while ago.
    Joiner(Joiner),
    /// It had none a moment ago.
    Absent,
}

/// The files, if there is a folder for them.
#[derive(Clone, Debug)]
pub struct KnownJoiners {
    folder: CacheFolder,
}

/// The content of a file. All of it is of use to nobody but the user, and the secret opens nothing without a session.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Record {
    #[serde(skip_serializing_if = "Option::is_none")]
    joiner: Option<JoinerRecord>,
    /// Seconds since the Unix epoch.
    written: u64,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct JoinerRecord {
    first_port: u16,
    join_port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<Zeroizing<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
}

impl KnownJoiners {
    /// The user's own.
    pub fn of_user() -> Self {
        Self { folder: CacheFolder::of_user(FOLDER) }
    }

    /// What is known of the node with this id, in the region and for the identity of `aws`.
    pub fn recall(&self, aws: &Aws, id: &str) -> Option<Known> {
        self.get(&key(aws, id), SystemTime::now())
    }

    /// Remembers that the node with this id has this joiner.
    ///
    /// # Errors
    /// Those of writing the file; there may be no folder for it.
    pub fn remember(&self, aws: &Aws, id: &str, joiner: &Joiner) -> io::Result<()> {
        self.put(&key(aws, id), Some(joiner), SystemTime::now())
    }

    /// Remembers for an hour that the node with this id has none.
    pub fn remember_absence(&self, aws: &Aws, id: &str) {
        if let Err(error) = self.put(&key(aws, id), None, SystemTime::now()) {
            tracing::debug!(%error, "it is not remembered that there is no joiner");
        }
    }

    /// Forgets what is known of the node with this id.
    pub fn forget(&self, aws: &Aws, id: &str) {
        self.folder.remove(&key(aws, id));
    }

    fn get(&self, key: &Key, now: SystemTime) -> Option<Known> {
        let text = Zeroizing::new(files::read(&self.folder.file(key)?, MAX_BYTES).ok()?);
        let Record { joiner, written } = serde_json::from_slice(&text).ok()?;
        let Some(joiner) = joiner else {
            let written = UNIX_EPOCH.checked_add(Duration::from_secs(written))?;
            // A file of the future is from a clock that was set back: how old it is cannot be known.
            let age = now.duration_since(written).ok()?;
            return (age < ABSENT).then_some(Known::Absent);
        };
        let JoinerRecord { first_port, join_port, secret, version } = joiner;
        let secret = match secret {
            Some(text) => Some(Secret::of_hex(text.as_bytes())?),
            None => None,
        };
        let has_ports = first_port != 0 && join_port != 0;
        has_ports.then_some(Known::Joiner(Joiner { first_port, join_port, secret, version }))
    }

    fn put(&self, key: &Key, joiner: Option<&Joiner>, now: SystemTime) -> io::Result<()> {
        let file = self.folder.file(key).ok_or_else(|| io::Error::other("there is no cache folder"))?;
        let joiner = joiner.map(|joiner| JoinerRecord {
            first_port: joiner.first_port,
            join_port: joiner.join_port,
            secret: joiner.secret.as_ref().map(Secret::to_hex),
            version: joiner.version.clone(),
        });
        let written = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let text = Zeroizing::new(serde_json::to_vec(&Record { joiner, written })?);
        files::write_private(&file, &text)?;
        self.folder.sweep(now, KEPT);
        Ok(())
    }
}

/// A node is the same for whoever the user is to AWS; a region and an endpoint have nodes of their own.
fn key(aws: &Aws, id: &str) -> Key {
    Key::of([&aws.region, aws.endpoint_override.as_deref().unwrap_or_default(), id])
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn known(folder: &tempfile::TempDir) -> (KnownJoiners, Key) {
        (
            KnownJoiners { folder: CacheFolder(Some(folder.path().join("below").join("joiners"))) },
            Key::of(["eu-west-1", "", "i-1"]),
        )
    }

    fn joiner(secret: Option<Secret>) -> Joiner {
        Joiner { first_port: 40_001, join_port: 40_002, secret, version: Some("0.1.0".to_owned()) }
    }

    #[test]
    fn a_joiner_is_kept_with_its_secret() {
        let folder = tempfile::tempdir().unwrap();
        let (known, key) = known(&folder);
        let now = UNIX_EPOCH + Duration::from_secs(1_795_435_200);
        assert_eq!(known.get(&key, now), None);
        for secret in [None, Some(Secret::new(std::array::from_fn(|at| 7 * at as u8)))] {
            let joiner = joiner(secret);
            known.put(&key, Some(&joiner), now).unwrap();
            assert_eq!(known.get(&key, now + 48 * ABSENT), Some(Known::Joiner(joiner)));
        }
        assert_eq!(known.get(&Key::of(["eu-west-2", "", "i-1"]), now), None);
    }

    #[test]
    fn an_absence_is_forgotten_after_an_hour() {
        let folder = tempfile::tempdir().unwrap();
        let (known, key) = known(&folder);
        let now = UNIX_EPOCH + Duration::from_secs(1_795_435_200);
        known.put(&key, None, now).unwrap();
        assert_eq!(known.get(&key, now + ABSENT - Duration::from_secs(1)), Some(Known::Absent));
        assert_eq!(known.get(&key, now + ABSENT), None);
        assert_eq!(known.get(&key, now - Duration::from_secs(1)), None, "from the future");
    }

    #[test]
    fn damage_and_missing_folders_are_nothing_known() {
        let folder = tempfile::tempdir().unwrap();
        let (known, key) = known(&folder);
        let now = SystemTime::now();
        known.put(&key, Some(&joiner(Some(Secret::new([0xab; 32])))), now).unwrap();
        let file = known.folder.file(&key).unwrap();
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(&"ab".repeat(32)));
        for damaged in [
            text.replace("abab", "ab"),
            text.replace("abab", "ababa"),
            text.replace("40001", "0"),
            text.replace("40001", "70000"),
            text.replace("written", "writte"),
            text.replace("ab", "xy"),
            text.repeat(100),
            String::new(),
        ] {
            fs::write(&file, &damaged).unwrap();
            assert_eq!(known.get(&key, now), None, "{damaged}");
        }
        let nowhere = KnownJoiners { folder: CacheFolder(None) };
        assert!(nowhere.put(&key, None, now).is_err() && nowhere.get(&key, now).is_none());
    }

    #[test]
    fn old_files_go_when_new_ones_come() {
        let folder = tempfile::tempdir().unwrap();
        let (known, key) = known(&folder);
        known.put(&key, None, SystemTime::now()).unwrap();
        known.put(&Key::of(["x"]), None, SystemTime::now() + 2 * KEPT).unwrap();
        assert_eq!(fs::read_dir(known.folder.0.as_ref().unwrap()).unwrap().count(), 0, "both were written long before");
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_can_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (known, key) = known(&folder);
        known.put(&key, Some(&joiner(None)), SystemTime::now()).unwrap();
        let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&known.folder.file(&key).unwrap()), 0o600);
        assert_eq!(mode(known.folder.0.as_ref().unwrap()), 0o700);
    }
}
