//! Addresses, and the transport: the byte stream of a connection to one.

use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::io::{AsyncRead, AsyncWrite};

/// A byte stream to a host, encrypted or not.
pub trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// hyper's client wants to know of each connection whether it leads to a proxy or speaks HTTP/2. Ours does neither.
impl Connection for Box<dyn Transport> {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

/// A host and port to connect to, and whether to speak TLS there.
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
    /// The address in an `http`, `https`, `ws` or `wss` URL; `None` if the URL has no host.
    pub fn of(uri: &Uri) -> Option<Self> {
        let encrypted = matches!(uri.scheme_str(), Some("https" | "wss"));
        let host = uri.host()?.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
        Some(Self { host, port, encrypted })
    }

    /// The address as a URL, for the proxy rules and the connectors.
    pub(crate) fn uri(&self) -> Result<Uri, http::Error> {
        let Self { host, port, encrypted } = self;
        let scheme = if *encrypted { "https" } else { "http" };
        Uri::builder().scheme(scheme).authority(authority(host, *port)).path_and_query("/").build()
    }
}

/// Host and port as a URL has them: an IPv6 address is put in brackets.
pub fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
