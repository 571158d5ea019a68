//! What was captured from AWS's own client and agent: every message is read and written again to the same bytes, and each
//! session is played to this client, which answers as AWS's did.

use std::time::{Duration, Instant};

use crate::{Accepts, Channel, Config, Event, Message, MessageType, PayloadType, Service, Size};
use bytes::Bytes;
use data_encoding::BASE64;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use serde_json::Value;

const MESSAGES: &str = include_str!("../../tests/vectors/messages.jsonl");
const SESSIONS: [(&str, &str); 11] = [
    ("command-combined", include_str!("../../tests/vectors/sessions/command-combined.jsonl")),
    ("command-separate-streams", include_str!("../../tests/vectors/sessions/command-separate-streams.jsonl")),
    ("forward-refused", include_str!("../../tests/vectors/sessions/forward-refused.jsonl")),
    ("forward-remote-host", include_str!("../../tests/vectors/sessions/forward-remote-host.jsonl")),
    ("interactive-command", include_str!("../../tests/vectors/sessions/interactive-command.jsonl")),
    ("kms-command", include_str!("../../tests/vectors/sessions/kms-command.jsonl")),
    ("kms-interactive-command", include_str!("../../tests/vectors/sessions/kms-interactive-command.jsonl")),
    ("kms-shell", include_str!("../../tests/vectors/sessions/kms-shell.jsonl")),
    ("kms-shell-data-key-denied", include_str!("../../tests/vectors/sessions/kms-shell-data-key-denied.jsonl")),
    ("kms-shell-decrypt-denied", include_str!("../../tests/vectors/sessions/kms-shell-decrypt-denied.jsonl")),
    ("shell", include_str!("../../tests/vectors/sessions/shell.jsonl")),
];

fn lines(text: &str) -> impl Iterator<Item = Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap())
}

fn unhex(text: &Value) -> Bytes {
    data_encoding::HEXLOWER.decode(text.as_str().unwrap().as_bytes()).unwrap().into()
}

/// Text in which each character stands for one byte.
fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|character| u8::try_from(u32::from(character)).unwrap()).collect()
}

/// The data key of all captures.
fn data_key() -> [u8; 64] {
    std::array::from_fn(|at| at as u8)
}

/// Decrypts with one half of the data key, by the published rules and not by the client's code.
fn open(half: usize, payload: &[u8]) -> Vec<u8> {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &data_key()[half * 32..half * 32 + 32]).unwrap());
    let nonce = Nonce::try_assume_unique_for_key(&payload[..12]).unwrap();
    let mut sealed = payload[12..].to_vec();
    key.open_in_place(nonce, Aad::empty(), &mut sealed).unwrap().to_vec()
}

#[test]
fn every_captured_message_decodes_and_encodes_to_the_same_bytes() {
    let mut count = 0;
    let single = lines(MESSAGES)
        .filter(|line| line["frame_hex"].is_string() && line["name"] != "smux_nop")
        .map(|line| unhex(&line["frame_hex"]));
    let sessions = SESSIONS.iter().flat_map(|(_, text)| lines(text));
    let sessions = sessions.filter(|line| line["op"] == 2 && line["from"].as_str().unwrap().len() <= 6);
    for frame in single.chain(sessions.map(|line| unhex(&line["hex"]))) {
        let message = Message::decode(&frame).unwrap();
        if message.message_type != MessageType::Unknown {
            assert_eq!(message.encode(), frame);
            count += 1;
        }
    }
    assert_eq!(count, 189);
}

#[test]
fn single_encrypted_messages_are_read() {
    for line in lines(MESSAGES).filter(|line| line["name"].as_str().unwrap().starts_with("encrypted_agent")) {
        let message = Message::decode(&unhex(&line["frame_hex"])).unwrap();
        assert_eq!(open(0, &message.payload), line["plaintext_text"].as_str().unwrap().as_bytes());
    }
}

/// A session with this client in the place of AWS's.
struct Replay {
    channel: Channel,
    now: Instant,
    encrypted: bool,
    denied: bool,
    sent: Vec<(u32, Vec<u8>)>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    status: Option<i64>,
    refusals: usize,
    closed: Option<String>,
}

impl Replay {
    fn new(denied: bool) -> Self {
        let now = Instant::now();
        let config = Config { unix_millis: 1, seed: 1, service: Service::Aws, accepts: Accepts::All };
        let mut channel = Channel::new(config, now);
        channel.transport_up();
        let (sent, stdout, stderr) = Default::default();
        Self { channel, now, encrypted: false, denied, sent, stdout, stderr, status: None, refusals: 0, closed: None }
    }

