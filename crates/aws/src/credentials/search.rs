//! The search for credentials: along the profile's chain of roles, then in the container and the instance.
//!
//! A role whose credentials the AWS CLI has cached ends the search early.

use std::{
    future::Future,
    pin::Pin,
    sync::{Mutex, PoisonError},
};

use aws_config::{
    Region,
    ecs::EcsCredentialsProvider,
    imds::{self, credentials::ImdsCredentialsProvider},
    profile::{ProfileFileCredentialsProvider, ProfileSet},
    provider_config::ProviderConfig,
    sso::SsoCredentialsProvider,
    web_identity_token::WebIdentityTokenCredentialsProvider,
};
use aws_credential_types::{
    Credentials,
    provider::{self, ProvideCredentials, error::CredentialsError},
};
use aws_runtime::env_config::file::EnvConfigFiles;
use aws_types::{SdkConfig, os_shim_internal::Env};

use super::{
    assume_role::assume_role,
    cache::{Cache, IssuedCredentials, Issuer, Name},
    chain::{Base, Chain, Role, SsoLogin, SsoRole, value},
    environment::environment_keys,
    error::SignInError,
    mfa::MfaPrompt,
    reasons,
};
use crate::{
    load_error::HalfKeyPair,
    profile_files,
    settings::{Profile, variable},
};

/// The settings of a search for credentials, which may be repeated.
#[derive(Debug)]
pub(in super::super) struct Recipe {
    pub(in super::super) profile: Profile,
    pub(in super::super) env: Env,
    pub(in super::super) files: EnvConfigFiles,
    /// The sections of the profile files, for the first search. Later searches read the files again.
    pub(in super::super) sections: Mutex<Option<ProfileSet>>,
    pub(in super::super) provider: ProviderConfig,
    /// The same without a proxy, for the servers that give credentials to this machine or container.
    pub(in super::super) local: ProviderConfig,
    /// The configuration of STS, without credentials.
    pub(in super::super) sts: SdkConfig,
    /// The client of the metadata service; `None` if that is switched off.
    pub(in super::super) imds: Option<imds::Client>,
    /// Whether the AWS CLI's cache is used.
    pub(in super::super) cached: bool,
}

/// One search.
struct Search<'a> {
    recipe: &'a Recipe,
    sections: &'a ProfileSet,
    cache: Option<Cache>,
    prompt: Option<&'a dyn MfaPrompt>,
}

type Found<'a> = Pin<Box<dyn Future<Output = provider::Result> + Send + 'a>>;

impl Recipe {
    /// Looks for credentials from the start. The SDK's providers are made anew, since they keep what they have read.
    pub(super) async fn fetch(&self, prompt: Option<&dyn MfaPrompt>) -> provider::Result {
        let sections = self.sections().await?;
        let chain = self.chain(&sections)?;
        let search = Search { recipe: self, sections: &sections, cache: self.cache(), prompt };
        if !chain.roles.is_empty() {
            return search.along(&chain.base, &chain.roles).await;
        }
        if self.has_web_identity() {
            let provider = WebIdentityTokenCredentialsProvider::builder().configure(&self.provider).build();
            if let Some(answer) = loaded(provider.provide_credentials().await) {
                return answer;
            }
        }
        if let Some(answer) = loaded(search.base(&chain.base).await) {
            return answer;
        }
        if self.container_setting().is_some()
            && let Some(answer) = loaded(self.container().await)
        {
            return answer;
        }
        self.instance_metadata().await
    }

    /// Removes these credentials, which AWS no longer accepts, from the AWS CLI's cache.
    pub(super) async fn forget(&self, credentials: &Credentials) {
        let Some(cache) = self.cache() else { return };
        let Ok(sections) = self.sections().await else { return };
        if let Some(name) = self.chain(&sections).ok().as_ref().and_then(Name::of_chain) {
            cache.forget(&name, credentials.access_key_id());
        }
    }

    async fn sections(&self) -> Result<ProfileSet, CredentialsError> {
        let known = self.sections.lock().unwrap_or_else(PoisonError::into_inner).take();
        match known {
            Some(sections) => Ok(sections),
            None => profile_files::read(&self.env, &self.files, &self.profile.name)
                .await
                .map_err(CredentialsError::invalid_configuration),
        }
    }

    fn chain(&self, sections: &ProfileSet) -> Result<Chain, CredentialsError> {
        Chain::of(&self.profile.name, sections)
            .map_err(|error| CredentialsError::provider_error(SignInError::from(error)))
    }

    fn cache(&self) -> Option<Cache> {
        let home = variable(&self.env, if cfg!(windows) { "USERPROFILE" } else { "HOME" });
        home.filter(|_| self.cached).map(|home| Cache::of_aws_cli(home.as_ref()))
    }

    /// Whether the environment names a web identity's token. A profile that overrides name wins over it, as over keys.
    fn has_web_identity(&self) -> bool {
        !self.profile.overriding && variable(&self.env, "AWS_WEB_IDENTITY_TOKEN_FILE").is_some()
    }

