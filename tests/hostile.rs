//! Whatever bytes the service sends on a session that is up, ssh goes on, sees only what sshd sent, and ssm-proxy's
//! memory stays small. What ends a session at once (`channel_closed`) is in tests/closed.rs.

use std::io::{Write, pipe};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fixtures::standin::codec::{ACK_FLAGS, Message, message_type, payload_type};
use fixtures::standin::{Fault, LinkConfig, Options};
use fixtures::{Bench, HOST, Memory, Peer, Running, Setup, Stream, noise, until};

/// What the service may make ssm-proxy hold besides what it held before: the bounds on what waits for its turn (11 MiB),
/// for stdout and for a socket, and a frame of the largest size.
const GROWTH: u64 = 20 << 20;

/// What the release build may hold at most, the program included.
const PEAK: u64 = 24 << 20;

/// How long a session may take to bring back what was sent.
const ANSWER: Duration = Duration::from_secs(60);

/// A payload that must not get to stdout.
const EVIL: Bytes = Bytes::from_static(b"evil\n");

#[test]
fn frames_that_are_no_messages() {
    let whole = output(-1, EVIL).encode();
    let with = |at: usize, bytes: [u8; 4]| {
        let mut frame = whole.to_vec();
        frame.splice(at..at + 4, bytes);
        Fault::Binary(frame)
    };
    ignored([
        Fault::Text(String::new()),
        Fault::Text("ping".to_owned()),
        Fault::Text("{\"MessageType\":\"channel_closed\"}".repeat(1000)),
        Fault::Binary(Vec::new()),
        Fault::Binary(vec![0]),
        Fault::Binary(vec![0; 120]),
        Fault::Binary(vec![0xff; 120]),
        Fault::Binary(noise(1, 100_000)),
        Fault::Binary(whole.slice(..4).to_vec()),
        Fault::Binary(whole.slice(..50).to_vec()),
        Fault::Binary(whole.slice(..115).to_vec()),
        Fault::Binary(whole.slice(..119).to_vec()),
        Fault::Binary(whole.slice(..whole.len() - 1).to_vec()),
        // HeaderLength, then PayloadLength.
        with(0, [0; 4]),
        with(0, 111_u32.to_be_bytes()),
        with(0, 117_u32.to_be_bytes()),
        with(0, [0xff; 4]),
        with(116, [0; 4]),
        with(116, [0xff; 4]),
    ]);
}

#[test]
fn messages_that_are_not_what_they_should_be() {
    let untrue = |sequence| Message { digest: [7; 32], ..output(sequence, EVIL) };
    let named = |name| Message::new(name, 1, 0, payload_type::OUTPUT, EVIL);
    ignored(
        [
            // Numbers that the agent is about to use: whoever takes one of these loses what is to come.
            untrue(2),
            untrue(10),
            untrue(20),
            untrue(50),
            Message { created_date: 0, ..output(50, EVIL) },
            Message { raw_type: [0; 32], ..output(-1, EVIL) },
            Message { raw_type: [0xff; 32], ..output(-1, EVIL) },
            output(-1, EVIL),
            output(i64::MIN, EVIL),
            output(i64::MAX, EVIL),
            output(i64::MAX - 1, EVIL),
            output(-2, Bytes::new()),
            named("standin_unknown"),
            named(message_type::INPUT),
            named(message_type::START_PUBLICATION),
            named(message_type::PAUSE_PUBLICATION),
            named(message_type::ACKNOWLEDGE),
        ]
        .map(|message| Fault::Binary(message.encode().to_vec())),
    );
}

