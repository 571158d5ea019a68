//! Whose credentials sign: the environment's, or those at the end of the profile's chain, kept until shortly before
//! they expire.
//!
//! It must not know what is signed with them.

mod assume_role;
mod cache;
mod chain;
mod mfa;
mod reasons;
mod search;

use std::time::{Duration, SystemTime};

use aws_config::profile::{Profile as Section, ProfileSet};
use aws_credential_types::{
    Credentials,
    provider::{self, ProvideCredentials, error::CredentialsError, future},
};
use aws_types::os_shim_internal::Env;
use tokio::sync::Mutex;

pub(super) use self::{
    mfa::Asking,
    search::{Recipe, read_profiles},
};
use super::{
    fault::{cause, find, unreachable},
    settings::variable,
};
use crate::error::{Error, ExitStatus};

/// For all that finding credentials takes. A `credential_process` may be asking the person for a code or showing a
/// browser's login page: that is a matter of minutes.
const FETCH_TIMEOUT: Duration = Duration::from_secs(180);
/// How long before they expire credentials are fetched anew: more than any clock is wrong that AWS tolerates (5
/// minutes), so that a signature never arrives with expired ones.
const RENEW_AHEAD: Duration = Duration::from_secs(5 * 60);
/// How long credentials without an expiry are kept. Tools rotate temporary keys in the credentials file, which has no
/// place for an expiry; a reconnect an hour later must see the new ones.
const UNDATED_LIFETIME: Duration = Duration::from_secs(15 * 60);
/// How many `source_profile` steps are followed to find out how the user signs in: more than anyone has.
const MAX_PROFILE_STEPS: usize = 8;

/// The profile in use.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Profile {
    pub(super) name: String,
    /// Flag or environment name it: it has to exist.
    pub(super) named: bool,
    /// The flag names it: it wins over credentials in the environment.
    pub(super) flagged: bool,
}

impl Profile {
    pub(super) fn select(flag: Option<&str>, env: &Env) -> Self {
        let from_env = || variable(env, "AWS_PROFILE").or_else(|| variable(env, "AWS_DEFAULT_PROFILE"));
        let name = flag.map(str::to_owned).or_else(from_env);
        let named = name.is_some();
        Self { name: name.unwrap_or_else(|| "default".to_owned()), named, flagged: flag.is_some() }
    }
}

/// What the user can do when a profile's credentials are not to be had.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Login {
    /// Through IAM Identity Center, configured in this profile.
    Sso(String),
    /// By `aws login`, in this profile.
    Console(String),
    /// By what this profile has, the last of the chain: keys, a process; nothing that one command renews.
    Other(String),
}

/// The credentials in use, fetched when first needed and anew when they grow old.
#[derive(Debug)]
pub(super) struct CachedCredentials {
    source: Source,
    login: Login,
    held: Mutex<Option<Held>>,
}

#[derive(Debug)]
enum Source {
    /// Keys in the environment: a process's environment does not change, so neither do they.
    Environment(Credentials),
    Chain(Box<Recipe>),
}

#[derive(Debug)]
struct Held {
    credentials: Credentials,
    renew_at: SystemTime,
}

impl CachedCredentials {
    /// # Errors
    /// Status 77 if the environment has one half of a key pair.
    pub(super) fn new(recipe: Recipe, login: Login) -> Result<Self, Error> {
        let from_env = if recipe.profile.flagged { None } else { environment_keys(&recipe.env)? };
        let source = match from_env {
            Some(credentials) => Source::Environment(credentials),
            None => Source::Chain(Box::new(recipe)),
        };
        Ok(Self { source, login, held: Mutex::new(None) })
    }

