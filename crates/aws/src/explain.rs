//! Errors of the SDK, as [`ApiError`]s.
//!
//! This module must not decide what follows: [`repeat`](super::repeat) does.

use std::error::Error as StdError;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ssm::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::{
    call::Call,
    cause::{cause, find, unreachable},
    config::Aws,
    error::{ApiError, ApiFailure},
    refusal::Refusal,
};
use ssm_net::DialError;

/// The error of a call that failed in this way.
pub(super) async fn failed(aws: &Aws, call: &Call, failure: ApiFailure) -> ApiError {
    let (call, host) = (call.clone(), aws.host(call).await);
    ApiError { call, host, region: aws.region.clone(), failure: Box::new(failure) }
}

/// The error of a call for which the SDK returned `error`.
pub(super) async fn explain<E>(aws: &Aws, call: &Call, error: SdkError<E, HttpResponse>) -> ApiError
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    failed(aws, call, failure(aws, &error)).await
}

fn failure<E>(aws: &Aws, error: &SdkError<E, HttpResponse>) -> ApiFailure
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    if let (Some(error), Some(credentials)) = (find::<CredentialsError>(error), aws.cached_credentials()) {
        return ApiFailure::SignIn(credentials.explain(error));
    }
    let refused = |status, code, message| ApiFailure::Refused(Refusal::read(status, code, message, aws.login()));
    match error {
        SdkError::ServiceError(context) => {
            let said = context.err();
            let (code, message) = (said.code().unwrap_or_default(), said.message().unwrap_or_default());
            refused(context.raw().status().as_u16(), code, message)
        }
        SdkError::ResponseError(context) => refused(context.raw().status().as_u16(), "", ""),
        SdkError::TimeoutError(_) => ApiFailure::NoAnswer,
        SdkError::DispatchFailure(failure) if failure.is_timeout() => ApiFailure::NoAnswer,
        SdkError::DispatchFailure(_) => match (find::<DialError>(error), unreachable(error)) {
            (Some(error), _) => ApiFailure::Dial(error.clone()),
            (None, Some(what)) => ApiFailure::Unreachable(what),
            (None, None) => ApiFailure::Broken(cause(error)),
        },
        _ => ApiFailure::Unsendable(cause(error)),
    }
}

#[cfg(test)]
mod tests {
    use ssm_net::{DialFailure, TrustError};

    use super::*;
    use crate::{
        ErrorKind, Overrides, Sessions, StartRequest,
        test_support::{Folder, Service, aws_in},
    };

    /// How `StartSession` fails at an endpoint.
    async fn start_at(endpoint: &str, trust: &str) -> ApiError {
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
        Sessions::new(&aws).start(&request).await.unwrap_err()
    }

    #[tokio::test]
    async fn a_refused_connection_names_the_host() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let error = start_at(&format!("http://127.0.0.1:{port}"), "").await;
        assert_eq!((error.kind(), error.is_unheard()), (ErrorKind::Passing, true));
        assert!(error.to_string().starts_with("127.0.0.1 cannot be reached: Connection refused"), "{error:?}");
    }

    #[tokio::test]
    async fn an_unusable_ca_file_is_named_before_anything_is_sent() {
        let error = start_at("https://127.0.0.1:1", "ca_bundle = /nowhere/ca.pem\n").await;
        assert_eq!(error.kind(), ErrorKind::Lasting);
        assert!(error.to_string().starts_with("the CA file /nowhere/ca.pem cannot be used: "), "{error:?}");
        let ApiFailure::Dial(DialError { failure: DialFailure::Trust(TrustError::File { setting, .. }), .. }) =
            *error.failure
        else {
            panic!("{error:?}")
        };
        assert_eq!(setting, "ca_bundle of profile default");
    }

    #[tokio::test]
    async fn no_certificate_is_needed_for_plain_http() {
        let error = start_at("http://127.0.0.1:1", "ca_bundle = /nowhere/ca.pem\n").await;
        assert_eq!(error.kind(), ErrorKind::Passing);
    }

    #[tokio::test]
    async fn a_failed_call_says_where_and_with_whose_credentials() {
        let sso = "[default]\nsso_session = corp\n";
        let aws = Service::answering([]).aws(sso).await;
        let failure = ApiFailure::Refused(Refusal::read(429, "", "", aws.login()));
        let error = failed(&aws, &Call::ResumeSession, failure).await;
        assert_eq!((error.host.as_str(), error.region.as_str()), ("ssm.eu-west-1.amazonaws.com", "eu-west-1"));
        assert_eq!(error.to_string(), "ssm.eu-west-1.amazonaws.com throttles ResumeSession");
        let ApiFailure::Refused(Refusal { login, .. }) = *error.failure else { panic!("{error:?}") };
        assert_eq!(login, crate::Login::Sso("default".to_owned()));
    }
}
