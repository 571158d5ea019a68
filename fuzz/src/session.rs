//! The target `handle_frame`: a channel, a hostile peer, a network that breaks and a clock, all made of the input.
//!
//! What is promised whatever comes: no panic; every frame that comes out is well-formed, acknowledges what arrived, or
//! carries what ssh wrote, in order, unchanged when it is sent again; what arrives is acknowledged after that, as often
//! as it arrives and once more on each connection at most; one response to the handshake; nothing of the user's before
//! the session has begun; the terminate flag once and last, in sessions to a port alone; every byte for ssh comes from a
//! payload that was verified, in order, once; memory within its bounds, counted at the allocator as well; after
//! everything is drained the channel does not ask to be called again at once; and when a sane peer and network are put
//! in the place of the input's, everything arrives and ends.
//!
//! One bit of the input says whether shells and commands are accepted too. None of these sessions is encrypted.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use arbitrary::{Arbitrary, Unstructured};
use bytes::{Buf, Bytes, BytesMut};
use serde_json::Value;
use uuid::Uuid;

use crate::operation::Operation;
use crate::peer::{acknowledged_sequence, acknowledgement, hash, service, written};
use crate::{frame, memory, peer};
use ssm_channel::{
    Accepts, Channel, Config, Event, FLAG_FIN, FLAG_SYN, Flag, Ignored, Kind, MAX_PAYLOAD, Message, MessageType,
    PayloadType, Service, Size,
};

/// Bytes in flight at most.
const WINDOW: usize = 256 << 10;
/// Bytes that came before their turn, at most.
const REORDER: usize = 11 << 20;
/// What the channel may say that it holds: window and look-ahead, then reordered bytes, those just put in order, and
/// what waits for ssh, with the largest frame of this harness.
const BUFFERED: usize = WINDOW + (64 << 10) + 2 * REORDER + (256 << 10) + (64 << 10);
/// What is really held may be this many times what the channel says: the harness has its own copy of what is on its
/// way to ssh, and buffers grow by doubling...
const HELD_TIMES: usize = 3;
/// ...and this much more: messages in flight to an agent that acknowledges only once, acknowledgements, and what the
/// harness's copy goes on holding, up to the reordered bytes, after most of it was taken.
const HELD_MORE: usize = (4 << 20) + REORDER + (1 << 20);
/// Frames in one input, and bytes in them: few enough to be quick...
const BUDGET: (usize, usize) = (200, 128 << 10);
/// ...or, in a few inputs, enough to fill every buffer but that for what comes out of order.
const LARGE_BUDGET: (usize, usize) = (1500, 6 << 20);
/// Rounds of one instant after which the channel turns in circles.
const ROUNDS: u32 = 4;
/// Steps in which a sane peer and network must bring everything to its end.
const STEPS: u32 = 20_000;
/// Messages that may be unacknowledged, and a few that are not data.
const IN_FLIGHT: usize = 2048 + 8;
/// Messages a second that the service tolerates.
const SERVICE_LIMIT: usize = 1000;
/// How long user data waits for the far side's first bytes at least.
const FIRST_DATA_HELD: Duration = Duration::from_millis(25);
/// The message types, for the fuzzer to choose from.
const TYPES: [MessageType; 7] = [
    MessageType::InputStreamData,
    MessageType::OutputStreamData,
    MessageType::Acknowledge,
    MessageType::ChannelClosed,
    MessageType::StartPublication,
    MessageType::PausePublication,
    MessageType::Unknown,
];

/// Runs the session that `data` describes.
///
/// # Panics
/// When the channel breaks a promise.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok(header) = <[u8; 3]>::arbitrary(&mut input) else {
        return;
    };
    let mut session = Session::new(header);
    while !input.is_empty() {
        let Ok(operation) = Operation::arbitrary(&mut input) else {
            break;
        };
        session.step(operation);
    }
    session.recover();
}

/// A message of ours that was seen on the wire, or acknowledged before it was.
struct Sent {
    /// Of its bytes.
    hash: u64,
    /// Of its payload, in bytes.
    length: usize,
    acknowledged: bool,
}

