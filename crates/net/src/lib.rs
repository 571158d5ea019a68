//! Connections: name, TCP, proxy, TLS. The API's and the WebSocket's are made here, by the same rules.
//!
//! Proxies are those of the environment (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`, in either case), by HTTP
//! CONNECT or SOCKS; addresses are tried as RFC 8305 says (happy eyeballs); a connection that does not come up soon is
//! raced by another. It must not know what is said over a connection.
//!
//! # Example
//! ```no_run
//! use std::sync::Arc;
//! use ssm_net::{Address, CONNECT_TIMEOUT, Dialer, Source, Trust};
//!
//! # async fn example() -> Result<(), ssm_net::DialError> {
//! let dialer = Dialer::new(Arc::new(Trust::new(Source::System)));
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
pub use error::{DialError, Failure, TrustError, Via, chain};
pub use trust::{Source, Trust};

/// To connect, through a proxy and TLS too, if nothing else is said. A lost SYN is sent again after 1, 3 and 7 s.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// As good as none, for those who want none: 136 years, which can still be added to any time.
pub const NO_LIMIT: Duration = Duration::from_secs(u32::MAX as u64);

/// Makes connections. Cheap to clone.
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
    /// Connections that trust whom `trust` says, through the proxies of the environment.
    pub fn new(trust: Arc<Trust>) -> Self {
        Self { proxies: Arc::new(Proxies::from_env()), trust }
    }

    /// The same without any proxy: for what belongs to this machine or its network.
    #[must_use]
    pub fn direct(&self) -> Self {
        Self { proxies: Arc::new(Proxies::none()), trust: Arc::clone(&self.trust) }
    }

    /// Connects within `limit`.
    ///
    /// # Errors
    /// Says which host failed, and how.
    pub async fn dial(&self, address: &Address, limit: Duration) -> Result<Box<dyn Transport>, DialError> {
        if address.encrypted {
            // A CA file that cannot be used is said before anything is dialled.
            self.trust.client_config().await.map_err(|cause| DialError::new(address, Failure::Trust(cause)))?;
        }
        let uri = address.uri().map_err(|cause| DialError::unusable(address, &cause))?;
        let way = Way { trust: &self.trust, proxy: self.proxies.to(address, &uri), target: address, uri };
        let mut race = Race::new(Instant::now(), limit);
        let mut attempts = FuturesUnordered::new();
        while !race.is_over(Instant::now()) {
            if let Some(attempt) = race.start(Instant::now()) {
                attempts.push(way.open(attempt));
            }
            tokio::select! {
                Some(result) = attempts.next() => match result {
                    Ok(transport) => return Ok(transport),
                    Err(error) => race.failed(error),
                },
                () = tokio::time::sleep_until(race.wake().into()) => {}
            }
        }
        Err(race.into_error().unwrap_or_else(|| way.failed(Failure::TimedOut)))
    }
}

/// The way to a host.
struct Way<'a> {
    trust: &'a Arc<Trust>,
    proxy: Option<Proxy>,
    target: &'a Address,
    uri: Uri,
}

impl Way<'_> {
    /// Goes it; `attempt` counts from 0 those that were begun before.
    async fn open(&self, attempt: usize) -> Result<Box<dyn Transport>, DialError> {
        let Some(proxy) = &self.proxy else { return hop::reach(self.trust, self.target, attempt).await };
        let stream =
            hop::reach(self.trust, &proxy.address, attempt).await.map_err(|error| self.failed(error.failure))?;
        let stream = proxy::through(proxy, self.uri.clone(), stream).await.map_err(|failure| self.failed(failure))?;
        if self.target.encrypted { hop::encrypt(self.trust, self.target, stream).await } else { Ok(stream) }
    }

    /// An error of the first hop, which leads to the proxy if there is one.
    fn failed(&self, failure: Failure) -> DialError {
        let Some(proxy) = &self.proxy else { return DialError::new(self.target, failure) };
        let Proxy { address, scheme, setting, .. } = proxy;
        let Address { host, port, .. } = self.target;
        let via = Via { scheme: scheme.clone(), setting, target: authority(host, *port) };
        DialError { via: Some(Box::new(via)), ..DialError::new(address, failure) }
    }
}
