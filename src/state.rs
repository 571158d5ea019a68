//! The user's folders for this program: that of its state, where the logs are, and that of its caches; files that are
//! appended to, and names for files.
//!
//! It must not know what the files hold.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Component, Path, PathBuf},
    time::{Duration, SystemTime},
};

use sha2::{Digest, Sha256};
use ssm_net::files::create_private_folder;

/// The folder for this program's files, inside the user's own.
const FOLDER: &str = "ssm-proxy";

/// Where the files are: `~/.local/state/ssm-proxy`, or the system's place for such files.
pub fn folder() -> Option<PathBuf> {
    Some(dirs::state_dir().or_else(dirs::data_local_dir)?.join(FOLDER))
}

/// A folder of the user's caches, if there is a place for it: one file for each [`Key`].
#[derive(Clone, Debug)]
pub struct CacheFolder(pub(crate) Option<PathBuf>);

impl CacheFolder {
    /// The user's own of this name: `~/.cache/ssm-proxy/NAME`, or the system's place for such files.
    pub fn of_user(name: &str) -> Self {
        Self(dirs::cache_dir().map(|folder| folder.join(FOLDER).join(name)))
    }

    /// The file for `key`.
    pub fn file(&self, key: &Key) -> Option<PathBuf> {
        Some(self.0.as_ref()?.join(key.file_name()))
    }

    /// Removes the file for `key`.
    pub fn remove(&self, key: &Key) {
        if let Some(file) = self.file(key) {
            // What is not there need not be forgotten.
            let _ = fs::remove_file(file);
        }
    }

    /// Removes what nobody has written for longer than `kept`, so that the folder does not grow for ever.
    pub fn sweep(&self, now: SystemTime, kept: Duration) {
        let Some(files) = self.0.as_ref().and_then(|folder| fs::read_dir(folder).ok()) else { return };
        for file in files.flatten() {
            let written = file.metadata().and_then(|metadata| metadata.modified());
            if written.is_ok_and(|written| now.duration_since(written).is_ok_and(|age| age > kept)) {
                // Another ssm-proxy may have been faster.
                let _ = fs::remove_file(file.path());
            }
        }
    }
}

/// The key of something that is kept in a file: a hash of everything that it depends on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Key(String);

impl Key {
    /// The key of what depends on these, in this order.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            // With its length before it, no part can be taken for the end of another.
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        Self(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The name of its file.
    pub fn file_name(&self) -> &str {
        &self.0
    }
}

/// Opens a file to append to. A new file is readable by its owner alone; a file of more than `full` bytes is first
/// renamed to `PATH.old`. A missing folder is made, for its owner alone, inside the state folder; elsewhere it is an error.
///
/// # Errors
/// Those of making the folder and of opening the file.
pub fn append(path: &Path, full: u64) -> io::Result<File> {
    if let Some(parent) = path.parent().filter(|parent| folder().is_some_and(|own| is_inside(&own, parent))) {
        create_private_folder(parent)?;
    }
    if fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() > full) {
        let mut old = path.as_os_str().to_owned();
        old.push(".old");
        // Two runs may do so at once; both then write to what there is.
        let _ = fs::rename(path, old);
    }
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Whether `path` is `folder` or below it, with no step that leads out of it.
fn is_inside(folder: &Path, path: &Path) -> bool {
    let is_step_down = |step: Component<'_>| matches!(step, Component::Normal(_));
    path.strip_prefix(folder).is_ok_and(|rest| rest.components().all(is_step_down))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_key_do_not_run_together() {
        assert_ne!(Key::of(["ab", "c"]), Key::of(["a", "bc"]));
        assert_ne!(Key::of(["a", ""]), Key::of(["a"]));
    }

    #[test]
    fn a_step_upwards_leads_out() {
        let folder = Path::new("/home/me/state/ssm-proxy");
        for inside in ["", "a", "a/b", "./a"] {
            assert!(is_inside(folder, &folder.join(inside)), "{inside:?}");
        }
        for outside in ["..", "a/../../b", "/tmp", "/home/me/state/ssm-proxy-2"] {
            assert!(!is_inside(folder, &folder.join(outside)), "{outside:?}");
        }
    }

    #[test]
    fn a_full_file_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        let write = |text: &str| io::Write::write_all(&mut append(&path, 4).unwrap(), text.as_bytes()).unwrap();
        for text in ["1234", "5", "6"] {
            write(text);
        }
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!((read("x.log.old").as_str(), read("x.log").as_str()), ("12345", "6"));
    }
}
