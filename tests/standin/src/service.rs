//! The service without its sockets: the `ssm` API and that of EC2 Instance Connect, the registry of sessions, who may open which channel.
//!
//! Requests are handed in as JSON or as strings, with the time; what has to happen elsewhere (a session's task to
//! start or to end) is in the answer. It holds no connection and knows no runtime.

use crate::agent::DecryptRequest;
use crate::documents::{self, Settings};
use crate::ecs;
use crate::fault::{ApiFault, ApiRule};
use crate::instance_connect;
use crate::inventory;
use crate::kms;
use crate::options::{Node, Options};
use crate::report::{BreachKind, PushedKey};
use crate::sigv4::{self, Refusal, Request};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

const MAX_TARGET: usize = 400;
const MAX_REASON: usize = 256;

/// An error as AWS shapes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// HTTP status.
    pub status: u16,
    /// `__type`.
    pub kind: String,
    /// `message`.
    pub message: String,
}

impl ApiError {
    /// An error of the caller: status 400.
    pub fn client(kind: &str, message: impl Into<String>) -> Self {
        Self { status: 400, kind: kind.into(), message: message.into() }
    }

    fn with_status(status: u16, kind: &str, message: &str) -> Self {
        Self { status, kind: kind.into(), message: message.into() }
    }
}

/// What StartSession was asked for, as it arrived.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Started {
    /// The new session.
    pub id: String,
    /// `Target`.
    pub target: String,
    /// `DocumentName`.
    pub document: Option<String>,
    /// `Parameters`.
    pub parameters: BTreeMap<String, Vec<String>>,
    /// `Reason`.
    pub reason: Option<String>,
    /// What the document makes of it.
    pub settings: Settings,
}

/// What has to happen besides answering.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// A session begins.
    Started(Started),
    /// A new token for this session was given out.
    Resumed(String),
    /// The caller ended this session.
    Terminated(String),
    /// A key was pushed.
    Pushed(PushedKey),
}

/// The answer to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The JSON, or the error.
    pub result: Result<Value, ApiError>,
    /// What else has to happen.
    pub effect: Effect,
    /// How long to wait before answering.
    pub delay: Duration,
    /// Close the connection instead of answering.
    pub hang_up: bool,
}

/// Why an upgrade is refused, with the rule that the client broke if it broke one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpgradeRefusal {
    /// The rule.
    pub breach: Option<BreachKind>,
    /// In words.
    pub detail: String,
}

#[derive(Debug)]
struct Session {
    query: String,
    old_queries: HashSet<String>,
    token: String,
    used_tokens: HashSet<String>,
    ended: bool,
}

/// The service.
#[derive(Debug)]
pub struct Service {
    options: Options,
    stream_base: String,
    rng: fastrand::Rng,
    sessions: HashMap<String, Session>,
    rules: Vec<ApiRule>,
    kms: kms::Store,
}

impl Service {
    /// A service whose stream URLs start with `stream_base`, such as `ws://127.0.0.1:4000`.
    pub fn new(options: Options, stream_base: String) -> Self {
        Self {
            rng: fastrand::Rng::with_seed(options.seed ^ 0x005E_ED0F_5E55),
            rules: options.api_rules.clone(),
            kms: kms::Store::new(
                &options.region,
                options.agent.kms_key_id.clone(),
                fastrand::Rng::with_seed(options.seed ^ 0x0C0F_FEE0),
            ),
            options,
            stream_base,
            sessions: HashMap::new(),
        }
    }

    /// Makes calls fail from now on.
    pub fn add_rule(&mut self, rule: ApiRule) {
        self.rules.push(rule);
    }

    /// Makes a node known from now on, in place of the one with its id.
    pub fn put_node(&mut self, node: Node) {
        self.options.nodes.retain(|known| known.id != node.id);
        self.options.nodes.push(node);
    }

