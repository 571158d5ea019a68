//! ssh, as it is run to set a joiner up.

use std::process::Stdio;

use tokio::process::{Child, Command};

use crate::{
    cli::BondSetup,
    diagnostics::{Error, ExitStatus},
};

/// Set for ssh, so that a line `Match … exec` in its configuration that leads here again ends at once.
const WITHIN: &str = "SSM_PROXY_BOND_SETUP";

/// Whether ssh has started this while a joiner is being set up by it.
pub(super) fn is_within() -> bool {
    std::env::var_os(WITHIN).is_some()
}

/// Starts ssh with these options before the user's, for a `command` on the node if there is one. Its stdin and stdout are
/// pipes.
///
/// # Errors
/// If there is no ssh.
pub(super) fn spawn(setup: &BondSetup, options: &[&str], command: Option<&str>) -> Result<Child, Error> {
    let mut ssh = Command::new("ssh");
    ssh.args(options).args(&setup.ssh_options).arg("--").arg(&setup.host).args(command).env(WITHIN, "1");
    // What it says and asks is for the user, but for one who has not asked for this.
    let is_heard = !setup.if_needed || tracing::enabled!(tracing::Level::INFO);
    ssh.stderr(if is_heard { Stdio::inherit() } else { Stdio::null() });
    ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn().map_err(|cause| {
        let message = format!("ssh cannot be run: {cause}");
        Error::new(ExitStatus::Config, message, "install OpenSSH's client, or put it on the PATH")
    })
}
