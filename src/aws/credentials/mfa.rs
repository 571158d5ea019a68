//! The code of an MFA device, from the person at the terminal.
//!
//! It must not know what the code is for.

use zeroize::Zeroizing;

use super::profile_flag;
use crate::{
    error::{Error, ExitStatus},
    terminal,
};

/// Whether a person may be asked. Not while a session is up: the terminal then belongs to the shell on the target.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in super::super) enum Asking {
    Allowed,
    Never,
}

/// Asks for the code of the device `serial`, which `profile` names. It has digits alone.
///
/// # Errors
/// Status 77 if nobody can be asked, or nothing is answered that can be one.
pub(super) async fn code(profile: &str, serial: &str, asking: Asking) -> Result<Zeroizing<String>, Error> {
    let denied = |message: String, hint: String| Err(Error::new(ExitStatus::Denied, message, hint));
    let elsewhere = format!("aws sts get-caller-identity{}", profile_flag(profile));
    if asking == Asking::Never {
        return denied(
            format!("profile {profile} wants an MFA code again, and the terminal is in use"),
            format!("{elsewhere} in another terminal asks for it; a longer duration_seconds puts that off"),
        );
    }
    match terminal::ask_hidden(&format!("Enter MFA code for {serial}: ")).await {
        Ok(answer) if answer.trim().is_empty() => {
            denied(format!("profile {profile}: no MFA code was given"), "connect again, and type the code".to_owned())
        }
        // It goes into the request as it is.
        Ok(answer) if !answer.trim().bytes().all(|byte| byte.is_ascii_digit()) => denied(
            format!("profile {profile}: an MFA code has digits alone"),
            "connect again, and type the code as the device shows it".to_owned(),
        ),
        Ok(answer) => Ok(Zeroizing::new(answer.trim().to_owned())),
        Err(error) => {
            tracing::debug!(%error, "nobody can be asked");
            denied(
                format!("profile {profile} wants an MFA code ({serial}), and there is no terminal to ask on"),
                format!("{elsewhere} in a terminal first: the credentials that it caches serve here too"),
            )
        }
    }
}
