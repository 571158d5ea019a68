//! The channel's rules, one test each, against a peer whose messages are written by hand.

use super::acknowledgement::Acknowledgement;
use super::assembler::OVERHEAD;
use super::*;
use uuid::Uuid;

mod kinds;
mod vectors;

const START: &str = r#"{"AgentVersion":"3.3.0.0","RequestedClientActions":[{"ActionType":"SessionType","ActionParameters":{"SessionType":"Port","Properties":{"portNumber":"22"}}}]}"#;

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn config(service: Service, accepts: Accepts) -> Config {
    Config { unix_millis: 1_700_000_000_000, seed: 1, service, accepts }
}

/// A channel on a table: time, the agent's counter, and what has come out.
struct Table {
    channel: Channel,
    now: Instant,
    agent_sequence: i64,
}

impl Table {
    fn new() -> Self {
        Self::with(config(Service::Unlimited, Accepts::Port))
    }

    fn with(config: Config) -> Self {
        let now = Instant::now();
        let mut channel = Channel::new(config, now);
        channel.transport_up();
        Self { channel, now, agent_sequence: 0 }
    }

    /// A session in which sshd has said its first word.
    fn open() -> Self {
        let mut table = Self::new();
        table.shake_hands(START);
        table.agent_says(PayloadType::OUTPUT, b"SSH-2.0-x\r\n");
        table.frames();
        table
    }

    fn shake_hands(&mut self, request: &str) {
        self.agent_says(PayloadType::HANDSHAKE_REQUEST, request.as_bytes());
        for message in self.frames() {
            if message.payload_type == PayloadType::HANDSHAKE_RESPONSE {
                self.acknowledge(message.sequence);
            }
        }
        self.agent_says(PayloadType::HANDSHAKE_COMPLETE, b"{}");
        self.frames();
    }

    fn message(&self, message_type: MessageType, payload_type: PayloadType, payload: &[u8]) -> Message {
        let id = Uuid::from_u128(self.agent_sequence as u128 + 1);
        let payload = Bytes::copy_from_slice(payload);
        Message { message_type, created: 1, sequence: self.agent_sequence, flags: 0, id, payload_type, payload }
    }

    /// The agent's next message, delivered. Returned so that it can come again.
    fn agent_says(&mut self, payload_type: PayloadType, payload: &[u8]) -> Bytes {
        let frame = self.message(MessageType::OutputStreamData, payload_type, payload).encode();
        self.agent_sequence += 1;
        self.channel.handle_frame(self.now, &frame).unwrap();
        frame
    }

    fn service_says(&mut self, message_type: MessageType, payload: &[u8]) -> Result<(), Ignored> {
        let frame = self.message(message_type, PayloadType::UNDEFINED, payload).encode();
        self.channel.handle_frame(self.now, &frame)
    }

    fn acknowledge(&mut self, sequence: i64) {
        let payload = format!(r#"{{"AcknowledgedMessageSequenceNumber":{sequence}}}"#);
        let _ = self.service_says(MessageType::Acknowledge, payload.as_bytes());
    }

    /// All messages that go out now.
    fn frames(&mut self) -> Vec<Message> {
        std::iter::from_fn(|| self.channel.poll_frame(self.now)).map(|frame| Message::decode(&frame).unwrap()).collect()
    }

    /// The stream data messages that go out now, as numbers and payloads.
    fn data(&mut self) -> Vec<(i64, Vec<u8>)> {
        let data = |message: &Message| message.message_type == MessageType::InputStreamData;
        self.frames().into_iter().filter(data).map(|message| (message.sequence, message.payload.to_vec())).collect()
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.channel.poll_event()).collect()
    }

    fn output(&mut self) -> Vec<u8> {
        std::iter::from_fn(|| self.channel.poll_output()).flatten().collect()
    }

    fn advance(&mut self, by: Duration) {
        self.now += by;
        self.channel.handle_timeout(self.now);
    }
}

#[test]
fn nothing_goes_out_without_a_transport() {
    let mut table = Table::new();
    table.channel.transport_lost(false);
    table.agent_says(PayloadType::HANDSHAKE_REQUEST, START.as_bytes());
    assert!(table.frames().is_empty());
    assert_eq!(table.channel.poll_timeout(table.now), None);
    table.channel.transport_up();
    assert_eq!(table.frames().len(), 2);
}

