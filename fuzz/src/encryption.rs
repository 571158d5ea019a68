//! The target `encryption`: an encrypted session, a peer that has the key, a network that has not, and a clock.
//!
//! What is promised whatever comes: no panic; from the moment when the client has the key, what comes out is what was
//! encrypted with the agent's key, in the order of its messages, and nothing behind the first message of which that is
//! not so; what goes out is encrypted with the client's key, never in plain, and is what ssh wrote, in order, once, through
//! losses, pauses and new sockets; no nonce is used for two contents; sizes go in plain, the latest last, and once the
//! session has begun; and when a sane peer and network are put in the place of the input's, everything arrives.
//!
//! A payload that comes again with another number is accepted: the protocol has nothing against it.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use arbitrary::{Arbitrary, Result, Unstructured};
use serde_json::Value;
use ssm_channel::{Accepts, Event, Flag, Kind, MessageType, PayloadType, Service, Size};

use crate::cipher::{Cipher, OVERHEAD};
use crate::handshake::challenge;
use crate::line::{Line, Plays, Said};
use crate::{operation, peer};

/// What the channel may say that it holds: bytes taken ahead and those in flight, those out of order and just put in
/// order, and what waits to be read. No input has as much.
const BUFFERED: usize = (64 << 10) + (256 << 10) + (4 << 20);
/// What is really held may be more by this: the harness's copies, and messages that were encrypted before.
const HELD_MORE: usize = 24 << 20;
/// Steps in one input: few enough to be quick.
const MOST_STEPS: usize = 400;
/// Bytes that the agent says in one input.
const MOST_BYTES: usize = 1 << 20;
/// Bytes of ssh's in one message. Larger ones are not tried: what is encrypted cannot be taken back.
const PAYLOAD: usize = 1024;
/// Types of what is encrypted.
const OUTPUT: [PayloadType; 3] = [PayloadType::OUTPUT, PayloadType::STDERR, PayloadType::EXIT_CODE];

/// What a step of the input is, by its first byte.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub enum Step {
    /// The agent asks for a session of a kind, encrypted.
    Ask,
    /// KMS has made the key.
    Key,
    /// KMS has made none.
    Refuse,
    /// The agent's challenge.
    Challenge,
    /// The handshake's end.
    Complete,
    /// The agent says something, encrypted.
    Say,
    /// The same, damaged on the way.
    Damaged,
    /// What the agent has said comes again, with another number.
    Replay,
    /// What the client has said comes back.
    Reflect,
    /// Something encrypted with the client's key.
    WrongKey,
    /// A payload as it is.
    Plain,
    /// Messages of the client's are acknowledged.
    Acknowledge,
    /// ssh writes.
    Send,
    /// The terminal has another size.
    Resize,
    /// ssh ends.
    Finish,
    /// The socket is lost.
    Lost,
    /// There is one.
    Up,
    /// "Stop sending".
    Pause,
    /// "You may send".
    Start,
    /// The service's last word.
    Closed,
    /// Time passes.
    Wait,
    /// Time passes until the channel wants to be called.
    Timeout,
    /// The socket takes some frames.
    Frames,
    /// Everything is drained.
    Settle,
}

const STEPS: [Step; 24] = [
    Step::Ask,
    Step::Key,
    Step::Refuse,
    Step::Challenge,
    Step::Complete,
    Step::Say,
    Step::Damaged,
    Step::Replay,
    Step::Reflect,
    Step::WrongKey,
    Step::Plain,
    Step::Acknowledge,
    Step::Send,
    Step::Resize,
    Step::Finish,
    Step::Lost,
    Step::Up,
    Step::Pause,
    Step::Start,
    Step::Closed,
    Step::Wait,
    Step::Timeout,
    Step::Frames,
    Step::Settle,
];

