//! To sign in: credentials are found while nothing else is under way.

use std::time::Instant;

use crate::{aws::Aws, error::Error, figures::Time};

/// Finds the credentials. Whoever is asked for an MFA code takes the time that it takes: no limit of the session counts
/// it.
///
/// # Errors
/// Those of [`Aws::sign_in`].
pub(super) async fn sign_in(aws: &Aws) -> Result<(), Error> {
    let begun = Instant::now();
    aws.sign_in().await?;
    if aws.signs() {
        tracing::info!(took = %Time(begun.elapsed()), profile = aws.profile(), "credentials found");
    }
    Ok(())
}
