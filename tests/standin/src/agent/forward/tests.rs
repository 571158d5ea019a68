use super::mux::BUDGET_BYTES;
use super::*;
use crate::codec::message_type;
use crate::smux::{command, frame};
use std::collections::BTreeMap;
use std::time::Duration;
use uuid::Uuid;

/// A forward whose handshake is over, and a client that says what it is told to say.
struct World {
    now: Instant,
    agent: Agent,
    sequence: i64,
}

fn properties(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let all = [("type", "LocalPortForwarding"), ("portNumber", "80")];
    all.iter().chain(pairs).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

impl World {
    fn of(config: AgentConfig, client: &str) -> Self {
        let now = Instant::now();
        let mut world = Self { now, agent: Agent::new(now, 1_000, config, fastrand::Rng::with_seed(7)), sequence: 0 };
        world.pass(0);
        world.answer();
        let response = serde_json::json!({
            "ClientVersion": client,
            "ProcessedClientActions": [{ "ActionType": "SessionType", "ActionStatus": 1, "Error": "" }],
        });
        world.send(payload_type::HANDSHAKE_RESPONSE, response.to_string().as_bytes());
        world.answer();
        world.pass(5);
        world
    }

    fn new(pairs: &[(&str, &str)]) -> Self {
        Self::of(
            AgentConfig { properties: properties(pairs), port: "80".into(), ..AgentConfig::default() },
            "1.2.764.0",
        )
    }

    /// One with an open stream 3.
    fn open() -> Self {
        let mut world = Self::new(&[]);
        world.output(&[frame(command::SYN, 3, b"")]);
        assert_eq!(world.agent.poll_forward(), Some(ForwardRequest::Dial(3)));
        world.agent.stream_connected(world.now, 3);
        world
    }

    fn send(&mut self, kind: u32, payload: &[u8]) -> i64 {
        let message = Message::new(message_type::INPUT, self.sequence, 0, kind, Bytes::copy_from_slice(payload));
        self.agent.handle_frame(self.now, &message.encode());
        self.sequence += 1;
        self.sequence - 1
    }

    fn output(&mut self, frames: &[Bytes]) -> i64 {
        self.send(payload_type::OUTPUT, &frames.concat())
    }

    fn flag(&mut self, value: u32) -> i64 {
        self.send(payload_type::FLAG, &value.to_be_bytes())
    }

    fn pass(&mut self, millis: u64) {
        let end = self.now + ms(millis);
        self.agent.handle_timeout(self.now);
        while let Some(at) = self.agent.poll_timeout().filter(|at| *at <= end && *at > self.now) {
            self.now = at;
            self.agent.handle_timeout(at);
        }
        self.now = end;
        self.agent.handle_timeout(end);
    }

    /// Takes what the agent sends now and acknowledges it.
    fn answer(&mut self) -> Vec<Message> {
        let mut all = Vec::new();
        while let Some(frame) = self.agent.poll_frame(self.now) {
            let message = Message::decode(&frame).unwrap();
            if message.name() == message_type::OUTPUT {
                let ack = message.acknowledgement(Uuid::nil(), 1).encode();
                self.agent.handle_frame(self.now, &ack);
            }
            all.push(message);
        }
        all
    }

    /// The bytes of all that the agent sends within this time, and the flags among it.
    fn said(&mut self, millis: u64) -> (Vec<u8>, Vec<u32>) {
        let (mut bytes, mut flags) = (Vec::new(), Vec::new());
        for _ in 0..=millis {
            for message in self.answer().into_iter().filter(|message| message.name() == message_type::OUTPUT) {
                match message.payload_type {
                    payload_type::OUTPUT => bytes.extend_from_slice(&message.payload),
                    _ => flags.extend(message.flag_value()),
                }
            }
            self.pass(1);
        }
        (bytes, flags)
    }

    fn ended(&mut self) -> Option<(EndReason, String)> {
        self.answer();
        self.pass(2_100);
        std::iter::from_fn(|| self.agent.poll_event()).find_map(|event| match event {
            AgentEvent::Ended(reason, text) => Some((reason, text)),
            _ => None,
        })
    }
}

fn acked(frames: &[Message]) -> usize {
    frames.iter().filter(|message| message.name() == message_type::ACKNOWLEDGE).count()
}

#[test]
fn dials_come_one_after_another_and_data_waits_for_them() {
    let mut world = World::new(&[]);
    world.output(&[frame(command::SYN, 3, b""), frame(command::SYN, 5, b""), frame(command::PSH, 5, b"abc")]);
    assert_eq!(world.agent.poll_forward(), Some(ForwardRequest::Dial(3)));
    assert_eq!((world.agent.poll_forward(), world.agent.stream_wants_write(5)), (None, false));
    world.agent.stream_connected(world.now, 5);
    assert!(!world.agent.stream_wants_write(5), "nobody asked for it");
    world.agent.stream_connected(world.now, 3);
    assert_eq!(world.agent.poll_forward(), Some(ForwardRequest::Dial(5)));
    world.agent.stream_connected(world.now, 5);
    assert_eq!(world.agent.stream_write(world.now, 5).as_deref(), Some(&b"abc"[..]));
    // A second SYN of a live stream does nothing.
    world.output(&[frame(command::SYN, 5, b"")]);
    assert_eq!(world.agent.poll_forward(), None);
    assert_eq!(world.agent.forward_counts().streams, 2);
}

#[test]
fn a_refusal_is_a_flag_and_then_the_end_of_the_stream() {
    let mut world = World::new(&[]);
    world.answer();
    world.output(&[frame(command::SYN, 3, b""), frame(command::PSH, 3, b"lost")]);
    world.agent.poll_forward();
    world.agent.stream_refused(world.now, 3);
    let kinds: Vec<u32> =
        world.answer().iter().filter(|m| m.name() == message_type::OUTPUT).map(|m| m.payload_type).collect();
    assert_eq!(kinds, [payload_type::FLAG, payload_type::OUTPUT]);
    world.output(&[frame(command::PSH, 3, b"late"), frame(command::FIN, 3, b"")]);
    let counts = world.agent.forward_counts();
    assert_eq!((counts.refused, counts.bytes_dropped, counts.open), (1, 4, 0));
}

#[test]
fn a_fin_closes_the_destination_after_what_is_buffered() {
    let mut world = World::open();
    world.output(&[frame(command::PSH, 3, &[1; 40_000]), frame(command::FIN, 3, b""), frame(command::PSH, 3, b"x")]);
    let lengths: Vec<usize> =
        std::iter::from_fn(|| world.agent.stream_write(world.now, 3)).map(|data| data.len()).collect();
    assert_eq!(lengths, [32_768, 7_232]);
    assert_eq!(world.agent.poll_forward(), Some(ForwardRequest::Close(3)));
    // What the destination still says is lost.
    world.agent.stream_data(world.now, 3, b"answer");
    assert_eq!(world.said(5), (frame(command::FIN, 3, b"").to_vec(), vec![]));
}

#[test]
fn a_server_that_closes_is_a_fin_and_later_data_is_dropped() {
    let mut world = World::open();
    world.output(&[frame(command::PSH, 3, b"unread")]);
    world.agent.stream_data(world.now, 3, b"bye");
    assert_eq!(world.agent.poll_forward(), None);
    let (bytes, _) = world.said(3);
    assert_eq!(bytes, frame(command::PSH, 3, b"bye"));
    world.agent.stream_closed(world.now, 3);
    assert_eq!(world.agent.poll_forward(), Some(ForwardRequest::Close(3)));
    assert_eq!(world.said(3).0, frame(command::FIN, 3, b""));
    world.output(&[frame(command::PSH, 3, b"late"), frame(command::FIN, 3, b"")]);
    assert_eq!(world.said(3), (vec![], vec![]));
}

#[test]
fn one_payload_is_1024_bytes_of_frames_of_32768() {
    let mut world = World::open();
    assert_eq!(world.agent.stream_read_room(3), 32_768);
    world.agent.stream_data(world.now, 3, &[9; 32_768]);
    let sizes: Vec<usize> = {
        world.pass(2);
        world.answer().iter().filter(|m| m.payload_type == payload_type::OUTPUT).map(|m| m.payload.len()).collect()
    };
    assert!((1..=3).contains(&sizes.len()), "paced: {sizes:?}");
    assert!(sizes.iter().all(|size| *size == 1024));
    assert_eq!(world.said(60).0.len() + sizes.len() * 1024, 32_776);
}

#[test]
fn streams_that_have_sent_little_come_first() {
    let mut world = World::open();
    // What is under way inside the agent is first come, first served.
    let mut sent = 0;
    while world.agent.stream_read_room(3) > 0 {
        world.agent.stream_data(world.now, 3, &[3; 32_768]);
        sent += 1;
    }
    assert_eq!(sent, PIPE_BYTES / 32_768 + 2);
    world.output(&[frame(command::SYN, 5, b"")]);
    world.agent.poll_forward();
    world.agent.stream_connected(world.now, 5);
    world.agent.stream_data(world.now, 5, b"small");
    let (bytes, _) = world.said(400);
    let small = frame(command::PSH, 5, b"small");
    let at = bytes.windows(small.len()).position(|window| window == &small[..]).unwrap();
    assert_eq!(at, (sent - 1) * 32_776, "before the frame that did not fit");
}

#[test]
fn a_destination_that_does_not_read_stops_everything_in_the_end() {
    let mut world = World::open();
    world.output(&[frame(command::SYN, 5, b"")]);
    world.agent.poll_forward();
    world.agent.stream_connected(world.now, 5);
    world.answer();
    let mut taken = 0;
    for sequence in 0.. {
        assert!(sequence < 10_000);
        world.output(&[frame(command::PSH, 3, &[1; 1016])]);
        if acked(&world.answer()) == 0 {
            break;
        }
        taken += 1024;
    }
    let budget = usize::try_from(BUDGET_BYTES).unwrap();
    let expected = budget * 1024 / 1016 + PIPE_BYTES;
    assert!((expected - 3_000..expected + 3_000).contains(&taken), "{taken}");
    world.output(&[frame(command::PSH, 5, b"other")]);
    world.flag(flag::TERMINATE_SESSION);
    assert_eq!(acked(&world.answer()), 0);
    assert!(!world.agent.stream_wants_write(5));
    world.pass(60_000);
    assert!(!world.agent.is_ended());
    // When it reads again, everything goes on.
    while let Some(data) = world.agent.stream_write(world.now, 3) {
        assert!(!data.is_empty());
    }
    assert!(world.agent.forward_counts().peak_unread >= BUDGET_BYTES as u64);
    assert_eq!(world.ended(), Some((EndReason::Flag, String::new())));
}

#[test]
fn streams_that_wait_for_a_dial_use_the_budget_too() {
    let mut world = World::new(&[]);
    world.output(&[frame(command::SYN, 3, b"")]);
    for _ in 0..140 {
        world.output(&[frame(command::PSH, 3, &[1; 32_768])]);
    }
    assert!(world.agent.forward_counts().peak_unread >= BUDGET_BYTES as u64);
    world.answer();
    world.output(&[frame(command::SYN, 5, b"")]);
    assert_eq!(world.agent.forward_counts().streams, 1);
    world.agent.stream_refused(world.now, 3);
    assert_eq!(world.agent.forward_counts().streams, 2, "the budget comes back with the stream's end");
}

#[test]
fn what_is_not_smux_ends_the_session_without_a_text() {
    for bytes in [&b"\x02\0\0\0\x03\0\0\0"[..], b"\x01\x05\0\0\x03\0\0\0", b"SSH-2.0-x\r\n"] {
        let mut world = World::open();
        world.send(payload_type::OUTPUT, bytes);
        assert_eq!(world.ended(), Some((EndReason::Mux, String::new())));
    }
}

#[test]
fn what_gos_reader_puts_up_with_is_put_up_with() {
    let mut world = World::open();
    let frames = [
        &b"\x01\x04\x08\0\x03\0\0\0\0\0\0\0\0\0\x01\0"[..],
        b"\x01\x03\0\0\0\0\0\0",
        b"\x01\x01\x09\0\x09\0\0\0",
        b"\x01\x02\0\0\x03\0\0\0",
        b"\x01\x02\x01\0\x03\0\0\0y",
    ];
    for byte in frames.concat() {
        world.send(payload_type::OUTPUT, &[byte]);
    }
    assert_eq!(world.agent.stream_write(world.now, 3).as_deref(), Some(&b"y"[..]));
    world.flag(flag::DISCONNECT_TO_PORT);
    world.flag(9);
    assert_eq!(acked(&world.answer()), frames.concat().len() + 3, "the opening one, too");
    assert_eq!(world.ended(), None);
}

#[test]
fn the_terminate_flag_ends_the_session_with_open_streams() {
    let mut world = World::open();
    world.flag(flag::TERMINATE_SESSION);
    assert_eq!(world.ended(), Some((EndReason::Flag, String::new())));
    assert!(!world.agent.stream_wants_write(3));
}

fn kept_alive(client: &str) -> World {
    let config = AgentConfig { properties: properties(&[]), port: "80".into(), ..AgentConfig::default() };
    World::of(config, client)
}

#[test]
fn old_clients_have_to_show_signs_of_life() {
    let mut world = kept_alive("1.2.331.0");
    world.output(&[frame(command::SYN, 3, b"")]);
    let (bytes, _) = world.said(29_000);
    assert_eq!(bytes, [frame(command::NOP, 0, b""), frame(command::NOP, 0, b"")].concat());
    world.said(5_000);
    assert_eq!(world.ended(), None, "something came within the first 30 s");
    world.said(30_000);
    assert_eq!(world.ended(), Some((EndReason::Mux, String::new())));
    let mut world = kept_alive("1.2.331.0");
    for _ in 0..13 {
        world.output(&[frame(command::NOP, 0, b"")]);
        world.said(10_000);
    }
    assert_eq!(world.ended(), None);
    let mut world = kept_alive("1.2.332.0");
    assert_eq!(world.said(120_000), (vec![], vec![]));
    assert_eq!(world.ended(), None);
}

#[test]
fn versions_decide_how_connections_are_carried() {
    let config =
        |version: &str| AgentConfig { version: version.into(), properties: properties(&[]), ..AgentConfig::default() };
    assert_eq!(mode(&config("3.0.196.0"), "1.2.764.0"), ForwardMode::Basic);
    assert_eq!(mode(&config("3.0.197.0"), "1.1.70.0"), ForwardMode::Mux);
    assert_eq!(mode(&config("3.3.0.0"), "1.1.69.9"), ForwardMode::Basic);
    assert_eq!(mode(&AgentConfig::default(), "1.2.764.0"), ForwardMode::Direct);
}

#[test]
fn some_forwards_are_refused_right_after_the_handshake() {
    for (pairs, text) in [
        (&[("host", "169.254.169.253")][..], "Forwarding to IP address 169.254.169.253 is forbidden."),
        (&[("host", "fd00:ec2:0::254")], "Forwarding to IP address fd00:ec2:0::254 is forbidden."),
    ] {
        assert_eq!(World::new(pairs).ended(), Some((EndReason::Refused, text.to_owned())));
    }
    assert_eq!(World::new(&[("host", "10.0.0.1")]).ended(), None);
    let config =
        AgentConfig { properties: properties(&[("portNumber", "")]), port: String::new(), ..AgentConfig::default() };
    let text = "Port number is empty in session properties. map[portNumber: type:LocalPortForwarding]";
    assert_eq!(World::of(config, "1.2.764.0").ended(), Some((EndReason::Refused, text.to_owned())));
}

/// A forward without smux.
fn basic() -> World {
    let version = "3.0.196.0".into();
    let config = AgentConfig { version, properties: properties(&[]), port: "80".into(), ..AgentConfig::default() };
    let mut world = World::of(config, "1.2.764.0");
    assert_eq!(world.agent.poll_event(), Some(AgentEvent::Connect("80".into())));
    world.agent.tcp_room(world.now, 1 << 20);
    world
}

#[test]
fn without_smux_one_connection_follows_another() {
    let mut world = basic();
    world.agent.tcp_connected(world.now);
    world.output(&[Bytes::from_static(b"one")]);
    assert_eq!(world.agent.poll_tcp_write().as_deref(), Some(&b"one"[..]));
    world.agent.tcp_data(world.now, b"1");
    assert_eq!(world.said(3).0, b"1");
    world.flag(flag::DISCONNECT_TO_PORT);
    assert_eq!(world.agent.poll_event(), Some(AgentEvent::CloseTcp));
    assert_eq!((world.agent.poll_event(), world.agent.tcp_read_room()), (None, 0));
    // Another one does nothing.
    world.flag(flag::DISCONNECT_TO_PORT);
    world.answer();
    world.output(&[Bytes::from_static(b"two")]);
    world.output(&[Bytes::from_static(b"2")]);
    assert_eq!(world.agent.poll_event(), Some(AgentEvent::Connect("80".into())));
    assert_eq!(acked(&world.answer()), 0, "nothing is read while it dials");
    world.agent.tcp_connected(world.now);
    assert_eq!(acked(&world.answer()), 2);
    let written: Vec<u8> = std::iter::from_fn(|| world.agent.poll_tcp_write()).flatten().collect();
    assert_eq!(written, b"two2");
    // The server closes, and nothing tells the client.
    world.agent.tcp_data(world.now, b"bye");
    world.agent.tcp_closed(world.now);
    assert_eq!(world.said(3), (b"bye".to_vec(), vec![]));
    assert_eq!(world.agent.poll_event(), Some(AgentEvent::CloseTcp));
    assert_eq!(world.ended(), None);
    let counts = world.agent.forward_counts();
    assert_eq!((counts.streams, counts.peak, counts.open), (2, 1, 0));
    assert_eq!((counts.bytes_to_destinations, counts.bytes_from_destinations), (7, 4));
    world.flag(flag::TERMINATE_SESSION);
    assert_eq!(world.ended(), Some((EndReason::Flag, String::new())));
}

#[test]
fn without_smux_a_failed_dial_ends_the_session() {
    let text = "\n----------ERROR-------\nUnable to connect to specified port: dial tcp: refused";
    let mut world = basic();
    world.agent.tcp_refused(world.now, "dial tcp: refused");
    assert_eq!(world.ended(), Some((EndReason::Refused, text.to_owned())));
    let mut world = basic();
    world.agent.tcp_connected(world.now);
    world.flag(flag::DISCONNECT_TO_PORT);
    world.output(&[Bytes::from_static(b"again")]);
    world.agent.tcp_refused(world.now, "dial tcp: refused");
    assert_eq!(world.ended(), Some((EndReason::Refused, text.to_owned())));
    assert_eq!(world.agent.forward_counts().refused, 1);
}
