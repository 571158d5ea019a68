//! What AWS's refusals and the network's failures mean to the user: a status, one line, and what to do next.
//!
//! It must not decide what happens then: repeating is `sessions`' business.

use std::{error::Error as StdError, io};

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ssm::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::ConnectorError};
use aws_smithy_types::error::ErrorMetadata;

use super::{call::Call, config::Aws, http::Unreachable};
use crate::diagnostics::{self, Error, ExitStatus};
use ssm_net::{DialError, chain};

/// The longest text of AWS that a message quotes, in characters: several lines of a terminal.
const MAX_QUOTE_CHARS: usize = 400;

/// The failures that callers tell apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
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
    /// Anything else: asking again gives the same answer.
    Lasting,
}

/// A failed call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Fault {
    pub(super) kind: Kind,
    pub(super) error: Error,
}

/// Explains what the SDK returned.
pub(super) async fn explain<E>(aws: &Aws, call: Call<'_>, error: SdkError<E, HttpResponse>) -> Fault
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    if let Some(error) = find::<Error>(&error) {
        return Fault { kind: Kind::Lasting, error: error.clone() };
    }
    if let (Some(error), Some(credentials)) = (find::<CredentialsError>(&error), aws.cached_credentials()) {
        return Fault { kind: Kind::Lasting, error: credentials.explain(error) };
    }
    let host = call.host(aws).await;
    match &error {
        SdkError::ServiceError(context) => {
            let answer = Answer {
                status: context.raw().status().as_u16(),
                code: context.err().code().unwrap_or_default(),
                message: context.err().message().unwrap_or_default(),
            };
            answer.explain(aws, call, &host)
        }
        SdkError::ResponseError(context) => {
            Answer { status: context.raw().status().as_u16(), code: "", message: "" }.explain(aws, call, &host)
        }
        SdkError::TimeoutError(_) => unanswered(&host),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => unanswered(&host),
        SdkError::DispatchFailure(_) => match (find::<DialError>(&error), unreachable(&error)) {
            (Some(error), _) => {
                let error = diagnostics::dial(error);
                let kind = if error.status == ExitStatus::TryAgain { Kind::Passing } else { Kind::Lasting };
                Fault { kind, error }
            }
            (None, Some(message)) => {
                let hint =
                    "try again in a moment; check --endpoint-url if there is one: http:// or https://, host and port";
                let fault = passing(message, hint);
                Fault { error: fault.error.unheard(), ..fault }
            }
            (None, None) => passing(format!("{host}: {}", cause(&error)), "try again"),
        },
        _ => {
            let message = format!("{} cannot be called: {}", call.operation(), cause(&error));
            lasting(ExitStatus::Config, message, "check --region and --endpoint-url")
        }
    }
}

/// There was no answer in time.
fn unanswered(host: &str) -> Fault {
    passing(format!("{host} does not answer"), "try again; behind a proxy, set HTTPS_PROXY")
}

fn passing(message: String, hint: &str) -> Fault {
    Fault { kind: Kind::Passing, error: Error::new(ExitStatus::TryAgain, message, hint) }
}

fn lasting(status: ExitStatus, message: String, hint: impl Into<String>) -> Fault {
    Fault { kind: Kind::Lasting, error: Error::new(status, message, hint) }
}

/// A refusal as the service worded it.
#[derive(Clone, Copy, Debug)]
struct Answer<'a> {
    /// HTTP status.
    status: u16,
    /// The error's name; empty if the body was no answer of the SSM API.
    code: &'a str,
    message: &'a str,
}