/// Runs the session that `data` describes.
///
/// # Panics
/// When the channel breaks a promise.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok([seed, modes, key]) = <[u8; 3]>::arbitrary(&mut input) else {
        return;
    };
    let mut session = Session::new(seed, modes, key);
    for _ in 0..MOST_STEPS {
        if input.is_empty() || session.step(&mut input).is_err() {
            break;
        }
        session.heed();
        if session.is_plain {
            return;
        }
        if session.eager {
            session.settle();
        }
        let (buffered, held) = (session.line.channel.buffered_bytes(), session.line.held());
        assert!(buffered <= BUFFERED, "{buffered} bytes are buffered");
        assert!(held <= buffered * 3 + HELD_MORE, "{held} bytes are held, {buffered} are known");
    }
    session.end();
}

/// How far the handshake is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// Nothing was asked.
    Silent,
    /// The agent wants a key.
    Asked,
    /// It has it.
    Encrypted,
    /// It was told that there is none.
    Refused,
}

struct Session {
    line: Line,
    cipher: Cipher,
    /// Whether everything is drained after each step.
    eager: bool,
    stage: Stage,
    /// The session began without a handshake, and so without encryption: there is nothing here to look at.
    is_plain: bool,
    /// What the agent has asked for.
    kind: Option<Kind>,
    is_ready: bool,
    challenged: bool,
    finished: bool,
    flagged: bool,
    events: Vec<Event>,
    /// Statuses that the agent has told.
    statuses: VecDeque<i64>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    challenges: VecDeque<Vec<u8>>,
    /// What the agent has said, and the client, as it was on the wire.
    of_the_agent: Vec<Vec<u8>>,
    of_the_client: Vec<Vec<u8>>,
    /// The client's nonces, with what they were used for.
    nonces: HashMap<Vec<u8>, u64>,
    bytes_left: usize,
    size: Option<Size>,
    size_seen: Option<Size>,
    written: u64,
    carried: u64,
}

impl Session {
    fn new(seed: u8, modes: u8, key: u8) -> Self {
        let service = if modes & 1 == 1 { Service::Aws } else { Service::Unlimited };
        Self {
            line: Line::new(seed, service, Accepts::All),
            cipher: Cipher::new(key),
            eager: modes & 2 == 0,
            stage: Stage::Silent,
            is_plain: false,
            kind: None,
            is_ready: false,
            challenged: false,
            finished: false,
            flagged: false,
            events: Vec::new(),
            statuses: VecDeque::new(),
            stdout: Vec::new(),
            stderr: Vec::new(),
            challenges: VecDeque::new(),
            of_the_agent: Vec::new(),
            of_the_client: Vec::new(),
            nonces: HashMap::new(),
            bytes_left: MOST_BYTES,
            size: None,
            size_seen: None,
            written: 0,
            carried: 0,
        }
    }

