use super::*;
use crate::agent::{AgentConfig, AgentEvent};
use crate::codec::{message_type, publication};
use std::time::Duration;
use uuid::Uuid;

struct World {
    now: Instant,
    agent: Agent,
    sequence: i64,
}

impl World {
    /// A world in which the program runs and everything sent so far is acknowledged.
    fn started(kind: SessionKind, change: impl FnOnce(&mut AgentConfig)) -> Self {
        let mut world = Self::new(kind, change);
        world.pass(20);
        if kind == SessionKind::NonInteractiveCommand {
            world.answer_all();
            let response = br#"{"ClientVersion":"1.2.764.0","ProcessedClientActions":[]}"#;
            world.send(payload_type::HANDSHAKE_RESPONSE, response);
            world.pass(20);
        }
        world.answer_all();
        assert!(matches!(world.agent.poll_request(), Some(AgentRequest::Start(_))));
        world.agent.started(world.now);
        world.agent.tcp_room(world.now, 1 << 20);
        world
    }

    fn new(kind: SessionKind, change: impl FnOnce(&mut AgentConfig)) -> Self {
        let mut config = AgentConfig { kind, command: "x".into(), ..AgentConfig::default() };
        change(&mut config);
        let now = Instant::now();
        Self { now, agent: Agent::new(now, 1, config, fastrand::Rng::with_seed(7)), sequence: 0 }
    }

    fn separate() -> Self {
        Self::started(SessionKind::NonInteractiveCommand, |config| config.separate = true)
    }

    fn send(&mut self, kind: u32, payload: &[u8]) {
        let message = Message::new(message_type::INPUT, self.sequence, 0, kind, Bytes::copy_from_slice(payload));
        self.sequence += 1;
        self.agent.handle_frame(self.now, &message.encode());
    }

    fn pause(&mut self) {
        let frame = publication(message_type::PAUSE_PUBLICATION, Uuid::nil(), 1).encode();
        self.agent.handle_frame(self.now, &frame);
    }

    fn resume(&mut self) {
        let frame = publication(message_type::START_PUBLICATION, Uuid::nil(), 1).encode();
        self.agent.handle_frame(self.now, &frame);
    }

    fn pass(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        self.agent.handle_timeout(self.now);
        while let Some(at) = self.agent.poll_timeout().filter(|at| *at <= end && *at > self.now) {
            self.now = at;
            self.agent.handle_timeout(at);
        }
        self.now = end;
        self.agent.handle_timeout(end);
    }

    fn frames(&mut self) -> Vec<Message> {
        let mut frames = Vec::new();
        for _ in 0..4 {
            frames.extend(std::iter::from_fn(|| self.agent.poll_frame(self.now)).map(|f| Message::decode(&f).unwrap()));
            self.now += Duration::from_millis(2);
        }
        frames
    }

    fn answer_all(&mut self) -> Vec<Message> {
        let frames = self.frames();
        for message in frames.iter().filter(|m| m.name() == message_type::OUTPUT) {
            let ack = message.acknowledgement(Uuid::nil(), 1).encode();
            self.agent.handle_frame(self.now, &ack);
        }
        frames
    }

    fn said(&mut self) -> Vec<(u32, String)> {
        let frames = self.answer_all();
        let streams = frames.iter().filter(|m| m.name() == message_type::OUTPUT);
        streams.map(|m| (m.payload_type, String::from_utf8_lossy(&m.payload).into_owned())).collect()
    }

    fn acks(&mut self) -> usize {
        self.frames().iter().filter(|m| m.name() == message_type::ACKNOWLEDGE).count()
    }
}

fn text(kind: u32, text: &str) -> (u32, String) {
    (kind, text.to_owned())
}

