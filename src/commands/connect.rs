//! To connect: finds the node, starts a session on it, pushing a key and waiting for it if asked to, and hands over to
//! the tunnel.

use std::{
    cell::{OnceCell, RefCell},
    time::{Duration, SystemTime},
};

use ssm_aws::{ApiError, Aws, ErrorKind, InstanceConnect, InstanceId, ManagedNode, Session, Sessions, StartRequest};
use tokio::{sync::Notify, time::timeout};

use super::{sign_in::sign_in, waiting::Waiting};
use crate::{
    cli::{Connection, PushKey},
    diagnostics::{Error, ExitStatus, NotConnected, self_reported, tell},
    endpoints::signals::Signals,
    lookup::{KnownBy, Lookup, NotFound},
    target::{Alias, Node},
    tunnel,
};

/// How long the service may take to say why a node is not connected. A reason is worth a moment, not a minute: the error
/// waits for it.
const EXPLANATION: Duration = Duration::from_secs(5);

/// Carries stdin and stdout to a port of the node.
///
/// # Errors
/// Says what failed, and has ended the session if it was started.
pub async fn connect(aws: &Aws, connection: &Connection, signals: &mut Signals) -> Result<(), Error> {
    match signals.unless_ended(sign_in(aws), || tell("waiting for credentials")).await {
        Ok(signed_in) => signed_in?,
        Err(signal) => {
            let message = format!("{signal} came before there were credentials");
            return Err(Error::new(ExitStatus::TryAgain, message, "connect again"));
        }
    }
    let hurry = Notify::new();
    let starter = Starter {
        sessions: Sessions::new(aws),
        lookup: OnceCell::new(),
        unclaimed: RefCell::default(),
        aws,
        connection,
    };
    let result =
        tunnel::run(aws, &starter.sessions, starter.start(&hurry), &hurry, signals, &settings(connection)).await;
    if let Some(session_id) = starter.unclaimed.take() {
        tunnel::end_by_api(&starter.sessions, &session_id).await;
    }
    result
}

/// What a session for this connection is to be told.
pub(super) fn settings(connection: &Connection) -> tunnel::Settings {
    tunnel::Settings {
        port: connection.port,
        connect_timeout: connection.wait + connection.connect_timeout,
        resume_timeout: connection.resume_timeout,
        paced: connection.paced,
    }
}

/// Starts the session.
struct Starter<'a> {
    aws: &'a Aws,
    connection: &'a Connection,
    sessions: Sessions,
    /// Made when it is first needed: an id that is connected needs none.
    lookup: OnceCell<Lookup>,
    /// A session that has been started while the key is still on its way: whoever gives up then has to end it.
    unclaimed: RefCell<Option<String>>,
}

/// A key on its way to one instance after another.
struct Pushing<'a> {
    connect: InstanceConnect,
    user: &'a str,
    public_key: String,
}

/// A node as far as it is known.
struct Found {
    id: String,
    /// What the service says of it, if it was asked.
    node: Option<ManagedNode>,
}

/// An attempt that came to nothing.
struct Failure {
    error: Error,
    /// Whether another attempt may fare better, because the node is only starting.
    may_pass: bool,
    /// The node that is not connected.
    away: Option<Found>,
}

impl From<NotFound> for Failure {
    fn from(NotFound { error, may_appear }: NotFound) -> Self {
        Self { error, may_pass: may_appear, away: None }
    }
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { error: error.into(), may_pass: false, away: None }
    }
}

