//! What starts a session on the node of a connection: finds the node, waits for it, and pushes a key, as far as it is asked
//! to.

use std::{
    cell::{OnceCell, RefCell},
    rc::Rc,
    time::Duration,
};

use ssm_aws::{
    ApiError, Aws, ErrorKind, InstanceConnect, InstanceId, KnownBy, ManagedNode, Session, Sessions, StartRequest,
};
use ssm_session::Service;
use tokio::{sync::Notify, time::timeout};

use super::waiting::Waiting;
use crate::{
    cli::{Connection, PushKey, parameters_at},
    diagnostics::{Error, not_connected, not_connected_unexplained, self_reported, tell},
    lookup::{Lookup, NotFound},
    target::Node,
    tunnel::{Settings, Wanted},
};

/// How long the service may take to say why a node is not connected. The error waits for the reason, which is worth a
/// moment, not a minute.
const EXPLANATION: Duration = Duration::from_secs(5);

/// The request for a session of this connection with `target`.
pub(super) fn request(connection: &Connection, target: &str) -> StartRequest {
    StartRequest {
        target: target.to_owned(),
        document: connection.document.clone(),
        parameters: connection.parameters.clone(),
        reason: connection.reason.clone(),
    }
}

/// The same to another port of `target`.
pub(super) fn request_at(connection: &Connection, target: &str, port: u16) -> StartRequest {
    StartRequest { parameters: parameters_at(connection, port), ..request(connection, target) }
}

/// The time from the start to a complete handshake, with the wait for the node.
pub(super) fn connect_timeout(connection: &Connection) -> Duration {
    connection.wait + connection.connect_timeout
}

/// The service whose pace the connection keeps.
pub(super) fn service(connection: &Connection) -> Service {
    if connection.paced { Service::Aws } else { Service::Unlimited }
}

/// The settings of a run for this connection.
pub(super) fn settings(connection: &Connection, program: Option<Wanted>) -> Settings {
    Settings {
        port: connection.port,
        connect_timeout: connect_timeout(connection),
        resume_timeout: connection.resume_timeout,
        service: service(connection),
        program,
        notes: Rc::default(),
    }
}

/// Starts sessions.
pub(super) struct Starter<'a> {
    aws: &'a Aws,
    connection: &'a Connection,
    pub(super) sessions: Sessions,
    /// Made when it is first needed: an id that is connected needs none.
    lookup: OnceCell<Lookup>,
    /// A session that has been started while the key is still on its way: whoever gives up then has to end it.
    pub(super) unclaimed: RefCell<Option<String>>,
    /// Says at which port of the node with this id, if not at the connection's.
    port_of: Option<Box<PortOf<'a>>>,
}

/// Chooses a port of the node with an id.
type PortOf<'a> = dyn Fn(&str) -> u16 + 'a;

/// A key on its way to one instance after another.
struct Pushing<'a> {
    connect: InstanceConnect,
    user: &'a str,
    public_key: String,
}

/// A node that a session is asked for.
struct Candidate {
    id: String,
    /// What the service says of the node, if it was asked.
    node: Option<ManagedNode>,
}

/// An attempt that came to nothing.
struct FailedAttempt {
    error: Error,
    /// Whether another attempt may fare better, because the node is only starting.
    may_pass: bool,
    /// The node that is not connected.
    away: Option<Candidate>,
}

impl From<NotFound> for FailedAttempt {
    fn from(NotFound { error, may_appear }: NotFound) -> Self {
        Self { error, may_pass: may_appear, away: None }
    }
}

impl<E: Into<Error>> From<E> for FailedAttempt {
    fn from(error: E) -> Self {
        Self { error: error.into(), may_pass: false, away: None }
    }
}

impl<'a> Starter<'a> {
    pub(super) fn new(aws: &'a Aws, connection: &'a Connection) -> Self {
        let (lookup, unclaimed) = (OnceCell::new(), RefCell::default());
        Self { aws, connection, sessions: Sessions::new(aws), lookup, unclaimed, port_of: None }
    }

    /// Has the port chosen by `port_of`, for the id of the node that a session is about to be asked of.
    pub(super) fn at(self, port_of: impl Fn(&str) -> u16 + 'a) -> Self {
        Self { port_of: Some(Box::new(port_of)), ..self }
    }