#[test]
fn stdin_is_held_until_the_handshake_is_complete_and_the_first_output_has_come() {
    let mut table = Table::new();
    assert_eq!(table.channel.send(table.now, b"SSH-2.0-client\r\n"), 16);
    assert!(table.frames().is_empty());
    table.shake_hands(START);
    assert!(table.frames().is_empty());
    assert_eq!(table.events(), [Event::Ready { kind: Kind::Port, agent_version: Some("3.3.0.0".into()) }]);
    table.agent_says(PayloadType::OUTPUT, b"SSH-2.0-x\r\n");
    assert_eq!(table.data(), [(1, b"SSH-2.0-client\r\n".to_vec())]);
}

/// How long stdin is held after HandshakeComplete if the agent's answer to the handshake's response takes so long.
fn held_after(answer: Duration) -> Duration {
    let mut table = Table::new();
    table.channel.send(table.now, b"GET /");
    table.agent_says(PayloadType::HANDSHAKE_REQUEST, START.as_bytes());
    table.frames();
    table.advance(answer);
    table.agent_says(PayloadType::HANDSHAKE_COMPLETE, b"{}");
    table.frames();
    let held = table.channel.poll_timeout(table.now).unwrap() - table.now;
    table.advance(held - Duration::from_nanos(1));
    assert!(table.data().is_empty());
    table.advance(Duration::from_nanos(1));
    assert_eq!(table.data(), [(1, b"GET /".to_vec())]);
    held
}

#[test]
fn a_service_that_waits_for_the_client_gets_stdin_50_ms_after_the_handshake_was_completed() {
    assert_eq!(held_after(Duration::ZERO), millis(50));
    assert_eq!(held_after(millis(10)), millis(40), "the message was under way for so long, and so will stdin be");
    assert_eq!(held_after(millis(170)), millis(25), "the agent may have been slow, and the path short");
}

#[test]
fn a_terminals_size_goes_first_of_all_and_after_a_handshake_no_sooner_than_stdin() {
    let mut table = Table::with(config(Service::Unlimited, Accepts::All));
    table.channel.resize(Size { cols: 80, rows: 24 });
    let sizes = |table: &mut Table| {
        let frames = table.frames().into_iter();
        frames.filter(|message| message.payload_type == PayloadType::SIZE).count()
    };
    assert_eq!(sizes(&mut table), 1);
    table.acknowledge(0);
    let request = START.replace("Port", "Standard_Stream");
    table.agent_says(PayloadType::HANDSHAKE_REQUEST, request.as_bytes());
    table.frames();
    table.agent_says(PayloadType::HANDSHAKE_COMPLETE, b"{}");
    assert_eq!(sizes(&mut table), 0);
    table.advance(millis(49));
    assert_eq!(sizes(&mut table), 0);
    table.advance(millis(1));
    assert_eq!(sizes(&mut table), 1);
}

#[test]
fn a_repeated_handshake_request_is_acknowledged_and_not_answered_again() {
    let mut table = Table::new();
    let request = table.agent_says(PayloadType::HANDSHAKE_REQUEST, START.as_bytes());
    assert_eq!(table.frames().len(), 2);
    table.channel.handle_frame(table.now, &request).unwrap();
    let again = table.frames();
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].message_type, MessageType::Acknowledge);
    table.agent_says(PayloadType::HANDSHAKE_REQUEST, START.as_bytes());
    assert_eq!(table.frames().len(), 1);
}

#[test]
fn a_handshake_request_after_the_handshake_is_not_answered() {
    let mut table = Table::new();
    table.agent_says(PayloadType::HANDSHAKE_COMPLETE, b"{}");
    table.agent_says(PayloadType::OUTPUT, b"SSH-2.0-x\r\n");
    table.channel.send(table.now, b"first");
    assert_eq!(table.data(), [(0, b"first".to_vec())]);
    table.agent_says(PayloadType::HANDSHAKE_REQUEST, START.as_bytes());
    assert!(table.data().is_empty());
}

#[test]
fn a_session_that_is_not_a_port_is_answered_and_reported() {
    let mut table = Table::new();
    let request = START.replace("Port", "Standard_Stream");
    table.agent_says(PayloadType::HANDSHAKE_REQUEST, request.as_bytes());
    assert!(matches!(table.events()[..], [Event::Unsupported(_)]));
    assert_eq!(table.frames().len(), 2);
}

