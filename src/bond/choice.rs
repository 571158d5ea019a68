//! The choice of what a connection begins with, by what is known of its node: a session with the joiner, a plain one, or
//! both at once where nothing is known.

use std::cell::{Cell, RefCell};

use ssm_aws::Aws;
use tokio::sync::Notify;

use super::known::{Joiner, Known, KnownJoiners};

/// The port at which a joiner begins bonds that came in a package.
pub(super) const FIRST_PORT: u16 = 10122;
/// The port that such a joiner leads to.
const SSH_PORT: u16 = 22;

/// What a connection begins with.
#[derive(Clone, Debug)]
pub(super) enum Beginning {
    /// A session with the port itself.
    Plain,
    /// The same, and beside it one with a joiner that may be there.
    Both,
    /// A session with this joiner.
    Joiner(Joiner),
}

/// The choice for one connection.
pub struct Choice<'a> {
    aws: &'a Aws,
    known: KnownJoiners,
    /// The port that a plain session leads to.
    port: u16,
    /// Where the joiner has to connect to, as `host:port`; empty for its own sshd.
    destination: String,
    /// The node that a session was asked of last, and what with.
    asked: RefCell<Option<(String, Beginning)>>,
    /// A session is asked for.
    asks: Notify,
    /// A joiner that was known has turned out to be gone.
    is_without: Cell<bool>,
}

impl<'a> Choice<'a> {
    /// That of a connection to a `port` of the node.
    pub fn new(aws: &'a Aws, port: u16) -> Self {
        let destination = if port == SSH_PORT { String::new() } else { format!("127.0.0.1:{port}") };
        Self::to(aws, port, destination)
    }

    /// That of connections to this `host:port`, as seen from the node. A plain session leads to `port`.
    pub fn to(aws: &'a Aws, port: u16, destination: String) -> Self {
        Self {
            aws,
            known: KnownJoiners::of_user(),
            port,
            destination,
            asked: RefCell::default(),
            asks: Notify::new(),
            is_without: Cell::new(false),
        }
    }

    /// Whether the node with this id is known to have a joiner that leads there.
    pub fn is_known(&self, id: &str) -> bool {
        let known = self.known.recall(self.aws, id);
        known.is_some_and(|known| matches!(known, Known::Joiner(joiner) if self.leads_there(&joiner)))
    }

    /// The port for the session that is about to be asked of the node with this id.
    pub fn port_of(&self, id: &str) -> u16 {
        let beginning = match self.known.recall(self.aws, id) {
            _ if self.is_without.get() => Beginning::Plain,
            Some(Known::Joiner(joiner)) if self.leads_there(&joiner) => Beginning::Joiner(joiner),
            None if self.destination.is_empty() => Beginning::Both,
            _ => Beginning::Plain,
        };
        let port = match &beginning {
            Beginning::Joiner(joiner) => joiner.first_port,
            Beginning::Plain | Beginning::Both => self.port,
        };
        tracing::debug!(id, port, "how the connection begins");
        self.asked.replace(Some((id.to_owned(), beginning)));
        self.asks.notify_one();
        port
    }

    /// Whether it leads where the connection is to lead: without a secret it leads to sshd alone.
    fn leads_there(&self, joiner: &Joiner) -> bool {
        self.destination.is_empty() || joiner.secret.is_some()
    }

    /// Where the joiner has to connect to; empty for its own sshd.
    pub(super) fn destination(&self) -> &str {
        &self.destination
    }

    /// What the latest session was asked for with.
    pub(super) fn beginning(&self) -> Beginning {
        self.asked.borrow().as_ref().map_or(Beginning::Plain, |(_, beginning)| beginning.clone())
    }

    /// The node that the latest session was asked of.
    pub fn id(&self) -> Option<String> {
        self.asked.borrow().as_ref().map(|(id, _)| id.clone())
    }

    /// Waits until a joiner is to be looked for beside a plain session; gives the port to look at.
    pub(super) async fn wants_both(&self) -> u16 {
        loop {
            self.asks.notified().await;
            if matches!(self.beginning(), Beginning::Both) {
                return FIRST_PORT;
            }
        }
    }

    /// The joiner is there. One that was known is known already.
    pub(super) fn found(&self, joiner: &Joiner) {
        let Some((id, Beginning::Both)) = self.asked.borrow().clone() else { return };
        if let Err(error) = self.known.remember(self.aws, &id, joiner) {
            tracing::debug!(%error, "the joiner is not remembered");
        }
    }

    /// There is no joiner: none is looked for during the next hour.
    pub(super) fn absent(&self) {
        if let Some(id) = self.id() {
            self.known.remember_absence(self.aws, &id);
        }
    }

    /// The joiner that was known is not there any more. This connection goes on without.
    pub(super) fn gone(&self) {
        self.is_without.set(true);
        if let Some(id) = self.id() {
            self.known.forget(self.aws, &id);
        }
    }
}