impl Answer<'_> {
    fn explain(self, aws: &Aws, call: Call<'_>, host: &str) -> Fault {
        let operation = call.operation();
        let region = &aws.region;
        let quote = self.quote();
        // Services spell the same error with and without "Exception".
        let code = self.code.trim_end_matches("Exception");
        let late = ["expired", "yet current"].iter().any(|word| self.message.contains(word));
        match (code, self.status) {
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
            | (_, 429) => Fault {
                kind: Kind::Throttled,
                error: Error::new(
                    ExitStatus::TryAgain,
                    format!("{host} throttles {operation}{quote}"),
                    "try again in a moment; ssh's ControlMaster lets many connections share one session",
                ),
            },
            ("TargetNotConnected", _) => Fault {
                kind: Kind::NotConnected,
                error: Error::new(
                    ExitStatus::Unavailable,
                    format!("not connected to Session Manager in {region}{quote}"),
                    format!(
                        "check that it runs, that its SSM Agent is online (aws ssm describe-instance-information \
                         --region {region}), and that account and region are the right ones"
                    ),
                ),
            },
            ("EC2InstanceStateInvalid" | "EC2InstanceUnavailable", _) => {
                lasting(ExitStatus::Unavailable, format!("the instance does not run{quote}"), "start it, and try again")
            }
            (
                "InvalidInstanceId"
                | "InvalidInstanceID.NotFound"
                | "InvalidTarget"
                | "DoesNotExist"
                | "EC2InstanceNotFound",
                _,
            ) => Fault {
                kind: Kind::Gone,
                error: Error::new(
                    ExitStatus::NoTarget,
                    format!("not found in {region}{quote}"),
                    "check the id, --region and --profile",
                ),
            },
            ("ExpiredToken" | "TokenRefreshRequired", _) => Fault {
                kind: Kind::Expired,
                error: Error::new(
                    ExitStatus::Denied,
                    format!("the AWS credentials have expired{quote}"),
                    aws.credentials_hint(),
                ),
            },
            ("RequestExpired" | "RequestTimeTooSkewed" | "RequestInTheFuture", _) => clock(&quote),
            ("InvalidSignature" | "SignatureDoesNotMatch", _) if late => clock(&quote),
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
            ) => lasting(
                ExitStatus::Denied,
                format!("{host} does not accept the AWS credentials{quote}"),
                aws.credentials_hint(),
            ),
            ("MissingAuthenticationToken", _) => lasting(
                ExitStatus::Denied,
                format!("{host} wants requests to be signed{quote}"),
                aws.credentials_hint(),
            ),
            (code, status) if code.starts_with("AccessDenied") || is_denial(code, status) => lasting(
                ExitStatus::Denied,
                format!("{operation} is not permitted{quote}"),
                call.permission(self.message),
            ),
            (code, _) if code.starts_with("InvalidDocument") => lasting(
                ExitStatus::Config,
                format!("document {} cannot be used{quote}", call.document()),
                "check --document-name; AWS-StartSSHSession exists in every account",
            ),
            ("InternalServerError" | "InternalFailure" | "ServiceUnavailable", _) | (_, 500..=599) => {
                passing(format!("{host} fails with HTTP {}{quote}", self.status), "try again in a moment")
            }
            ("", 407) => lasting(
                ExitStatus::Denied,
                "the proxy wants a name and a password".to_owned(),
                "put them into HTTPS_PROXY: http://NAME:PASSWORD@HOST:PORT",
            ),
            ("", status) => passing(
                format!("{host} answers HTTP {status}, and not as SSM does"),
                "check --endpoint-url and HTTPS_PROXY; a login page of the network may be in between",
            ),
            _ => lasting(ExitStatus::Config, format!("{host} refuses {operation}{quote}"), call.flags()),
        }
    }

    /// ` (Code: what AWS says)`, one line.
    fn quote(self) -> String {
        // This one answers with the Authorization header that it was sent.
        let message = match self.code {
            code if code.starts_with("IncompleteSignature") => String::new(),
            _ => one_line(self.message),
        };
        match (self.code, message.as_str()) {
            ("", _) => String::new(),
            (code, "") => format!(" ({code})"),
            (code, message) => format!(" ({code}: {message})"),
        }
    }
}

fn is_denial(code: &str, status: u16) -> bool {
    let denies = |word| code.starts_with(word);
    code == "Auth"
        || ["AccessDenied", "NotAuthorized", "Unauthorized"].into_iter().any(denies)
        || matches!(status, 401 | 403)
}

fn clock(quote: &str) -> Fault {
    lasting(
        ExitStatus::Denied,
        format!("AWS finds the time of the request wrong{quote}"),
        "set this machine's clock, which may be at most 5 minutes off: date -u shows it",
    )
}

/// The first line of a text, without control characters, of bounded length.
///
/// The first alone: a signature mismatch comes with the canonical request below it, session token included.
fn one_line(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    let mut clean: String = line
        .chars()
        .take(MAX_QUOTE_CHARS)
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect();
    if line.chars().count() > MAX_QUOTE_CHARS {
        clean.push('…');
    }
    clean
}

/// The first error of type `T` in the chain.
pub(super) fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    chain(error).find_map(|error| error.downcast_ref())
}

