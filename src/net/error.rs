//! Why there is no connection, and what a user can do about it.

use std::error::Error as StdError;
use std::fmt;

use super::Address;
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
    /// Its certificate is not trusted.
    Untrusted(String),
    /// The proxy wants a name and a password, or others.
    ProxyPassword,
    /// The proxy did not let us through.
    Proxy(String),
    /// What TLS needs on this side cannot be had.
    Unusable(Error),
}

impl DialError {
    pub(super) fn new(address: &Address, failure: Failure) -> Self {
        Self { host: address.host.clone(), port: address.port, failure }
    }

    /// A failure of, or at, the proxy at `address`.
    pub(super) fn of_proxy(address: &Address, why: String) -> Self {
        let failure = match why.contains("proxy authorization required") {
            true => Failure::ProxyPassword,
            false => Failure::Proxy(why),
        };
        Self::new(address, failure)
    }

    /// For the user.
    pub fn explain(&self) -> Error {
        let message = self.to_string();
        let error = match &self.failure {
            Failure::Unusable(error) => error.clone(),
            Failure::NoAddress(_) => Error::new(
                ExitStatus::TryAgain,
                message,
                "check the region and the network's DNS; behind a proxy, set HTTPS_PROXY",
            ),
            Failure::TimedOut | Failure::Failed(_) => Error::new(
                ExitStatus::TryAgain,
                message,
                "check the network and the region; behind a proxy, set HTTPS_PROXY",
            ),
            // A network's login page answers in the host's place until somebody has logged in.
            Failure::Untrusted(_) => Error::new(
                ExitStatus::TryAgain,
                message,
                "if your network inspects TLS, name a PEM file with its CA certificate by --ca-bundle or AWS_CA_BUNDLE",
            ),
            Failure::ProxyPassword => Error::new(
                ExitStatus::Denied,
                message,
                "write name and password into HTTPS_PROXY: http://NAME:PASSWORD@PROXY:PORT",
            ),
            Failure::Proxy(_) => Error::new(
                ExitStatus::TryAgain,
                message,
                "check HTTPS_PROXY, its name and password included, and what the proxy allows; or name the host in NO_PROXY",
            ),
        };
        error.unheard()
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, failure } = self;
        match failure {
            Failure::NoAddress(why) => write!(formatter, "{host} cannot be found: {why}"),
            Failure::TimedOut => write!(formatter, "{host} cannot be reached: timed out"),
            Failure::Failed(why) => write!(formatter, "{host} cannot be reached: {why}"),
            Failure::Untrusted(why) => write!(formatter, "the TLS certificate of {host} is not trusted ({why})"),
            Failure::ProxyPassword => write!(formatter, "the proxy {host}:{port} wants a name and a password"),
            Failure::Proxy(why) => write!(formatter, "the proxy {host}:{port} does not connect: {why}"),
            Failure::Unusable(error) => write!(formatter, "{error}"),
        }
    }
}

impl StdError for DialError {}

/// The reason at the bottom of an error, which for connections is the operating system's.
pub(super) fn bottom(error: &(dyn StdError + 'static)) -> String {
    chain(error).last().map(ToString::to_string).unwrap_or_default()
}
