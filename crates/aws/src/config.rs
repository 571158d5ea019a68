//! The configuration: region, profile, endpoints, credentials and trust, as the AWS CLI finds them, in one [`Aws`].
//!
//! Overrides come first, then the environment, then the profile. The network is asked for one thing at most: the region
//! of the instance that the program runs on, if nothing else names one. This module must not know which calls are made.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_config::{
    AppName, BehaviorVersion, Region, SdkConfig, identity::IdentityCache, imds, profile::ProfileSet,
    provider_config::ProviderConfig, retry::RetryConfig, stalled_stream_protection::StalledStreamProtectionConfig,
    timeout::TimeoutConfig,
};
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, SharedCredentialsProvider},
};
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_sdk_ssm::{Client, config::Builder};
#[cfg(test)]
use aws_smithy_runtime_api::client::http::HttpClient;
use aws_types::os_shim_internal::Env;

use super::{
    credentials::{CachedCredentials, Login, MfaPrompt, Recipe, SignInError},
    http::Http,
    load_error::{LoadError, Origin},
    overrides::{Limits, Overrides},
    profile_files,
    settings::{INSTANCE_CONNECT, KMS, Profile, SSM, STS, Settings, check_region, check_url, variable},
};
use ssm_net::{Dialer, Trust};

/// The program's name in the `User-Agent` of its requests.
const APP_NAME: &str = "ssm-proxy";
/// The time limit for the instance metadata service. On an instance it answers within milliseconds. Elsewhere nothing
/// answers, and a person waits.
const IMDS_TIMEOUT: Duration = Duration::from_secs(1);

/// The configuration of all calls in one run. Cheap to clone; clones share credentials, connections and trust.
#[derive(Clone)]
pub struct Aws {
    /// The region that sessions are started in and requests are signed for.
    pub region: String,
    /// The SSM API's URL where it is not AWS's own: from overrides, the environment or the profile. If there is one, a
    /// session's stream may be on a host that is not AWS's.
    pub endpoint_override: Option<String>,
    /// The URL that the user has set for streams: its scheme, host and port take the place of those that the API gives.
    pub stream_override: Option<String>,
    /// The URL of EC2 Instance Connect where it is not AWS's own: from the environment or the profile.
    pub(super) instance_connect_endpoint: Option<String>,
    /// The URL of KMS where it is not AWS's own: from the environment or the profile.
    pub(super) kms_endpoint: Option<String>,
    /// The settings that the account depends on: the profile's name first, then the variables that may take its place.
    /// They are for comparing one run with another, and have no secrets.
    pub identity: Vec<String>,
    /// `None` if requests are not signed.
    credentials: Option<Arc<CachedCredentials>>,
    limits: Limits,
    dialer: Dialer,
    sdk: SdkConfig,
}

impl Aws {
    /// Reads the environment and the profile files, each once. Credentials and root certificates are read later, when
    /// they are needed.
    ///
    /// # Errors
    /// Nothing names a region; there is no such profile; a region, a URL or a profile file makes no sense; the
    /// environment has one half of a key pair.
    pub async fn load(overrides: &Overrides) -> Result<Self, LoadError> {
        Self::load_from(overrides, Env::real(), EnvConfigFiles::default()).await
    }

    pub(super) async fn load_from(overrides: &Overrides, env: Env, files: EnvConfigFiles) -> Result<Self, LoadError> {
        let (profile, sections) = load_profile(overrides, &env, &files).await?;
        Self::of(overrides, env, files, profile, sections).await
    }

    /// The same without a profile and without signatures, where [`load`](Self::load) fails: no profile file is read.
    ///
    /// # Errors
    /// Those of [`load`](Self::load) that overrides and the environment alone can give.
    pub async fn load_unsigned(overrides: &Overrides) -> Result<Self, LoadError> {
        Self::load_unsigned_from(overrides, Env::real()).await
    }

    async fn load_unsigned_from(overrides: &Overrides, env: Env) -> Result<Self, LoadError> {
        let overrides = Overrides { profile: None, no_sign_request: true, ..overrides.clone() };
        let profile = Profile::none();
        let files = EnvConfigFiles::builder().with_contents(EnvConfigFileKind::Config, "").build();
        let sections = load_sections(&env, &files, &profile).await?;
        Self::of(&overrides, env, files, profile, sections).await
    }

