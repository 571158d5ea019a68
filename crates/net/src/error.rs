//! The errors of a connection: which host failed, and how.

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
    /// How it failed.
    pub failure: DialFailure,
    /// If the host is a proxy: how it is used.
    pub via: Option<Box<Via>>,
}

/// The use of a proxy: the variable that names it, and the host behind it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Via {
    /// The scheme of its URL.
    pub scheme: String,
    /// The variable that names it.
    pub setting: &'static str,
    /// The host and port that it is to connect to.
    pub target: String,
}

/// How a connection fails.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum DialFailure {
    /// The name has no address.
    NoAddress(String),
    /// The time limit has passed.
    TimedOut,
    /// TCP or TLS failed.
    Failed(String),
    /// The host answers, but not in TLS.
    NoTls,
    /// The host's certificate is not trusted.
    Untrusted(String),
    /// The certificate is another host's.
    WrongName(String),
    /// By this machine's clock the certificate has expired, or is not valid yet.
    NotNow(String),
    /// The proxy wants a name and a password, or does not accept the given ones.
    ProxyPassword {
        /// Whether some were given.
        given: bool,
    },
    /// The proxy did not let us through.
    Proxy(String),
    /// TLS cannot be set up on this side.
    Trust(TrustError),
}

/// Why TLS cannot be set up on this side.
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
        /// The reason, in words.
        why: String,
        /// The setting that names it, as the user would look for it: `AWS_CA_BUNDLE`.
        setting: String,
    },
    /// The operating system trusts nobody.
    #[error("this machine has no root certificates")]
    NoRoots,
}

impl DialError {
    pub(crate) fn new(address: &Address, failure: DialFailure) -> Self {
        Self { host: address.host.clone(), port: address.port, failure, via: None }
    }

    /// The error for an address that cannot be written as a URL.
    pub(crate) fn unusable(address: &Address, cause: &http::Error) -> Self {
        Self::new(address, DialFailure::Failed(cause.to_string()))
    }

    /// Whether a host has answered, if only to refuse.
    pub(crate) fn is_answer(&self) -> bool {
        !matches!(self.failure, DialFailure::NoAddress(_) | DialFailure::TimedOut | DialFailure::Failed(_))
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
            (DialFailure::NoAddress(why), _) => write!(formatter, "{at} cannot be found: {why}"),
            (DialFailure::TimedOut, Some(via)) => {
                write!(formatter, "{at} does not connect to {}: timed out", via.target)
            }
            (DialFailure::TimedOut, None) => write!(formatter, "{at} cannot be reached: timed out"),
            (DialFailure::Failed(why), _) => write!(formatter, "{at} cannot be reached: {why}"),
            (DialFailure::NoTls, Some(_)) => write!(formatter, "{at} does not speak TLS"),
            (DialFailure::NoTls, None) => write!(formatter, "{} does not speak TLS", authority(host, *port)),
            (DialFailure::Untrusted(why), _) => write!(formatter, "the TLS certificate of {at} is not trusted ({why})"),
            (DialFailure::WrongName(why), _) => write!(formatter, "the TLS certificate of {at} is not its own ({why})"),
            (DialFailure::NotNow(why), _) => write!(formatter, "the TLS certificate of {at} is not valid now ({why})"),
            (DialFailure::ProxyPassword { given: false }, _) => write!(formatter, "{at} wants a name and a password"),
            (DialFailure::ProxyPassword { given: true }, _) => {
                write!(formatter, "{at} does not accept the name and password")
            }
            (DialFailure::Proxy(why), Some(via)) => write!(formatter, "{at} does not connect to {}: {why}", via.target),
            (DialFailure::Proxy(why), None) => write!(formatter, "{at} does not connect: {why}"),
            (DialFailure::Trust(error), _) => write!(formatter, "{error}"),
        }
    }
}

impl StdError for DialError {}

/// An error and each of its causes. The source of an `io::Error` passes over the error that the `io::Error` carries;
/// here it is not passed over.
pub fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(carried) => Some(carried as &(dyn StdError + 'static)),
        None => error.source(),
    })
}

/// The last cause of an error in words. For a connection it comes from the operating system.
pub(crate) fn bottom(error: &(dyn StdError + 'static)) -> String {
    chain(error).last().map(ToString::to_string).unwrap_or_default()
}
