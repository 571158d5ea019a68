//! Environment credentials: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`.

use aws_credential_types::Credentials;
use aws_types::os_shim_internal::Env;

use crate::{load_error::HalfKeyPair, settings::variable};

/// The credentials in the environment, if there are some.
///
/// # Errors
/// If the environment has one half of a key pair.
pub(super) fn environment_keys(env: &Env) -> Result<Option<Credentials>, HalfKeyPair> {
    let id = variable(env, "AWS_ACCESS_KEY_ID");
    let secret = variable(env, "AWS_SECRET_ACCESS_KEY");
    let token = variable(env, "AWS_SESSION_TOKEN").or_else(|| variable(env, "AWS_SECURITY_TOKEN"));
    let half = |set, missing| Err(HalfKeyPair { profile: None, set, missing });
    match (id, secret) {
        (Some(id), Some(secret)) => Ok(Some(Credentials::new(id, secret, token, None, "environment"))),
        (Some(_), None) => half("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        (None, Some(_)) => half("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"),
        (None, None) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_key_pair_is_an_error() {
        for (set, missing) in
            [("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID")]
        {
            let error = environment_keys(&Env::from_slice(&[(set, "x")])).unwrap_err();
            assert_eq!(error.to_string(), format!("{set} is set, but {missing} is not"));
        }
    }
}