    /// Checks the signature of an API call, made for `service`.
    ///
    /// # Errors
    /// The error that AWS answers with.
    pub fn authorize(&self, request: &Request<'_>, service: &str, now: i64) -> Result<(), ApiError> {
        let checked = sigv4::verify(request, &self.options.credentials, &self.options.region, service, now);
        let (kind, message) = match checked {
            Ok(_) => return Ok(()),
            Err(Refusal::Unsigned) if self.options.accept_unsigned => return Ok(()),
            Err(Refusal::Unsigned) => ("MissingAuthenticationTokenException", "Missing Authentication Token"),
            Err(Refusal::Malformed) => ("IncompleteSignatureException", "Authorization header cannot be read."),
            Err(Refusal::UnknownKey | Refusal::Token) => {
                ("UnrecognizedClientException", "The security token included in the request is invalid.")
            }
            Err(Refusal::Scope) => ("InvalidSignatureException", "Credential should be scoped to a valid region."),
            Err(Refusal::Stale) => ("InvalidSignatureException", "Signature expired or not yet current."),
            Err(Refusal::UnsignedHeader | Refusal::Mismatch) => (
                "InvalidSignatureException",
                "The request signature we calculated does not match the signature you provided.",
            ),
        };
        Err(ApiError::with_status(403, kind, message))
    }

    /// Handles a call whose signature is accepted. `epoch` is the time in seconds since the Unix epoch.
    pub fn call(&mut self, operation: &str, request: &Value, epoch: f64) -> Answer {
        let mut answer =
            Answer { result: Ok(Value::Null), effect: Effect::None, delay: Duration::ZERO, hang_up: false };
        let mut empty_token = false;
        match self.fault(operation) {
            Some(ApiFault::Slow(time)) => answer.delay = time,
            Some(ApiFault::EmptyToken) => empty_token = true,
            Some(ApiFault::HangUp) => answer.hang_up = true,
            Some(fault) => {
                answer.result = Err(fault_error(&fault, operation, request));
                return answer;
            }
            None => {}
        }
        let result = match operation {
            "StartSession" => self.start(request, "standin-"),
            ecs::EXECUTE => self.execute(request),
            ecs::DESCRIBE => Ok((ecs::describe(request), Effect::None)),
            "ResumeSession" => self.resume(request, empty_token),
            "TerminateSession" => self.terminate(request),
            "DescribeInstanceInformation" => {
                inventory::describe(&self.options.nodes, &self.options.agent.version, request, epoch)
                    .map(|json| (json, Effect::None))
            }
            instance_connect::OPERATION => instance_connect::read(request)
                .map(|pushed| (json!({ "RequestId": "standin", "Success": true }), Effect::Pushed(pushed))),
            kms::GENERATE => self.kms.generate(request).map(|json| (json, Effect::None)),
            other => Err(ApiError::client("UnknownOperationException", format!("{other} is not known here"))),
        };
        match result {
            Ok((mut json, effect)) => {
                if let Some(token) = json.get_mut("TokenValue").filter(|_| empty_token) {
                    *token = "".into();
                }
                answer.result = Ok(json);
                answer.effect = effect;
            }
            Err(error) => answer.result = Err(error),
        }
        answer
    }

    /// KMS's answer to the agent, and how late it is. Rules for `Decrypt` make it fail.
    ///
    /// # Errors
    /// KMS's error, as the agent puts it into words.
    pub fn decrypt(&mut self, request: &DecryptRequest) -> (Duration, Result<Vec<u8>, String>) {
        match self.fault(kms::DECRYPT) {
            Some(ApiFault::Slow(time)) => (time, self.kms.decrypt(request)),
            Some(fault) => {
                let error = fault_error(&fault, kms::DECRYPT, &json!({ "KeyId": request.key_id }));
                let text = format!("{}: {}\n\tstatus code: {}, request id: ", error.kind, error.message, error.status);
                (Duration::ZERO, Err(text))
            }
            None => (Duration::ZERO, self.kms.decrypt(request)),
        }
    }

    /// The plain data key of what KMS gave out as `blob`.
    pub fn data_key(&self, blob: &[u8]) -> Option<&[u8]> {
        self.kms.peek(blob)
    }

