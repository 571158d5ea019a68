//! HTTP: the JSON APIs and the upgrade to a WebSocket, on one port.
//!
//! It turns HTTP into what [`crate::service`] understands and back; it decides nothing.

use crate::ecs;
use crate::fault::{ApiFault, OPEN_DATA_CHANNEL};
use crate::hub::Hub;
use crate::instance_connect;
use crate::kms;
use crate::report::{ApiCall, BreachKind, Upgrade};
use crate::service::{ApiError, Effect};
use crate::session::{Command, epoch_ms};
use crate::sigv4::Request as Signed;
use crate::socket::Socket;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode, header};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

const MAX_BODY: usize = 1 << 20;
const JSON: &str = "application/x-amz-json-1.1";
/// The APIs: what their operations are prefixed with, and the service that requests are signed for.
const APIS: [(&str, &str); 4] = [
    ("AmazonSSM.", "ssm"),
    ("AWSEC2InstanceConnectService.", INSTANCE_CONNECT),
    ("TrentService.", KMS),
    ("AmazonEC2ContainerServiceV20141113.", ECS),
];
const ECS: &str = "ecs";
const INSTANCE_CONNECT: &str = "ec2-instance-connect";
const KMS: &str = "kms";

/// The connection is to be closed without an answer.
#[derive(Debug)]
pub(crate) struct HangUp;

impl std::fmt::Display for HangUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("closed without an answer")
    }
}

impl std::error::Error for HangUp {}

/// Answers one request that came over `tcp`.
pub(crate) async fn handle(
    hub: Rc<Hub>,
    tcp: Rc<std::net::TcpStream>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, HangUp> {
    if request.method() == Method::GET && request.headers().contains_key(header::UPGRADE) {
        upgrade(&hub, &tcp, request).await
    } else {
        api(&hub, request).await
    }
}

fn headers(map: &header::HeaderMap) -> Vec<(String, String)> {
    map.iter()
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into()))
        .collect()
}

fn epoch_seconds() -> i64 {
    i64::try_from(epoch_ms() / 1000).unwrap_or(i64::MAX)
}

async fn upgrade(
    hub: &Rc<Hub>,
    tcp: &std::net::TcpStream,
    mut request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, HangUp> {
    let headers = headers(request.headers());
    let uri = request.uri().clone();
    let signed = Signed {
        method: request.method().as_str(),
        path: uri.path(),
        query: uri.query().unwrap_or(""),
        headers: &headers,
        body: b"",
    };
    let verdict = hub.service.borrow().upgrade(&signed, epoch_seconds());
    let fault = hub.service.borrow_mut().fault(OPEN_DATA_CHANNEL);
    let refused = match fault {
        Some(ApiFault::Slow(time)) => {
            tokio::time::sleep(time).await;
            None
        }
        Some(ApiFault::HangUp) => return Err(HangUp),
        Some(fault) => Some(refusal(&fault)),
        None => None,
    };
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY).map(|key| derive_accept_key(key.as_bytes()));
    hub.shared.update(|report| {
        let accepted = verdict.is_ok() && key.is_some() && refused.is_none();
        report.upgrades.push(Upgrade { uri: uri.to_string(), headers: headers.clone(), accepted });
        match &verdict {
            Ok((id, breaches)) => {
                for (kind, detail) in breaches {
                    report.breach(*kind, Some(id), detail.clone());
                }
                if let Some(session) = report.session_mut(id).filter(|_| accepted) {
                    session.upgrades += 1;
                }
            }
            Err(refusal) => {
                if let Some(kind) = refusal.breach {
                    report.breach(kind, None, refusal.detail.clone());
                }
            }
        }
    });
    let Ok((id, _)) = verdict else {
        return Ok(plain(StatusCode::FORBIDDEN, "text/plain", "Forbidden"));
    };
    if let Some((status, body)) = refused {
        return Ok(plain(status, "text/plain", body));
    }
    let (Some(key), Ok(tcp)) = (key, tcp.try_clone()) else {
        return Ok(plain(StatusCode::BAD_REQUEST, "text/plain", "Bad Request"));
    };
    let upgraded = hyper::upgrade::on(&mut request);
    let hub = hub.clone();
    tokio::task::spawn_local(async move {
        if let Ok(upgraded) = upgraded.await {
            hub.tell(&id, Command::Attach(Box::new(Socket::new(upgraded, tcp).await)));
        }
    });
    Ok(switching(&key))
}

/// The answer to an upgrade that is accepted, with this key.
fn switching(key: &str) -> Response<Full<Bytes>> {
    let mut response = plain(StatusCode::SWITCHING_PROTOCOLS, "", "");
    let out = response.headers_mut();
    out.remove(header::CONTENT_TYPE);
    out.insert(header::CONNECTION, header::HeaderValue::from_static("Upgrade"));
    out.insert(header::UPGRADE, header::HeaderValue::from_static("websocket"));
    if let Ok(key) = header::HeaderValue::from_str(key) {
        out.insert(header::SEC_WEBSOCKET_ACCEPT, key);
    }
    response
}

