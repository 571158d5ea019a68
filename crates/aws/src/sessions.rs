//! The session calls: StartSession, ResumeSession and TerminateSession (protocol §1).
//!
//! This module must not know what a stream is used for. It passes the session's token on and shows it nowhere.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    time::Instant,
};

use aws_sdk_ssm::Client;
use zeroize::Zeroizing;

use super::{
    backoff::Backoff,
    call::Call,
    config::Aws,
    error::{ApiError, ApiFailure},
    explain::failed,
    kind::ErrorKind,
    repeat::{Attempts, BACKOFF, repeat},
};

/// How often StartSession is sent while the service throttles. After any other failure it is not repeated: if the
/// answer was lost, a session has been started, and another attempt would leave that session behind.
const START_ATTEMPTS: u32 = 4;
/// ResumeSession is sent once: its callers have a schedule of their own.
const RESUME_ATTEMPTS: u32 = 1;
/// How often TerminateSession is sent. To end a session twice does no harm. The user has left already, so it is not
/// sent more often.
const TERMINATE_ATTEMPTS: u32 = 2;

/// The session calls of one [`Aws`].
#[derive(Clone, Debug)]
pub struct Sessions {
    aws: Aws,
    client: Client,
    backoff: Backoff,
}

/// The parameters of StartSession.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StartRequest {
    /// The target's id: of an instance or hybrid node, or `ecs:CLUSTER_TASK_RUNTIME`.
    pub target: String,
    /// The session document's name.
    pub document: String,
    /// The document's parameters.
    pub parameters: BTreeMap<String, Vec<String>>,
    /// The reason that AWS keeps with the session, 1 to 256 characters.
    pub reason: Option<String>,
}

/// A session that has been started.
#[derive(Debug)]
pub struct Session {
    /// The session's id, for ResumeSession and TerminateSession.
    pub id: String,
    /// The target's id, as StartSession was given it. The data key of an encrypted session is bound to it.
    pub target: String,
    /// The access to its data channel.
    pub stream: Stream,
}

/// The access to a session's data channel, good for one connection.
#[derive(Debug)]
pub struct Stream {
    /// The WebSocket's URL. Its query is opaque and has to stay as it is.
    pub url: String,
    /// The token for the open message.
    pub token: Token,
}

/// A session's token. Anybody who has it can use the session, so `Debug` hides it, and it is wiped from memory when it
/// is dropped.
pub struct Token(Zeroizing<String>);

