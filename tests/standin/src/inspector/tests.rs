use super::*;

type OpenCase = (fn(&mut serde_json::Value), &'static [BreachKind]);
type HeaderCase = (fn(&mut Message), BreachKind);

struct Bench {
    now: Instant,
    inspector: Inspector,
    next_id: u128,
}

impl Bench {
    fn new() -> Self {
        Self { now: Instant::now(), inspector: Inspector::new(InspectorConfig::default()), next_id: 0 }
    }

    /// A bench on which the handshake is over and message 0 of the client is sent.
    fn complete() -> Self {
        let mut bench = Self::new();
        bench.deliver(0, payload_type::HANDSHAKE_REQUEST, request().as_bytes());
        bench.stream(0, payload_type::HANDSHAKE_RESPONSE, response(1).as_bytes());
        bench.deliver(1, payload_type::HANDSHAKE_COMPLETE, b"{}");
        assert_eq!(bench.kinds(), []);
        bench
    }

    fn id(&mut self) -> Uuid {
        self.next_id += 1;
        Uuid::from_u128(self.next_id)
    }

    fn message(&mut self, sequence: i64, kind: u32, payload: &[u8]) -> Message {
        let id = self.id();
        Message::new(message_type::INPUT, sequence, 0, kind, Bytes::copy_from_slice(payload)).stamped(id, 9)
    }

    fn say(&mut self, message: &Message) {
        self.inspector.from_client(self.now, &message.encode());
    }

    fn stream(&mut self, sequence: i64, kind: u32, payload: &[u8]) -> Message {
        let message = self.message(sequence, kind, payload);
        self.say(&message);
        message
    }

    fn deliver(&mut self, sequence: i64, kind: u32, payload: &[u8]) -> Message {
        let id = self.id();
        let message = Message::new(message_type::OUTPUT, sequence, 0, kind, Bytes::copy_from_slice(payload));
        let message = message.stamped(id, 9);
        self.inspector.to_client(self.now, &message.encode());
        message
    }

    fn acknowledge(&mut self, message: &Message) {
        let id = self.id();
        self.say(&message.acknowledgement(id, 9));
    }

    fn kinds(&mut self) -> Vec<BreachKind> {
        self.inspector.take_breaches().into_iter().map(|(kind, _)| kind).collect()
    }
}

fn request() -> String {
    r#"{"AgentVersion":"3.3.0.0","RequestedClientActions":[{"ActionType":"SessionType","ActionParameters":{}}]}"#.into()
}

fn response(status: i64) -> String {
    format!(
        r#"{{"ClientVersion":"1.2.764.0","ProcessedClientActions":[{{"ActionType":"SessionType","ActionStatus":{status},"ActionResult":null,"Error":""}}],"Errors":null}}"#
    )
}

fn open(change: impl FnOnce(&mut serde_json::Value)) -> String {
    let mut json = serde_json::json!({
        "MessageSchemaVersion": "1.0",
        "RequestId": "8a8ad8a5-ded7-4e03-bcc7-cc5c7615de95",
        "TokenValue": "t",
        "ClientId": "b56fb3a5-3823-4aa7-8389-861f29ed2c65",
        "ClientVersion": "1.2.764.0",
    });
    change(&mut json);
    json.to_string()
}

#[test]
fn the_official_client_is_innocent() {
    let mut inspector = Inspector::new(InspectorConfig::default());
    let now = Instant::now();
    for line in include_str!("../../../../crates/channel/tests/vectors/session.jsonl").lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        if line["frame"] == "text" {
            assert!(inspector.open(line["text"].as_str().unwrap()).is_some());
            // The captured plugin is older than the lowest version that is supported by now.
            assert_eq!(inspector.take_breaches()[0].0, BreachKind::ClientVersion);
            continue;
        }
        let frame = Bytes::from(hex::decode(line["hex"].as_str().unwrap()).unwrap());
        if line["from"] == "client" {
            inspector.from_client(now, &frame);
        } else {
            inspector.to_client(now, &frame);
        }
    }
    assert_eq!(inspector.take_breaches(), []);
    assert_eq!(inspector.traffic().agent_retransmissions, 1);
}

#[test]
fn the_open_message_is_checked() {
    let cases: [OpenCase; 8] = [
        (|_| {}, &[]),
        (|j| j["MessageSchemaVersion"] = "1".into(), &[BreachKind::OpenMalformed]),
        (|j| j["RequestId"] = "8A8AD8A5-DED7-4E03-BCC7-CC5C7615DE95".into(), &[BreachKind::OpenMalformed]),
        (|j| j["ClientId"] = serde_json::Value::Null, &[BreachKind::OpenMalformed]),
        (|j| j["ClientVersion"] = "1.2.763.9".into(), &[BreachKind::ClientVersion]),
        (|j| j["ClientVersion"] = "2.0".into(), &[BreachKind::ClientVersion]),
        (|j| j["TokenValue"] = serde_json::Value::Null, &[BreachKind::OpenMalformed]),
        (|j| *j = "hello".into(), &[BreachKind::OpenMalformed]),
    ];
    for (change, expected) in cases {
        let mut bench = Bench::new();
        bench.inspector.open(&open(change));
        assert_eq!(bench.kinds(), expected);
    }
}

