//! The cache of look-ups: one small file in the user's cache folder for each name that was looked up a moment ago.
//!
//! It knows nothing of names and of how they are looked up. A cache that cannot be read or written costs a look-up,
//! never a connection: its failures are logged and forgotten.

use std::{
    fs, io,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use ssm_aws::KnownBy;
use ssm_net::files;

use crate::state::{CacheFolder, Key};

/// How long an answer is taken for granted: the time in which the same machine is connected to several times in a row,
/// and too short for most machines to be replaced. One that is, is noticed: it is not connected any more.
const LIFETIME: Duration = Duration::from_secs(5 * 60);

/// The cache, if there is a folder for it.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    folder: CacheFolder,
}

#[derive(Deserialize, Serialize)]
struct Answer {
    id: String,
    by: KnownBy,
    /// Seconds since the Unix epoch.
    found: u64,
}

impl Cache {
    /// The user's own.
    pub(super) fn of_user() -> Self {
        Self { folder: CacheFolder::of_user("names") }
    }

    /// What was filed under `key` less than [`LIFETIME`] before `now`.
    pub(super) fn get(&self, key: &Key, now: SystemTime) -> Option<(String, KnownBy)> {
        let text = fs::read(self.folder.file(key)?).ok()?;
        let entry: Answer = serde_json::from_slice(&text).ok()?;
        let found = UNIX_EPOCH.checked_add(Duration::from_secs(entry.found))?;
        // An entry of the future is from a clock that was set back: how old it is cannot be known.
        let age = now.duration_since(found).ok()?;
        (age < LIFETIME).then_some((entry.id, entry.by))
    }

    /// Files `id`, and by what it was found, under `key`.
    pub(super) fn put(&self, key: &Key, id: &str, by: KnownBy, now: SystemTime) {
        let Some(file) = self.folder.file(key) else { return };
        let found = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let entry = Answer { id: id.to_owned(), by, found };
        let text = serde_json::to_vec(&entry).map_err(io::Error::from);
        if let Err(error) = text.and_then(|text| files::write_private(&file, &text)) {
            tracing::debug!(file = %file.display(), %error, "the name is not remembered");
        }
        self.folder.sweep(now, LIFETIME);
    }

    /// Forgets what was filed under `key`.
    pub(super) fn remove(&self, key: &Key) {
        self.folder.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BY: KnownBy = KnownBy::ComputerName;

    fn cache(folder: &tempfile::TempDir) -> Cache {
        Cache { folder: CacheFolder(Some(folder.path().join("below").join("names"))) }
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
    fn old_files_go_when_new_ones_come() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(&folder);
        let now = SystemTime::now();
        for name in ["a", "b", "c"] {
            cache.put(&Key::of([name]), "i-1", BY, now);
        }
        let names = || fs::read_dir(cache.folder.0.as_ref().unwrap()).unwrap().count();
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
        let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&cache.folder.file(&key).unwrap()), 0o600);
        assert_eq!(mode(cache.folder.0.as_ref().unwrap()), 0o700);
    }

    #[test]
    fn damage_and_missing_folders_are_no_entry() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, key, now) = (cache(&folder), Key::of(["web"]), SystemTime::now());
        cache.put(&key, "i-1", BY, now);
        let found = now.duration_since(UNIX_EPOCH).unwrap().as_secs();
        for damaged in ["{\"id\":\"i-", &format!(r#"{{"id":"i-1","found":{found}}}"#)] {
            fs::write(cache.folder.file(&key).unwrap(), damaged).unwrap();
            assert_eq!(cache.get(&key, now), None, "{damaged}");
        }
        let nowhere = Cache { folder: CacheFolder(None) };
        nowhere.put(&key, "i-1", BY, now);
        nowhere.remove(&key);
        assert_eq!(nowhere.get(&key, now), None);
        let forbidden = Cache { folder: CacheFolder(Some("/proc/nowhere".into())) };
        forbidden.put(&key, "i-1", BY, now);
        assert_eq!(forbidden.get(&key, now), None);
    }
}