impl Token {
    /// The token's text, for the open message alone (protocol §2.1).
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Token {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Sessions {
    /// The calls with this region, endpoint and these credentials. Nothing is sent yet.
    pub fn new(aws: &Aws) -> Self {
        Self { aws: aws.clone(), client: aws.ssm(), backoff: BACKOFF }
    }

    /// Starts a session. While the service throttles, the call is sent again, three times at most.
    ///
    /// # Errors
    /// Besides those of every call: [`ErrorKind::NotConnected`] if the target is starting or stopped, or is no node at
    /// all; [`ErrorKind::Gone`] if there is no such target.
    pub async fn start(&self, request: &StartRequest) -> Result<Session, ApiError> {
        let StartRequest { target, document, parameters, reason } = request;
        tracing::info!(target, document, region = self.aws.region, "starting a session");
        let begun = Instant::now();
        let call = Call::StartSession { document: document.clone() };
        let parameters: HashMap<_, _> = parameters.clone().into_iter().collect();
        let send = || {
            let request = self.client.start_session().target(target).document_name(document);
            request.set_parameters(Some(parameters.clone())).set_reason(reason.clone()).send()
        };
        let again = |kind| kind == ErrorKind::Throttled;
        let answer = repeat(&self.aws, &call, self.attempts(START_ATTEMPTS), again, send).await?;
        let id = self.field(answer.session_id, "SessionId", &call).await?;
        tracing::info!(session = id, took = %format_args!("{} ms", begun.elapsed().as_millis()), "session started");
        match self.stream(answer.token_value, answer.stream_url, &call).await {
            Ok(stream) => Ok(Session { id, target: request.target.clone(), stream }),
            Err(error) => {
                // The session has been started all the same, and nobody else would end it.
                let _ = self.terminate(&id).await;
                Err(error)
            }
        }
    }

    /// Asks for a new access to a session's data channel, once. `None` means that the session is over.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn resume(&self, session_id: &str) -> Result<Option<Stream>, ApiError> {
        tracing::info!(session = session_id, "resuming the session");
        let call = Call::ResumeSession;
        let send = || self.client.resume_session().session_id(session_id).send();
        let answer = match repeat(&self.aws, &call, self.attempts(RESUME_ATTEMPTS), |_| false, send).await {
            Ok(answer) => answer,
            Err(error) if error.kind() == ErrorKind::Gone => return Ok(None),
            Err(error) => return Err(error),
        };
        match answer.token_value.filter(|token| !token.is_empty()) {
            Some(token) => self.stream(Some(token), answer.stream_url, &call).await.map(Some),
            None => Ok(None),
        }
    }

    /// Ends a session. A session that has ended already is no error. If the network or the service fails, the call is
    /// sent once more.
    ///
    /// # Errors
    /// Those of every call. The session then ends by itself after its idle time.
    pub async fn terminate(&self, session_id: &str) -> Result<(), ApiError> {
        tracing::info!(session = session_id, "ending the session");
        let call = Call::TerminateSession;
        let send = || self.client.terminate_session().session_id(session_id).send();
        let again = |kind| matches!(kind, ErrorKind::Throttled | ErrorKind::Passing);
        match repeat(&self.aws, &call, self.attempts(TERMINATE_ATTEMPTS), again, send).await {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::Gone => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The access to a data channel that an answer gives.
    async fn stream(&self, token: Option<String>, url: Option<String>, call: &Call) -> Result<Stream, ApiError> {
        let token = self.field(token, "TokenValue", call).await?.into();
        Ok(Stream { token, url: self.field(url, "StreamUrl", call).await? })
    }

    /// The value of a field that the service's answer must have.
    async fn field(&self, value: Option<String>, field: &'static str, call: &Call) -> Result<String, ApiError> {
        match value.filter(|value| !value.is_empty()) {
            Some(value) => Ok(value),
            None => Err(failed(&self.aws, call, ApiFailure::Incomplete { field }).await),
        }
    }

    fn attempts(&self, limit: u32) -> Attempts {
        Attempts { limit, backoff: self.backoff }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::test_support::Service;

    const MILLI: Duration = Duration::from_millis(1);
    const STARTED: &str = r#"{"SessionId":"me-0a","StreamUrl":"wss://x/me-0a?cell-number=A+B/","TokenValue":"tok"}"#;

    async fn sessions(service: &Service) -> Sessions {
        let aws = service.aws("").await;
        let config = aws_sdk_ssm::config::Builder::from(aws.sdk()).http_client(service.clone()).build();
        Sessions { client: Client::from_conf(config), aws, backoff: Backoff::new(MILLI, MILLI) }
    }

    fn request() -> StartRequest {
        StartRequest {
            target: "i-02573cafcfEXAMPLE".to_owned(),
            document: "AWS-StartSSHSession".to_owned(),
            parameters: BTreeMap::from([("portNumber".to_owned(), vec!["22".to_owned()])]),
            reason: None,
        }
    }

    fn refusal(code: &str, message: &str) -> String {
        serde_json::json!({"__type": format!("com.amazonaws.ssm#{code}"), "message": message}).to_string()
    }

    #[tokio::test]
    async fn a_session_starts_with_what_was_asked_for() {
        let service = Service::answering([(200, STARTED)]);
        let session = sessions(&service).await.start(&request()).await.unwrap();
        assert_eq!(session.id, "me-0a");
        assert_eq!(session.stream.url, "wss://x/me-0a?cell-number=A+B/");
        assert_eq!(session.stream.token.expose(), "tok");
        assert!(!format!("{session:?}").contains("tok\""), "{session:?}");
        assert!(format!("{session:?}").contains("[redacted]"), "{session:?}");
        assert_eq!(
            service.requests(),
            [concat!(
                r#"StartSession {"Target":"i-02573cafcfEXAMPLE","DocumentName":"AWS-StartSSHSession","#,
                r#""Parameters":{"portNumber":["22"]}}"#
            )]
        );
    }

    #[tokio::test]
    async fn the_reason_is_sent_if_there_is_one() {
        let service = Service::answering([(200, STARTED)]);
        let request = StartRequest { reason: Some("ticket 42".to_owned()), ..request() };
        sessions(&service).await.start(&request).await.unwrap();
        assert!(service.requests().concat().contains(r#""Reason":"ticket 42""#));
    }

    #[tokio::test]
    async fn an_answer_without_its_fields_is_an_error_and_leaves_no_session_behind() {
        const ENDED: &str = r#"TerminateSession {"SessionId":"a"}"#;
        for (answer, name, last) in [
            ("{}", "SessionId", None),
            (r#"{"StreamUrl":"wss://x","TokenValue":"t"}"#, "SessionId", None),
            (r#"{"SessionId":"a","StreamUrl":"wss://x","TokenValue":""}"#, "TokenValue", Some(ENDED)),
            (r#"{"SessionId":"a","TokenValue":"t"}"#, "StreamUrl", Some(ENDED)),
        ] {
            let service = Service::answering([(200, answer), (200, r#"{"SessionId":"a"}"#)]);
            let error = sessions(&service).await.start(&request()).await.unwrap_err();
            assert_eq!(error.to_string(), format!("the answer to StartSession has no {name}"));
            assert_eq!(service.requests().get(1).map(String::as_str), last);
        }
    }

    #[tokio::test]
    async fn starting_is_repeated_for_throttling_alone() {
        let throttled = refusal("ThrottlingException", "Rate exceeded");
        let service = Service::answering([(400, throttled.as_str()), (400, &throttled), (200, STARTED)]);
        sessions(&service).await.start(&request()).await.unwrap();
        assert_eq!(service.requests().len(), 3);

        let service = Service::answering([(400, throttled.as_str()); 9]);
        let error = sessions(&service).await.start(&request()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Throttled);
        assert_eq!(service.requests().len(), 4);

        for (status, answer) in [
            (500, refusal("InternalServerError", "An error occurred on the server side.")),
            (503, "<html>".to_owned()),
            (400, refusal("TargetNotConnected", "i-0 is not connected.")),
        ] {
            let service = Service::answering([(status, answer.as_str()), (200, STARTED)]);
            sessions(&service).await.start(&request()).await.unwrap_err();
            assert_eq!(service.requests().len(), 1, "{status} {answer}");
        }
    }

    #[tokio::test]
    async fn resuming_gives_a_new_stream_or_none() {
        let service = Service::answering([(200, STARTED)]);
        let stream = sessions(&service).await.resume("me-0a").await.unwrap().unwrap();
        assert_eq!((stream.url.as_str(), stream.token.expose()), ("wss://x/me-0a?cell-number=A+B/", "tok"));
        assert_eq!(service.requests(), [r#"ResumeSession {"SessionId":"me-0a"}"#]);
        let gone = refusal("DoesNotExistException", "Session me-0a does not exist");
        for (status, answer) in [
            (200, r#"{"SessionId":"me-0a"}"#),
            (200, r#"{"SessionId":"me-0a","TokenValue":"","StreamUrl":""}"#),
            (400, &gone),
        ] {
            let service = Service::answering([(status, answer)]);
            assert!(sessions(&service).await.resume("me-0a").await.unwrap().is_none(), "{answer}");
        }
    }

    #[tokio::test]
    async fn resuming_is_tried_once() {
        let throttled = refusal("ThrottlingException", "Rate exceeded");
        let service = Service::answering([(400, throttled.as_str()), (200, STARTED)]);
        assert_eq!(sessions(&service).await.resume("me-0a").await.unwrap_err().kind(), ErrorKind::Throttled);
        assert_eq!(service.requests().len(), 1);
    }

    #[tokio::test]
    async fn ending_twice_is_no_error() {
        let gone = refusal("DoesNotExistException", "Session me-0a does not exist");
        for (status, answer) in [(200, r#"{"SessionId":"me-0a"}"#), (400, &gone)] {
            let service = Service::answering([(status, answer)]);
            sessions(&service).await.terminate("me-0a").await.unwrap();
            assert_eq!(service.requests(), [r#"TerminateSession {"SessionId":"me-0a"}"#]);
        }
        let service = Service::answering([(500, "{}"), (200, "{}")]);
        sessions(&service).await.terminate("me-0a").await.unwrap();
        let service = Service::answering([(500, "{}"), (500, "{}"), (200, "{}")]);
        sessions(&service).await.terminate("me-0a").await.unwrap_err();
    }
}
