//! Settings of overrides, environment and profile, by their order of precedence.
//!
//! Overrides come first, then the environment, then the profile. This module must not know what a setting is for.

use std::path::PathBuf;

use aws_config::profile::ProfileSet;
use aws_runtime::env_config::EnvConfigValue;
use aws_types::os_shim_internal::Env;

use super::{
    home,
    load_error::{LoadError, Origin},
    overrides::Overrides,
};
use ssm_net::TrustSource;

/// The profile in use.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Profile {
    pub(super) name: String,
    /// Whether overrides or the environment name the profile: it then has to exist.
    pub(super) named: bool,
    /// Whether overrides name the profile: it then wins over credentials in the environment.
    pub(super) overriding: bool,
}

impl Profile {
    pub(super) fn select(own: Option<&str>, env: &Env) -> Self {
        let from_env = || variable(env, "AWS_PROFILE").or_else(|| variable(env, "AWS_DEFAULT_PROFILE"));
        let name = own.map(str::to_owned).or_else(from_env);
        let (named, overriding) = (name.is_some(), own.is_some());
        Self { name: name.unwrap_or_else(|| Self::none().name), named, overriding }
    }

    /// The one that is in use where nothing names any; it need not exist.
    pub(super) fn none() -> Self {
        Self { name: "default".to_owned(), named: false, overriding: false }
    }
}

/// A service's names in the settings for its endpoint.
pub(super) struct Service {
    /// The variable with the service's URL.
    variable: &'static str,
    /// The service's name in the profile's `services` section.
    id: &'static str,
}

pub(super) const SSM: Service = Service { variable: "AWS_ENDPOINT_URL_SSM", id: "ssm" };
pub(super) const STS: Service = Service { variable: "AWS_ENDPOINT_URL_STS", id: "sts" };
pub(super) const KMS: Service = Service { variable: "AWS_ENDPOINT_URL_KMS", id: "kms" };
pub(super) const INSTANCE_CONNECT: Service =
    Service { variable: "AWS_ENDPOINT_URL_EC2_INSTANCE_CONNECT", id: "ec2_instance_connect" };

/// The environment and the sections of the profile files, to read settings from.
pub(super) struct Settings<'a> {
    pub(super) env: &'a Env,
    pub(super) sections: &'a ProfileSet,
}

