//! The file of a report: new, and for its owner's eyes, until its owner gives it away.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// Names that are tried on one day.
const NAMES: u32 = 100;

/// Makes the file at `path`.
///
/// # Errors
/// One that is there already, and whatever else keeps it from being made.
pub fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Makes a file in `folder` whose name has `date`, and a number if that name is taken.
///
/// # Errors
/// As [`create`].
pub fn create_in(folder: &Path, date: &str) -> io::Result<(PathBuf, File)> {
    let mut number = 1;
    loop {
        let suffix = if number == 1 { String::new() } else { format!("-{number}") };
        let path = folder.join(format!("ssm-proxy-report-{date}{suffix}.txt"));
        match create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < NAMES => number += 1,
            made => return made.map(|file| (path, file)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_overwritten_and_others_cannot_read() {
        let folder = tempfile::tempdir().unwrap();
        let names: Vec<_> = (0..3).map(|_| create_in(folder.path(), "2026-11-28").unwrap().0).collect();
        let expected = ["", "-2", "-3"].map(|end| folder.path().join(format!("ssm-proxy-report-2026-11-28{end}.txt")));
        assert_eq!(names, expected);
        assert_eq!(create(&names[0]).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        #[cfg(unix)]
        for name in names {
            let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(name).unwrap());
            assert_eq!(mode & 0o777, 0o600);
        }
    }
}
