//! Credentials: those of the environment, or those at the end of the profile's chain of roles, kept until shortly
//! before they expire.
//!
//! This module must not know what is signed with them.

mod assume_role;
mod cache;
mod chain;
mod environment;
mod error;
mod login;
mod mfa;
mod reasons;
mod search;

use std::time::{Duration, SystemTime};

use aws_credential_types::{
    Credentials,
    provider::{self, ProvideCredentials, error::CredentialsError, future},
};
use tokio::sync::Mutex;

pub use self::{
    chain::ChainError,
    error::SignInError,
    login::Login,
    mfa::{MfaAnswer, MfaPrompt},
};
use super::{
    cause::{cause, find, unreachable},
    load_error::HalfKeyPair,
};
use environment::environment_keys;
pub(super) use search::Recipe;

/// The time limit for the whole search. A `credential_process` may ask a person for a code, or show a login page in a
/// browser: that takes minutes.
const FETCH_TIMEOUT: Duration = Duration::from_secs(180);
/// How long before their expiry credentials are fetched anew. AWS tolerates clocks that are up to 5 minutes wrong, so
/// no signature arrives with expired credentials.
const RENEW_AHEAD: Duration = Duration::from_secs(5 * 60);
/// How long credentials without an expiry are kept. The credentials file has no place for an expiry, and tools put new
/// temporary keys there. A reconnect an hour later has to use the new ones.
const UNDATED_LIFETIME: Duration = Duration::from_secs(15 * 60);

/// The credentials in use. They are fetched when they are first needed, and again before they expire.
#[derive(Debug)]
pub(super) struct CachedCredentials {
    source: CredentialsSource,
    held: Mutex<Option<Held>>,
}

#[derive(Debug)]
enum CredentialsSource {
    /// Keys in the environment, which stay the same as long as the process runs.
    Environment(Credentials),
    Chain {
        recipe: Box<Recipe>,
        login: Login,
    },
}

#[derive(Debug)]
struct Held {
    credentials: Credentials,
    renew_at: SystemTime,
}

impl CachedCredentials {
    /// The credentials that `recipe` finds; those of the environment come first.
    ///
    /// # Errors
    /// If the environment has one half of a key pair.
    pub(super) fn new(recipe: Recipe, login: Login) -> Result<Self, HalfKeyPair> {
        let from_env = if recipe.profile.overriding { None } else { environment_keys(&recipe.env)? };
        let source = match from_env {
            Some(credentials) => CredentialsSource::Environment(credentials),
            None => CredentialsSource::Chain { recipe: Box::new(recipe), login },
        };
        Ok(Self { source, held: Mutex::new(None) })
    }