    /// Starts one. `hurry` says that it should begin nothing new.
    pub(super) async fn start(&self, hurry: &Notify) -> Result<Session, Error> {
        let pushing = match &self.connection.push_key {
            Some(push_key) => Some(self.prepare(push_key).await?),
            None => None,
        };
        let mut waiting = Waiting::new(&self.connection.host, self.connection.wait, hurry);
        loop {
            match self.attempt(pushing.as_ref()).await {
                Ok(session) => {
                    self.unclaimed.take();
                    return Ok(session);
                }
                Err(failed) if failed.may_pass && waiting.pause().await => {}
                Err(failed) => return Err(self.explain(failed).await),
            }
        }
    }

    /// The id of the node, which is looked up if it is not known.
    pub(super) async fn id(&self) -> Result<String, Error> {
        let alias = match &self.connection.node {
            Node::Id(id) => return Ok(id.clone()),
            Node::Alias(alias) => alias,
        };
        if let Some((id, _)) = self.lookup().recall(alias) {
            return Ok(id);
        }
        let found = self.lookup().find(alias).await.map_err(|not_found| not_found.error)?;
        self.lookup().remember(alias, &found);
        Ok(found.node.id)
    }

    fn lookup(&self) -> &Lookup {
        self.lookup.get_or_init(|| Lookup::new(self.aws))
    }

    /// Reads the key to push, before anything is asked of AWS.
    async fn prepare<'k>(&self, PushKey { key, user }: &'k PushKey) -> Result<Pushing<'k>, Error> {
        if let Node::Id(id) = &self.connection.node {
            InstanceId::of(id)?;
        }
        Ok(Pushing { connect: InstanceConnect::new(self.aws), user, public_key: key.read().await? })
    }

    /// Asks for a session once. A name first stands for the id that it led to a moment ago; it is looked up if there is
    /// none, or if that node is not connected any more.
    async fn attempt(&self, pushing: Option<&Pushing<'_>>) -> Result<Session, FailedAttempt> {
        let alias = match &self.connection.node {
            Node::Id(id) => return self.ask(Candidate { id: id.clone(), node: None }, pushing).await,
            Node::Alias(alias) => alias,
        };
        if let Some((id, by)) = self.lookup().recall(alias) {
            tracing::info!(%alias, id, "looked up a moment ago");
            match self.ask(Candidate { id: id.clone(), node: None }, pushing).await {
                Err(FailedAttempt { away: Some(_), .. }) => self.lookup().forget(alias),
                settled => return settled.inspect(|_| self.tell_of(&id, by)),
            }
        }
        let found = self.lookup().find(alias).await?;
        let candidate = Candidate { id: found.node.id.clone(), node: Some(found.node.clone()) };
        let session = self.ask(candidate, pushing).await?;
        self.tell_of(&found.node.id, found.by);
        self.lookup().remember(alias, &found);
        Ok(session)
    }

    /// Tells the user which node was taken, if it was found by a name that it reports itself.
    fn tell_of(&self, id: &str, by: KnownBy) {
        if let Some(name) = by.reported() {
            tell(&format!("{}: {}", self.connection.host, self_reported(id, name)));
        }
    }

    /// Asks for a session, and pushes the key meanwhile: both have to be there before the first byte of SSH.
    async fn ask(&self, candidate: Candidate, pushing: Option<&Pushing<'_>>) -> Result<Session, FailedAttempt> {
        let pushing = match pushing {
            Some(pushing) => Some((pushing, InstanceId::of(&candidate.id)?)),
            None => None,
        };
        let request = match &self.port_of {
            Some(port_of) => request_at(self.connection, &candidate.id, port_of(&candidate.id)),
            None => request(self.connection, &candidate.id),
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
                Err(FailedAttempt { error: error.into(), may_pass, away: is_away.then_some(candidate) })
            }
        }
    }

    /// The error of the attempt; if a node is not connected, with the reason, as far as the service tells.
    async fn explain(&self, FailedAttempt { error, may_pass, away }: FailedAttempt) -> Error {
        let Some(Candidate { id, node }) = away.filter(|_| may_pass) else { return error };
        let node = match node {
            Some(node) => Some(node),
            None => match timeout(EXPLANATION, self.lookup().inventory.node(&id)).await {
                Ok(Ok(node)) => node,
                answer => {
                    let is_denied = answer.is_ok_and(|answer| answer.is_err_and(|error| error.kind().is_denial()));
                    return not_connected_unexplained(error, is_denied);
                }
            },
        };
        not_connected(&id, node.as_ref(), &self.aws.region)
    }
}
