//! The profile files, read apart: the SDK blocks as it reads them, and one may be on a mount whose server is gone.

use std::error::Error as StdError;

use aws_config::profile::{self, ProfileSet};
use aws_runtime::env_config::file::EnvConfigFiles;
use aws_types::os_shim_internal::{Env, Fs};
use tokio::runtime::Handle;

/// Reads the profile files, of which `selected` is the profile in use.
///
/// # Errors
/// Those of the SDK, and files that are not read in time.
pub(super) async fn read(
    env: &Env,
    files: &EnvConfigFiles,
    selected: &str,
) -> Result<ProfileSet, Box<dyn StdError + Send + Sync>> {
    let (env, files, selected) = (env.clone(), files.clone(), selected.to_owned().into());
    let runtime = Handle::current();
    let read = move || runtime.block_on(profile::load(&Fs::real(), &env, &files, Some(selected)));
    Ok(ssm_net::files::in_time(read).await??)
}
