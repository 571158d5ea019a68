//! What was captured from AWS's own client and agent: Go's bytes are written, and each captured forward is read and
//! played.

use std::collections::BTreeMap;

use serde_json::Value;

use super::*;
use crate::limits::MAX_FRAME_DATA;

const MESSAGES: &str = include_str!("../../tests/vectors/messages.jsonl");
const SESSIONS: [(&str, &str); 3] = [
    ("forward-bulk", include_str!("../../tests/vectors/sessions/forward-bulk.jsonl")),
    ("forward-refused", include_str!("../../tests/vectors/sessions/forward-refused.jsonl")),
    ("forward-remote-host", include_str!("../../tests/vectors/sessions/forward-remote-host.jsonl")),
];
/// Where the length of a message's payload is, and the payload.
const PAYLOAD: usize = 116;

fn named(name: &str) -> Value {
    let mut lines = MESSAGES.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.find(|line| line["name"] == name).unwrap()
}

fn unhex(text: &str) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap()
}

/// What Go's client wrote, whole.
fn writes() -> Vec<Vec<u8>> {
    let vector = named("smux_client_writes");
    let lengths = vector["write_lengths"].as_array().unwrap().iter().map(|length| length.as_u64().unwrap() as usize);
    let writes = vector["writes"].as_array().unwrap().iter().map(|write| write.as_str().unwrap());
    let mut at = 0;
    let whole = |(write, length): (&str, usize)| match write.split_once("...") {
        None => unhex(write),
        // Byte i of the 40,000 is i, and the second frame's are shown from its own beginning.
        Some((start, _)) => {
            let mut bytes = unhex(start)[..8].to_vec();
            bytes.extend((at..at + length - 8).map(|byte| byte as u8));
            at += length - 8;
            bytes
        }
    };
    writes.zip(lengths).map(whole).collect()
}

#[test]
fn go_writes_the_same_bytes() {
    let mut client = client();
    let mut written = Vec::new();
    let mut write = |client: &mut Client| {
        while let bytes @ [_, ..] = &client.transmit(MAX_FRAME_DATA + 8)[..] {
            written.push(bytes.to_vec());
        }
    };
    let first = client.open();
    write(&mut client);
    client.mux.send(first, b"hello");
    write(&mut client);
    let second = client.open();
    write(&mut client);
    client.mux.send(second, &(0..40_000).map(|byte| byte as u8).collect::<Vec<_>>());
    write(&mut client);
    client.mux.close(first);
    write(&mut client);
    client.mux.close(second);
    write(&mut client);
    assert_eq!(written, writes());
    let vector = named("smux_cut");
    assert_eq!(vector["total"].as_u64().unwrap() as usize, written.concat().len());
}

#[test]
fn a_stream_cut_as_gos_is_the_same_stream() {
    let go = writes().concat();
    for size in [1, 7, 1024] {
        let mut client = client();
        let [first, second] = [client.open(), client.open()];
        let mut read = BTreeMap::<StreamId, Vec<u8>>::new();
        for piece in go.chunks(size) {
            client.mux.handle_bytes(piece).unwrap();
            for id in [first, second] {
                read.entry(id).or_default().extend(client.read(id));
            }
        }
        assert_eq!(read[&first], b"hello");
        assert_eq!(read[&second], (0..40_000).map(|byte| byte as u8).collect::<Vec<_>>());
        assert_eq!(client.mux.stats().ignored, 2, "the SYNs");
    }
}

#[test]
fn a_nop_is_gos() {
    let mut client = Client::new(Config { keep_alive: true, ..Config::default() });
    client.pass(Duration::from_secs(10));
    assert_eq!(client.transmit(1024), unhex(named("smux_nop")["frame_hex"].as_str().unwrap()));
}

#[test]
fn version_2_is_refused() {
    for write in named("smux_v2")["server_writes"].as_array().unwrap() {
        let refused = client().mux.handle_bytes(&unhex(write.as_str().unwrap()));
        assert_eq!(refused, Err(ProtocolError::Version(2)));
    }
}

