//! To sign in: credentials are found while nothing else is under way.

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

/// Finds the credentials. Whoever is asked for an MFA code takes the time that it takes: no limit of the session counts
/// it.
///
/// # Errors
/// Those of [`Aws::sign_in`], and a signal that came first.
pub(super) async fn sign_in(aws: &Aws) -> Result<(), Error> {
    let begun = Instant::now();
    tokio::select! {
        biased;
        signed_in = aws.sign_in(&Terminal) => {
            signed_in?;
            if aws.signs() {
                tracing::info!(took = %Time(begun.elapsed()), profile = aws.profile(), "credentials found");
            }
            Ok(())
        }
        // Not started if there are credentials at once, as there mostly are.
        signal = first_signal() => {
            let message = format!("{} came before there were credentials", signal?);
            Err(Error::new(ExitStatus::TryAgain, message, "connect again"))
        }
    }
}

async fn first_signal() -> Result<&'static str, Error> {
    let mut signals = Signals::listen().map_err(|cause| {
        Error::new(ExitStatus::Broken, format!("cannot listen for signals: {cause}"), "check the limit on open files")
    })?;
    Ok(signals.end(|| tell("waiting for credentials")).await)
}
