//! Region, profile, endpoint, credentials and trust, as the AWS CLI finds them, in one [`Aws`].
//!
//! The command line comes first, then the environment, then the profile. It must not know what is asked of AWS, and
//! it asks the network one thing at most: the region of the machine it runs on, if nothing else names one.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_config::{
    AppName, BehaviorVersion, Region, SdkConfig, identity::IdentityCache, imds, profile::ProfileSet,
    provider_config::ProviderConfig, retry::RetryConfig, stalled_stream_protection::StalledStreamProtectionConfig,
};
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, SharedCredentialsProvider},
};
use aws_runtime::env_config::file::EnvConfigFiles;
use aws_sdk_ssm::{
    Client,
    config::{
        Builder,
        endpoint::{DefaultResolver, Params, ResolveEndpoint},
    },
};
use aws_types::os_shim_internal::Env;

use super::{
    credentials::{Asking, CachedCredentials, Login, Profile, Recipe, read_profiles},
    http::{Http, host_of},
    overrides::{Limits, Overrides},
    settings::{INSTANCE_CONNECT, SSM, STS, Settings, check_region, check_url, variable},
};
use crate::error::{Error, ExitStatus};
use crate::net::{Address, Dialer, Trust};

/// For the instance metadata service. Where there is one it answers within milliseconds; elsewhere nobody answers, and
/// a person waits.
const IMDS_TIMEOUT: Duration = Duration::from_secs(1);

/// All that is known about talking to AWS in this run. Cheap to clone; clones share the credentials and the roots.
#[derive(Clone)]
pub struct Aws {
    /// The region that sessions are started in and requests are signed for.
    pub region: String,
    /// The SSM API's URL where it is not AWS's own: from the command line, the environment or the profile. Only with
    /// one may a stream be on a host that is not AWS's.
    pub endpoint_override: Option<String>,
    /// The URL whose scheme, host and port take the place of the stream's, if the user set one.
    pub stream_override: Option<String>,
    /// The URL of EC2 Instance Connect where it is not AWS's own: from the environment or the profile.
    pub(super) instance_connect_endpoint: Option<String>,
    /// What the account depends on: the profile first, and what the environment says in its place. Texts to compare, none of
    /// them secret and none for show.
    pub identity: Vec<String>,
    /// None if requests are not to be signed.
    credentials: Option<Arc<CachedCredentials>>,
    limits: Limits,
    dialer: Dialer,
    sdk: SdkConfig,
}

impl Aws {
    /// Reads the environment and the profile files, each once. No credentials are fetched and no root certificates
    /// read yet.
    ///
    /// # Errors
    /// Status 78: no region anywhere, no such profile, a profile file or a URL that makes no sense. Status 77:
    /// one half of a key pair in the environment.
    pub async fn load(overrides: &Overrides) -> Result<Self, Error> {
        Self::load_from(overrides, Env::real(), EnvConfigFiles::default()).await
    }

