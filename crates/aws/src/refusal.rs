//! A refusal: what the service answers in place of what it was asked for, and what that means.
//!
//! It must not know which call was refused.

use std::fmt;

use super::{
    cause::{first_line, quoted},
    credentials::Login,
    kind::ErrorKind,
};

/// An answer that says no.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// What it means.
    pub reason: Reason,
    /// Its HTTP status.
    pub status: u16,
    /// AWS's name for the error; empty if the answer was none of AWS's.
    pub code: String,
    /// The first line of what AWS says about it, without control characters; empty if that may hold a secret.
    pub message: String,
    /// Where the credentials come from that the call was signed with.
    pub login: Login,
}

/// What a refusal means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reason {
    /// The service asks for fewer calls.
    Throttled,
    /// The target has no connection to Session Manager.
    NotConnected,
    /// The instance does not run.
    NotRunning,
    /// There is no such target or session, or not any more.
    NotFound,
    /// The credentials have expired.
    Expired,
    /// The time of the request is wrong: this machine's clock, as a rule.
    WrongTime,
    /// The credentials are not AWS's, or the signature is not theirs.
    NotAccepted,
    /// The request was not signed, and has to be.
    Unsigned,
    /// A policy does not permit the call.
    NotPermitted,
    /// The session document cannot be used.
    Document,
    /// The service itself is in trouble.
    Failing,
    /// A proxy on the way wants a name and a password.
    ProxyPassword,
    /// Something else than the API answers: a login page of the network, a web server.
    Stranger,
    /// A reason that is not known here: what was asked for, as a rule.
    Other,
}

impl Refusal {
    /// Reads an answer with this HTTP status, and with this error in it; both texts are empty if there is none.
    pub(super) fn read(status: u16, code: &str, message: &str, login: Login) -> Self {
        // This one answers with the Authorization header that it was sent.
        let is_echo = code.starts_with("IncompleteSignature");
        let shown = if is_echo { String::new() } else { first_line(message) };
        Self { reason: Reason::of(status, code, message), status, code: code.to_owned(), message: shown, login }
    }
}

/// ` (Code: what AWS says)`, one bounded line; nothing if it says nothing.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code.as_str(), quoted(&self.message)) {
            ("", _) => Ok(()),
            (code, message) if message.is_empty() => write!(f, " ({code})"),
            (code, message) => write!(f, " ({code}: {message})"),
        }
    }
}

impl Reason {
    fn of(status: u16, code: &str, message: &str) -> Self {
        // Services spell the same error with and without "Exception".
        let code = code.trim_end_matches("Exception");
        let late = ["expired", "yet current"].iter().any(|word| message.contains(word));
        match (code, status) {
            (
                "Throttling"
                | "Throttled"
                | "ThrottledRequest"
                | "RequestThrottled"
                | "RequestLimitExceeded"
                | "TooManyRequests"
                | "SlowDown"
                | "BandwidthLimitExceeded"
                | "PriorRequestNotComplete",
                _,
            )
            | (_, 429) => Self::Throttled,
            ("TargetNotConnected", _) => Self::NotConnected,
            ("EC2InstanceStateInvalid" | "EC2InstanceUnavailable", _) => Self::NotRunning,
            (
                "InvalidInstanceId"
                | "InvalidInstanceID.NotFound"
                | "InvalidTarget"
                | "DoesNotExist"
                | "EC2InstanceNotFound",
                _,
            ) => Self::NotFound,
            ("ExpiredToken" | "TokenRefreshRequired", _) => Self::Expired,
            ("RequestExpired" | "RequestTimeTooSkewed" | "RequestInTheFuture", _) => Self::WrongTime,
            ("InvalidSignature" | "SignatureDoesNotMatch", _) if late => Self::WrongTime,
            (
                "UnrecognizedClient"
                | "InvalidClientTokenId"
                | "InvalidAccessKeyId"
                | "InvalidSignature"
                | "SignatureDoesNotMatch"
                | "IncompleteSignature"
                | "AuthFailure"
                | "OptInRequired",
                _,
            ) => Self::NotAccepted,
            ("MissingAuthenticationToken", _) => Self::Unsigned,
            (code, status) if code.starts_with("AccessDenied") || is_denial(code, status) => Self::NotPermitted,
            (code, _) if code.starts_with("InvalidDocument") => Self::Document,
            ("InternalServerError" | "InternalFailure" | "ServiceUnavailable", _) | (_, 500..=599) => Self::Failing,
            ("", 407) => Self::ProxyPassword,
            ("", _) => Self::Stranger,
            _ => Self::Other,
        }
    }