#[test]
fn everything_is_lost_before_the_mark_and_refused_before_the_terminal() {
    let mut world = World::new(SessionKind::Shell, |config| config.skip_gap = Duration::from_millis(5));
    world.agent.handle_timeout(world.now);
    world.send(payload_type::SIZE, br#"{"cols":1,"rows":1}"#);
    assert_eq!((world.agent.counts().thrown_away, world.acks()), (1, 1));
    world.pass(6);
    world.send(payload_type::FLAG, &[0, 0, 0, 2]);
    assert_eq!((world.agent.counts().refused, world.acks()), (1, 0));
    assert_eq!(world.agent.poll_request(), None);
    world.pass(20);
    let program = Program { words: vec!["sh".into()], terminal: true, separate: false };
    assert_eq!(world.agent.poll_request(), Some(AgentRequest::Start(program)));
}

#[test]
fn sizes_are_cut_to_16_bits_and_bad_ones_refused() {
    let mut world = World::started(SessionKind::Shell, |_| {});
    world.send(payload_type::SIZE, br#"{"cols":65616,"rows":24}"#);
    assert_eq!(world.agent.poll_request(), Some(AgentRequest::Resize(80, 24)));
    assert_eq!(world.acks(), 1);
    for bad in [&br#"{"cols":-1,"rows":24}"#[..], b"", b"{}"] {
        world.sequence = 1;
        world.send(payload_type::SIZE, bad);
        assert_eq!((world.acks(), world.agent.poll_request()), (0, None));
    }
}

#[test]
fn a_terminal_is_read_after_a_second_and_not_in_a_pause() {
    let mut world = World::started(SessionKind::Shell, |_| {});
    assert_eq!(world.agent.tcp_read_room(), 0);
    world.pass(1_000);
    assert_eq!(world.agent.tcp_read_room(), READ_BYTES);
    world.pause();
    assert_eq!(world.agent.tcp_read_room(), 0);
    world.agent.tcp_closed(world.now);
    world.pass(5_000);
    assert!(!world.agent.is_ended());
    world.resume();
    assert!(world.agent.is_ended());
}

#[test]
fn a_dead_terminal_acknowledges_no_input_but_flags() {
    let mut world = World::started(SessionKind::Shell, |_| {});
    world.agent.tcp_data(world.now, b"bye");
    assert_eq!(world.frames().len(), 1);
    world.agent.tcp_closed(world.now);
    world.send(payload_type::OUTPUT, b"x");
    assert_eq!(world.acks(), 0);
    world.sequence = 0;
    world.send(payload_type::FLAG, &[0, 0, 0, 2]);
    assert_eq!(world.acks(), 1);
    world.pass(2_000);
    assert!(world.agent.is_ended());
    assert_eq!(world.agent.poll_event(), Some(AgentEvent::CloseTcp));
    assert_eq!(world.agent.poll_event(), Some(AgentEvent::Ended(EndReason::Program, String::new())));
}

#[test]
fn a_command_that_ends_in_a_pause_tells_no_code() {
    let mut world = World::separate();
    world.pause();
    world.agent.tcp_data(world.now, b"lost");
    world.agent.stderr_closed(world.now);
    world.agent.exited(world.now, Some(5));
    world.resume();
    assert_eq!(world.said(), []);
    assert!(world.agent.is_ended());
    assert_eq!(world.agent.exit_code(), None);
}

#[test]
fn what_is_read_in_a_pause_is_lost_and_all_that_follows_on_that_stream() {
    let mut world = World::separate();
    world.agent.tcp_data(world.now, b"1");
    assert_eq!(world.said(), [text(1, "1")]);
    world.pause();
    world.agent.tcp_data(world.now, b"2");
    world.resume();
    assert_eq!(world.agent.tcp_read_room(), 0);
    assert_eq!(world.agent.stderr_read_room(), READ_BYTES);
    world.agent.stderr_data(world.now, b"e");
    world.agent.stderr_closed(world.now);
    world.agent.exited(world.now, Some(5));
    assert_eq!(world.said(), [text(11, "e"), text(12, "EXIT_CODE: 5")]);
}

#[test]
fn prefixes_stand_before_chunks_that_begin_a_line() {
    let mut world = World::started(SessionKind::NonInteractiveCommand, |config| {
        config.separate = true;
        config.prefixes = ["O:".into(), "E:".into()];
    });
    for (chunk, expected) in [("a\nb\n", "O:a\nb\n"), ("c", "O:c"), ("d\n", "d\n"), ("e", "O:e")] {
        world.agent.tcp_data(world.now, chunk.as_bytes());
        assert_eq!(world.said(), [text(1, expected)]);
    }
    world.agent.stderr_data(world.now, b"x");
    assert_eq!(world.said(), [text(11, "E:x")]);
}

#[test]
fn a_signal_stops_the_reader_until_the_command_ends_and_the_agent_repeats_itself_meanwhile() {
    for (lost, code, expected) in [(false, Some(5), 5), (false, None, 1), (true, Some(5), 1)] {
        let mut world = World::started(SessionKind::NonInteractiveCommand, |config| {
            (config.separate, config.lost_exit_codes) = (true, lost);
        });
        world.agent.tcp_data(world.now, b"out");
        world.send(payload_type::OUTPUT, b"a\x1c\x03");
        assert_eq!(world.agent.poll_request(), Some(AgentRequest::Signal(Signal::Quit)));
        world.send(payload_type::OUTPUT, b"\x03");
        world.answer_all();
        world.pass(1_000);
        assert!(world.agent.counts().retransmissions > 1);
        assert_eq!(world.acks(), 0);
        world.agent.tcp_closed(world.now);
        world.agent.stderr_closed(world.now);
        world.agent.exited(world.now, code);
        assert_eq!(world.agent.poll_request(), None);
        assert_eq!((world.agent.exit_code(), world.acks()), (Some(expected), 2));
    }
}

#[test]
fn an_old_client_is_asked_to_update_when_streams_are_apart() {
    for (version, asked) in [("1.2.295.0", true), ("1.2.312.0", false)] {
        let mut world = World::new(SessionKind::NonInteractiveCommand, |config| config.separate = true);
        world.pass(1);
        world.answer_all();
        let response = format!(r#"{{"ClientVersion":"{version}","ProcessedClientActions":[]}}"#);
        world.send(payload_type::HANDSHAKE_RESPONSE, response.as_bytes());
        let said = world.said();
        assert_eq!(said[0].1.contains("1.2.312.0"), asked, "{said:?}");
    }
}

#[test]
fn an_empty_command_is_none() {
    let mut world = World::new(SessionKind::InteractiveCommand, |config| config.command = " ".into());
    world.pass(20);
    let Some(AgentEvent::Ended(EndReason::NotStarted, text)) = world.agent.poll_event() else { panic!("not ended") };
    assert!(text.ends_with("Commands cannot be empty for session type InteractiveCommands"), "{text}");
}