#[test]
fn the_client_id_stays_and_the_request_id_changes() {
    let mut bench = Bench::new();
    bench.inspector.open(&open(|_| {}));
    bench.inspector.open(&open(|j| j["ClientId"] = "00000000-3823-4aa7-8389-861f29ed2c65".into()));
    assert_eq!(bench.kinds(), [BreachKind::RequestIdReused, BreachKind::ClientIdChanged]);
}

#[test]
fn every_field_of_the_header_is_checked() {
    let cases: [HeaderCase; 6] = [
        (|m| m.raw_type = padded_type(message_type::INPUT, 0), BreachKind::TypePadding),
        (|m| m.schema_version = 2, BreachKind::SchemaVersion),
        (|m| m.created_date = 0, BreachKind::CreatedDate),
        (|m| m.digest = [0; 32], BreachKind::Digest),
        (|m| m.flags = 4, BreachKind::Flags),
        (|m| m.raw_type = padded_type("agent_session_state", b' '), BreachKind::MessageType),
    ];
    for (change, expected) in cases {
        let mut bench = Bench::complete();
        let mut message = bench.message(1, payload_type::OUTPUT, b"x");
        change(&mut message);
        bench.say(&message);
        assert_eq!(bench.kinds(), [expected]);
    }
    let mut bench = Bench::complete();
    let mut frame = bench.message(1, payload_type::OUTPUT, b"x").encode().to_vec();
    frame.push(0);
    bench.inspector.from_client(bench.now, &frame.into());
    bench.inspector.from_client(bench.now, &Bytes::from_static(b"?"));
    assert_eq!(bench.kinds(), [BreachKind::Malformed, BreachKind::Malformed]);
    let mut short = bench.message(2, payload_type::OUTPUT, b"x");
    short.header_length = 112;
    bench.say(&short);
    assert!(bench.kinds().contains(&BreachKind::HeaderLength));
}

#[test]
fn payloads_are_neither_empty_nor_large_nor_of_other_types() {
    let mut bench = Bench::complete();
    bench.stream(1, payload_type::OUTPUT, b"");
    bench.stream(2, payload_type::OUTPUT, &[0; 1537]);
    bench.stream(3, 3, b"{}");
    bench.stream(4, payload_type::FLAG, b"\0\0\0\x09");
    bench.stream(5, payload_type::OUTPUT, &[0; 1536]);
    let expected = [BreachKind::EmptyPayload, BreachKind::PayloadSize, BreachKind::PayloadType, BreachKind::FlagValue];
    assert_eq!(bench.kinds(), expected);
}

#[test]
fn numbers_are_not_skipped_unless_a_socket_broke() {
    let mut bench = Bench::complete();
    bench.stream(2, payload_type::OUTPUT, b"x");
    assert_eq!(bench.kinds(), [BreachKind::SequenceSkipped]);
    bench.inspector.transport_lost();
    bench.stream(9, payload_type::OUTPUT, b"y");
    bench.stream(8, payload_type::OUTPUT, b"z");
    assert_eq!(bench.kinds(), []);
    bench.stream(-1, payload_type::OUTPUT, b"z");
    assert_eq!(bench.kinds(), [BreachKind::Sequence]);
}

#[test]
fn a_retransmission_is_the_same_message() {
    let mut bench = Bench::complete();
    let message = bench.stream(1, payload_type::OUTPUT, b"x");
    bench.say(&message);
    assert_eq!(bench.kinds(), []);
    bench.stream(1, payload_type::OUTPUT, b"x");
    assert_eq!(bench.kinds(), [BreachKind::RetransmissionChanged]);
    let mut other = bench.message(1, payload_type::OUTPUT, b"other");
    other.id = message.id;
    bench.say(&other);
    assert_eq!(bench.kinds(), [BreachKind::SequenceReused]);
    let mut same_id = bench.message(2, payload_type::OUTPUT, b"x");
    same_id.id = message.id;
    bench.say(&same_id);
    assert_eq!(bench.kinds(), [BreachKind::MessageIdReused]);
    assert_eq!(bench.inspector.traffic().client_retransmissions, 3);
}