    pub(super) fn kind(self) -> ErrorKind {
        match self {
            Self::Throttled => ErrorKind::Throttled,
            Self::NotConnected => ErrorKind::NotConnected,
            Self::NotFound => ErrorKind::Gone,
            Self::Expired => ErrorKind::Expired,
            Self::WrongTime | Self::NotAccepted | Self::Unsigned | Self::NotPermitted | Self::ProxyPassword => {
                ErrorKind::Denied
            }
            Self::Failing | Self::Stranger => ErrorKind::Passing,
            Self::NotRunning | Self::Document | Self::Other => ErrorKind::Lasting,
        }
    }
}

fn is_denial(code: &str, status: u16) -> bool {
    let denies = |word| code.starts_with(word);
    code == "Auth"
        || ["AccessDenied", "NotAuthorized", "Unauthorized"].into_iter().any(denies)
        || matches!(status, 401 | 403)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_reason_and_kind() {
        use ErrorKind::{Denied, Lasting, Passing};
        for (status, code, reason, kind) in [
            (400, "TargetNotConnected", Reason::NotConnected, ErrorKind::NotConnected),
            (400, "InvalidInstanceId", Reason::NotFound, ErrorKind::Gone),
            (400, "DoesNotExistException", Reason::NotFound, ErrorKind::Gone),
            (400, "ThrottlingException", Reason::Throttled, ErrorKind::Throttled),
            (400, "Throttling", Reason::Throttled, ErrorKind::Throttled),
            (400, "RequestLimitExceeded", Reason::Throttled, ErrorKind::Throttled),
            (400, "TooManyRequestsException", Reason::Throttled, ErrorKind::Throttled),
            (429, "", Reason::Throttled, ErrorKind::Throttled),
            (500, "InternalServerError", Reason::Failing, Passing),
            (400, "InternalServerError", Reason::Failing, Passing),
            (503, "", Reason::Failing, Passing),
            (200, "", Reason::Stranger, Passing),
            (404, "", Reason::Stranger, Passing),
            (400, "ExpiredTokenException", Reason::Expired, ErrorKind::Expired),
            (400, "ExpiredToken", Reason::Expired, ErrorKind::Expired),
            (400, "RequestExpired", Reason::WrongTime, Denied),
            (400, "UnrecognizedClientException", Reason::NotAccepted, Denied),
            (403, "InvalidClientTokenId", Reason::NotAccepted, Denied),
            (400, "InvalidSignatureException", Reason::NotAccepted, Denied),
            (400, "IncompleteSignatureException", Reason::NotAccepted, Denied),
            (400, "MissingAuthenticationTokenException", Reason::Unsigned, Denied),
            (400, "AccessDeniedException", Reason::NotPermitted, Denied),
            (400, "AccessDenied", Reason::NotPermitted, Denied),
            (400, "UnauthorizedOperation", Reason::NotPermitted, Denied),
            (403, "SomethingNew", Reason::NotPermitted, Denied),
            (407, "", Reason::ProxyPassword, Denied),
            (400, "InvalidDocument", Reason::Document, Lasting),
            (400, "ValidationException", Reason::Other, Lasting),
            (400, "SomethingNew", Reason::Other, Lasting),
        ] {
            let read = Reason::of(status, code, "");
            assert_eq!((read, read.kind()), (reason, kind), "{status} {code}");
        }
    }

    #[test]
    fn a_signature_may_be_late() {
        for message in [
            "Signature expired: 20261101T000000Z is now earlier than 20261101T010000Z",
            "Signature not yet current: 20261102T170509Z is still later than 20261102T170312Z",
        ] {
            assert_eq!(Reason::of(400, "InvalidSignatureException", message), Reason::WrongTime);
        }
    }

    #[test]
    fn no_credential_is_kept() {
        let mismatch = "The request signature we calculated does not match.\n\nThe Canonical String for this request \
            should have been\n'POST\n/\n\nx-amz-security-token:IQoJSECRET\n'";
        let incomplete = "Authorization header requires 'Signature'. Authorization=AWS4-HMAC-SHA256 Credential=SECRET";
        for (code, message) in [("InvalidSignatureException", mismatch), ("IncompleteSignatureException", incomplete)] {
            let refusal = Refusal::read(400, code, message, Login::Environment);
            assert!(!format!("{refusal:?}").contains("SECRET"), "{refusal:?}");
            assert!(refusal.to_string().contains(code), "{refusal:?}");
        }
    }
}