#[test]
fn every_message_is_acknowledged_and_every_duplicate_again() {
    let mut table = Table::open();
    let frame = table.agent_says(PayloadType::OUTPUT, b"a");
    assert_eq!(table.frames().len(), 1);
    for _ in 0..3 {
        table.channel.handle_frame(table.now, &frame).unwrap();
        let acknowledgements = table.frames();
        assert_eq!(acknowledgements.len(), 1);
        assert_eq!((acknowledgements[0].sequence, acknowledgements[0].flags), (0, FLAG_SYN | FLAG_FIN));
    }
    assert_eq!(table.output(), b"SSH-2.0-x\r\na");
}

/// The numbers that the acknowledgements among these messages name.
fn acknowledged(messages: &[Message]) -> Vec<i64> {
    let parse = |message: &Message| Acknowledgement::parse(&message.payload).map(|parsed| parsed.sequence);
    messages.iter().filter(|message| message.message_type == MessageType::Acknowledge).filter_map(parse).collect()
}

#[test]
fn a_message_that_comes_again_after_a_break_has_those_behind_it_acknowledged_once_more() {
    let mut table = Table::open();
    let frames: Vec<Bytes> = (0..10).map(|_| table.agent_says(PayloadType::OUTPUT, b"x")).collect();
    assert_eq!(acknowledged(&table.frames()), (3..13).collect::<Vec<i64>>());
    table.advance(millis(1));
    table.channel.handle_frame(table.now, &frames[4]).unwrap();
    assert_eq!(acknowledged(&table.frames()), [7], "the first acknowledgement may be under way");
    table.channel.transport_lost(true);
    table.channel.transport_up();
    assert!(table.frames().is_empty());
    table.channel.handle_frame(table.now, &frames[5]).unwrap();
    assert_eq!(acknowledged(&table.frames()), (8..13).collect::<Vec<i64>>());
    table.channel.handle_frame(table.now, &frames[6]).unwrap();
    assert_eq!(acknowledged(&table.frames()), [9]);
}

#[test]
fn acknowledgements_that_are_repeated_leave_data_its_share() {
    let mut table = Table::with(config(Service::Aws, Accepts::Port));
    table.shake_hands(START);
    let frames: Vec<Bytes> = (0..100).map(|_| table.agent_says(PayloadType::OUTPUT, b"x")).collect();
    (0..2000).for_each(|_| {
        table.frames();
        table.advance(millis(1));
    });
    table.channel.handle_frame(table.now, &frames[0]).unwrap();
    table.channel.send(table.now, &[1; 4 * 1024]);
    let mut sent = Vec::new();
    while sent.len() < 104 {
        table.advance(millis(1));
        sent.extend(table.frames().iter().map(|message| message.message_type));
    }
    let data: Vec<usize> = (0..104).filter(|at| sent[*at] == MessageType::InputStreamData).collect();
    assert!(data.len() == 4 && data.windows(2).all(|pair| pair[1] - pair[0] == 16), "{data:?}");
}

#[test]
fn payload_types_without_use_are_acknowledged_and_take_their_place_in_order() {
    let mut table = Table::open();
    table.agent_says(PayloadType(99), b"?");
    table.agent_says(PayloadType::OUTPUT, b"after");
    assert_eq!(table.frames().len(), 2);
    assert_eq!(table.output(), b"SSH-2.0-x\r\nafter");
}

#[test]
fn stdin_is_cut_into_payloads_of_1024_bytes() {
    let mut table = Table::open();
    assert_eq!(table.channel.send(table.now, &[7; 2500]), 2500);
    let lengths: Vec<usize> = table.data().iter().map(|(_, payload)| payload.len()).collect();
    assert_eq!(lengths, [1024, 1024, 452]);
}

#[test]
fn an_unacknowledged_message_is_sent_again_unchanged_later_and_later() {
    let mut table = Table::open();
    table.channel.send(table.now, b"key");
    let first = table.frames().remove(0);
    let mut waits = Vec::new();
    for _ in 0..8 {
        let due = table.channel.poll_timeout(table.now).unwrap();
        waits.push(due - table.now);
        table.advance(due - table.now);
        assert_eq!(table.frames(), std::slice::from_ref(&first));
    }
    assert!(waits[0] <= millis(200));
    assert!(waits.windows(2).all(|pair| pair[1] == (pair[0] * 2).min(Duration::from_secs(4))), "{waits:?}");
    table.acknowledge(first.sequence);
    assert_eq!(table.channel.poll_timeout(table.now), None);
}

