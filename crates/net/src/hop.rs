//! Hops: TCP to an address, and TLS with the host there. The proxy is one hop, the target behind it another.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::vec::IntoIter;
use std::{fmt, io, net::SocketAddr};

use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use rustls::CertificateError;
use rustls::pki_types::ServerName;
use tokio::io::BufReader;
use tokio_rustls::TlsConnector;
use tower_service::Service;

use crate::address::{Address, Transport};
use crate::error::{self, DialError, DialFailure, chain};
use crate::trust::Trust;

/// The read buffer of a connection below TLS, in bytes: more than the service sends between two reads.
const READ: usize = 16 << 10;

/// Connects to `address` by TCP, and by TLS if the address is encrypted.
pub(super) async fn reach(
    trust: &Arc<Trust>,
    address: &Address,
    attempt: usize,
) -> Result<Box<dyn Transport>, DialError> {
    let stream = tcp(address, attempt).await?;
    if address.encrypted { encrypt(trust, address, stream).await } else { Ok(stream) }
}

/// Connects to `address` by TCP. Where the name has several IP addresses, each `attempt` begins with another.
async fn tcp(address: &Address, attempt: usize) -> Result<Box<dyn Transport>, DialError> {
    let mut connector = HttpConnector::new_with_resolver(Turned { resolver: GaiResolver::new(), by: attempt });
    connector.enforce_http(false);
    // Nagle's algorithm would hold a small message back until the one before is acknowledged.
    connector.set_nodelay(true);
    let stream = connector.call(address.uri().map_err(|cause| DialError::unusable(address, &cause))?).await.map_err(
        |cause| {
            let why = error::bottom(&cause);
            let unknown = chain(&cause).any(|cause| cause.is::<Unresolved>());
            DialError::new(address, if unknown { DialFailure::NoAddress(why) } else { DialFailure::Failed(why) })
        },
    )?;
    Ok(Box::new(stream.into_inner()))
}

/// Speaks TLS with the host of `address` over `stream`.
pub(super) async fn encrypt(
    trust: &Trust,
    address: &Address,
    stream: Box<dyn Transport>,
) -> Result<Box<dyn Transport>, DialError> {
    let failed = |failure| DialError::new(address, failure);
    let config = trust.client_config().await.map_err(|cause| failed(DialFailure::Trust(cause)))?;
    let name =
        ServerName::try_from(address.host.clone()).map_err(|cause| failed(DialFailure::Failed(cause.to_string())))?;
    // rustls reads 4 KiB at a time. With the buffer one system call brings more.
    let stream = BufReader::with_capacity(READ, stream);
    let stream = TlsConnector::from(config).connect(name, stream).await.map_err(|cause| {
        failed(match cause.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(why)) => of_certificate(why),
            Some(rustls::Error::InvalidMessage(_)) => DialFailure::NoTls,
            _ => DialFailure::Failed(error::bottom(&cause)),
        })
    })?;
    Ok(Box::new(stream))
}

/// The failure for a certificate that is not accepted. Each kind has a cure of its own.
fn of_certificate(why: &CertificateError) -> DialFailure {
    use CertificateError::{
        Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet, NotValidYetContext,
    };
    match why {
        Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. } => {
            DialFailure::NotNow(why.to_string())
        }
        NotValidForName | NotValidForNameContext { .. } => DialFailure::WrongName(why.to_string()),
        _ => DialFailure::Untrusted(why.to_string()),
    }
}

/// The system's name resolver, with the addresses of each name rotated by some places: an attempt beside one that hangs
/// must not begin with the same address.
#[derive(Clone)]
struct Turned {
    resolver: GaiResolver,
    by: usize,
}

/// The name has no address, in the system's words.
#[derive(Debug)]
struct Unresolved(io::Error);

impl fmt::Display for Unresolved {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl std::error::Error for Unresolved {}

impl Service<Name> for Turned {
    type Response = IntoIter<SocketAddr>;
    type Error = Unresolved;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Unresolved>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Unresolved>> {
        self.resolver.poll_ready(context).map_err(Unresolved)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (resolving, by) = (self.resolver.call(name), self.by);
        Box::pin(async move { Ok(turned(resolving.await.map_err(Unresolved)?.collect(), by).into_iter()) })
    }
}

fn turned(mut addresses: Vec<SocketAddr>, by: usize) -> Vec<SocketAddr> {
    let by = by.checked_rem(addresses.len()).unwrap_or_default();
    addresses.rotate_left(by);
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_attempt_begins_with_the_next_address() {
        let addresses: Vec<SocketAddr> = ["[::1]:1", "127.0.0.1:1", "127.0.0.2:1"].map(|a| a.parse().unwrap()).into();
        let first = |by| turned(addresses.clone(), by).first().unwrap().to_string();
        assert_eq!([0, 1, 2, 3].map(first), ["[::1]:1", "127.0.0.1:1", "127.0.0.2:1", "[::1]:1"]);
        assert!(turned(Vec::new(), 1).is_empty());
    }
}
