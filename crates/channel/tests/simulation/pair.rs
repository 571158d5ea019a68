//! The client's channel and the stand-in's agent, joined by two links: a session without ssh, sshd and their troubles.

use std::time::Instant;

use bytes::Bytes;
use ssm_channel::{Accepts, Channel, Config, Service};
use standin::codec::publication;
use standin::{Agent, AgentConfig, AgentEvent, Link, LinkConfig};
use uuid::Uuid;

/// What moved at one moment.
#[derive(Default)]
pub(crate) struct Moved {
    /// Frames that the client sent.
    pub(crate) from_client: Vec<Bytes>,
    /// Frames that the agent sent.
    pub(crate) from_agent: Vec<Bytes>,
    /// Bytes that arrived at the port.
    pub(crate) to_port: usize,
    /// Bytes that arrived at ssh.
    pub(crate) to_ssh: usize,
}

pub(crate) struct Pair {
    pub(crate) channel: Channel,
    pub(crate) agent: Agent,
    pub(crate) up: Link,
    pub(crate) down: Link,
}

impl Pair {
    /// A session that starts at `start`. The agent is connected to its port as soon as it asks for that.
    pub(crate) fn new(start: Instant, agent: AgentConfig, up: LinkConfig, down: LinkConfig, seed: u64) -> Self {
        let rng = |n: u64| fastrand::Rng::with_seed(seed.wrapping_mul(3).wrapping_add(n));
        let mut channel =
            Channel::new(Config { unix_millis: 1, seed, service: Service::Aws, accepts: Accepts::Port }, start);
        channel.transport_up();
        Self {
            channel,
            agent: Agent::new(start, 1, agent, rng(0)),
            up: Link::new(up, rng(1)),
            down: Link::new(down, rng(2)),
        }
    }

    /// Moves once around what can move at `now`.
    pub(crate) fn turn(&mut self, now: Instant) -> Moved {
        let Self { channel, agent, up, down } = self;
        let mut moved = Moved::default();
        channel.handle_timeout(now);
        while let Some(bytes) = channel.poll_output() {
            moved.to_ssh += bytes.len();
        }
        while let Some(frame) = channel.poll_frame(now) {
            up.send(now, frame.clone());
            moved.from_client.push(frame);
        }
        while let Some(frame) = up.poll(now) {
            agent.handle_frame(now, &frame);
        }
        agent.tcp_room(now, usize::MAX);
        agent.handle_timeout(now);
        while let Some(event) = agent.poll_event() {
            if matches!(event, AgentEvent::Connect(_)) {
                agent.tcp_connected(now);
            }
        }
        while let Some(bytes) = agent.poll_tcp_write() {
            moved.to_port += bytes.len();
        }
        while let Some(frame) = agent.poll_frame(now) {
            down.send(now, frame.clone());
            moved.from_agent.push(frame);
        }
        while let Some(frame) = down.poll(now) {
            let _ = channel.handle_frame(now, &frame);
        }
        moved
    }

    /// When something is to happen next. What arrives without delay is there already.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Instant> {
        let times = [
            self.channel.poll_timeout(now),
            self.agent.poll_timeout(),
            self.up.poll_timeout(),
            self.down.poll_timeout(),
        ];
        times.into_iter().flatten().min()
    }

    /// The service closes the client's socket, and the agent is told to pause meanwhile.
    pub(crate) fn close(&mut self, now: Instant) {
        self.up.clear();
        self.down.clear();
        self.channel.transport_lost(true);
        self.tell_agent(now, standin::codec::message_type::PAUSE_PUBLICATION);
    }

    /// The client has a new socket.
    pub(crate) fn reopen(&mut self, now: Instant) {
        self.channel.transport_up();
        self.tell_agent(now, standin::codec::message_type::START_PUBLICATION);
    }

    fn tell_agent(&mut self, now: Instant, name: &str) {
        self.agent.handle_frame(now, &publication(name, Uuid::nil(), 1).encode());
    }
}
