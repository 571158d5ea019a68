//! The command that connects over several sessions, as far as the node has a joiner for them.

use std::rc::Rc;

use ssm_aws::Aws;
use tokio::sync::Notify;

use super::{
    sign_in::sign_in_before,
    starter::{Starter, request_at, settings},
};
use crate::{
    bond::{Bonded, Choice, End, Further, Means, Source, Start},
    cli::{Connection, Forwarding, LocalForward},
    diagnostics::Error,
    endpoints::signals::Signals,
    forward::Carry,
    terminate,
    tunnel::Settings,
};

/// Joins stdin and stdout to a port of the node, over at most so many sessions. Gives the status that the process ends with.
///
/// # Errors
/// Any failure; the sessions that were started have been ended by then.
pub(super) async fn bonded(
    aws: &Aws,
    connection: &Connection,
    most: usize,
    signals: &mut Signals,
) -> Result<u8, Error> {
    sign_in_before(aws, signals).await?;
    let hurry = Notify::new();
    let choice = Choice::new(aws, connection.port);
    let starter = Starter::new(aws, connection).at(|id| choice.port_of(id));
    let settings = settings(connection, None);
    let source = source(connection, &starter, &choice, &hurry);
    let means = Means { aws, sessions: &starter.sessions, settings: &settings, source, choice: &choice };
    let result = Bonded { means, most }.run(signals).await;
    if let Some(session_id) = starter.unclaimed.take() {
        terminate::by_api(&session_id, starter.sessions.terminate(&session_id)).await;
    }
    result
}

/// Where a bond has its sessions from.
fn source<'a>(
    connection: &'a Connection,
    starter: &'a Starter<'a>,
    choice: &'a Choice<'a>,
    hurry: &'a Notify,
) -> Source<'a> {
    let start: Rc<Start<'a>> = Rc::new(move || Box::pin(starter.start(hurry)));
    let further: Rc<Further<'a>> = Rc::new(move |port| {
        let request = choice.id().map(|id| request_at(connection, &id, port));
        Box::pin(async move {
            match request {
                Some(request) => starter.sessions.start(&request).await,
                // Nobody asks before the first was asked for.
                None => std::future::pending().await,
            }
        })
    });
    Source { start, further, hurry }
}

/// The bonds of forwards: each connection has one of its own, if the node has a joiner that leads anywhere.
pub(super) struct Bonds<'a> {
    aws: &'a Aws,
    connection: &'a Connection,
    settings: Settings,
    most: usize,
    /// One for each forward.
    choices: Vec<Choice<'a>>,
    /// Ends their connections.
    pub(super) end: End,
}

impl<'a> Bonds<'a> {
    /// Those that are asked for.
    pub(super) fn of(aws: &'a Aws, forwarding: &'a Forwarding) -> Option<Self> {
        let connection = forwarding.bond.as_ref()?;
        let most = connection.bond?;
        let choices = forwarding.forwards.iter().map(|(to, _)| {
            let LocalForward { host, port, .. } = to;
            let destination = if to.is_on_node() { format!("127.0.0.1:{port}") } else { to.destination() };
            tracing::debug!(host, port, destination, "connections to here may each be carried by several sessions");
            Choice::to(aws, *port, destination)
        });
        let (choices, settings) = (choices.collect(), settings(connection, None));
        Some(Self { aws, connection, settings, most, choices, end: End::default() })
    }

    /// What starts their sessions, one for each forward.
    pub(super) fn starters(&self) -> Vec<Starter<'_>> {
        let start = |choice| Starter::new(self.aws, self.connection).at(move |id| Choice::port_of(choice, id));
        self.choices.iter().map(start).collect()
    }

    /// What carries the connections of the forward with this starter, if it is known that there is a joiner.
    ///
    /// # Errors
    /// Why the node cannot be looked up.
    pub(super) async fn carry<'b>(
        &'b self,
        at: usize,
        starter: &'b Starter<'b>,
        hurry: &'b Notify,
    ) -> Result<Option<Rc<Carry<'b>>>, Error> {
        let Some(choice) = self.choices.get(at) else { return Ok(None) };
        if !choice.is_known(&starter.id().await?) {
            tracing::info!("no joiner that leads elsewhere is known on the node: each connection has one session");
            return Ok(None);
        }
        Ok(Some(Rc::new(move |local| {
            let Self { aws, connection, settings, most, end, .. } = self;
            let source = source(connection, starter, choice, hurry);
            let means = Means { aws, sessions: &starter.sessions, settings, source, choice };
            Box::pin(Bonded { means, most: *most }.carry(local, end.clone()))
        })))
    }
}
