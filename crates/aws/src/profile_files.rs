//! The profile files, `~/.aws/config` and `~/.aws/credentials`, as the SDK reads them.

use aws_config::profile::{self, ProfileFileLoadError, ProfileSet};
use aws_runtime::env_config::file::EnvConfigFiles;
use aws_types::os_shim_internal::{Env, Fs};

/// Reads the profile files, of which `selected` is the profile in use.
///
/// # Errors
/// Those of the SDK.
pub(super) async fn read(
    env: &Env,
    files: &EnvConfigFiles,
    selected: &str,
) -> Result<ProfileSet, ProfileFileLoadError> {
    profile::load(&Fs::real(), env, files, Some(selected.to_owned().into())).await
}