    /// The fault that the next call of `operation` shows; it counts as one call.
    pub fn fault(&mut self, operation: &str) -> Option<ApiFault> {
        let rule = self.rules.iter_mut().find(|rule| rule.operation == operation && rule.times > 0)?;
        if rule.skip > 0 {
            rule.skip -= 1;
            return None;
        }
        if rule.times != u32::MAX {
            rule.times -= 1;
        }
        Some(rule.fault.clone())
    }

    /// ExecuteCommand of Elastic Container Service, which starts a session too.
    fn execute(&mut self, request: &Value) -> Result<(Value, Effect), ApiError> {
        let (session, effect) = self.start(&ecs::start(request)?, ecs::SESSION)?;
        Ok((ecs::executed(request, &session)?, effect))
    }

    fn start(&mut self, request: &Value, prefix: &str) -> Result<(Value, Effect), ApiError> {
        let target = text(request, "Target").ok_or_else(|| validation("target", "must not be null"))?;
        if target.is_empty() || target.chars().count() > MAX_TARGET {
            return Err(validation("target", "must have length between 1 and 400"));
        }
        let reason = text(request, "Reason");
        if reason.as_ref().is_some_and(|r| r.is_empty() || r.chars().count() > MAX_REASON) {
            return Err(validation("reason", "must have length between 1 and 256"));
        }
        let document = text(request, "DocumentName");
        let parameters: BTreeMap<String, Vec<String>> = match request.get("Parameters") {
            None | Some(Value::Null) => BTreeMap::new(),
            Some(json) => serde_json::from_value(json.clone())
                .map_err(|_| ApiError::client("SerializationException", "Parameters is not a map of lists"))?,
        };
        let settings = documents::settings(&self.options, document.as_deref(), &parameters)?;
        if !self.is_connected(&target) {
            return Err(ApiError::client("TargetNotConnected", format!("{target} is not connected.")));
        }
        let id = format!("{prefix}{:017x}", self.rng.u64(..));
        let (query, token) = (self.fresh_query(), self.fresh_token());
        let session = Session { query, old_queries: HashSet::new(), token, used_tokens: HashSet::new(), ended: false };
        self.sessions.insert(id.clone(), session);
        let effect = Effect::Started(Started { id: id.clone(), target, document, parameters, reason, settings });
        Ok((self.connection(&id), effect))
    }

    fn is_connected(&self, target: &str) -> bool {
        if self.options.not_connected.iter().any(|t| t == target) {
            return false;
        }
        if let Some(node) = self.options.nodes.iter().find(|node| node.id == target) {
            return node.ping_status == "Online";
        }
        if target.strip_prefix("ecs:").is_some_and(|rest| rest.split('_').count() == 3) {
            return true;
        }
        let tail = target.strip_prefix("mi-").or_else(|| target.strip_prefix("i-"));
        tail.is_some_and(|tail| !tail.is_empty() && tail.chars().all(|c| c.is_ascii_alphanumeric()))
    }

    fn resume(&mut self, request: &Value, empty_token: bool) -> Result<(Value, Effect), ApiError> {
        let id = session_id(request)?;
        let (query, token) = (self.fresh_query(), self.fresh_token());
        let Some(session) = self.sessions.get_mut(&id).filter(|session| !session.ended) else {
            return Err(ApiError::client(
                "DoesNotExistException",
                format!("Session {id} does not exist or has ended."),
            ));
        };
        let old_query = std::mem::replace(&mut session.query, query);
        session.old_queries.insert(old_query);
        let old_token = std::mem::replace(&mut session.token, token);
        session.used_tokens.insert(old_token);
        if empty_token {
            return Ok((json!({ "SessionId": id, "StreamUrl": "", "TokenValue": "" }), Effect::None));
        }
        let connection = self.connection(&id);
        Ok((connection, Effect::Resumed(id)))
    }

