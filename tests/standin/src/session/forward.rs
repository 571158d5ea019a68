//! A forward's part of the session: what its streams lead to.

use super::Session;
use crate::agent::{ForwardMode, ForwardRequest};
use crate::destination::{Lead, leads, own};
use crate::report::ForwardReport;
use std::time::Instant;

impl Session {
    /// What is behind the port that the session is for.
    pub(super) fn leads(&self, port: &str) -> Vec<Lead> {
        if !self.host_known {
            return Vec::new();
        }
        let (options, host) = (&self.hub.options, self.agent_config.host());
        let mut leads = leads(&options.ports, &self.hub.destinations.borrow(), host, port);
        if leads.is_empty() && options.own_ports {
            leads.extend(own(host, port));
        }
        leads
    }

    pub(super) fn forward_request(&mut self, now: Instant, request: ForwardRequest) {
        match request {
            ForwardRequest::Close(id) => self.streams.close(id),
            ForwardRequest::Dial(id) => {
                let leads = self.leads(&self.agent_config.port);
                if !leads.is_empty() {
                    return self.streams.dial(id, leads);
                }
                if let Some(agent) = &mut self.agent {
                    agent.stream_refused(now, id);
                }
            }
        }
    }

    /// What is reported of the forward, if the session is one.
    pub(super) fn forward_report(&mut self) -> Option<ForwardReport> {
        let agent = self.agent.as_ref().filter(|agent| agent.forward_mode() != ForwardMode::Direct);
        if let Some(agent) = agent {
            let (mode, counts) = (agent.forward_mode(), agent.forward_counts());
            self.forward = Some(ForwardReport { mode, counts, ..ForwardReport::default() });
        }
        if let Some(report) = &mut self.forward {
            report.client = self.inspector.forward_traffic();
        }
        self.forward
    }
}
