//! Those who give credentials, on one port: STS, IAM Identity Center, AWS Sign-In, the instance metadata service and a
//! container's credential service. It counts what it is asked.
//!
//! It knows one user with keys, roles, and codes and tokens that are right; everything else is refused as AWS refuses
//! it. It shares nothing with the stand-in of Session Manager but the check of signatures.

mod metadata;
mod portal;
mod sts;

use crate::session::epoch_ms;
use crate::sigv4::{Credentials, decode};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

const MAX_BODY: usize = 1 << 20;
/// The account that everything here is in.
pub const ACCOUNT: &str = "111122223333";

/// What is right. The default accepts what its constants say.
#[derive(Debug, Clone)]
pub struct IdentityOptions {
    /// The user, whose keys have no end.
    pub user: Credentials,
    /// What everyone gets who may have credentials, unless `roles` says otherwise.
    pub issued: Credentials,
    /// Roles with credentials of their own, by ARN.
    pub roles: Vec<(String, Credentials)>,
    /// Roles that may not be assumed, by ARN.
    pub denied: Vec<String>,
    /// How long credentials live that are given, unless they are asked for with a time.
    pub lifetime: Duration,
    /// The region that signatures must name.
    pub region: String,
    /// The code that an MFA device shows.
    pub mfa_code: String,
    /// The access token of someone who has signed in at IAM Identity Center.
    pub sso_token: String,
    /// What brings a new access token, or new console credentials.
    pub refresh_token: String,
    /// The token of a web identity.
    pub web_identity_token: String,
    /// What a container has to present, as the value of `Authorization`.
    pub container_token: String,
    /// The region that the metadata service names; none if it is empty.
    pub machine_region: String,
    /// How long each answer takes.
    pub delay: Duration,
}

impl Default for IdentityOptions {
    fn default() -> Self {
        let text = str::to_owned;
        Self {
            user: Credentials {
                access_key_id: text("AKIAI44QH8DHBEXAMPLE"),
                secret_access_key: text("je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY"),
                session_token: None,
            },
            issued: Credentials {
                access_key_id: text("ASIAIOSFODNN7EXAMPLE"),
                secret_access_key: text("wJalrXUtnFEMI/K7MDENG/bPxRfiCYzEXAMPLEKEY"),
                session_token: Some(text("AQoDYXdzEJr/issued+token==")),
            },
            roles: Vec::new(),
            denied: Vec::new(),
            lifetime: Duration::from_secs(3600),
            region: text("us-east-1"),
            mfa_code: text("123456"),
            sso_token: text("an-access-token"),
            refresh_token: text("a-refresh-token"),
            web_identity_token: text("a-web-identity-token"),
            container_token: text("a-container-token"),
            machine_region: String::new(),
            delay: Duration::ZERO,
        }
    }
}

impl IdentityOptions {
    fn issued_for(&self, role: &str) -> &Credentials {
        self.roles.iter().find(|(arn, _)| arn == role).map_or(&self.issued, |(_, credentials)| credentials)
    }
}

/// A call, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The operation, such as `AssumeRole`; for the metadata service the path.
    pub operation: String,
    /// Its parameters.
    pub parameters: BTreeMap<String, String>,
    /// The error's code, if it was refused.
    pub error: Option<String>,
}

/// The running stand-in. Dropping it ends it.
#[derive(Debug)]
pub struct Identity {
    address: SocketAddr,
    options: IdentityOptions,
    calls: Calls,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Clone, Default)]
struct Calls(Arc<Mutex<Vec<Call>>>);

