//! The target `handshake`: requests, challenges and completions of every form, and a client that answers them.
//!
//! What is promised whatever comes: no panic; a request that is in order is read, and one that is read is answered once,
//! with JSON in which every action has its place and the status that is due to it; a key is asked for where one is
//! needed; a challenge is answered with what was in it; nothing of the user's goes out before the session has begun, nor in
//! plain once there is a key; nothing at all goes out after something that cannot be deciphered; memory within its bounds.
//!
//! The caller is one that leaves a session which is none for it, or which it has no key for.

use std::collections::VecDeque;
use std::time::Duration;

use arbitrary::{Arbitrary, Result, Unstructured};
use serde_json::Value;
use ssm_channel::{Accepts, Event, KeyRequest, Kind, PLUGIN_VERSION, PayloadType, Service, Size};

use crate::cipher::{Cipher, OVERHEAD};
use crate::line::{Line, Plays, Said};
use crate::{json, operation, peer};

/// A longer request need not be read, in bytes.
const MAX_REQUEST: usize = 16 << 10;
/// What the channel may say that it holds: bytes taken ahead and those in flight, the longest response, and
/// answers to challenges.
const BUFFERED: usize = (64 << 10) + (256 << 10) + (2 << 20) + 2 * CHALLENGES;
/// Bytes of challenges in one input. Each is answered, and nothing limits how much of that waits to be acknowledged.
const CHALLENGES: usize = 64 << 10;
/// What is really held may be more by this: a request and its response in all their forms.
const HELD_MORE: usize = 8 << 20;
/// Steps in one input: few enough to be quick.
const MOST_STEPS: usize = 200;
/// What KMS's answer is in these sessions, for the agent.
const CIPHERTEXT: &[u8] = b"the data key, encrypted by KMS";

/// What a step of the input is, by its first byte.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub enum Step {
    /// A handshake request of tokens.
    Request,
    /// One of bytes.
    RawRequest,
    /// An encryption challenge of tokens.
    ChallengeOfTokens,
    /// One of bytes.
    RawChallenge,
    /// One as it should be, but for bits that changed on the way.
    Challenge,
    /// The handshake's end, of tokens.
    Complete,
    /// The same of bytes.
    RawComplete,
    /// KMS has answered.
    Encrypt,
    /// KMS has not.
    Refuse,
    /// Any other payload of the agent's.
    Say,
    /// Messages of the client's are acknowledged.
    Acknowledge,
    /// The user writes.
    Send,
    /// The terminal has another size.
    Resize,
    /// The user's input has ended.
    Finish,
    /// The socket is lost.
    Lost,
    /// There is one.
    Up,
    /// Time passes.
    Wait,
    /// Time passes until the channel wants to be called.
    Timeout,
    /// Many challenges.
    Challenges,
}

const STEPS: [Step; 19] = [
    Step::Request,
    Step::RawRequest,
    Step::ChallengeOfTokens,
    Step::RawChallenge,
    Step::Challenge,
    Step::Complete,
    Step::RawComplete,
    Step::Encrypt,
    Step::Refuse,
    Step::Say,
    Step::Acknowledge,
    Step::Send,
    Step::Resize,
    Step::Finish,
    Step::Lost,
    Step::Up,
    Step::Wait,
    Step::Timeout,
    Step::Challenges,
];

/// Runs the talk that `data` describes.
///
/// # Panics
/// When the channel breaks a promise.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok([seed, modes]) = <[u8; 2]>::arbitrary(&mut input) else {
        return;
    };
    let mut talk = Talk::new(seed, modes);
    for _ in 0..MOST_STEPS {
        if input.is_empty() || talk.step(&mut input).is_err() {
            break;
        }
        talk.settle();
        let (buffered, held) = (talk.line.channel.buffered_bytes(), talk.line.held());
        assert!(buffered <= BUFFERED, "{buffered} bytes are buffered");
        assert!(held <= buffered * 3 + HELD_MORE, "{held} bytes are held, {buffered} are known");
    }
    talk.end();
}

