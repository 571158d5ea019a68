//! Captured forwards of AWS's own client and agent, played again: the client's messages as they are, the destinations'
//! answers as they were. The agent here has to say what AWS's agent said, and the judge has nothing against AWS's client.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking; clippy.toml allows it only inside the test functions themselves"
)]

use bytes::Bytes;
use serde_json::Value;
use standin::codec::{Acknowledgement, Message, message_type, payload_type};
use standin::{Agent, AgentConfig, AgentEvent, BreachKind, ForwardMode, ForwardRequest, Inspector, InspectorConfig};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use uuid::Uuid;

struct Line {
    at: f64,
    from: String,
    kind: String,
    payload: String,
    frame: Bytes,
}

fn lines(text: &str) -> Vec<Line> {
    let line = |line: &str| {
        let json: Value = serde_json::from_str(line).unwrap();
        let string = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
        let frame = hex::decode(string("hex")).unwrap().into();
        let at = json["t"].as_f64().unwrap();
        Line { at, from: string("from"), kind: string("type"), payload: string("payload"), frame }
    };
    text.lines().map(line).collect()
}

/// What one side said, by sequence number.
type Said = BTreeMap<i64, (u32, Bytes)>;

fn said(lines: &[Line], from: &str) -> Said {
    let stream = [message_type::OUTPUT, message_type::INPUT];
    lines
        .iter()
        .filter(|line| line.from == from && stream.contains(&line.kind.as_str()))
        .map(|line| Message::decode(&line.frame).unwrap())
        .map(|message| (message.sequence, (message.payload_type, message.payload)))
        .collect()
}

/// Data by stream, out of a side's whole bytes.
fn data(bytes: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let (mut rest, mut all) = (bytes, Vec::new());
    while rest.len() >= 8 {
        let length = usize::from(u16::from_le_bytes([rest[2], rest[3]]));
        let Some(data) = rest.get(8..8 + length) else { break };
        if rest[1] == 2 {
            all.push((u32::from_le_bytes(rest[4..8].try_into().unwrap()), data.to_vec()));
        }
        rest = &rest[8 + length..];
    }
    all
}

fn by_stream(data: Vec<(u32, Vec<u8>)>) -> BTreeMap<u32, Vec<u8>> {
    let mut all = BTreeMap::<u32, Vec<u8>>::new();
    for (id, data) in data {
        all.entry(id).or_default().extend(data);
    }
    all
}

struct Replay {
    now: Instant,
    agent: Agent,
    reachable: bool,
    streams: BTreeSet<u32>,
    said: Said,
    ids: BTreeMap<i64, Message>,
    acknowledged: BTreeSet<i64>,
    written: BTreeMap<u32, Vec<u8>>,
    end: Option<String>,
}

impl Replay {
    fn pass_to(&mut self, end: Instant) {
        self.turn();
        while let Some(at) = self.agent.poll_timeout().filter(|at| *at <= end && *at > self.now) {
            self.now = at;
            self.agent.handle_timeout(at);
            self.turn();
        }
        self.now = end;
        self.agent.handle_timeout(end);
        self.turn();
    }

    fn turn(&mut self) {
        while let Some(request) = self.agent.poll_forward() {
            match request {
                ForwardRequest::Dial(id) if self.reachable => {
                    self.streams.insert(id);
                    self.agent.stream_connected(self.now, id);
                }
                ForwardRequest::Dial(id) => self.agent.stream_refused(self.now, id),
                ForwardRequest::Close(id) => assert!(self.streams.remove(&id)),
            }
        }
        for id in self.streams.clone() {
            while let Some(data) = self.agent.stream_write(self.now, id) {
                self.written.entry(id).or_default().extend_from_slice(&data);
            }
        }
        while let Some(frame) = self.agent.poll_frame(self.now) {
            let message = Message::decode(&frame).unwrap();
            if message.name() == message_type::ACKNOWLEDGE {
                self.acknowledged.insert(acknowledged(&message));
            } else {
                self.said.insert(message.sequence, (message.payload_type, message.payload.clone()));
                self.ids.insert(message.sequence, message);
            }
        }
        while let Some(event) = self.agent.poll_event() {
            if let AgentEvent::Ended(_, text) = event {
                self.end = Some(text);
            }
        }
    }
}

fn acknowledged(message: &Message) -> i64 {
    serde_json::from_slice::<Acknowledgement>(&message.payload).unwrap().sequence
}

/// The properties that AWS's agent asked for.
fn properties(said: &Said) -> BTreeMap<String, String> {
    let request: Value = serde_json::from_slice(&said[&0].1).unwrap();
    let properties = &request["RequestedClientActions"][0]["ActionParameters"]["Properties"];
    serde_json::from_value(properties.clone()).unwrap()
}

