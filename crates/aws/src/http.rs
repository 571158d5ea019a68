//! The HTTP client of the SDK: HTTP/1.1 over the connections of [`ssm_net`], with the same proxies and the same trust
//! as the WebSocket.
//!
//! Each error has the host's name. Credentials providers (STS, SSO, the metadata service) use the same client. This
//! module must not know which calls are made.

use std::{
    collections::HashMap,
    error::Error as StdError,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use aws_smithy_runtime_api::client::{
    http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::body::SdkBody;
use http::Uri;
use http_body_util::Limited;
use hyper_util::{
    client::legacy::{
        Client,
        connect::{CaptureConnection, capture_connection},
    },
    rt::{TokioExecutor, TokioIo},
};
use tower_service::Service;

use ssm_net::{Address, CONNECT_TIMEOUT, Dialer, NO_LIMIT, Transport};

/// How long an idle connection is kept for the next call. One call often follows another; but a connection that has
/// long been idle may be dead, and a call on it would wait in vain.
const KEEP: Duration = Duration::from_secs(5);
/// The largest answer that is read, in bytes. AWS's largest, a page of 50 nodes, has some 50 kB.
const MAX_ANSWER: usize = 4 << 20;

/// An HTTP client. Nothing is built before the first request.
#[derive(Clone, Debug)]
pub(super) struct Http {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    dialer: Dialer,
    /// One client for each time limit of a connection. The SDK asks for a connector per request, and these keep the
    /// open connections from one request to the next.
    clients: Mutex<HashMap<Duration, Client<Connector, SdkBody>>>,
}

impl Http {
    pub(super) fn new(dialer: Dialer) -> Self {
        Self { inner: Arc::new(Inner { dialer, clients: Mutex::default() }) }
    }

    fn client(&self, connect_timeout: Duration) -> Client<Connector, SdkBody> {
        let mut clients = self.inner.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let client = clients.entry(connect_timeout).or_insert_with(|| {
            let connector = Connector { dialer: self.inner.dialer.clone(), limit: connect_timeout };
            Client::builder(TokioExecutor::new()).pool_idle_timeout(KEEP).build(connector)
        });
        client.clone()
    }
}

impl HttpClient for Http {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(Caller { http: self.clone(), settings: settings.clone() })
    }
}

/// Sends requests with the time limits of one kind of call.
#[derive(Debug)]
struct Caller {
    http: Http,
    settings: HttpConnectorSettings,
}

impl HttpConnector for Caller {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let host = host_of(request.uri()).unwrap_or_default();
        let client = self.http.client(self.settings.connect_timeout().unwrap_or(CONNECT_TIMEOUT));
        let read_timeout = self.settings.read_timeout();
        HttpConnectorFuture::new(async move {
            send(client, request, read_timeout).await.map_err(|error| Unreachable::wrap(host, error))
        })
    }
}

async fn send(
    client: Client<Connector, SdkBody>,
    request: HttpRequest,
    read_timeout: Option<Duration>,
) -> Result<HttpResponse, ConnectorError> {
    let mut request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
    let connection = capture_connection(&mut request);
    let answer = tokio::select! {
        answer = client.request(request) => answer,
        () = silence(connection, read_timeout.unwrap_or(NO_LIMIT)) => {
            return Err(ConnectorError::timeout("no answer in time".into()));
        }
    };
    let answer = answer.map_err(|error| ConnectorError::io(error.into()))?;
    HttpResponse::try_from(answer.map(|body| SdkBody::from_body_1_x(Limited::new(body, MAX_ANSWER))))
        .map_err(|error| ConnectorError::other(error.into(), None))
}

/// Ends `limit` after the request has got its connection. The time before counts against the limit for connecting.
async fn silence(mut connection: CaptureConnection, limit: Duration) {
    drop(connection.wait_for_connection_metadata().await);
    tokio::time::sleep(limit).await;
}

/// Makes the client's connections.
#[derive(Clone, Debug)]
struct Connector {
    dialer: Dialer,
    limit: Duration,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Box<dyn Transport>>;
    type Error = Box<dyn StdError + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Self { dialer, limit } = self.clone();
        Box::pin(async move {
            let address = Address::of(&uri).ok_or("a URL without a host")?;
            Ok(TokioIo::new(dialer.dial(&address, limit).await?))
        })
    }
}

/// The host of a URL.
pub(super) fn host_of(url: &str) -> Option<String> {
    url.parse::<Uri>().ok()?.host().map(str::to_owned)
}

/// A request to `host` had no answer. The source of the error says why.
#[derive(Debug)]
pub(super) struct Unreachable {
    /// The host that the request was for, also where a proxy is on the way.
    pub(super) host: String,
    source: ConnectorError,
}

impl Unreachable {
    /// The same error with the host's name. Its kind, which the SDK looks at, stays.
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

impl StdError for Unreachable {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
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
            ("https://me:secret@ssm.example:8443/", Some("ssm.example")),
            ("https://", None),
            ("", None),
        ] {
            assert_eq!(host_of(url).as_deref(), host, "{url}");
        }
    }
}
