//! Writes the corpus's hand-made part: the captured session (`crates/channel/tests/vectors/session.jsonl`), and a session of each kind
//! of trouble. Run it in this folder: `cargo run --example seeds`.

use std::error::Error;
use std::fs;

use arbitrary::{Arbitrary, Unstructured};
use serde_json::Value;
use ssm_proxy_fuzz::operation::Operation::{self, *};

type Frame = (String, Vec<u8>);

fn main() -> Result<(), Box<dyn Error>> {
    let frames = captured()?;
    for (index, (from, frame)) in frames.iter().enumerate() {
        write("message", &format!("captured-{index:02}-{from}"), frame)?;
    }
    let mut channel_closed = frames[0].1[..112].to_vec();
    channel_closed[..4].copy_from_slice(&112u32.to_be_bytes());
    channel_closed[4..36].fill(0);
    channel_closed[4..18].copy_from_slice(b"channel_closed");
    channel_closed.extend_from_slice(b"\0\0\0\x02{}");
    write("message", "service-channel-closed", &channel_closed)?;
    channel_closed[4..36].fill(0);
    channel_closed[4..21].copy_from_slice(b"pause_publication");
    write("message", "service-pause", &channel_closed)?;

    let replayed = frames
        .into_iter()
        .filter(|(from, _)| from != "client")
        .flat_map(|(_, frame)| [Send { length: 21 }, Raw { repair: false, frame }, Wait { micros: 30_000 }]);
    session("captured", 0, replayed.collect())?;
    let open = || vec![Request { old: false }, Acknowledge { back: 1 }, Complete, speak(0)];
    let with = |more: Vec<Operation>| [open(), more].concat();
    let burst = || Flood { ahead: 0, payload_type: 1, count: 300, length: 1024, trailing: 0 };
    session(
        "upload",
        1,
        with(repeated(4, [Send { length: 4096 }, Acknowledge { back: 1 }, Timeout, Acknowledge { back: 4 }])),
    )?;
    session("download", 0xf1, with(vec![burst(), Output { count: 200 }, burst()]))?;
    session("unread", 0xf4, with(vec![burst(), Frames { count: 9 }, Settle]))?;
    session("reordered", 0, with(vec![speak(2), speak(1), speak(0), speak(-1), speak(-9)]))?;
    session(
        "resumed",
        0,
        with(vec![Send { length: 3000 }, Lost, Send { length: 9 }, Sleep { hours: 1 }, Up, Timeout]),
    )?;
    session("paused", 0, with(vec![Send { length: 99 }, Pause, Send { length: 9 }, Timeout, Timeout, Start, Timeout]))?;
    session("paused-idle", 0, with(vec![Pause, Send { length: 9 }, Timeout, Sleep { hours: 1 }, Tick]))?;
    session("ended", 0, with(vec![Send { length: 9 }, Finish { at_once: false }, Acknowledge { back: 1 }]))?;
    session("ended-at-once", 0, with(vec![Send { length: 9 }, Finish { at_once: true }, Acknowledge { back: 1 }]))?;
    session("closed", 0, with(vec![Closed { payload: br#"{"Output":"bye"}"#.to_vec() }, speak(0)]))?;
    session("stuffed", 0, with((0..9).map(|_| Send { length: u16::MAX }).collect()))?;
    let rush = Flood { ahead: 0, payload_type: 1, count: 1400, length: 1, trailing: 0 };
    session("rushed", 0xf1, with(vec![rush]))?;
    let starved = repeated(40, [Send { length: 1 }, Acknowledge { back: 1 }, Wait { micros: 200_000 }, Tick]);
    session("old-agent", 0, [vec![Request { old: true }, Complete, speak(0), Send { length: 1 }], starved].concat())?;
    session(
        "damaged",
        0,
        with((0..130).map(|at| Damaged { at, bits: 1, cut: 0, added: 0, repair: at % 2 == 0 }).collect()),
    )?;
    session(
        "full",
        0xf0,
        with(vec![Flood { ahead: 1, payload_type: 1, count: 70, length: u16::MAX, trailing: 0 }, speak(0)]),
    )?;
    session(
        "padded",
        0xf4,
        with(vec![Flood { ahead: 0, payload_type: 1, count: 999, length: 1, trailing: u16::MAX }]),
    )?;
    Ok(())
}

fn repeated(times: usize, operations: [Operation; 4]) -> Vec<Operation> {
    std::iter::repeat_n(operations, times).flatten().collect()
}

fn speak(ahead: i16) -> Operation {
    Stream { ahead, payload_type: 1, payload: b"SSH-2.0-x\r\n".to_vec() }
}

/// The captured frames, each with who sent it.
fn captured() -> Result<Vec<Frame>, Box<dyn Error>> {
    let mut frames = Vec::new();
    for line in fs::read_to_string("../crates/channel/tests/vectors/session.jsonl")?.lines() {
        let line: Value = serde_json::from_str(line)?;
        if let (Some(from), Some(hex)) = (line["from"].as_str(), line["hex"].as_str()) {
            let bytes = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16));
            frames.push((from.to_owned(), bytes.collect::<Result<_, _>>()?));
        }
    }
    Ok(frames)
}

fn session(name: &str, modes: u8, operations: Vec<Operation>) -> Result<(), Box<dyn Error>> {
    let mut bytes = vec![1, 25, modes];
    for operation in &operations {
        let start = bytes.len();
        operation.write(&mut bytes);
        let read = Operation::arbitrary(&mut Unstructured::new(&bytes[start..]))?;
        assert_eq!(read, *operation, "what is written is not what is read");
    }
    write("handle_frame", name, &bytes)
}

fn write(target: &str, name: &str, bytes: &[u8]) -> Result<(), Box<dyn Error>> {
    let folder = format!("corpus/{target}");
    fs::create_dir_all(&folder)?;
    Ok(fs::write(format!("{folder}/{name}"), bytes)?)
}