/// A message that arrived.
#[derive(Default)]
struct Receipt {
    /// Its acknowledgement as it is to be written; several where a hostile agent gave it several ids.
    texts: HashSet<String>,
    arrived: usize,
    acknowledged: usize,
    /// Whether it is to be acknowledged.
    owed: bool,
}

struct Session {
    channel: Channel,
    now: Instant,
    service: Service,
    accepts: Accepts,
    /// What the session turned out to be.
    kind: Option<Kind>,
    /// Whether it was told to pause, which slows down whoever has no pace.
    slowed: bool,
    /// Whether everything is drained after each step.
    eager: bool,
    held: usize,
    frames_left: usize,
    bytes_left: usize,

    has_transport: bool,
    closed: bool,
    finished: bool,
    /// Whether the agent may be taken for one that acknowledges only once.
    maybe_old: bool,

    /// The agent's next number, and what came before its turn.
    expected: i64,
    kept: BTreeMap<i64, (u32, Vec<u8>)>,
    /// Bytes for ssh.
    output: BytesMut,
    /// Payloads for stderr. Sessions to a port pass them over.
    stderr: VecDeque<Vec<u8>>,
    /// A handshake was asked for.
    was_asked: bool,
    completed: Option<Instant>,
    has_spoken: bool,
    /// What arrived, by number.
    receipts: HashMap<i64, Receipt>,
    connections: usize,

    sent: Vec<Sent>,
    /// The number of the handshake's response, once it was seen.
    response: Option<usize>,
    flag: Option<i64>,
    /// A size went behind the terminate flag: the session's end is then said again when it is acknowledged.
    resized_after_flag: bool,
    /// Bytes that ssh wrote, and those of them seen on the wire.
    written: u64,
    carried: u64,
    /// When frames went out, in the last second.
    times: VecDeque<Instant>,
    events: Vec<Event>,
}

impl Session {
    fn new([seed, far, modes]: [u8; 3]) -> Self {
        let held = memory::held();
        let service = if modes & 1 == 1 { Service::Aws } else { Service::Unlimited };
        let accepts = if modes & 8 == 8 { Accepts::All } else { Accepts::Port };
        let (frames_left, bytes_left) = if modes >= 0xf0 { LARGE_BUDGET } else { BUDGET };
        let unix_millis = if far == 255 { u64::MAX } else { u64::from(far) << 36 };
        let now = Instant::now();
        let mut channel = Channel::new(Config { unix_millis, seed: seed.into(), service, accepts }, now);
        let has_transport = modes & 2 == 0;
        if has_transport {
            channel.transport_up();
        }
        Self {
            channel,
            now,
            service,
            accepts,
            kind: None,
            slowed: false,
            eager: modes & 4 == 0,
            held,
            frames_left,
            bytes_left,
            has_transport,
            closed: false,
            finished: false,
            maybe_old: false,
            expected: 0,
            kept: BTreeMap::new(),
            output: BytesMut::new(),
            stderr: VecDeque::new(),
            was_asked: false,
            completed: None,
            has_spoken: false,
            receipts: HashMap::new(),
            connections: 1,
            sent: Vec::new(),
            response: None,
            flag: None,
            resized_after_flag: false,
            written: 0,
            carried: 0,
            times: VecDeque::new(),
            events: Vec::new(),
        }
    }

    fn step(&mut self, operation: Operation) {
        self.act(operation);
        if self.eager {
            self.settle();
            self.holds_nothing_for_no_reason();
        }
        let buffered = self.channel.buffered_bytes();
        assert!(buffered <= BUFFERED, "{buffered} bytes are buffered");
        let held = memory::held().saturating_sub(self.held);
        assert!(held <= buffered * HELD_TIMES + HELD_MORE, "{held} bytes are held, {buffered} are known");
    }

    /// Everything was drained: what is held waits to be sent, to be acknowledged, or for its turn.
    fn holds_nothing_for_no_reason(&self) {
        let waits = self.channel.awaits_acknowledgement() || self.channel.undelivered_bytes() > 0;
        let held = self.channel.buffered_bytes();
        assert!(waits || !self.kept.is_empty() || held == 0, "{held} bytes are held for no reason");
    }