    fn step(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let step = STEPS[usize::from(u8::arbitrary(u)?) % STEPS.len()];
        match step {
            Step::Ask => self.asks(u.arbitrary()?),
            Step::Key => self.gives_key(),
            Step::Refuse => {
                self.line.channel.refuse_encryption(self.line.now, "no");
                if self.stage == Stage::Asked {
                    self.stage = Stage::Refused;
                }
            }
            Step::Challenge => {
                let inside = operation::bytes(u)?;
                let encrypted = self.cipher.of_the_agent(&inside);
                self.says(0, PayloadType::ENC_CHALLENGE_REQUEST, challenge(&encrypted));
            }
            Step::Complete => self.completes(),
            Step::Say => {
                let (ahead, payload_type) = place(u)?;
                let encrypted = self.cipher.of_the_agent(&operation::bytes(u)?);
                self.says(ahead, payload_type, encrypted);
            }
            Step::Damaged => {
                let (ahead, payload_type) = place(u)?;
                let [at, bits, cut, added]: [u8; 4] = u.arbitrary()?;
                let mut encrypted = self.cipher.of_the_agent(&operation::bytes(u)?);
                let at = usize::from(at) % encrypted.len();
                encrypted[at] ^= bits;
                encrypted.truncate(encrypted.len().saturating_sub(cut.into()));
                encrypted.extend(std::iter::repeat_n(bits, added.into()));
                self.says(ahead, payload_type, encrypted);
            }
            Step::Replay => {
                let (ahead, payload_type) = place(u)?;
                let back = usize::from(u8::arbitrary(u)?);
                if let Some(said) = self.of_the_agent.iter().rev().nth(back) {
                    self.says(ahead, payload_type, said.clone());
                }
            }
            Step::Reflect => {
                let (ahead, payload_type) = place(u)?;
                let back = usize::from(u8::arbitrary(u)?);
                if let Some(said) = self.of_the_client.iter().rev().nth(back) {
                    self.says(ahead, payload_type, said.clone());
                }
            }
            Step::WrongKey => {
                let (ahead, payload_type) = place(u)?;
                let encrypted = self.cipher.of_the_client(&operation::bytes(u)?);
                self.says(ahead, payload_type, encrypted);
            }
            Step::Plain => {
                let (ahead, payload_type) = place(u)?;
                let payload = operation::bytes(u)?;
                self.says(ahead, payload_type, payload);
            }
            Step::Acknowledge => self.line.acknowledge(u8::arbitrary(u)?.into()),
            Step::Send => self.writes(usize::from(u16::arbitrary(u)?)),
            Step::Resize => {
                let (cols, rows) = <(u16, u16)>::arbitrary(u)?;
                self.size = Some(Size { cols, rows });
                self.line.channel.resize(Size { cols, rows });
            }
            Step::Finish => {
                self.finished = true;
                self.line.channel.finish();
            }
            Step::Lost => self.line.set_transport(false),
            Step::Up => self.line.set_transport(true),
            Step::Pause => self.line.told(MessageType::PausePublication),
            Step::Start => self.line.told(MessageType::StartPublication),
            Step::Closed => self.line.told(MessageType::ChannelClosed),
            Step::Wait => self.line.wait(Duration::from_micros(u32::arbitrary(u)?.into())),
            Step::Timeout => _ = self.line.wait_for_timeout(),
            Step::Frames => self.frames(u8::arbitrary(u)?.into()),
            Step::Settle => self.settle(),
        }
        Ok(())
    }

    fn asks(&mut self, kind: u8) {
        let kinds = ["Standard_Stream", "InteractiveCommands", "NonInteractiveCommands", "Port"];
        let name = kinds[usize::from(kind) % kinds.len()];
        let request = format!(
            r#"{{"AgentVersion":"3.3.1142.0","RequestedClientActions":[{{"ActionType":"SessionType","ActionParameters":{{"SessionType":"{name}","Properties":null}}}},{{"ActionType":"KMSEncryption","ActionParameters":{{"KMSKeyId":"key","Challenge":"AAAA"}}}}]}}"#
        );
        self.says(0, PayloadType::HANDSHAKE_REQUEST, request.into_bytes());
    }

    fn gives_key(&mut self) {
        self.line.channel.encrypt(self.line.now, self.cipher.data_key(), b"ciphertext");
        if self.stage == Stage::Asked {
            self.stage = Stage::Encrypted;
        }
    }

    fn completes(&mut self) {
        self.says(
            0,
            PayloadType::HANDSHAKE_COMPLETE,
            br#"{"HandshakeTimeToComplete":1,"CustomerMessage":""}"#.to_vec(),
        );
    }

    /// The agent's message arrives.
    fn says(&mut self, ahead: i64, payload_type: PayloadType, payload: Vec<u8>) {
        if self.bytes_left < payload.len() {
            return;
        }
        self.bytes_left -= payload.len();
        let in_order = self.line.hears(ahead, payload_type, &payload);
        self.of_the_agent.push(payload);
        let mut is_undecipherable = false;
        let mut next = in_order.into_iter();
        while let Some((payload_type, payload)) = next.next()
            && !is_undecipherable
        {
            is_undecipherable |= !self.follows(payload_type, &payload);
        }
        self.heed();
        let said = self.events.contains(&Event::Undecipherable);
        assert_eq!(said, is_undecipherable || self.was_undecipherable(), "{:?}", self.events);
        if is_undecipherable {
            assert!(self.line.closed);
        }
    }

    fn was_undecipherable(&self) -> bool {
        self.line.closed && self.events.contains(&Event::Undecipherable)
    }

