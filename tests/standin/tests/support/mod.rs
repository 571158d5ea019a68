//! A small honest client for the stand-in's own tests: signs, dials, shakes hands, acknowledges.

#![allow(dead_code, reason = "each program of tests uses a part of it")]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use standin::Server;
use standin::agent::cipher::Cipher;
use standin::codec::{Message, flag, message_type, payload_type};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::Response as HttpResponse;
use tokio_tungstenite::tungstenite::{Error as WsError, Message as WsMessage};
use uuid::Uuid;

pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// How a client misbehaves in its upgrade.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signing {
    Good,
    None,
    WrongKey,
    ExtraHeader,
}

pub(crate) struct Client {
    pub address: SocketAddr,
    pub tls: Option<tokio_rustls::TlsConnector>,
    pub session: String,
    pub url: String,
    pub token: String,
    pub client_id: Uuid,
    pub socket: Option<WebSocketStream<Box<dyn Stream>>>,
    pub sequence: i64,
    pub received: BTreeSet<i64>,
    pub output: Vec<u8>,
    pub acknowledged: BTreeSet<i64>,
    pub types: Vec<String>,
    pub closed_output: Option<String>,
    pub complete: bool,
    /// Payload type and payload of every stream message, in the order of their first arrival.
    pub stream: Vec<(u32, Vec<u8>)>,
    /// Output by sequence number: its right order, whatever was lost on the way.
    pub ordered: BTreeMap<i64, Vec<u8>>,
    /// What it makes of a request for encryption.
    pub kms: Kms,
    pub cipher: Option<Cipher>,
}

/// How a client answers a request for encryption.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kms {
    /// With a key, and the challenge if there is one.
    Good,
    /// With a key, as older clients do: without the challenge.
    Old,
    /// Announces the challenge and leaves it out of the context.
    WithoutContext,
    /// Without the session in the context.
    WrongContext,
    /// With a key and a wrong answer to the encryption challenge.
    WrongProof,
    /// Not at all.
    Silent,
}

/// Longer than anything here takes.
const TOO_LONG: std::time::Duration = std::time::Duration::from_secs(60);