    fn act(&mut self, operation: Operation) {
        match operation {
            Operation::Raw { repair: false, frame } => self.frame(frame.into()),
            Operation::Raw { repair: true, frame } => self.frame(frame::repair_digest(&frame)),
            Operation::Crafted { message_type, short_header, created, sequence, flags, id, payload_type, payload } => {
                let message = Message {
                    message_type: TYPES[usize::from(message_type) % TYPES.len()],
                    created,
                    sequence,
                    flags,
                    id: Uuid::from_u128(id),
                    payload_type: PayloadType(payload_type),
                    payload: payload.into(),
                };
                let frame = message.encode();
                self.frame(if short_header { shorten(&frame) } else { frame });
            }
            Operation::Stream { ahead, payload_type, payload } => {
                self.frame(self.stream(ahead.into(), payload_type.into(), &payload));
            }
            Operation::Damaged { at, bits, cut, added, repair } => {
                let mut frame = self.stream(0, 1, b"damaged").to_vec();
                let at = usize::from(at) % frame.len();
                frame[at] ^= bits;
                frame.truncate(frame.len().saturating_sub(cut.into()));
                frame.extend(std::iter::repeat_n(bits, added.into()));
                self.frame(if repair { frame::repair_digest(&frame) } else { frame.into() });
            }
            Operation::Flood { ahead, payload_type, count, length, trailing } => {
                let first = self.expected.saturating_add(ahead.into());
                let payload = vec![b'f'; length.into()];
                for number in 0..i64::from(count) {
                    let ahead = first.saturating_add(number).saturating_sub(self.expected);
                    let mut frame = self.stream(ahead, payload_type.into(), &payload).to_vec();
                    frame.resize(frame.len() + usize::from(trailing), 0);
                    if !self.frame_within_budget(frame.into()) {
                        break;
                    }
                }
            }
            Operation::Acknowledge { back } => {
                let sequence = self.sent.len() as i64 - i64::from(back);
                self.frame(acknowledgement(sequence));
            }
            Operation::Request { old, kind } => {
                let kind = match self.accepts {
                    Accepts::Port => "Port",
                    Accepts::All => ["Port", "Standard_Stream", "NonInteractiveCommands"][usize::from(kind) % 3],
                };
                let version = if old { "3.1.0.0" } else { "3.3.0.0" };
                let request = format!(
                    r#"{{"AgentVersion":"{version}","RequestedClientActions":[{{"ActionType":"SessionType","ActionParameters":{{"SessionType":"{kind}","Properties":{{"portNumber":"22"}}}}}}]}}"#
                );
                self.frame(self.stream(0, PayloadType::HANDSHAKE_REQUEST.0, request.as_bytes()));
            }
            Operation::Complete => self.frame(self.complete()),
            Operation::Pause => self.frame(service(MessageType::PausePublication, b"")),
            Operation::Start => self.frame(service(MessageType::StartPublication, b"")),
            Operation::Closed { payload } => self.frame(service(MessageType::ChannelClosed, &payload)),
            Operation::Wait { micros } => self.now += Duration::from_micros(micros.into()),
            Operation::Sleep { hours } => self.now += Duration::from_secs(u64::from(hours) * 3600),
            Operation::Timeout => {
                self.now = self.channel.poll_timeout(self.now).map_or(self.now, |at| at.max(self.now))
            }
            Operation::Tick => self.tick(),
            Operation::Send { length } => self.send(length.into()),
            Operation::Finish => {
                self.finished = true;
                self.channel.finish();
            }
            Operation::Lost => {
                self.has_transport = false;
                self.times.clear();
                self.channel.transport_lost(true);
            }
            Operation::Up => {
                self.has_transport = true;
                self.connections += 1;
                self.channel.transport_up();
            }
            Operation::Frames { count } => _ = self.frames(count.into()),
            Operation::Output { count } => self.read(count.into()),
            Operation::Settle => _ = self.settle(),
            Operation::Resize { cols, rows } => self.channel.resize(Size { cols, rows }),
        }
    }

