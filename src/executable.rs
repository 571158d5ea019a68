//! The executable: the file of this program, and where it stands on the `PATH`.

use std::path::{Path, PathBuf};

/// The files of this name in the folders of the `PATH`, in their order. The system takes the first.
pub fn on_path(name: &str) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(name)).filter(|file| file.is_file()).collect()
}

/// Whether a path leads to this very program, through whatever links.
pub fn is_this(path: &Path) -> bool {
    let this = std::env::current_exe().and_then(std::fs::canonicalize);
    matches!((this, std::fs::canonicalize(path)), (Ok(this), Ok(other)) if this == other)
}