#[test]
fn acknowledgements_are_checked_against_what_was_delivered() {
    let mut bench = Bench::complete();
    let message = bench.deliver(2, payload_type::OUTPUT, b"x");
    bench.acknowledge(&message);
    bench.acknowledge(&message);
    assert_eq!(bench.kinds(), []);
    bench.acknowledge(&Message { sequence: 3, ..message.clone() });
    assert_eq!(bench.kinds(), [BreachKind::AckUnknown]);
    bench.acknowledge(&Message { id: Uuid::nil(), ..message.clone() });
    assert_eq!(bench.kinds(), [BreachKind::AckMismatch]);
    bench.acknowledge(&Message { raw_type: padded_type(message_type::INPUT, b' '), ..message.clone() });
    assert_eq!(bench.kinds(), [BreachKind::AckMismatch]);
    let mut ack = message.acknowledgement(Uuid::from_u128(77), 9);
    ack.flags = 0;
    bench.say(&ack);
    assert_eq!(bench.kinds(), [BreachKind::AckForm]);
    bench.say(&message.acknowledgement(Uuid::from_u128(77), 9));
    assert_eq!(bench.kinds(), [BreachKind::MessageIdReused]);
    let json = String::from_utf8(message.acknowledgement(Uuid::nil(), 9).payload.to_vec()).unwrap();
    for bad in [json.replace("true", "false"), json.replace("Sequential", "sequential")] {
        let id = bench.id();
        let ack = Message::new(message_type::ACKNOWLEDGE, 0, ACK_FLAGS, 0, bad.into()).stamped(id, 9);
        bench.say(&ack);
        assert_eq!(bench.kinds(), [BreachKind::AckForm]);
    }
}

#[test]
fn a_damaged_message_must_not_be_acknowledged() {
    let mut bench = Bench::complete();
    let mut message = bench.message(2, payload_type::OUTPUT, b"x");
    message.raw_type = padded_type(message_type::OUTPUT, b' ');
    message.digest = [1; 32];
    bench.inspector.to_client(bench.now, &message.encode());
    bench.acknowledge(&message);
    assert_eq!(bench.kinds(), [BreachKind::AckUnknown]);
}

#[test]
fn what_comes_again_is_acknowledged_again() {
    let mut bench = Bench::complete();
    let message = bench.deliver(2, payload_type::OUTPUT, b"x");
    bench.acknowledge(&message);
    bench.inspector.to_client(bench.now, &message.encode());
    bench.inspector.check(bench.now + Duration::from_secs(9));
    assert_eq!(bench.kinds(), []);
    bench.inspector.check(bench.now + Duration::from_secs(10));
    assert_eq!(bench.kinds(), [BreachKind::AckMissing]);
    bench.inspector.to_client(bench.now, &message.encode());
    bench.acknowledge(&message);
    bench.inspector.check(bench.now + Duration::from_secs(30));
    assert_eq!(bench.kinds(), []);
    bench.inspector.to_client(bench.now, &message.encode());
    bench.inspector.transport_lost();
    bench.inspector.check(bench.now + Duration::from_secs(60));
    assert_eq!(bench.kinds(), []);
}

#[test]
fn nothing_but_the_response_goes_before_completion() {
    let mut bench = Bench::new();
    bench.stream(0, payload_type::OUTPUT, b"x");
    assert_eq!(bench.kinds(), [BreachKind::Sequence, BreachKind::DataEarly]);
    let mut bench = Bench::new();
    bench.stream(0, payload_type::HANDSHAKE_RESPONSE, response(1).as_bytes());
    assert_eq!(bench.kinds(), [BreachKind::ResponseEarly]);
    bench.stream(1, payload_type::FLAG, &flag::TERMINATE_SESSION.to_be_bytes());
    assert_eq!(bench.kinds(), [BreachKind::DataEarly]);
}

#[test]
fn the_response_answers_the_request_once() {
    let mut bench = Bench::complete();
    bench.stream(1, payload_type::HANDSHAKE_RESPONSE, response(1).as_bytes());
    assert_eq!(bench.kinds(), [BreachKind::ResponseTwice]);
    for bad in [response(0), response(3), response(1).replace("SessionType", "Other"), "{}".into(), "[".into()] {
        let mut bench = Bench::new();
        bench.deliver(0, payload_type::HANDSHAKE_REQUEST, request().as_bytes());
        bench.stream(0, payload_type::HANDSHAKE_RESPONSE, bad.as_bytes());
        assert!(bench.kinds().iter().all(|kind| *kind == BreachKind::ResponseContent));
    }
}

#[test]
fn the_terminate_flag_is_once_and_last() {
    let mut bench = Bench::complete();
    let terminate = flag::TERMINATE_SESSION.to_be_bytes();
    let mut message = bench.message(1, payload_type::FLAG, &terminate);
    message.flags = FIN;
    bench.say(&message);
    bench.say(&message);
    assert_eq!(bench.kinds(), []);
    assert!(bench.inspector.has_terminated());
    bench.stream(2, payload_type::OUTPUT, b"x");
    bench.stream(3, payload_type::FLAG, &terminate);
    assert_eq!(bench.kinds(), [BreachKind::DataAfterTerminate, BreachKind::TerminateTwice]);
}

#[test]
fn text_frames_are_a_breach() {
    let mut bench = Bench::complete();
    bench.inspector.text_from_client("pause");
    assert_eq!(bench.kinds(), [BreachKind::TextFrame]);
}