#[test]
fn all_overdue_messages_are_sent_again_at_once() {
    let mut table = Table::open();
    table.channel.send(table.now, &[1; 20 * 1024]);
    let sent = table.data();
    assert_eq!(sent.len(), 20);
    table.acknowledge(sent[19].0);
    table.advance(millis(500));
    assert_eq!(table.data(), sent[..19]);
}

#[test]
fn an_acknowledgement_of_a_message_sent_twice_tells_no_round_trip() {
    let mut table = Table::open();
    table.channel.send(table.now, b"key");
    let (sequence, _) = table.data().remove(0);
    table.advance(millis(500));
    assert_eq!(table.data().len(), 1);
    table.acknowledge(sequence);
    assert_eq!(table.channel.stats().round_trip, None);
    table.channel.send(table.now, b"key");
    let (sequence, _) = table.data().remove(0);
    table.advance(millis(30));
    table.acknowledge(sequence);
    assert_eq!(table.channel.stats().round_trip, Some(millis(30)));
}

#[test]
fn a_peer_that_acknowledges_nothing_is_asked_with_the_oldest_message_alone() {
    let mut table = Table::open();
    table.channel.send(table.now, &[1; 20 * 1024]);
    let sent = table.data();
    let mut resends = Vec::new();
    for _ in 0..8 {
        let due = table.channel.poll_timeout(table.now).unwrap();
        table.advance(due.saturating_duration_since(table.now));
        resends.push(table.data().len());
    }
    assert_eq!(resends, [20, 20, 20, 1, 1, 1, 1, 1]);
    table.acknowledge(sent[0].0);
    table.advance(millis(200));
    assert_eq!(table.data().len(), 19);
}

#[test]
fn bytes_in_flight_are_bounded_by_the_window() {
    let mut table = Table::open();
    let mut taken = 0;
    loop {
        match table.channel.send(table.now, &[0; 64 << 10]) {
            0 => break,
            n => taken += n,
        }
        table.frames();
    }
    assert_eq!(taken, (64 << 10) + LOOKAHEAD_UNPACED);
    assert_eq!(table.channel.poll_timeout(table.now).map(|at| at > table.now), Some(true));
}

#[test]
fn what_waits_for_the_pace_waits_in_stdin() {
    let mut table = Table::with(config(Service::Aws, Accepts::Port));
    table.shake_hands(START);
    table.agent_says(PayloadType::OUTPUT, b"SSH-2.0-x\r\n");
    assert_eq!(table.channel.send_capacity(table.now), LOOKAHEAD, "after a rest: for the window");
    while table.channel.send(table.now, &[7; 64 << 10]) > 0 {
        let sent = table.data();
        sent.iter().for_each(|(sequence, _)| table.acknowledge(*sequence));
    }
    assert_eq!(table.data(), [], "the pace allows nothing more");
    let waits = table.channel.send_buffer.unsent();
    assert!((MAX_PAYLOAD..LOOKAHEAD / 2).contains(&waits), "{waits}: a message that goes next");
    assert_eq!(table.channel.send_capacity(table.now + millis(5)), 4 * MAX_PAYLOAD - waits, "four may go by then");
}

#[test]
fn acknowledgements_go_first_and_leave_data_a_share() {
    let mut table = Table::with(config(Service::Aws, Accepts::Port));
    table.shake_hands(START);
    (0..100).for_each(|_| drop(table.agent_says(PayloadType::OUTPUT, b"x")));
    table.channel.send(table.now, &[1; 4 * 1024]);
    let mut sent = Vec::new();
    while sent.len() < 104 {
        table.advance(millis(1));
        sent.extend(table.frames().iter().map(|message| message.message_type));
    }
    let data: Vec<usize> = (0..104).filter(|at| sent[*at] == MessageType::InputStreamData).collect();
    assert_eq!(data.len(), 4);
    assert!(data[0] >= 14 && data.windows(2).all(|pair| pair[1] - pair[0] == 16), "{data:?}");
}