/// What does not change from one run to the next.
fn comparable(said: Said) -> Said {
    let without_time = |(sequence, (kind, payload)): (i64, (u32, Bytes))| {
        let payload = match kind {
            payload_type::HANDSHAKE_COMPLETE => Bytes::new(),
            // The order of its keys means nothing.
            payload_type::HANDSHAKE_REQUEST => serde_json::from_slice::<Value>(&payload).unwrap().to_string().into(),
            _ => payload,
        };
        (sequence, (kind, payload))
    };
    said.into_iter().map(without_time).collect()
}

/// The client opens the channel.
fn opens(inspector: &mut Inspector, lines: &[Line]) {
    let open = lines.iter().find(|line| line.from == "client" && line.kind.is_empty()).unwrap();
    assert!(inspector.open(&open.payload).is_some());
    // The captured plugin is older than the lowest version that is supported by now.
    assert_eq!(inspector.take_breaches()[0].0, BreachKind::ClientVersion);
}

fn replay(text: &str, reachable: bool) -> Replay {
    let lines = lines(text);
    let (by_client, by_agent) = (said(&lines, "client"), said(&lines, "agent"));
    let properties = properties(&by_agent);
    let config = AgentConfig {
        version: "3.3.1142.0".into(),
        port: properties["portNumber"].clone(),
        properties,
        // Ready for whatever the times of the capture are; that it keeps its pace has tests of its own.
        spacing: Duration::ZERO,
        complete_gap: Duration::from_micros(10),
        ..AgentConfig::default()
    };
    let begin = lines.iter().find(|line| line.kind == "agent_session_state").unwrap().at;
    let start = Instant::now();
    let mut inspector = Inspector::new(InspectorConfig::default()).of_agent(&config);
    let mut replay = Replay {
        now: start,
        agent: Agent::new(start, 1, config, fastrand::Rng::with_seed(1)),
        reachable,
        streams: BTreeSet::new(),
        said: BTreeMap::new(),
        ids: BTreeMap::new(),
        acknowledged: BTreeSet::new(),
        written: BTreeMap::new(),
        end: None,
    };
    opens(&mut inspector, &lines);
    for line in lines.iter().filter(|line| line.at >= begin && !line.kind.is_empty()) {
        let at = start + Duration::from_secs_f64((line.at - begin) / 1000.0);
        replay.pass_to(at.max(replay.now));
        let message = Message::decode(&line.frame).unwrap();
        match (line.from.as_str(), message.name()) {
            ("client", message_type::ACKNOWLEDGE) => {
                inspector.from_client(replay.now, &line.frame);
                let ack = replay.ids[&acknowledged(&message)].acknowledgement(Uuid::nil(), 1);
                replay.agent.handle_frame(replay.now, &ack.encode());
            }
            ("client", _) => {
                inspector.from_client(replay.now, &line.frame);
                replay.agent.handle_frame(replay.now, &line.frame);
            }
            ("agent", message_type::OUTPUT) => {
                if message.payload_type == payload_type::OUTPUT && !replay.said.contains_key(&message.sequence) {
                    for (id, data) in data(&message.payload) {
                        replay.agent.stream_data(replay.now, id, &data);
                    }
                }
                inspector.to_client(replay.now, &line.frame);
            }
            _ => {}
        }
        replay.turn();
    }
    replay.pass_to(replay.now + Duration::from_secs(3));
    assert_eq!(replay.agent.forward_mode(), ForwardMode::Mux);
    assert_eq!(comparable(replay.said.clone()), comparable(by_agent));
    assert_eq!(replay.acknowledged, by_client.keys().copied().collect());
    assert_eq!(inspector.take_breaches(), []);
    replay
}

#[test]
fn a_refused_connection() {
    let replay = replay(include_str!("../../../crates/smux/tests/vectors/sessions/forward-refused.jsonl"), false);
    assert_eq!(replay.end.as_deref(), Some(""));
    assert_eq!((replay.agent.forward_counts().refused, replay.agent.forward_counts().bytes_dropped), (1, 5));
}

#[test]
fn a_connection_to_another_host() {
    let replay = replay(include_str!("../../../crates/smux/tests/vectors/sessions/forward-remote-host.jsonl"), true);
    assert_eq!(replay.written, BTreeMap::from([(3, b"echo\nremote".to_vec())]));
    assert!(replay.streams.is_empty(), "the destination's connection was closed at the client's word");
}

#[test]
fn several_connections_and_the_beginning_of_an_upload() {
    let text = include_str!("../../../crates/smux/tests/vectors/sessions/forward-bulk.jsonl");
    let replay = replay(text, true);
    let sent: Vec<u8> = said(&lines(text), "client")
        .into_values()
        .filter(|(kind, _)| *kind == payload_type::OUTPUT)
        .flat_map(|(_, payload)| payload)
        .collect();
    assert_eq!(replay.written, by_stream(data(&sent)));
    assert_eq!(replay.agent.forward_counts().streams, 5);
}