    /// The credentials to sign with now.
    pub(super) async fn get(&self, asking: Asking) -> provider::Result {
        let recipe = match &self.source {
            Source::Environment(credentials) => return Ok(credentials.clone()),
            Source::Chain(recipe) => recipe,
        };
        // Held across the fetch: whoever asks meanwhile gets what this fetch brings.
        let mut held = self.held.lock().await;
        let now = SystemTime::now();
        if let Some(held) = held.as_ref().filter(|held| now < held.renew_at) {
            return Ok(held.credentials.clone());
        }
        let fetched = match tokio::time::timeout(FETCH_TIMEOUT, recipe.fetch(asking)).await {
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

    /// Lets go of what is held: AWS says that it has expired.
    pub(super) async fn forget(&self) {
        let held = self.held.lock().await.take();
        if let (Source::Chain(recipe), Some(held)) = (&self.source, held) {
            recipe.forget(&held.credentials).await;
        }
    }

    /// What to tell the user when [`Self::get`] fails.
    pub(super) fn explain(&self, error: &CredentialsError) -> Error {
        if let Some(error) = find::<Error>(error) {
            return error.clone();
        }
        let nothing_found = matches!(error, CredentialsError::CredentialsNotLoaded(_));
        // Of all the places to look, an instance's metadata service comes last: that it does not answer is no news.
        if let Some(message) = unreachable(error).filter(|_| !nothing_found) {
            let hint = "check the network; behind a proxy, set HTTPS_PROXY";
            return Error::new(ExitStatus::TryAgain, format!("no AWS credentials: {message}"), hint);
        }
        let profile = match &self.source {
            Source::Environment(_) => "the environment",
            Source::Chain(recipe) => &recipe.profile.name,
        };
        let message = match error {
            CredentialsError::CredentialsNotLoaded(_) => format!("profile {profile} has no AWS credentials"),
            CredentialsError::ProviderTimedOut(_) => {
                format!("profile {profile}: no credentials after {} s", FETCH_TIMEOUT.as_secs())
            }
            error => format!("profile {profile} gives no AWS credentials: {}", cause(error)),
        };
        Error::new(ExitStatus::Denied, message, self.hint())
    }

    /// What makes these credentials good again.
    pub(super) fn hint(&self) -> String {
        match (&self.source, &self.login) {
            (Source::Environment(_), _) => {
                "renew AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or name a profile with --profile"
                    .to_owned()
            }
            (_, Login::Sso(profile)) => format!("aws sso login{}", profile_flag(profile)),
            (_, Login::Console(profile)) => format!("aws login{}", profile_flag(profile)),
            (Source::Chain(recipe), Login::Other(last)) => format!(
                "aws sts get-caller-identity{} tells what is wrong, aws configure{} sets keys",
                profile_flag(&recipe.profile.name),
                profile_flag(last)
            ),
        }
    }
}

impl ProvideCredentials for CachedCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.get(Asking::Never))
    }
}

impl Login {
    /// How the owner of `profile` signs in, as far as the chain of `source_profile` tells.
    pub(super) fn of(profile: &str, sections: &ProfileSet) -> Self {
        let mut name = profile;
        for _ in 0..MAX_PROFILE_STEPS {
            let Some(section) = sections.get_profile(name) else { break };
            let has = |key| Section::get(section, key).is_some();
            if has("sso_session") || has("sso_start_url") {
                return Self::Sso(name.to_owned());
            }
            if has("login_session") {
                return Self::Console(name.to_owned());
            }
            match section.get("source_profile") {
                Some(next) if next != name => name = next,
                _ => break,
            }
        }
        Self::Other(name.to_owned())
    }
}

/// How a command names the profile, after a space; nothing for the default.
fn profile_flag(profile: &str) -> String {
    match profile {
        "default" => String::new(),
        profile => format!(" --profile {profile}"),
    }
}

fn renew_at(credentials: &Credentials, now: SystemTime) -> SystemTime {
    match credentials.expiry() {
        // Never more than half of what is left, or short-lived ones would be fetched for every use.
        Some(expiry) => {
            let left = expiry.duration_since(now).unwrap_or_default();
            now + left.saturating_sub(RENEW_AHEAD.min(left / 2))
        }
        None => now + UNDATED_LIFETIME,
    }
}

