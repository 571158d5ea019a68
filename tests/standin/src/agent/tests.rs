use super::*;
use crate::codec::{FIN, SYN, flag};

struct World {
    now: Instant,
    agent: Agent,
    sequence: i64,
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

impl World {
    fn new(config: AgentConfig) -> Self {
        let now = Instant::now();
        Self { now, agent: Agent::new(now, 1_000, config, fastrand::Rng::with_seed(7)), sequence: 0 }
    }

    /// A world in which the port is connected and everything sent so far is acknowledged.
    fn connected(config: AgentConfig) -> Self {
        let mut world = Self::new(config);
        world.pass(0);
        world.answer_all();
        world.send(payload_type::HANDSHAKE_RESPONSE, good_response());
        world.answer_all();
        world.pass(5);
        assert!(matches!(world.agent.poll_event(), Some(AgentEvent::Connect(_))));
        world.agent.tcp_room(world.now, 1 << 20);
        world.agent.tcp_connected(world.now);
        world
    }

    fn message(&self, sequence: i64, kind: u32, payload: &[u8]) -> Message {
        Message::new(message_type::INPUT, sequence, 0, kind, Bytes::copy_from_slice(payload))
    }

    fn send(&mut self, kind: u32, payload: impl AsRef<[u8]>) {
        let sequence = self.sequence;
        self.sequence += 1;
        self.send_as(sequence, kind, payload.as_ref());
    }

    fn send_as(&mut self, sequence: i64, kind: u32, payload: &[u8]) {
        let frame = self.message(sequence, kind, payload).encode();
        self.agent.handle_frame(self.now, &frame);
    }

    fn publication(&mut self, name: &str) {
        let frame = crate::codec::publication(name, Uuid::nil(), 1).encode();
        self.agent.handle_frame(self.now, &frame);
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

    fn frames(&mut self) -> Vec<Message> {
        std::iter::from_fn(|| self.agent.poll_frame(self.now)).map(|f| Message::decode(&f).unwrap()).collect()
    }

    /// Takes what the agent sends, acknowledges it, and returns it.
    fn answer_all(&mut self) -> Vec<Message> {
        let frames = self.frames();
        for message in frames.iter().filter(|m| m.name() == message_type::OUTPUT) {
            let ack = message.acknowledgement(Uuid::nil(), 1).encode();
            self.agent.handle_frame(self.now, &ack);
        }
        frames
    }

    fn acks(&mut self) -> Vec<i64> {
        acknowledged(&self.frames())
    }

    fn written(&mut self) -> Vec<u8> {
        std::iter::from_fn(|| self.agent.poll_tcp_write()).flatten().collect()
    }
}

fn acknowledged(frames: &[Message]) -> Vec<i64> {
    frames
        .iter()
        .filter(|m| m.name() == message_type::ACKNOWLEDGE)
        .map(|m| serde_json::from_slice::<Acknowledgement>(&m.payload).unwrap().sequence)
        .collect()
}

fn kinds(frames: &[Message]) -> Vec<u32> {
    frames.iter().map(|m| m.payload_type).collect()
}

fn good_response() -> Vec<u8> {
    serde_json::json!({
        "ClientVersion": "1.2.764.0",
        "ProcessedClientActions":
            [{ "ActionType": "SessionType", "ActionStatus": 1, "ActionResult": null, "Error": "" }],
        "Errors": null,
    })
    .to_string()
    .into_bytes()
}

fn terminate() -> [u8; 4] {
    flag::TERMINATE_SESSION.to_be_bytes()
}

#[test]
fn the_handshake_goes_as_on_the_page() {
    let mut world = World::new(AgentConfig::default());
    world.pass(0);
    let request = world.answer_all();
    assert_eq!(kinds(&request), [payload_type::HANDSHAKE_REQUEST]);
    assert_eq!((request[0].sequence, request[0].flags), (0, SYN));
    let json: serde_json::Value = serde_json::from_slice(&request[0].payload).unwrap();
    assert_eq!(json["RequestedClientActions"][0]["ActionParameters"]["Properties"]["portNumber"], "22");
    world.send(payload_type::HANDSHAKE_RESPONSE, good_response());
    let frames = world.answer_all();
    assert_eq!(kinds(&frames), [payload_type::UNDEFINED, payload_type::HANDSHAKE_COMPLETE]);
    assert_eq!(frames[0].flags, SYN | FIN);
    assert_eq!(frames[1].sequence, 1);
    assert_eq!(world.agent.poll_event(), None);
    world.pass(1);
    assert_eq!(world.agent.poll_event(), Some(AgentEvent::Connect("22".into())));
}

#[test]
fn complete_may_come_before_the_acknowledgement_and_the_request_twice() {
    let config = AgentConfig { complete_before_ack: true, duplicate_request: true, ..Default::default() };
    let mut world = World::new(config);
    world.pass(0);
    let requests = world.answer_all();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0], requests[1]);
    world.send(payload_type::HANDSHAKE_RESPONSE, good_response());
    assert_eq!(kinds(&world.frames()), [payload_type::HANDSHAKE_COMPLETE, payload_type::UNDEFINED]);
}

