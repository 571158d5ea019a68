//! Refusals: error answers of a service, each with what it means.
//!
//! This module must not know which call was refused.

use std::fmt;

use super::{
    cause::{first_line, quoted},
    credentials::Login,
    kind::ErrorKind,
};

/// An error answer of a service.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// The meaning of the answer.
    pub reason: Reason,
    /// The HTTP status of the answer.
    pub status: u16,
    /// AWS's code for the error; empty if the answer is not one of AWS's.
    pub code: String,
    /// The first line of AWS's message, without control characters; empty if the message may have a secret in it.
    pub message: String,
    /// The source of the credentials that the call was signed with.
    pub login: Login,
}

/// The meaning of a refusal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reason {
    /// The service asks for fewer calls.
    Throttled,
    /// The target has no connection to Session Manager.
    NotConnected,
    /// The instance does not run.
    NotRunning,
    /// There is no such target, session or key, or not any more.
    NotFound,
    /// The credentials have expired.
    Expired,
    /// The time of the request is wrong: this machine's clock, as a rule.
    WrongTime,
    /// AWS does not know the credentials, or the signature does not match them.
    NotAccepted,
    /// The request has to be signed, and was not.
    Unsigned,
    /// A policy does not permit the call.
    NotPermitted,
    /// The session document cannot be used.
    Document,
    /// The KMS key cannot be used: it is disabled or is to be deleted, or it is for something else than data keys.
    KeyUnusable,
    /// The service itself is in trouble.
    Failing,
    /// A proxy in between wants a name and a password.
    ProxyPassword,
    /// The answer comes from something else than the API: a login page of the network, a web server.
    Stranger,
    /// Another reason. As a rule the request itself is wrong.
    Other,
}

impl Refusal {
    /// The refusal in an answer with this HTTP status, error code and message. Both texts are empty if the answer has
    /// none.
    pub(super) fn read(status: u16, code: &str, message: &str, login: Login) -> Self {
        // The message of this error quotes the request's Authorization header.
        let is_echo = code.starts_with("IncompleteSignature");
        let shown = if is_echo { String::new() } else { first_line(message) };
        Self { reason: Reason::of(status, code, message), status, code: code.to_owned(), message: shown, login }
    }
}

/// ` (CODE: MESSAGE)` in one bounded line; nothing if there is no code.
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
        // Some services put "Exception" behind an error's name, others do not.
        let code = code.trim_end_matches("Exception");
        if status == 429 {
            return Self::Throttled;
        }
        let known = Self::of_request(code).or_else(|| Self::of_signature(code, message));
        known.unwrap_or_else(|| Self::of_answer(status, code))
    }

    /// The codes about how much is asked for, and about what.
    fn of_request(code: &str) -> Option<Self> {
        Some(match code {
            "Throttling"
            | "Throttled"
            | "ThrottledRequest"
            | "RequestThrottled"
            | "RequestLimitExceeded"
            | "TooManyRequests"
            | "SlowDown"
            | "BandwidthLimitExceeded"
            | "PriorRequestNotComplete" => Self::Throttled,
            "TargetNotConnected" => Self::NotConnected,
            "EC2InstanceStateInvalid" | "EC2InstanceUnavailable" => Self::NotRunning,
            "InvalidInstanceId"
            | "InvalidInstanceID.NotFound"
            | "InvalidTarget"
            | "DoesNotExist"
            | "EC2InstanceNotFound" => Self::NotFound,
            // KMS says both of a key, also of one whose ARN is of another region.
            "NotFound" | "InvalidArn" => Self::NotFound,
            "Disabled" | "KMSInvalidState" | "InvalidKeyUsage" => Self::KeyUnusable,
            _ => return None,
        })
    }

    /// The codes about the signature and the credentials that it was made with.
    fn of_signature(code: &str, message: &str) -> Option<Self> {
        let is_late = ["expired", "yet current"].iter().any(|word| message.contains(word));
        Some(match code {
            "ExpiredToken" | "TokenRefreshRequired" => Self::Expired,
            "RequestExpired" | "RequestTimeTooSkewed" | "RequestInTheFuture" => Self::WrongTime,
            "InvalidSignature" | "SignatureDoesNotMatch" if is_late => Self::WrongTime,
            "UnrecognizedClient"
            | "InvalidClientTokenId"
            | "InvalidAccessKeyId"
            | "InvalidSignature"
            | "SignatureDoesNotMatch"
            | "IncompleteSignature"
            | "AuthFailure"
            | "OptInRequired" => Self::NotAccepted,
            "MissingAuthenticationToken" => Self::Unsigned,
            _ => return None,
        })
    }

    /// The rest, by the beginning of the code and by the HTTP status.
    fn of_answer(status: u16, code: &str) -> Self {
        match (code, status) {
            (code, status) if is_denial(code, status) => Self::NotPermitted,
            (code, _) if code.starts_with("InvalidDocument") => Self::Document,
            ("InternalServerError" | "InternalFailure" | "ServiceUnavailable", _) | (_, 500..=599) => Self::Failing,
            ("KMSInternal" | "KeyUnavailable" | "DependencyTimeout", _) => Self::Failing,
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
            Self::NotRunning | Self::Document | Self::KeyUnusable | Self::Other => ErrorKind::Lasting,
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
            (400, "NotFoundException", Reason::NotFound, ErrorKind::Gone),
            (400, "InvalidArnException", Reason::NotFound, ErrorKind::Gone),
            (400, "DisabledException", Reason::KeyUnusable, Lasting),
            (400, "KMSInvalidStateException", Reason::KeyUnusable, Lasting),
            (400, "InvalidKeyUsageException", Reason::KeyUnusable, Lasting),
            (400, "KeyUnavailableException", Reason::Failing, Passing),
            (400, "DependencyTimeoutException", Reason::Failing, Passing),
            (500, "KMSInternalException", Reason::Failing, Passing),
            (400, "InvalidGrantTokenException", Reason::Other, Lasting),
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