#[test]
fn the_terminate_flag_comes_once_right_behind_the_last_byte() {
    let mut table = Table::open();
    table.channel.send(table.now, b"bye");
    assert!(!table.channel.has_sent_flag());
    table.channel.finish();
    assert_eq!(table.data(), [(1, b"bye".to_vec()), (2, vec![0, 0, 0, 2])]);
    assert_eq!(table.channel.send(table.now, b"more"), 0);
    table.acknowledge(2);
    assert!(!table.events().contains(&Event::Ended), "the agent acknowledges what it keeps out of order, too");
    table.acknowledge(1);
    assert_eq!(table.events().last(), Some(&Event::Ended));
    table.channel.finish();
    assert!(table.data().is_empty());
}

#[test]
fn a_new_transport_gets_everything_unacknowledged_again_with_the_numbers_going_on() {
    let mut table = Table::open();
    table.channel.send(table.now, &[1; 3 * 1024]);
    let sent = table.data();
    table.acknowledge(sent[1].0);
    table.channel.transport_lost(false);
    table.channel.send(table.now, b"typed meanwhile");
    table.advance(Duration::from_secs(30));
    assert!(table.frames().is_empty());
    table.channel.transport_up();
    let again = table.data();
    assert_eq!(again[..2], [sent[0].clone(), sent[2].clone()]);
    assert_eq!(again[2], (4, b"typed meanwhile".to_vec()));
}

#[test]
fn a_pause_holds_data_back_probes_slowly_and_keeps_acknowledging() {
    let mut table = Table::open();
    table.channel.send(table.now, &[1; 2 * 1024]);
    let sent = table.data();
    table.service_says(MessageType::PausePublication, b"").unwrap();
    table.channel.send(table.now, b"held");
    assert!(table.data().is_empty());
    table.advance(millis(999));
    assert!(table.data().is_empty());
    table.agent_says(PayloadType::OUTPUT, b"x");
    assert_eq!(table.frames().len(), 1, "an acknowledgement, and data does not end a pause");
    table.advance(millis(1));
    assert_eq!(table.data(), sent[..1]);
    table.advance(millis(1000));
    assert!(table.data().is_empty());
    table.service_says(MessageType::StartPublication, b"").unwrap();
    assert_eq!(table.data(), [(3, b"held".to_vec())]);
}

#[test]
fn what_was_under_way_when_a_pause_came_does_not_end_it() {
    let mut table = Table::open();
    table.channel.send(table.now, &[1; 40 * 1024]);
    let sent = table.data();
    assert_eq!(sent.len(), 40);
    table.service_says(MessageType::PausePublication, b"").unwrap();
    table.channel.send(table.now, &[2; 9 * 1024]);
    table.advance(millis(5));
    table.acknowledge(sent[0].0);
    table.agent_says(PayloadType::OUTPUT, b"x");
    assert!(table.data().is_empty());
    table.advance(millis(995));
    assert_eq!(table.data(), sent[1..2], "a probe");
    // It had arrived; this is the answer to what was sent before the pause.
    table.acknowledge(sent[1].0);
    assert!(table.data().is_empty());
    table.advance(millis(2000));
    assert_eq!(table.data(), sent[2..3]);
    table.advance(millis(40));
    table.acknowledge(sent[2].0);
    assert_eq!(table.data().len(), 1, "the first of what was held back, at the pace of a pause");
}

#[test]
fn the_end_of_a_pause_makes_nothing_overdue_and_time_goes_on_where_it_stood() {
    let mut table = Table::open();
    let mut sent = Vec::new();
    for _ in 0..4 {
        table.channel.send(table.now, &[1; 1024]);
        sent.extend(table.data());
        table.advance(millis(20));
    }
    table.service_says(MessageType::PausePublication, b"").unwrap();
    table.advance(millis(900));
    table.service_says(MessageType::StartPublication, b"").unwrap();
    assert!(table.data().is_empty());
    // The first has what was left of its timeout of 180 ms, and the others what is left of one twice as long.
    for (message, wait) in sent.iter().zip([100, 200, 20, 20]) {
        table.advance(millis(wait - 1));
        assert!(table.data().is_empty());
        table.advance(millis(1));
        assert!(table.data() == [message.clone()]);
    }
}

