//! Captured sessions of AWS's own client and agent, played again: the client's messages as they are, the program's output
//! as it was. The agent here has to say what AWS's agent said, and the judge has nothing against AWS's client.
//!
//! What is random in a session is not compared: challenges and times. The client's answer to the encryption challenge is
//! made anew, since the challenge is.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking; clippy.toml allows it only inside the test functions themselves"
)]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};
use standin::agent::cipher::Cipher;
use standin::codec::{Message, message_type, payload_type};
use standin::{Agent, AgentConfig, AgentEvent, AgentRequest, BreachKind, Inspector, InspectorConfig, SessionKind};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// What KMS answers the agent in one of the captured sessions.
const DENIED: &str = "AccessDeniedException: lab denies Decrypt\n\tstatus code: 400, request id: lab";

#[derive(Clone)]
struct Line {
    at: f64,
    from: String,
    kind: String,
    sequence: i64,
    payload_type: u32,
    payload: String,
    /// The payload before encryption.
    plain: Vec<u8>,
    frame: Bytes,
}

fn lines(text: &str) -> Vec<Line> {
    text.lines()
        .map(|line| {
            let json: Value = serde_json::from_str(line).unwrap();
            let string = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
            let frame: Bytes = hex::decode(string("hex")).unwrap().into();
            let plain = match json["plaintext"].as_str() {
                Some(text) => text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect(),
                None => Message::decode(&frame).map(|m| m.payload.to_vec()).unwrap_or_default(),
            };
            Line {
                at: json["t"].as_f64().unwrap(),
                from: string("from"),
                kind: string("type"),
                sequence: json["seq"].as_i64().unwrap(),
                payload_type: u32::try_from(json["payload_type"].as_u64().unwrap()).unwrap(),
                payload: string("payload"),
                plain,
                frame,
            }
        })
        .collect()
}

struct Replay {
    start: Instant,
    now: Instant,
    agent: Agent,
    inspector: Inspector,
    cipher: Option<Cipher>,
    separate: bool,
    terminal: bool,
    denied: bool,
    exited: bool,
    proof: Vec<u8>,
    challenge_answered: bool,
    /// What the agent said, by sequence number.
    said: BTreeMap<i64, (u32, Vec<u8>)>,
    ids: BTreeMap<i64, Message>,
    acknowledged: Vec<i64>,
    typed: Vec<u8>,
    end: Option<String>,
}

impl Replay {
    fn new(config: AgentConfig) -> Self {
        let start = Instant::now();
        let encrypted = config.is_encrypted();
        let inspector = Inspector::new(InspectorConfig::default()).of_kind(config.kind, encrypted);
        let key: Vec<u8> = (0..64).collect();
        Self {
            start,
            now: start,
            separate: config.separate,
            terminal: config.kind.has_terminal(),
            denied: config.decrypt_delay > Duration::ZERO,
            agent: Agent::new(start, 1, config, fastrand::Rng::with_seed(1)),
            inspector,
            cipher: encrypted.then(|| Cipher::new(&key).unwrap()),
            exited: false,
            proof: Vec::new(),
            challenge_answered: false,
            said: BTreeMap::new(),
            ids: BTreeMap::new(),
            acknowledged: Vec::new(),
            typed: Vec::new(),
            end: None,
        }
    }

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

