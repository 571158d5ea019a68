//! One attempt to connect to a session's data channel.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime};

use http::HeaderMap;
use ssm_aws::{Aws, Sessions, Stream};
use ssm_channel::PLUGIN_VERSION;
use ssm_gateway::{Error as GatewayError, Gateway, Opening, StreamUrl, sign_upgrade};
use tokio::time::timeout;
use uuid::Uuid;

use crate::early::Early;
use crate::error::ConnectError;
use crate::limits;

/// The means to connect, and to connect again.
#[derive(Debug)]
pub(crate) struct Connector {
    pub(crate) aws: Aws,
    pub(crate) sessions: Sessions,
    pub(crate) session_id: String,
    /// Kept for the life of the session, whatever happens to its sockets.
    client_id: Uuid,
    /// Whether the first connection may go without a signature.
    may_be_unsigned: bool,
    /// Whether it went so.
    is_unsigned: AtomicBool,
}

/// The result of an attempt: a connection, or the news that the session is over.
pub(crate) type Attempted = Result<Option<Box<Gateway>>, ConnectError>;

impl Connector {
    pub(crate) fn new(aws: Aws, sessions: Sessions, session_id: String, may_be_unsigned: bool) -> Self {
        let is_unsigned = AtomicBool::new(false);
        Self { aws, sessions, session_id, client_id: Uuid::new_v4(), may_be_unsigned, is_unsigned }
    }

    /// Whether the first connection went without a signature for want of credentials.
    pub(crate) fn is_unsigned(&self) -> bool {
        self.is_unsigned.load(Ordering::Relaxed)
    }

    /// Connects to the stream that came with the session. What fails here fails before the open message is sent, so that
    /// the token is not used and the next attempt may present it. AWS's client does the same.
    pub(crate) async fn first(self: Arc<Self>, stream: Arc<Stream>, early: Option<Early>) -> Attempted {
        self.connect(&stream, early, self.may_be_unsigned).await.map(Some)
    }

    /// Asks for a new way to the data channel and connects by it.
    pub(crate) async fn resume(self: Arc<Self>) -> Attempted {
        match self.sessions.resume(&self.session_id).await? {
            Some(stream) => self.connect(&stream, None, false).await.map(Some),
            None => Ok(None),
        }
    }

    /// Connects to `stream`, with credentials of this moment, or perhaps without any.
    async fn connect(
        &self,
        stream: &Stream,
        early: Option<Early>,
        may_be_unsigned: bool,
    ) -> Result<Box<Gateway>, ConnectError> {
        let aws = &self.aws;
        let url = StreamUrl::parse(&stream.url, aws.endpoint_override.as_deref(), aws.stream_override.as_deref());
        let url = url.map_err(|error| ConnectError::Gateway { error: error.into(), signed: false })?;
        // A source of credentials may take longer than any dial.
        let signature = self.signature(&url, may_be_unsigned).await?;
        let begun = Instant::now();
        let limit = limits::dial(aws);
        let gateway = timeout(limit, self.dial(&url, stream, early, signature)).await;
        let gateway = gateway.map_err(|_| ConnectError::Silent { host: url.host().to_owned(), limit })??;
        tracing::info!(%url, took = %format_args!("{} ms", begun.elapsed().as_millis()), "data channel open");
        Ok(Box::new(gateway))
    }

    /// The headers that sign the upgrade, if any do. Where there may be none, credentials are waited for up to a limit: the
    /// rest of the time to connect is for a connection without a signature.
    async fn signature(&self, url: &StreamUrl, may_be_unsigned: bool) -> Result<Option<HeaderMap>, ConnectError> {
        if url.is_presigned() {
            return Ok(None);
        }
        let credentials = match may_be_unsigned {
            true => timeout(limits::CREDENTIALS, self.aws.credentials()).await,
            false => Ok(self.aws.credentials().await),
        };
        let why = match credentials {
            Ok(Ok(credentials)) => {
                let signature = credentials.map(|it| sign_upgrade(url, &self.aws.region, &it, SystemTime::now()));
                return signature.transpose().map_err(|error| ConnectError::Gateway { error, signed: true });
            }
            Ok(Err(error)) if !may_be_unsigned => return Err(error.into()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no credentials within {} s", limits::CREDENTIALS.as_secs()),
        };
        tracing::info!("the connection goes without a signature: {why}");
        self.is_unsigned.store(true, Ordering::Relaxed);
        Ok(None)
    }

    async fn dial(
        &self,
        url: &StreamUrl,
        stream: &Stream,
        early: Option<Early>,
        signature: Option<HeaderMap>,
    ) -> Result<Gateway, ConnectError> {
        let aws = &self.aws;
        let signed = url.is_presigned() || signature.is_some();
        let failed = |error: GatewayError| ConnectError::Gateway { error, signed };
        let headers = signature.unwrap_or_default();
        let early = match early {
            Some(early) => early.to(&url.address()).await,
            None => None,
        };
        let opening =
            Opening { token: stream.token.expose(), client_id: self.client_id, client_version: PLUGIN_VERSION };
        let open = opening.to_json(Uuid::new_v4());
        Gateway::connect(url, headers, aws.dialer(), early, limits::connection(aws), open).await.map_err(failed)
    }
}