fn environment_keys(env: &Env) -> Result<Option<Credentials>, Error> {
    let id = variable(env, "AWS_ACCESS_KEY_ID");
    let secret = variable(env, "AWS_SECRET_ACCESS_KEY");
    let token = variable(env, "AWS_SESSION_TOKEN").or_else(|| variable(env, "AWS_SECURITY_TOKEN"));
    let half = |set: &str, missing: &str| {
        let message = format!("{set} is set, but {missing} is not");
        Error::new(ExitStatus::Denied, message, format!("set {missing} too, or unset {set} to use a profile"))
    };
    match (id, secret) {
        (Some(id), Some(secret)) => Ok(Some(Credentials::new(id, secret, token, None, "environment"))),
        (Some(_), None) => Err(half("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")),
        (None, Some(_)) => Err(half("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID")),
        (None, None) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::{
        Aws, Overrides,
        test_support::{Folder, aws_in},
    };

    const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "AKIDENV"), ("AWS_SECRET_ACCESS_KEY", "secret")];

    fn flag(profile: &str) -> Overrides {
        Overrides { profile: Some(profile.to_owned()), ..Overrides::default() }
    }

    async fn key_id(aws: &Aws) -> String {
        aws.credentials().await.unwrap().unwrap().access_key_id().to_owned()
    }

    #[tokio::test]
    async fn a_flagged_profile_wins_over_keys_in_the_environment() {
        let folder = Folder::new();
        let config = "[profile prod]\naws_access_key_id = AKIDPROD\naws_secret_access_key = s\n\
            [default]\naws_access_key_id = AKIDDEFAULT\naws_secret_access_key = s\n";
        let env = [KEYS[0], KEYS[1], ("AWS_PROFILE", "prod")];
        for (overrides, env, expected) in [
            (flag("prod"), &env[..], "AKIDPROD"),
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

    #[test]
    fn half_a_key_pair_is_an_error() {
        for (set, missing) in
            [("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID")]
        {
            let error = environment_keys(&Env::from_slice(&[(set, "x")])).unwrap_err();
            assert_eq!(
                (error.status, error.message),
                (ExitStatus::Denied, format!("{set} is set, but {missing} is not"))
            );
        }
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
    async fn each_way_to_sign_in_has_its_remedy() {
        let sso = "sso_session = corp\nsso_account_id = 1\nsso_role_name = r\n\
            [sso-session corp]\nsso_region = eu-west-1\nsso_start_url = https://corp.awsapps.com/start\n";
        for (config, message, hint) in [
            ("".to_owned(), "profile default has no AWS credentials", "aws sts get-caller-identity tells"),
            (
                format!("[default]\n{sso}"),
                "profile default: the login at IAM Identity Center is missing",
                "aws sso login",
            ),
            (
                "[default]\ncredential_process = false\n".to_owned(),
                "profile default: its credential_process gives no credentials",
                "run the credential_process of profile default",
            ),
        ] {
            let folder = Folder::new();
            let aws = aws_in(&folder, &Overrides::default(), &[], &config).await;
            let error = aws.credentials().await.unwrap_err();
            assert_eq!(error.status, ExitStatus::Denied);
            assert!(error.message.starts_with(message) && error.hint.starts_with(hint), "{error:?}");
        }
    }

    #[tokio::test]
    async fn the_remedy_names_the_profile_to_sign_in_with() {
        let folder = Folder::new();
        let config = "[profile role]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = base\n\
            [profile base]\nsso_start_url = https://corp.awsapps.com/start\n\
            [profile mfa]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = keys\nmfa_serial = arn:aws:iam::1:mfa/me\n\
            [profile console]\nlogin_session = arn:aws:iam::1:user/me\n\
            [profile keys]\naws_access_key_id = a\naws_secret_access_key = s\n\
            [profile loop]\nsource_profile = pool\n[profile pool]\nsource_profile = loop\n";
        for (profile, hint) in [
            ("role", "aws sso login --profile base"),
            ("console", "aws login --profile console"),
            (
                "mfa",
                "aws sts get-caller-identity --profile mfa tells what is wrong, aws configure --profile keys sets keys",
            ),
            (
                "keys",
                "aws sts get-caller-identity --profile keys tells what is wrong, aws configure --profile keys sets keys",
            ),
            (
                "loop",
                "aws sts get-caller-identity --profile loop tells what is wrong, aws configure --profile loop sets keys",
            ),
        ] {
            assert_eq!(aws_in(&folder, &flag(profile), &[], config).await.credentials_hint(), hint);
        }
    }

    #[tokio::test]
    async fn nobody_is_asked_for_a_code_once_a_session_may_be_up() {
        let folder = Folder::new();
        let config = "[profile mfa]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = keys\nmfa_serial = arn:aws:iam::1:mfa/me\n\
            [profile keys]\naws_access_key_id = a\naws_secret_access_key = s\n";
        let aws = aws_in(&folder, &flag("mfa"), &[], config).await;
        let error = aws.credentials().await.unwrap_err();
        assert_eq!(error.status, ExitStatus::Denied);
        assert_eq!(error.message, "profile mfa wants an MFA code again, and the terminal is in use");
        assert_eq!(
            error.hint,
            "aws sts get-caller-identity --profile mfa in another terminal asks for it; a longer duration_seconds puts \
             that off"
        );
    }

    #[tokio::test]
    async fn whoever_gives_credentials_may_be_out_of_reach() {
        let folder = Folder::new();
        let config = "[default]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = keys\nendpoint_url = http://127.0.0.1:1\n\
            [profile keys]\naws_access_key_id = a\naws_secret_access_key = s\n";
        let aws = aws_in(&folder, &Overrides::default(), &[], config).await;
        let error = aws.credentials().await.unwrap_err();
        assert_eq!(error.status, ExitStatus::TryAgain);
        assert!(
            error.message.starts_with("no AWS credentials: 127.0.0.1 cannot be reached: Connection refused"),
            "{error:?}"
        );
    }
}