    /// Does what the agent asks for and takes what it says.
    fn turn(&mut self) {
        self.agent.tcp_room(self.now, 4096);
        while let Some(request) = self.agent.poll_request() {
            match request {
                AgentRequest::Start(program) => {
                    assert_eq!((program.terminal, program.separate), (self.terminal, self.separate));
                    self.agent.started(self.now);
                }
                AgentRequest::Decrypt(request) => {
                    assert_eq!(request.key_id, "alias/lab-key");
                    assert_eq!(request.context.len(), 2);
                    let answer = if self.denied { Err(DENIED.to_owned()) } else { Ok((0..64).collect()) };
                    self.agent.decrypted(self.now, Duration::ZERO, answer);
                }
                AgentRequest::Resize(cols, rows) => assert_eq!((cols, rows), (100, 30)),
                AgentRequest::Signal(_) => panic!("no signal was sent"),
            }
        }
        while let Some(bytes) = self.agent.poll_tcp_write() {
            self.typed.extend_from_slice(&bytes);
        }
        while let Some(frame) = self.agent.poll_frame(self.now) {
            self.take(&frame);
        }
        while let Some(event) = self.agent.poll_event() {
            if let AgentEvent::Ended(_, text) = event {
                self.end = Some(text);
            }
        }
    }

    fn take(&mut self, frame: &Bytes) {
        let message = Message::decode(frame).unwrap();
        if message.name() == message_type::ACKNOWLEDGE {
            let json: Value = serde_json::from_slice(&message.payload).unwrap();
            self.acknowledged.push(json["AcknowledgedMessageSequenceNumber"].as_i64().unwrap());
            return;
        }
        let secret = [payload_type::OUTPUT, payload_type::STDERR, payload_type::EXIT_CODE];
        let payload = match &self.cipher {
            Some(cipher) if secret.contains(&message.payload_type) => cipher.client_open(&message.payload).unwrap(),
            _ => message.payload.to_vec(),
        };
        if message.payload_type == payload_type::CHALLENGE_REQUEST {
            let json: Value = serde_json::from_slice(&payload).unwrap();
            let sealed = STANDARD.decode(json["Challenge"].as_str().unwrap()).unwrap();
            self.proof = self.cipher.as_ref().unwrap().client_open(&sealed).unwrap();
        }
        self.said.insert(message.sequence, (message.payload_type, payload));
        self.ids.insert(message.sequence, message);
    }

    /// The client says what it said, about the messages that the agent here sent.
    fn client_says(&mut self, line: &Line) {
        let message = Message::decode(&line.frame).unwrap();
        self.inspector.from_client(self.now, &line.frame);
        let frame = match (line.kind.as_str(), line.payload_type) {
            ("acknowledge", _) => {
                let json: Value = serde_json::from_str(&line.payload).unwrap();
                let sequence = json["AcknowledgedMessageSequenceNumber"].as_i64().unwrap();
                let Some(acknowledged) = self.ids.get(&sequence) else { panic!("message {sequence} was not sent") };
                acknowledged.acknowledgement(Uuid::nil(), 1).encode()
            }
            (_, payload_type::CHALLENGE_RESPONSE) if !self.challenge_answered => {
                self.challenge_answered = true;
                let sealed = self.cipher.as_ref().unwrap().client_seal([9; 12], &self.proof).unwrap();
                let json = json!({ "Challenge": STANDARD.encode(sealed) }).to_string();
                Message::new(message_type::INPUT, message.sequence, 0, message.payload_type, json.into()).encode()
            }
            _ => line.frame.clone(),
        };
        self.agent.handle_frame(self.now, &frame);
    }

    /// The program says what it said, just before AWS's agent passed it on.
    fn program_says(&mut self, line: &Line) {
        let text = line.plain.clone();
        let prefixed = |prefix: &[u8]| text.strip_prefix(prefix).unwrap_or(&text).to_vec();
        match line.payload_type {
            payload_type::OUTPUT => {
                if !self.terminal && !self.separate && !std::mem::replace(&mut self.exited, true) {
                    self.agent.exited(self.now, Some(3));
                }
                let bytes = if self.separate { prefixed(b"O:") } else { text };
                self.agent.tcp_data(self.now, &bytes);
                if !self.terminal && !self.separate {
                    self.agent.tcp_closed(self.now);
                }
            }
            payload_type::STDERR => self.agent.stderr_data(self.now, &prefixed(b"E:")),
            payload_type::EXIT_CODE => {
                self.agent.tcp_closed(self.now);
                self.agent.stderr_closed(self.now);
                self.agent.exited(self.now, Some(3));
            }
            _ => {}
        }
        self.inspector.to_client(self.now, &line.frame);
    }
}

