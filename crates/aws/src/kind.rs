//! The failures that callers tell apart.

use ssm_net::{DialError, Failure};

/// What a failure means for whoever asked: whether it may pass, and what would have to change for that.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ErrorKind {
    /// The service asks for fewer calls; it has done nothing.
    Throttled,
    /// The service or the way to it failed; whether it has done anything is not known.
    Passing,
    /// What was asked about does not exist, or not any more.
    Gone,
    /// The target has no connection to Session Manager at the moment.
    NotConnected,
    /// The credentials have expired.
    Expired,
    /// Whoever asks has no credentials that are accepted, or no permission. Either may be given while we wait.
    Denied,
    /// Anything else: asking again gives the same answer.
    Lasting,
}

impl ErrorKind {
    /// Whether the credentials or their permissions are what has to change.
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
            Failure::Trust(_) => Self::Lasting,
            Failure::ProxyPassword { .. } => Self::Denied,
            // A network's login page answers in the host's place until somebody has logged in.
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
        assert_eq!(kind(Failure::TimedOut), ErrorKind::Passing);
        assert_eq!(kind(Failure::ProxyPassword { given: false }), ErrorKind::Denied);
        assert_eq!(kind(Failure::Trust(ssm_net::TrustError::NoRoots)), ErrorKind::Lasting);
    }
}
