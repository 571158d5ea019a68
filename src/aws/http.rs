//! The SDK's HTTP client: it dials by the same roots as the WebSocket, keeps to the proxy settings of the environment,
//! and names the host in every failure.
//!
//! It must not know which calls are made. Credentials providers (STS, SSO, the metadata service) use it too.

use std::{
    collections::HashMap,
    env, fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_smithy_http_client::{
    Connector,
    proxy::ProxyConfig,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
    orchestrator::HttpRequest,
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};

use super::trust::Trust;
use crate::error::{Error, ExitStatus};

/// An HTTP client that reads no root certificates until the first `https://` request.
#[derive(Clone, Debug)]
pub(super) struct Http {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    trust: Arc<Trust>,
    /// The SDK asks for a connector per request; each of these holds the open connections of one kind.
    connectors: Mutex<HashMap<Kind, SharedHttpConnector>>,
}

/// What makes connectors differ.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Kind {
    connect_timeout: Option<Duration>,
    read_timeout: Option<Duration>,
    tls: bool,
}

impl Http {
    pub(super) fn new(trust: Arc<Trust>) -> Self {
        Self { inner: Arc::new(Inner { trust, connectors: Mutex::default() }) }
    }

    fn connector(&self, settings: &HttpConnectorSettings, tls: bool) -> Result<SharedHttpConnector, Error> {
        let kind = Kind { connect_timeout: settings.connect_timeout(), read_timeout: settings.read_timeout(), tls };
        let mut connectors = self.inner.connectors.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connector) = connectors.get(&kind) {
            return Ok(connector.clone());
        }
        let roots = if tls { self.inner.trust.trust_store()? } else { TrustStore::empty() };
        let context = TlsContext::builder().with_trust_store(roots).build().map_err(|error| {
            Error::new(ExitStatus::Config, format!("TLS cannot be set up: {error}"), "check the CA file that is set")
        })?;
        let connector = Connector::builder()
            .connector_settings(settings.clone())
            .proxy_config(ProxyConfig::from_env())
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .tls_context(context)
            .build();
        let connector = SharedHttpConnector::new(connector);
        connectors.insert(kind, connector.clone());
        Ok(connector)
    }
}

impl HttpClient for Http {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(Dialer { http: self.clone(), settings: settings.clone() })
    }
}

/// Chooses the connector by the request, since only the request says whether there is TLS in it.
#[derive(Debug)]
struct Dialer {
    http: Http,
    settings: HttpConnectorSettings,
}

impl HttpConnector for Dialer {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let uri = request.uri();
        let tls = uri.starts_with("https://") || proxy_has_tls();
        let host = host_of(uri).unwrap_or_default().to_owned();
        match self.http.connector(&self.settings, tls) {
            Ok(connector) => {
                let answer = connector.call(request);
                HttpConnectorFuture::new(async move { answer.await.map_err(|error| Unreachable::wrap(host, error)) })
            }
            Err(error) => HttpConnectorFuture::ready(Err(ConnectorError::user(error.into()))),
        }
    }
}

/// Whether plain requests may go through a proxy that is itself spoken to by TLS.
fn proxy_has_tls() -> bool {
    ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]
        .into_iter()
        .any(|name| env::var(name).is_ok_and(|url| url.starts_with("https://")))
}

/// The host of a URL, without its port.
pub(super) fn host_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    (!host.is_empty()).then_some(host)
}

/// No answer came from `host`; the source says why.
#[derive(Debug)]
pub(super) struct Unreachable {
    /// Which host was dialled, or was to be reached through the proxy.
    pub(super) host: String,
    source: ConnectorError,
}

impl Unreachable {
    /// The same failure with the host's name, of the same kind for the SDK's eyes.
    fn wrap(host: String, error: ConnectorError) -> ConnectorError {
        let (is_timeout, is_user, is_io, other) =
            (error.is_timeout(), error.is_user(), error.is_io(), error.as_other());
        let source = Box::new(Self { host, source: error });
        if is_timeout {
            ConnectorError::timeout(source)
        } else if is_user {
            ConnectorError::user(source)
        } else if is_io {
            ConnectorError::io(source)
        } else {
            ConnectorError::other(source, other)
        }
    }
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot be reached", self.host)
    }
}

impl std::error::Error for Unreachable {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_what_a_person_would_look_up() {
        for (url, host) in [
            ("https://ssm.eu-west-1.amazonaws.com/", Some("ssm.eu-west-1.amazonaws.com")),
            ("http://127.0.0.1:4566", Some("127.0.0.1")),
            ("http://[::1]:4566/x?y", Some("[::1]")),
            ("http://[fd00:ec2::254]/latest", Some("[fd00:ec2::254]")),
            ("https://", None),
            ("ssm", None),
        ] {
            assert_eq!(host_of(url), host, "{url}");
        }
    }
}