/// What is compared of a message of the agent.
fn comparable(kind: u32, payload: &[u8]) -> (u32, String) {
    let text = String::from_utf8(payload.to_vec()).unwrap();
    let text = match kind {
        payload_type::HANDSHAKE_REQUEST => {
            let mut json: Value = serde_json::from_str(&text).unwrap();
            if let Some(challenge) = json.pointer_mut("/RequestedClientActions/1/ActionParameters/Challenge") {
                let length = STANDARD.decode(challenge.as_str().unwrap()).unwrap().len();
                *challenge = length.into();
            }
            json.to_string()
        }
        payload_type::HANDSHAKE_COMPLETE => {
            let json: Value = serde_json::from_str(&text).unwrap();
            assert!(json["HandshakeTimeToComplete"].is_u64());
            json["CustomerMessage"].to_string()
        }
        payload_type::CHALLENGE_REQUEST => format!("{} bytes", text.len()),
        _ => text,
    };
    (kind, text)
}

fn replay(kind: SessionKind, text: &str, change: impl FnOnce(&mut AgentConfig)) {
    let mut config = AgentConfig {
        version: "3.3.1142.0".into(),
        kind,
        command: "x".into(),
        // Ready for whatever the times of the capture are; that it waits and keeps its pace has tests of its own.
        spacing: Duration::ZERO,
        skip_gap: Duration::ZERO,
        launch_delay: Duration::ZERO,
        complete_gap: Duration::from_micros(10),
        ..AgentConfig::default()
    };
    change(&mut config);
    let lines = lines(text);
    let begin = lines.iter().find(|line| line.kind == "agent_session_state").unwrap().at;
    let mut replay = Replay::new(config);
    for line in lines.iter().filter(|line| line.at >= begin) {
        let at = replay.start + Duration::from_secs_f64((line.at - begin).max(0.0) / 1000.0);
        replay.pass_to(at.max(replay.now));
        let known = replay.said.contains_key(&line.sequence);
        match (line.from.as_str(), line.kind.as_str()) {
            ("client", "") => {
                assert!(replay.inspector.open(&line.payload).is_some());
                // The captured plugin is older than the lowest version that is supported by now.
                assert_eq!(replay.inspector.take_breaches()[0].0, BreachKind::ClientVersion);
            }
            ("client", _) => replay.client_says(line),
            ("agent", "output_stream_data") if known && line.payload_type == payload_type::OUTPUT => {
                replay.inspector.to_client(replay.now, &line.frame);
            }
            ("agent", "output_stream_data") => replay.program_says(line),
            ("agent", "agent_session_state") if line.payload.contains("Terminating") && replay.terminal => {
                replay.agent.tcp_closed(replay.now);
            }
            _ => {}
        }
        replay.turn();
    }
    replay.pass_to(replay.now + Duration::from_secs(3));
    let mut expected = BTreeMap::new();
    for line in lines.iter().filter(|line| line.from == "agent" && line.kind == "output_stream_data") {
        expected.insert(line.sequence, comparable(line.payload_type, &line.plain));
    }
    let said: BTreeMap<_, _> = replay.said.iter().map(|(n, (kind, text))| (*n, comparable(*kind, text))).collect();
    assert_eq!(said, expected);
    let typed: Vec<u8> = sent(&lines, payload_type::OUTPUT).into_values().flatten().collect();
    assert_eq!(replay.typed, typed);
    let mut acknowledged = replay.acknowledged;
    acknowledged.sort_unstable();
    acknowledged.dedup();
    let client_sent = lines.iter().filter(|line| line.from == "client" && line.kind == "input_stream_data");
    let client_sent: std::collections::BTreeSet<i64> = client_sent.map(|line| line.sequence).collect();
    assert_eq!(acknowledged, client_sent.into_iter().collect::<Vec<_>>());
    let closed = lines.iter().find(|line| line.kind == "channel_closed").unwrap();
    let closed: Value = serde_json::from_str(&closed.payload).unwrap();
    assert_eq!(replay.end.as_deref(), closed["Output"].as_str());
    assert_eq!(replay.inspector.take_breaches(), []);
}