#[test]
fn the_pace_after_a_pause_is_half_of_what_it_was_and_grows() {
    let mut table = Table::with(config(Service::Aws, Accepts::Port));
    table.shake_hands(START);
    table.agent_says(PayloadType::OUTPUT, b"SSH-2.0-x\r\n");
    let second = |table: &mut Table| {
        let mut sent = 0;
        for _ in 0..1000 {
            table.channel.send(table.now, &[1; 64 << 10]);
            let data = table.data();
            sent += data.len();
            data.iter().for_each(|(sequence, _)| table.acknowledge(*sequence));
            table.advance(millis(1));
        }
        sent
    };
    let before = second(&mut table);
    table.service_says(MessageType::PausePublication, b"").unwrap();
    table.service_says(MessageType::PausePublication, b"").unwrap();
    table.service_says(MessageType::StartPublication, b"").unwrap();
    assert_eq!(table.channel.send_capacity(table.now), MAX_PAYLOAD - table.channel.send_buffer.unsent());
    let after: Vec<usize> = (0..11).map(|_| second(&mut table)).collect();
    assert!((900..=932).contains(&before) && (450..=496).contains(&after[0]), "{before}, {after:?}");
    assert!(after[10] >= 900 && after.is_sorted(), "{after:?}");
}

#[test]
fn a_pause_with_nothing_unacknowledged_is_probed_with_what_waits() {
    let mut table = Table::open();
    table.service_says(MessageType::PausePublication, b"").unwrap();
    table.channel.send(table.now, &[7; 1024 + 1]);
    assert!(table.data().is_empty());
    table.advance(millis(1000));
    let probe = table.data();
    assert!(matches!(probe.as_slice(), [(1, payload)] if payload.len() == 1024));
    assert_eq!(table.channel.poll_timeout(table.now), Some(table.now + millis(2000)));
    table.advance(millis(2000));
    assert!(table.data() == probe);
    table.acknowledge(1);
    assert_eq!(table.data(), [(2, vec![7])], "it was first sent in the pause");
}

#[test]
fn a_pause_does_not_keep_the_end_back() {
    let mut table = Table::open();
    table.service_says(MessageType::PausePublication, b"").unwrap();
    table.channel.finish();
    assert!(table.data().is_empty());
    table.advance(millis(1000));
    assert_eq!(table.data(), [(1, Flag::TerminateSession.to_payload().to_vec())]);
}

#[test]
fn a_pause_before_the_handshake_is_over_wakes_nobody_in_vain() {
    let mut table = Table::new();
    table.channel.send(table.now, b"early");
    table.service_says(MessageType::PausePublication, b"").unwrap();
    table.advance(millis(1000));
    assert!(table.frames().is_empty());
    assert!(table.channel.poll_timeout(table.now).is_none_or(|at| at > table.now));
}

#[test]
fn the_handshakes_end_ends_a_pause_in_which_it_was_answered() {
    let mut table = Table::new();
    table.service_says(MessageType::PausePublication, b"").unwrap();
    table.channel.send(table.now, b"early");
    table.agent_says(PayloadType::HANDSHAKE_REQUEST, START.as_bytes());
    assert!(table.data().is_empty());
    table.advance(millis(1000));
    assert_eq!(table.data().len(), 1);
    table.agent_says(PayloadType::HANDSHAKE_COMPLETE, b"{}");
    table.agent_says(PayloadType::OUTPUT, b"SSH-2.0-x\r\n");
    assert!(table.data().is_empty(), "acknowledgements first, at the pace of a pause");
    table.advance(millis(10));
    assert_eq!(table.data(), [(1, b"early".to_vec())]);
}

#[test]
fn a_pause_without_end_is_reported_when_data_waits() {
    let mut table = Table::open();
    table.service_says(MessageType::PausePublication, b"").unwrap();
    table.advance(Duration::from_secs(3600));
    table.channel.send(table.now, b"key");
    assert_eq!(table.data(), [(1, b"key".to_vec())], "after so long it is a probe");
    for _ in 0..30 {
        assert!(!table.events().contains(&Event::Stalled));
        assert!(table.channel.poll_timeout(table.now).is_some_and(|at| at > table.now));
        table.advance(Duration::from_secs(1));
        table.data();
    }
    assert_eq!(table.events().last(), Some(&Event::Stalled));
}