#[test]
fn data_before_completion_is_acknowledged_and_thrown_away() {
    let mut world = World::new(AgentConfig::default());
    world.pass(0);
    world.answer_all();
    world.send(payload_type::HANDSHAKE_RESPONSE, good_response());
    world.send(payload_type::OUTPUT, b"early");
    assert_eq!(world.acks(), [0, 1]);
    world.pass(5);
    world.agent.tcp_room(world.now, 100);
    world.agent.tcp_connected(world.now);
    world.send(payload_type::OUTPUT, b"late");
    assert_eq!(world.written(), b"late");
    assert_eq!(world.agent.counts().thrown_away, 1);
}

#[test]
fn until_the_port_is_connected_data_is_refused_but_later_data_is_kept() {
    let mut world = World::new(AgentConfig::default());
    world.pass(0);
    world.answer_all();
    world.send(payload_type::HANDSHAKE_RESPONSE, good_response());
    world.pass(5);
    world.answer_all();
    world.send(payload_type::OUTPUT, b"one");
    world.send(payload_type::OUTPUT, b"two");
    assert_eq!(world.acks(), [2]);
    world.agent.tcp_room(world.now, 100);
    world.agent.tcp_connected(world.now);
    assert_eq!(world.written(), b"");
    world.send_as(1, payload_type::OUTPUT, b"one");
    assert_eq!(world.acks(), [1]);
    assert_eq!(world.written(), b"onetwo");
    assert_eq!(world.agent.expected(), 3);
}

#[test]
fn the_first_data_messages_can_be_refused() {
    let mut world = World::connected(AgentConfig { refuse_first: 2, ..Default::default() });
    for _ in 0..2 {
        world.send_as(1, payload_type::OUTPUT, b"x");
        assert!(world.acks().is_empty());
    }
    world.send_as(1, payload_type::OUTPUT, b"x");
    assert_eq!(world.acks(), [1]);
}

#[test]
fn order_is_restored_and_everything_is_acknowledged_every_time() {
    let mut world = World::connected(AgentConfig::default());
    world.send_as(2, payload_type::OUTPUT, b"b");
    world.send_as(2, payload_type::OUTPUT, b"b");
    world.send_as(1, payload_type::OUTPUT, b"a");
    world.send_as(1, payload_type::OUTPUT, b"a");
    assert_eq!(world.acks(), [2, 2, 1, 1]);
    assert_eq!(world.written(), b"ab");
    assert_eq!(world.agent.counts().duplicates, 2);
}

#[test]
fn an_old_agent_is_silent_about_what_it_has() {
    let mut world = World::connected(AgentConfig { version: "3.2.985.0".into(), ..Default::default() });
    world.send_as(2, payload_type::OUTPUT, b"b");
    world.send_as(1, payload_type::OUTPUT, b"a");
    world.send_as(1, payload_type::OUTPUT, b"a");
    world.send_as(2, payload_type::OUTPUT, b"b");
    assert_eq!(world.acks(), [2, 1]);
    let newer = AgentConfig { version: "3.2.1041.0".into(), ..Default::default() };
    assert!(newer.acknowledges_duplicates());
}