    fn terminate(&mut self, request: &Value) -> Result<(Value, Effect), ApiError> {
        let id = session_id(request)?;
        let Some(session) = self.sessions.get_mut(&id) else {
            return Err(ApiError::client("DoesNotExistException", format!("Session {id} does not exist.")));
        };
        let effect = if session.ended { Effect::None } else { Effect::Terminated(id.clone()) };
        session.ended = true;
        Ok((json!({ "SessionId": id }), effect))
    }

    fn connection(&self, id: &str) -> Value {
        let Some(session) = self.sessions.get(id) else { return Value::Null };
        let url = format!("{}/v1/data-channel/{id}?{}", self.stream_base, session.query);
        json!({ "SessionId": id, "StreamUrl": url, "TokenValue": session.token })
    }

    /// A query whose `cell-number` has each of `+`, `/` and `=` in it, raw (§2).
    fn fresh_query(&mut self) -> String {
        let part = |rng: &mut fastrand::Rng| std::iter::repeat_with(|| rng.alphanumeric()).take(14).collect::<String>();
        let (a, b, c) = (part(&mut self.rng), part(&mut self.rng), part(&mut self.rng));
        let query = format!("role=publish_subscribe&cell-number=AAEAA{a}+{b}/{c}==");
        if !self.options.presigned_urls {
            return query;
        }
        format!("{query}&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-SignedHeaders=host&X-Amz-Signature={a}")
    }

    fn fresh_token(&mut self) -> String {
        (0..6).map(|_| format!("{:032x}", self.rng.u128(..))).collect()
    }

    /// Checks a request to upgrade at `now` (seconds since the Unix epoch) and names its session. Breaches that do not
    /// refuse the upgrade come with it.
    ///
    /// # Errors
    /// Why the answer is 403.
    pub fn upgrade(
        &self,
        request: &Request<'_>,
        now: i64,
    ) -> Result<(String, Vec<(BreachKind, String)>), UpgradeRefusal> {
        let refuse = |breach, detail: String| Err(UpgradeRefusal { breach, detail });
        let Some(id) = request.path.strip_prefix("/v1/data-channel/") else {
            return refuse(None, format!("no such path: {}", request.path));
        };
        let Some(session) = self.sessions.get(id).filter(|session| !session.ended) else {
            return refuse(None, format!("no such session: {id}"));
        };
        if session.query != request.query {
            let old = session.old_queries.contains(request.query);
            let kind = if old { BreachKind::UpgradeOldUrl } else { BreachKind::UpgradeSignature };
            return refuse(Some(kind), format!("the query is not the stream URL's: {}", request.query));
        }
        let mut breaches = Vec::new();
        if request.headers.iter().any(|(name, _)| name == "sec-websocket-protocol") {
            breaches.push((BreachKind::UpgradeSubprotocol, id.to_owned()));
        }
        if self.options.presigned_urls {
            if request.headers.iter().any(|(name, _)| name == "authorization") {
                return refuse(Some(BreachKind::UpgradeSignedTwice), id.to_owned());
            }
            return Ok((id.to_owned(), breaches));
        }
        let accepted = sigv4::verify(request, &self.options.credentials, &self.options.region, "ssmmessages", now);
        let accepted = match accepted {
            Ok(accepted) => accepted,
            Err(Refusal::Unsigned) if self.options.accept_unsigned => return Ok((id.to_owned(), breaches)),
            Err(Refusal::Unsigned) => return refuse(Some(BreachKind::UpgradeUnsigned), id.to_owned()),
            Err(Refusal::Stale) => return refuse(Some(BreachKind::UpgradeStale), id.to_owned()),
            Err(other) => return refuse(Some(BreachKind::UpgradeSignature), format!("{id}: {other:?}")),
        };
        let transport =
            |name: &&String| *name == "upgrade" || *name == "connection" || name.starts_with("sec-websocket-");
        if let Some(name) = accepted.signed_headers.iter().find(transport) {
            breaches.push((BreachKind::UpgradeSignsTransport, name.clone()));
        }
        Ok((id.to_owned(), breaches))
    }