/// The request that was read.
struct Read {
    actions: Option<Vec<Action>>,
    kind: Option<Kind>,
    key: Option<KeyRequest>,
}

/// An action of it.
struct Action {
    name: String,
    parameters: Value,
}

/// How the client's key was made.
enum Key {
    Unknown,
    Made,
    Refused(String),
}

struct Talk {
    line: Line,
    accepts: Accepts,
    cipher: Cipher,
    /// The request that was read, once one was.
    request: Option<Read>,
    key: Key,
    answered: bool,
    ready: Option<Kind>,
    /// A request could not be read; another one may be.
    unreadable: bool,
    unsupported: bool,
    finished: bool,
    /// What was in challenges that were not answered yet.
    challenges: VecDeque<Vec<u8>>,
    challenges_left: usize,
    challenged: bool,
    /// Bytes that the user wrote, and those of them seen on the wire.
    written: u64,
    carried: u64,
}

impl Talk {
    fn new(seed: u8, modes: u8) -> Self {
        let accepts = if modes & 1 == 1 { Accepts::All } else { Accepts::Port };
        let service = if modes & 2 == 2 { Service::Aws } else { Service::Unlimited };
        Self {
            line: Line::new(seed, service, accepts),
            accepts,
            cipher: Cipher::new(modes >> 2),
            request: None,
            key: Key::Unknown,
            answered: false,
            ready: None,
            unreadable: false,
            unsupported: false,
            finished: false,
            challenges: VecDeque::new(),
            challenges_left: 64 << 20,
            challenged: false,
            written: 0,
            carried: 0,
        }
    }

    fn step(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let step = STEPS[usize::from(u8::arbitrary(u)?) % STEPS.len()];
        match step {
            Step::Request => self.asks(json::write(&operation::bytes(u)?)?.as_bytes()),
            Step::RawRequest => self.asks(&operation::bytes(u)?),
            Step::ChallengeOfTokens => self.challenges(json::write(&operation::bytes(u)?)?.as_bytes(), None),
            Step::RawChallenge => self.challenges(&operation::bytes(u)?, None),
            Step::Challenge => {
                let (at, bits) = <(u8, u8)>::arbitrary(u)?;
                let plaintext = operation::bytes(u)?;
                let mut encrypted = self.cipher.of_the_agent(&plaintext);
                let at = usize::from(at) % encrypted.len();
                encrypted[at] ^= bits;
                self.challenges(&challenge(&encrypted), Some(plaintext).filter(|_| bits == 0));
            }
            Step::Complete => self.completes(json::write(&operation::bytes(u)?)?.as_bytes()),
            Step::RawComplete => self.completes(&operation::bytes(u)?),
            Step::Encrypt => {
                if self.asked_for_key() && !self.line.closed {
                    self.key = Key::Made;
                }
                self.line.channel.encrypt(self.line.now, self.cipher.data_key(), CIPHERTEXT);
            }
            Step::Refuse => {
                let why = String::from_utf8_lossy(&operation::bytes(u)?).into_owned();
                self.line.channel.refuse_encryption(self.line.now, &why);
                if self.asked_for_key() {
                    self.key = Key::Refused(why);
                }
            }
            Step::Say => {
                let payload_type = PayloadType(u8::arbitrary(u)?.into());
                let payload = operation::bytes(u)?;
                let is_said = [
                    PayloadType::HANDSHAKE_REQUEST,
                    PayloadType::ENC_CHALLENGE_REQUEST,
                    PayloadType::HANDSHAKE_COMPLETE,
                ];
                if !is_said.contains(&payload_type) {
                    self.line.hears(0, payload_type, &payload);
                    self.heed();
                }
            }
            Step::Acknowledge => self.line.acknowledge(u8::arbitrary(u)?.into()),
            Step::Send => {
                let length = usize::from(u16::arbitrary(u)?);
                self.written += self.line.channel.send(self.line.now, peer::written(self.written, length)) as u64;
            }
            Step::Resize => {
                let (cols, rows) = <(u16, u16)>::arbitrary(u)?;
                self.line.channel.resize(Size { cols, rows });
            }
            Step::Finish => {
                self.finished = true;
                self.line.channel.finish();
            }
            Step::Lost => self.line.set_transport(false),
            Step::Up => self.line.set_transport(true),
            Step::Wait => self.line.wait(Duration::from_micros(u32::arbitrary(u)?.into())),
            Step::Timeout => _ = self.line.wait_for_timeout(),
            Step::Challenges => {
                let (count, length) = <(u8, u16)>::arbitrary(u)?;
                let plaintext = vec![b'c'; (length >> 2).into()];
                for _ in 0..count {
                    if self.challenges_left < plaintext.len() * 2 {
                        break;
                    }
                    let encrypted = self.cipher.of_the_agent(&plaintext);
                    self.challenges(&challenge(&encrypted), Some(plaintext.clone()));
                }
            }
        }
        Ok(())
    }

