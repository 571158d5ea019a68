//! A call that failed: which, where, and how.

use std::{fmt, time::Duration};

use super::{
    call::Call,
    credentials::SignInError,
    kind::ErrorKind,
    refusal::{Reason, Refusal},
};
use ssm_net::DialError;

/// A call that failed. Shown, it says what failed in one line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ApiError {
    /// The call.
    pub call: Call,
    /// The host that it was for, as a person would look it up.
    pub host: String,
    /// The region that it was for.
    pub region: String,
    /// How it failed.
    pub failure: Box<ApiFailure>,
}

/// How a call fails.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ApiFailure {
    /// There are no credentials to sign it with. Nothing was sent.
    SignIn(SignInError),
    /// The host, or the proxy on the way to it, could not be connected to. Nothing was sent.
    Dial(DialError),
    /// The host could not be asked: a sentence that says which and why.
    Unreachable(String),
    /// There was no answer in time.
    NoAnswer,
    /// The answer could not be read to its end.
    Broken(String),
    /// The service refused.
    Refused(Refusal),
    /// The answer lacks what it must have.
    Incomplete {
        /// AWS's name for the field.
        field: &'static str,
    },
    /// Its answer comes in pages, and not all of them came in time.
    Late {
        /// How long they were waited for.
        limit: Duration,
    },
    /// Its answer goes on after all pages that are followed.
    Endless {
        /// How many these are.
        pages: usize,
    },
    /// The SDK did not make a request of it.
    Unsendable(String),
}

impl ApiError {
    /// What the failure means for whoever asked.
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
            ApiFailure::Unsendable(_) => ErrorKind::Lasting,
        }
    }

    /// Whether nothing was heard from AWS at all: then it costs nobody but us to try again soon.
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
            Reason::NotFound => write!(f, "not found in {region}{refusal}"),
            Reason::Expired => write!(f, "the AWS credentials have expired{refusal}"),
            Reason::WrongTime => write!(f, "AWS finds the time of the request wrong{refusal}"),
            Reason::NotAccepted => write!(f, "{host} does not accept the AWS credentials{refusal}"),
            Reason::Unsigned => write!(f, "{host} wants requests to be signed{refusal}"),
            Reason::NotPermitted => write!(f, "{operation} is not permitted{refusal}"),
            Reason::Document => {
                let document = if let Call::StartSession { document } = call { document } else { "" };
                write!(f, "document {document} cannot be used{refusal}")
            }
            Reason::Failing => write!(f, "{host} fails with HTTP {status}{refusal}"),
            Reason::ProxyPassword => f.write_str("the proxy wants a name and a password"),
            Reason::Stranger => write!(f, "{host} answers HTTP {status}, and not as SSM does"),
            Reason::Other => write!(f, "{host} refuses {operation}{refusal}"),
        }
    }
}
