//! To sign in: credentials are found while nothing else is under way.

use std::time::Instant;

use ssm_aws::{Aws, MfaAnswer, MfaPrompt};

use crate::{
    diagnostics::{Error, human::Time},
    endpoints::terminal,
};

/// The prompt for an MFA code: the controlling terminal.
struct Terminal;

impl MfaPrompt for Terminal {
    fn ask<'a>(&'a self, serial: &'a str) -> MfaAnswer<'a> {
        Box::pin(async move { terminal::ask_hidden(&format!("Enter MFA code for {serial}: ")).await })
    }
}

/// Finds the credentials. Whoever is asked for an MFA code takes the time that it takes: no limit of the session counts
/// it.
///
/// # Errors
/// Those of [`Aws::sign_in`].
pub(super) async fn sign_in(aws: &Aws) -> Result<(), Error> {
    let begun = Instant::now();
    aws.sign_in(&Terminal).await?;
    if aws.signs() {
        tracing::info!(took = %Time(begun.elapsed()), profile = aws.profile(), "credentials found");
    }
    Ok(())
}
