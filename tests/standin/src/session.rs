//! One session at work: joins a client's socket, the judge, both ways of the network, the agent and the TCP port.
//!
//! All rules of the protocol live in the rooms it joins; here is only who is asked when. One task, one loop.

mod far;
mod faults;
mod forward;

use crate::agent::{Agent, AgentConfig};
use crate::codec::{self, Message, message_type};
use crate::destination;
use crate::fault::{Fault, Scheduled, When};
use crate::forward::Streams;
use crate::hub::Hub;
use crate::inspector::Inspector;
use crate::kind::SessionKind;
use crate::link::{Link, LinkCounts};
use crate::options::{AfterFlag, StartPublication};
use crate::port::Port;
use crate::process::Process;
use crate::report::{BreachKind, ForwardReport, SessionState};
use crate::service::Started;
use crate::socket::{Frame, Socket};
use bytes::Bytes;
use faults::TOO_BIG;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc::UnboundedReceiver;
use uuid::Uuid;

/// Frames for the client that wait in the service.
const QUEUED_FRAMES: usize = 512;
/// Bytes under way on one link before its sender has to wait.
const LINK_BYTES: usize = 4 << 20;
/// How long a client may keep its socket open after `channel_closed`.
const FAREWELL: Duration = Duration::from_secs(10);

/// What a session's task is told from outside.
#[derive(Debug)]
pub(crate) enum Command {
    /// A client dialled.
    Attach(Box<Socket>),
    /// Something goes wrong.
    Fault(Fault),
    /// The client ended the session by the API.
    EndByApi,
}

#[derive(Debug)]
struct Due {
    scheduled: Scheduled,
    at: Option<Instant>,
    messages: Option<u64>,
}

pub(crate) struct Session {
    id: String,
    index: usize,
    hub: Rc<Hub>,
    commands: UnboundedReceiver<Command>,
    agent_config: AgentConfig,
    agent: Option<Agent>,
    inspector: Inspector,
    uplink: Link,
    downlink: Link,
    port: Port,
    streams: Streams,
    forward: Option<ForwardReport>,
    /// Whether the host of a forward had addresses when the session began: it is looked up then and never again.
    host_known: bool,
    process: Process,
    socket: Option<Socket>,
    opened: bool,
    to_client: VecDeque<Frame>,
    silent_until: Option<Instant>,
    deaf_until: Option<Instant>,
    agent_away_until: Option<Instant>,
    schedule: Vec<Due>,
    announced: bool,
    rate_paused: bool,
    oversized: u32,
    /// Payload bytes in a message at most that the present cell forwards.
    cell_limit: Option<usize>,
    last_activity: Instant,
    ending: Option<(SessionState, String)>,
    ended: Option<Instant>,
    closes: Vec<Option<u16>>,
    faults: u64,
    port_connected: bool,
    program_started: bool,
    rng: fastrand::Rng,
}

impl Session {
    pub(crate) fn new(hub: Rc<Hub>, index: usize, started: &Started, commands: UnboundedReceiver<Command>) -> Self {
        let options = &hub.options;
        let mut rng = fastrand::Rng::with_seed(options.seed.wrapping_add(index as u64));
        let mut agent_config = options.agent.clone();
        agent_config.session_id.clone_from(&started.id);
        agent_config.port.clone_from(&started.settings.port);
        agent_config.kind = started.settings.kind;
        agent_config.properties.clone_from(&started.settings.properties);
        agent_config.target.clone_from(&started.target);
        agent_config.command.clone_from(&started.settings.command);
        agent_config.separate = started.settings.separate;
        agent_config.prefixes.clone_from(&started.settings.prefixes);
        agent_config.container |= started.target.starts_with("ecs:");
        let schedule = options.schedule.iter().cloned();
        let host_known = destination::is_known(&hub.destinations.borrow(), agent_config.host());
        Self {
            id: started.id.clone(),
            index,
            commands,
            inspector: Inspector::new(options.inspector.clone())
                .of_kind(started.settings.kind, agent_config.is_encrypted())
                .of_agent(&agent_config),
            agent_config,
            agent: None,
            uplink: Link::new(options.uplink.clone(), rng.fork()),
            downlink: Link::new(options.downlink.clone(), rng.fork()),
            port: Port::default(),
            streams: Streams::default(),
            forward: None,
            host_known,
            process: Process::default(),
            socket: None,
            opened: false,
            to_client: VecDeque::new(),
            silent_until: None,
            deaf_until: None,
            agent_away_until: None,
            schedule: schedule.map(|scheduled| Due { scheduled, at: None, messages: None }).collect(),
            announced: false,
            rate_paused: false,
            oversized: 0,
            cell_limit: None,
            last_activity: Instant::now(),
            ending: None,
            ended: None,
            closes: Vec::new(),
            faults: 0,
            port_connected: false,
            program_started: false,
            rng,
            hub,
        }
    }

