//! The home folder in place of `~/`, in paths that no shell expands: in a profile, behind `=` and behind `file://`.

use std::path::{PathBuf, is_separator};

/// `path`, with the user's home folder in place of a leading `~/`, as with the AWS CLI. On Windows `~\` counts as well.
pub fn expand(path: &str) -> PathBuf {
    match (below_home(path, is_separator), dirs::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => path.into(),
    }
}

/// The rest of a path that begins with `~` and a separator.
fn below_home(path: &str, is_separator: fn(char) -> bool) -> Option<&str> {
    path.strip_prefix('~')?.strip_prefix(is_separator)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backslash_separates_on_windows_alone() {
        let on = |path| (below_home(path, |c| c == '/'), below_home(path, |c| matches!(c, '/' | '\\')));
        for (path, on_unix, on_windows) in [
            ("~/.aws/ca.pem", Some(".aws/ca.pem"), Some(".aws/ca.pem")),
            ("~\\ca.pem", None, Some("ca.pem")),
            ("~ca.pem", None, None),
            ("/~/ca.pem", None, None),
            ("ca.pem", None, None),
        ] {
            assert_eq!(on(path), (on_unix, on_windows), "{path}");
        }
        assert_eq!(below_home("~\\x", is_separator).is_some(), cfg!(windows));
    }

    #[test]
    fn the_home_folder_takes_the_place_of_the_tilde() {
        let home = dirs::home_dir().unwrap();
        assert_eq!(expand("~/ca.pem"), home.join("ca.pem"));
        assert_eq!(expand("ca.pem"), PathBuf::from("ca.pem"));
    }
}
