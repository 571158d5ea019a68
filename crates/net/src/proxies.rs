//! Which proxy leads to which host: the variables of the environment, read as curl reads them.
//!
//! It must not know how a proxy is spoken to.

use std::env;
use std::net::IpAddr;

use http::Uri;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};

use crate::address::Address;

/// Where SOCKS proxies listen if their URL does not say.
const SOCKS_PORT: u16 = 1080;

/// The proxies of the environment.
pub(super) struct Proxies(Matcher);

/// The proxy on the way to a host.
pub(super) struct Proxy {
    /// Where it is; whether TLS is spoken with it.
    pub(super) address: Address,
    /// `http`, `https`, `socks4`, `socks4a`, `socks5` or `socks5h`.
    pub(super) scheme: String,
    /// The variable that names it, for messages.
    pub(super) setting: &'static str,
    /// What its URL says; it may hold a password.
    pub(super) intercept: Intercept,
}

impl Proxies {
    pub(super) fn from_env() -> Self {
        let none = ["NO_PROXY", "no_proxy"].iter().any(|name| env::var(name).is_ok_and(|rules| rules.trim() == "*"));
        // The matcher takes `*` for names only, not for addresses.
        Self(if none { Matcher::builder().build() } else { Matcher::from_env() })
    }

    /// The proxy on the way to `target`, whose URL is `uri`.
    pub(super) fn to(&self, target: &Address, uri: &Uri) -> Option<Proxy> {
        if is_link_local(&target.host) {
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
    /// The user's name and password for it.
    pub(super) fn has_password(&self) -> bool {
        self.intercept.basic_auth().is_some() || self.intercept.raw_auth().is_some()
    }
}

/// The variable that names the proxy for URLs of this kind, in the matcher's order.
fn setting(encrypted: bool) -> &'static str {
    let own = if encrypted { ["HTTPS_PROXY", "https_proxy"] } else { ["HTTP_PROXY", "http_proxy"] };
    let first = |names: [&'static str; 2]| names.into_iter().find(|name| env::var_os(name).is_some());
    let filled = |name: &&str| env::var_os(name).is_some_and(|value| !value.is_empty());
    first(own).filter(filled).or_else(|| first(["ALL_PROXY", "all_proxy"])).unwrap_or("HTTPS_PROXY")
}

/// Whether a host is of the kind that no proxy can reach: the metadata services of machines and containers.
fn is_link_local(host: &str) -> bool {
    match host.parse() {
        Ok(IpAddr::V4(address)) => address.is_link_local(),
        Ok(IpAddr::V6(address)) => address.is_unicast_link_local() || address.segments().first() == Some(&0xfd00),
        Err(_) => false,
    }
}