/// The payloads of data and flags that a side sent, each once, in order: the type and the bytes.
fn payloads(text: &str, from: &str) -> Vec<(u64, Vec<u8>)> {
    let mut seen = BTreeMap::new();
    for line in text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let is_data = line["type"].as_str().is_some_and(|name| name.ends_with("stream_data"));
        let payload_type = line["payload_type"].as_u64().unwrap_or_default();
        if line["from"] == from && is_data && (payload_type == 1 || payload_type == 10) {
            let message = unhex(line["hex"].as_str().unwrap());
            let length = u32::from_be_bytes(message[PAYLOAD..PAYLOAD + 4].try_into().unwrap()) as usize;
            assert_eq!(message.len(), PAYLOAD + 4 + length);
            seen.insert(line["seq"].as_i64().unwrap(), (payload_type, message[PAYLOAD + 4..].to_vec()));
        }
    }
    seen.into_values().collect()
}

/// What a side wrote on each stream: its commands, and its data. The last frame may be cut off with the capture.
fn streams(text: &str, from: &str) -> BTreeMap<u32, (Vec<u8>, Vec<u8>)> {
    let mut bytes = &payloads(text, from)
        .into_iter()
        .filter(|(kind, _)| *kind == 1)
        .flat_map(|(_, payload)| payload)
        .collect::<Vec<u8>>()[..];
    let mut streams = BTreeMap::<u32, (Vec<u8>, Vec<u8>)>::new();
    while bytes.len() >= 8 {
        let length = usize::from(u16::from_le_bytes([bytes[2], bytes[3]])).min(bytes.len() - 8);
        let (commands, data) = streams.entry(u32::from_le_bytes(bytes[4..8].try_into().unwrap())).or_default();
        commands.push(bytes[1]);
        data.extend(&bytes[8..8 + length]);
        bytes = &bytes[8 + length..];
    }
    streams
}

#[test]
fn every_captured_forward_is_read_as_it_was_meant() {
    for (name, text) in SESSIONS {
        let (ours, theirs) = (streams(text, "client"), streams(text, "agent"));
        let mut client = client();
        let ids: Vec<StreamId> = ours.keys().map(|_| client.open()).collect();
        assert_eq!(
            ids.iter().map(|id| id.get()).collect::<Vec<_>>(),
            ours.keys().copied().collect::<Vec<_>>(),
            "{name}"
        );
        client.settle();
        let (mut read, mut ended) = (BTreeMap::<u32, Vec<u8>>::new(), Vec::new());
        for (kind, payload) in payloads(text, "agent") {
            match kind {
                10 if payload == [0, 0, 0, 3] => client.mux.connect_failed(),
                _ => client.mux.handle_bytes(&payload).unwrap(),
            }
            for id in &ids {
                read.entry(id.get()).or_default().extend(client.read(*id));
            }
            ended.extend(client.events().into_iter().filter(|event| !matches!(event, Event::Readable(_))));
        }
        for (id, (commands, data)) in &theirs {
            assert_eq!(read[id], *data, "{name}: {id}");
            let id = StreamId::from_wire(*id);
            let is_refused = commands == &[FIN];
            let end = if is_refused { Event::Refused { id, reported: true } } else { Event::Finished(id) };
            assert_eq!(ended.contains(&end), commands.contains(&FIN), "{name}: {id}");
            assert_eq!(is_refused, name == "forward-refused");
        }
    }
}

#[test]
fn what_awss_client_wrote_on_a_forward_is_written_again() {
    for (name, text) in SESSIONS {
        let mut client = client();
        let mut written = Vec::new();
        for (number, (commands, data)) in &streams(text, "client") {
            let id = client.open();
            assert_eq!(id.get(), *number);
            let mut rest = &data[..];
            while !rest.is_empty() {
                let taken = client.mux.send(id, rest);
                rest = &rest[taken..];
                written.extend(client.transmit(1024));
                client.delivered();
            }
            if commands.contains(&FIN) {
                client.mux.close(id);
            }
            while let bytes @ [_, ..] = &client.transmit(1024)[..] {
                written.extend(bytes);
                client.delivered();
            }
        }
        let mut ours = BTreeMap::<u32, Vec<u8>>::new();
        for (command, id, data) in split(&written) {
            assert!(command <= PSH);
            ours.entry(id).or_default().extend(data);
        }
        let theirs: BTreeMap<u32, Vec<u8>> =
            streams(text, "client").into_iter().map(|(id, (_, data))| (id, data)).collect();
        assert_eq!(ours, theirs, "{name}");
    }
}
