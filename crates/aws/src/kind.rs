//! Kinds of errors: the distinctions by which callers decide what to do next.

use ssm_net::{DialError, DialFailure};

/// The meaning of an error for the caller: whether it may pass, and which change that takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ErrorKind {
    /// The service asks for fewer calls. It has not done what it was asked.
    Throttled,
    /// The service or the network failed. The service may have done what it was asked.
    Passing,
    /// There is no such node, session, instance or key, or not any more.
    Gone,
    /// The target has no connection to Session Manager at the moment.
    NotConnected,
    /// The credentials have expired.
    Expired,
    /// The credentials are missing or not accepted, or give no permission. Both may change while the program waits.
    Denied,
    /// Any other error: to ask again brings the same answer.
    Lasting,
}

impl ErrorKind {
    /// Whether credentials or permissions have to change before the call can succeed.
    pub fn is_denial(self) -> bool {
        matches!(self, Self::Expired | Self::Denied)
    }

    /// Whether the same call may succeed later, without a change to what it asks for.
    pub fn may_pass(self) -> bool {
        !matches!(self, Self::Gone | Self::Lasting)
    }
}

impl From<&DialError> for ErrorKind {
    fn from(error: &DialError) -> Self {
        match error.failure {
            DialFailure::Trust(_) => Self::Lasting,
            DialFailure::ProxyPassword { .. } => Self::Denied,
            // Until the user logs in to the network, its login page may answer in the host's place.
            _ => Self::Passing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_sso_login_is_renewed_in_another_window_and_a_node_that_is_gone_stays_away() {
        use ErrorKind::{Denied, Expired, Gone, Lasting, NotConnected, Passing, Throttled};
        for (kind, may_pass, is_denial) in [
            (Throttled, true, false),
            (Passing, true, false),
            (NotConnected, true, false),
            (Expired, true, true),
            (Denied, true, true),
            (Gone, false, false),
            (Lasting, false, false),
        ] {
            assert_eq!((kind.may_pass(), kind.is_denial()), (may_pass, is_denial), "{kind:?}");
        }
    }

    #[test]
    fn proxies_may_deny_and_files_of_certificates_stay_as_they_are() {
        let kind = |failure| {
            let host = "ssm.example".to_owned();
            ErrorKind::from(&DialError { host, port: 443, failure, via: None })
        };
        assert_eq!(kind(DialFailure::TimedOut), ErrorKind::Passing);
        assert_eq!(kind(DialFailure::ProxyPassword { given: false }), ErrorKind::Denied);
        assert_eq!(kind(DialFailure::Trust(ssm_net::TrustError::NoRoots)), ErrorKind::Lasting);
    }
}