    /// The credentials to sign with now. Without `prompt` no person is asked for an MFA code.
    pub(super) async fn get(&self, prompt: Option<&dyn MfaPrompt>) -> provider::Result {
        let recipe = match &self.source {
            CredentialsSource::Environment(credentials) => return Ok(credentials.clone()),
            CredentialsSource::Chain { recipe, .. } => recipe,
        };
        // The lock is held while credentials are fetched, so that other callers wait for the same ones.
        let mut held = self.held.lock().await;
        let now = SystemTime::now();
        if let Some(held) = held.as_ref().filter(|held| now < held.renew_at) {
            return Ok(held.credentials.clone());
        }
        let fetched = match tokio::time::timeout(FETCH_TIMEOUT, recipe.fetch(prompt)).await {
            Ok(fetched) => fetched,
            Err(_) => Err(CredentialsError::provider_timed_out(FETCH_TIMEOUT)),
        };
        match (fetched, held.as_ref()) {
            (Ok(credentials), _) => {
                *held = Some(Held { renew_at: renew_at(&credentials, now), credentials: credentials.clone() });
                Ok(credentials)
            }
            (Err(error), Some(old)) if old.credentials.expiry().is_none_or(|expiry| now < expiry) => {
                tracing::debug!(error = cause(&error), "credentials cannot be renewed; the old ones still serve");
                Ok(old.credentials.clone())
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Drops the held credentials, which AWS calls expired, here and in the AWS CLI's cache.
    pub(super) async fn forget(&self) {
        let held = self.held.lock().await.take();
        if let (CredentialsSource::Chain { recipe, .. }, Some(held)) = (&self.source, held) {
            recipe.forget(&held.credentials).await;
        }
    }

    /// Why [`Self::get`] has failed with `error`.
    pub(super) fn explain(&self, error: &CredentialsError) -> SignInError {
        if let Some(error) = find::<SignInError>(error) {
            return error.clone();
        }
        let nothing_found = matches!(error, CredentialsError::CredentialsNotLoaded(_));
        // The search ends at the metadata service, which most machines do not have. Its silence is not the reason.
        if let Some(what) = unreachable(error).filter(|_| !nothing_found) {
            return SignInError::Unreachable(what);
        }
        let profile = match &self.source {
            CredentialsSource::Environment(_) => "the environment".to_owned(),
            CredentialsSource::Chain { recipe, .. } => recipe.profile.name.clone(),
        };
        let login = self.login();
        match error {
            CredentialsError::CredentialsNotLoaded(_) => SignInError::Nothing { profile, login },
            CredentialsError::ProviderTimedOut(_) => SignInError::Late { profile, limit: FETCH_TIMEOUT, login },
            error => SignInError::Refused { profile, why: cause(error), login },
        }
    }

    /// The source of these credentials, where they can be renewed.
    pub(super) fn login(&self) -> Login {
        match &self.source {
            CredentialsSource::Environment(_) => Login::Environment,
            CredentialsSource::Chain { login, .. } => login.clone(),
        }
    }
}

impl ProvideCredentials for CachedCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.get(None))
    }
}