    /// The variable with the address of a container's credentials. If both are set the first counts, as with the SDK.
    fn container_setting(&self) -> Option<&'static str> {
        ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"]
            .into_iter()
            .find(|name| variable(&self.env, name).is_some())
    }

    async fn container(&self) -> provider::Result {
        let answer = EcsCredentialsProvider::builder().configure(&self.local).build().provide_credentials().await;
        answer.map_err(|error| match self.container_setting() {
            Some(setting) => reasons::container(setting, error),
            None => error,
        })
    }

    async fn instance_metadata(&self) -> provider::Result {
        let Some(client) = &self.imds else {
            return Err(CredentialsError::not_loaded_no_source());
        };
        let provider = ImdsCredentialsProvider::builder().configure(&self.local).imds_client(client.clone()).build();
        provider.provide_credentials().await
    }
}

impl Search<'_> {
    /// The credentials of the last of `roles`. If they are cached, the roles before are not assumed.
    fn along<'a>(&'a self, base: &'a Base, roles: &'a [Role]) -> Found<'a> {
        Box::pin(async move {
            let Some((role, before)) = roles.split_last() else { return self.source(base).await };
            let fetch = async {
                let source = self.along(base, before).await?;
                assume_role(role, source, &self.recipe.sts, self.prompt).await
            };
            self.cached(|| Name::of_role(role), fetch).await
        })
    }

    /// Credentials to assume a role with.
    async fn source(&self, base: &Base) -> provider::Result {
        self.base(base).await.map_err(|error| reasons::no_source(base, error))
    }

    async fn base(&self, base: &Base) -> provider::Result {
        match base {
            Base::Profile(profile) => self.profile(profile).await,
            Base::Process(profile) => self.profile(profile).await.map_err(|error| reasons::process(profile, error)),
            Base::Keys(profile) => self.keys(profile).map_err(half),
            Base::Sso(role) => self.cached(|| Name::of_sso(role), self.sso(role)).await,
            Base::Environment => match environment_keys(&self.recipe.env) {
                Ok(Some(credentials)) => Ok(credentials),
                Ok(None) => Err(CredentialsError::not_loaded_no_source()),
                Err(error) => Err(half(error)),
            },
            Base::Container => self.recipe.container().await,
            Base::InstanceMetadata => self.recipe.instance_metadata().await,
        }
    }

    /// The credentials that the SDK finds in a profile.
    async fn profile(&self, name: &str) -> provider::Result {
        let provider = ProfileFileCredentialsProvider::builder()
            .configure(&self.recipe.provider)
            .profile_files(self.recipe.files.clone())
            .profile_name(name)
            .build();
        provider.provide_credentials().await
    }

    async fn sso(&self, role: &SsoRole) -> Result<IssuedCredentials, CredentialsError> {
        let answer = match self.repeated_login(role) {
            Some(provider) => provider.provide_credentials().await,
            None => self.profile(&role.profile).await,
        };
        let credentials = answer.map_err(|error| reasons::sso(role, error))?;
        Ok(IssuedCredentials { credentials, issuer: Issuer::Sso })
    }

    /// The provider for a profile that repeats the settings of its `sso-session`, for programs that know no such
    /// sections. The SDK does not accept such a profile, so the provider has the settings of the session alone.
    fn repeated_login(&self, role: &SsoRole) -> Option<SsoCredentialsProvider> {
        let SsoLogin::Session(name) = &role.login else { return None };
        let (profile, session) = (self.sections.get_profile(&role.profile)?, self.sections.sso_session(name)?);
        let keys = ["sso_start_url", "sso_region"];
        let is_same =
            |key: &str| value(profile, key).is_none_or(|value| session.get(key).map(str::trim) == Some(value));
        let repeats = keys.into_iter().any(|key| value(profile, key).is_some()) && keys.into_iter().all(is_same);
        let (start_url, region) = (session.get("sso_start_url")?, session.get("sso_region")?);
        repeats.then(|| {
            SsoCredentialsProvider::builder()
                .configure(&self.recipe.provider)
                .session_name(name)
                .start_url(start_url)
                .region(Region::new(region.to_owned()))
                .account_id(&role.account_id)
                .role_name(&role.role_name)
                .build()
        })
    }

    fn keys(&self, profile: &str) -> Result<Credentials, HalfKeyPair> {
        let section = self.sections.get_profile(profile);
        let get = |key: &str| section.and_then(|section| value(section, key)).map(str::to_owned);
        let need =
            |missing, set| get(missing).ok_or_else(|| HalfKeyPair { profile: Some(profile.to_owned()), set, missing });
        let (id, secret) = ("aws_access_key_id", "aws_secret_access_key");
        let token = get("aws_session_token").or_else(|| get("aws_security_token"));
        Ok(Credentials::new(need(id, secret)?, need(secret, id)?, token, None, "profile"))
    }

    async fn cached(
        &self,
        name: impl FnOnce() -> Name,
        fetch: impl Future<Output = Result<IssuedCredentials, CredentialsError>>,
    ) -> provider::Result {
        match &self.cache {
            Some(cache) => cache.get_or(&name(), fetch).await,
            None => Ok(fetch.await?.credentials),
        }
    }
}

fn half(error: HalfKeyPair) -> CredentialsError {
    CredentialsError::provider_error(SignInError::from(error))
}

/// The answer, if it ends the search; `None` if it says that there are no credentials here.
fn loaded(answer: provider::Result) -> Option<provider::Result> {
    match answer {
        Err(CredentialsError::CredentialsNotLoaded(_)) => None,
        answer => Some(answer),
    }
}
