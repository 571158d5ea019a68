use super::*;
use crate::codec::message_type;
use crate::inspector::InspectorConfig;
use std::time::Instant;
use uuid::Uuid;

struct Bench {
    inspector: Inspector,
    next: i64,
}

impl Bench {
    /// A forward whose handshake is over, with an agent and a client of these versions.
    fn new(agent: &str, client: &str) -> Self {
        let properties = BTreeMap::from([("type".into(), "LocalPortForwarding".into())]);
        let agent = AgentConfig { version: agent.into(), properties, ..AgentConfig::default() };
        let mut bench = Self { inspector: Inspector::new(InspectorConfig::default()).of_agent(&agent), next: 0 };
        let request = r#"{"RequestedClientActions":[{"ActionType":"SessionType"}]}"#;
        bench.deliver(0, payload_type::HANDSHAKE_REQUEST, request.as_bytes());
        let response = serde_json::json!({
            "ClientVersion": client,
            "ProcessedClientActions": [{ "ActionType": "SessionType", "ActionStatus": 1 }],
        });
        bench.say(payload_type::HANDSHAKE_RESPONSE, response.to_string().as_bytes());
        bench.deliver(1, payload_type::HANDSHAKE_COMPLETE, b"{}");
        assert_eq!(bench.kinds(), []);
        bench
    }

    fn current() -> Self {
        Self::new("3.3.2299.0", "1.2.764.0")
    }

    fn deliver(&mut self, sequence: i64, kind: u32, payload: &[u8]) {
        let message = Message::new(message_type::OUTPUT, sequence, 0, kind, Bytes::copy_from_slice(payload));
        self.inspector.to_client(Instant::now(), &message.stamped(Uuid::nil(), 9).encode());
    }

    fn say_as(&mut self, sequence: i64, kind: u32, payload: &[u8]) {
        let message = Message::new(message_type::INPUT, sequence, 0, kind, Bytes::copy_from_slice(payload));
        let id = Uuid::from_u128(u128::try_from(sequence).unwrap() + 1);
        self.inspector.from_client(Instant::now(), &message.stamped(id, 9).encode());
    }

    fn say(&mut self, kind: u32, payload: &[u8]) {
        self.next += 1;
        self.say_as(self.next - 1, kind, payload);
    }

    fn send(&mut self, frames: &[&[u8]]) -> Vec<BreachKind> {
        self.say(payload_type::OUTPUT, &frames.concat());
        self.kinds()
    }

    fn kinds(&mut self) -> Vec<BreachKind> {
        self.inspector.take_breaches().into_iter().map(|(kind, _)| kind).collect()
    }
}

fn frame(command: u8, id: u8, length: u8) -> Vec<u8> {
    let data = if command == 2 { usize::from(length) } else { 0 };
    [&[1, command, length, 0, id, 0, 0, 0][..], &vec![7; data]].concat()
}

fn syn(id: u8) -> Vec<u8> {
    frame(0, id, 0)
}

fn fin(id: u8) -> Vec<u8> {
    frame(1, id, 0)
}

#[test]
fn a_good_client_is_innocent_and_its_numbers_are_kept() {
    let mut bench = Bench::current();
    let frames = [syn(3), frame(2, 3, 5), syn(5), frame(2, 5, 0), fin(3), frame(3, 0, 0), syn(1)];
    for byte in frames.concat() {
        assert_eq!(bench.send(&[&[byte]]), [], "cut anywhere");
    }
    bench.say(payload_type::FLAG, &1_u32.to_be_bytes());
    bench.say(payload_type::FLAG, &2_u32.to_be_bytes());
    assert_eq!(bench.kinds(), []);
    let expected =
        ForwardTraffic { opened: 3, closed: 1, frames: 7, bytes: 5, largest_frame: 5, nops: 1, disconnect_flags: 1 };
    assert_eq!(bench.inspector.forward_traffic(), expected);
}

#[test]
fn each_rule_has_its_breach() {
    let cases: [(&[&[u8]], BreachKind); 11] = [
        (&[&syn(4)], BreachKind::MuxStreamId),
        (&[&syn(0)], BreachKind::MuxStreamId),
        (&[&frame(3, 3, 0)], BreachKind::MuxStreamId),
        (&[&syn(3), &syn(3)], BreachKind::MuxStreamReused),
        (&[&syn(3), &fin(3), &syn(3)], BreachKind::MuxStreamReused),
        (&[&frame(2, 3, 1)], BreachKind::MuxUnknownStream),
        (&[&fin(3)], BreachKind::MuxUnknownStream),
        (&[&syn(3), &fin(3), &frame(2, 3, 1)], BreachKind::MuxDataAfterFin),
        (&[&syn(3), &fin(3), &fin(3)], BreachKind::MuxFinTwice),
        (&[&frame(0, 3, 9)], BreachKind::MuxLength),
        (&[&frame(4, 3, 0)], BreachKind::MuxCommand),
    ];
    for (frames, kind) in cases {
        assert_eq!(Bench::current().send(frames), [kind], "{frames:?}");
    }
}

#[test]
fn after_a_frame_that_is_none_nothing_is_judged() {
    let mut bench = Bench::current();
    assert_eq!(bench.send(&[b"SSH-2.0-x\r\n"]), [BreachKind::MuxVersion]);
    assert_eq!(bench.send(&[b"and more of it"]), []);
}

#[test]
fn bytes_are_read_in_the_order_of_their_numbers() {
    let mut bench = Bench::current();
    bench.inspector.transport_lost();
    bench.say_as(3, payload_type::OUTPUT, &fin(3));
    bench.say_as(1, payload_type::OUTPUT, &syn(3));
    assert_eq!(bench.inspector.forward_traffic().opened, 1);
    bench.say_as(2, payload_type::OUTPUT, &frame(2, 3, 4));
    bench.say_as(2, payload_type::OUTPUT, &frame(2, 3, 4));
    assert_eq!(bench.kinds(), []);
    assert_eq!((bench.inspector.forward_traffic().bytes, bench.inspector.forward_traffic().closed), (4, 1));
}

#[test]
fn where_there_is_no_smux_none_is_looked_for() {
    for (agent, client) in [("3.0.196.0", "1.2.764.0"), ("3.3.2299.0", "1.1.69.0")] {
        assert_eq!(Bench::new(agent, client).send(&[b"anything"]), []);
    }
}
