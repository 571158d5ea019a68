//! Why there is no connection.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::address::{Address, authority};

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
    Trust(TrustError),
}

/// Why TLS cannot be spoken at all.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TrustError {
    /// The TLS library refuses its own defaults.
    #[error("TLS cannot be set up: {0}")]
    Library(String),
    /// A file of certificates that the user has named is of no use.
    #[error("the CA file {} cannot be used: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
        /// The setting that names it, as the user would look for it: `AWS_CA_BUNDLE`.
        setting: String,
    },
    /// The operating system trusts nobody.
    #[error("this machine has no root certificates")]
    NoRoots,
}

impl DialError {
    pub(crate) fn new(address: &Address, failure: Failure) -> Self {
        Self { host: address.host.clone(), port: address.port, failure, via: None }
    }

    /// An address that cannot be written as a URL.
    pub(crate) fn unusable(address: &Address, cause: &http::Error) -> Self {
        Self::new(address, Failure::Failed(cause.to_string()))
    }

    /// Whether somebody has answered, if only to refuse.
    pub(crate) fn is_answer(&self) -> bool {
        !matches!(self.failure, Failure::NoAddress(_) | Failure::TimedOut | Failure::Failed(_))
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
            (Failure::Trust(error), _) => write!(formatter, "{error}"),
        }
    }
}

impl StdError for DialError {}

/// An error and each that caused it. An `io::Error`'s own source passes over the error it carries: that one too.
pub fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(carried) => Some(carried as &(dyn StdError + 'static)),
        None => error.source(),
    })
}

/// The reason at the bottom of an error, which for connections is the operating system's.
pub(crate) fn bottom(error: &(dyn StdError + 'static)) -> String {
    chain(error).last().map(ToString::to_string).unwrap_or_default()
}