    async fn of(
        overrides: &Overrides,
        env: Env,
        files: EnvConfigFiles,
        profile: Profile,
        sections: ProfileSet,
    ) -> Result<Self, LoadError> {
        let settings = Settings { env: &env, sections: &sections };
        let endpoints = Endpoints::read(&settings, overrides)?;
        let dialer = Dialer::new(Arc::new(Trust::new(settings.trust_source(overrides))));
        let sending = Sending::read(&settings, overrides.limits, &dialer);
        let local = sending.local(&dialer);
        let identity = settings.identity(&profile, overrides);
        let region = find_region(&settings, overrides, &profile, &local).await?;
        let sdk = sending.sdk(&region);
        let login = Login::of(&profile.name, &sections);
        let recipe = Recipe {
            provider: sending.provider().with_region(Some(Region::new(region.clone()))),
            sts: sts(&sdk, endpoints.sts),
            imds: (!imds_disabled(&env)).then(|| imds_client(&local)),
            local,
            cached: !overrides.no_credential_cache,
            profile,
            env,
            files,
            sections: Mutex::new(Some(sections)),
        };
        let credentials = (!overrides.no_sign_request).then(|| CachedCredentials::new(recipe, login)).transpose()?;
        let credentials = credentials.map(Arc::new);
        Ok(Self {
            region,
            sdk: calls(&sdk, credentials.clone(), endpoints.ssm.clone()),
            endpoint_override: endpoints.ssm,
            stream_override: endpoints.stream,
            instance_connect_endpoint: endpoints.instance_connect,
            kms_endpoint: endpoints.kms,
            identity,
            credentials,
            limits: overrides.limits,
            dialer,
        })
    }

    /// The credentials to sign with now; `None` if requests are not signed. They are kept until shortly before they
    /// expire, so that an API call and the WebSocket that follows share them.
    ///
    /// # Errors
    /// If there are no credentials, or if their source refuses them or cannot be reached.
    pub async fn credentials(&self) -> Result<Option<Credentials>, SignInError> {
        self.credentials_by(None).await
    }

    /// Finds the credentials ahead of their first use, and keeps them. `prompt` may ask a person for an MFA code, which
    /// no later call does.
    ///
    /// # Errors
    /// Those of [`Self::credentials`].
    pub async fn sign_in(&self, prompt: &dyn MfaPrompt) -> Result<(), SignInError> {
        self.credentials_by(Some(prompt)).await.map(drop)
    }

    async fn credentials_by(&self, prompt: Option<&dyn MfaPrompt>) -> Result<Option<Credentials>, SignInError> {
        let Some(credentials) = &self.credentials else { return Ok(None) };
        credentials.get(prompt).await.map(Some).map_err(|error| credentials.explain(&error))
    }

    /// The source of the credentials, where they can be renewed.
    pub fn login(&self) -> Login {
        self.credentials.as_ref().map_or(Login::Unsigned, |credentials| credentials.login())
    }

    /// Whether requests are signed.
    pub fn signs(&self) -> bool {
        self.credentials.is_some()
    }

    /// The time limits that the user has set.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// The name of the profile in use. A profile named `default` need not exist.
    pub fn profile(&self) -> &str {
        self.identity.first().map_or("default", String::as_str)
    }

    /// The dialer that makes all connections. Root certificates are read when TLS is first needed.
    pub fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    pub(super) fn sdk(&self) -> &SdkConfig {
        &self.sdk
    }

    /// Sends its calls to `http` from now on.
    #[cfg(test)]
    pub(super) fn set_http_client(&mut self, http: impl HttpClient + 'static) {
        self.sdk = self.sdk.to_builder().http_client(http).build();
    }

    pub(super) fn cached_credentials(&self) -> Option<&CachedCredentials> {
        self.credentials.as_deref()
    }

    /// A client of the SSM API.
    pub(super) fn ssm(&self) -> Client {
        let mut config = Builder::from(&self.sdk);
        if !self.signs() {
            config.set_allow_no_auth();
        }
        Client::from_conf(config.build())
    }
}

