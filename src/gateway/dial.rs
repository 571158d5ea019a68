//! Dialling: name, TCP, TLS, upgrade. Each failure becomes what a user can do about it.

use std::sync::Arc;

use http::{HeaderMap, StatusCode};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::Error as WebSocketError;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::url::StreamUrl;
use crate::error::{Error, ExitStatus};

/// The largest frame and message taken from the service. Agents send 1024 bytes of payload.
const MAX_FRAME: usize = 1 << 20;
/// Read and write buffer of the WebSocket: a few dozen messages, so that a batch costs one system call.
const BUFFER: usize = 64 << 10;

/// A byte stream to the gateway, encrypted or not.
pub(super) trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// The WebSocket over it.
pub(super) type Socket = WebSocketStream<Box<dyn Transport>>;

/// Connects to `url` and upgrades to a WebSocket, with `headers` added to the request. `tls` is needed for `wss://`.
pub(super) async fn dial(
    url: &StreamUrl,
    headers: HeaderMap,
    tls: Option<Arc<rustls::ClientConfig>>,
) -> Result<Socket, Error> {
    let tcp = TcpStream::connect((url.host(), url.port())).await.map_err(|cause| unreachable(url, &cause))?;
    // Small messages must not wait for one another.
    tcp.set_nodelay(true).map_err(|cause| unreachable(url, &cause))?;
    let transport: Box<dyn Transport> = match tls.filter(|_| url.is_encrypted()) {
        Some(config) => Box::new(encrypt(url, tcp, config).await?),
        None if url.is_encrypted() => return Err(not_trusted(url, "no TLS configuration")),
        None => Box::new(tcp),
    };
    let mut request = url.uri().into_client_request().map_err(|cause| refused(url, &cause))?;
    request.headers_mut().extend(headers);
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER)
        .max_message_size(Some(MAX_FRAME))
        .max_frame_size(Some(MAX_FRAME));
    let upgraded = tokio_tungstenite::client_async_with_config(request, transport, Some(config)).await;
    upgraded.map(|(socket, _)| socket).map_err(|cause| refused(url, &cause))
}

async fn encrypt(
    url: &StreamUrl,
    tcp: TcpStream,
    config: Arc<rustls::ClientConfig>,
) -> Result<impl Transport + use<>, Error> {
    let name = ServerName::try_from(url.host().to_owned()).map_err(|cause| not_trusted(url, &cause.to_string()))?;
    TlsConnector::from(config).connect(name, tcp).await.map_err(|cause| {
        match cause.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(why)) => not_trusted(url, &why.to_string()),
            _ => unreachable(url, &cause),
        }
    })
}

fn unreachable(url: &StreamUrl, cause: &std::io::Error) -> Error {
    let what = format!("cannot connect to {} port {}: {cause}", url.host(), url.port());
    Error::new(ExitStatus::TryAgain, what, "check the network, or whether a proxy or VPC endpoint is needed")
}

fn not_trusted(url: &StreamUrl, why: &str) -> Error {
    let what = format!("the certificate of {} is not trusted: {why}", url.host());
    Error::new(ExitStatus::Config, what, "name the certificate authority's file in AWS_CA_BUNDLE")
}

/// The server answered, but not with a WebSocket.
fn refused(url: &StreamUrl, cause: &WebSocketError) -> Error {
    let WebSocketError::Http(response) = cause else {
        let what = format!("{} did not open a WebSocket: {cause}", url.host());
        return Error::new(ExitStatus::TryAgain, what, "try again; a proxy that breaks WebSockets gives this too");
    };
    let status = response.status();
    let what = format!("{} refused the session's WebSocket: {status}", url.host());
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Error::new(ExitStatus::Denied, what, "allow the IAM action ssmmessages:OpenDataChannel on your sessions")
        }
        _ => Error::new(ExitStatus::TryAgain, what, "try again in a moment"),
    }
}