impl Starter<'_> {
    async fn start(&self, hurry: &Notify) -> Result<Session, Error> {
        let pushing = match &self.connection.push_key {
            Some(push_key) => Some(self.prepare(push_key).await?),
            None => None,
        };
        let waiting = Waiting::new(&self.connection.host, self.connection.wait, hurry);
        loop {
            let failure = match self.attempt(pushing.as_ref()).await {
                Ok(session) => {
                    self.unclaimed.take();
                    return Ok(session);
                }
                Err(failure) => failure,
            };
            if !failure.may_pass || !waiting.pause().await {
                return Err(self.explain(failure).await);
            }
        }
    }

    fn lookup(&self) -> &Lookup {
        self.lookup.get_or_init(|| Lookup::new(self.aws))
    }

    /// Reads the key to push, before anything is asked of AWS.
    async fn prepare<'a>(&self, PushKey { key, user }: &'a PushKey) -> Result<Pushing<'a>, Error> {
        if let Node::Id(id) = &self.connection.node {
            InstanceId::of(id)?;
        }
        Ok(Pushing { connect: InstanceConnect::new(self.aws), user, public_key: key.read().await? })
    }

    async fn attempt(&self, pushing: Option<&Pushing<'_>>) -> Result<Session, Failure> {
        match &self.connection.node {
            Node::Id(id) => self.ask(Found { id: id.clone(), node: None }, pushing).await,
            Node::Alias(alias) => self.attempt_alias(alias, pushing).await,
        }
    }

    /// Tries the id that the name led to a moment ago, and asks for the name if that is not connected any more.
    async fn attempt_alias(&self, alias: &Alias, pushing: Option<&Pushing<'_>>) -> Result<Session, Failure> {
        if let Some((id, by)) = self.lookup().recall(alias) {
            tracing::info!(%alias, id, "looked up a moment ago");
            match self.ask(Found { id: id.clone(), node: None }, pushing).await {
                Err(Failure { away: Some(_), .. }) => self.lookup().forget(alias),
                settled => return settled.inspect(|_| self.tell_of(&id, by)),
            }
        }
        let found = self.lookup().find(alias).await?;
        let (id, node) = (found.node.id.clone(), Some(found.node.clone()));
        let session = self.ask(Found { id, node }, pushing).await?;
        self.tell_of(&found.node.id, found.by);
        self.lookup().remember(alias, &found);
        Ok(session)
    }

    /// Says which node was taken, if it was taken by what it says of itself.
    fn tell_of(&self, id: &str, by: KnownBy) {
        if let Some(name) = by.reported() {
            tell(&format!("{}: {}", self.connection.host, self_reported(id, name)));
        }
    }

    /// Asks for a session, and pushes the key meanwhile: both have to be there before the first byte of SSH.
    async fn ask(&self, found: Found, pushing: Option<&Pushing<'_>>) -> Result<Session, Failure> {
        let pushing = match pushing {
            Some(pushing) => Some((pushing, InstanceId::of(&found.id)?)),
            None => None,
        };
        let request = StartRequest {
            target: found.id.clone(),
            document: self.connection.document.clone(),
            parameters: self.connection.parameters.clone(),
            reason: self.connection.reason.clone(),
        };
        let start = async {
            let session = self.sessions.start(&request).await?;
            self.unclaimed.replace(Some(session.id.clone()));
            Ok::<_, ApiError>(session)
        };
        let push = async {
            match &pushing {
                Some((Pushing { connect, user, public_key }, instance)) => {
                    connect.push_key(instance, user, public_key).await
                }
                None => Ok(()),
            }
        };
        match tokio::join!(start, push) {
            (Ok(session), Ok(())) => Ok(session),
            (Ok(_), Err(error)) => Err(error.into()),
            (Err(error), _) => {
                let kind = error.kind();
                let is_away = matches!(kind, ErrorKind::NotConnected | ErrorKind::Gone);
                let may_pass = kind == ErrorKind::NotConnected;
                Err(Failure { error: error.into(), may_pass, away: is_away.then_some(found) })
            }
        }
    }

    /// Why the node is not connected, if that is what failed and the service tells.
    async fn explain(&self, Failure { error, may_pass, away }: Failure) -> Error {
        let Some(Found { id, node }) = away.filter(|_| may_pass) else { return error };
        let why = match node {
            Some(node) => NotConnected::Known(Box::new(node)),
            None => match timeout(EXPLANATION, self.lookup().inventory().node(&id)).await {
                Ok(Ok(Some(node))) => NotConnected::Known(Box::new(node)),
                Ok(Ok(None)) => NotConnected::Unknown,
                Ok(Err(why)) if why.kind().is_denial() => NotConnected::NotPermitted,
                Ok(Err(_)) | Err(_) => NotConnected::NotAnswered,
            },
        };
        why.explain(error, &id, &self.aws.region, SystemTime::now())
    }
}
