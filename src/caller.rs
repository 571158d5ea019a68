//! The caller: whether ssh has started this process, or a person who types at a terminal.
//!
//! It knows the facts, and decides nothing.

use std::io::{self, IsTerminal};

/// ssh's own name.
#[cfg(target_os = "linux")]
const SSH: &str = "ssh";
/// The last letters of the names of shells.
#[cfg(target_os = "linux")]
const SHELL: &str = "sh";
/// How many shells may stand between ssh and this process: the user's and one that the ProxyCommand names.
#[cfg(target_os = "linux")]
const MAX_SHELLS: usize = 2;

/// Whether stdin and stdout are a terminal, as when a person types the command. ssh gives its ProxyCommand pipes.
pub fn is_person() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Whether ssh has started this process, or a shell that ssh has started. Linux tells whose child it is; elsewhere no safe
/// call does.
#[cfg(target_os = "linux")]
pub fn is_ssh() -> Option<bool> {
    let mut id = std::os::unix::process::parent_id();
    for _ in 0..=MAX_SHELLS {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        let (name, parent) = name_and_parent(&stat)?;
        if name == SSH || !name.ends_with(SHELL) {
            return Some(name == SSH);
        }
        id = parent;
    }
    Some(false)
}

/// Whether ssh has started this process: no safe call tells.
#[cfg(not(target_os = "linux"))]
pub fn is_ssh() -> Option<bool> {
    None
}

/// A process's name and its parent, of a line of Linux's `/proc/PID/stat`: `PID (NAME) STATE PARENT …`.
#[cfg(target_os = "linux")]
fn name_and_parent(stat: &str) -> Option<(&str, u32)> {
    // The name may have parentheses itself; what follows it has none.
    let (before, after) = stat.rsplit_once(')')?;
    let (_, name) = before.split_once('(')?;
    Some((name, after.split_whitespace().nth(1)?.parse().ok()?))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_stat_has_name_and_parent() {
        assert_eq!(name_and_parent("17 (ssh) S 5 17 17 0"), Some(("ssh", 5)));
        assert_eq!(name_and_parent("17 (a) (b c) S 5 17"), Some(("a) (b c", 5)));
        for line in ["", "17", "17 (ssh)", "17 (ssh) S", "17 (ssh) S x"] {
            assert_eq!(name_and_parent(line), None, "{line:?}");
        }
    }
}
