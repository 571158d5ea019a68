//! The binary message, encoded and decoded: digest included, as for every message of a transfer.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ssm_channel::{Message, MessageType, PayloadType};
use uuid::Uuid;

/// A keystroke, an acknowledgement, what AWS's own client sends at most, what the service also takes.
const PAYLOADS: [usize; 4] = [36, 224, 1024, 1536];

fn message(length: usize) -> Message {
    Message {
        message_type: MessageType::InputStreamData,
        created: 1_700_000_000_000,
        sequence: 1,
        flags: 0,
        id: Uuid::from_u128(1),
        payload_type: PayloadType::OUTPUT,
        payload: Bytes::from(fixtures::noise(1, length)),
    }
}

fn codec(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codec");
    for length in PAYLOADS {
        let message = message(length);
        let frame = message.encode();
        group.throughput(Throughput::Bytes(length as u64));
        group.bench_function(BenchmarkId::new("encode", length), |bencher| {
            bencher.iter(|| black_box(&message).encode());
        });
        group.bench_function(BenchmarkId::new("decode", length), |bencher| {
            bencher.iter(|| Message::decode(black_box(&frame)));
        });
    }
    group.finish();
}

criterion_group!(benches, codec);
criterion_main!(benches);