    pub(super) async fn load_from(overrides: &Overrides, env: Env, files: EnvConfigFiles) -> Result<Self, Error> {
        let mut profile = Profile::select(overrides.profile.as_deref(), &env);
        let mut sections = load_sections(&env, &files, &profile).await?;
        if let Some(name) = other_case(&profile.name, &sections).map(str::to_owned) {
            profile.name = name;
            sections = load_sections(&env, &files, &profile).await?;
        }
        if profile.named && profile.name != "default" && sections.get_profile(&profile.name).is_none() {
            return Err(no_such_profile(&profile.name, &sections, &env));
        }
        let settings = Settings { env: &env, sections: &sections };
        let endpoint_override = match overrides.endpoint_url.as_deref() {
            Some(url) => Some(check_url(url, "--endpoint-url")?),
            None => settings.endpoint(&SSM)?,
        };
        let stream_override = settings.stream_endpoint(overrides.ssmmessages_endpoint_url.as_deref())?;
        let instance_connect_endpoint = settings.endpoint(&INSTANCE_CONNECT)?;
        let sts_endpoint = settings.endpoint(&STS)?;
        let dialer = Dialer::new(Arc::new(Trust::new(settings.trust_source(overrides))));
        let http = Http::new(dialer.clone());
        let timeouts = overrides.limits.timeouts();
        let use_fips = settings.switch("AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint");
        let use_dual_stack = settings.switch("AWS_USE_DUALSTACK_ENDPOINT", "use_dualstack_endpoint");
        let provider = ProviderConfig::without_region()
            .with_http_client(http.clone())
            .with_timeout_config(timeouts.clone())
            .with_use_fips(Some(use_fips))
            .with_use_dual_stack(Some(use_dual_stack))
            .with_behavior_version(Some(BehaviorVersion::latest()));
        // Who gives credentials to this machine, container or pod: its token is for nobody in between.
        let local = provider.clone().with_http_client(Http::new(dialer.direct()));
        let identity = settings.identity(&profile, overrides);
        let region = match settings.region(overrides.region.as_deref())? {
            Some(region) => region,
            None => match imds_region(&local, &env).await {
                Some(region) => check_region(region)?,
                None => return Err(no_region(&profile, &env)),
            },
        };
        let provider = provider.with_region(Some(Region::new(region.clone())));
        let imds = (!imds_disabled(&env)).then(|| imds_client(&local));
        let sdk = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .app_name(AppName::new("ssm-proxy").map_err(|error| {
                Error::new(ExitStatus::Config, format!("the SDK refuses its name: {error}"), "report this as a bug")
            })?)
            .region(Region::new(region.clone()))
            .http_client(http)
            .timeout_config(timeouts)
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            // `CachedCredentials` is the cache; the SDK's own would be a second opinion on what is still fresh.
            .identity_cache(IdentityCache::no_cache())
            .use_fips(use_fips)
            .use_dual_stack(use_dual_stack)
            .build();
        let mut sts = sdk.to_builder().retry_config(RetryConfig::standard());
        sts.set_endpoint_url(sts_endpoint);
        let login = Login::of(&profile.name, &sections);
        let recipe = Recipe {
            profile,
            env,
            files,
            sections: Mutex::new(Some(sections)),
            provider,
            local,
            sts: sts.build(),
            imds,
            cached: !overrides.no_credential_cache,
        };
        let credentials = match overrides.no_sign_request {
            true => None,
            false => Some(Arc::new(CachedCredentials::new(recipe, login)?)),
        };
        // A StartSession that is sent twice may start two sessions: `sessions` alone decides what is repeated.
        let mut sdk = sdk.to_builder().retry_config(RetryConfig::disabled());
        sdk.set_credentials_provider(credentials.clone().map(|credentials| {
            let provide: Arc<dyn ProvideCredentials> = credentials;
            SharedCredentialsProvider::new(provide)
        }));
        sdk.set_endpoint_url(endpoint_override.clone());
        Ok(Self {
            region,
            endpoint_override,
            stream_override,
            instance_connect_endpoint,
            identity,
            credentials,
            limits: overrides.limits,
            dialer,
            sdk: sdk.build(),
        })
    }

    /// The credentials of this moment, for one signature; none if requests are not to be signed. They are kept until
    /// shortly before they expire, so that the API call and the WebSocket that follows it share one resolution.
    ///
    /// # Errors
    /// Status 77 if there are none or they were refused, 75 if whoever gives them cannot be reached.
    pub async fn credentials(&self) -> Result<Option<Credentials>, Error> {
        self.credentials_by(Asking::Never).await
    }

    /// Finds the credentials ahead of their first use, while the person at the terminal may still be asked for an MFA
    /// code. Those that it finds are kept.
    ///
    /// # Errors
    /// As [`Self::credentials`].
    pub async fn sign_in(&self) -> Result<(), Error> {
        self.credentials_by(Asking::Allowed).await.map(drop)
    }

    async fn credentials_by(&self, asking: Asking) -> Result<Option<Credentials>, Error> {
        let Some(credentials) = &self.credentials else { return Ok(None) };
        credentials.get(asking).await.map(Some).map_err(|error| credentials.explain(&error))
    }

    /// What makes the service accept who asks.
    pub fn credentials_hint(&self) -> String {
        match &self.credentials {
            Some(credentials) => credentials.hint(),
            None => "leave --no-sign-request out: AWS takes signed requests alone".to_owned(),
        }
    }

    /// Whether requests are signed.
    pub fn signs(&self) -> bool {
        self.credentials.is_some()
    }

    /// The time limits that the user has set.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// The name of the profile in use; it need not exist if it is `default`.
    pub fn profile(&self) -> &str {
        self.identity.first().map_or("default", String::as_str)
    }

