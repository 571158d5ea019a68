//! The joiner's programs that came with this one, one for each processor.

use std::{env, fs, path::PathBuf};

use sha2::{Digest, Sha256};

use crate::diagnostics::{Error, ExitStatus};

/// The folder of the programs, in place of those below.
const VARIABLE: &str = "SSM_PROXY_JOINERS";
/// Where packages have them.
const OF_PACKAGES: &str = "/usr/lib/ssm-proxy";
/// The same seen from the program's folder, for other prefixes; and in an archive that is only unpacked.
const BESIDE: [&str; 2] = ["../lib/ssm-proxy", "lib/ssm-proxy"];
/// Of its name, what stands before the processor.
pub(super) const NAME: &str = "ssm-proxy-join";

/// A program of the joiner.
pub(super) struct Program {
    pub(super) bytes: Vec<u8>,
    /// Its SHA-256, in hexadecimal digits.
    pub(super) sum: String,
}

/// The program for a node of this system and machine, as uname calls them.
///
/// # Errors
/// If there is none for it, or it is not with this program.
pub(super) fn program(system: &str, machine: &str) -> Result<Program, Error> {
    let processor = match machine {
        "x86_64" | "amd64" => Some("x86_64"),
        "aarch64" | "arm64" => Some("aarch64"),
        _ => None,
    };
    let Some(processor) = processor.filter(|_| system == "Linux") else {
        let message = format!("there is no joiner for the node, which is {system} on {machine}");
        let hint = "joiners are for Linux on x86_64 and aarch64; connections to other nodes have one session each";
        return Err(Error::new(ExitStatus::Unavailable, message, hint));
    };
    let name = format!("{NAME}-{processor}");
    let folders = folders();
    let found = folders.iter().find_map(|folder| fs::read(folder.join(&name)).ok());
    let bytes = found.ok_or_else(|| {
        let folders: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
        let message = format!("the joiner {name} is not in {}", folders.join(", "));
        let hint = format!("install it with ssm-proxy's package, or name its folder in {VARIABLE}");
        Error::new(ExitStatus::Config, message, hint)
    })?;
    let sum = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Program { bytes, sum })
}

fn folders() -> Vec<PathBuf> {
    if let Some(folder) = env::var_os(VARIABLE) {
        return vec![folder.into()];
    }
    let here = env::current_exe().and_then(fs::canonicalize).ok();
    let here = here.as_deref().and_then(|program| program.parent());
    let beside = here.into_iter().flat_map(|here| BESIDE.map(|way| here.join(way)));
    beside.chain([OF_PACKAGES.into()]).collect()
}
