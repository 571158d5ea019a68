//! Signing in: finds the credentials, before anything else is under way.

use std::time::Instant;

use ssm_aws::{Aws, MfaAnswer, MfaPrompt};

use crate::{
    diagnostics::{Error, ExitStatus, human::Time, tell},
    endpoints::{signals::Signals, terminal},
};

/// The prompt for an MFA code: the controlling terminal.
struct Terminal;

impl MfaPrompt for Terminal {
    fn ask<'a>(&'a self, serial: &'a str) -> MfaAnswer<'a> {
        Box::pin(async move { terminal::ask_hidden(&format!("Enter MFA code for {serial}: ")).await })
    }
}

/// Finds the credentials. A person who is asked for an MFA code may take any time: no limit of the session includes it.
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

/// The same ahead of a session, unless a signal comes first.
///
/// # Errors
/// Those of [`sign_in`], and the signal.
pub(super) async fn sign_in_before(aws: &Aws, signals: &mut Signals) -> Result<(), Error> {
    let signed_in = signals.unless_ended(sign_in(aws), || tell("waiting for credentials")).await;
    signed_in.map_err(|signal| {
        let message = format!("{signal} came before there were credentials");
        Error::new(ExitStatus::TryAgain, message, "connect again")
    })?
}