    /// Whether the request that was read wants a key, and neither a key nor a refusal has been given.
    fn asked_for_key(&self) -> bool {
        matches!(self.key, Key::Unknown) && self.request.as_ref().is_some_and(|request| request.key.is_some())
    }

    /// Whether the session has not begun.
    fn is_starting(&self) -> bool {
        self.ready.is_none() && !self.line.closed
    }

    fn asks(&mut self, payload: &[u8]) {
        let is_first = self.is_starting() && self.request.is_none();
        if self.line.hears(0, PayloadType::HANDSHAKE_REQUEST, payload).is_empty() {
            return;
        }
        let events = self.heed();
        if !is_first {
            assert!(events.is_empty(), "a request that comes too late is heeded: {events:?}");
            return;
        }
        let is_unreadable = |event: &Event| matches!(event, Event::Unsupported(why) if why.contains("cannot be read"));
        if events.iter().any(is_unreadable) {
            assert_eq!(events.len(), 1);
            assert!(!is_in_order(payload), "a request in order is not read");
            return;
        }
        if self.unreadable {
            assert!(!events.iter().any(|event| matches!(event, Event::KeyWanted(_))), "it was declined");
            return;
        }
        let request = self.read(payload);
        let wants: Vec<&KeyRequest> = events
            .iter()
            .filter_map(|event| if let Event::KeyWanted(key) = event { Some(key) } else { None })
            .collect();
        if request.actions.is_some() {
            assert_eq!(wants, request.key.iter().collect::<Vec<_>>(), "a key is asked for where one is needed");
        }
        let key = wants.first().map(|key| (*key).clone());
        self.request = Some(Read { key, ..request });
    }

    /// A second reading of a request that the channel has read. It may read what serde's values do not: then little is
    /// known of it.
    fn read(&self, payload: &[u8]) -> Read {
        let actions = serde_json::from_slice(payload).ok().map(|request| actions(&request));
        let find = |name: &str| actions.iter().flatten().find(|action| action.name == name);
        let kind = find("SessionType").and_then(|action| self.kind(action));
        let key = find("KMSEncryption").filter(|_| kind.is_some() && self.accepts == Accepts::All);
        let key = key.map(|action| KeyRequest {
            key_id: text(&action.parameters, "/KMSKeyId").to_owned(),
            challenge: Some(text(&action.parameters, "/Challenge").to_owned()).filter(|text| !text.is_empty()),
        });
        Read { kind, key, actions }
    }

    fn kind(&self, action: &Action) -> Option<Kind> {
        match text(&action.parameters, "/SessionType") {
            "Port" => {
                Some(Kind::Port).filter(|_| text(&action.parameters, "/Properties/type") != "LocalPortForwarding")
            }
            "Standard_Stream" | "InteractiveCommands" if self.accepts == Accepts::All => Some(Kind::Terminal),
            "NonInteractiveCommands" if self.accepts == Accepts::All => Some(Kind::Command),
            _ => None,
        }
    }

