//! The error of an API call: which call failed, where, and how.

use std::{fmt, time::Duration};

use super::{
    call::Call,
    credentials::SignInError,
    kind::ErrorKind,
    refusal::{Reason, Refusal},
};
use ssm_net::DialError;

/// The error of an API call. `Display` tells in one line what failed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ApiError {
    /// The call that failed.
    pub call: Call,
    /// The host that the call was for, by name or IP address.
    pub host: String,
    /// The region that the call was for.
    pub region: String,
    /// How it failed.
    pub failure: Box<ApiFailure>,
}

/// How a call fails.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ApiFailure {
    /// There are no credentials to sign the call with. Nothing was sent.
    SignIn(SignInError),
    /// The host, or the proxy on the way there, could not be connected to. Nothing was sent.
    Dial(DialError),
    /// The host could not be reached. The sentence names it and says why.
    Unreachable(String),
    /// There was no answer in time.
    NoAnswer,
    /// The answer could not be read to its end.
    Broken(String),
    /// The service refused.
    Refused(Refusal),
    /// The answer lacks a field that it must have.
    Incomplete {
        /// AWS's name for the field.
        field: &'static str,
    },
    /// The data key in the answer has another length than the one that was asked for.
    KeyLength {
        /// Its length, in bytes.
        bytes: usize,
        /// The length that was asked for, in bytes.
        expected: usize,
    },
    /// The answer comes in pages, and not all of them came in time.
    Late {
        /// The time limit.
        limit: Duration,
    },
    /// The answer has more pages than are followed.
    Endless {
        /// The most pages that are followed.
        pages: usize,
    },
    /// The SDK could not make a request of the call.
    Unsendable(String),
}

impl ApiError {
    /// The kind of the failure, by which the caller decides what to do.
    pub fn kind(&self) -> ErrorKind {
        match &*self.failure {
            ApiFailure::SignIn(error) => error.kind(),
            ApiFailure::Dial(error) => error.into(),
            ApiFailure::Refused(refusal) => refusal.reason.kind(),
            ApiFailure::Unreachable(_)
            | ApiFailure::NoAnswer
            | ApiFailure::Broken(_)
            | ApiFailure::Incomplete { .. }
            | ApiFailure::Late { .. }
            | ApiFailure::Endless { .. } => ErrorKind::Passing,
            ApiFailure::KeyLength { .. } | ApiFailure::Unsendable(_) => ErrorKind::Lasting,
        }
    }

    /// Whether no host of AWS was reached. To try again soon then is no burden to AWS.
    pub fn is_unheard(&self) -> bool {
        matches!(*self.failure, ApiFailure::Dial(_) | ApiFailure::Unreachable(_))
    }
}

impl std::error::Error for ApiError {}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, host, failure, .. } = self;
        let operation = call.operation();
        match &**failure {
            ApiFailure::SignIn(error) => write!(f, "{error}"),
            ApiFailure::Dial(error) => write!(f, "{error}"),
            ApiFailure::Unreachable(what) => f.write_str(what),
            ApiFailure::NoAnswer => write!(f, "{host} does not answer"),
            ApiFailure::Broken(why) => write!(f, "{host}: {why}"),
            ApiFailure::Refused(refusal) => self.fmt_refusal(refusal, f),
            ApiFailure::Incomplete { field } => write!(f, "the answer to {operation} has no {field}"),
            ApiFailure::KeyLength { bytes, expected } => {
                write!(f, "the answer to {operation} has a key of {bytes} bytes in place of {expected}")
            }
            ApiFailure::Late { limit } => {
                write!(f, "{host} has not given the list of nodes within {} s", limit.as_secs())
            }
            ApiFailure::Endless { pages } => write!(f, "{host} goes on after {pages} pages about one node"),
            ApiFailure::Unsendable(why) => write!(f, "{operation} cannot be called: {why}"),
        }
    }
}

impl ApiError {
    fn fmt_refusal(&self, refusal: &Refusal, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, host, region, .. } = self;
        let (operation, status) = (call.operation(), refusal.status);
        match refusal.reason {
            Reason::Throttled => write!(f, "{host} throttles {operation}{refusal}"),
            Reason::NotConnected => write!(f, "not connected to Session Manager in {region}{refusal}"),
            Reason::NotRunning => write!(f, "the instance does not run{refusal}"),
            Reason::NotFound => match call {
                Call::GenerateDataKey { key_id } => write!(f, "KMS key {key_id} not found in {region}{refusal}"),
                _ => write!(f, "not found in {region}{refusal}"),
            },
            Reason::Expired => write!(f, "the AWS credentials have expired{refusal}"),
            Reason::WrongTime => write!(f, "AWS finds the time of the request wrong{refusal}"),
            Reason::NotAccepted => write!(f, "{host} does not accept the AWS credentials{refusal}"),
            Reason::Unsigned => write!(f, "{host} wants requests to be signed{refusal}"),
            Reason::NotPermitted => match call {
                Call::GenerateDataKey { key_id } => {
                    write!(f, "{operation} with KMS key {key_id} is not permitted{refusal}")
                }
                _ => write!(f, "{operation} is not permitted{refusal}"),
            },
            Reason::Document => {
                let document = if let Call::StartSession { document } = call { document } else { "" };
                write!(f, "document {document} cannot be used{refusal}")
            }
            Reason::KeyUnusable => {
                let key_id = if let Call::GenerateDataKey { key_id } = call { key_id } else { "" };
                write!(f, "KMS key {key_id} cannot be used{refusal}")
            }
            Reason::Failing => write!(f, "{host} fails with HTTP {status}{refusal}"),
            Reason::ProxyPassword => f.write_str("the proxy wants a name and a password"),
            Reason::Stranger => write!(f, "{host} answers HTTP {status}, and not as {} does", call.service()),
            Reason::Other => write!(f, "{host} refuses {operation}{refusal}"),
        }
    }
}