/// The reason at the bottom of an error, one line: what AWS said if it said something.
pub(super) fn cause(error: &(dyn StdError + 'static)) -> String {
    if let Some(said) = find::<ErrorMetadata>(error) {
        let text = [said.code(), said.message()].into_iter().flatten().collect::<Vec<_>>().join(": ");
        return one_line(&text);
    }
    let errors: Vec<_> = chain(error).collect();
    // The operating system's words alone do not say what they are about: "No such file or directory".
    let shown = if errors.last().is_some_and(|last| last.is::<io::Error>()) { 2 } else { 1 };
    let bottom = errors.len().saturating_sub(shown);
    let texts: Vec<_> = errors.iter().skip(bottom).map(|error| one_line(&error.to_string())).collect();
    texts.join(": ")
}

/// If a host could not be reached: which, and why.
pub(super) fn unreachable(error: &(dyn StdError + 'static)) -> Option<String> {
    if let Some(error) = find::<DialError>(error) {
        return Some(error.to_string());
    }
    let unreachable = find::<Unreachable>(error)?;
    let host = &unreachable.host;
    let timed_out = find::<ConnectorError>(unreachable).is_some_and(ConnectorError::is_timeout);
    let why = match chain(unreachable).last() {
        _ if timed_out => return Some(format!("{host} does not answer")),
        Some(last) => one_line(&last.to_string()),
        None => String::new(),
    };
    Some(format!("{host} cannot be reached: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::{
        Overrides, Sessions, StartRequest,
        test_support::{Folder, Service, aws_in},
    };

    const CALL: Call<'_> = Call::StartSession { document: "AWS-StartSSHSession" };

    async fn answer(config: &str, status: u16, code: &str, message: &str) -> Fault {
        let aws = Service::answering([]).aws(config).await;
        Answer { status, code, message }.explain(&aws, CALL, "ssm.example")
    }

    #[tokio::test]
    async fn each_refusal_has_its_status_and_kind() {
        use ExitStatus::{Config, Denied, NoTarget, TryAgain, Unavailable};
        for (status, code, expected, kind) in [
            (400, "TargetNotConnected", Unavailable, Kind::NotConnected),
            (400, "InvalidInstanceId", NoTarget, Kind::Gone),
            (400, "DoesNotExistException", NoTarget, Kind::Gone),
            (400, "ThrottlingException", TryAgain, Kind::Throttled),
            (400, "Throttling", TryAgain, Kind::Throttled),
            (400, "RequestLimitExceeded", TryAgain, Kind::Throttled),
            (400, "TooManyRequestsException", TryAgain, Kind::Throttled),
            (429, "", TryAgain, Kind::Throttled),
            (500, "InternalServerError", TryAgain, Kind::Passing),
            (400, "InternalServerError", TryAgain, Kind::Passing),
            (503, "", TryAgain, Kind::Passing),
            (200, "", TryAgain, Kind::Passing),
            (404, "", TryAgain, Kind::Passing),
            (400, "ExpiredTokenException", Denied, Kind::Expired),
            (400, "ExpiredToken", Denied, Kind::Expired),
            (400, "RequestExpired", Denied, Kind::Lasting),
            (400, "UnrecognizedClientException", Denied, Kind::Lasting),
            (403, "InvalidClientTokenId", Denied, Kind::Lasting),
            (400, "InvalidSignatureException", Denied, Kind::Lasting),
            (400, "IncompleteSignatureException", Denied, Kind::Lasting),
            (400, "MissingAuthenticationTokenException", Denied, Kind::Lasting),
            (400, "AccessDeniedException", Denied, Kind::Lasting),
            (400, "AccessDenied", Denied, Kind::Lasting),
            (400, "UnauthorizedOperation", Denied, Kind::Lasting),
            (403, "SomethingNew", Denied, Kind::Lasting),
            (407, "", Denied, Kind::Lasting),
            (400, "InvalidDocument", Config, Kind::Lasting),
            (400, "ValidationException", Config, Kind::Lasting),
            (400, "SomethingNew", Config, Kind::Lasting),
        ] {
            let fault = answer("", status, code, "").await;
            assert_eq!((fault.error.status, fault.kind), (expected, kind), "{status} {code}");
            assert!(!fault.error.hint.is_empty() && !fault.error.message.contains("()"), "{:?}", fault.error);
        }
    }

    #[tokio::test]
    async fn refusals_in_full() {
        let sso = "[default]\nsso_session = corp\n";
        for (config, code, message, expected, hint) in [
            (
                "",
                "AccessDeniedException",
                "User: arn:aws:iam::1:user/me is not authorized to perform: ssm:StartSession",
                "StartSession is not permitted (AccessDeniedException: User: arn:aws:iam::1:user/me is not authorized \
                 to perform: ssm:StartSession)",
                "IAM must allow ssm:StartSession on the node and on document/AWS-StartSSHSession",
            ),
            (
                sso,
                "ExpiredTokenException",
                "The security token included in the request is expired",
                "the AWS credentials have expired (ExpiredTokenException: The security token included in the request \
                 is expired)",
                "aws sso login",
            ),
            (
                "",
                "InvalidSignatureException",
                "Signature expired: 20261101T000000Z is now earlier than 20261101T010000Z",
                "AWS finds the time of the request wrong (InvalidSignatureException: Signature expired: \
                 20261101T000000Z is now earlier than 20261101T010000Z)",
                "set this machine's clock, which may be at most 5 minutes off: date -u shows it",
            ),
            (
                "",
                "ThrottlingException",
                "Rate exceeded",
                "ssm.example throttles StartSession (ThrottlingException: Rate exceeded)",
                "try again in a moment; ssh's ControlMaster lets many connections share one session",
            ),
        ] {
            let error = answer(config, 400, code, message).await.error;
            assert_eq!((error.message.as_str(), error.hint.as_str()), (expected, hint));
        }
    }

    #[tokio::test]
    async fn no_credential_is_quoted() {
        let mismatch = "The request signature we calculated does not match.\n\nThe Canonical String for this request \
            should have been\n'POST\n/\n\nx-amz-security-token:IQoJSECRET\n'";
        let incomplete = "Authorization header requires 'Signature'. Authorization=AWS4-HMAC-SHA256 Credential=SECRET";
        for (code, message) in [("InvalidSignatureException", mismatch), ("IncompleteSignatureException", incomplete)] {
            let error = answer("", 400, code, message).await.error;
            assert!(!error.to_string().contains("SECRET") && error.message.contains(code), "{error:?}");
        }
    }

    #[test]
    fn quotes_are_one_bounded_line() {
        assert_eq!(one_line("\n a\tb\u{1b}[31m\r\nsecond"), "a b [31m");
        assert_eq!(one_line(&"é".repeat(MAX_QUOTE_CHARS + 1)).chars().count(), MAX_QUOTE_CHARS + 1);
    }

    /// What `StartSession` says of an endpoint.
    async fn start_at(endpoint: &str, trust: &str) -> Error {
        let config = format!(
            "[default]\naws_access_key_id = AKID\naws_secret_access_key = secret\nendpoint_url = {endpoint}\n{trust}"
        );
        let request = StartRequest {
            target: "i-0".to_owned(),
            document: "AWS-StartSSHSession".to_owned(),
            parameters: Default::default(),
            reason: None,
        };
        let folder = Folder::new();
        let aws = aws_in(&folder, &Overrides::default(), &[], &config).await;
        Sessions::new(&aws).start(&request).await.unwrap_err().error
    }

    #[tokio::test]
    async fn a_refused_connection_names_the_host() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let error = start_at(&format!("http://127.0.0.1:{port}"), "").await;
        assert_eq!(error.status, ExitStatus::TryAgain);
        assert!(error.message.starts_with("127.0.0.1 cannot be reached: Connection refused"), "{error:?}");
        assert!(error.hint.contains("HTTPS_PROXY"), "{error:?}");
    }

    #[tokio::test]
    async fn an_unusable_ca_file_is_named_before_anything_is_sent() {
        let error = start_at("https://127.0.0.1:1", "ca_bundle = /nowhere/ca.pem\n").await;
        assert_eq!(error.status, ExitStatus::Config);
        assert!(error.message.starts_with("the CA file /nowhere/ca.pem cannot be used: "), "{error:?}");
        assert!(error.hint.contains("ca_bundle of profile default"), "{error:?}");
    }

    #[tokio::test]
    async fn no_certificate_is_needed_for_plain_http() {
        let error = start_at("http://127.0.0.1:1", "ca_bundle = /nowhere/ca.pem\n").await;
        assert_eq!(error.status, ExitStatus::TryAgain);
    }
}
