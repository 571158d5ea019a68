//! The code of an MFA device, from a person.
//!
//! It must not know what the code is for.

use std::{io, pin::Pin};

use zeroize::Zeroizing;

use super::error::SignInError;

/// What a person answers.
pub type MfaAnswer<'a> = Pin<Box<dyn Future<Output = io::Result<Zeroizing<String>>> + Send + 'a>>;

/// Asks a person for the code that an MFA device shows.
pub trait MfaPrompt: Sync {
    /// Asks for the code of the device `serial`, and gives what is answered; white space around it does not count.
    /// Dropping the future takes the question back.
    ///
    /// # Errors
    /// If there is nobody to ask. The error is logged.
    fn ask<'a>(&'a self, serial: &'a str) -> MfaAnswer<'a>;
}

/// Asks for the code of the device `serial`, which `profile` names. It has digits alone. Without a prompt nobody may be
/// asked, as while a session is up: the terminal then belongs to the shell on the target.
///
/// # Errors
/// If nobody can be asked, or nothing is answered that can be one.
pub(super) async fn code(
    profile: &str,
    serial: &str,
    prompt: Option<&dyn MfaPrompt>,
) -> Result<Zeroizing<String>, SignInError> {
    let profile = profile.to_owned();
    let Some(prompt) = prompt else { return Err(SignInError::MfaLater { profile }) };
    match prompt.ask(serial).await {
        Ok(answer) if answer.trim().is_empty() => Err(SignInError::MfaNone { profile }),
        // It goes into the request as it is.
        Ok(answer) if !answer.trim().bytes().all(|byte| byte.is_ascii_digit()) => {
            Err(SignInError::MfaNotDigits { profile })
        }
        Ok(answer) => Ok(Zeroizing::new(answer.trim().to_owned())),
        Err(error) => {
            tracing::debug!(%error, "nobody can be asked");
            Err(SignInError::MfaNobody { profile, serial: serial.to_owned() })
        }
    }
}