    /// Makes connections; the roots that they trust are read when they are first used.
    pub fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    /// Where the streams of sessions are, as far as that is known before one is started: the host that the user set, or
    /// that of the region. With an API endpoint of the user's own it is not known.
    pub async fn stream_address(&self) -> Option<Address> {
        if let Some(url) = &self.stream_override {
            return Address::of(&url.parse().ok()?);
        }
        if self.endpoint_override.is_some() {
            return None;
        }
        let rest = self.api_host().await.strip_prefix("ssm").filter(|rest| rest.starts_with(['.', '-']))?.to_owned();
        Some(Address { host: format!("ssmmessages{rest}"), port: 443, encrypted: true })
    }

    pub(super) fn sdk(&self) -> &SdkConfig {
        &self.sdk
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

    /// The SSM API's host as a person would look it up; for messages.
    pub(super) async fn api_host(&self) -> String {
        let params = Params::builder()
            .region(self.region.clone())
            .set_use_fips(self.sdk.use_fips())
            .set_use_dual_stack(self.sdk.use_dual_stack())
            .set_endpoint(self.endpoint_override.clone())
            .build();
        let endpoint = match &params {
            Ok(params) => ResolveEndpoint::resolve_endpoint(&DefaultResolver::new(), params).await.ok(),
            Err(_) => None,
        };
        let host = endpoint.as_ref().and_then(|endpoint| host_of(endpoint.url()));
        host.map_or_else(|| format!("SSM in {}", self.region), str::to_owned)
    }
}

/// Region and endpoint alone: what is behind them includes the credentials.
impl fmt::Debug for Aws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aws")
            .field("region", &self.region)
            .field("endpoint_override", &self.endpoint_override)
            .finish_non_exhaustive()
    }
}

async fn load_sections(env: &Env, files: &EnvConfigFiles, profile: &Profile) -> Result<ProfileSet, Error> {
    read_profiles(env, files, &profile.name).await.map_err(|error| {
        let hint = format!("correct {}, or point AWS_CONFIG_FILE at another file", config_file(env));
        Error::new(ExitStatus::Config, format!("the profile files cannot be read: {error}"), hint)
    })
}

/// The one profile that has this name in another case, if none has it as it is: a profile that ssh passes on as part of
/// `%h` comes in lower case.
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

/// A client that asks once and briefly: a laptop has no metadata service, and its owner waits.
fn imds_client(provider: &ProviderConfig) -> imds::Client {
    imds::Client::builder()
        .configure(provider)
        .max_attempts(1)
        .connect_timeout(IMDS_TIMEOUT)
        .read_timeout(IMDS_TIMEOUT)
        .build()
}

/// The region of the EC2 instance this runs on, if it runs on one.
async fn imds_region(provider: &ProviderConfig, env: &Env) -> Option<String> {
    if imds_disabled(env) {
        return None;
    }
    let client = imds::region::ImdsRegionProvider::builder().imds_client(imds_client(provider)).build();
    let region = tokio::time::timeout(IMDS_TIMEOUT, client.region()).await.ok()??;
    Some(region.as_ref().to_owned())
}

/// The config file's name as the user can open it.
fn config_file(env: &Env) -> String {
    let default = || dirs::home_dir().map(|home| home.join(".aws/config").display().to_string());
    variable(env, "AWS_CONFIG_FILE").or_else(default).unwrap_or_else(|| "~/.aws/config".to_owned())
}

fn no_region(profile: &Profile, env: &Env) -> Error {
    let section = match profile.name.as_str() {
        "default" => "[default]".to_owned(),
        name => format!("[profile {name}]"),
    };
    let hint = format!("give --region, set AWS_REGION, or write region = … under {section} in {}", config_file(env));
    Error::new(ExitStatus::Config, "no AWS region is set", hint)
}

/// How many profiles a hint names.
const PROFILES_NAMED: usize = 8;

