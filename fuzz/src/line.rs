//! A channel with a network and a clock, for targets that look at what is said and not at when.
//!
//! It keeps the promises of `src/session.rs` about frames, as far as they are cheap to keep: what goes out is
//! well-formed, new numbers grow, what is sent again is the same and is not acknowledged yet, and what arrives takes its
//! place in order once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ssm_channel::{Accepts, Channel, Config, Event, Ignored, MessageType, PayloadType, Service};

use crate::{frame, memory, peer};

/// Steps in which everything comes to rest.
const STEPS: u32 = 5_000;

/// A message of the client's, on the wire for the first time.
#[derive(Debug)]
pub struct Said {
    /// PayloadType.
    pub payload_type: PayloadType,
    /// The payload.
    pub payload: Vec<u8>,
}

struct Sent {
    hash: u64,
    acknowledged: bool,
}

/// See the module's documentation.
pub struct Line {
    /// The channel.
    pub channel: Channel,
    /// The clock.
    pub now: Instant,
    /// Whether the channel has said or was told that nothing more will come.
    pub closed: bool,
    has_transport: bool,
    expected: i64,
    kept: BTreeMap<i64, (PayloadType, Vec<u8>)>,
    sent: BTreeMap<i64, Sent>,
    held: usize,
}

impl Line {
    /// A channel with a socket.
    pub fn new(seed: u8, service: Service, accepts: Accepts) -> Self {
        let (held, now) = (memory::held(), Instant::now());
        let config = Config { unix_millis: 1_700_000_000_000, seed: seed.into(), service, accepts };
        let mut channel = Channel::new(config, now);
        channel.transport_up();
        let (kept, sent) = (BTreeMap::new(), BTreeMap::new());
        Self { channel, now, closed: false, has_transport: true, expected: 0, kept, sent, held }
    }

    /// The agent's message so far ahead of the expected one arrives, unless the channel wants none. Those that are now in
    /// order.
    pub fn hears(&mut self, ahead: i64, payload_type: PayloadType, payload: &[u8]) -> Vec<(PayloadType, Vec<u8>)> {
        if !self.channel.wants_frames() {
            return Vec::new();
        }
        let sequence = self.expected.saturating_add(ahead);
        let result = self.channel.handle_frame(self.now, &peer::stream(sequence, payload_type.0, payload));
        if self.closed {
            assert_eq!(result, Err(Ignored::Closed));
            return Vec::new();
        }
        match result {
            Ok(()) => assert!(sequence >= 0),
            Err(Ignored::NoRoom) => {
                assert_ne!(ahead, 0, "there is always room for the next message");
                return Vec::new();
            }
            other => panic!("{other:?} for a message in order"),
        }
        if sequence >= self.expected {
            self.kept.entry(sequence).or_insert_with(|| (payload_type, payload.to_vec()));
        }
        let mut in_order = Vec::new();
        while let Some(next) = self.kept.remove(&self.expected) {
            self.expected += 1;
            in_order.push(next);
        }
        in_order
    }

    /// The service says something.
    pub fn told(&mut self, message_type: MessageType) {
        let result = self.channel.handle_frame(self.now, &peer::service(message_type, b"{}"));
        assert_eq!(result, if self.closed { Err(Ignored::Closed) } else { Ok(()) });
        self.closed |= message_type == MessageType::ChannelClosed;
    }

    /// Up to `count` of the client's unacknowledged messages are acknowledged, oldest first.
    pub fn acknowledge(&mut self, count: usize) {
        let waiting = self.sent.iter_mut().filter(|(_, sent)| !sent.acknowledged);
        for (sequence, sent) in waiting.take(count) {
            sent.acknowledged = true;
            // The channel may have taken it for acknowledged by what came after it.
            _ = self.channel.handle_frame(self.now, &peer::acknowledgement(*sequence));
        }
    }

    /// The socket is lost, or there is a new one.
    pub fn set_transport(&mut self, up: bool) {
        self.has_transport = up;
        if up { self.channel.transport_up() } else { self.channel.transport_lost(true) }
    }

    /// Time passes.
    pub fn wait(&mut self, time: Duration) {
        self.now += time;
    }

    /// Time passes until the channel wants to be called; whether it ever does.
    pub fn wait_for_timeout(&mut self) -> bool {
        let timeout = self.channel.poll_timeout(self.now);
        self.now = timeout.map_or(self.now, |at| at.max(self.now));
        timeout.is_some()
    }

    /// What the channel has to say.
    pub fn events(&mut self) -> Vec<Event> {
        self.channel.handle_timeout(self.now);
        let events: Vec<Event> = std::iter::from_fn(|| self.channel.poll_event()).collect();
        self.closed |= events.contains(&Event::Undecipherable);
        events
    }

    /// The socket takes up to `count` frames. Those messages of them that carry something for the first time.
    pub fn frames(&mut self, count: usize) -> Vec<Said> {
        let mut new = Vec::new();
        for _ in 0..count {
            let Some(frame) = self.channel.poll_frame(self.now) else {
                break;
            };
            assert!(self.has_transport, "a frame without a socket");
            assert!(!self.closed, "a frame after the end");
            new.extend(self.sees(&frame));
            assert!(new.len() < 10_000, "messages without end");
        }
        new
    }

    fn sees(&mut self, frame: &Bytes) -> Option<Said> {
        let message = frame::verify(frame).expect("a frame out of order");
        if message.name == b"acknowledge" {
            return None;
        }
        assert_eq!(message.name, b"input_stream_data");
        assert!(!message.payload.is_empty(), "agents drop empty payloads");
        let hash = peer::hash(frame);
        if let Some(sent) = self.sent.get(&message.sequence) {
            assert_eq!(sent.hash, hash, "message {} is another one when sent again", message.sequence);
            assert!(!sent.acknowledged, "message {} is sent again after its acknowledgement", message.sequence);
            return None;
        }
        let latest = self.sent.last_key_value().map_or(-1, |(latest, _)| *latest);
        assert!(message.sequence > latest, "message {} comes after message {latest}", message.sequence);
        self.sent.insert(message.sequence, Sent { hash, acknowledged: false });
        Some(Said { payload_type: PayloadType(message.payload_type), payload: message.payload.to_vec() })
    }

    /// Bytes held by this session, as the allocator counts them.
    pub fn held(&self) -> usize {
        memory::held().saturating_sub(self.held)
    }
}

/// A target that plays on a [`Line`].
pub trait Plays {
    /// Its line.
    fn line(&mut self) -> &mut Line;

    /// Everything is drained and judged.
    fn settle(&mut self);

    /// On a new socket everything is acknowledged, and the clock goes on, until nothing is left to do.
    fn come_to_rest(&mut self) {
        self.line().told(MessageType::StartPublication);
        self.line().set_transport(false);
        self.line().set_transport(true);
        for _ in 0..STEPS {
            self.settle();
            self.line().acknowledge(usize::MAX);
            self.settle();
            if !self.line().wait_for_timeout() {
                return;
            }
        }
        panic!("it does not come to rest: {:?}", self.line().channel);
    }
}
