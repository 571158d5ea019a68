//! The pure parts joined without sockets: agent, judge and network on a virtual clock, with the simplest client that
//! keeps to the protocol. Every seed is a world of its own and replays exactly.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking; clippy.toml allows it only inside the test functions themselves"
)]

use bytes::Bytes;
use standin::codec::{Message, flag, message_type, payload_type};
use standin::{Agent, AgentConfig, AgentEvent, Inspector, InspectorConfig, Link, LinkConfig};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use uuid::Uuid;

const RTO: Duration = Duration::from_millis(400);
const WINDOW: usize = 16;
const RESPONSE: &str = r#"{"ClientVersion":"1.2.764.0","ProcessedClientActions":[{"ActionType":"SessionType","ActionStatus":1,"ActionResult":null,"Error":""}],"Errors":null}"#;

/// A client with a fixed timer and a fixed window.
struct Client {
    rng: fastrand::Rng,
    unacknowledged: BTreeMap<i64, (Bytes, Instant)>,
    next: i64,
    expected: i64,
    early: BTreeMap<i64, Message>,
    out: Vec<Bytes>,
    upload: Bytes,
    downloaded: Vec<u8>,
    download_size: usize,
    terminated: bool,
}

impl Client {
    fn new(upload: Bytes, download_size: usize, rng: fastrand::Rng) -> Self {
        Self {
            rng,
            unacknowledged: BTreeMap::new(),
            next: 0,
            expected: 0,
            early: BTreeMap::new(),
            out: Vec::new(),
            upload,
            downloaded: Vec::new(),
            download_size,
            terminated: false,
        }
    }

    fn id(&mut self) -> Uuid {
        Uuid::from_u128(self.rng.u128(..))
    }

    fn stream(&mut self, now: Instant, kind: u32, payload: Bytes) {
        let id = self.id();
        let frame = Message::new(message_type::INPUT, self.next, 0, kind, payload).stamped(id, 1).encode();
        self.unacknowledged.insert(self.next, (frame.clone(), now));
        self.out.push(frame);
        self.next += 1;
    }

    fn handle(&mut self, now: Instant, frame: &Bytes) {
        let message = Message::decode(frame).unwrap();
        if !message.digest_is_true() {
            return;
        }
        if message.name() == message_type::ACKNOWLEDGE {
            let json: serde_json::Value = serde_json::from_slice(&message.payload).unwrap();
            self.unacknowledged.remove(&json["AcknowledgedMessageSequenceNumber"].as_i64().unwrap());
        } else {
            let id = self.id();
            self.out.push(message.acknowledgement(id, 1).encode());
            if message.sequence >= self.expected {
                self.early.insert(message.sequence, message);
            }
            while let Some(message) = self.early.remove(&self.expected) {
                self.expected += 1;
                match message.payload_type {
                    payload_type::HANDSHAKE_REQUEST => {
                        self.stream(now, payload_type::HANDSHAKE_RESPONSE, RESPONSE.into());
                    }
                    payload_type::OUTPUT => self.downloaded.extend_from_slice(&message.payload),
                    _ => {}
                }
            }
        }
        self.fill(now);
    }

    /// Sends what the window allows once the far side has spoken.
    fn fill(&mut self, now: Instant) {
        while !self.downloaded.is_empty() && self.unacknowledged.len() < WINDOW && !self.upload.is_empty() {
            let piece = self.upload.split_to(self.upload.len().min(1024));
            self.stream(now, payload_type::OUTPUT, piece);
        }
        let done = self.upload.is_empty() && self.unacknowledged.is_empty();
        if done && self.downloaded.len() == self.download_size && !self.terminated {
            self.terminated = true;
            let terminate = flag::TERMINATE_SESSION.to_be_bytes();
            self.stream(now, payload_type::FLAG, Bytes::copy_from_slice(&terminate));
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        for (frame, sent) in self.unacknowledged.values_mut() {
            if now >= *sent + RTO {
                *sent = now;
                self.out.push(frame.clone());
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.unacknowledged.values().map(|(_, sent)| *sent + RTO).min()
    }
}

/// Runs one world; how long it took in virtual time.
fn world(seed: u64, network: &LinkConfig) -> Duration {
    let mut rng = fastrand::Rng::with_seed(seed);
    let start = Instant::now();
    let mut now = start;
    let (up_size, down_size) = (rng.usize(1..40_000), rng.usize(1..10_000));
    let upload: Bytes = std::iter::repeat_with(|| rng.u8(..)).take(up_size).collect();
    let download: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(down_size).collect();
    let mut agent = Agent::new(now, 1, AgentConfig::default(), rng.fork());
    let mut inspector = Inspector::new(InspectorConfig::default());
    let (mut up, mut down) = (Link::new(network.clone(), rng.fork()), Link::new(network.clone(), rng.fork()));
    let mut client = Client::new(upload.clone(), download.len(), rng.fork());
    let (mut written, mut unread) = (Vec::new(), download.as_slice());
    loop {
        agent.handle_timeout(now);
        client.handle_timeout(now);
        while let Some(frame) = up.poll(now) {
            agent.handle_frame(now, &frame);
        }
        written.extend(std::iter::from_fn(|| agent.poll_tcp_write()).flatten());
        while let Some(event) = agent.poll_event() {
            match event {
                AgentEvent::Connect(_) => agent.tcp_connected(now),
                AgentEvent::CloseTcp => {}
                AgentEvent::Ended(..) => {
                    assert_eq!(written, upload, "seed {seed}");
                    assert_eq!(client.downloaded, download, "seed {seed}");
                    assert_eq!(inspector.take_breaches(), [], "seed {seed}");
                    return now - start;
                }
            }
        }
        agent.tcp_room(now, rng.usize(0..5_000));
        let (piece, rest) = unread.split_at(unread.len().min(agent.tcp_read_room()));
        agent.tcp_data(now, piece);
        unread = rest;
        while let Some(frame) = agent.poll_frame(now) {
            down.send(now, frame);
        }
        while let Some(frame) = down.poll(now) {
            inspector.to_client(now, &frame);
            client.handle(now, &frame);
        }
        for frame in client.out.drain(..) {
            inspector.from_client(now, &frame);
            up.send(now, frame);
        }
        inspector.check(now);
        let waits = [agent.poll_timeout(), client.poll_timeout(), up.poll_timeout(), down.poll_timeout()];
        let next = waits.into_iter().flatten().min().unwrap_or(now).max(now + Duration::from_micros(100));
        now = if up.is_ready() || down.is_ready() { now } else { next };
        assert!(now - start < Duration::from_secs(3_600), "seed {seed} does not end");
    }
}

#[test]
fn a_quiet_world_is_quick() {
    assert!(world(1, &LinkConfig::default()) < Duration::from_secs(2));
}

#[test]
fn every_byte_arrives_in_bad_worlds() {
    for seed in 0..300 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let network = LinkConfig {
            loss: rng.f64() * 0.2,
            duplicate: rng.f64() * 0.1,
            reorder: rng.f64() * 0.2,
            reorder_by: Duration::from_millis(rng.u64(0..500)),
            corrupt: 0.0,
            delay: Duration::from_millis(rng.u64(0..100)),
            jitter: Duration::from_millis(rng.u64(0..50)),
            ..Default::default()
        };
        world(seed, &network);
    }
}

#[test]
fn a_world_replays_from_its_seed() {
    let network = LinkConfig { loss: 0.1, jitter: Duration::from_millis(20), ..Default::default() };
    assert_eq!(world(9, &network), world(9, &network));
    assert_ne!(world(9, &network), world(10, &network));
}