#[test]
fn a_full_reorder_buffer_neither_keeps_nor_acknowledges() {
    let mut world = World::connected(AgentConfig { reorder_capacity: 1, ..Default::default() });
    world.send_as(2, payload_type::OUTPUT, b"b");
    world.send_as(3, payload_type::OUTPUT, b"c");
    assert_eq!(world.acks(), [2]);
}

#[test]
fn a_second_response_freezes_the_reader_but_a_repeated_one_does_not() {
    let mut world = World::connected(AgentConfig::default());
    world.send_as(0, payload_type::HANDSHAKE_RESPONSE, &good_response());
    assert_eq!(world.acks(), [0]);
    world.send(payload_type::HANDSHAKE_RESPONSE, good_response());
    world.send(payload_type::OUTPUT, b"x");
    assert!(world.acks().is_empty());
    assert!(world.agent.is_frozen());
}

#[test]
fn a_response_with_a_failed_action_ends_the_session() {
    let mut world = World::new(AgentConfig { session_id: "s-9".into(), kms_action: true, ..Default::default() });
    world.pass(0);
    world.answer_all();
    world.send(
        payload_type::HANDSHAKE_RESPONSE,
        br#"{"ClientVersion":"1","ProcessedClientActions":[{"ActionType":"KMSEncryption","ActionStatus":3,"Error":"no"}]}"#,
    );
    let Some(AgentEvent::Ended(EndReason::Handshake, text)) = world.agent.poll_event() else { panic!("not ended") };
    assert!(text.starts_with("Setting up data channel with id s-9 failed: "), "{text}");
}

#[test]
fn no_response_for_fifteen_seconds_ends_the_session() {
    let mut world = World::new(AgentConfig::default());
    world.pass(14_999);
    assert_eq!(world.agent.poll_event(), None);
    world.pass(1);
    assert!(matches!(world.agent.poll_event(), Some(AgentEvent::Ended(EndReason::Handshake, _))));
}

#[test]
fn a_slow_peer_blocks_the_reader_and_acknowledgements_with_it() {
    let mut world = World::connected(AgentConfig::default());
    world.agent.tcp_data(world.now, b"banner");
    assert_eq!(world.frames().len(), 1);
    world.agent.tcp_room(world.now, 1);
    world.send(payload_type::OUTPUT, b"abc");
    world.send(payload_type::OUTPUT, b"def");
    assert_eq!(world.acks(), [1]);
    let banner = world.message(0, 0, b"");
    let ack = Message { sequence: 2, raw_type: crate::codec::padded_type(message_type::OUTPUT, b' '), ..banner }
        .acknowledgement(Uuid::nil(), 1);
    world.agent.handle_frame(world.now, &ack.encode());
    assert_eq!(world.agent.unacknowledged(), 1);
    world.agent.tcp_room(world.now, 10);
    assert_eq!(world.acks(), [2]);
    assert_eq!(world.agent.unacknowledged(), 0);
    assert_eq!(world.written(), b"abcdef");
}

#[test]
fn a_blocked_reader_asks_for_no_more_than_its_inbox() {
    let mut world = World::connected(AgentConfig::default());
    world.agent.tcp_room(world.now, 0);
    let mut handed_in = 0;
    while world.agent.wants_frames() {
        world.send(payload_type::OUTPUT, [0; 1024]);
        handed_in += 1;
    }
    assert!(handed_in * 1024 <= INBOX_BYTES);
    world.agent.tcp_room(world.now, 1 << 30);
    assert_eq!(world.acks().len(), handed_in);
    assert!(world.agent.wants_frames());
}

#[test]
fn output_is_cut_to_1024_bytes_and_spaced() {
    let mut world = World::connected(AgentConfig { spacing: ms(1), ..Default::default() });
    world.agent.tcp_data(world.now, &[7; 2500]);
    let mut sizes = Vec::new();
    for _ in 0..4 {
        sizes.push(world.frames().iter().map(|m| m.payload.len()).collect::<Vec<_>>());
        world.pass(1);
    }
    assert_eq!(sizes, [vec![1024], vec![1024], vec![452], vec![]]);
    let mut fast = World::connected(AgentConfig { spacing: Duration::ZERO, ..Default::default() });
    fast.agent.tcp_data(fast.now, &[7; 2500]);
    assert_eq!(fast.frames().len(), 3);
}

