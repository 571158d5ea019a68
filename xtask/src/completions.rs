//! The shells' completions, each under the name by which its shell looks for it.

use std::fs;
use std::io;
use std::path::Path;

use clap::Command;
use clap_complete::{Shell, generate_to};

/// Writes a file for each shell that clap knows to `folder`.
///
/// # Errors
/// Those of writing.
pub(crate) fn write(command: &Command, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for shell in [Shell::Bash, Shell::Elvish, Shell::Fish, Shell::PowerShell, Shell::Zsh] {
        generate_to(shell, &mut command.clone(), command.get_name(), folder)?;
    }
    Ok(())
}
