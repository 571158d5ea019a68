//! Why there is no connection, and what a user can do about it.

use std::error::Error as StdError;
use std::fmt;

use super::{Address, authority};
use crate::error::{Error, ExitStatus, chain};

/// A host that could not be connected to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DialError {
    /// The host, or the proxy on the way to it.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What went wrong.
    pub failure: Failure,
    /// If the host is a proxy: how it is used.
    pub via: Option<Box<Via>>,
}

/// How a proxy is used.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Via {
    /// The scheme of its URL.
    pub scheme: String,
    /// The variable that names it.
    pub setting: &'static str,
    /// The host and port that it is to connect to.
    pub target: String,
}

/// What went wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Failure {
    /// The name has no address.
    NoAddress(String),
    /// No connection in time.
    TimedOut,
    /// TCP or TLS failed.
    Failed(String),
    /// What answers does not speak TLS.
    NoTls,
    /// Its certificate is not trusted.
    Untrusted(String),
    /// Its certificate is another host's.
    WrongName(String),
    /// Its certificate is too old, or too new, for this machine's clock.
    NotNow(String),
    /// The proxy wants a name and a password, or others than those that were given.
    ProxyPassword {
        /// Whether it was given some.
        given: bool,
    },
    /// The proxy did not let us through.
    Proxy(String),
    /// What TLS needs on this side cannot be had.
    Unusable(Error),
}

impl DialError {
    pub(super) fn new(address: &Address, failure: Failure) -> Self {
        Self { host: address.host.clone(), port: address.port, failure, via: None }
    }

    /// Whether somebody has answered, if only to refuse.
    pub(super) fn is_answer(&self) -> bool {
        !matches!(self.failure, Failure::NoAddress(_) | Failure::TimedOut | Failure::Failed(_))
    }

    /// For the user.
    pub fn explain(&self) -> Error {
        let error = match &self.failure {
            Failure::Unusable(error) => error.clone(),
            failure => {
                let status = match failure {
                    Failure::ProxyPassword { .. } => ExitStatus::Denied,
                    // A network's login page answers in the host's place until somebody has logged in.
                    _ => ExitStatus::TryAgain,
                };
                Error::new(status, self.to_string(), self.hint())
            }
        };
        error.unheard()
    }

    fn hint(&self) -> String {
        let hint = match &self.failure {
            Failure::Untrusted(_) => {
                "if your network inspects TLS, name a PEM file with its CA certificate by --ca-bundle or AWS_CA_BUNDLE"
            }
            Failure::WrongName(_) => {
                "check --endpoint-url and the network's DNS: whoever answers there is not the host that was asked for"
            }
            Failure::NotNow(_) => "check this machine's clock (date -u)",
            failure => match &self.via {
                Some(via) => return self.proxy_hint(via),
                None => match failure {
                    Failure::NoAddress(_) => "check the region and the network's DNS; behind a proxy, set HTTPS_PROXY",
                    Failure::NoTls => "check --endpoint-url, its port, and whether it should begin with http://",
                    _ => "check the network and the region; behind a proxy, set HTTPS_PROXY",
                },
            },
        };
        hint.to_owned()
    }

    fn proxy_hint(&self, via: &Via) -> String {
        let Via { scheme, setting, target } = via;
        match &self.failure {
            Failure::ProxyPassword { given: false } => {
                format!(
                    "write name and password into {setting}: {scheme}://NAME:PASSWORD@{}",
                    authority(&self.host, self.port)
                )
            }
            Failure::ProxyPassword { given: true } => {
                format!("correct name and password in {setting}; write @ as %40, : as %3A, / as %2F and % as %25 there")
            }
            Failure::Proxy(_) => format!("have the proxy allow {target}, or name the host in NO_PROXY to go around it"),
            Failure::NoTls => format!("check {setting}: perhaps it should begin with http://"),
            _ => format!("check {setting}, which names this proxy; hosts in NO_PROXY are reached without it"),
        }
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, failure, via } = self;
        let at = match via {
            Some(_) => format!("the proxy {}", authority(host, *port)),
            None => host.clone(),
        };
        match (failure, via.as_deref()) {
            (Failure::NoAddress(why), _) => write!(formatter, "{at} cannot be found: {why}"),
            (Failure::TimedOut, Some(via)) => write!(formatter, "{at} does not connect to {}: timed out", via.target),
            (Failure::TimedOut, None) => write!(formatter, "{at} cannot be reached: timed out"),
            (Failure::Failed(why), _) => write!(formatter, "{at} cannot be reached: {why}"),
            (Failure::NoTls, Some(_)) => write!(formatter, "{at} does not speak TLS"),
            (Failure::NoTls, None) => write!(formatter, "{} does not speak TLS", authority(host, *port)),
            (Failure::Untrusted(why), _) => write!(formatter, "the TLS certificate of {at} is not trusted ({why})"),
            (Failure::WrongName(why), _) => write!(formatter, "the TLS certificate of {at} is not its own ({why})"),
            (Failure::NotNow(why), _) => write!(formatter, "the TLS certificate of {at} is not valid now ({why})"),
            (Failure::ProxyPassword { given: false }, _) => write!(formatter, "{at} wants a name and a password"),
            (Failure::ProxyPassword { given: true }, _) => {
                write!(formatter, "{at} does not accept the name and password")
            }
            (Failure::Proxy(why), Some(via)) => write!(formatter, "{at} does not connect to {}: {why}", via.target),
            (Failure::Proxy(why), None) => write!(formatter, "{at} does not connect: {why}"),
            (Failure::Unusable(error), _) => write!(formatter, "{error}"),
        }
    }
}

impl StdError for DialError {}

/// The reason at the bottom of an error, which for connections is the operating system's.
pub(super) fn bottom(error: &(dyn StdError + 'static)) -> String {
    chain(error).last().map(ToString::to_string).unwrap_or_default()
}
