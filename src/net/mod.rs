//! Connections: name, TCP, proxy, TLS. The API's and the WebSocket's are made here, by the same rules.
//!
//! Proxies are those of the environment (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`, in either case), by HTTP
//! CONNECT or SOCKS; addresses are tried as RFC 8305 says (happy eyeballs); a connection that does not come up soon is
//! raced by another. It must not know what is said over a connection.

mod any_certificate;
mod error;
mod hop;
mod trust;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::Uri;
use hyper_util::client::legacy::connect::proxy::{SocksV4, SocksV5, Tunnel};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tower_service::Service;

use hop::Hop;

pub use error::{DialError, Failure};
pub use trust::{Source, Trust};

/// To connect, through a proxy and TLS too, if nothing else is said. A lost SYN is sent again after 1, 3 and 7 s.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// As good as none, for those who want none: 136 years, which can still be added to any time.
pub const NO_LIMIT: Duration = Duration::from_secs(u32::MAX as u64);
/// How long a connection may take to come up before another is tried beside it. TCP doubles its patience with each lost
/// SYN; when a network comes back after some seconds, a fresh attempt finds out sooner.
const RACE_AFTER: Duration = Duration::from_secs(1);
/// Where SOCKS proxies listen if their URL does not say.
const SOCKS_PORT: u16 = 1080;

/// A byte stream to a host, encrypted or not.
pub trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// Where to connect to.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Address {
    /// A name or an IP address; IPv6 without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// Whether TLS is spoken.
    pub encrypted: bool,
}

impl Address {
    /// The address of an `http`, `https`, `ws` or `wss` URL; nothing if it has no host.
    pub fn of(uri: &Uri) -> Option<Self> {
        let encrypted = matches!(uri.scheme_str(), Some("https" | "wss"));
        let host = uri.host()?.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
        Some(Self { host, port, encrypted })
    }

    /// For errors about a URL without a host.
    fn nowhere() -> Self {
        Self { host: String::new(), port: 0, encrypted: false }
    }

    /// As the proxy rules and the connectors take it.
    fn uri(&self) -> Result<Uri, DialError> {
        let Self { host, port, encrypted } = self;
        let scheme = if *encrypted { "https" } else { "http" };
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let authority = format!("{host}:{port}");
        let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query("/").build();
        uri.map_err(|cause| DialError::new(self, Failure::Failed(cause.to_string())))
    }
}

/// Makes connections. Cheap to clone.
#[derive(Clone)]
pub struct Dialer {
    proxies: Arc<Matcher>,
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
        let none =
            ["NO_PROXY", "no_proxy"].iter().any(|name| std::env::var(name).is_ok_and(|rules| rules.trim() == "*"));
        // The matcher takes `*` for names only, not for addresses.
        let proxies = if none { Matcher::builder().build() } else { Matcher::from_env() };
        Self { proxies: Arc::new(proxies), trust }
    }

    /// Connects within `limit`.
    ///
    /// # Errors
    /// Says which host failed, and how.
    pub async fn dial(&self, address: &Address, limit: Duration) -> Result<Box<dyn Transport>, DialError> {
        let deadline = Instant::now() + limit;
        let mut attempts = FuturesUnordered::new();
        loop {
            attempts.push(self.open(address));
            let next = (Instant::now() + RACE_AFTER).min(deadline);
            tokio::select! {
                Some(result) = attempts.next() => return result,
                () = tokio::time::sleep_until(next.into()) => {}
            }
            if deadline <= Instant::now() {
                return Err(DialError::new(address, Failure::TimedOut));
            }
        }
    }

    async fn open(&self, address: &Address) -> Result<Box<dyn Transport>, DialError> {
        let target = address.uri()?;
        if address.encrypted {
            // A CA file that cannot be used is said before anything is dialled.
            self.trust.client_config().map_err(|cause| DialError::new(address, Failure::Unusable(cause)))?;
        }
        let proxy = if is_link_local(&address.host) { None } else { self.proxies.intercept(&target) };
        let hop = Hop::new(Arc::clone(&self.trust));
        let stream = match proxy {
            Some(proxy) => through(&proxy, target, hop).await?,
            None => hop.tcp(address, target).await?,
        };
        if address.encrypted { hop::encrypt(&self.trust, address, stream).await } else { Ok(stream) }
    }
}

/// Whether a host is of the kind that no proxy can reach: the metadata services of machines and containers.
fn is_link_local(host: &str) -> bool {
    match host.parse() {
        Ok(std::net::IpAddr::V4(address)) => address.is_link_local(),
        Ok(std::net::IpAddr::V6(address)) => {
            address.is_unicast_link_local() || address.segments().first() == Some(&0xfd00)
        }
        Err(_) => false,
    }
}

async fn through(proxy: &Intercept, target: Uri, hop: Hop) -> Result<Box<dyn Transport>, DialError> {
    let at = proxy.uri();
    let scheme = at.scheme_str().unwrap_or_default().to_owned();
    let mut address = Address::of(at)
        .ok_or_else(|| DialError::new(&Address::nowhere(), Failure::Failed("the proxy's URL has no host".into())))?;
    if scheme.starts_with("socks") && at.port().is_none() {
        address.port = SOCKS_PORT;
    }
    let at = address.uri()?;
    let stream = match scheme.as_str() {
        "socks4" | "socks4a" => {
            SocksV4::new(at, hop).local_dns(scheme == "socks4").call(target).await.map_err(|cause| cause.to_string())
        }
        "socks5" | "socks5h" => {
            // The proxy resolves names either way: where one is needed, the names often are known only behind it.
            let socks = SocksV5::new(at, hop);
            let mut socks = match proxy.raw_auth() {
                Some((user, password)) => socks.with_auth(user.to_owned(), password.to_owned()),
                None => socks,
            };
            socks.call(target).await.map_err(|cause| cause.to_string())
        }
        _ => {
            let tunnel = Tunnel::new(at, hop);
            let mut tunnel = match proxy.basic_auth() {
                Some(value) => tunnel.with_auth(value.clone()),
                None => tunnel,
            };
            tunnel.call(target).await.map_err(|cause| error::bottom(&cause))
        }
    };
    stream.map(hyper_util::rt::TokioIo::into_inner).map_err(|why| DialError::of_proxy(&address, why))
}
