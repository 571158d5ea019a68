//! MFA codes: a person is asked for the code that a device shows.
//!
//! This module must not know what the code is for.

use std::{io, pin::Pin};

use zeroize::Zeroizing;

use super::error::SignInError;

/// The future answer of a person.
pub type MfaAnswer<'a> = Pin<Box<dyn Future<Output = io::Result<Zeroizing<String>>> + Send + 'a>>;

/// Asks a person for the code that an MFA device shows.
pub trait MfaPrompt: Sync {
    /// Asks for the code of the device `serial`, and gives the answer. White space around the code does not count. To
    /// drop the future takes the question back.
    ///
    /// # Errors
    /// If there is no person to ask. The error is logged.
    fn ask<'a>(&'a self, serial: &'a str) -> MfaAnswer<'a>;
}

/// Asks for the code of the device `serial`, which `profile` names. A code has digits alone. There is no prompt while a
/// session is up, since the terminal then belongs to the shell on the target.
///
/// # Errors
/// If there is no prompt or no person to ask, or if the answer is no code.
pub(super) async fn code(
    profile: &str,
    serial: &str,
    prompt: Option<&dyn MfaPrompt>,
) -> Result<Zeroizing<String>, SignInError> {
    let profile = profile.to_owned();
    let Some(prompt) = prompt else { return Err(SignInError::MfaLater { profile }) };
    match prompt.ask(serial).await {
        Ok(answer) if answer.trim().is_empty() => Err(SignInError::MfaNone { profile }),
        // The code goes into the request unescaped.
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
