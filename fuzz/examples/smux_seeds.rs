//! Writes the hand-made corpus of the target `smux`: one input for each kind of trouble. Run it in this folder:
//! `cargo run --example smux_seeds`.

use std::fs;

/// An operation: which, the stream, a number, and bytes behind it. `src/smux.rs` has the list.
type Operation<'a> = (u8, u8, u16, &'a [u8]);

const OPEN: Operation<'_> = (0, 0, 0, &[]);
const TRANSMIT: Operation<'_> = (8, 0, 1024, &[]);
const DELIVERED: Operation<'_> = (10, 0, 2048, &[]);
const TIMEOUT: Operation<'_> = (15, 0, 0, &[]);
const RESUMED: Operation<'_> = (15, 1, 0, &[]);
const CONNECT_FAILED: Operation<'_> = (15, 2, 0, &[]);

const fn send(stream: u8, length: u16) -> Operation<'static> {
    (2, stream, length, &[])
}

const fn close(stream: u8) -> Operation<'static> {
    (4, stream, 0, &[])
}

const fn reset(stream: u8) -> Operation<'static> {
    (5, stream, 0, &[])
}

const fn read(stream: u8, length: u16) -> Operation<'static> {
    (6, stream, length, &[])
}

const fn data(stream: u8, length: u16) -> Operation<'static> {
    (11, stream, length, &[])
}

/// A frame of the peer with this command, whole.
const fn frame(command: u16, stream: u8) -> Operation<'static> {
    (12, stream, command << 8, &[255])
}

fn main() -> std::io::Result<()> {
    let wide = (0xffff, 0xffff);
    let tight = (1000, 500);
    let bulk: Vec<_> = [OPEN, OPEN].into_iter().chain([send(0, 60_000), send(1, 9_000)]).collect();
    let upload = [&bulk[..], &[TRANSMIT, DELIVERED, TRANSMIT, DELIVERED, TRANSMIT].repeat(20)].concat();
    write("upload", wide, &upload)?;
    write("upload-tight", tight, &upload)?;
    write(
        "download",
        wide,
        &[&[OPEN, OPEN, TRANSMIT][..], &[data(0, 4000), read(0, 3000), data(1, 9)].repeat(12)].concat(),
    )?;
    write(
        "slow-reader",
        tight,
        &[&[OPEN, OPEN, TRANSMIT][..], &[data(0, 300), data(1, 300), read(1, 999)].repeat(9)].concat(),
    )?;
    write("ended", wide, &[OPEN, send(0, 9), close(0), TRANSMIT, DELIVERED, data(0, 5), frame(1, 0), read(0, 9)])?;
    write(
        "ended-there",
        wide,
        &[OPEN, TRANSMIT, data(0, 5), frame(1, 0), send(0, 5), read(0, 9), TRANSMIT, DELIVERED],
    )?;
    write("refused", wide, &[OPEN, OPEN, TRANSMIT, CONNECT_FAILED, frame(1, 0), frame(1, 1), TRANSMIT])?;
    write("reset", wide, &[OPEN, OPEN, reset(0), send(1, 99), TRANSMIT, reset(1), data(1, 9), TRANSMIT, frame(1, 1)])?;
    write("stalled", wide, &[OPEN, send(0, 99), TRANSMIT, TIMEOUT, DELIVERED, TIMEOUT, RESUMED, TIMEOUT])?;
    write("idle", wide, &[TIMEOUT, TRANSMIT, TIMEOUT, TIMEOUT, TRANSMIT, OPEN, TRANSMIT])?;
    write("strange", wide, &[OPEN, TRANSMIT, frame(0, 0), frame(3, 0), frame(4, 0), frame(2, 9), frame(0, 9)])?;
    write("version-2", wide, &[OPEN, send(0, 9), (13, 8, 0, &[2, 0, 0, 0, 3, 0, 0, 0]), TRANSMIT, OPEN, read(0, 9)])?;
    write(
        "cut",
        wide,
        &[OPEN, TRANSMIT, (13, 9, 0, &[1, 2, 4, 0, 3, 0, 0, 0, 9]), read(0, 9), (13, 2, 0, &[8, 7]), read(0, 9)],
    )?;
    write("full", wide, &[&[OPEN, send(0, 1)].repeat(140)[..], &[TRANSMIT; 9]].concat())
}

fn write(name: &str, limits: (u16, u16), operations: &[Operation<'_>]) -> std::io::Result<()> {
    let mut bytes = [limits.0.to_le_bytes(), limits.1.to_le_bytes()].concat();
    for (which, stream, number, behind) in operations {
        bytes.extend([*which, *stream]);
        bytes.extend(number.to_le_bytes());
        bytes.extend(*behind);
    }
    fs::create_dir_all("corpus/smux")?;
    fs::write(format!("corpus/smux/{name}"), bytes)
}
