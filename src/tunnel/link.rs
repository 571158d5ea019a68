//! The link to the session: a gateway that is up, or the attempt to get one.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant, SystemTime};

use tokio::time::{timeout, timeout_at};
use uuid::Uuid;

use super::early::Early;
use super::patience::Patience;
use super::{Settings, limits};
use crate::aws::{Aws, Sessions, Stream};
use crate::channel::PLUGIN_VERSION;
use crate::error::{Error, ExitStatus, tell};
use crate::figures::Time;
use crate::gateway::{Gateway, Opening, Progress, StreamUrl, sign_upgrade};

/// A connection under way.
type Connecting<'a> = Pin<Box<dyn Future<Output = Result<Box<Gateway>, Failure>> + 'a>>;

/// A call of TerminateSession under way.
pub(super) type Terminating<'a> = Pin<Box<dyn Future<Output = Result<(), Error>> + 'a>>;

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
    /// From the start of the run to a complete handshake.
    connect_timeout: Duration,
    patience: RefCell<Patience>,
    /// Why the latest attempt to connect has failed, while there is no connection.
    failed: RefCell<Option<Error>>,
}

impl<'a> Connector<'a> {
    /// Connections to one session, for which [`Settings`] has the time.
    pub(super) fn new(aws: &'a Aws, sessions: &'a Sessions, session_id: &'a str, settings: &Settings) -> Self {
        Self {
            aws,
            sessions,
            session_id,
            client_id: Uuid::new_v4(),
            connect_timeout: settings.connect_timeout,
            patience: RefCell::new(Patience::new(settings.resume_timeout)),
            failed: RefCell::default(),
        }
    }

    /// The session's id.
    pub(super) fn session_id(&self) -> &str {
        self.session_id
    }

    /// Has the service end the session.
    pub(super) fn terminate(&'a self) -> Terminating<'a> {
        Box::pin(self.sessions.terminate(self.session_id))
    }

    /// Connects to `stream`, with credentials of this moment.
    pub(super) async fn connect(&self, stream: &Stream, early: Option<Early>) -> Result<Box<Gateway>, Error> {
        let aws = self.aws;
        let url = StreamUrl::parse(&stream.url, aws.endpoint_override.as_deref(), aws.stream_override.as_deref())?;
        let dial = async {
            let credentials = if url.is_presigned() { None } else { aws.credentials().await? };
            let signed = url.is_presigned() || credentials.is_some();
            let headers = match credentials {
                Some(credentials) => sign_upgrade(&url, &aws.region, &credentials, SystemTime::now())?,
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
            gateway.map_err(|refusal| if signed { refusal } else { unsigned(aws, refusal) })
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

    /// Makes the first connection, for which `early` may have done a part already, and tries again until `deadline` what
    /// may pass. Always by the way that StartSession gave: what fails here fails before the open message, so the token
    /// has not been used. AWS's client does the same.
    pub(super) fn first(&'a self, stream: &'a Stream, mut early: Option<Early>, deadline: Instant) -> Connecting<'a> {
        Box::pin(async move {
            let begun = Instant::now();
            let mut patience = Patience::new(deadline.saturating_duration_since(begun));
            let mut told = false;
            loop {
                let pause = patience.next_attempt(Instant::now(), fastrand::f64());
                let Some(pause) = pause else { return Err(self.not_connected().into()) };
                tokio::time::sleep(pause).await;
                let failure = match self.connect(stream, early.take()).await {
                    Ok(gateway) => return Ok(gateway),
                    // A permission is missing for good, and nobody has begun to work yet.
                    Err(failure) if failure.status != ExitStatus::TryAgain => return Err(failure.into()),
                    Err(failure) => failure,
                };
                tracing::info!("cannot connect yet: {failure}");
                if failure.unheard {
                    patience.unheard();
                }
                if begun.elapsed() >= limits::QUIET && !std::mem::replace(&mut told, true) {
                    tell(&format!("no connection yet, trying again: {failure}; {}", failure.hint));
                }
                self.failed.replace(Some(failure));
            }
        })
    }

    /// The connection is there.
    pub(super) fn connected(&self, now: Instant) {
        self.patience.borrow_mut().connected(now);
        self.failed.take();
    }

    /// Resumes the session on a new socket, and does not give up before patience is spent.
    pub(super) fn resume(&'a self, now: Instant) -> Connecting<'a> {
        self.patience.borrow_mut().lost(now);
        Box::pin(async {
            let mut told = false;
            loop {
                let pause = self.patience.borrow_mut().next_attempt(Instant::now(), fastrand::f64());
                let Some(pause) = pause else { return Err(self.not_resumed().into()) };
                tokio::time::sleep(pause).await;
                let deadline = self.patience.borrow().deadline(Instant::now());
                let failure = match timeout_at(deadline.into(), self.resume_once()).await {
                    Ok(Ok(gateway)) => return Ok(gateway),
                    Ok(Err(failure)) if failure.session_is_over || !may_pass(failure.error.status) => {
                        return Err(failure);
                    }
                    Ok(Err(Failure { error, .. })) => error,
                    Err(_) => return Err(self.not_resumed().into()),
                };
                tracing::info!("cannot resume yet: {failure}");
                if failure.unheard {
                    self.patience.borrow_mut().unheard();
                }
                if failure.status == ExitStatus::Denied && !std::mem::replace(&mut told, true) {
                    tell(&format!("connection lost, resuming it: {failure}; {}", failure.hint));
                }
                self.failed.replace(Some(failure));
            }
        })
    }

    /// The time to connect is over: for how long that was, and why the latest attempt has failed if one has.
    pub(super) fn not_connected(&self) -> Error {
        let limit = self.connect_timeout.as_secs_f64();
        match self.failed.take() {
            Some(failure) => failure.after(&format!("the data channel could not be opened within {limit} s")),
            None => Error::new(
                ExitStatus::TryAgain,
                "the session's handshake was not completed in time",
                "check the target's agent and the network, or allow more time with --connect-timeout",
            ),
        }
    }

    /// The run was ended before the session was up: by what, and why the latest attempt to connect has failed if one has.
    pub(super) fn not_connected_before(&self, how: &str) -> Error {
        let what = format!("{how} before the session was up");
        match self.failed.take() {
            Some(failure) => failure.after(&what),
            None => Error::new(ExitStatus::TryAgain, what, "connect again"),
        }
    }

    /// Patience is spent: for how long it lasted, and why the latest attempt has failed if one has.
    fn not_resumed(&self) -> Error {
        let limit = self.patience.borrow().budget().as_secs_f64();
        let what = format!("the connection was lost and could not be resumed within {limit} s");
        match self.failed.take() {
            Some(failure) => failure.after(&what),
            None => {
                Error::new(ExitStatus::TryAgain, what, "check the network, or allow more time with --resume-timeout")
            }
        }
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

/// Whether a failure to resume may pass: the network comes back, and an SSO login is renewed in another window.
fn may_pass(status: ExitStatus) -> bool {
    matches!(status, ExitStatus::TryAgain | ExitStatus::Denied | ExitStatus::Unavailable)
}