/// How the upgrade is refused.
fn refusal(fault: &ApiFault) -> (StatusCode, String) {
    let status = match fault {
        ApiFault::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
        ApiFault::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ApiFault::Throttling => StatusCode::TOO_MANY_REQUESTS,
        ApiFault::Says(status, _, body) => {
            return (StatusCode::from_u16(*status).unwrap_or(StatusCode::FORBIDDEN), body.clone());
        }
        _ => StatusCode::FORBIDDEN,
    };
    (status, "refused".to_owned())
}

async fn api(hub: &Rc<Hub>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, HangUp> {
    let arrived = Instant::now();
    let (parts, body) = request.into_parts();
    let operation = parts.headers.get("x-amz-target").and_then(|v| v.to_str().ok());
    let known = APIS.into_iter().find_map(|(prefix, service)| Some((service, operation?.strip_prefix(prefix)?)));
    let Some((service, operation)) = known.map(|(service, operation)| (service, operation.to_owned())) else {
        return Ok(plain(StatusCode::NOT_FOUND, "text/plain", "this is the API of AmazonSSM, JSON 1.1"));
    };
    let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
        return Ok(plain(StatusCode::PAYLOAD_TOO_LARGE, "text/plain", ""));
    };
    let body = body.to_bytes();
    let headers = headers(&parts.headers);
    let signed = Signed {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or(""),
        headers: &headers,
        body: &body,
    };
    let json = serde_json::from_slice::<serde_json::Value>(&body);
    let authorized = hub.service.borrow().authorize(&signed, service, epoch_seconds());
    let mut delay = std::time::Duration::ZERO;
    let mut hang_up = false;
    let result = match (authorized, &json) {
        (Err(error), _) => Err(error),
        (Ok(()), Err(error)) => Err(ApiError::client("SerializationException", error.to_string())),
        (Ok(()), Ok(_)) if service_of(&operation) != service => {
            Err(ApiError::client("UnknownOperationException", format!("{service} has no {operation}")))
        }
        (Ok(()), Ok(json)) => {
            let epoch = epoch_ms() as f64 / 1000.0;
            let answer = hub.service.borrow_mut().call(&operation, json, epoch);
            (delay, hang_up) = (answer.delay, answer.hang_up);
            take_effect(hub, answer.effect);
            answer.result
        }
    };
    let user_agent = parts.headers.get(header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or("").to_owned();
    let error = result.as_ref().err();
    let call = ApiCall {
        operation,
        request: json.unwrap_or_default(),
        status: error.map_or(200, |error| error.status),
        error: error.map(|error| error.kind.clone()),
        user_agent,
        arrived,
    };
    record(hub, call);
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    if hang_up {
        return Err(HangUp);
    }
    Ok(match result {
        Ok(json) => plain(StatusCode::OK, JSON, json.to_string()),
        Err(error) => error_response(&error),
    })
}

/// Writes a call down.
fn record(hub: &Hub, call: ApiCall) {
    hub.shared.update(|report| {
        *report.api.entry(call.operation.clone()).or_default() += 1;
        if let Some("SerializationException" | "UnknownOperationException") = call.error.as_deref() {
            report.breach(BreachKind::Api, None, format!("{call:?}"));
        }
        if call.operation == "TerminateSession"
            && call.error.is_none()
            && let Some(session) = call.request.get("SessionId").and_then(|id| report.session_mut(id.as_str()?))
        {
            session.terminate_called = true;
        }
        report.calls.push(call);
    });
}

/// The service that has this operation.
fn service_of(operation: &str) -> &'static str {
    match operation {
        instance_connect::OPERATION => INSTANCE_CONNECT,
        kms::GENERATE => KMS,
        ecs::EXECUTE | ecs::DESCRIBE => ECS,
        _ => "ssm",
    }
}

fn take_effect(hub: &Rc<Hub>, effect: Effect) {
    match effect {
        Effect::None => {}
        Effect::Started(started) => hub.start(started),
        Effect::Resumed(id) => hub.shared.update(|report| {
            if let Some(session) = report.session_mut(&id) {
                session.resumes += 1;
            }
        }),
        Effect::Terminated(id) => hub.tell(&id, Command::EndByApi),
        Effect::Pushed(pushed) => {
            if let Some(path) = &hub.options.pushed_keys {
                // A key that cannot be written is one that does not let its owner in: the test that needs it fails.
                let _ = authorize_key(path, &pushed.public_key);
            }
            hub.shared.update(|report| report.pushed_keys.push(pushed));
        }
    }
}

fn authorize_key(path: &Path, key: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    writeln!(file, "{key}")
}

fn error_response(error: &ApiError) -> Response<Full<Bytes>> {
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if error.kind.is_empty() {
        return plain(status, "text/html", error.message.clone());
    }
    let json = serde_json::json!({ "__type": error.kind, "message": error.message });
    let mut response = plain(status, JSON, json.to_string());
    if let Ok(kind) = header::HeaderValue::from_str(&error.kind) {
        response.headers_mut().insert("x-amzn-errortype", kind);
    }
    response
}

fn plain(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response
}
