//! The words for a host that cannot be connected to.

use ssm_net::{DialError, DialFailure, TrustError, Via, authority};

use super::error::{Error, ExitStatus};
use super::setting::origin;

/// What failed, and what to do about it.
pub(super) fn dial(error: &DialError) -> Error {
    let status = match error.failure {
        DialFailure::Trust(_) => ExitStatus::Config,
        DialFailure::ProxyPassword { .. } => ExitStatus::Denied,
        // A network's login page answers in the host's place until somebody has logged in.
        _ => ExitStatus::TryAgain,
    };
    Error::new(status, error.to_string(), hint(error))
}

fn hint(error: &DialError) -> String {
    let hint = match &error.failure {
        DialFailure::Trust(error) => return trust(error),
        DialFailure::Untrusted(_) => {
            "if your network inspects TLS, name a PEM file with its CA certificate by --ca-bundle or AWS_CA_BUNDLE"
        }
        DialFailure::WrongName(_) => {
            "check --endpoint-url and the network's DNS: whoever answers there is not the host that was asked for"
        }
        DialFailure::NotNow(_) => "check this machine's clock (date -u)",
        failure => match &error.via {
            Some(via) => return proxy(error, via),
            None => match failure {
                DialFailure::NoAddress(_) => "check the region and the network's DNS; behind a proxy, set HTTPS_PROXY",
                DialFailure::NoTls => "check --endpoint-url, its port, and whether it should begin with http://",
                _ => "check the network and the region; behind a proxy, set HTTPS_PROXY",
            },
        },
    };
    hint.to_owned()
}

fn trust(error: &TrustError) -> String {
    match error {
        TrustError::Library(_) => "report this as a bug".to_owned(),
        TrustError::File { setting, .. } => {
            format!("name a PEM file with the certificates to trust by {}, or leave that out", origin(setting))
        }
        TrustError::NoRoots => {
            "install the package ca-certificates, or name a PEM file by --ca-bundle or AWS_CA_BUNDLE".to_owned()
        }
    }
}

fn proxy(error: &DialError, via: &Via) -> String {
    let Via { scheme, setting, target } = via;
    match &error.failure {
        DialFailure::ProxyPassword { given: false } => {
            let at = authority(&error.host, error.port);
            format!("write name and password into {setting}: {scheme}://NAME:PASSWORD@{at}")
        }
        DialFailure::ProxyPassword { given: true } => {
            format!("correct name and password in {setting}; write @ as %40, : as %3A, / as %2F and % as %25 there")
        }
        DialFailure::Proxy(_) => format!("have the proxy allow {target}, or name the host in NO_PROXY to go around it"),
        DialFailure::NoTls => format!("check {setting}: perhaps it should begin with http://"),
        _ => format!("check {setting}, which names this proxy; hosts in NO_PROXY are reached without it"),
    }
}