fn no_such_profile(name: &str, sections: &ProfileSet, env: &Env) -> Error {
    let mut known: Vec<&str> = sections.profiles().collect();
    known.sort_unstable();
    // The nearest first; the sort is stable, so that what is equally near stays in order.
    known.sort_by(|a, b| strsim::jaro_winkler(name, b).total_cmp(&strsim::jaro_winkler(name, a)));
    let more = if known.len() > PROFILES_NAMED { ", …" } else { "" };
    known.truncate(PROFILES_NAMED);
    let file = config_file(env);
    let hint = match known.as_slice() {
        [] => format!("{file} has no profiles; `aws configure --profile {name}` writes one"),
        known => format!("profiles in {file} and the credentials file: {}{more}", known.join(", ")),
    };
    // A profile with dots may be the end of a host name that has a region in its middle.
    let behind =
        if name.contains('.') { "; if it is part of the host's name, write the region behind it again" } else { "" };
    Error::new(ExitStatus::Config, format!("there is no AWS profile {name:?}"), hint + behind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::test_support::Folder;

    const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "AKIDENV"), ("AWS_SECRET_ACCESS_KEY", "secret")];
    const NO_IMDS: (&str, &str) = ("AWS_EC2_METADATA_DISABLED", "true");

    async fn load(overrides: &Overrides, env: &[(&str, &str)], config: &str) -> Result<Aws, Error> {
        let folder = Folder::new();
        let env: Vec<_> = env.iter().copied().chain([NO_IMDS]).collect();
        Aws::load_from(overrides, Env::from_slice(&env), folder.profile_files(config, "")).await
    }

    fn profile(name: &str) -> Overrides {
        Overrides { profile: Some(name.to_owned()), ..Overrides::default() }
    }

    #[tokio::test]
    async fn the_region_comes_from_flag_then_environment_then_profile() {
        let flag = Overrides { region: Some("eu-west-3".to_owned()), ..Overrides::default() };
        let none = Overrides::default();
        let config = "[default]\nregion = eu-north-1\n[profile prod]\nregion = us-gov-west-1\n";
        let both = [("AWS_REGION", "eu-west-1"), ("AWS_DEFAULT_REGION", "eu-west-2")];
        let blank = [("AWS_REGION", " "), ("AWS_DEFAULT_REGION", "eu-west-2")];
        for (overrides, env, expected) in [
            (&flag, &both[..], "eu-west-3"),
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
    async fn no_region_says_where_to_put_one() {
        let env = [("AWS_CONFIG_FILE", "/home/me/.aws/config"), KEYS[0], KEYS[1]];
        let error = load(&Overrides::default(), &env, "").await.unwrap_err();
        assert_eq!((error.status, error.message.as_str()), (ExitStatus::Config, "no AWS region is set"));
        assert_eq!(
            error.hint,
            "give --region, set AWS_REGION, or write region = … under [default] in /home/me/.aws/config"
        );
        let error = load(&profile("prod"), &env, "[profile prod]\n").await.unwrap_err();
        assert!(error.hint.contains("under [profile prod] in"), "{error:?}");
    }

    #[tokio::test]
    async fn a_region_is_a_host_label() {
        for region in ["eu west 1", "evil.example.com/", "eu-west-1.evil.example", "é"] {
            let error = load(&Overrides::default(), &[("AWS_REGION", region)], "").await.unwrap_err();
            assert_eq!(error.status, ExitStatus::Config);
            assert!(error.message.ends_with("is not a region"), "{error:?}");
        }
    }

    #[tokio::test]
    async fn an_unknown_profile_is_answered_with_the_known_ones() {
        let config = "[default]\nregion = eu-west-1\n[profile prod]\n[profile staging]\n";
        let env = [("AWS_CONFIG_FILE", "/home/me/.aws/config"), ("AWS_PROFILE", "prdo")];
        for (overrides, env) in [(profile("prdo"), &env[..1]), (Overrides::default(), &env)] {
            let error = load(&overrides, env, config).await.unwrap_err();
            assert_eq!(error.status, ExitStatus::Config);
            assert_eq!(error.message, "there is no AWS profile \"prdo\"");
            assert_eq!(error.hint, "profiles in /home/me/.aws/config and the credentials file: prod, default, staging");
        }
        let error = load(&profile("x"), &env, "").await.unwrap_err();
        assert!(error.hint.contains("`aws configure --profile x`"), "{error:?}");
        let error = load(&profile("corp.example.com"), &env, config).await.unwrap_err();
        assert!(
            error.hint.ends_with("; if it is part of the host's name, write the region behind it again"),
            "{error:?}"
        );
        let many: String = (0..20).map(|n| format!("[profile p{n}]\n")).collect();
        let error = load(&profile("p7x"), &env, &many).await.unwrap_err();
        assert!(error.hint.contains(": p7, ") && error.hint.ends_with(", …"), "{error:?}");
    }

    #[tokio::test]
    async fn a_profile_is_found_in_another_case_if_that_is_clear() {
        let config = "[profile Prod.Admin]\nregion = eu-north-1\n[profile prod]\nregion = eu-west-1\n\
            [profile PROD]\nregion = eu-west-2\n";
        for (name, region) in [("prod.admin", "eu-north-1"), ("prod", "eu-west-1"), ("PROD", "eu-west-2")] {
            assert_eq!(load(&profile(name), &KEYS, config).await.unwrap().region, region, "{name}");
        }
        let error = load(&profile("Prod"), &KEYS, config).await.unwrap_err();
        assert_eq!(error.message, "there is no AWS profile \"Prod\"", "two are equally near");
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
        let flagged = load(&profile("a"), &other_key, config).await.unwrap().identity;
        assert!(identities.contains(&flagged), "a profile that is named wins over keys in the environment");
    }

    #[tokio::test]
    async fn default_need_not_exist() {
        let env = [("AWS_PROFILE", "default"), ("AWS_REGION", "eu-west-1"), KEYS[0], KEYS[1]];
        assert!(load(&Overrides::default(), &env, "").await.is_ok());
    }

    #[tokio::test]
    async fn a_malformed_profile_file_is_named() {
        let error = load(&Overrides::default(), &[], "[default\nregion=x\n").await.unwrap_err();
        assert_eq!(error.status, ExitStatus::Config);
        assert!(error.message.starts_with("the profile files cannot be read: "), "{error:?}");
        assert!(!error.message.contains('\n'), "{error:?}");
    }

    #[tokio::test]
    async fn the_endpoint_comes_from_flag_then_environment_then_profile() {
        let flag = Overrides { endpoint_url: Some("http://flag:1".to_owned()), ..Overrides::default() };
        let none = Overrides::default();
        let config = "[default]\nregion = eu-west-1\nendpoint_url = https://profile\n\
            [profile s]\nregion = eu-west-1\nservices = s\nendpoint_url = https://profile\n\
            [services s]\nssm =\n  endpoint_url = https://service\n";
        let both = [("AWS_ENDPOINT_URL_SSM", "http://ssm:1"), ("AWS_ENDPOINT_URL", "http://all:1")];
        let ignore = ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true");
        for (overrides, env, expected) in [
            (&flag, &both[..], Some("http://flag:1")),
            (&flag, &[ignore], Some("http://flag:1")),
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
        }
    }

    #[tokio::test]
    async fn instance_connect_has_an_endpoint_of_its_own() {
        let flag = Overrides { endpoint_url: Some("http://flag:1".to_owned()), ..Overrides::default() };
        let config = "[default]\nregion = eu-west-1\nservices = s\n\
            [services s]\nec2_instance_connect =\n  endpoint_url = https://service\n";
        for (env, config, expected) in [
            (
                &[("AWS_ENDPOINT_URL_EC2_INSTANCE_CONNECT", "http://own:1"), ("AWS_ENDPOINT_URL", "http://all:1")][..],
                config,
                Some("http://own:1"),
            ),
            (
                &[("AWS_ENDPOINT_URL_SSM", "http://ssm:1"), ("AWS_ENDPOINT_URL", "http://all:1")],
                config,
                Some("http://all:1"),
            ),
            (&[], config, Some("https://service")),
            (&[("AWS_REGION", "eu-west-1"), ("AWS_ENDPOINT_URL_SSM", "http://ssm:1")], "", None),
        ] {
            let aws = load(&flag, env, config).await.unwrap();
            assert_eq!(aws.instance_connect_endpoint.as_deref(), expected, "{env:?}");
        }
    }

    #[tokio::test]
    async fn an_endpoint_must_be_a_url() {
        for url in ["ssm.example.com", "ftp://ssm", "https://", "https://user:hunter2@ssm", "http://a b"] {
            let env = [("AWS_ENDPOINT_URL_SSM", url), ("AWS_REGION", "eu-west-1")];
            let error = load(&Overrides::default(), &env, "").await.unwrap_err();
            assert_eq!(error.status, ExitStatus::Config, "{url}");
            assert_eq!(error.message, "AWS_ENDPOINT_URL_SSM is no http or https URL with a host");
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
