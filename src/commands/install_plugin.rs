//! The command that puts this program in the place of `session-manager-plugin`, AWS's own client: by a link of that name, on
//! Windows by a copy.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::print::print;
use crate::cli::InstallPlugin;
use crate::cli::plugin::NAME;
use crate::diagnostics::{Error, ExitStatus, tell};
use crate::executable::{is_this, on_path};

/// This program's own name.
const OWN_NAME: &str = env!("CARGO_PKG_NAME");

/// Makes the link, shows where it is, and warns where another program comes before it.
///
/// # Errors
/// A folder that cannot be written to, and another program of that name there, unless it is to be replaced.
pub async fn install_plugin(InstallPlugin { folder, force }: &InstallPlugin) -> Result<(), Error> {
    let folder = match folder {
        Some(folder) => std::path::absolute(folder).map_err(|cause| cannot(folder, &cause))?,
        None => dirs::home_dir().map(|home| home.join(".local/bin")).ok_or_else(|| {
            Error::new(ExitStatus::Config, "there is no home folder", "name a folder: --install-plugin DIR")
        })?,
    };
    let name = format!("{NAME}{}", std::env::consts::EXE_SUFFIX);
    let link = folder.join(&name);
    if !force && fs::symlink_metadata(&link).is_ok() && !is_ours(&link) {
        let message = format!("{} is another program", link.display());
        return Err(Error::new(ExitStatus::Config, message, "add --force to replace it, or name another folder"));
    }
    let program = program().map_err(|cause| cannot(&link, &cause))?;
    fs::create_dir_all(&folder).and_then(|()| place(&program, &link)).map_err(|cause| cannot(&link, &cause))?;
    print(format!("{} -> {}\n", link.display(), program.display())).await?;
    warn(&name, &link);
    Ok(())
}

fn cannot(path: &Path, cause: &io::Error) -> Error {
    let message = format!("{} cannot be made: {cause}", path.display());
    Error::new(ExitStatus::Config, message, "name a folder that you may write to: --install-plugin DIR")
}

/// Whether it is this program, or a link to one of its name that may be gone by now.
fn is_ours(link: &Path) -> bool {
    let leads_to = fs::read_link(link).unwrap_or_default();
    is_this(link) || leads_to.file_stem().is_some_and(|name| name == OWN_NAME)
}

/// This program's file; the one on the `PATH` if that leads to it, since an update keeps that path.
fn program() -> io::Result<PathBuf> {
    let on_path = on_path(&format!("{OWN_NAME}{}", std::env::consts::EXE_SUFFIX));
    match on_path.into_iter().find(|file| file.is_absolute() && is_this(file)) {
        Some(file) => Ok(file),
        None => std::env::current_exe(),
    }
}

/// Puts the link there in one step: whoever calls it meanwhile finds the one or the other.
fn place(program: &Path, link: &Path) -> io::Result<()> {
    let mut new = link.as_os_str().to_owned();
    new.push(format!(".{}", std::process::id()));
    let new = PathBuf::from(new);
    #[cfg(unix)]
    std::os::unix::fs::symlink(program, &new)?;
    #[cfg(not(unix))]
    fs::copy(program, &new)?;
    fs::rename(&new, link).inspect_err(|_| {
        // What is left of the attempt is of no use.
        let _ = fs::remove_file(&new);
    })
}

/// Says which program is called instead of the link.
fn warn(name: &str, link: &Path) {
    let same = |file: &PathBuf| fs::canonicalize(file).ok() == fs::canonicalize(link).ok();
    match on_path(name).first() {
        Some(first) if same(first) => {}
        Some(first) => tell(&format!(
            "warning: {} comes before it on the PATH, and is called instead: put {} ahead of it there, or remove it",
            first.display(),
            link.parent().unwrap_or(link).display()
        )),
        None => tell(&format!(
            "warning: {} is not on the PATH: add it there, so that the link is found",
            link.parent().unwrap_or(link).display()
        )),
    }
}