    /// The agent's message so far ahead of the expected one.
    fn stream(&self, ahead: i64, payload_type: u32, payload: &[u8]) -> Bytes {
        peer::stream(self.expected.saturating_add(ahead), payload_type, payload)
    }

    fn complete(&self) -> Bytes {
        self.stream(0, PayloadType::HANDSHAKE_COMPLETE.0, br#"{"HandshakeTimeToComplete":1,"CustomerMessage":"hello"}"#)
    }

    fn frame(&mut self, frame: Bytes) {
        self.frame_within_budget(frame);
    }

    /// A frame arrives, unless the channel wants none or there have been enough; whether it did.
    fn frame_within_budget(&mut self, frame: Bytes) -> bool {
        if self.frames_left == 0 || self.bytes_left < frame.len() || !self.channel.wants_frames() {
            return false;
        }
        self.frames_left -= 1;
        self.bytes_left -= frame.len();
        self.arrive(frame);
        true
    }

    fn arrive(&mut self, frame: Bytes) {
        let result = self.channel.handle_frame(self.now, &frame);
        if self.closed {
            assert_eq!(result, Err(Ignored::Closed));
            return;
        }
        let name = frame::name(&frame).unwrap_or_default();
        if [b"start_publication", b"pause_publication"].iter().any(|control| name == *control) {
            assert_eq!(result, Ok(()));
            self.slowed |= name == b"pause_publication";
            return;
        }
        let Some(message) = frame::verify(&frame) else {
            assert!(matches!(result, Err(Ignored::Malformed(_))), "{result:?} for a frame out of order");
            return;
        };
        match (message.name, result) {
            (b"output_stream_data", Ok(())) => {
                self.heed_events();
                self.accept(&message);
            }
            (b"output_stream_data", Err(Ignored::NoRoom)) => {
                assert_ne!(message.sequence, self.expected, "there is always room for the next message");
            }
            (b"acknowledge", Ok(())) => self.acknowledged(message.payload),
            (b"acknowledge", Err(Ignored::NotWaiting)) => {
                let waits = self.sent.get(acknowledged_sequence(message.payload).expect("it was read") as usize);
                let missed = waits.is_some_and(|sent| !sent.acknowledged);
                assert!(!missed || self.maybe_old, "an acknowledgement is disregarded");
            }
            (b"acknowledge", Err(Ignored::Acknowledgement)) => {}
            (b"channel_closed", Ok(())) => self.closed = true,
            (_, Err(Ignored::Type)) => {}
            (name, result) => panic!("{result:?} for {}", String::from_utf8_lossy(name)),
        }
    }

    /// Stream data was accepted, so it is owed an acknowledgement and takes its place in order.
    fn accept(&mut self, message: &frame::Verified<'_>) {
        let (least, most) = message.id.split_at(8);
        let id = Uuid::from_slice(&[most, least].concat()).expect("16 bytes");
        let acknowledgement = format!(
            r#"{{"AcknowledgedMessageType":"output_stream_data","AcknowledgedMessageId":"{id}","AcknowledgedMessageSequenceNumber":{},"IsSequentialMessage":true}}"#,
            message.sequence
        );
        let receipt = self.receipts.entry(message.sequence).or_default();
        receipt.texts.insert(acknowledgement);
        receipt.arrived += 1;
        receipt.owed = true;
        assert!(message.sequence >= 0);
        if message.sequence >= self.expected {
            self.kept.entry(message.sequence).or_insert_with(|| (message.payload_type, message.payload.to_vec()));
            let early = self.kept.range(self.expected + 1..);
            let kept: usize = early.map(|(_, (_, payload))| payload.len()).sum();
            assert!(kept <= REORDER, "{kept} bytes are kept for their turn");
        }
        while let Some((payload_type, payload)) = self.kept.remove(&self.expected) {
            self.expected += 1;
            let is_output =
                matches!(PayloadType(payload_type), PayloadType::OUTPUT | PayloadType::STDERR | PayloadType::EXIT_CODE);
            if is_output && self.gave_up() {
                self.closed = true;
                return;
            }
            if is_output && self.completed.is_none() && self.has_begun_without_request() {
                self.completed = Some(self.now);
                self.has_spoken = true;
                // Nothing tells the agent's version.
                self.maybe_old = true;
            }
            assert!(!is_output || self.was_asked || self.completed.is_some(), "a shell in the place of a port");
            if is_output && self.was_declined() {
                continue;
            }
            match PayloadType(payload_type) {
                PayloadType::OUTPUT => {
                    self.output.extend_from_slice(&payload);
                    self.has_spoken |= self.completed.is_some();
                }
                PayloadType::STDERR if !payload.is_empty() => self.stderr.push_back(payload),
                // Without the key that it asked for, a handshake is not complete.
                PayloadType::HANDSHAKE_COMPLETE if self.completed.is_none() && self.kind.is_some() => {
                    if let Some(response) = self.response {
                        self.sent[response].acknowledged = true;
                    }
                    self.completed = Some(self.now);
                }
                PayloadType::HANDSHAKE_REQUEST => {
                    self.was_asked = true;
                    self.maybe_old |= !payload.starts_with(br#"{"AgentVersion":"3.3.0.0""#)
                }
                _ => {}
            }
        }
    }

    /// Whether the session has begun, and not by a handshake that was begun in order.
    fn has_begun_without_request(&self) -> bool {
        let is_that = |event: &Event| matches!(event, Event::Ready { agent_version: None, .. });
        self.accepts == Accepts::All && self.events.iter().any(is_that)
    }

    /// Whether the agent was told that this session cannot be had.
    fn was_declined(&self) -> bool {
        let declines = |event: &Event| matches!(event, Event::Unsupported(_) | Event::KeyWanted(_));
        !self.gave_up() && self.events.iter().any(declines)
    }

    /// Whether the session turned out to be none to a port.
    fn gave_up(&self) -> bool {
        let is_that =
            |event: &Event| matches!(event, Event::Unsupported(why) if why.contains("not a session to a port"));
        self.events.iter().any(is_that)
    }

    fn acknowledged(&mut self, payload: &[u8]) {
        let sequence = acknowledged_sequence(payload).expect("JSON that is no acknowledgement was taken for one");
        if sequence == self.sent.len() as i64 {
            // The response, acknowledged before it was sent.
            self.sent.push(Sent { hash: 0, length: 0, acknowledged: true });
            return;
        }
        let sent = self.sent.get_mut(usize::try_from(sequence).expect("a number of ours")).expect("it was sent");
        assert!(!sent.acknowledged, "an acknowledgement counts once");
        sent.acknowledged = true;
    }

    fn tick(&mut self) {
        self.channel.handle_timeout(self.now);
    }

    fn send(&mut self, length: usize) {
        let capacity = self.channel.send_capacity(self.now);
        assert!(capacity == 0 || !(self.finished || self.closed));
        let taken = self.channel.send(self.now, written(self.written, length));
        assert_eq!(taken, length.min(capacity));
        self.written += taken as u64;
    }

    /// The socket takes up to `count` frames; the numbers of those that carry data.
    fn frames(&mut self, count: usize) -> Vec<i64> {
        let mut numbers = Vec::new();
        for _ in 0..count {
            let Some(frame) = self.channel.poll_frame(self.now) else {
                break;
            };
            assert!(self.has_transport && !self.closed, "a frame without a socket");
            self.times.push_back(self.now);
            let message = frame::verify(&frame).expect("a frame out of order");
            assert_eq!(frame[..4], 116u32.to_be_bytes());
            match message.name {
                b"acknowledge" => self.acknowledges(&message),
                b"input_stream_data" => {
                    self.carries(&message, hash(&frame));
                    numbers.push(message.sequence);
                    assert!(numbers.len() <= IN_FLIGHT, "data without end");
                }
                name => panic!("a frame of type {}", String::from_utf8_lossy(name)),
            }
        }
        while self.times.pop_front_if(|time| *time + Duration::from_secs(1) <= self.now).is_some() {}
        assert!(
            self.service == Service::Unlimited || self.times.len() < SERVICE_LIMIT,
            "{} frames in a second",
            self.times.len()
        );
        numbers
    }

    /// The messages of ours that were seen and not acknowledged, in order.
    fn unacknowledged(&self) -> impl Iterator<Item = (i64, &Sent)> {
        (0..).zip(&self.sent).filter(|(_, sent)| !sent.acknowledged)
    }

    fn acknowledges(&mut self, message: &frame::Verified<'_>) {
        assert_eq!((message.sequence, message.flags, message.payload_type), (0, FLAG_SYN | FLAG_FIN, 0));
        let text = std::str::from_utf8(message.payload).expect("JSON");
        let sequence = acknowledged_sequence(message.payload).expect("the number of a message");
        let receipt = self.receipts.get_mut(&sequence).filter(|receipt| receipt.texts.contains(text));
        let receipt = receipt.expect("an acknowledgement of what never came");
        receipt.owed = false;
        receipt.acknowledged += 1;
        assert!(receipt.acknowledged <= receipt.arrived + self.connections, "acknowledged again and again");
    }

    fn carries(&mut self, message: &frame::Verified<'_>, hash: u64) {
        assert!(!message.payload.is_empty(), "agents drop empty payloads");
        let is_next_but_one = message.sequence == self.sent.len() as i64 + 1;
        if is_next_but_one && self.response.is_none() && self.completed.is_some() {
            // The handshake was completed before the response was sent, and that acknowledged it.
            self.sent.push(Sent { hash: 0, length: 0, acknowledged: true });
        }
        let sequence = usize::try_from(message.sequence).expect("a number of ours");
        if let Some(sent) = self.sent.get(sequence) {
            assert_eq!(sent.hash, hash, "message {sequence} is another one when sent again");
            assert!(!sent.acknowledged, "message {sequence} is sent again after its acknowledgement");
            return;
        }
        assert_eq!(sequence, self.sent.len(), "a number is left out");
        let is_size = PayloadType(message.payload_type) == PayloadType::SIZE;
        assert!(self.flag.is_none(), "message {sequence} follows the terminate flag");
        let length = message.payload.len();
        self.sent.push(Sent { hash, length, acknowledged: false });
        if PayloadType(message.payload_type) == PayloadType::HANDSHAKE_RESPONSE {
            assert_eq!(self.response.replace(sequence), None, "a handshake has one response");
            return;
        }
        if is_size {
            self.resized_after_flag |= self.flag.is_some();
            let size: Value = serde_json::from_slice(message.payload).expect("JSON");
            assert!(size["cols"].is_u64() && size["rows"].is_u64(), "{size}");
            return;
        }
        let completed = self.completed.expect("data before the handshake is complete");
        assert!(self.has_spoken || completed + FIRST_DATA_HELD <= self.now, "data before the first output");
        assert!(length <= MAX_PAYLOAD);
        match PayloadType(message.payload_type) {
            PayloadType::OUTPUT => {
                assert_eq!(message.payload, written(self.carried, length));
                self.carried += length as u64;
                assert!(self.carried <= self.written);
                let in_flight: usize = self.unacknowledged().map(|(_, sent)| sent.length).sum();
                assert!(self.maybe_old || in_flight <= WINDOW + MAX_PAYLOAD, "{in_flight} bytes are in flight");
            }
            PayloadType::FLAG => {
                assert_eq!(self.kind, Some(Kind::Port));
                assert!(self.finished && Flag::TerminateSession.matches(message.payload));
                assert_eq!(self.carried, self.written, "the terminate flag overtakes data");
                self.flag = Some(message.sequence);
            }
            other => panic!("a payload of {other:?}"),
        }
    }

    /// ssh reads up to `count` pieces of output.
    fn read(&mut self, count: usize) {
        for _ in 0..count {
            let Some(bytes) = self.channel.poll_output() else {
                assert!(self.output.is_empty(), "{} bytes are withheld", self.output.len());
                self.output = BytesMut::new();
                break;
            };
            assert!(!bytes.is_empty(), "an empty piece of output");
            assert!(self.output.starts_with(&bytes), "bytes that never came, or not in this order");
            self.output.advance(bytes.len());
        }
        for _ in 0..count {
            let Some(bytes) = self.channel.poll_stderr() else {
                break;
            };
            let passed_over = std::iter::from_fn(|| self.stderr.pop_front()).take_while(|payload| *payload != bytes);
            assert!(passed_over.count() == 0 || self.kind == Some(Kind::Port), "bytes for stderr are withheld");
        }
    }

    fn heed_events(&mut self) {
        while let Some(event) = self.channel.poll_event() {
            let once = matches!(
                event,
                Event::Alive | Event::Ready { .. } | Event::CustomerMessage(_) | Event::Ended | Event::Closed { .. }
            );
            let again = false;
            assert!(!once || again || !self.events.contains(&event), "{event:?} is said twice");
            match &event {
                Event::Ready { kind, .. } => self.kind = Some(*kind),
                Event::KeyWanted(_) => self.channel.refuse_encryption(self.now, "there is no key here"),
                Event::ExitStatus(_) => assert_eq!(self.channel.kind(), Some(Kind::Command)),
                _ => {}
            }
            self.events.push(event);
        }
    }

    /// Drains everything, as the channel's contract says; the numbers of the messages that carry data.
    fn settle(&mut self) -> Vec<i64> {
        let mut numbers = Vec::new();
        for _ in 0..ROUNDS {
            self.tick();
            self.heed_events();
            self.read(usize::MAX);
            numbers.extend(self.frames(usize::MAX));
            if self.channel.poll_timeout(self.now).is_none_or(|at| at > self.now) {
                return numbers;
            }
        }
        panic!("the channel turns in circles: {:?}", self.channel);
    }

    /// A sane peer and a new socket take the place of the input's.
    fn recover(&mut self) {
        self.act(Operation::Lost);
        self.act(Operation::Up);
        let unacknowledged: Vec<i64> = self.unacknowledged().map(|(sequence, _)| sequence).collect();
        let mut again = self.settle();
        again.truncate(unacknowledged.len());
        let is_slow = self.service == Service::Aws || self.slowed;
        assert!(is_slow || self.closed || self.maybe_old || again == unacknowledged, "not everything is sent again");
        for _ in 0..2 {
            if !self.closed && !self.channel.is_ready() {
                self.arrive(self.complete());
            }
        }
        if !self.closed && !self.channel.is_ready() {
            let declined = |event: &Event| matches!(event, Event::Unsupported(_) | Event::KeyWanted(_));
            assert!(self.events.iter().any(declined));
            return;
        }
        for _ in 0..STEPS {
            for number in self.settle() {
                if !self.sent[number as usize].acknowledged {
                    self.arrive(acknowledgement(number));
                }
            }
            self.settle();
            match self.channel.poll_timeout(self.now) {
                Some(at) => self.now = at,
                None => break,
            }
        }
        if self.closed {
            return;
        }
        assert_eq!(self.channel.poll_timeout(self.now), None, "it does not come to rest");
        assert!(!self.receipts.values().any(|receipt| receipt.owed), "messages are never acknowledged");
        assert_eq!(self.carried, self.written, "bytes of ssh's are never sent");
        assert!(!self.channel.awaits_acknowledgement());
        self.holds_nothing_for_no_reason();
        let ends = self.finished && self.kind == Some(Kind::Port);
        assert_eq!(self.flag.is_some(), ends, "the session is ended when ssh has ended, and only then");
        assert_eq!(self.events.contains(&Event::Ended), ends);
    }
}

/// The service's form of a frame: without PayloadType, and with NUL for padding.
fn shorten(frame: &[u8]) -> Bytes {
    let mut short = frame.to_vec();
    short.drain(112..116);
    short[..4].copy_from_slice(&112u32.to_be_bytes());
    short[4..36].iter_mut().filter(|byte| **byte == b' ').for_each(|byte| *byte = 0);
    short.into()
}
