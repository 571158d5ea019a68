//! The link to the session: a gateway that is up, or the attempt to get one.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant, SystemTime};

use tokio::time::timeout;
use uuid::Uuid;

use super::limits;
use crate::aws::{Aws, Sessions, Stream};
use crate::channel::PLUGIN_VERSION;
use crate::error::{Error, ExitStatus, tell};
use crate::gateway::{Gateway, Opening, Progress, StreamUrl, sign_upgrade};

/// A connection under way.
type Connecting<'a> = Pin<Box<dyn Future<Output = Result<Box<Gateway>, Error>> + 'a>>;

/// The link's state.
pub(super) enum Link<'a> {
    /// Frames flow.
    Up(Box<Gateway>),
    /// The first connection, or a resume.
    Down(Connecting<'a>),
}

/// What happened on the link.
pub(super) enum LinkEvent {
    /// Something on the gateway.
    Progress(Progress),
    /// The connection is there, or will not be.
    Connected(Result<Box<Gateway>, Error>),
}

impl Link<'_> {
    /// Waits for the next thing to happen. May be dropped at any time.
    pub(super) async fn next(&mut self, read: bool) -> LinkEvent {
        match self {
            Self::Up(gateway) => LinkEvent::Progress(gateway.progress(read).await),
            Self::Down(connecting) => LinkEvent::Connected(connecting.await),
        }
    }
}

/// What it takes to connect and to connect again.
pub(super) struct Connector<'a> {
    pub aws: &'a Aws,
    pub sessions: &'a Sessions,
    pub session_id: &'a str,
    /// Kept for the life of the session, whatever happens to its sockets.
    pub client_id: Uuid,
    pub resume_budget: Duration,
}

impl<'a> Connector<'a> {
    /// Dials `stream`, with credentials of this moment.
    pub(super) async fn connect(&self, stream: &Stream) -> Result<Box<Gateway>, Error> {
        let endpoint = self.aws.endpoint_override.as_deref();
        let url = StreamUrl::parse(&stream.url, endpoint)?;
        let dial = async {
            let headers = match url.is_presigned() {
                true => http::HeaderMap::new(),
                false => sign_upgrade(&url, &self.aws.region, &self.aws.credentials().await?, SystemTime::now())?,
            };
            let tls = url.is_encrypted().then(|| self.aws.trust().client_config()).transpose()?;
            let opening =
                Opening { token: stream.token.expose(), client_id: self.client_id, client_version: PLUGIN_VERSION };
            Gateway::connect(&url, headers, tls, opening, Uuid::new_v4()).await
        };
        let started = Instant::now();
        let gateway = timeout(limits::DIAL, dial).await.unwrap_or_else(|_| {
            let what = format!("{} did not answer within {} s", url.host(), limits::DIAL.as_secs());
            Err(Error::new(
                ExitStatus::TryAgain,
                what,
                "check the network, or whether a proxy or VPC endpoint is needed",
            ))
        })?;
        tracing::info!(%url, elapsed = ?started.elapsed(), "data channel open");
        Ok(Box::new(gateway))
    }

    /// Resumes the session on a new socket, and does not give up before the budget is spent.
    pub(super) fn resume(&'a self) -> Connecting<'a> {
        Box::pin(self.resume_within_budget())
    }

    async fn resume_within_budget(&self) -> Result<Box<Gateway>, Error> {
        let started = Instant::now();
        let mut backoff = limits::BACKOFF_MIN;
        let mut told = None;
        loop {
            let failure = match self.resume_once().await {
                Ok(gateway) => return Ok(gateway),
                Err(failure) => failure,
            };
            if !may_pass(failure.status) || started.elapsed() + backoff > self.resume_budget {
                return Err(failure);
            }
            if failure.status == ExitStatus::Denied && told != Some(failure.status) {
                tell(&format!("connection lost, resuming it: {failure}; {}", failure.hint));
            } else {
                tracing::info!("connection lost, resuming: {failure}");
            }
            told = Some(failure.status);
            // Half of it to all of it, so that many sessions cut at once do not come back at once.
            tokio::time::sleep(backoff.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            backoff = (backoff * 2).min(limits::BACKOFF_MAX);
        }
    }

    async fn resume_once(&self) -> Result<Box<Gateway>, Error> {
        match self.sessions.resume(self.session_id).await? {
            Some(stream) => self.connect(&stream).await,
            None => {
                let what = "the session ended on the service while the connection was away";
                Err(Error::new(ExitStatus::Broken, what, "connect again"))
            }
        }
    }
}

/// Whether a failure to resume may pass: the network comes back, and an SSO login is renewed in another window.
fn may_pass(status: ExitStatus) -> bool {
    matches!(status, ExitStatus::TryAgain | ExitStatus::Denied | ExitStatus::Unavailable)
}