    /// The next message in order; whether it is one that an agent with the key could have sent.
    fn follows(&mut self, payload_type: PayloadType, payload: &[u8]) -> bool {
        if OUTPUT.contains(&payload_type) {
            return match self.stage {
                Stage::Silent => {
                    self.is_plain = true;
                    true
                }
                Stage::Encrypted => {
                    let Some(inside) = self.cipher.opened_by_the_client(payload) else {
                        return false;
                    };
                    self.comes_out(payload_type, &inside);
                    true
                }
                // The session never begins.
                Stage::Refused => true,
                Stage::Asked => false,
            };
        }
        match payload_type {
            PayloadType::ENC_CHALLENGE_REQUEST
                if self.stage == Stage::Encrypted && !self.is_ready && !self.challenged =>
            {
                self.challenged = true;
                let json: Option<Value> = serde_json::from_slice(payload).ok();
                let text = json.as_ref().and_then(|json| json.get("Challenge").or_else(|| json.get(0))?.as_str());
                let encrypted = text.and_then(|text| data_encoding::BASE64.decode(text.as_bytes()).ok());
                let inside = encrypted.and_then(|encrypted| self.cipher.opened_by_the_client(&encrypted));
                let Some(inside) = inside else { return false };
                self.challenges.push_back(inside);
            }
            PayloadType::HANDSHAKE_COMPLETE if self.stage == Stage::Encrypted && !self.is_ready => {
                self.is_ready = true;
            }
            _ => {}
        }
        true
    }

    fn comes_out(&mut self, payload_type: PayloadType, inside: &[u8]) {
        match payload_type {
            PayloadType::OUTPUT => self.stdout.extend_from_slice(inside),
            PayloadType::STDERR if self.kind != Some(Kind::Port) => self.stderr.extend_from_slice(inside),
            PayloadType::EXIT_CODE if self.kind == Some(Kind::Command) => {
                let number = std::str::from_utf8(inside).ok().and_then(|text| text.strip_prefix("EXIT_CODE:"));
                self.statuses.extend(number.and_then(|number| number.trim().parse::<i64>().ok()));
            }
            _ => {}
        }
    }

    fn heed(&mut self) {
        for event in self.line.events() {
            match &event {
                Event::Ready { .. } if self.stage == Stage::Silent => self.is_plain = true,
                // A caller that heeds what was said before leaves here.
                Event::Ready { kind, .. } => {
                    assert!(self.is_ready, "it begins without a key");
                    assert_eq!(self.kind, Some(*kind), "it begins as something else");
                    // Those that went before may be lost.
                    self.size_seen = None;
                }
                Event::ExitStatus(status) if !self.is_plain => {
                    assert_eq!(Some(*status), self.statuses.pop_front(), "a status that the agent has not told");
                }
                Event::KeyWanted(_) => {
                    assert_eq!(self.stage, Stage::Silent, "a key is asked for twice");
                    self.stage = Stage::Asked;
                    self.kind = self.line.channel.kind();
                }
                _ => {}
            }
            self.events.push(event);
        }
        if !self.is_plain {
            assert!(self.statuses.is_empty(), "a status is withheld");
        }
    }

    fn writes(&mut self, length: usize) {
        let capacity = self.line.channel.send_capacity(self.line.now);
        let taken = self.line.channel.send(self.line.now, peer::written(self.written, length));
        assert_eq!(taken, length.min(capacity));
        assert!(taken == 0 || !self.line.closed, "bytes are taken after the end");
        self.written += taken as u64;
    }

    fn frames(&mut self, count: usize) {
        for said in self.line.frames(count) {
            self.judge(said);
        }
    }