    /// A challenge with this inside, if that is known.
    fn challenges(&mut self, payload: &[u8], inside: Option<Vec<u8>>) {
        let Some(left) = self.challenges_left.checked_sub(payload.len()) else {
            return;
        };
        self.challenges_left = left;
        let is_due = self.is_starting() && matches!(self.key, Key::Made) && !self.challenged;
        if self.line.hears(0, PayloadType::ENC_CHALLENGE_REQUEST, payload).is_empty() {
            return;
        }
        let events = self.heed();
        if !is_due {
            assert!(events.is_empty(), "a challenge that nothing is known about is heeded: {events:?}");
            return;
        }
        if self.line.closed {
            assert_eq!(events, [Event::Undecipherable]);
            assert!(inside.is_none(), "a challenge in order is not deciphered");
            return;
        }
        self.challenged = true;
        let inside = inside.or_else(|| {
            let json: Value = serde_json::from_slice(payload).ok()?;
            let encrypted = base64(member(&json, "Challenge", 0)?.as_str()?)?;
            self.cipher.opened_by_the_client(&encrypted)
        });
        self.challenges.push_back(inside.expect("something was deciphered that is not the agent's"));
    }

    fn completes(&mut self, payload: &[u8]) {
        let is_due = self.is_starting() && !self.asked_for_key();
        if self.line.hears(0, PayloadType::HANDSHAKE_COMPLETE, payload).is_empty() {
            return;
        }
        let mut events = self.heed().into_iter();
        if !is_due {
            assert_eq!(events.next(), None, "the handshake is complete twice, or without its key");
            return;
        }
        assert!(self.ready.is_some() || self.is_hopeless(), "the handshake is not complete");
        let message = events.find(|event| matches!(event, Event::CustomerMessage(_)));
        if let Ok(complete) = serde_json::from_slice::<Value>(payload)
            && payload.windows(15).filter(|part| part == b"CustomerMessage").count() <= 1
            && self.ready.is_some()
            && complete.as_array().is_none_or(|members| members.len() == 1)
        {
            let text = member(&complete, "CustomerMessage", 0).and_then(Value::as_str).filter(|text| !text.is_empty());
            assert_eq!(message, text.map(|text| Event::CustomerMessage(text.to_owned())));
        }
    }

    /// Whether no session can come of this handshake any more.
    fn is_hopeless(&self) -> bool {
        self.unsupported || self.unreadable || matches!(self.key, Key::Refused(_))
    }

    fn heed(&mut self) -> Vec<Event> {
        let events = self.line.events();
        for event in &events {
            match event {
                Event::Ready { kind, .. } => {
                    assert_eq!(self.ready.replace(*kind), None, "the session begins twice");
                    // A caller that heeds what was said before leaves here.
                    assert!(!self.is_hopeless());
                    if let Some(Read { actions: Some(_), kind: Some(asked), .. }) = &self.request {
                        assert_eq!(kind, asked);
                    }
                }
                Event::Unsupported(why) => {
                    assert!(!why.is_empty());
                    match why.contains("cannot be read") {
                        true => self.unreadable = true,
                        false => self.unsupported = true,
                    }
                    self.line.closed |= why.contains("not a session to a port") && self.request.is_none();
                }
                Event::ExitStatus(_) => {
                    assert_eq!(self.ready.or(self.asked_kind()), Some(Kind::Command))
                }
                Event::Ended => assert!(self.finished),
                _ => {}
            }
        }
        events
    }

    fn asked_kind(&self) -> Option<Kind> {
        self.request.as_ref().and_then(|request| request.kind)
    }