#[test]
fn only_the_oldest_message_is_sent_again() {
    let mut world = World::connected(AgentConfig { spacing: Duration::ZERO, ..Default::default() });
    world.agent.tcp_data(world.now, &[7; 3000]);
    assert_eq!(world.frames().len(), 3);
    world.pass(1_000);
    let again = world.frames();
    assert!(again.len() >= 3, "{}", again.len());
    assert!(again.iter().all(|m| m.sequence == 2));
    assert!(again.windows(2).all(|w| w[0] == w[1]));
}

#[test]
fn a_pause_stops_reading_sending_and_retransmission_until_anything_comes() {
    let mut world = World::connected(AgentConfig::default());
    world.agent.tcp_data(world.now, b"abc");
    assert_eq!(world.frames().len(), 1);
    world.publication(message_type::PAUSE_PUBLICATION);
    assert_eq!(world.agent.tcp_read_room(), 0);
    world.agent.tcp_closed(world.now);
    world.pass(5_000);
    assert!(world.frames().is_empty());
    assert!(world.agent.is_paused());
    assert_eq!(world.agent.poll_event(), None);
    world.send(payload_type::OUTPUT, b"wake");
    assert!(!world.agent.is_paused());
    assert_eq!(world.agent.poll_event(), Some(AgentEvent::CloseTcp));
    world.publication(message_type::PAUSE_PUBLICATION);
    world.publication(message_type::START_PUBLICATION);
    assert!(!world.agent.is_paused());
}

#[test]
fn when_the_peer_closes_all_output_goes_first_and_the_end_waits_for_acknowledgements() {
    let mut world = World::connected(AgentConfig::default());
    world.agent.tcp_data(world.now, &[1; 1500]);
    world.agent.tcp_closed(world.now);
    assert_eq!(world.agent.poll_event(), None);
    let first = world.frames();
    world.pass(2);
    let second = world.frames();
    assert_eq!(world.agent.poll_event(), Some(AgentEvent::CloseTcp));
    assert_eq!(world.agent.poll_event(), None);
    for message in first.iter().chain(&second) {
        world.agent.handle_frame(world.now, &message.acknowledgement(Uuid::nil(), 1).encode());
    }
    assert_eq!(world.agent.poll_event(), Some(AgentEvent::Ended(EndReason::Peer, String::new())));
}

#[test]
fn the_end_waits_two_seconds_and_no_longer() {
    let mut world = World::connected(AgentConfig::default());
    world.agent.tcp_data(world.now, b"x");
    world.frames();
    world.agent.tcp_closed(world.now);
    assert_eq!(world.agent.poll_event(), Some(AgentEvent::CloseTcp));
    world.pass(1_999);
    assert_eq!(world.agent.poll_event(), None);
    world.pass(1);
    assert!(matches!(world.agent.poll_event(), Some(AgentEvent::Ended(EndReason::Peer, _))));
}

#[test]
fn the_terminate_flag_works_in_sequence() {
    let mut world = World::connected(AgentConfig::default());
    world.send_as(2, payload_type::FLAG, &terminate());
    assert_eq!(world.agent.poll_event(), None);
    world.send_as(1, payload_type::OUTPUT, b"last");
    assert_eq!(world.acks(), [2, 1]);
    assert_eq!(world.written(), b"last");
    assert_eq!(world.agent.poll_event(), Some(AgentEvent::CloseTcp));
    assert!(matches!(world.agent.poll_event(), Some(AgentEvent::Ended(EndReason::Flag, _))));
}

#[test]
fn a_second_terminate_flag_freezes_the_reader() {
    let mut world = World::connected(AgentConfig::default());
    world.agent.tcp_data(world.now, b"unacknowledged");
    world.frames();
    world.send(payload_type::FLAG, terminate());
    world.send(payload_type::FLAG, terminate());
    assert_eq!(world.acks(), [1]);
    assert!(world.agent.is_frozen());
}