fn now() -> String {
    let seconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let (days, rest) = ((seconds / 86_400) as i64, seconds % 86_400);
    let (mut year, mut day) = (1970, days);
    let leap = |y: i64| y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
    while day >= 365 + i64::from(leap(year)) {
        day -= 365 + i64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + i64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while day >= lengths[month] {
        day -= lengths[month];
        month += 1;
    }
    let (hour, minute, second) = (rest / 3600, rest % 3600 / 60, rest % 60);
    format!("{year:04}{:02}{:02}T{hour:02}{minute:02}{second:02}Z", month + 1, day + 1)
}

fn mac(key: &[u8], data: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(data.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// `Authorization` for a request with these headers, whose query is canonical already.
fn authorization(service: &str, method: &str, path: &str, query: &str, headers: &[(&str, &str)], body: &str) -> String {
    let date = headers.iter().find(|(name, _)| *name == "x-amz-date").unwrap().1;
    let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let body = hex::encode(Sha256::digest(body));
    let canonical = format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{body}");
    let scope = format!("{}/us-east-1/{service}/aws4_request", &date[..8]);
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex::encode(Sha256::digest(canonical)));
    let mut key = format!("AWS4{}", standin::options::EXAMPLE_SECRET_ACCESS_KEY).into_bytes();
    for part in [&date[..8], "us-east-1", service, "aws4_request"] {
        key = mac(&key, part);
    }
    let (id, signature) = (standin::options::EXAMPLE_ACCESS_KEY_ID, hex::encode(mac(&key, &text)));
    format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}")
}

impl Client {
    pub(crate) async fn start(server: &Server, port: u16) -> Self {
        let parameters = json!({ "portNumber": [port.to_string()] });
        Self::start_document(server, Some("AWS-StartSSHSession"), parameters).await
    }

    /// A client of a session that any document started.
    pub(crate) async fn start_document(server: &Server, document: Option<&str>, parameters: Value) -> Self {
        let tls = server.ca_pem_path().map(|path| {
            use rustls::pki_types::pem::PemObject;
            let mut roots = rustls::RootCertStore::empty();
            roots.add(rustls::pki_types::CertificateDer::from_pem_file(path).unwrap()).unwrap();
            let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
            let config = rustls::ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
            tokio_rustls::TlsConnector::from(std::sync::Arc::new(config))
        });
        let mut client = Self {
            address: server.address(),
            tls,
            session: String::new(),
            url: String::new(),
            token: String::new(),
            client_id: Uuid::from_u128(fastrand::u128(..)),
            socket: None,
            sequence: 0,
            received: BTreeSet::new(),
            output: Vec::new(),
            acknowledged: BTreeSet::new(),
            types: Vec::new(),
            closed_output: None,
            complete: false,
            stream: Vec::new(),
            ordered: BTreeMap::new(),
            kms: Kms::Good,
            cipher: None,
        };
        let request = json!({
            "Target": "i-02573cafcfEXAMPLE",
            "DocumentName": document,
            "Parameters": parameters,
        });
        let (status, answer) = client.api("StartSession", &request).await;
        assert_eq!(status, 200, "{answer}");
        client.take(&answer);
        client
    }

    fn take(&mut self, answer: &Value) {
        self.session = answer["SessionId"].as_str().unwrap().into();
        self.url = answer["StreamUrl"].as_str().unwrap().into();
        self.token = answer["TokenValue"].as_str().unwrap().into();
    }

    async fn dial(&self) -> Box<dyn Stream> {
        let tcp = TcpStream::connect(self.address).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        match &self.tls {
            Some(tls) => Box::new(tls.connect("localhost".try_into().unwrap(), tcp).await.unwrap()),
            None => Box::new(tcp),
        }
    }

    pub(crate) async fn api(&self, operation: &str, request: &Value) -> (u16, Value) {
        let (host, date, body) = (self.address.to_string(), now(), request.to_string());
        let (prefix, service) =
            if operation == "GenerateDataKey" { ("TrentService", "kms") } else { ("AmazonSSM", "ssm") };
        let target = format!("{prefix}.{operation}");
        let headers = [("host", host.as_str()), ("x-amz-date", date.as_str()), ("x-amz-target", target.as_str())];
        let authorization = authorization(service, "POST", "/", "", &headers, &body);
        let mut text = "POST / HTTP/1.1\r\n".to_owned();
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        let length = body.len();
        text.push_str(&format!(
            "authorization: {authorization}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        ));
        let mut stream = self.dial().await;
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let status = answer[9..12].parse().unwrap();
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }

    pub(crate) async fn resume(&mut self) {
        let (status, answer) = self.api("ResumeSession", &json!({ "SessionId": self.session })).await;
        assert_eq!(status, 200, "{answer}");
        self.take(&answer);
    }

    /// Dials the stream URL; the status when it is refused.
    pub(crate) async fn upgrade(&mut self, signing: Signing) -> Result<(), u16> {
        let (_, rest) = self.url.split_once("://").unwrap();
        let (host, path_and_query) = rest.split_at(rest.find('/').unwrap());
        let (path, query) = path_and_query.split_once('?').unwrap();
        let (name, value) = query.split_once("&cell-number=").unwrap();
        assert_eq!(name, "role=publish_subscribe");
        let value = value.replace('+', "%20").replace('/', "%2F").replace('=', "%3D");
        let canonical = format!("cell-number={value}&{name}");
        let date = now();
        let mut request = self.url.as_str().into_client_request().unwrap();
        let mut headers = vec![("host", host), ("x-amz-date", date.as_str())];
        if signing == Signing::ExtraHeader {
            headers.push(("sec-websocket-version", "13"));
            headers.sort_unstable();
        }
        let mut authorization = authorization("ssmmessages", "GET", path, &canonical, &headers, "");
        if signing == Signing::WrongKey {
            authorization.truncate(authorization.len() - 4);
            authorization.push_str("0000");
        }
        request.headers_mut().insert("x-amz-date", date.parse().unwrap());
        if signing != Signing::None {
            request.headers_mut().insert("authorization", authorization.parse().unwrap());
        }
        match tokio_tungstenite::client_async(request, self.dial().await).await {
            Ok((socket, _)) => {
                self.socket = Some(socket);
                Ok(())
            }
            Err(WsError::Http(response)) => {
                let response: HttpResponse<_> = *response;
                Err(response.status().as_u16())
            }
            Err(other) => panic!("{other}"),
        }
    }

    pub(crate) async fn open(&mut self) {
        let open = json!({
            "MessageSchemaVersion": "1.0",
            "RequestId": Uuid::from_u128(fastrand::u128(..)).to_string(),
            "TokenValue": self.token,
            "ClientId": self.client_id.to_string(),
            "ClientVersion": "1.2.764.0",
        });
        self.send(WsMessage::text(open.to_string())).await;
    }

    pub(crate) async fn connect(&mut self) {
        self.upgrade(Signing::Good).await.unwrap();
        self.open().await;
    }

    pub(crate) async fn send(&mut self, message: WsMessage) {
        self.socket.as_mut().unwrap().send(message).await.unwrap();
    }

    pub(crate) fn message(&mut self, kind: u32, payload: &[u8]) -> Bytes {
        let message = Message::new(message_type::INPUT, self.sequence, 0, kind, Bytes::copy_from_slice(payload));
        self.sequence += 1;
        message.stamped(Uuid::from_u128(fastrand::u128(..)), 1).encode()
    }

    pub(crate) async fn stream(&mut self, kind: u32, payload: &[u8]) {
        let frame = self.message(kind, payload);
        self.send(WsMessage::Binary(frame)).await;
    }

    pub(crate) async fn data(&mut self, payload: &[u8]) {
        self.stream(payload_type::OUTPUT, payload).await;
    }

    pub(crate) async fn terminate(&mut self) {
        self.stream(payload_type::FLAG, &flag::TERMINATE_SESSION.to_be_bytes()).await;
    }

    /// Takes one frame and answers it; false when the socket has ended.
    pub(crate) async fn step(&mut self) -> bool {
        let Some(Ok(frame)) = self.socket.as_mut().unwrap().next().await else { return false };
        let WsMessage::Binary(frame) = frame else { return true };
        let message = Message::decode(&frame).unwrap();
        self.types.push(message.name().to_owned());
        match message.name() {
            message_type::ACKNOWLEDGE => {
                let json: Value = serde_json::from_slice(&message.payload).unwrap();
                self.acknowledged.insert(json["AcknowledgedMessageSequenceNumber"].as_i64().unwrap());
            }
            message_type::CHANNEL_CLOSED => {
                let json: Value = serde_json::from_slice(&message.payload).unwrap();
                self.closed_output = Some(json["Output"].as_str().unwrap().to_owned());
            }
            message_type::OUTPUT => {
                let ack = message.acknowledgement(Uuid::from_u128(fastrand::u128(..)), 1).encode();
                if self.socket.as_mut().unwrap().send(WsMessage::Binary(ack)).await.is_err() {
                    return false;
                }
                if self.received.insert(message.sequence) {
                    self.take_stream(&message).await;
                }
            }
            _ => {}
        }
        true
    }

    async fn take_stream(&mut self, message: &Message) {
        let secret = [payload_type::OUTPUT, payload_type::STDERR, payload_type::EXIT_CODE];
        let payload = match &self.cipher {
            Some(cipher) if secret.contains(&message.payload_type) => cipher.client_open(&message.payload).unwrap(),
            _ => message.payload.to_vec(),
        };
        self.stream.push((message.payload_type, payload.clone()));
        match message.payload_type {
            payload_type::OUTPUT => {
                self.output.extend_from_slice(&payload);
                self.ordered.insert(message.sequence, payload);
            }
            payload_type::HANDSHAKE_COMPLETE => self.complete = true,
            payload_type::HANDSHAKE_REQUEST => {
                let request: Value = serde_json::from_slice(&payload).unwrap();
                let mut actions =
                    vec![json!({ "ActionType": "SessionType", "ActionStatus": 1, "ActionResult": null, "Error": "" })];
                let asked = &request["RequestedClientActions"][1];
                if asked["ActionType"] == "KMSEncryption" {
                    if self.kms == Kms::Silent {
                        return;
                    }
                    actions.push(self.data_key(&asked["ActionParameters"]).await);
                }
                let response = json!({
                    "ClientVersion": "1.2.764.0",
                    "ProcessedClientActions": actions,
                    "Errors": null,
                });
                self.stream(payload_type::HANDSHAKE_RESPONSE, response.to_string().as_bytes()).await;
            }
            payload_type::CHALLENGE_REQUEST => {
                let json: Value = serde_json::from_slice(&payload).unwrap();
                let cipher = self.cipher.as_ref().unwrap();
                let mut proof =
                    cipher.client_open(&STANDARD.decode(json["Challenge"].as_str().unwrap()).unwrap()).unwrap();
                if self.kms == Kms::WrongProof {
                    proof[0] ^= 1;
                }
                let sealed = STANDARD.encode(cipher.client_seal(nonce(), &proof).unwrap());
                let answer = json!({ "Challenge": sealed }).to_string();
                self.stream(payload_type::CHALLENGE_RESPONSE, answer.as_bytes()).await;
            }
            _ => {}
        }
    }

    /// Gets a data key; the answer to the action.
    async fn data_key(&mut self, parameters: &Value) -> Value {
        let challenge = parameters["Challenge"].as_str();
        let mut context = json!({ "aws:ssm:SessionId": self.session, "aws:ssm:TargetId": "i-02573cafcfEXAMPLE" });
        if self.kms == Kms::WrongContext {
            context = json!({ "aws:ssm:TargetId": "i-02573cafcfEXAMPLE" });
        }
        if let (Some(challenge), false) = (challenge, matches!(self.kms, Kms::Old | Kms::WithoutContext)) {
            context["aws:ssm:RandomChallenge"] = challenge.into();
        }
        let request = json!({ "KeyId": parameters["KMSKeyId"], "NumberOfBytes": 64, "EncryptionContext": context });
        let (status, answer) = self.api("GenerateDataKey", &request).await;
        if status != 200 {
            let error = format!("no data key: {}", answer["__type"].as_str().unwrap());
            return json!({ "ActionType": "KMSEncryption", "ActionStatus": 2, "ActionResult": null, "Error": error });
        }
        self.cipher = Cipher::new(&STANDARD.decode(answer["Plaintext"].as_str().unwrap()).unwrap());
        let mut result = json!({ "KMSCipherTextKey": answer["CiphertextBlob"], "KMSCipherTextHash": null });
        if challenge.is_some() && self.kms != Kms::Old {
            result["ChallengeAcknowledgement"] = true.into();
        }
        json!({ "ActionType": "KMSEncryption", "ActionStatus": 1, "ActionResult": result, "Error": "" })
    }

    /// Sends encrypted Output.
    pub(crate) async fn secret(&mut self, payload: &[u8]) {
        let sealed = self.cipher.as_ref().unwrap().client_seal(nonce(), payload).unwrap();
        self.data(&sealed).await;
    }

    /// Steps until `condition` holds; panics when the socket ends before.
    pub(crate) async fn until(&mut self, mut condition: impl FnMut(&Self) -> bool) {
        let steps = async {
            while !condition(self) {
                assert!(self.step().await, "the socket ended");
            }
        };
        tokio::time::timeout(TOO_LONG, steps).await.unwrap();
    }
}

fn nonce() -> [u8; 12] {
    std::array::from_fn(|_| fastrand::u8(..))
}

/// A TCP server that greets and then echoes.
pub(crate) async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                stream.write_all(b"hello\n").await.unwrap();
                let mut buffer = vec![0; 64 << 10];
                while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                    if stream.write_all(&buffer[..read]).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    address
}

/// A TCP server for one client that greets, reads nothing until it is released, then counts what it gets.
pub(crate) async fn slow() -> (SocketAddr, oneshot::Sender<()>, oneshot::Receiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let ((release, released), (done, received)) = (oneshot::channel(), oneshot::channel());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"hello\n").await.unwrap();
        released.await.unwrap();
        let (mut buffer, mut total) = (vec![0; 64 << 10], 0);
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            total += read;
        }
        done.send(total).unwrap();
    });
    (address, release, received)
}
