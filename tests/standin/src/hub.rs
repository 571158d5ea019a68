//! What the tasks of one stand-in share: its options, the service, the report, and the way to each session.

use crate::destination::Destination;
use crate::fault::Fault;
use crate::options::Options;
use crate::report::SessionReport;
use crate::service::{Service, Started};
use crate::session::{Command, Session};
use crate::shared::Shared;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// Everything that is shared; lives on the stand-in's one thread.
pub(crate) struct Hub {
    pub(crate) options: Options,
    pub(crate) service: RefCell<Service>,
    pub(crate) shared: Shared,
    /// What forwards can reach now.
    pub(crate) destinations: RefCell<Vec<Destination>>,
    sessions: RefCell<HashMap<String, UnboundedSender<Command>>>,
}

impl Hub {
    pub(crate) fn new(options: Options, stream_base: String, shared: Shared) -> Self {
        Self {
            service: RefCell::new(Service::new(options.clone(), stream_base)),
            destinations: RefCell::new(options.destinations.clone()),
            options,
            shared,
            sessions: RefCell::new(HashMap::new()),
        }
    }

    /// Begins the task of a session.
    pub(crate) fn start(self: &Rc<Self>, started: Started) {
        let (sender, receiver) = unbounded_channel();
        let index = self.shared.update(|report| {
            report.sessions.push(SessionReport {
                id: started.id.clone(),
                target: started.target.clone(),
                document: started.document.clone(),
                parameters: started.parameters.clone(),
                reason: started.reason.clone(),
                kind: started.settings.kind,
                region: self.options.region.clone(),
                ..SessionReport::default()
            });
            report.sessions.len() - 1
        });
        self.sessions.borrow_mut().insert(started.id.clone(), sender);
        tokio::task::spawn_local(Session::new(self.clone(), index, &started, receiver).run());
    }

    /// Makes this the only thing at its host and port.
    pub(crate) fn put_destination(&self, destination: Destination) {
        let mut all = self.destinations.borrow_mut();
        all.retain(|known| !(known.is_host(&destination.host) && known.port == destination.port));
        all.push(destination);
    }

    /// Tells one session something; one that is over does not hear it.
    pub(crate) fn tell(&self, id: &str, command: Command) {
        if let Some(sender) = self.sessions.borrow().get(id) {
            let _ = sender.send(command);
        }
    }

    /// Lets something go wrong on one session, or on all.
    pub(crate) fn fault(&self, id: Option<&str>, fault: &Fault) {
        for (session, sender) in self.sessions.borrow().iter() {
            if id.is_none_or(|id| id == session) {
                let _ = sender.send(Command::Fault(fault.clone()));
            }
        }
    }
}
