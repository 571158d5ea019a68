//! The state folder: the user's own for logs, and files that are written behind what is there.
//!
//! It must not know what they hold.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    path::{Component, Path, PathBuf},
};

/// The folder for this program's files, inside the user's own.
const FOLDER: &str = "ssm-proxy";

/// Where the files are: `~/.local/state/ssm-proxy`, or the system's place for such files.
pub fn folder() -> Option<PathBuf> {
    Some(dirs::state_dir().or_else(dirs::data_local_dir)?.join(FOLDER))
}

/// Opens a file to write behind what is there, readable by its owner alone if it is new. One of more than `full` bytes is
/// renamed to `PATH.old` first. A folder that is missing is made, for its owner alone, inside the state folder; elsewhere
/// it is an error.
///
/// # Errors
/// Those of making the folder and of opening the file.
pub fn append(path: &Path, full: u64) -> io::Result<File> {
    if let Some(parent) = path.parent().filter(|parent| folder().is_some_and(|own| is_inside(&own, parent))) {
        make(parent)?;
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

/// Makes a folder and those that it is in, as far as they are missing, for their owner alone.
fn make(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

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
