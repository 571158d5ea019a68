//! One hop: TCP to an address, and TLS with whoever is there. A proxy is reached by one, the target by another.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::BufReader;
use tokio_rustls::TlsConnector;
use tower_service::Service;

use super::{Address, DialError, Failure, Transport, Trust, error};

/// Bytes taken from a connection at once, below TLS: more than arrive between two looks at the service's pace.
const READ: usize = 16 << 10;

/// Reaches what is to be spoken to first: as a service, since that is what proxies' connectors take.
#[derive(Clone)]
pub(super) struct Hop {
    tcp: HttpConnector,
    trust: Arc<Trust>,
}

impl Hop {
    pub(super) fn new(trust: Arc<Trust>) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        // Small messages must not wait for one another.
        tcp.set_nodelay(true);
        Self { tcp, trust }
    }

    /// Connects by TCP.
    pub(super) async fn tcp(mut self, address: &Address, uri: Uri) -> Result<Box<dyn Transport>, DialError> {
        let stream = self.tcp.call(uri).await.map_err(|cause| {
            let why = error::bottom(&cause);
            let failure = if cause.to_string() == "dns error" { Failure::NoAddress(why) } else { Failure::Failed(why) };
            DialError::new(address, failure)
        })?;
        Ok(Box::new(stream.into_inner()))
    }
}

impl Service<Uri> for Hop {
    type Response = TokioIo<Box<dyn Transport>>;
    type Error = DialError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, DialError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let hop = self.clone();
        Box::pin(async move {
            let address = Address::of(&uri).unwrap_or_else(Address::nowhere);
            let trust = Arc::clone(&hop.trust);
            let stream = hop.tcp(&address, uri).await?;
            let stream = if address.encrypted { encrypt(&trust, &address, stream).await? } else { stream };
            Ok(TokioIo::new(stream))
        })
    }
}

/// Speaks TLS with the host of `address` over `stream`.
pub(super) async fn encrypt(
    trust: &Trust,
    address: &Address,
    stream: Box<dyn Transport>,
) -> Result<Box<dyn Transport>, DialError> {
    let failed = |failure| DialError::new(address, failure);
    let config = trust.client_config().map_err(|cause| failed(Failure::Unusable(cause)))?;
    let name =
        ServerName::try_from(address.host.clone()).map_err(|cause| failed(Failure::Untrusted(cause.to_string())))?;
    // rustls reads 4 KiB at a time; the operating system is asked for more at once.
    let stream = BufReader::with_capacity(READ, stream);
    let stream = TlsConnector::from(config).connect(name, stream).await.map_err(|cause| {
        failed(match cause.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(why)) => Failure::Untrusted(why.to_string()),
            _ => Failure::Failed(error::bottom(&cause)),
        })
    })?;
    Ok(Box::new(stream))
}