/// What the client sent of this payload type, by sequence number.
fn sent(lines: &[Line], kind: u32) -> BTreeMap<i64, Vec<u8>> {
    let sent = lines.iter().filter(|l| l.from == "client" && l.kind == "input_stream_data" && l.payload_type == kind);
    sent.map(|line| (line.sequence, line.plain.clone())).collect()
}

fn encrypted(config: &mut AgentConfig) {
    config.kms_key_id = Some("alias/lab-key".into());
}

fn separate(config: &mut AgentConfig) {
    config.separate = true;
    config.prefixes = ["O:".into(), "E:".into()];
}

#[test]
fn a_shell() {
    replay(SessionKind::Shell, include_str!("vectors/shell.jsonl"), |_| {});
}

#[test]
fn an_interactive_command() {
    replay(SessionKind::InteractiveCommand, include_str!("vectors/interactive-command.jsonl"), |_| {});
}

#[test]
fn a_command_with_one_stream() {
    replay(SessionKind::NonInteractiveCommand, include_str!("vectors/command-combined.jsonl"), |_| {});
}

#[test]
fn a_command_with_separate_streams() {
    replay(SessionKind::NonInteractiveCommand, include_str!("vectors/command-separate-streams.jsonl"), separate);
}

#[test]
fn an_encrypted_shell() {
    replay(SessionKind::Shell, include_str!("vectors/kms-shell.jsonl"), encrypted);
}

#[test]
fn an_encrypted_interactive_command() {
    replay(SessionKind::InteractiveCommand, include_str!("vectors/kms-interactive-command.jsonl"), encrypted);
}

#[test]
fn an_encrypted_command() {
    replay(SessionKind::NonInteractiveCommand, include_str!("vectors/kms-command.jsonl"), |config| {
        separate(config);
        encrypted(config);
    });
}

#[test]
fn a_data_key_that_the_client_may_not_have() {
    replay(SessionKind::Shell, include_str!("vectors/kms-shell-data-key-denied.jsonl"), encrypted);
}

#[test]
fn a_data_key_that_the_agent_may_not_decrypt() {
    replay(SessionKind::Shell, include_str!("vectors/kms-shell-decrypt-denied.jsonl"), |config| {
        encrypted(config);
        // The delay is also what tells the replay that KMS refuses.
        config.decrypt_delay = Duration::from_millis(1);
    });
}

#[test]
fn every_captured_frame_decodes_and_encodes_to_the_same_bytes() {
    let captured = [
        include_str!("vectors/shell.jsonl"),
        include_str!("vectors/interactive-command.jsonl"),
        include_str!("vectors/command-combined.jsonl"),
        include_str!("vectors/command-separate-streams.jsonl"),
        include_str!("vectors/kms-shell.jsonl"),
        include_str!("vectors/kms-interactive-command.jsonl"),
        include_str!("vectors/kms-command.jsonl"),
        include_str!("vectors/kms-shell-data-key-denied.jsonl"),
        include_str!("vectors/kms-shell-decrypt-denied.jsonl"),
    ];
    let mut frames = 0;
    for line in captured.into_iter().flat_map(lines) {
        // Open messages are text, and what the service says in the captures is an imitation's.
        if !line.kind.is_empty() && ["client", "agent"].contains(&line.from.as_str()) {
            let message = Message::decode(&line.frame).unwrap();
            assert!(message.digest_is_true());
            assert_eq!(message.encode(), line.frame);
            frames += 1;
        }
    }
    assert!(frames > 100, "{frames}");
}