fn renew_at(credentials: &Credentials, now: SystemTime) -> SystemTime {
    match credentials.expiry() {
        // At most half of the remaining time: short-lived credentials would otherwise be fetched at each use.
        Some(expiry) => {
            let left = expiry.duration_since(now).unwrap_or_default();
            now + left.saturating_sub(RENEW_AHEAD.min(left / 2))
        }
        None => now + UNDATED_LIFETIME,
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::{
        Aws, ErrorKind, Overrides,
        test_support::{Folder, aws_in},
    };

    const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "AKIDENV"), ("AWS_SECRET_ACCESS_KEY", "secret")];

    fn overriding(profile: &str) -> Overrides {
        Overrides { profile: Some(profile.to_owned()), ..Overrides::default() }
    }

    async fn key_id(aws: &Aws) -> String {
        aws.credentials().await.unwrap().unwrap().access_key_id().to_owned()
    }

    #[tokio::test]
    async fn an_overriding_profile_wins_over_keys_in_the_environment() {
        let folder = Folder::new();
        let config = "[profile prod]\naws_access_key_id = AKIDPROD\naws_secret_access_key = s\n\
            [default]\naws_access_key_id = AKIDDEFAULT\naws_secret_access_key = s\n";
        let env = [KEYS[0], KEYS[1], ("AWS_PROFILE", "prod")];
        for (overrides, env, expected) in [
            (overriding("prod"), &env[..], "AKIDPROD"),
            (Overrides::default(), &env, "AKIDENV"),
            (Overrides::default(), &env[2..], "AKIDPROD"),
            (Overrides::default(), &[("AWS_DEFAULT_PROFILE", "prod")], "AKIDPROD"),
            (Overrides::default(), &[("AWS_ACCESS_KEY_ID", "")], "AKIDDEFAULT"),
        ] {
            assert_eq!(key_id(&aws_in(&folder, &overrides, env, config).await).await, expected, "{env:?}");
        }
    }

    #[tokio::test]
    async fn the_session_token_comes_along() {
        let env = [KEYS[0], KEYS[1], ("AWS_SESSION_TOKEN", "the-token")];
        let aws = aws_in(&Folder::new(), &Overrides::default(), &env, "").await;
        assert_eq!(aws.credentials().await.unwrap().unwrap().session_token(), Some("the-token"));
        assert_eq!(format!("{aws:?}"), r#"Aws { region: "eu-west-1", endpoint_override: None, .. }"#);
    }

    /// A `credential_process` that notes each of its runs in `runs`.
    #[cfg(unix)]
    fn process(folder: &Folder, expiry_in: Option<Duration>) -> String {
        let expiration = expiry_in.map_or(String::new(), |left| {
            let time = aws_smithy_types::DateTime::from(SystemTime::now() + left);
            let time = time.fmt(aws_smithy_types::date_time::Format::DateTime).unwrap();
            format!(r#","Expiration":"{time}""#)
        });
        let runs = folder.path("runs").display().to_string();
        let answer = folder.write(
            "answer.json",
            &format!(r#"{{"Version":1,"AccessKeyId":"AKIDPROCESS","SecretAccessKey":"s"{expiration}}}"#),
        );
        let script = folder.write("process", &format!("echo run >> {runs}\ncat {}\n", answer.display()));
        format!("[default]\ncredential_process = sh {}\n", script.display())
    }

    #[cfg(unix)]
    async fn runs_for_two_uses(expiry_in: Option<Duration>) -> usize {
        let folder = Folder::new();
        let config = process(&folder, expiry_in);
        let aws = aws_in(&folder, &Overrides::default(), &[], &config).await;
        for _ in 0..2 {
            assert_eq!(key_id(&aws.clone()).await, "AKIDPROCESS");
        }
        std::fs::read_to_string(folder.path("runs")).unwrap().lines().count()
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn credentials_are_fetched_once_while_fresh() {
        for expiry_in in [None, Some(Duration::from_secs(3600)), Some(Duration::from_secs(60))] {
            assert_eq!(runs_for_two_uses(expiry_in).await, 1, "{expiry_in:?}");
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn forgotten_credentials_are_fetched_anew() {
        let folder = Folder::new();
        let config = process(&folder, None);
        let aws = aws_in(&folder, &Overrides::default(), &[], &config).await;
        key_id(&aws).await;
        aws.cached_credentials().unwrap().forget().await;
        folder.write("answer.json", r#"{"Version":1,"AccessKeyId":"AKIDNEW","SecretAccessKey":"s"}"#);
        assert_eq!(key_id(&aws).await, "AKIDNEW");
    }

    #[test]
    fn renewal_is_ahead_of_the_expiry() {
        let now = SystemTime::now();
        let at = |left: Option<u64>| {
            let expiry = left.map(|seconds| now + Duration::from_secs(seconds));
            renew_at(&Credentials::new("a", "b", None, expiry, "test"), now).duration_since(now).unwrap().as_secs()
        };
        assert_eq!([at(Some(3600)), at(Some(600)), at(Some(60)), at(None)], [3300, 300, 30, 900]);
        let expired = Credentials::new("a", "b", None, Some(now - Duration::from_secs(9)), "test");
        assert_eq!(renew_at(&expired, now), now);
    }

    #[tokio::test]
    async fn each_way_to_sign_in_fails_in_its_own_way() {
        let sso = "sso_session = corp\nsso_account_id = 1\nsso_role_name = r\n\
            [sso-session corp]\nsso_region = eu-west-1\nsso_start_url = https://corp.awsapps.com/start\n";
        for (config, message) in [
            ("".to_owned(), "profile default has no AWS credentials"),
            (format!("[default]\n{sso}"), "profile default: the login at IAM Identity Center is missing"),
            (
                "[default]\ncredential_process = false\n".to_owned(),
                "profile default: its credential_process gives no credentials",
            ),
        ] {
            let folder = Folder::new();
            let aws = aws_in(&folder, &Overrides::default(), &[], &config).await;
            let error = aws.credentials().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Denied);
            assert!(error.to_string().starts_with(message), "{error:?}");
        }
    }

    #[tokio::test]
    async fn the_profile_to_sign_in_with_is_found() {
        let folder = Folder::new();
        let config = "[profile role]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = base\n\
            [profile base]\nsso_start_url = https://corp.awsapps.com/start\n\
            [profile mfa]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = keys\nmfa_serial = arn:aws:iam::1:mfa/me\n\
            [profile console]\nlogin_session = arn:aws:iam::1:user/me\n\
            [profile keys]\naws_access_key_id = a\naws_secret_access_key = s\n\
            [profile loop]\nsource_profile = pool\n[profile pool]\nsource_profile = loop\n";
        let profile = |name: &str, last: &str| Login::Profile { name: name.to_owned(), last: last.to_owned() };
        for (name, login) in [
            ("role", Login::Sso("base".to_owned())),
            ("console", Login::Console("console".to_owned())),
            ("mfa", profile("mfa", "keys")),
            ("keys", profile("keys", "keys")),
            ("loop", profile("loop", "loop")),
        ] {
            assert_eq!(aws_in(&folder, &overriding(name), &[], config).await.login(), login);
        }
        let unsigned = Overrides { no_sign_request: true, ..Overrides::default() };
        assert_eq!(aws_in(&folder, &unsigned, &KEYS, config).await.login(), Login::Unsigned);
        assert_eq!(aws_in(&folder, &Overrides::default(), &KEYS, config).await.login(), Login::Environment);
    }

    const MFA: &str = "[profile mfa]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = keys\n\
        mfa_serial = arn:aws:iam::1:mfa/me\n[profile keys]\naws_access_key_id = a\naws_secret_access_key = s\n";

    #[tokio::test]
    async fn nobody_is_asked_for_a_code_once_a_session_may_be_up() {
        let aws = aws_in(&Folder::new(), &overriding("mfa"), &[], MFA).await;
        let error = aws.credentials().await.unwrap_err();
        assert_eq!(error, SignInError::MfaLater { profile: "mfa".to_owned() });
    }

    /// A prompt at which this is typed; nobody is there to type nothing at all.
    struct Typed(Option<&'static str>);

    impl MfaPrompt for Typed {
        fn ask<'a>(&'a self, serial: &'a str) -> MfaAnswer<'a> {
            assert_eq!(serial, "arn:aws:iam::1:mfa/me");
            let answer = self.0.map(|text| Zeroizing::new(text.to_owned()));
            Box::pin(async { answer.ok_or_else(|| std::io::Error::other("nobody is there")) })
        }
    }

    #[tokio::test]
    async fn a_prompt_may_bring_no_code() {
        let profile = "mfa".to_owned();
        let serial = "arn:aws:iam::1:mfa/me".to_owned();
        for (prompt, expected) in [
            (Typed(None), SignInError::MfaNobody { profile: profile.clone(), serial }),
            (Typed(Some(" \n")), SignInError::MfaNone { profile: profile.clone() }),
            (Typed(Some("12 456")), SignInError::MfaNotDigits { profile }),
        ] {
            let aws = aws_in(&Folder::new(), &overriding("mfa"), &[], MFA).await;
            assert_eq!(aws.sign_in(&prompt).await, Err(expected));
        }
    }

    #[tokio::test]
    async fn whoever_gives_credentials_may_be_out_of_reach() {
        let folder = Folder::new();
        let config = "[default]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = keys\nendpoint_url = http://127.0.0.1:1\n\
            [profile keys]\naws_access_key_id = a\naws_secret_access_key = s\n";
        let aws = aws_in(&folder, &Overrides::default(), &[], config).await;
        let error = aws.credentials().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Passing);
        let said = error.to_string();
        assert!(said.starts_with("no AWS credentials: 127.0.0.1 cannot be reached: Connection refused"), "{said}");
    }
}