#[test]
fn an_ancient_agent_does_not_know_the_terminate_flag() {
    let mut world = World::connected(AgentConfig { version: "2.3.722.0".into(), ..Default::default() });
    world.send(payload_type::FLAG, terminate());
    assert_eq!(world.acks(), [1]);
    assert_eq!(world.agent.poll_event(), None);
}

#[test]
fn a_terminate_flag_before_the_port_is_connected_is_refused() {
    let mut world = World::new(AgentConfig::default());
    world.pass(0);
    world.answer_all();
    world.send(payload_type::HANDSHAKE_RESPONSE, good_response());
    world.pass(5);
    world.answer_all();
    world.send(payload_type::FLAG, terminate());
    assert!(world.acks().is_empty());
    assert_eq!(world.agent.counts().refused, 1);
}

#[test]
fn disconnecting_the_port_is_a_failure() {
    let mut world = World::connected(AgentConfig::default());
    world.send(payload_type::FLAG, flag::DISCONNECT_TO_PORT.to_be_bytes());
    assert_eq!(world.agent.poll_event(), Some(AgentEvent::CloseTcp));
    assert!(matches!(world.agent.poll_event(), Some(AgentEvent::Ended(EndReason::Disconnected, _))));
}

#[test]
fn a_refused_port_ends_with_a_text_or_a_crash() {
    for (crash, expected) in [(false, "Unable to connect to specified port: nobody there"), (true, "")] {
        let mut world = World::new(AgentConfig { crash_on_refused_port: crash, ..Default::default() });
        world.pass(0);
        world.answer_all();
        world.send(payload_type::HANDSHAKE_RESPONSE, good_response());
        world.pass(5);
        assert!(matches!(world.agent.poll_event(), Some(AgentEvent::Connect(_))));
        world.agent.tcp_refused(world.now, "nobody there");
        let Some(AgentEvent::Ended(EndReason::Refused, text)) = world.agent.poll_event() else { panic!("not ended") };
        assert!(text.ends_with(expected) && text.is_empty() == crash, "{text}");
    }
}

#[test]
fn a_break_of_the_agents_own_socket_loses_what_is_under_way_and_nothing_else() {
    let mut world = World::connected(AgentConfig::default());
    world.agent.tcp_data(world.now, b"abc");
    assert_eq!(world.frames().len(), 1);
    world.send(payload_type::OUTPUT, b"x");
    world.agent.transport_lost();
    assert!(world.frames().is_empty());
    world.agent.transport_up(world.now);
    assert!(world.acks().is_empty());
    world.send_as(1, payload_type::OUTPUT, b"x");
    assert_eq!(world.acks(), [1]);
    assert_eq!(world.written(), b"x");
    world.pass(400);
    assert!(world.frames().iter().any(|m| m.payload.as_ref() == b"abc"));
}

#[test]
fn what_is_no_message_is_ignored() {
    let mut world = World::connected(AgentConfig::default());
    world.agent.handle_frame(world.now, &Bytes::from_static(b"nonsense"));
    assert_eq!(world.agent.counts().malformed, 1);
    world.send(99, b"payload type of the future");
    assert_eq!(world.acks(), [1]);
}

#[test]
fn an_injected_message_takes_the_next_sequence_number() {
    let mut world = World::connected(AgentConfig::default());
    world.agent.inject(world.now, 77, Bytes::from_static(b"?"));
    let frames = world.frames();
    assert_eq!((frames[0].sequence, frames[0].payload_type), (2, 77));
}

#[test]
fn a_flag_that_comes_after_sshds_close_is_never_acknowledged_and_makes_it_deaf_until_its_end() {
    let mut world = World::connected(AgentConfig::default());
    world.agent.tcp_data(world.now, b"bye");
    let last = world.frames();
    world.agent.tcp_closed(world.now);
    world.send(payload_type::FLAG, terminate());
    assert_eq!(world.acks(), Vec::<i64>::new());
    let ack = last[0].acknowledgement(Uuid::nil(), 1).encode();
    world.agent.handle_frame(world.now, &ack);
    world.pass(1_999);
    assert!(!world.agent.is_ended());
    world.pass(1);
    assert!(world.agent.is_ended());
}