/// Shows region and endpoint alone: other fields have credentials.
impl fmt::Debug for Aws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aws")
            .field("region", &self.region)
            .field("endpoint_override", &self.endpoint_override)
            .finish_non_exhaustive()
    }
}

/// The URLs that overrides, environment and profile name in place of AWS's own.
struct Endpoints {
    ssm: Option<String>,
    stream: Option<String>,
    instance_connect: Option<String>,
    kms: Option<String>,
    sts: Option<String>,
}

impl Endpoints {
    fn read(settings: &Settings<'_>, overrides: &Overrides) -> Result<Self, LoadError> {
        let ssm = match overrides.endpoint_url.as_deref() {
            Some(url) => Some(check_url(url, Origin::Override("endpoint_url"))?),
            None => settings.endpoint(&SSM)?,
        };
        Ok(Self {
            ssm,
            stream: settings.stream_endpoint(overrides.ssmmessages_endpoint_url.as_deref())?,
            instance_connect: settings.endpoint(&INSTANCE_CONNECT)?,
            kms: settings.endpoint(&KMS)?,
            sts: settings.endpoint(&STS)?,
        })
    }
}

/// How requests are sent, for the SDK's two kinds of configuration.
struct Sending {
    http: Http,
    timeouts: TimeoutConfig,
    use_fips: bool,
    use_dual_stack: bool,
}

impl Sending {
    fn read(settings: &Settings<'_>, limits: Limits, dialer: &Dialer) -> Self {
        Self {
            http: Http::new(dialer.clone()),
            timeouts: limits.timeouts(),
            use_fips: settings.switch("AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint"),
            use_dual_stack: settings.switch("AWS_USE_DUALSTACK_ENDPOINT", "use_dualstack_endpoint"),
        }
    }

    /// For the servers that give credentials to this machine, container or pod. No proxy gets to see their tokens.
    fn local(&self, dialer: &Dialer) -> ProviderConfig {
        self.provider().with_http_client(Http::new(dialer.direct()))
    }

    /// For all who give credentials, without the region.
    fn provider(&self) -> ProviderConfig {
        ProviderConfig::without_region()
            .with_http_client(self.http.clone())
            .with_timeout_config(self.timeouts.clone())
            .with_use_fips(Some(self.use_fips))
            .with_use_dual_stack(Some(self.use_dual_stack))
            .with_behavior_version(Some(BehaviorVersion::latest()))
    }

