//! Proxy protocols: HTTP CONNECT and SOCKS, as hyper-util speaks them, over an open connection to the proxy.
//!
//! A refusal, of which hyper-util tells little, becomes a [`DialFailure`] here. This module must not know how a proxy
//! is chosen.

use std::error::Error as StdError;
use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::client::legacy::connect::proxy::{SocksV4, SocksV5, Tunnel};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tower_service::Service;

use crate::address::Transport;
use crate::error::{DialFailure, bottom};
use crate::proxies::Proxy;

/// How much of a proxy's answer is kept, in bytes: enough for its first line.
const HEARD: usize = 128;

/// Has `proxy`, which `stream` leads to, connect the stream on to the host of `target`.
pub(super) async fn through(
    proxy: &Proxy,
    target: Uri,
    stream: Box<dyn Transport>,
) -> Result<Box<dyn Transport>, DialFailure> {
    let heard = Heard::default();
    let connected = Connected(Some(Overheard { stream, heard: heard.clone() }));
    // hyper-util wants a URL to dial. The connection is open already, so this one is never used.
    let at = Uri::from_static("http://proxy/");
    let through = match proxy.scheme.as_str() {
        "socks4" | "socks4a" => {
            let mut socks = SocksV4::new(at, connected).local_dns(proxy.scheme == "socks4");
            socks.call(target).await.map_err(|cause| of_socks(&cause.to_string(), proxy))
        }
        "socks5" | "socks5h" => {
            // With both schemes the proxy resolves the name: many names are known behind the proxy alone.
            let socks = SocksV5::new(at, connected);
            let mut socks = match proxy.intercept.raw_auth() {
                Some((user, password)) => socks.with_auth(user.to_owned(), password.to_owned()),
                None => socks,
            };
            socks.call(target).await.map_err(|cause| of_socks(&cause.to_string(), proxy))
        }
        _ => {
            let tunnel = Tunnel::new(at, connected);
            let mut tunnel = match proxy.intercept.basic_auth() {
                Some(value) => tunnel.with_auth(value.clone()),
                None => tunnel,
            };
            tunnel.call(target).await.map_err(|cause| of_connect(&cause, &heard.status(), proxy))
        }
    };
    through.map(|stream| stream.into_inner().stream)
}

/// Why CONNECT failed. `status` is the status line of the proxy's answer; empty if there was none.
fn of_connect(cause: &(dyn StdError + 'static), status: &str, proxy: &Proxy) -> DialFailure {
    let code = status.split(' ').next().unwrap_or_default();
    // Some proxies answer 401 where they ought to answer 407.
    if matches!(code, "401" | "407") {
        return DialFailure::ProxyPassword { given: proxy.has_password() };
    }
    let why = match cause.to_string().trim_start_matches("tunnel error: ") {
        "unsuccessful" if status.is_empty() => "it does not answer as an HTTP proxy does".to_owned(),
        "unsuccessful" => format!("it answers {status}"),
        "unexpected end of file" => "it closes the connection".to_owned(),
        _ => bottom(cause),
    };
    DialFailure::Proxy(why)
}

/// Why SOCKS failed, read from hyper-util's text: its errors have no kinds.
fn of_socks(text: &str, proxy: &Proxy) -> DialFailure {
    let why = match text.trim_start_matches("SOCKS error: ") {
        "credentials not accepted" => return DialFailure::ProxyPassword { given: true },
        // hyper-util says so when the proxy accepts none of the offered ways to sign in.
        "server does not support user/pass authentication" if !proxy.has_password() => {
            return DialFailure::ProxyPassword { given: false };
        }
        "server does not support user/pass authentication" => "it takes no name and password",
        "io error during SOCKS handshake" => "it closes the connection",
        "failed parsing server response" => "it does not answer as a SOCKS proxy does",
        // The protocol's own reasons, in its words.
        why => return DialFailure::Proxy(format!("it says {why:?}")),
    };
    DialFailure::Proxy(why.to_owned())
}

/// The beginning of a proxy's answer. hyper-util reports that the proxy refuses, but not with which status.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<u8>>>);

impl Heard {
    fn hear(&self, bytes: &[u8]) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = HEARD.saturating_sub(heard.len());
        heard.extend(bytes.iter().take(room));
    }

    /// The answer's status and reason, such as `403 Forbidden`; empty if the answer is not HTTP.
    fn status(&self) -> String {
        let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&heard);
        let line = text.lines().next().unwrap_or_default();
        let status = line.strip_prefix("HTTP/").and_then(|rest| rest.split_once(' '));
        status.map(|(_, status)| status.trim().to_owned()).unwrap_or_default()
    }
}

/// A connection to a proxy, overheard until it leads to the target.
struct Overheard {
    stream: Box<dyn Transport>,
    heard: Heard,
}

impl AsyncRead for Overheard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.heard.hear(buffer.filled().get(before..).unwrap_or_default());
        polled
    }
}

impl AsyncWrite for Overheard {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The connector that hyper-util asks for a connection to the proxy. It gives the open one, once.
struct Connected(Option<Overheard>);

impl Service<Uri> for Connected {
    type Response = TokioIo<Overheard>;
    type Error = io::Error;
    type Future = Ready<io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        ready(self.0.take().map(TokioIo::new).ok_or_else(|| io::ErrorKind::NotConnected.into()))
    }
}
