//! Names that were looked up a moment ago, in the user's cache folder: one small file for each.
//!
//! It must not know what a name is or how it is looked up. A cache that cannot be read or written costs a look-up,
//! never a connection: its failures are logged and forgotten.

use std::{
    fs::{self, DirBuilder},
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use super::KnownBy;

/// How long an answer is taken for granted: the time in which the same machine is connected to several times in a row,
/// and too short for most machines to be replaced. One that is, is noticed: it is not connected any more.
const LIFETIME: Duration = Duration::from_secs(5 * 60);

/// The cache, if there is a folder for it.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    folder: Option<PathBuf>,
}

/// What an entry is filed under: all that the answer depends on. Only its hash is written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Key(String);

impl Key {
    pub(super) fn of<'a>(parts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            // With its length before it, no part can be taken for the end of another.
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        Self(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

#[derive(Deserialize, Serialize)]
struct Entry {
    id: String,
    by: KnownBy,
    /// Seconds since the Unix epoch.
    found: u64,
}

impl Cache {
    /// The user's own.
    pub(super) fn of_user() -> Self {
        Self { folder: dirs::cache_dir().map(|folder| folder.join("ssm-proxy").join("names")) }
    }

    /// What was filed under `key` less than [`LIFETIME`] before `now`.
    pub(super) fn get(&self, key: &Key, now: SystemTime) -> Option<(String, KnownBy)> {
        let text = fs::read(self.file(key)?).ok()?;
        let entry: Entry = serde_json::from_slice(&text).ok()?;
        let found = UNIX_EPOCH.checked_add(Duration::from_secs(entry.found))?;
        // An entry of the future is from a clock that was set back: how old it is cannot be known.
        let age = now.duration_since(found).ok()?;
        (age < LIFETIME).then_some((entry.id, entry.by))
    }

    /// Files `id`, and by what it was found, under `key`.
    pub(super) fn put(&self, key: &Key, id: &str, by: KnownBy, now: SystemTime) {
        let Some(file) = self.file(key) else { return };
        let found = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let entry = Entry { id: id.to_owned(), by, found };
        if let Err(error) = write(&file, &entry) {
            tracing::debug!(file = %file.display(), %error, "the name is not remembered");
        }
        self.sweep(now);
    }

    /// Forgets what was filed under `key`.
    pub(super) fn remove(&self, key: &Key) {
        if let Some(file) = self.file(key) {
            // What is not there need not be forgotten.
            let _ = fs::remove_file(file);
        }
    }

    fn file(&self, key: &Key) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join(&key.0))
    }

    /// Removes what is too old to be of use, so that the folder does not grow for ever.
    fn sweep(&self, now: SystemTime) {
        let Some(files) = self.folder.as_ref().and_then(|folder| fs::read_dir(folder).ok()) else { return };
        for file in files.flatten() {
            let written = file.metadata().and_then(|metadata| metadata.modified());
            if written.is_ok_and(|written| now.duration_since(written).is_ok_and(|age| age > LIFETIME)) {
                // Another ssm-proxy may have been faster.
                let _ = fs::remove_file(file.path());
            }
        }
    }
}

/// Writes an entry so that whoever reads it sees all of it or nothing, and nobody but the user can.
fn write(path: &Path, entry: &Entry) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    private_folder().create(folder)?;
    let mut unfinished = NamedTempFile::new_in(folder)?;
    unfinished.write_all(&serde_json::to_vec(entry)?)?;
    unfinished.persist(path)?;
    Ok(())
}

fn private_folder() -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

#[cfg(test)]
mod tests {
    use super::*;

    const BY: KnownBy = KnownBy::ComputerName;

    fn cache(folder: &tempfile::TempDir) -> Cache {
        Cache { folder: Some(folder.path().join("below").join("names")) }
    }

    #[test]
    fn an_entry_is_there_until_it_is_old_or_removed() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, key) = (cache(&folder), Key::of(["eu-west-1", "web"]));
        let now = UNIX_EPOCH + Duration::from_secs(1_795_435_200);
        assert_eq!(cache.get(&key, now), None);
        cache.put(&key, "i-1", BY, now);
        cache.put(&key, "i-2", KnownBy::Given, now);
        let expected = Some(("i-2".to_owned(), KnownBy::Given));
        assert_eq!(cache.get(&key, now), expected);
        assert_eq!(cache.get(&key, now + LIFETIME - Duration::from_secs(1)), expected);
        assert_eq!(cache.get(&key, now + LIFETIME), None);
        assert_eq!(cache.get(&key, now - Duration::from_secs(1)), None, "from the future");
        assert_eq!(cache.get(&Key::of(["eu-west-2", "web"]), now), None);
        cache.remove(&key);
        cache.remove(&key);
        assert_eq!(cache.get(&key, now), None);
    }

    #[test]
    fn parts_of_a_key_do_not_run_together() {
        assert_ne!(Key::of(["ab", "c"]), Key::of(["a", "bc"]));
        assert_ne!(Key::of(["a", ""]), Key::of(["a"]));
    }

    #[test]
    fn old_files_go_when_new_ones_come() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(&folder);
        let now = SystemTime::now();
        for name in ["a", "b", "c"] {
            cache.put(&Key::of([name]), "i-1", BY, now);
        }
        let names = || fs::read_dir(cache.folder.as_ref().unwrap()).unwrap().count();
        assert_eq!(names(), 3, "nothing but the entries is left behind");
        cache.put(&Key::of(["d"]), "i-1", BY, now + 2 * LIFETIME);
        assert_eq!(names(), 0, "all four were written long before the time that was given");
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_can_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (cache, key) = (cache(&folder), Key::of(["web"]));
        cache.put(&key, "i-1", BY, SystemTime::now());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&cache.file(&key).unwrap()), 0o600);
        assert_eq!(mode(cache.folder.as_ref().unwrap()), 0o700);
    }

    #[test]
    fn damage_and_missing_folders_are_no_entry() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, key, now) = (cache(&folder), Key::of(["web"]), SystemTime::now());
        cache.put(&key, "i-1", BY, now);
        let found = now.duration_since(UNIX_EPOCH).unwrap().as_secs();
        for damaged in ["{\"id\":\"i-", &format!(r#"{{"id":"i-1","found":{found}}}"#)] {
            fs::write(cache.file(&key).unwrap(), damaged).unwrap();
            assert_eq!(cache.get(&key, now), None, "{damaged}");
        }
        let nowhere = Cache { folder: None };
        nowhere.put(&key, "i-1", BY, now);
        nowhere.remove(&key);
        assert_eq!(nowhere.get(&key, now), None);
        let forbidden = Cache { folder: Some("/proc/nowhere".into()) };
        forbidden.put(&key, "i-1", BY, now);
        assert_eq!(forbidden.get(&key, now), None);
    }
}