#[test]
fn paths_closed_over_messages_that_an_earlier_one_took_are_reported() {
    let mut table = Table::with(config(Service::Aws, Accepts::Port));
    table.shake_hands(START);
    table.agent_says(PayloadType::OUTPUT, b"SSH-2.0-x\r\n");
    let mut larger = Vec::new();
    while larger.len() < 5 {
        table.channel.send(table.now, &[7; 64 << 10]);
        for (sequence, payload) in table.data() {
            if payload.len() > discovery::CERTAIN && table.channel.stats().acknowledged > 2000 {
                larger.push(sequence);
            } else {
                table.acknowledge(sequence);
            }
        }
        table.advance(millis(1));
    }
    for closes in 0..6 {
        assert!(!table.events().contains(&Event::PayloadRefused), "{closes}");
        table.channel.transport_lost(true);
        table.channel.transport_up();
        table.advance(millis(50));
        let sent = |data: Vec<(i64, Vec<u8>)>| data.iter().any(|(sequence, _)| *sequence == larger[0]);
        if closes > 0 {
            assert!(!sent(table.data()), "whether the path is closed without them is to be seen first");
            table.advance(millis(500));
        }
        assert!(sent(table.data()));
    }
    assert!(table.events().contains(&Event::PayloadRefused));
}

/// Sends message after message, of which the first is never acknowledged, for `seconds`.
fn starve_first_acknowledgement(agent_version: &str, seconds: u64) -> Table {
    let mut table = Table::new();
    table.shake_hands(&START.replace("3.3.0.0", agent_version));
    table.agent_says(PayloadType::OUTPUT, b"SSH-2.0-x\r\n");
    let end = table.now + Duration::from_secs(seconds);
    while table.now < end {
        table.channel.send(table.now, b"x");
        for (sequence, _) in table.data() {
            if sequence != 1 {
                table.acknowledge(sequence);
            }
        }
        table.advance(millis(50));
    }
    table
}

#[test]
fn an_old_agents_missing_acknowledgement_is_concluded_from_later_ones() {
    let mut table = starve_first_acknowledgement("3.1.9999.0", 10);
    assert!(!table.channel.awaits_acknowledgement());
    table.advance(Duration::from_secs(10));
    assert!(table.data().is_empty());
    let table = starve_first_acknowledgement("3.2.1041.0", 10);
    assert!(table.channel.awaits_acknowledgement());
}

#[test]
fn an_old_agents_message_is_not_given_up_early() {
    assert!(starve_first_acknowledgement("3.1.9999.0", 1).channel.awaits_acknowledgement());
}

#[test]
fn the_closing_text_is_passed_on_and_nothing_is_said_after_it() {
    let mut table = Table::open();
    table.agent_says(PayloadType::OUTPUT, b"last");
    table.service_says(MessageType::ChannelClosed, br#"{"Output":"bye"}"#).unwrap();
    assert_eq!(table.output(), b"SSH-2.0-x\r\nlast");
    assert_eq!(table.events().last(), Some(&Event::Closed { output: "bye".into() }));
    assert!(table.frames().is_empty());
    assert_eq!(table.channel.poll_timeout(table.now), None);
    assert_eq!(table.service_says(MessageType::StartPublication, b""), Err(Ignored::Closed));
}

#[test]
fn a_reader_that_reads_nothing_stops_the_reading_of_frames() {
    let mut table = Table::open();
    let mut frames = 0;
    while table.channel.wants_frames() {
        table.agent_says(PayloadType::OUTPUT, &[0; 1024]);
        frames += 1;
    }
    assert_eq!(frames, OUTPUT_HIGH_WATER.div_ceil(1024 + OVERHEAD));
    table.output();
    assert!(table.channel.wants_frames());
}

#[test]
fn small_payloads_and_large_frames_around_them_do_not_evade_the_bound_on_output() {
    let mut table = Table::open();
    table.output();
    table.agent_says(PayloadType::OUTPUT, b"");
    assert_eq!(table.channel.poll_output(), None);
    let mut frames = 0;
    while table.channel.wants_frames() {
        let mut frame = table.message(MessageType::OutputStreamData, PayloadType::OUTPUT, b"x").encode().to_vec();
        frame.resize(64 << 10, 0);
        let frame = Bytes::from(frame);
        table.channel.handle_frame(table.now, &frame).unwrap();
        assert!(frame.is_unique(), "the channel holds on to a whole frame for the sake of one byte");
        table.agent_sequence += 1;
        frames += 1;
    }
    assert!(frames <= OUTPUT_HIGH_WATER / OVERHEAD, "{frames}");
}
