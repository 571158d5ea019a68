//! Writes the corpus's hand-made part: the captured sessions (`crates/channel/tests/vectors`), and a session of each kind
//! of trouble. Run it in this folder: `cargo run --example seeds`.

use std::error::Error;
use std::fs;

use arbitrary::{Arbitrary, Unstructured};
use serde_json::Value;
use ssm_proxy_fuzz::cipher::Cipher;
use ssm_proxy_fuzz::encryption::Step as Encrypted;
use ssm_proxy_fuzz::handshake::Step;
use ssm_proxy_fuzz::operation::Operation::{self, *};
use ssm_proxy_fuzz::{frame, json};

type Frame = (String, Vec<u8>);

fn main() -> Result<(), Box<dyn Error>> {
    handshakes()?;
    encryptions()?;
    let frames = captured("session")?;
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
    let open = || vec![Request { old: false, kind: 0 }, Acknowledge { back: 1 }, Complete, speak(0)];
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
    session("ended", 0, with(vec![Send { length: 9 }, Finish, Acknowledge { back: 1 }]))?;
    session("closed", 0, with(vec![Closed { payload: br#"{"Output":"bye"}"#.to_vec() }, speak(0)]))?;
    session("stuffed", 0, with((0..9).map(|_| Send { length: u16::MAX }).collect()))?;
    let rush = Flood { ahead: 0, payload_type: 1, count: 1400, length: 1, trailing: 0 };
    session("rushed", 0xf1, with(vec![rush]))?;
    let starved = repeated(40, [Send { length: 1 }, Acknowledge { back: 1 }, Wait { micros: 200_000 }, Tick]);
    session(
        "old-agent",
        0,
        [vec![Request { old: true, kind: 0 }, Complete, speak(0), Send { length: 1 }], starved].concat(),
    )?;
    session(
        "damaged",
        0,
        with((0..130).map(|at| Damaged { at, bits: 1, cut: 0, added: 0, repair: at % 2 == 0 }).collect()),
    )?;
    for name in SESSIONS {
        let frames = captured(&format!("sessions/{name}"))?;
        let agent = frames.into_iter().filter(|(from, _)| from == "agent");
        let replayed = agent.flat_map(|(_, frame)| [Send { length: 5 }, Raw { repair: false, frame }, Timeout]);
        let operations = std::iter::once(Resize { cols: 80, rows: 24 }).chain(replayed).collect();
        session(&format!("captured-{name}"), 8, operations)?;
    }
    let typed = |payload_type, text: &[u8]| Stream { ahead: 0, payload_type, payload: text.to_vec() };
    let command = |kind| {
        vec![
            Request { old: false, kind },
            Complete,
            typed(11, b"err"),
            typed(1, b"out"),
            typed(12, b"EXIT_CODE: 7"),
            Finish,
        ]
    };
    session("command", 8, command(2))?;
    session("shell-with-handshake", 8, command(1))?;
    session("port-with-stderr", 8, command(0))?;
    session(
        "shell",
        8,
        vec![
            Send { length: 9 },
            Resize { cols: 80, rows: 24 },
            Acknowledge { back: 1 },
            typed(1, b"$ "),
            Resize { cols: 90, rows: 24 },
            Finish,
        ],
    )?;
    let waits = repeated(3, [Timeout, Tick, Timeout, Settle]);
    let acknowledged = repeated(1, [Acknowledge { back: 2 }, Acknowledge { back: 1 }, Settle, Settle]);
    let resize = vec![Resize { cols: 80, rows: 24 }];
    session("shell-late", 8, [resize, waits, vec![typed(1, b"$ ")], acknowledged].concat())?;
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
fn captured(session: &str) -> Result<Vec<Frame>, Box<dyn Error>> {
    let mut frames = Vec::new();
    for line in fs::read_to_string(format!("../crates/channel/tests/vectors/{session}.jsonl"))?.lines() {
        let line: Value = serde_json::from_str(line)?;
        if line["op"] == 1 {
            // The open message, which is no frame.
            continue;
        }
        if let (Some(from), Some(hex)) = (line["from"].as_str(), line["hex"].as_str()) {
            let bytes = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16));
            frames.push((from.to_owned(), bytes.collect::<Result<_, _>>()?));
        }
    }
    Ok(frames)
}

/// Sessions that were captured with AWS's own code.
const SESSIONS: [&str; 9] = [
    "command-combined",
    "command-separate-streams",
    "interactive-command",
    "kms-command",
    "kms-interactive-command",
    "kms-shell-data-key-denied",
    "kms-shell-decrypt-denied",
    "kms-shell",
    "shell",
];
/// The terminal's size, in the targets' bytes.
const SIZE: [u8; 4] = [80, 0, 24, 0];

/// The captured agents, and the client that the channel is; and requests that no agent makes.
fn handshakes() -> Result<(), Box<dyn Error>> {
    for name in SESSIONS {
        let mut steps = vec![Step::Resize as u8];
        steps.extend(SIZE);
        for (from, frame) in captured(&format!("sessions/{name}"))? {
            let Some(message) = frame::verify(&frame).filter(|message| message.name != b"acknowledge") else {
                continue;
            };
            let step = match (from.as_str(), message.payload_type) {
                ("client", _) => vec![Step::Acknowledge as u8, 9],
                ("agent", 5) => part(Step::RawRequest as u8, &[], message.payload),
                ("agent", 7) => part(Step::RawComplete as u8, &[], message.payload),
                ("agent", 8) => part(Step::RawChallenge as u8, &[], message.payload),
                ("agent", other) => part(Step::Say as u8, &[other as u8], message.payload),
                _ => continue,
            };
            steps.extend(step);
            if message.payload_type == 5 && name.starts_with("kms") {
                let has_key = !name.ends_with("data-key-denied");
                let answer = if has_key { vec![Step::Encrypt as u8] } else { part(Step::Refuse as u8, &[], b"denied") };
                steps.extend(answer);
            }
            if message.payload_type == 1 {
                steps.extend([Step::Send as u8, 5, 0]);
            }
        }
        write("handshake", &format!("captured-{name}"), &[&[7, 1][..], &steps].concat())?;
    }
    use json::{ARRAY, END, LONG, MANY, NEST, OBJECT, word};
    let words = |words: &[&str]| words.iter().map(|text| word(text)).collect::<Vec<u8>>();
    let version = words(&["AgentVersion", "3.3.0.0"]);
    let kind = |kind: &str| {
        [
            vec![OBJECT],
            words(&["ActionType", "SessionType", "ActionParameters"]),
            vec![OBJECT],
            words(&["SessionType", kind]),
            vec![END, END],
        ]
        .concat()
    };
    let kms = [
        vec![OBJECT],
        words(&["ActionType", "KMSEncryption", "ActionParameters"]),
        vec![OBJECT],
        words(&["KMSKeyId", "a", "Challenge", "22"]),
        vec![END, END],
    ]
    .concat();
    let unchallenged = [vec![OBJECT], words(&["ActionType", "KMSEncryption"]), vec![END]].concat();
    let list =
        |actions: &[Vec<u8>]| [words(&["RequestedClientActions"]), vec![ARRAY], actions.concat(), vec![END]].concat();
    let requests: [(&str, Vec<Vec<u8>>); 14] = [
        ("port", vec![version.clone(), list(&[kind("Port")])]),
        ("shell", vec![list(&[kind("Standard_Stream")]), version.clone()]),
        ("encrypted-first", vec![version.clone(), list(&[kms.clone(), kind("NonInteractiveCommands")])]),
        ("encrypted", vec![version.clone(), list(&[kind("InteractiveCommands"), kms.clone()])]),
        ("encrypted-port", vec![version.clone(), list(&[kind("Port"), kms.clone()])]),
        ("encrypted-nothing", vec![version.clone(), list(std::slice::from_ref(&kms))]),
        ("twice", vec![version.clone(), list(&[kind("Port"), kind("22"), kms.clone(), kms.clone()])]),
        ("doubled-key", vec![version.clone(), version.clone(), list(&[])]),
        ("several", vec![version.clone(), list(&[kind("Port"), vec![MANY, 2, MANY, 1]])]),
        ("many", vec![list(&[kind("Port"), [MANY, 255].repeat(8)])]),
        ("encrypted-unchallenged", vec![version.clone(), list(&[kind("Standard_Stream"), unchallenged])]),
        ("long", vec![words(&["AgentVersion"]), vec![LONG, 0, 0x30, 1], list(&[kind("Port")])]),
        ("nested", vec![version.clone(), words(&["a"]), vec![NEST, 200]]),
        ("nothing", vec![]),
    ];
    for (name, parts) in requests {
        let tokens = [vec![OBJECT], parts.concat(), vec![END]].concat();
        let complete = [vec![OBJECT], words(&["CustomerMessage", "a"]), vec![END]].concat();
        for (modes, suffix) in [(0, ""), (1, "-all")] {
            let steps = [
                vec![7, modes],
                part(Step::Send as u8, &[], &[])[..1].to_vec(),
                vec![9, 0],
                part(Step::Request as u8, &[], &tokens),
                vec![Step::Encrypt as u8],
                part(Step::Challenge as u8, &[0, 0], b"challenge"),
                vec![Step::Acknowledge as u8, 9],
                part(Step::Complete as u8, &[], &complete),
                part(Step::Say as u8, &[1], b"$ "),
            ];
            write("handshake", &format!("{name}{suffix}"), &steps.concat())?;
        }
    }
    Ok(())
}

/// Captured sessions that were encrypted, and a session of each kind of trouble.
fn encryptions() -> Result<(), Box<dyn Error>> {
    for name in SESSIONS.iter().filter(|name| name.starts_with("kms")) {
        let mut steps = vec![7, 0, 0, Encrypted::Resize as u8];
        steps.extend(SIZE);
        for (from, frame) in captured(&format!("sessions/{name}"))? {
            let Some(message) = frame::verify(&frame).filter(|message| message.name != b"acknowledge") else {
                continue;
            };
            match (from.as_str(), message.payload_type) {
                ("client", 1) => steps.extend([Encrypted::Send as u8, 5, 0]),
                ("client", _) => steps.extend([Encrypted::Acknowledge as u8, 9]),
                ("agent", kind) => {
                    steps.extend(part(Encrypted::Plain as u8, &[0, kind as u8], message.payload));
                    let answer = if name.ends_with("data-key-denied") { Encrypted::Refuse } else { Encrypted::Key };
                    steps.extend((kind == 5).then_some(answer as u8));
                }
                _ => {}
            }
        }
        write("encryption", &format!("captured-{name}"), &steps)?;
    }
    let ask = |kind| vec![Encrypted::Ask as u8, kind];
    let challenge = || part(Encrypted::Challenge as u8, &[], &[7; 64]);
    let open = |kind| [ask(kind), vec![Encrypted::Key as u8], challenge(), vec![Encrypted::Complete as u8]].concat();
    let say = |ahead: i8, kind: u8, text: &[u8]| part(Encrypted::Say as u8, &[ahead as u8, kind], text);
    let send = |length: u16| [&[Encrypted::Send as u8][..], &length.to_le_bytes()].concat();
    let acknowledge = || vec![Encrypted::Acknowledge as u8, 255];
    let damaged = |at, bits, cut, added| part(Encrypted::Damaged as u8, &[0, 1, at, bits, cut, added], b"damaged");
    let wrong = Cipher::new(9).of_the_agent(b"of another session");
    let seeds: Vec<(&str, u8, Vec<Vec<u8>>)> = vec![
        ("shell", 0, vec![open(0), say(0, 1, b"$ "), send(9), acknowledge(), say(0, 1, b"bye")]),
        ("command", 0, vec![open(2), say(0, 1, b"out"), say(0, 11, b"err"), say(0, 12, b"EXIT_CODE: 7")]),
        ("port", 0, vec![open(3), say(0, 1, b"SSH-2.0-x\r\n"), send(3000), vec![Encrypted::Finish as u8]]),
        (
            "early",
            0,
            vec![send(3000), ask(0), say(0, 1, b"early"), vec![Encrypted::Key as u8], say(0, 1, b"still early")],
        ),
        (
            "hasty",
            0,
            vec![
                send(3000),
                ask(0),
                vec![Encrypted::Complete as u8, Encrypted::Key as u8],
                challenge(),
                say(0, 1, b"$ "),
            ],
        ),
        ("port-with-stderr", 0, vec![open(3), say(0, 11, b"err"), say(0, 1, b"SSH-2.0-x\r\n")]),
        ("refused", 0, vec![send(3), ask(0), vec![Encrypted::Refuse as u8]]),
        ("out-of-order", 0, vec![open(0), say(2, 1, b"c"), say(1, 1, b"b"), say(0, 1, b"a")]),
        ("damaged", 0, vec![open(0), say(0, 1, b"a"), damaged(9, 1, 0, 0), say(0, 1, b"b")]),
        ("cut", 0, vec![open(0), damaged(0, 0, 1, 0)]),
        ("short", 0, vec![open(0), damaged(0, 0, 30, 0)]),
        ("longer", 0, vec![open(0), damaged(0, 0, 0, 4)]),
        ("replayed", 0, vec![open(0), say(0, 1, b"a"), vec![Encrypted::Replay as u8, 0, 1, 0], say(0, 1, b"b")]),
        ("reflected", 0, vec![open(0), say(0, 1, b"a"), send(9), vec![Encrypted::Reflect as u8, 0, 1, 0]]),
        ("wrong-key", 0, vec![open(0), part(Encrypted::WrongKey as u8, &[0, 1], b"a"), say(0, 1, b"b")]),
        ("another-session", 0, vec![open(0), part(Encrypted::Plain as u8, &[0, 1], &wrong)]),
        ("plain", 0, vec![open(2), part(Encrypted::Plain as u8, &[0, 11], b"in plain, and longer than 28 bytes")]),
        ("two-challenges", 0, vec![ask(0), vec![Encrypted::Key as u8], challenge(), challenge()]),
        (
            "resumed",
            0,
            vec![
                open(0),
                say(0, 1, b"a"),
                send(5000),
                vec![Encrypted::Lost as u8],
                send(9),
                vec![Encrypted::Up as u8, Encrypted::Timeout as u8],
            ],
        ),
        ("resent", 0, vec![open(0), say(0, 1, b"a"), send(5000), [Encrypted::Timeout as u8; 9].to_vec()]),
        (
            "paused",
            1,
            vec![
                open(0),
                say(0, 1, b"a"),
                vec![Encrypted::Pause as u8],
                send(900),
                [Encrypted::Timeout as u8; 5].to_vec(),
                vec![Encrypted::Start as u8],
            ],
        ),
        (
            "bulk",
            1,
            vec![
                open(3),
                say(0, 1, b"a"),
                [send(8192), acknowledge(), vec![Encrypted::Timeout as u8]].concat().repeat(110),
            ],
        ),
        (
            "resized",
            0,
            vec![
                vec![Encrypted::Resize as u8],
                SIZE.to_vec(),
                open(0),
                say(0, 1, b"a"),
                vec![Encrypted::Resize as u8, 81, 0, 24, 0],
                acknowledge(),
            ],
        ),
        ("closed", 0, vec![open(0), say(0, 1, b"a"), vec![Encrypted::Closed as u8], say(0, 1, b"b")]),
        ("unread", 2, vec![open(0), say(0, 1, &[b'u'; 999]).repeat(50), vec![Encrypted::Settle as u8]]),
    ];
    for (name, modes, steps) in seeds {
        write("encryption", name, &[vec![7, modes, 3], steps.concat()].concat())?;
    }
    Ok(())
}

/// A step's byte, what stands before its bytes, and these.
fn part(step: u8, before: &[u8], bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("seeds are small");
    [&[step], before, &length.to_le_bytes(), bytes].concat()
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