impl Settings<'_> {
    pub(super) fn region(&self, own: Option<&str>) -> Result<Option<String>, LoadError> {
        let region = own
            .map(str::to_owned)
            .or_else(|| variable(self.env, "AWS_REGION"))
            .or_else(|| variable(self.env, "AWS_DEFAULT_REGION"))
            .or_else(|| self.property("region"));
        region.map(check_region).transpose()
    }

    /// Whether the URLs in environment and profile are to be ignored.
    fn ignores_endpoints(&self) -> bool {
        self.switch("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "ignore_configured_endpoint_urls")
    }

    /// The URL for a service, from environment or profile: the service's own before the one for all services.
    pub(super) fn endpoint(&self, service: &Service) -> Result<Option<String>, LoadError> {
        if self.ignores_endpoints() {
            return Ok(None);
        }
        for name in [service.variable, "AWS_ENDPOINT_URL"] {
            if let Some(url) = variable(self.env, name) {
                return check_url(&url, Origin::Variable(name)).map(Some);
            }
        }
        let setting = EnvConfigValue::new().profile("endpoint_url").service_id(service.id);
        match setting.load(self.env, Some(self.sections)) {
            Some((url, _)) if !url.trim().is_empty() => {
                check_url(url.trim(), self.of_profile("endpoint_url")).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The URL for streams: the override, or the gateway's own variable. The URL for all services does not count, as it
    /// is none of a WebSocket.
    pub(super) fn stream_endpoint(&self, own: Option<&str>) -> Result<Option<String>, LoadError> {
        const VARIABLE: &str = "AWS_ENDPOINT_URL_SSMMESSAGES";
        if let Some(url) = own {
            return check_url(url, Origin::Override("ssmmessages_endpoint_url")).map(Some);
        }
        if self.ignores_endpoints() {
            return Ok(None);
        }
        variable(self.env, VARIABLE).map(|url| check_url(&url, Origin::Variable(VARIABLE))).transpose()
    }

    pub(super) fn identity(&self, profile: &Profile, overrides: &Overrides) -> Vec<String> {
        let own = ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"];
        let in_place_of_profile = ["AWS_ACCESS_KEY_ID", "AWS_ROLE_ARN"];
        let names = own.iter().chain(in_place_of_profile.iter().filter(|_| !profile.overriding));
        let values = names.map(|name| variable(self.env, name).unwrap_or_default());
        let unsigned = overrides.no_sign_request.then(|| "unsigned".to_owned());
        std::iter::once(profile.name.clone()).chain(values).chain(unsigned).collect()
    }

    /// Where root certificates come from. As with the AWS CLI, `no_verify_ssl` wins over every file.
    pub(super) fn trust_source(&self, overrides: &Overrides) -> TrustSource {
        if overrides.no_verify_ssl {
            return TrustSource::Anyone;
        }
        let named = |origin: Origin, paths| TrustSource::Named { setting: origin.to_string(), paths };
        if let Some(path) = &overrides.ca_bundle {
            return named(Origin::Override("ca_bundle"), vec![home::expand(path)]);
        }
        if let Some(path) = variable(self.env, "AWS_CA_BUNDLE") {
            return named(Origin::Variable("AWS_CA_BUNDLE"), vec![home::expand(&path)]);
        }
        if let Some(path) = self.property("ca_bundle") {
            return named(self.of_profile("ca_bundle"), vec![home::expand(&path)]);
        }
        let openssl = ["SSL_CERT_FILE", "SSL_CERT_DIR"].map(|name| variable(self.env, name).map(PathBuf::from));
        let paths: Vec<PathBuf> = openssl.into_iter().flatten().collect();
        if paths.is_empty() { TrustSource::System } else { named(Origin::Variable("SSL_CERT_FILE"), paths) }
    }

    pub(super) fn switch(&self, env: &str, profile: &str) -> bool {
        let setting = EnvConfigValue::new().env(env).profile(profile);
        setting.load(self.env, Some(self.sections)).is_some_and(|(value, _)| value.trim().eq_ignore_ascii_case("true"))
    }

    fn of_profile(&self, setting: &'static str) -> Origin {
        Origin::Profile { setting, profile: self.sections.selected_profile().to_owned() }
    }

    fn property(&self, name: &str) -> Option<String> {
        self.sections.get(name).map(str::trim).filter(|value| !value.is_empty()).map(str::to_owned)
    }
}

/// A variable of the environment, unless it is blank.
pub(super) fn variable(env: &Env, name: &str) -> Option<String> {
    env.get(name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// Checks that a text can be a region.
///
/// # Errors
/// [`LoadError::NotARegion`] if it cannot.
pub(super) fn check_region(region: String) -> Result<String, LoadError> {
    // The region becomes part of host names, so it must be a single DNS label.
    let is_label = !region.is_empty() && region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if is_label { Ok(region) } else { Err(LoadError::NotARegion(region)) }
}

pub(super) fn check_url(url: &str, origin: Origin) -> Result<String, LoadError> {
    let parsed = url.parse::<http::Uri>().ok().filter(|url| {
        let plain_host = url.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        plain_host && matches!(url.scheme_str(), Some("http" | "https"))
    });
    parsed.map(|_| url.to_owned()).ok_or(LoadError::NotAUrl(origin))
}

#[cfg(test)]
mod tests {
    use aws_types::os_shim_internal::Fs;

    use super::*;
    use crate::test_support::Folder;

    #[tokio::test]
    async fn the_ca_file_comes_from_overrides_then_environment_then_profile() {
        let sections = |config: &'static str| async move {
            let folder = Folder::new();
            let env = Env::from_slice(&[]);
            aws_config::profile::load(&Fs::real(), &env, &folder.profile_files(config, ""), None).await.unwrap()
        };
        let with = sections("[default]\nca_bundle = /profile.pem\n").await;
        let without = sections("").await;
        let named = |setting: &str, paths: &[&str]| TrustSource::Named {
            setting: setting.to_owned(),
            paths: paths.iter().map(PathBuf::from).collect(),
        };
        let none = Overrides::default();
        let own = Overrides { ca_bundle: Some("/override.pem".to_owned()), ..none.clone() };
        let unverified = Overrides { no_verify_ssl: true, ..own.clone() };
        let openssl = [("SSL_CERT_FILE", "/openssl.pem"), ("SSL_CERT_DIR", "/openssl")];
        let all = [("AWS_CA_BUNDLE", "/env.pem"), openssl[0], openssl[1]];
        for (overrides, env, sections, expected) in [
            (&unverified, &all[..], &with, TrustSource::Anyone),
            (&own, &all, &with, named("Overrides::ca_bundle", &["/override.pem"])),
            (&none, &all, &with, named("AWS_CA_BUNDLE", &["/env.pem"])),
            (&none, &openssl, &with, named("ca_bundle of profile default", &["/profile.pem"])),
            (&none, &openssl, &without, named("SSL_CERT_FILE", &["/openssl.pem", "/openssl"])),
            (&none, &openssl[..1], &without, named("SSL_CERT_FILE", &["/openssl.pem"])),
            (&none, &[("AWS_CA_BUNDLE", "")], &without, TrustSource::System),
        ] {
            let env = Env::from_slice(env);
            assert_eq!(Settings { env: &env, sections }.trust_source(overrides), expected);
        }
    }
}