impl Calls {
    fn lock(&self) -> MutexGuard<'_, Vec<Call>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Identity {
    /// Starts it and returns when it listens.
    ///
    /// # Errors
    /// No port, or no thread.
    pub fn start(options: IdentityOptions) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let calls = Calls::default();
        let (stop, stopped) = oneshot::channel();
        let shared = (Arc::new(options.clone()), calls.clone());
        let thread = std::thread::Builder::new().name("identity".into()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serve(listener, shared) => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Self { address, options, calls, stop: Some(stop), thread: Some(thread) })
    }

    /// Its address as a URL.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it takes for right.
    pub fn options(&self) -> &IdentityOptions {
        &self.options
    }

    /// All that it was asked so far.
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().clone()
    }

    /// How often it was asked for `operation`.
    pub fn count(&self, operation: &str) -> usize {
        self.calls.lock().iter().filter(|call| call.operation == operation).count()
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(listener: std::net::TcpListener, shared: (Arc<IdentityOptions>, Calls)) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    while let Ok((stream, _)) = listener.accept().await {
        let (options, calls) = shared.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| handle(options.clone(), calls.clone(), request));
            // How a client leaves its connection is its own affair.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// A request as those who answer see it.
struct Asked {
    method: String,
    path: String,
    query: String,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    body: Bytes,
    /// Seconds since the Unix epoch.
    now: u64,
}

impl Asked {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// An answer, and what is to be noted of the call.
struct Answer {
    operation: String,
    parameters: BTreeMap<String, String>,
    result: Result<Said, Refused>,
}

/// What an answer says.
enum Said {
    /// A token of the metadata service, which comes with its lifetime.
    MetadataToken(&'static str),
    Text(String),
    Json(serde_json::Value),
    Xml(String),
}

/// A refusal as AWS words it.
struct Refused {
    status: u16,
    code: &'static str,
    said: Said,
}

async fn handle(
    options: Arc<IdentityOptions>,
    calls: Calls,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, http_body_util::LengthLimitError> {
    let (parts, body) = request.into_parts();
    let header = |(name, value): (&header::HeaderName, &header::HeaderValue)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let asked = Asked {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers.iter().map(header).collect(),
        body: Limited::new(body, MAX_BODY).collect().await.map(|body| body.to_bytes()).unwrap_or_default(),
        now: epoch_ms() / 1000,
    };
    let answer = metadata::answer(&options, &asked)
        .or_else(|| portal::answer(&options, &asked))
        .unwrap_or_else(|| sts::answer(&options, &asked));
    let error = answer.result.as_ref().err().map(|refused| refused.code.to_owned());
    calls.lock().push(Call { operation: answer.operation, parameters: answer.parameters, error });
    tokio::time::sleep(options.delay).await;
    Ok(response(answer.result))
}

fn response(result: Result<Said, Refused>) -> Response<Full<Bytes>> {
    let (status, code, said) = match result {
        Ok(said) => (200, None, said),
        Err(refused) => (refused.status, Some(refused.code), refused.said),
    };
    let is_token = matches!(said, Said::MetadataToken(_));
    let (kind, body) = match said {
        Said::MetadataToken(token) => ("text/plain", token.to_owned()),
        Said::Text(text) => ("text/plain", text),
        Said::Json(json) => ("application/json", json.to_string()),
        Said::Xml(xml) => ("text/xml", xml),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    if is_token {
        let lifetime = header::HeaderValue::from_static("21600");
        response.headers_mut().insert("x-aws-ec2-metadata-token-ttl-seconds", lifetime);
    }
    if let Some(code) = code {
        response.headers_mut().insert("x-amzn-errortype", header::HeaderValue::from_static(code));
    }
    response
}

/// The fields of a query or of a form.
fn fields(text: &str) -> BTreeMap<String, String> {
    let word = |text: &str| String::from_utf8_lossy(&decode(text)).into_owned();
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (word(name), word(value)))
        .collect()
}

/// A time in seconds since the Unix epoch, as `2026-11-23T21:03:44Z`.
fn iso(epoch: u64) -> String {
    let (days, seconds) = (epoch / 86_400, epoch % 86_400);
    let mut year = 1970;
    let mut left = days;
    while left >= 365 + u64::from(is_leap(year)) {
        left -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for days in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if left < days {
            break;
        }
        left -= days;
        month += 1;
    }
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", left + 1)
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_aws_does() {
        for (epoch, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_467_824, "2026-11-23T21:03:44Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
        ] {
            assert_eq!(iso(epoch), text);
        }
    }

    #[test]
    fn forms_are_decoded() {
        let expected = [("a", "x y"), ("b", "é="), ("c", "")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(fields("a=x+y&b=%C3%A9%3D&c"), expected.into());
    }
}