    fn judge(&mut self, said: Said) {
        match said.payload_type {
            PayloadType::HANDSHAKE_RESPONSE => self.responds(&said.payload),
            PayloadType::ENC_CHALLENGE_RESPONSE => {
                let json: Value = serde_json::from_slice(&said.payload).expect("JSON");
                let encrypted = json["Challenge"].as_str().and_then(base64).expect("a challenge");
                let inside = self.cipher.opened_by_the_agent(&encrypted).expect("encrypted with the client's key");
                assert_eq!(Some(inside), self.challenges.pop_front(), "it is not what the agent asked");
            }
            PayloadType::SIZE => {
                let json: Value = serde_json::from_slice(&said.payload).expect("JSON");
                let is_number = |value: &Value| value.as_u64().is_some_and(|value| value <= u16::MAX.into());
                assert!(is_number(&json["cols"]) && is_number(&json["rows"]));
            }
            PayloadType::OUTPUT => {
                assert!(self.ready.is_some(), "data before the session has begun");
                assert!(!self.is_hopeless(), "data in a session that cannot be had");
                let bytes = if self.request.as_ref().is_some_and(|request| request.key.is_some()) {
                    assert!(said.payload.len() >= OVERHEAD);
                    self.cipher.opened_by_the_agent(&said.payload).expect("encrypted with the client's key")
                } else {
                    said.payload
                };
                assert_eq!(bytes, peer::written(self.carried, bytes.len()));
                self.carried += bytes.len() as u64;
            }
            PayloadType::FLAG => {
                assert!(self.finished && self.ready == Some(Kind::Port) && self.carried == self.written);
            }
            other => panic!("a payload of {other:?}"),
        }
    }

    fn responds(&mut self, payload: &[u8]) {
        assert!(!std::mem::replace(&mut self.answered, true), "a request is answered twice");
        let request = self.request.as_ref().expect("an answer to nothing");
        assert!(!self.asked_for_key(), "an answer without the key");
        let response: Value = serde_json::from_slice(payload).expect("a response that is no JSON");
        assert_eq!(response["ClientVersion"], PLUGIN_VERSION);
        let answers = response["ProcessedClientActions"].as_array().expect("a list of answers");
        let status = |answer: &Value| answer["ActionStatus"].as_u64().expect("a status");
        for answer in answers {
            assert!((1..=3).contains(&status(answer)), "{answer}");
            assert_eq!(status(answer) == 1, answer["Error"] == "", "{answer}");
        }
        let failed = answers.iter().filter(|answer| status(answer) != 1).count();
        assert_eq!(response["Errors"].as_array().map_or(0, Vec::len), failed, "each error is said");
        assert_eq!(response["Errors"].is_null(), failed == 0);
        assert_eq!(self.unsupported, answers.iter().any(|answer| status(answer) == 3), "what is unsupported is said");
        let Some(actions) = &request.actions else {
            return;
        };
        assert_eq!(answers.len(), actions.len(), "an action has no answer");
        for (action, answer) in actions.iter().zip(answers) {
            assert_eq!(answer["ActionType"], action.name);
            let expected = match (action.name.as_str(), &self.key) {
                ("SessionType", _) if self.kind(action).is_some() => 1,
                ("KMSEncryption", Key::Made) => 1,
                ("KMSEncryption", Key::Refused(why)) => {
                    assert!(answer["Error"].as_str().is_some_and(|error| error.ends_with(why)));
                    2
                }
                _ => 3,
            };
            assert_eq!(status(answer), expected, "{answer}");
            let result = &answer["ActionResult"];
            if action.name != "KMSEncryption" || expected != 1 {
                assert!(result.is_null());
                continue;
            }
            assert_eq!(result["KMSCipherTextKey"].as_str().and_then(base64).as_deref(), Some(CIPHERTEXT));
            assert_eq!(result["KMSCipherTextHash"], Value::Null);
            let is_challenged = !text(&action.parameters, "/Challenge").is_empty();
            assert_eq!(result.get("ChallengeAcknowledgement").is_some_and(|yes| *yes == true), is_challenged);
        }
    }