    fn judge(&mut self, said: Said) {
        let payload = said.payload;
        match said.payload_type {
            PayloadType::HANDSHAKE_RESPONSE => {
                let response: Value = serde_json::from_slice(&payload).expect("JSON");
                let succeeds = response["ProcessedClientActions"][1]["ActionStatus"] == 1;
                assert!(!succeeds || self.stage == Stage::Encrypted);
            }
            PayloadType::ENC_CHALLENGE_RESPONSE => {
                let json: Value = serde_json::from_slice(&payload).expect("JSON");
                let text = json["Challenge"].as_str().expect("a text");
                let encrypted = data_encoding::BASE64.decode(text.as_bytes()).expect("base64");
                let inside = self.opened(&encrypted);
                assert_eq!(Some(inside), self.challenges.pop_front(), "it is not what the agent asked");
            }
            PayloadType::SIZE => {
                let json: Value = serde_json::from_slice(&payload).expect("JSON");
                let number = |name| u16::try_from(json[name].as_u64().expect("a number")).expect("16 bits");
                self.size_seen = Some(Size { cols: number("cols"), rows: number("rows") });
            }
            PayloadType::OUTPUT => {
                assert!(self.is_ready, "data before the session has begun");
                assert!(!self.flagged, "data behind the terminate flag");
                assert!(payload.len() >= OVERHEAD, "{} bytes are not encrypted", payload.len());
                let bytes = self.opened(&payload);
                assert!(!bytes.is_empty() && bytes.len() <= PAYLOAD);
                assert_eq!(bytes, peer::written(self.carried, bytes.len()), "not what was written, or not in order");
                self.carried += bytes.len() as u64;
                assert!(self.carried <= self.written);
                self.of_the_client.push(payload);
            }
            PayloadType::FLAG => {
                assert!(self.finished && self.kind == Some(Kind::Port) && Flag::TerminateSession.matches(&payload));
                assert_eq!(self.carried, self.written, "the terminate flag overtakes data");
                self.flagged = true;
            }
            other => panic!("a payload of {other:?}"),
        }
    }

    /// What the client has encrypted, with a nonce that it has used for nothing else.
    fn opened(&mut self, payload: &[u8]) -> Vec<u8> {
        assert_eq!(self.stage, Stage::Encrypted);
        let bytes = self.cipher.opened_by_the_agent(payload).expect("encrypted with the client's key");
        let hash = peer::hash(payload);
        let before = self.nonces.insert(payload[..12].to_vec(), hash);
        assert!(before.is_none_or(|before| before == hash), "a nonce is used twice");
        bytes
    }

    fn read(&mut self) {
        let channel = &mut self.line.channel;
        for (read, expected) in [
            (std::iter::from_fn(|| channel.poll_output()).flatten().collect::<Vec<u8>>(), &mut self.stdout),
            (std::iter::from_fn(|| channel.poll_stderr()).flatten().collect(), &mut self.stderr),
        ] {
            assert!(read == *expected, "{} bytes came out, {} were to", read.len(), expected.len());
            expected.clear();
        }
    }

    /// A sane peer and network take the place of the input's.
    fn end(&mut self) {
        self.come_to_rest();
        if self.stage == Stage::Asked {
            self.gives_key();
        }
        if self.stage != Stage::Encrypted || self.line.closed {
            return;
        }
        self.come_to_rest();
        self.bytes_left = usize::MAX;
        while !self.is_ready && !self.line.closed {
            self.completes();
        }
        let word = self.cipher.of_the_agent(b"ssh");
        self.says(0, PayloadType::OUTPUT, word);
        self.come_to_rest();
        if self.line.closed {
            return;
        }
        assert_eq!(self.carried, self.written, "bytes of ssh's are never sent");
        assert!(self.challenges.is_empty(), "a challenge is not answered");
        // No size goes to a port.
        let leads_to_port = matches!(self.kind, Some(Kind::Port | Kind::Forward));
        assert!(leads_to_port || self.size_seen == self.size, "the latest size is not sent");
        assert!(!self.line.channel.awaits_acknowledgement());
        assert_eq!(self.flagged, self.finished && self.kind == Some(Kind::Port));
    }
}

impl Plays for Session {
    fn line(&mut self) -> &mut Line {
        &mut self.line
    }

    fn settle(&mut self) {
        self.heed();
        self.read();
        self.frames(usize::MAX);
    }
}

/// How far ahead of the expected message another is, and its payload type.
fn place(u: &mut Unstructured<'_>) -> Result<(i64, PayloadType)> {
    let (ahead, payload_type) = <(i8, u8)>::arbitrary(u)?;
    Ok((ahead.into(), PayloadType(payload_type.into())))
}
