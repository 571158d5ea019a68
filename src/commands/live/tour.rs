//! The tour: what every part of a live check needs.

use std::{cell::RefCell, collections::BTreeMap};

use ssm_aws::{Aws, Sessions, StartRequest};
use ssm_session::Service;

use super::ledger::Ledger;
use crate::{cli::Connection, commands::starter::service, report::Report};

/// A live check of one node.
pub(super) struct Tour<'a> {
    pub(super) aws: &'a Aws,
    pub(super) sessions: Sessions,
    pub(super) connection: &'a Connection,
    /// The node's id.
    id: &'a str,
    pub(super) service: Service,
    pub(super) ledger: Ledger,
    pub(super) report: &'a RefCell<Report>,
}

impl<'a> Tour<'a> {
    pub(super) fn new(aws: &'a Aws, connection: &'a Connection, id: &'a str, report: &'a RefCell<Report>) -> Self {
        let sessions = Sessions::new(aws);
        let ledger = Ledger::new(&sessions);
        Self { aws, sessions, connection, id, service: service(connection), ledger, report }
    }

    /// The request for a session of `document` with the node.
    pub(super) fn request(&self, document: &str, parameters: &[(&str, &str)]) -> StartRequest {
        let parameters: BTreeMap<_, _> =
            parameters.iter().map(|(name, value)| ((*name).to_owned(), vec![(*value).to_owned()])).collect();
        StartRequest {
            target: self.id.to_owned(),
            document: document.to_owned(),
            parameters,
            reason: self.connection.reason.clone(),
        }
    }

    /// The request for a connection to sshd, as the command line has it.
    pub(super) fn tunnel(&self) -> StartRequest {
        crate::commands::starter::request(self.connection, self.id)
    }
}