    /// For API calls, without credentials and endpoint.
    fn sdk(&self, region: &str) -> SdkConfig {
        let mut sdk = SdkConfig::builder();
        sdk.set_app_name(AppName::new(APP_NAME).ok());
        sdk.behavior_version(BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .http_client(self.http.clone())
            .timeout_config(self.timeouts.clone())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            // `CachedCredentials` is the cache; the SDK's own would be a second opinion on what is still fresh.
            .identity_cache(IdentityCache::no_cache())
            .use_fips(self.use_fips)
            .use_dual_stack(self.use_dual_stack)
            .build()
    }
}

/// The configuration of STS, which is repeated as the SDK repeats.
fn sts(sdk: &SdkConfig, endpoint: Option<String>) -> SdkConfig {
    let mut sts = sdk.to_builder().retry_config(RetryConfig::standard());
    sts.set_endpoint_url(endpoint);
    sts.build()
}

/// The configuration of the API calls. The SDK repeats none of them: a StartSession that is sent twice may start two
/// sessions, so each call says for itself what is repeated.
fn calls(sdk: &SdkConfig, credentials: Option<Arc<CachedCredentials>>, endpoint: Option<String>) -> SdkConfig {
    let mut sdk = sdk.to_builder().retry_config(RetryConfig::disabled());
    sdk.set_credentials_provider(credentials.map(|credentials| {
        let provide: Arc<dyn ProvideCredentials> = credentials;
        SharedCredentialsProvider::new(provide)
    }));
    sdk.set_endpoint_url(endpoint);
    sdk.build()
}

/// The region that overrides, environment or profile name; else that of the instance this runs on.
async fn find_region(
    settings: &Settings<'_>,
    overrides: &Overrides,
    profile: &Profile,
    local: &ProviderConfig,
) -> Result<String, LoadError> {
    if let Some(region) = settings.region(overrides.region.as_deref())? {
        return Ok(region);
    }
    match imds_region(local, settings.env).await {
        Some(region) => check_region(region),
        None => Err(no_region(profile, settings.env)),
    }
}

/// The profile in use, and all sections of the profile files.
async fn load_profile(
    overrides: &Overrides,
    env: &Env,
    files: &EnvConfigFiles,
) -> Result<(Profile, ProfileSet), LoadError> {
    let mut profile = Profile::select(overrides.profile.as_deref(), env);
    let mut sections = load_sections(env, files, &profile).await?;
    if let Some(name) = other_case(&profile.name, &sections).map(str::to_owned) {
        profile.name = name;
        sections = load_sections(env, files, &profile).await?;
    }
    if profile.named && profile.name != "default" && sections.get_profile(&profile.name).is_none() {
        return Err(no_such_profile(&profile.name, &sections, env));
    }
    Ok((profile, sections))
}

async fn load_sections(env: &Env, files: &EnvConfigFiles, profile: &Profile) -> Result<ProfileSet, LoadError> {
    profile_files::read(env, files, &profile.name)
        .await
        .map_err(|error| LoadError::ProfileFiles { why: error.to_string(), file: config_file(env) })
}

/// The only profile with this name in another case, if no profile has the very name: ssh writes `%h`, and a profile's
/// name in it, in lower case.
fn other_case<'a>(name: &str, sections: &'a ProfileSet) -> Option<&'a str> {
    if sections.get_profile(name).is_some() {
        return None;
    }
    let mut alike = sections.profiles().filter(|known| known.eq_ignore_ascii_case(name));
    alike.next().filter(|_| alike.next().is_none())
}