    /// Runs until the session has ended and its client is gone.
    pub(crate) async fn run(mut self) {
        let mut arrived = Vec::new();
        loop {
            let now = Instant::now();
            self.pass_time(now);
            while self.pump(now) {}
            self.publish();
            if self.ended.is_some() && self.socket.is_none() && !self.port.is_closing() {
                return;
            }
            let silent = self.silent_until.is_some();
            let read = !silent && self.deaf_until.is_none() && self.has_room();
            let wants_output = self.agent.as_ref().is_some_and(|agent| agent.tcp_read_room() > 0);
            let wants_errors = self.agent.as_ref().is_some_and(|agent| agent.stderr_read_room() > 0);
            let deadline = self.deadline().map(tokio::time::Instant::from_std);
            let (socket, inspector, out) = (&mut self.socket, &mut self.inspector, &mut self.to_client);
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(command) => self.command(Instant::now(), command),
                    None => return,
                },
                () = async {
                    match socket {
                        Some(socket) => socket.turn(out, read, !silent, &mut arrived, |frame| {
                            if let Frame::Binary(bytes) = frame {
                                inspector.to_client(Instant::now(), bytes);
                            }
                        }).await,
                        None => std::future::pending().await,
                    }
                } => {}
                result = self.port.ready(wants_output) => if let Some(result) = result {
                    self.port_result(Instant::now(), result);
                },
                () = self.streams.ready() => {}
                () = self.process.ready(wants_output, wants_errors) => {}
                () = async {
                    match deadline {
                        Some(at) => tokio::time::sleep_until(at).await,
                        None => std::future::pending().await,
                    }
                } => {}
            }
            let now = Instant::now();
            for frame in arrived.drain(..) {
                self.frame_from_client(now, frame);
            }
        }
    }

    fn has_room(&self) -> bool {
        self.uplink.bytes() < LINK_BYTES && self.agent.as_ref().is_none_or(Agent::wants_frames)
    }

    fn deadline(&self) -> Option<Instant> {
        let has_room = self.to_client.len() < QUEUED_FRAMES && self.downlink.bytes() < LINK_BYTES;
        let agent = self.agent.as_ref().filter(|_| has_room);
        let idle = self.ended.is_none().then(|| self.last_activity + self.hub.options.idle_limit);
        let uplink = self.uplink.poll_timeout().filter(|_| self.agent.as_ref().is_some_and(Agent::wants_frames));
        let downlink = self.downlink.poll_timeout().filter(|_| self.to_client.len() < QUEUED_FRAMES);
        let reading = self.silent_until.is_none() && self.deaf_until.is_none();
        let judge = self.inspector.poll_timeout().filter(|_| reading);
        let bids_farewell = self.socket.is_some() && self.hub.options.after_flag != AfterFlag::Nothing;
        let farewell = self.ended.filter(|_| bids_farewell).map(|at| at + FAREWELL);
        let schedule = self.schedule.iter().filter_map(|due| due.at).min();
        let waits = [
            agent.and_then(Agent::poll_timeout),
            idle,
            uplink,
            downlink,
            judge,
            farewell,
            schedule,
            self.silent_until,
            self.deaf_until,
            self.agent_away_until,
            self.port.poll_timeout(),
        ];
        waits.into_iter().flatten().min()
    }

    fn pass_time(&mut self, now: Instant) {
        let past = |at: &mut Option<Instant>| at.take_if(|at| *at <= now).is_some();
        if past(&mut self.silent_until) | past(&mut self.deaf_until) {
            self.inspector.forgive_acknowledgements();
        }
        if past(&mut self.agent_away_until)
            && let Some(agent) = &mut self.agent
        {
            agent.transport_up(now);
        }
        if self.silent_until.is_none() && self.deaf_until.is_none() {
            self.inspector.check(now);
        }
        if let Some(agent) = &mut self.agent
            && agent.poll_timeout().is_some_and(|at| at <= now)
        {
            agent.handle_timeout(now);
        }
        if self.ended.is_none() && now >= self.last_activity + self.hub.options.idle_limit {
            self.end(now, SessionState::Failed, "Your session timed out due to inactivity and has been terminated.");
        }
        let farewell_over = self.ended.is_some_and(|at| now >= at + FAREWELL);
        if farewell_over
            && self.hub.options.after_flag != AfterFlag::Nothing
            && let Some(socket) = self.detach(None)
        {
            socket.close(1000, "");
        }
        self.run_schedule(now);
    }

    fn run_schedule(&mut self, now: Instant) {
        let count = self.inspector.traffic().messages_from_client;
        let mut faults = Vec::new();
        for due in &mut self.schedule {
            let by_time = due.at.is_some_and(|at| at <= now);
            let by_count = due.messages.is_some_and(|n| count >= n);
            if by_time || by_count {
                faults.push(due.scheduled.fault.clone());
                (due.at, due.messages) = match due.scheduled.when {
                    When::Every(period) => (Some(now + period), None),
                    When::EveryMessages(n) => (None, Some(count + n.max(1))),
                    When::After(_) | When::Messages(_) => (None, None),
                };
            }
        }
        for fault in faults {
            self.fault(now, fault);
        }
    }

    /// Moves everything that can move now; says whether to look again.
    fn pump(&mut self, now: Instant) -> bool {
        let mut moved = false;
        if let Some(agent) = &mut self.agent {
            while agent.wants_frames() {
                let Some(frame) = self.uplink.poll(now) else { break };
                agent.handle_frame(now, &frame);
                moved = true;
            }
        }
        // Ahead of what was typed behind them: a program that is asked for its size knows the one that came before the question.
        moved |= self.agent_requests(now);
        if let Some(agent) = &mut self.agent {
            moved |= match self.agent_config.kind {
                SessionKind::Port => {
                    self.port.pump(now, agent) | self.streams.pump(now, agent, &mut self.port_connected)
                }
                _ => self.process.pump(now, agent),
            };
            while self.downlink.bytes() < LINK_BYTES && self.to_client.len() < QUEUED_FRAMES {
                let Some(frame) = agent.poll_frame(now) else { break };
                self.downlink.send(now, frame);
                // Output of a shell or command does not keep its session from the idle limit (sessions §8).
                if self.agent_config.kind == SessionKind::Port {
                    self.last_activity = now;
                }
                moved = true;
            }
        }
        if self.agent.is_none() {
            // The session is over; if the peer is gone too, what was left for it is of no use to anyone.
            moved |= self.port.flush(now).unwrap_or(false);
        }
        while self.to_client.len() < QUEUED_FRAMES {
            let Some(frame) = self.downlink.poll(now) else { break };
            moved = true;
            if self.opened {
                self.to_client.push_back(Frame::Binary(frame));
            } else {
                self.pause_agent(now);
            }
        }
        if self.hub.options.start_publication == StartPublication::After
            && !self.announced
            && self.inspector.is_complete()
        {
            self.announced = true;
            self.publication(message_type::START_PUBLICATION);
        }
        moved |= self.serve_agent(now);
        // The end is said last: after every acknowledgement and all output that the agent sent.
        let drained = self.downlink.bytes() == 0 && !self.agent.as_ref().is_some_and(Agent::has_frames);
        if let Some((state, output)) = self.ending.take_if(|_| drained) {
            self.end(now, state, &output);
        }
        moved
    }

    fn command(&mut self, now: Instant, command: Command) {
        match command {
            Command::Attach(socket) => {
                drop(self.detach(None));
                self.socket = Some(*socket);
            }
            Command::Fault(fault) => self.fault(now, fault),
            Command::EndByApi => self.end(now, SessionState::EndedByApi, ""),
        }
    }

    /// The service closes the client's socket, and the session goes on.
    fn close(&mut self, now: Instant, code: u16, reason: &str) {
        if let Some(socket) = self.detach(None) {
            socket.close(code, reason);
            self.pause_agent(now);
        }
    }

    /// Lets go of the client's socket, which ended with this close code.
    fn detach(&mut self, code: Option<u16>) -> Option<Socket> {
        let socket = self.socket.take()?;
        self.closes.push(code);
        self.opened = false;
        self.to_client.clear();
        self.downlink.clear();
        self.silent_until = None;
        self.deaf_until = None;
        self.inspector.transport_lost();
        Some(socket)
    }

    fn frame_from_client(&mut self, now: Instant, frame: Frame) {
        if self.socket.is_none() {
            return;
        }
        match frame {
            Frame::Closed(code) => {
                if let Some(socket) = self.detach(code) {
                    socket.finish();
                }
                self.pause_agent(now);
            }
            Frame::Ping => self.inspector.ping(),
            Frame::Text(text) if self.opened => self.inspector.text_from_client(&text),
            Frame::Text(text) => self.open(now, &text),
            Frame::Binary(_) if !self.opened => self.refuse_open(BreachKind::OpenMissing, "a binary frame came first"),
            Frame::Binary(bytes) => {
                if self.agent_config.kind == SessionKind::Port || is_input(&bytes) {
                    self.last_activity = now;
                }
                self.inspector.from_client(now, &bytes);
                if self.cell_limit.is_some_and(|limit| is_oversized(&bytes, limit)) {
                    return self.close(now, TOO_BIG, "");
                }
                self.enforce_limits(now, &bytes);
                if self.ended.is_none() {
                    self.uplink.send(now, bytes);
                }
                if self.schedule.iter().any(|due| due.messages.is_some()) {
                    self.run_schedule(now);
                }
            }
        }
    }

    fn open(&mut self, now: Instant, text: &str) {
        let Some(open) = self.inspector.open(text) else {
            return self.refuse_open(BreachKind::OpenMalformed, "the open message cannot be read");
        };
        let taken = self.hub.service.borrow_mut().take_token(&self.id, &open.token);
        if let Err(kind) = taken {
            return self.refuse_open(kind, "the token is not good");
        }
        self.opened = true;
        self.last_activity = now;
        let client_version = open.client_version;
        self.hub.shared.update(|report| {
            if let Some(session) = report.sessions.get_mut(self.index) {
                session.opens += 1;
                session.client_version = client_version;
            }
        });
        if self.ended.is_some() {
            return self.say_closed("");
        }
        if self.agent.is_none() {
            self.agent = Some(Agent::new(now, epoch_ms(), self.agent_config.clone(), self.rng.fork()));
            for due in &mut self.schedule {
                match due.scheduled.when {
                    When::After(time) | When::Every(time) => due.at = Some(now + time),
                    When::Messages(n) | When::EveryMessages(n) => due.messages = Some(n),
                }
            }
        }
        if self.hub.options.start_publication == StartPublication::Before {
            self.publication(message_type::START_PUBLICATION);
        }
        self.tell_agent(now, message_type::START_PUBLICATION);
        self.run_schedule(now);
    }

    fn refuse_open(&mut self, kind: BreachKind, detail: &str) {
        self.hub.shared.update(|report| report.breach(kind, Some(&self.id), detail));
        if let Some(socket) = self.detach(None) {
            socket.close(1008, "");
        }
    }

    fn end(&mut self, now: Instant, state: SessionState, output: &str) {
        if self.ended.is_some() {
            return;
        }
        self.ended = Some(now);
        self.ending = None;
        self.port.close(now);
        self.streams.close_all();
        self.process.close();
        self.forward_report();
        let exit_code = self.agent.take().and_then(|agent| agent.exit_code());
        self.uplink.clear();
        self.hub.service.borrow_mut().ended(&self.id);
        let silently = state == SessionState::EndedByFlag && self.hub.options.after_flag == AfterFlag::Nothing;
        self.hub.shared.update(|report| {
            if let Some(session) = report.sessions.get_mut(self.index) {
                session.state = state;
                session.exit_code = exit_code;
                session.closed_output = (!silently).then(|| output.to_owned());
            }
        });
        if !silently {
            self.say_closed(output);
        }
    }

    fn say_closed(&mut self, output: &str) {
        if self.opened {
            let id = self.fresh_id();
            let message = codec::channel_closed(&self.id, output, id, epoch_ms());
            self.to_client.push_back(Frame::Binary(message.encode()));
        }
    }

    fn publication(&mut self, name: &str) {
        if self.opened {
            let message = codec::publication(name, self.fresh_id(), epoch_ms());
            self.to_client.push_back(Frame::Binary(message.encode()));
        }
    }

    fn pause_agent(&mut self, now: Instant) {
        if self.hub.options.pause_agent_while_away && !self.opened {
            self.tell_agent(now, message_type::PAUSE_PUBLICATION);
        }
    }

    fn tell_agent(&mut self, now: Instant, name: &str) {
        let frame = codec::publication(name, self.fresh_id(), epoch_ms()).encode();
        if let Some(agent) = &mut self.agent {
            agent.handle_frame(now, &frame);
        }
    }

    fn fresh_id(&mut self) -> Uuid {
        uuid::Builder::from_random_bytes(self.rng.u128(..).to_be_bytes()).into_uuid()
    }

    fn publish(&mut self) {
        let breaches = self.inspector.take_breaches();
        let forward = self.forward_report();
        let (uplink, downlink): (LinkCounts, LinkCounts) = (self.uplink.counts(), self.downlink.counts());
        self.hub.shared.update(|report| {
            for (kind, detail) in breaches {
                report.breach(kind, Some(&self.id), detail);
            }
            let Some(session) = report.sessions.get_mut(self.index) else { return };
            session.connected = self.socket.is_some();
            session.traffic = self.inspector.traffic();
            session.handshake_complete = self.inspector.is_complete();
            session.terminate_flag = self.inspector.has_terminated();
            session.port_connected = self.port_connected;
            session.faults = self.faults;
            session.program_started = self.program_started;
            session.encrypted = self.agent_config.is_encrypted();
            session.forward = forward;
            session.uplink = uplink;
            session.downlink = downlink;
            if let Some(agent) = &self.agent {
                session.agent = agent.counts();
                session.exit_code = agent.exit_code();
            }
            if session.client_closes.len() != self.closes.len() {
                session.client_closes.clone_from(&self.closes);
            }
            if session.client_id.is_none() {
                session.client_id = self.inspector.client_id().map(str::to_owned);
            }
            if session.handshake_client_version.is_none() {
                session.handshake_client_version = self.inspector.client_version().map(str::to_owned);
            }
        });
    }
}

/// Whether a frame is stream data.
fn is_input(frame: &Bytes) -> bool {
    Message::decode(frame).is_ok_and(|m| m.name() == message_type::INPUT)
}

/// Whether a frame is stream data with more payload than this.
fn is_oversized(frame: &Bytes, limit: usize) -> bool {
    Message::decode(frame).is_ok_and(|m| m.name() == message_type::INPUT && m.payload.len() > limit)
}

/// Milliseconds since the Unix epoch.
pub(crate) fn epoch_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
