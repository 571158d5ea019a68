//! The channel by itself: transfers over a simulated path in virtual time, without sockets or sleep.
//!
//! The far side's frames are made before the clock runs, so that only the channel's own work counts. The path has a
//! round trip of 100 ms and no loss; the window decides how much of it is used at once.

#![allow(clippy::expect_used, reason = "a bench whose far side cannot be made ends, with a message")]

use std::collections::VecDeque;
use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group};
use ssm_channel::{Accepts, Channel, Config, Service};
use standin::codec::{self, SYN, message_type, payload_type};
use uuid::Uuid;

/// Messages of one transfer.
const MESSAGES: usize = 4096;
const PAYLOAD: usize = 1024;
const ONE_WAY: Duration = Duration::from_millis(50);

/// A channel whose handshake is complete and whose far side has greeted, and the time at which that is so.
fn ready() -> (Channel, Instant) {
    let now = Instant::now();
    let mut channel = Channel::new(
        Config { unix_millis: 1_700_000_000_000, seed: 1, service: Service::Unlimited, accepts: Accepts::Port },
        now,
    );
    channel.transport_up();
    let request = r#"{"AgentVersion":"3.3.2299.0","RequestedClientActions":[{"ActionType":"SessionType",
        "ActionParameters":{"SessionType":"Port","Properties":{"portNumber":"22"}}}]}"#;
    for (sequence, kind, payload) in [
        (0, payload_type::HANDSHAKE_REQUEST, request.as_bytes()),
        (1, payload_type::HANDSHAKE_COMPLETE, br#"{"HandshakeTimeToComplete":1,"CustomerMessage":""}"#),
        (2, payload_type::OUTPUT, b"SSH-2.0-x\r\n"),
    ] {
        let flags = if sequence == 0 { SYN } else { 0 };
        channel.handle_frame(now, &from_agent(sequence, flags, kind, payload)).expect("a message of the handshake");
        while channel.poll_frame(now).is_some() {}
    }
    while channel.poll_event().is_some() {}
    while channel.poll_output().is_some() {}
    (channel, now)
}

fn from_agent(sequence: i64, flags: u64, kind: u32, payload: &[u8]) -> Bytes {
    let message = codec::Message::new(message_type::OUTPUT, sequence, flags, kind, Bytes::copy_from_slice(payload));
    message.stamped(Uuid::from_u128(1 + sequence as u128), 1).encode()
}

/// The agent's acknowledgements of the first messages with data, in order.
fn acknowledgements() -> VecDeque<Bytes> {
    let of = |sequence| {
        let data = codec::Message::new(message_type::INPUT, sequence, 0, payload_type::OUTPUT, Bytes::new());
        data.stamped(Uuid::from_u128(sequence as u128), 1).acknowledgement(Uuid::from_u128(7), 1).encode()
    };
    (1..=MESSAGES as i64).map(of).collect()
}

fn output() -> VecDeque<Bytes> {
    let payload = fixtures::noise(1, PAYLOAD);
    (3..3 + MESSAGES as i64).map(|sequence| from_agent(sequence, 0, payload_type::OUTPUT, &payload)).collect()
}

/// Sends [`MESSAGES`] full messages; each is acknowledged a round trip after it went out.
fn upload((mut channel, mut now): (Channel, Instant), mut acknowledgements: VecDeque<Bytes>) {
    let bytes = [7; PAYLOAD];
    let mut due = VecDeque::with_capacity(MESSAGES);
    let mut written = 0;
    while !acknowledgements.is_empty() {
        while written < MESSAGES * PAYLOAD && channel.send_capacity(now) >= PAYLOAD {
            written += channel.send(now, &bytes);
        }
        while let Some(frame) = channel.poll_frame(now) {
            black_box(frame);
            due.push_back(now + ONE_WAY * 2);
        }
        now = due.front().map_or(now, |due| now.max(*due));
        channel.handle_timeout(now);
        while due.pop_front_if(|due| *due <= now).is_some() {
            let Some(acknowledgement) = acknowledgements.pop_front() else { return };
            channel.handle_frame(now, &acknowledgement).expect("an acknowledgement that was waited for");
        }
    }
}

/// Takes [`MESSAGES`] full messages in batches of 16, as they come from a socket; acknowledges and delivers each.
fn download((mut channel, mut now): (Channel, Instant), mut frames: VecDeque<Bytes>) {
    while !frames.is_empty() {
        for frame in frames.drain(..frames.len().min(16)) {
            channel.handle_frame(now, &frame).expect("the next message in order");
        }
        while let Some(output) = channel.poll_output() {
            black_box(output);
        }
        while let Some(acknowledgement) = channel.poll_frame(now) {
            black_box(acknowledgement);
        }
        now += Duration::from_millis(1);
        channel.handle_timeout(now);
    }
}

fn transfers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("channel");
    group.throughput(Throughput::Elements(MESSAGES as u64));
    group.bench_function("upload", |bencher| {
        bencher.iter_batched(
            || (ready(), acknowledgements()),
            |(ready, frames)| upload(ready, frames),
            BatchSize::LargeInput,
        );
    });
    group.bench_function("download", |bencher| {
        bencher.iter_batched(|| (ready(), output()), |(ready, frames)| download(ready, frames), BatchSize::LargeInput);
    });
    group.finish();
}

/// Says how often a message of a transfer asks for memory: its frame, its acknowledgement and their bookkeeping.
fn allocations() {
    let tell = |name: &str, transfer: &mut dyn FnMut()| {
        let counted = allocation_counter::measure(transfer);
        let each = |total: u64| total as f64 / MESSAGES as f64;
        eprintln!(
            "channel/{name}: {:.1} allocations, {:.0} bytes a message",
            each(counted.count_total),
            each(counted.bytes_total)
        );
    };
    let mut given = Some((ready(), acknowledgements()));
    tell("upload", &mut || given.take().into_iter().for_each(|(ready, frames)| upload(ready, frames)));
    let mut given = Some((ready(), output()));
    tell("download", &mut || given.take().into_iter().for_each(|(ready, frames)| download(ready, frames)));
}

criterion_group!(benches, transfers);

fn main() {
    allocations();
    benches();
    Criterion::default().configure_from_args().final_summary();
}