fn imds_disabled(env: &Env) -> bool {
    variable(env, "AWS_EC2_METADATA_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// A client of the metadata service that asks once, and for a second at most: a laptop has no such service.
fn imds_client(provider: &ProviderConfig) -> imds::Client {
    imds::Client::builder()
        .configure(provider)
        .max_attempts(1)
        .connect_timeout(IMDS_TIMEOUT)
        .read_timeout(IMDS_TIMEOUT)
        .build()
}

/// The region of the EC2 instance that the program runs on, if that is one.
async fn imds_region(provider: &ProviderConfig, env: &Env) -> Option<String> {
    if imds_disabled(env) {
        return None;
    }
    let client = imds::region::ImdsRegionProvider::builder().imds_client(imds_client(provider)).build();
    let region = tokio::time::timeout(IMDS_TIMEOUT, client.region()).await.ok()??;
    Some(region.as_ref().to_owned())
}

/// The config file's path.
fn config_file(env: &Env) -> String {
    let default = || dirs::home_dir().map(|home| home.join(".aws/config").display().to_string());
    variable(env, "AWS_CONFIG_FILE").or_else(default).unwrap_or_else(|| "~/.aws/config".to_owned())
}

fn no_region(profile: &Profile, env: &Env) -> LoadError {
    LoadError::NoRegion { profile: profile.name.clone(), file: config_file(env) }
}

fn no_such_profile(name: &str, sections: &ProfileSet, env: &Env) -> LoadError {
    let mut known: Vec<String> = sections.profiles().map(str::to_owned).collect();
    known.sort_unstable();
    LoadError::NoSuchProfile { name: name.to_owned(), known, file: config_file(env) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::Folder;

    const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "AKIDENV"), ("AWS_SECRET_ACCESS_KEY", "secret")];
    const NO_IMDS: (&str, &str) = ("AWS_EC2_METADATA_DISABLED", "true");

    async fn load(overrides: &Overrides, env: &[(&str, &str)], config: &str) -> Result<Aws, LoadError> {
        let folder = Folder::new();
        let env: Vec<_> = env.iter().copied().chain([NO_IMDS]).collect();
        Aws::load_from(overrides, Env::from_slice(&env), folder.profile_files(config, "")).await
    }

    fn profile(name: &str) -> Overrides {
        Overrides { profile: Some(name.to_owned()), ..Overrides::default() }
    }

    #[tokio::test]
    async fn without_a_profile_none_has_to_be_there() {
        let folder = Folder::new();
        let broken = folder.write("broken", "[default\nregion=x\n").display().to_string();
        let env = [("AWS_PROFILE", "nobody"), ("AWS_CONFIG_FILE", &*broken), KEYS[0], NO_IMDS];
        let overrides = Overrides { region: Some("eu-west-3".to_owned()), ..profile("nobody") };
        let aws = Aws::load_unsigned_from(&overrides, Env::from_slice(&env)).await.unwrap();
        assert_eq!((aws.region.as_str(), aws.signs(), aws.profile()), ("eu-west-3", false, "default"));
    }

    #[tokio::test]
    async fn the_region_comes_from_overrides_then_environment_then_profile() {
        let own = Overrides { region: Some("eu-west-3".to_owned()), ..Overrides::default() };
        let none = Overrides::default();
        let config = "[default]\nregion = eu-north-1\n[profile prod]\nregion = us-gov-west-1\n";
        let both = [("AWS_REGION", "eu-west-1"), ("AWS_DEFAULT_REGION", "eu-west-2")];
        let blank = [("AWS_REGION", " "), ("AWS_DEFAULT_REGION", "eu-west-2")];
        for (overrides, env, expected) in [
            (&own, &both[..], "eu-west-3"),
            (&none, &both, "eu-west-1"),
            (&none, &blank, "eu-west-2"),
            (&none, &[], "eu-north-1"),
            (&profile("prod"), &[], "us-gov-west-1"),
            (&none, &[("AWS_PROFILE", "prod")], "us-gov-west-1"),
            (&none, &[("AWS_DEFAULT_PROFILE", "prod")], "us-gov-west-1"),
            (&none, &[("AWS_PROFILE", "prod"), ("AWS_DEFAULT_PROFILE", "default")], "us-gov-west-1"),
            (&profile("default"), &[("AWS_PROFILE", "prod")], "eu-north-1"),
        ] {
            assert_eq!(load(overrides, env, config).await.unwrap().region, expected, "{env:?}");
        }
    }

    #[tokio::test]
    async fn without_a_region_profile_and_file_are_named() {
        let env = [("AWS_CONFIG_FILE", "/home/me/.aws/config"), KEYS[0], KEYS[1]];
        let file = "/home/me/.aws/config".to_owned();
        for (overrides, name) in [(Overrides::default(), "default"), (profile("prod"), "prod")] {
            let error = load(&overrides, &env, "[profile prod]\n").await.unwrap_err();
            assert_eq!(error, LoadError::NoRegion { profile: name.to_owned(), file: file.clone() });
        }
    }

    #[tokio::test]
    async fn a_region_is_a_host_label() {
        for region in ["eu west 1", "evil.example.com/", "eu-west-1.evil.example", "é"] {
            let error = load(&Overrides::default(), &[("AWS_REGION", region)], "").await.unwrap_err();
            assert_eq!(error, LoadError::NotARegion(region.to_owned()));
        }
    }

    #[tokio::test]
    async fn an_unknown_profile_is_answered_with_the_known_ones() {
        let config = "[default]\nregion = eu-west-1\n[profile staging]\n[profile prod]\n";
        let env = [("AWS_CONFIG_FILE", "/home/me/.aws/config"), ("AWS_PROFILE", "prdo")];
        for (overrides, env) in [(profile("prdo"), &env[..1]), (Overrides::default(), &env)] {
            let error = load(&overrides, env, config).await.unwrap_err();
            let known = ["default", "prod", "staging"].map(str::to_owned).to_vec();
            let file = "/home/me/.aws/config".to_owned();
            assert_eq!(error, LoadError::NoSuchProfile { name: "prdo".to_owned(), known, file });
        }
    }

    #[tokio::test]
    async fn a_profile_is_found_in_another_case_if_that_is_clear() {
        let config = "[profile Prod.Admin]\nregion = eu-north-1\n[profile prod]\nregion = eu-west-1\n\
            [profile PROD]\nregion = eu-west-2\n";
        for (name, region) in [("prod.admin", "eu-north-1"), ("prod", "eu-west-1"), ("PROD", "eu-west-2")] {
            assert_eq!(load(&profile(name), &KEYS, config).await.unwrap().region, region, "{name}");
        }
        let error = load(&profile("Prod"), &KEYS, config).await.unwrap_err();
        assert_eq!(error.to_string(), "there is no AWS profile \"Prod\"", "two are equally near");
    }

    #[tokio::test]
    async fn what_the_account_depends_on_tells_accounts_apart() {
        let config = "[profile a]\nregion = eu-west-1\n[profile b]\nregion = eu-west-1\n";
        let other_key = [("AWS_ACCESS_KEY_ID", "AKIDOTHER"), KEYS[1]];
        let other_file = [("AWS_CONFIG_FILE", "/other"), KEYS[0], KEYS[1]];
        let region = Overrides { region: Some("eu-west-1".to_owned()), ..Overrides::default() };
        let unsigned = Overrides { no_sign_request: true, ..region.clone() };
        let mut identities = Vec::new();
        for (overrides, env) in [
            (&region, &KEYS[..]),
            (&unsigned, &KEYS),
            (&region, &other_key),
            (&region, &other_file),
            (&profile("a"), &KEYS),
            (&profile("b"), &KEYS),
        ] {
            identities.push(load(overrides, env, config).await.unwrap().identity);
        }
        let count = identities.len();
        identities.sort();
        identities.dedup();
        assert_eq!(identities.len(), count);
        let overriding = load(&profile("a"), &other_key, config).await.unwrap().identity;
        assert!(identities.contains(&overriding), "a profile that overrides wins over keys in the environment");
    }

    #[tokio::test]
    async fn default_need_not_exist() {
        let env = [("AWS_PROFILE", "default"), ("AWS_REGION", "eu-west-1"), KEYS[0], KEYS[1]];
        assert!(load(&Overrides::default(), &env, "").await.is_ok());
    }

    #[tokio::test]
    async fn a_malformed_profile_file_is_named() {
        let error = load(&Overrides::default(), &[], "[default\nregion=x\n").await.unwrap_err();
        let said = error.to_string();
        assert!(said.starts_with("the profile files cannot be read: ") && !said.contains('\n'), "{error:?}");
    }

    #[tokio::test]
    async fn the_endpoint_comes_from_overrides_then_environment_then_profile() {
        let own = Overrides { endpoint_url: Some("http://own:1".to_owned()), ..Overrides::default() };
        let none = Overrides::default();
        let config = "[default]\nregion = eu-west-1\nendpoint_url = https://profile\n\
            [profile s]\nregion = eu-west-1\nservices = s\nendpoint_url = https://profile\n\
            [services s]\nssm =\n  endpoint_url = https://service\n";
        let both = [("AWS_ENDPOINT_URL_SSM", "http://ssm:1"), ("AWS_ENDPOINT_URL", "http://all:1")];
        let ignore = ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true");
        for (overrides, env, expected) in [
            (&own, &both[..], Some("http://own:1")),
            (&own, &[ignore], Some("http://own:1")),
            (&none, &both, Some("http://ssm:1")),
            (&none, &both[1..], Some("http://all:1")),
            (&none, &[("AWS_ENDPOINT_URL_SSM", " "), both[1]], Some("http://all:1")),
            (&none, &[], Some("https://profile")),
            (&profile("s"), &[], Some("https://service")),
            (&none, &[ignore, both[0]], None),
        ] {
            let aws = load(overrides, env, config).await.unwrap();
            assert_eq!(aws.endpoint_override.as_deref(), expected, "{env:?}");
            assert_eq!(aws.sdk().endpoint_url(), expected, "{env:?}");
            assert_eq!(aws.sdk().app_name().unwrap().as_ref(), APP_NAME);
        }
    }

    #[tokio::test]
    async fn instance_connect_has_an_endpoint_of_its_own() {
        let own = Overrides { endpoint_url: Some("http://own:1".to_owned()), ..Overrides::default() };
        let config = "[default]\nregion = eu-west-1\nservices = s\n\
            [services s]\nec2_instance_connect =\n  endpoint_url = https://service\n";
        for (env, config, expected) in [
            (
                &[("AWS_ENDPOINT_URL_EC2_INSTANCE_CONNECT", "http://eic:1"), ("AWS_ENDPOINT_URL", "http://all:1")][..],
                config,
                Some("http://eic:1"),
            ),
            (
                &[("AWS_ENDPOINT_URL_SSM", "http://ssm:1"), ("AWS_ENDPOINT_URL", "http://all:1")],
                config,
                Some("http://all:1"),
            ),
            (&[], config, Some("https://service")),
            (&[("AWS_REGION", "eu-west-1"), ("AWS_ENDPOINT_URL_SSM", "http://ssm:1")], "", None),
        ] {
            let aws = load(&own, env, config).await.unwrap();
            assert_eq!(aws.instance_connect_endpoint.as_deref(), expected, "{env:?}");
        }
    }

    #[tokio::test]
    async fn kms_has_an_endpoint_of_its_own() {
        let own = Overrides { endpoint_url: Some("http://own:1".to_owned()), ..Overrides::default() };
        let config = "[default]\nregion = eu-west-1\nservices = s\nendpoint_url = https://profile\n\
            [profile plain]\nregion = eu-west-1\nendpoint_url = https://profile\n\
            [services s]\nkms =\n  endpoint_url = https://service\n";
        let plain = Overrides { profile: Some("plain".to_owned()), ..own.clone() };
        let region = ("AWS_REGION", "eu-west-1");
        let both = [("AWS_ENDPOINT_URL_KMS", "http://kms:1"), ("AWS_ENDPOINT_URL", "http://all:1")];
        let ignore = ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true");
        for (overrides, env, config, expected) in [
            (&own, &both[..], config, Some("http://kms:1")),
            (&own, &both[1..], config, Some("http://all:1")),
            (&own, &[], config, Some("https://service")),
            (&plain, &[], config, Some("https://profile")),
            (&own, &[ignore, both[0]], config, None),
            (&own, &[region, ("AWS_ENDPOINT_URL_SSM", "http://ssm:1")], "", None),
        ] {
            let aws = load(overrides, env, config).await.unwrap();
            assert_eq!(aws.kms_endpoint.as_deref(), expected, "{env:?}");
            assert_eq!(aws.endpoint_override.as_deref(), Some("http://own:1"));
        }
    }

    #[tokio::test]
    async fn an_endpoint_must_be_a_url() {
        for url in ["ssm.example.com", "ftp://ssm", "https://", "https://user:hunter2@ssm", "http://a b"] {
            let env = [("AWS_ENDPOINT_URL_SSM", url), ("AWS_REGION", "eu-west-1")];
            let error = load(&Overrides::default(), &env, "").await.unwrap_err();
            assert_eq!(error, LoadError::NotAUrl(Origin::Variable("AWS_ENDPOINT_URL_SSM")), "{url}");
        }
    }

    #[tokio::test]
    async fn messages_name_the_host_of_the_partition() {
        for (region, host) in [
            ("eu-west-1", "ssm.eu-west-1.amazonaws.com"),
            ("cn-north-1", "ssm.cn-north-1.amazonaws.com.cn"),
            ("us-gov-west-1", "ssm.us-gov-west-1.amazonaws.com"),
        ] {
            let aws = load(&Overrides::default(), &[("AWS_REGION", region)], "").await.unwrap();
            assert_eq!(aws.api_host().await, host);
        }
        let env = [("AWS_REGION", "eu-west-1"), ("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")];
        assert_eq!(load(&Overrides::default(), &env, "").await.unwrap().api_host().await, "127.0.0.1");
    }

    #[tokio::test]
    async fn switches_of_the_profile_reach_the_sdk() {
        let config = "[default]\nregion = eu-west-1\nuse_fips_endpoint = true\nuse_dualstack_endpoint = TRUE\n";
        let aws = load(&Overrides::default(), &[], config).await.unwrap();
        assert_eq!((aws.sdk().use_fips(), aws.sdk().use_dual_stack()), (Some(true), Some(true)));
        assert_eq!(aws.api_host().await, "ssm-fips.eu-west-1.api.aws");
    }
}