    fn settle(&mut self) {
        self.channel.handle_timeout(self.now);
        while let Some(event) = self.channel.poll_event() {
            match event {
                Event::KeyWanted(_) if self.denied => self.channel.refuse_encryption(self.now, "no"),
                Event::KeyWanted(_) => {
                    self.encrypted = true;
                    self.channel.encrypt(self.now, &data_key(), b"lab-blob");
                }
                Event::ExitStatus(status) => self.status = Some(status),
                Event::Closed { output } => self.closed = Some(output),
                Event::PortRefused => self.refusals += 1,
                Event::Alive | Event::Ready { .. } | Event::CustomerMessage(_) | Event::Ended => {}
                other => panic!("{other:?}"),
            }
        }
        self.stdout.extend(std::iter::from_fn(|| self.channel.poll_output()).flatten());
        self.stderr.extend(std::iter::from_fn(|| self.channel.poll_stderr()).flatten());
        while let Some(frame) = self.channel.poll_frame(self.now) {
            let message = Message::decode(&frame).unwrap();
            // Sent again because the capture's answer took its time.
            let is_new = message.sequence == self.sent.len() as i64;
            if message.message_type == MessageType::InputStreamData && is_new {
                let payload = match message.payload_type {
                    PayloadType::OUTPUT if self.encrypted => open(1, &message.payload),
                    _ => message.payload.to_vec(),
                };
                self.sent.push((message.payload_type.0, payload));
            }
        }
    }

    fn play(&mut self, line: &Value) {
        match (line["from"].as_str().unwrap(), line["type"].as_str().unwrap()) {
            ("client", "input_stream_data") => match line["payload_type"].as_u64().unwrap() {
                1 => assert_eq!(self.channel.send(self.now, &plaintext(line)), plaintext(line).len()),
                3 => self.channel.resize(Size { cols: 100, rows: 30 }),
                10 => self.channel.finish(),
                _ => {}
            },
            ("agent", "output_stream_data" | "acknowledge") | ("service>client", _) => {
                let _ = self.channel.handle_frame(self.now, &unhex(&line["hex"]));
            }
            _ => {}
        }
    }
}

/// A payload, decrypted where it was encrypted.
fn plaintext(line: &Value) -> Vec<u8> {
    match line["plaintext"].as_str() {
        Some(text) => latin1(text),
        None => Message::decode(&unhex(&line["hex"])).unwrap().payload.to_vec(),
    }
}

/// The payloads of this type that a side has sent, each once, in order.
fn captured(text: &str, from: &str, payload_type: u64) -> Vec<Vec<u8>> {
    let mut seen = std::collections::BTreeMap::new();
    for line in lines(text).filter(|line| line["from"] == from && line["payload_type"] == payload_type) {
        if line["type"].as_str().unwrap().ends_with("stream_data") {
            seen.insert(line["seq"].as_i64(), plaintext(&line));
        }
    }
    seen.into_values().collect()
}

/// What is alike in all answers to one handshake, whatever the client's version and its key.
fn answer(payload: &[u8]) -> Vec<(String, u64)> {
    let response: Value = serde_json::from_slice(payload).unwrap();
    let actions = response["ProcessedClientActions"].as_array().unwrap();
    let action =
        |action: &Value| (action["ActionType"].as_str().unwrap().to_owned(), action["ActionStatus"].as_u64().unwrap());
    actions.iter().map(action).collect()
}

#[test]
fn every_captured_session_is_answered_as_awss_client_did() {
    for (name, text) in SESSIONS {
        let mut replay = Replay::new(name.ends_with("data-key-denied"));
        let start = replay.now;
        for line in lines(text) {
            replay.now = start + Duration::from_secs_f64(line["t"].as_f64().unwrap() / 1000.0);
            replay.play(&line);
            replay.settle();
        }
        let of = |from, payload_type| captured(text, from, payload_type).concat();
        assert_eq!(replay.stdout, of("agent", 1), "{name}");
        assert_eq!(replay.stderr, of("agent", 11), "{name}");
        let status = String::from_utf8(of("agent", 12)).unwrap();
        assert_eq!(replay.status.map_or_else(String::new, |status| format!("EXIT_CODE: {status}")), status, "{name}");
        let closed = replay.closed.as_deref().unwrap_or_else(|| panic!("{name}: not closed"));
        assert_eq!(closed.contains("KMSEncryption failed on client"), name.ends_with("data-key-denied"), "{name}");
        assert_eq!(closed.contains("Fetching data key failed"), name.ends_with("decrypt-denied"), "{name}");
        let sent = |payload_type| -> Vec<Vec<u8>> {
            replay.sent.iter().filter(|(kind, _)| *kind == payload_type).map(|(_, payload)| payload.clone()).collect()
        };
        assert_eq!(sent(1).concat(), captured(text, "client", 1).concat(), "{name}");
        assert_eq!(sent(10), captured(text, "client", 10), "{name}");
        assert_eq!(replay.refusals, captured(text, "agent", 10).len(), "{name}");
        assert_eq!(sent(3), captured(text, "client", 3), "{name}");
        let answers = |payloads: Vec<Vec<u8>>| payloads.iter().map(|payload| answer(payload)).collect::<Vec<_>>();
        assert_eq!(answers(sent(6)), answers(captured(text, "client", 6)), "{name}");
        for (ours, challenge) in sent(9).iter().zip(lines(text).filter(|line| line["payload_type"] == 8)) {
            let ours: Value = serde_json::from_slice(ours).unwrap();
            let ours = BASE64.decode(ours["Challenge"].as_str().unwrap().as_bytes()).unwrap();
            assert_eq!(open(1, &ours), unhex(&challenge["challenge_plain_hex"]), "{name}");
        }
        assert_eq!(sent(9).len(), captured(text, "client", 9).len(), "{name}");
    }
}