#[test]
fn json_of_the_wrong_shape() {
    let acknowledgements = [
        "",
        "null",
        "[]",
        "{}",
        "\"text\"",
        "{\"AcknowledgedMessageSequenceNumber\":\"1\"}",
        "{\"AcknowledgedMessageSequenceNumber\":1e300}",
        "{\"AcknowledgedMessageSequenceNumber\":-9223372036854775808,\"AcknowledgedMessageType\":7}",
        "{\"AcknowledgedMessageType\":\"input_stream_data\",\"AcknowledgedMessageId\":\"\",\
         \"AcknowledgedMessageSequenceNumber\":9223372036854775807,\"IsSequentialMessage\":true}",
    ];
    let nested = "[".repeat(100_000);
    let acknowledgements = acknowledgements.into_iter().chain([nested.as_str()]).map(|json| {
        let json = Bytes::copy_from_slice(json.as_bytes());
        let message = Message::new(message_type::ACKNOWLEDGE, 0, ACK_FLAGS, payload_type::UNDEFINED, json);
        Fault::Binary(message.encode().to_vec())
    });
    // With the agent's own next numbers, so that they are delivered.
    let injected = [
        Fault::Inject(payload_type::HANDSHAKE_REQUEST, b"[]".to_vec()),
        Fault::Inject(payload_type::HANDSHAKE_REQUEST, br#"{"AgentVersion":"1.0.0.0"}"#.to_vec()),
        Fault::Inject(payload_type::HANDSHAKE_COMPLETE, b"{".to_vec()),
        Fault::Inject(payload_type::HANDSHAKE_COMPLETE, br#"{"CustomerMessage":"again"}"#.to_vec()),
        Fault::Inject(payload_type::FLAG, b"\xff".to_vec()),
        Fault::Inject(payload_type::FLAG, 77_u32.to_be_bytes().to_vec()),
        Fault::Inject(payload_type::UNDEFINED, b"evil".to_vec()),
        Fault::Inject(8, b"{}".to_vec()),
        Fault::Inject(99, b"evil".to_vec()),
        Fault::Inject(u32::MAX, b"evil".to_vec()),
    ];
    ignored(acknowledgements.chain(injected));
}

#[test]
fn damaged_messages_are_repaired() {
    let downlink = LinkConfig { corrupt: 0.1, ..LinkConfig::default() };
    let standin = Options { downlink, ..Options::default() };
    let bench = Bench::with(Setup { standin, ..Setup::default() });
    let input = noise(2, 300_000);
    let done = bench.ssh().args([HOST, "cat"]).run_with(input.clone()).ok();
    assert!(done.stdout == input, "{} bytes went, {} other ones came back", input.len(), done.stdout.len());
    assert!(bench.session().downlink.corrupted > 10, "nothing was damaged");
    bench.finish();
}

#[test]
fn a_frame_above_the_limit_costs_its_connection() {
    let bench = Bench::open();
    let mut ssh = at_work(&bench);
    let before = ssh.memory();
    for connection in 2..=3 {
        bench.fault(Fault::Binary(vec![0; (1 << 20) + 1]));
        goes_on(&mut ssh, &format!("on connection {connection}"));
        bench.wait_for("a new connection", |report| {
            report.sessions.iter().all(|session| session.upgrades == connection)
        });
    }
    assert_grown_little(before, ssh.memory());
    let _ = ssh.finish().ok();
    bench.finish();
}

#[test]
fn more_messages_out_of_order_than_there_is_room_for() {
    let bench = Bench::open();
    let mut ssh = at_work(&bench);
    let before = ssh.memory();
    let large = Bytes::from(noise(3, (1 << 20) - 200));
    for sequence in 0..40 {
        bench.fault(Fault::Binary(output(10_000 + sequence, large.clone()).encode().to_vec()));
    }
    for sequence in 0..20_000 {
        bench.control().fault(Fault::Binary(output(20_000 + sequence, EVIL).encode().to_vec()));
    }
    goes_on(&mut ssh, "beyond the limit");
    assert_grown_little(before, ssh.memory());
    let _ = ssh.finish().ok();
    bench.finish();
}

#[test]
fn what_is_delivered_and_not_read_stays_with_the_agent() {
    // More than Linux buffers for a socket at either end.
    let sent = noise(4, 64 << 20);
    let bench = facing_source(sent.clone());
    let (reader, writer) = pipe().unwrap();
    let proxy = bench.proxy().args([HOST, "7", "--no-pace"]).stdin(Stdio::piped()).stdout(writer).spawn();
    bench.wait_for("the first bytes", |report| report.sessions.iter().any(|s| s.traffic.bytes_to_client > 0));
    let before = proxy.memory();
    still(&bench);
    assert_grown_little(before, proxy.memory());
    let carried = bench.session().traffic.bytes_to_client;
    assert!(carried < sent.len() as u64 / 4 * 3, "{carried} bytes were carried though nobody reads them");
    let received = Stream::collect(reader);
    let all = received.wait(ANSWER, |bytes| (bytes.len() >= sent.len()).then(|| bytes == sent));
    assert_grown_little(before, proxy.memory());
    assert_eq!(all, Some(true), "not all, or other bytes, came: {}", received.bytes().len());
    let _ = proxy.finish().ok();
    bench.finish();
}

#[test]
fn what_the_service_does_not_read_stays_with_ssh() {
    let bench = Bench::with(Setup {
        proxy_command: "ssm-proxy --no-pace %h %p",
        standin: Options::default().unpaced(),
        ..Setup::default()
    });
    let input = noise(5, 16 << 20);
    let mut ssh = bench.ssh().args([HOST, "echo up; exec cat >/dev/null"]).start();
    ssh.expect_stdout("up");
    let before = ssh.memory();
    let arrived = || bench.session().agent.bytes_to_port;
    thread::scope(|scope| {
        let mut stdin = ssh.take_stdin();
        let writer = scope.spawn(move || stdin.write_all(&input));
        for part in 1..=3 {
            bench.wait_for("an upload", |report| {
                report.sessions.iter().any(|session| session.agent.bytes_to_port > part << 20)
            });
            bench.fault(Fault::StopReading(Duration::from_secs(2)));
            let stopped = arrived();
            still(&bench);
            assert!(arrived() - stopped < 1 << 20, "the service did not stop reading");
            assert_grown_little(before, ssh.memory());
        }
        writer.join().unwrap().unwrap();
    });
    let _ = ssh.finish().ok();
    bench.finish();
}

/// Fails unless ssh, while all of this comes, brings back line after line and nothing else.
#[track_caller]
fn ignored(faults: impl IntoIterator<Item = Fault>) {
    let bench = Bench::open();
    let mut ssh = at_work(&bench);
    let mut lines = "up\n".to_owned();
    for (number, fault) in faults.into_iter().enumerate() {
        bench.fault(fault);
        let line = format!("line {number}");
        goes_on(&mut ssh, &line);
        lines.extend([&line, "\n"]);
    }
    let done = ssh.finish().ok();
    assert_eq!((done.text(), done.stderr.as_str()), (lines, ""));
    let report = bench.finish();
    assert!(report.sessions.iter().all(|session| session.upgrades == 1), "the connection was given up");
}

/// ssh at work: its remote command brings back what it gets.
fn at_work(bench: &Bench) -> Running {
    let ssh = bench.ssh().args([HOST, "echo up; exec cat"]).start();
    ssh.expect_stdout("up");
    ssh
}

/// Fails unless a line goes there and back.
#[track_caller]
fn goes_on(ssh: &mut Running, line: &str) {
    ssh.write(format!("{line}\n").as_bytes());
    ssh.expect_stdout(line);
}

/// A message of the agent's.
fn output(sequence: i64, payload: Bytes) -> Message {
    Message::new(message_type::OUTPUT, sequence, 0, payload_type::OUTPUT, payload)
}

/// A bench whose target sends `bytes` on port 7, without the service's limits.
fn facing_source(bytes: Vec<u8>) -> Bench {
    let mut standin = Options::default().unpaced();
    standin.ports.push((7, Peer::source(bytes).address()));
    Bench::with(Setup { standin, ..Setup::default() })
}

/// Waits until no new byte has been carried for half a second.
#[track_caller]
fn still(bench: &Bench) {
    let carried = || {
        let traffic = bench.session().traffic;
        (traffic.bytes_from_client, traffic.bytes_to_client)
    };
    let (mut last, mut since) = (carried(), Instant::now());
    let is_still = until(ANSWER, || {
        let now = carried();
        if now != last {
            (last, since) = (now, Instant::now());
        }
        (since.elapsed() >= Duration::from_millis(500)).then_some(())
    });
    assert!(is_still.is_some(), "bytes still flow after {ANSWER:?}");
}

/// Fails when ssm-proxy holds much more memory than before. The bound on all that it holds is for the release build
/// (`SSM_PROXY`): without optimisation the program itself is larger than that.
#[track_caller]
fn assert_grown_little(before: Option<Memory>, now: Option<Memory>) {
    // Only Linux tells.
    let (Some(before), Some(now)) = (before, now) else { return };
    eprintln!("memory: {before:?}, then {now:?}");
    assert!(now.allocated < before.allocated + GROWTH, "memory grew: {before:?}, now {now:?}");
    if std::env::var_os("SSM_PROXY").is_some() {
        assert!(now.peak < PEAK, "ssm-proxy's memory: {now:?}");
    }
}
