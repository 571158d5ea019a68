//! `~/` in names of files, where no shell has seen them: in a profile, behind `=` and behind `file://`.

use std::path::PathBuf;

/// `path`, with the user's home folder in place of a leading `~/`, as the AWS CLI has it.
pub fn expand(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), dirs::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => path.into(),
    }
}