    /// A sane agent and network take the place of the input's, for as long as there is a handshake to be had.
    fn end(&mut self) {
        self.come_to_rest();
        if self.line.closed {
            return;
        }
        let is_due = self.request.is_some() && !self.asked_for_key();
        assert_eq!(self.answered || self.ready.is_some(), is_due || self.ready.is_some(), "a request is not answered");
        assert!(self.challenges.is_empty(), "a challenge is not answered");
        if self.asked_for_key() {
            self.key = Key::Made;
            self.line.channel.encrypt(self.line.now, self.cipher.data_key(), CIPHERTEXT);
            self.come_to_rest();
            assert!(self.answered);
        }
        if self.is_starting() && !self.is_hopeless() {
            self.completes(br#"{"HandshakeTimeToComplete":1,"CustomerMessage":""}"#);
        }
        self.come_to_rest();
        if self.ready.is_some() && !self.is_hopeless() {
            assert_eq!(self.carried, self.written, "bytes of the user's are never sent");
        }
    }
}

impl Plays for Talk {
    fn line(&mut self) -> &mut Line {
        &mut self.line
    }

    fn settle(&mut self) {
        self.heed();
        while self.line.channel.poll_output().is_some() {}
        while self.line.channel.poll_stderr().is_some() {}
        for said in self.line.frames(usize::MAX) {
            self.judge(said);
        }
    }
}

/// The agent's challenge with these encrypted bytes.
pub fn challenge(encrypted: &[u8]) -> Vec<u8> {
    let text = data_encoding::BASE64.encode(encrypted);
    format!(r#"{{"Challenge":"{text}"}}"#).into_bytes()
}

fn base64(text: &str) -> Option<Vec<u8>> {
    data_encoding::BASE64.decode(text.as_bytes()).ok()
}

/// The actions that a request asks for.
fn actions(request: &Value) -> Vec<Action> {
    let actions = member(request, "RequestedClientActions", 1).and_then(Value::as_array);
    let action = |action: &Value| Action {
        name: member(action, "ActionType", 0).and_then(Value::as_str).unwrap_or_default().to_owned(),
        parameters: member(action, "ActionParameters", 1).cloned().unwrap_or_default(),
    };
    actions.into_iter().flatten().map(action).collect()
}

/// A member by its name or, since serde reads a struct from an array of its fields, too, by its place.
fn member<'a>(value: &'a Value, name: &str, place: usize) -> Option<&'a Value> {
    value.get(name).or_else(|| value.get(place))
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Whether a request is of a reasonable length, every member has its type, and none is there twice, as far as can be told
/// without writing a parser: so that it has to be read.
fn is_in_order(payload: &[u8]) -> bool {
    let (Ok(request), Ok(text)) = (serde_json::from_slice::<Value>(payload), std::str::from_utf8(payload)) else {
        return false;
    };
    let is_text = |value: Option<&Value>| value.is_none_or(|value| value.is_string() || value.is_null());
    let list = request.get("RequestedClientActions");
    let empty = Vec::new();
    let actions = match list {
        None | Some(Value::Null) => &empty,
        Some(Value::Array(actions)) => actions,
        Some(_) => return false,
    };
    let are_typed = actions.iter().all(|action| action.is_object() && is_text(action.get("ActionType")));
    let times = |name: &str| text.matches(&format!("\"{name}\"")).count();
    let once = ["ActionType", "ActionParameters"]
        .iter()
        .all(|name| times(name) == actions.iter().filter(|action| action.get(name).is_some()).count());
    let is_once = times("AgentVersion") <= 1 && times("RequestedClientActions") <= 1 && once;
    let is_short = payload.len() <= MAX_REQUEST && !text.contains("\\u");
    is_short && request.is_object() && is_text(request.get("AgentVersion")) && are_typed && is_once
}
