//! The link to the session: a gateway that is up, or the attempt to get one.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant, SystemTime};

use tokio::time::{timeout, timeout_at};
use uuid::Uuid;

use super::backoff::Patience;
use super::early::Early;
use super::limits;
use crate::diagnostics::human::Time;
use crate::diagnostics::{Error, ExitStatus, api, gateway, renewal, sign_in, tell};
use ssm_aws::{ApiError, Aws, ErrorKind, Sessions, SignInError, Stream};
use ssm_channel::PLUGIN_VERSION;
use ssm_gateway::{Error as GatewayError, Gateway, Opening, Progress, StreamUrl, sign_upgrade};

/// A connection under way.
type Connecting<'a> = Pin<Box<dyn Future<Output = Result<Box<Gateway>, Failure>> + 'a>>;

/// Why there is no connection.
pub(super) enum Failure {
    /// The session could not be resumed.
    Api(ApiError),
    /// There are no credentials to sign the upgrade with.
    SignIn(SignInError),
    /// The stream could not be opened, by an upgrade that was signed or not.
    Gateway { error: GatewayError, signed: bool },
    /// The stream's host did not answer within the limit.
    NoAnswer { host: String, limit: Duration },
    /// The service has said that the session is over: there is nothing left to end.
    SessionIsOver,
    /// There was no time for an attempt that would have given a reason.
    NoTime,
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

impl From<SignInError> for Failure {
    fn from(error: SignInError) -> Self {
        Self::SignIn(error)
    }
}

impl Failure {
    /// What the failure means: an SSO login is renewed in another window, and the network comes back.
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Api(error) => error.kind(),
            Self::SignIn(error) => error.kind(),
            Self::Gateway { error: GatewayError::Dial(error), .. } => error.into(),
            Self::Gateway { error: GatewayError::Url(_), .. } => ErrorKind::Lasting,
            Self::Gateway { error: GatewayError::Unsignable { .. }, .. } => ErrorKind::Denied,
            Self::Gateway { error, .. } if error.is_denied() => ErrorKind::Denied,
            Self::Gateway { .. } | Self::NoAnswer { .. } | Self::NoTime => ErrorKind::Passing,
            Self::SessionIsOver => ErrorKind::Gone,
        }
    }

    /// Whether nothing was heard from AWS at all: then it costs nobody but us to try again soon.
    fn is_unheard(&self) -> bool {
        match self {
            Self::Api(error) => error.is_unheard(),
            Self::Gateway { error, .. } => matches!(error, GatewayError::Dial(_)),
            _ => false,
        }
    }

    /// What failed, and what to do about it.
    pub(super) fn explain(&self, aws: &Aws) -> Error {
        match self {
            Self::Api(error) => api(error),
            Self::SignIn(error) => sign_in(error),
            // A refusal of an upgrade that was not signed is about just that.
            Self::Gateway { error, signed: false } if error.is_denied() => {
                Error { hint: renewal(&aws.login()), ..gateway(error) }
            }
            Self::Gateway { error, .. } => gateway(error),
            Self::NoAnswer { host, limit } => {
                let what = format!("{host} did not answer within {} s", limit.as_secs());
                let hint = "check the network, or whether a proxy or VPC endpoint is needed";
                Error::new(ExitStatus::TryAgain, what, hint)
            }
            Self::SessionIsOver => {
                let what = "the session ended on the service while the connection was away";
                Error::new(ExitStatus::Broken, what, "connect again")
            }
            Self::NoTime => {
                let what = "the connection was lost and could not be resumed in time";
                Error::new(ExitStatus::TryAgain, what, "check the network, or allow more time with --resume-timeout")
            }
        }
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

    /// What to tell of a failure.
    pub(super) fn explain(&self, failure: &Failure) -> Error {
        failure.explain(self.aws)
    }

    /// Connects to `stream`, with credentials of this moment.
    async fn connect(&self, stream: &Stream, early: Option<Early>) -> Result<Box<Gateway>, Failure> {
        let aws = self.aws;
        let refused = |signed| move |error| Failure::Gateway { error, signed };
        let url = StreamUrl::parse(&stream.url, aws.endpoint_override.as_deref(), aws.stream_override.as_deref());
        let url = url.map_err(|error| refused(true)(error.into()))?;
        let dial = async {
            let credentials = if url.is_presigned() { None } else { aws.credentials().await? };
            let signed = url.is_presigned() || credentials.is_some();
            let headers = match credentials {
                Some(credentials) => {
                    sign_upgrade(&url, &aws.region, &credentials, SystemTime::now()).map_err(refused(signed))?
                }
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
            gateway.map_err(refused(signed))
        };
        let started = Instant::now();
        let limit = limits::dial(aws);
        let gateway = timeout(limit, dial).await;
        let gateway = gateway.unwrap_or_else(|_| Err(Failure::NoAnswer { host: url.host().to_owned(), limit }))?;
        tracing::info!(%url, took = %Time(started.elapsed()), "data channel open");
        Ok(Box::new(gateway))
    }

    /// Makes the first connection, for which `early` may have done a part already.
    pub(super) fn first(&'a self, stream: &'a Stream, early: Option<Early>) -> Connecting<'a> {
        Box::pin(self.connect(stream, early))
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
                let Some(pause) = pause else { return Err(last.unwrap_or(Failure::NoTime)) };
                tokio::time::sleep(pause).await;
                let deadline = self.patience.borrow().deadline(Instant::now());
                let failure = match timeout_at(deadline.into(), self.resume_once()).await {
                    Ok(Ok(gateway)) => return Ok(gateway),
                    Ok(Err(failure)) if !failure.kind().may_pass() => return Err(failure),
                    Ok(Err(failure)) => failure,
                    Err(_) => return Err(last.unwrap_or(Failure::NoTime)),
                };
                let error = self.explain(&failure);
                tracing::info!("cannot resume yet: {error}");
                if failure.is_unheard() {
                    self.patience.borrow_mut().unheard();
                }
                if failure.kind().is_denial() && !std::mem::replace(&mut told, true) {
                    tell(&format!("connection lost, resuming it: {error}; {}", error.hint));
                }
                last = Some(failure);
            }
        })
    }

    async fn resume_once(&self) -> Result<Box<Gateway>, Failure> {
        match self.sessions.resume(self.session_id).await? {
            Some(stream) => self.connect(&stream, None).await,
            None => Err(Failure::SessionIsOver),
        }
    }
}