    /// Takes the token of an open message; each works once.
    ///
    /// # Errors
    /// The rule that the client broke.
    pub fn take_token(&mut self, id: &str, token: &str) -> Result<(), BreachKind> {
        let Some(session) = self.sessions.get_mut(id) else { return Err(BreachKind::OpenToken) };
        if session.used_tokens.contains(token) {
            return Err(BreachKind::OpenTokenReused);
        }
        if session.token != token {
            return Err(BreachKind::OpenToken);
        }
        session.used_tokens.insert(token.to_owned());
        Ok(())
    }

    /// The session is over: it cannot be resumed nor dialled any more.
    pub fn ended(&mut self, id: &str) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.ended = true;
        }
    }
}

fn text(request: &Value, key: &str) -> Option<String> {
    request.get(key).and_then(Value::as_str).map(str::to_owned)
}

fn session_id(request: &Value) -> Result<String, ApiError> {
    text(request, "SessionId").ok_or_else(|| validation("sessionId", "must not be null"))
}

fn validation(member: &str, rule: &str) -> ApiError {
    ApiError::client(
        "ValidationException",
        format!("1 validation error detected: Value at '{member}' failed to satisfy constraint: Member {rule}"),
    )
}

fn fault_error(fault: &ApiFault, operation: &str, request: &Value) -> ApiError {
    let service = match operation {
        instance_connect::OPERATION => "ec2-instance-connect",
        kms::GENERATE | kms::DECRYPT => "kms",
        _ => "ssm",
    };
    let target = ["Target", "SessionId", "InstanceId"].into_iter().find_map(|name| text(request, name));
    let resource = resource(request);
    let target = target.unwrap_or_else(|| resource.clone());
    match fault {
        ApiFault::AccessDenied => ApiError::client(
            "AccessDeniedException",
            format!(
                "User: arn:aws:iam::111122223333:user/standin is not authorized to perform: {service}:{operation} on \
                 resource: {resource} because no identity-based policy allows the {service}:{operation} action"
            ),
        ),
        ApiFault::Throttling => ApiError::client("ThrottlingException", "Rate exceeded"),
        ApiFault::TargetNotConnected => ApiError::client("TargetNotConnected", format!("{target} is not connected.")),
        ApiFault::ExpiredToken => {
            ApiError::client("ExpiredTokenException", "The security token included in the request is expired")
        }
        ApiFault::InvalidDocument => {
            let name = text(request, "DocumentName").unwrap_or_default();
            ApiError::client("InvalidDocument", format!("Document with name {name} does not exist."))
        }
        ApiFault::DoesNotExist => {
            ApiError::client("DoesNotExistException", format!("Session {target} does not exist or has ended."))
        }
        ApiFault::Forbidden => ApiError::with_status(403, "Forbidden", "Forbidden"),
        ApiFault::Unavailable => ApiError::with_status(503, "", "Service Unavailable"),
        ApiFault::Says(status, kind, message) => ApiError::with_status(*status, kind, message),
        ApiFault::ServerError | ApiFault::Slow(_) | ApiFault::EmptyToken | ApiFault::HangUp => {
            ApiError::with_status(500, "InternalServerError", "An error occurred on the server side.")
        }
    }
}

/// The ARN that a request is about, as AWS names it in a denial.
fn resource(request: &Value) -> String {
    let node = |id: String| match id.starts_with("mi-") {
        true => format!("arn:aws:ssm:us-east-1:111122223333:managed-instance/{id}"),
        false => format!("arn:aws:ec2:us-east-1:111122223333:instance/{id}"),
    };
    if let Some(id) = text(request, "KeyId") {
        let id = id.rsplit('/').next().unwrap_or_default().to_owned();
        return format!("arn:aws:kms:us-east-1:111122223333:key/{id}");
    }
    if let Some(id) = text(request, "Target").or_else(|| text(request, "InstanceId")) {
        return node(id);
    }
    match text(request, "SessionId") {
        Some(id) => format!("arn:aws:ssm:us-east-1:111122223333:session/{id}"),
        None => "arn:aws:ssm:us-east-1:111122223333:*".to_owned(),
    }
}

#[cfg(test)]
mod tests;
