//! The link to the session: a gateway that is up, or the attempt to get one.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::time::{Instant, SystemTime};

use tokio::time::{timeout, timeout_at};
use uuid::Uuid;

use super::backoff::Patience;
use super::early::Early;
use super::limits;
use crate::aws::{Aws, Sessions, Stream};
use crate::diagnostics::human::Time;
use crate::diagnostics::{self, Error, ExitStatus, tell};
use ssm_channel::PLUGIN_VERSION;
use ssm_gateway::{Gateway, Opening, Progress, StreamUrl, sign_upgrade};

/// A connection under way.
type Connecting<'a> = Pin<Box<dyn Future<Output = Result<Box<Gateway>, Failure>> + 'a>>;

/// Why there will be no connection.
pub(super) struct Failure {
    pub error: Error,
    /// The service has said that the session is over: there is nothing left to end.
    pub session_is_over: bool,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, session_is_over: false }
    }
}

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
    Connected(Result<Box<Gateway>, Failure>),
}

impl Link<'_> {
    /// Whether something is under way that reading frames has no part in: a connection, or a flush.
    pub(super) fn is_at_work(&self) -> bool {
        match self {
            Self::Up(gateway) => gateway.is_flushing(),
            Self::Down(_) => true,
        }
    }

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
    aws: &'a Aws,
    sessions: &'a Sessions,
    session_id: &'a str,
    /// Kept for the life of the session, whatever happens to its sockets.
    client_id: Uuid,
    patience: RefCell<Patience>,
}

impl<'a> Connector<'a> {
    /// Connections to one session, resumed for as long as `patience` holds.
    pub(super) fn new(aws: &'a Aws, sessions: &'a Sessions, session_id: &'a str, patience: Patience) -> Self {
        Self { aws, sessions, session_id, client_id: Uuid::new_v4(), patience: RefCell::new(patience) }
    }

    /// The session's id.
    pub(super) fn session_id(&self) -> &str {
        self.session_id
    }

    /// Connects to `stream`, with credentials of this moment.
    async fn connect(&self, stream: &Stream, early: Option<Early>) -> Result<Box<Gateway>, Error> {
        let aws = self.aws;
        let url = StreamUrl::parse(&stream.url, aws.endpoint_override.as_deref(), aws.stream_override.as_deref());
        let url = url.map_err(|cause| diagnostics::gateway(&cause.into()))?;
        let dial = async {
            let credentials = if url.is_presigned() { None } else { aws.credentials().await? };
            let signed = url.is_presigned() || credentials.is_some();
            let headers = match credentials {
                Some(credentials) => sign_upgrade(&url, &aws.region, &credentials, SystemTime::now())
                    .map_err(|cause| diagnostics::gateway(&cause))?,
                None => http::HeaderMap::new(),
            };
            let opening =
                Opening { token: stream.token.expose(), client_id: self.client_id, client_version: PLUGIN_VERSION };
            let early = match early {
                Some(early) => early.to(&url.address()).await,
                None => None,
            };
            let open = opening.to_json(Uuid::new_v4());
            let gateway = Gateway::connect(&url, headers, aws.dialer(), early, limits::connection(aws), open).await;
            gateway
                .map_err(|refusal| diagnostics::gateway(&refusal))
                .map_err(|refusal| if signed { refusal } else { unsigned(aws, refusal) })
        };
        let started = Instant::now();
        let limit = limits::dial(aws);
        let gateway = timeout(limit, dial).await.unwrap_or_else(|_| {
            let what = format!("{} did not answer within {} s", url.host(), limit.as_secs());
            Err(Error::new(
                ExitStatus::TryAgain,
                what,
                "check the network, or whether a proxy or VPC endpoint is needed",
            ))
        })?;
        tracing::info!(%url, took = %Time(started.elapsed()), "data channel open");
        Ok(Box::new(gateway))
    }

    /// Makes the first connection, for which `early` may have done a part already.
    pub(super) fn first(&'a self, stream: &'a Stream, early: Option<Early>) -> Connecting<'a> {
        Box::pin(async { Ok(self.connect(stream, early).await?) })
    }

    /// The connection is there.
    pub(super) fn connected(&self, now: Instant) {
        self.patience.borrow_mut().connected(now);
    }

    /// Resumes the session on a new socket, and does not give up before patience is spent.
    pub(super) fn resume(&'a self, now: Instant) -> Connecting<'a> {
        self.patience.borrow_mut().lost(now);
        Box::pin(async {
            let mut told = false;
            let mut last = None;
            loop {
                let pause = self.patience.borrow_mut().next_attempt(Instant::now(), fastrand::f64());
                let Some(pause) = pause else { return Err(last.unwrap_or_else(spent).into()) };
                tokio::time::sleep(pause).await;
                let deadline = self.patience.borrow().deadline(Instant::now());
                let failure = match timeout_at(deadline.into(), self.resume_once()).await {
                    Ok(Ok(gateway)) => return Ok(gateway),
                    Ok(Err(failure)) if failure.session_is_over || !may_pass(failure.error.status) => {
                        return Err(failure);
                    }
                    Ok(Err(Failure { error, .. })) => error,
                    Err(_) => return Err(last.unwrap_or_else(spent).into()),
                };
                tracing::info!("cannot resume yet: {failure}");
                if failure.unheard {
                    self.patience.borrow_mut().unheard();
                }
                if failure.status == ExitStatus::Denied && !std::mem::replace(&mut told, true) {
                    tell(&format!("connection lost, resuming it: {failure}; {}", failure.hint));
                }
                last = Some(failure);
            }
        })
    }

    async fn resume_once(&self) -> Result<Box<Gateway>, Failure> {
        match self.sessions.resume(self.session_id).await? {
            Some(stream) => Ok(self.connect(&stream, None).await?),
            None => {
                let what = "the session ended on the service while the connection was away";
                Err(Failure { error: Error::new(ExitStatus::Broken, what, "connect again"), session_is_over: true })
            }
        }
    }
}

/// A refusal of an upgrade that was not signed: that is what it is about.
fn unsigned(aws: &Aws, refusal: Error) -> Error {
    match refusal.status {
        ExitStatus::Denied if !refusal.unheard => Error { hint: aws.credentials_hint(), ..refusal },
        _ => refusal,
    }
}

/// Patience is spent, and no attempt has given a reason.
fn spent() -> Error {
    let what = "the connection was lost and could not be resumed in time";
    Error::new(ExitStatus::TryAgain, what, "check the network, or allow more time with --resume-timeout")
}

/// Whether a failure to resume may pass: the network comes back, and an SSO login is renewed in another window.
fn may_pass(status: ExitStatus) -> bool {
    matches!(status, ExitStatus::TryAgain | ExitStatus::Denied | ExitStatus::Unavailable)
}
