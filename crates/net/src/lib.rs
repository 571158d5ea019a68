//! Connections: name resolution, TCP, proxies and TLS, by the same rules for the API and for the WebSocket.
//!
//! Proxies are those of the environment (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`, in either case), by HTTP
//! CONNECT or SOCKS. Addresses are tried as RFC 8305 says (happy eyeballs). A connection that does not come up soon is
//! raced by another. This crate must not know what is said over a connection.
//!
//! # Example
//! ```no_run
//! use std::sync::Arc;
//! use ssm_net::{Address, CONNECT_TIMEOUT, Dialer, TrustSource, Trust};
//!
//! # async fn example() -> Result<(), ssm_net::DialError> {
//! let dialer = Dialer::new(Arc::new(Trust::new(TrustSource::System)));
//! let address = Address { host: "ssm.eu-west-1.amazonaws.com".to_owned(), port: 443, encrypted: true };
//! let stream = dialer.dial(&address, CONNECT_TIMEOUT).await?;
//! # drop(stream);
//! # Ok(())
//! # }
//! ```

mod address;
mod any_certificate;
mod error;
pub mod files;
mod hop;
mod proxies;
mod proxy;
mod race;
#[cfg(test)]
mod test_support;
mod trust;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::Uri;

use proxies::{Proxies, Proxy};
use race::Race;

pub use address::{Address, Transport, authority};
pub use error::{DialError, DialFailure, TrustError, Via, chain};
pub use trust::{Trust, TrustSource};

/// The time limit for a connection, proxy and TLS included, where the user sets none. TCP sends a lost SYN again after
/// 1, 3 and 7 s, so that three may be lost.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A limit that stands for no limit: 136 years, which can still be added to any time.
pub const NO_LIMIT: Duration = Duration::from_secs(u32::MAX as u64);

/// Makes connections, with the same proxies and the same trust for all of them. Cheap to clone.
#[derive(Clone)]
pub struct Dialer {
    proxies: Arc<Proxies>,
    trust: Arc<Trust>,
}

impl fmt::Debug for Dialer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A proxy's URL may hold a password.
        formatter.write_str("Dialer")
    }
}

impl Dialer {
    /// A dialer with this trust and the proxies of the environment, which are read now.
    pub fn new(trust: Arc<Trust>) -> Self {
        Self { proxies: Arc::new(Proxies::from_env()), trust }
    }

    /// The same dialer without any proxy, for servers of this machine or its network.
    #[must_use]
    pub fn direct(&self) -> Self {
        Self { proxies: Arc::new(Proxies::none()), trust: Arc::clone(&self.trust) }
    }

    /// Connects to `address` within `limit`, which covers name resolution, TCP, proxy and TLS. An attempt that hangs
    /// gets another beside it each second.
    ///
    /// # Errors
    /// The error of the attempt that tells most, with the host that failed: the target or the proxy on the way to it.
    pub async fn dial(&self, address: &Address, limit: Duration) -> Result<Box<dyn Transport>, DialError> {
        if address.encrypted {
            // The user learns of an unusable CA file before anything is dialled.
            self.trust.client_config().await.map_err(|cause| DialError::new(address, DialFailure::Trust(cause)))?;
        }
        let uri = address.uri().map_err(|cause| DialError::unusable(address, &cause))?;
        let route = Route { trust: &self.trust, proxy: self.proxies.to(address, &uri), target: address, uri };
        let mut race = Race::new(Instant::now(), limit);
        let mut attempts = FuturesUnordered::new();
        while !race.is_over(Instant::now()) {
            if let Some(attempt) = race.start(Instant::now()) {
                attempts.push(route.open(attempt));
            }
            tokio::select! {
                Some(result) = attempts.next() => match result {
                    Ok(transport) => return Ok(transport),
                    Err(error) => race.failed(error),
                },
                () = tokio::time::sleep_until(race.wake().into()) => {}
            }
        }
        Err(race.into_error().unwrap_or_else(|| route.failed(DialFailure::TimedOut)))
    }
}

/// The route to a host: directly, or through a proxy.
struct Route<'a> {
    trust: &'a Arc<Trust>,
    proxy: Option<Proxy>,
    target: &'a Address,
    uri: Uri,
}

impl Route<'_> {
    /// Connects by this route. `attempt` is the number of attempts that were begun before.
    async fn open(&self, attempt: usize) -> Result<Box<dyn Transport>, DialError> {
        let Some(proxy) = &self.proxy else { return hop::reach(self.trust, self.target, attempt).await };
        let stream =
            hop::reach(self.trust, &proxy.address, attempt).await.map_err(|error| self.failed(error.failure))?;
        let stream = proxy::through(proxy, self.uri.clone(), stream).await.map_err(|failure| self.failed(failure))?;
        if self.target.encrypted { hop::encrypt(self.trust, self.target, stream).await } else { Ok(stream) }
    }

    /// The error for a failure of the first hop, which leads to the proxy if there is one.
    fn failed(&self, failure: DialFailure) -> DialError {
        let Some(proxy) = &self.proxy else { return DialError::new(self.target, failure) };
        let Proxy { address, scheme, setting, .. } = proxy;
        let Address { host, port, .. } = self.target;
        let via = Via { scheme: scheme.clone(), setting, target: authority(host, *port) };
        DialError { via: Some(Box::new(via)), ..DialError::new(address, failure) }
    }
}
