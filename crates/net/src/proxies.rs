//! Proxy settings: which proxy leads to which host, by the variables of the environment, read as curl reads them.
//!
//! This module must not know how to talk to a proxy.

use std::env;
use std::net::IpAddr;

use http::Uri;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};

use crate::address::Address;

/// The TCP port of a SOCKS proxy whose URL names none (RFC 1928).
const SOCKS_PORT: u16 = 1080;

/// The proxies of the environment.
pub(super) struct Proxies(Matcher);

/// The proxy on the way to a host.
pub(super) struct Proxy {
    /// The proxy's own address. It is encrypted if the proxy itself is reached by TLS.
    pub(super) address: Address,
    /// `http`, `https`, `socks4`, `socks4a`, `socks5` or `socks5h`.
    pub(super) scheme: String,
    /// The variable that names it, for messages.
    pub(super) setting: &'static str,
    /// The rest of its URL, which may have a password.
    pub(super) intercept: Intercept,
}

impl Proxies {
    pub(super) fn from_env() -> Self {
        let none = ["NO_PROXY", "no_proxy"].iter().any(|name| env::var(name).is_ok_and(|rules| rules.trim() == "*"));
        // In the matcher `*` stands for all names, but for no IP address.
        Self(if none { Matcher::builder().build() } else { Matcher::from_env() })
    }

    pub(super) fn none() -> Self {
        Self(Matcher::builder().build())
    }

    /// The proxy for `target`, whose URL is `uri`; `None` if the target is connected to directly.
    pub(super) fn to(&self, target: &Address, uri: &Uri) -> Option<Proxy> {
        if is_near(&target.host) {
            return None;
        }
        let intercept = self.0.intercept(uri)?;
        let scheme = intercept.uri().scheme_str().unwrap_or_default().to_owned();
        let mut address = Address::of(intercept.uri())?;
        if scheme.starts_with("socks") && intercept.uri().port().is_none() {
            address.port = SOCKS_PORT;
        }
        Some(Proxy { address, scheme, setting: setting(target.encrypted), intercept })
    }
}

impl Proxy {
    /// Whether its URL has a name and a password.
    pub(super) fn has_password(&self) -> bool {
        self.intercept.basic_auth().is_some() || self.intercept.raw_auth().is_some()
    }
}

/// The variable that names the proxy for encrypted or for plain connections, in the matcher's order.
fn setting(encrypted: bool) -> &'static str {
    let own = if encrypted { ["HTTPS_PROXY", "https_proxy"] } else { ["HTTP_PROXY", "http_proxy"] };
    let first = |names: [&'static str; 2]| names.into_iter().find(|name| env::var_os(name).is_some());
    let filled = |name: &&str| env::var_os(name).is_some_and(|value| !value.is_empty());
    first(own).filter(filled).or_else(|| first(["ALL_PROXY", "all_proxy"])).unwrap_or("HTTPS_PROXY")
}

/// Whether a host is this machine or on one of its links. Such a host is connected to without a proxy: a proxy
/// elsewhere would reach its own machine by the same address. The servers that give credentials to machines, containers
/// and pods are among these hosts, and no proxy may see their tokens.
fn is_near(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    // RFC 6761: these names stand for loopback, and name servers are not asked.
    if host == "localhost" || host.ends_with(".localhost") {
        return true;
    }
    match host.parse().map(|address: IpAddr| address.to_canonical()) {
        Ok(IpAddr::V4(address)) => address.is_loopback() || address.is_link_local(),
        Ok(IpAddr::V6(address)) => {
            // AWS has its services for instances and pods in fd00:ec2::/32.
            address.is_loopback()
                || address.is_unicast_link_local()
                || matches!(address.segments(), [0xfd00, 0xec2, ..])
        }
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_and_whoever_gives_credentials_are_reached_without_a_proxy() {
        let proxies = Proxies(Matcher::builder().all("http://proxy.example:3128").build());
        let is_direct = |host: &str| {
            let address = Address { host: host.to_owned(), port: 80, encrypted: false };
            proxies.to(&address, &address.uri().unwrap()).is_none()
        };
        for host in [
            "127.0.0.1",
            "127.8.9.10",
            "::1",
            "::ffff:127.0.0.1",
            "localhost",
            "LocalHost.",
            "ssm.localhost",
            // Tasks of ECS, pods of EKS, instances.
            "169.254.170.2",
            "169.254.170.23",
            "fd00:ec2::23",
            "169.254.169.254",
            "fd00:ec2::254",
            "fe80::1",
        ] {
            assert!(is_direct(host), "{host}");
        }
        for host in ["10.0.0.1", "128.0.0.1", "::2", "fd00::1", "localhost.example.com", "notlocalhost", "ssm.example"]
        {
            assert!(!is_direct(host), "{host}");
        }
        let none = Address { host: "ssm.example".to_owned(), port: 443, encrypted: true };
        assert!(Proxies::none().to(&none, &none.uri().unwrap()).is_none());
    }
}
