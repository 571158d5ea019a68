//! The far side of a session: what the agent asks of its surroundings, and what they answer.

use super::Session;
use crate::agent::{Agent, AgentEvent, AgentRequest, EndReason, Program};
use crate::report::SessionState;
use std::time::Instant;

impl Session {
    /// Does all that the agent asks for; says whether it asked for anything.
    pub(super) fn serve_agent(&mut self, now: Instant) -> bool {
        let mut moved = false;
        while let Some(request) = self.agent.as_mut().and_then(Agent::poll_request) {
            moved = true;
            self.agent_request(now, request);
        }
        while let Some(request) = self.agent.as_mut().and_then(Agent::poll_forward) {
            moved = true;
            self.forward_request(now, request);
        }
        while let Some(event) = self.agent.as_mut().and_then(Agent::poll_event) {
            moved = true;
            self.agent_event(now, event);
        }
        moved
    }

    fn agent_event(&mut self, now: Instant, event: AgentEvent) {
        match event {
            AgentEvent::Connect(port) => {
                let leads = self.leads(&port);
                if !leads.is_empty() {
                    return self.port.connect(leads);
                }
                let error = format!("dial tcp 127.0.0.1:{port}: connect: connection refused");
                if let Some(agent) = &mut self.agent {
                    agent.tcp_refused(now, &error);
                }
            }
            AgentEvent::CloseTcp => {
                self.port.close(now);
                self.streams.close_all();
                self.process.close();
            }
            AgentEvent::Ended(reason, output) => {
                self.port.close(now);
                self.streams.close_all();
                self.process.close();
                let state = match reason {
                    EndReason::Flag => SessionState::EndedByFlag,
                    EndReason::Peer => SessionState::EndedBySshd,
                    EndReason::Program => SessionState::EndedByProgram,
                    EndReason::Refused
                    | EndReason::Handshake
                    | EndReason::Disconnected
                    | EndReason::NotStarted
                    | EndReason::Mux => SessionState::Failed,
                };
                self.ending = Some((state, output));
            }
        }
    }

    /// Does all that the agent asks for of its program; says whether that was anything.
    pub(super) fn agent_requests(&mut self, now: Instant) -> bool {
        let mut any = false;
        while let Some(request) = self.agent.as_mut().and_then(Agent::poll_request) {
            any = true;
            self.agent_request(now, request);
        }
        any
    }

    fn agent_request(&mut self, now: Instant, request: AgentRequest) {
        match request {
            AgentRequest::Start(program) => self.start_program(now, &program),
            AgentRequest::Resize(cols, rows) => self.process.resize(cols, rows),
            AgentRequest::Signal(signal) => self.process.signal(signal),
            AgentRequest::Decrypt(request) => {
                let mut service = self.hub.service.borrow_mut();
                if let Some(key) = service.data_key(&request.blob) {
                    self.inspector.set_data_key(key);
                }
                let (delay, answer) = service.decrypt(&request);
                drop(service);
                if let Some(agent) = &mut self.agent {
                    agent.decrypted(now, delay, answer);
                }
            }
        }
    }

    fn start_program(&mut self, now: Instant, program: &Program) {
        let started = self.process.start(program);
        self.program_started |= started.is_ok();
        let Some(agent) = &mut self.agent else { return self.process.close() };
        match started {
            Ok(()) => agent.started(now),
            Err(error) => agent.start_failed(now, &error),
        }
    }

    pub(super) fn port_result(&mut self, now: Instant, result: std::io::Result<()>) {
        let Some(agent) = &mut self.agent else { return };
        match result {
            Ok(()) => {
                self.port_connected = true;
                agent.tcp_connected(now);
            }
            Err(error) => {
                let port = &self.agent_config.port;
                agent.tcp_refused(now, &format!("dial tcp 127.0.0.1:{port}: connect: {error}"));
            }
        }
    }
}
