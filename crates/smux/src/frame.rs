//! Frames, the units of the smux byte stream: a header of 8 bytes, little-endian, and data behind one kind of it.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 1 | version, 1 |
//! | 1 | 1 | command: 0 SYN, 1 FIN, 2 PSH, 3 NOP, 4 UPD |
//! | 2 | 2 | length of the data behind the header |
//! | 4 | 4 | stream id; 0 in a NOP |
//!
//! Known from the code of Go's smux, which is in AWS's client and agent, and from captures of the two.

use std::num::NonZeroUsize;

/// Bytes of a header.
pub(crate) const HEADER: usize = 8;
/// Data behind an UPD: two numbers of 4 bytes.
const UPDATE: u16 = 8;
const VERSION: u8 = 1;

/// What a frame does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Command {
    /// Opens a stream.
    Syn = 0,
    /// Closes a stream.
    Fin = 1,
    /// Carries data.
    Psh = 2,
    /// Says that the sender is there.
    Nop = 3,
    /// Moves the window of a stream, in version 2 alone.
    Upd = 4,
}

/// Why the bytes of the far side are not smux version 1. Nothing after them can be read: the session is to be ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ProtocolError {
    /// The first byte of a frame is not 1.
    #[error("a frame of smux version {0}, not 1")]
    Version(u8),
    /// There is no such command.
    #[error("a frame with the unknown command {0}")]
    Command(u8),
    /// A frame that carries no data says that some follows, or an UPD another number than 8. Go's reader would take the
    /// data for the next header; no peer is known that sends such a frame.
    #[error("a frame with the command {command} and a length of {length}")]
    Length {
        /// The command's number.
        command: u8,
        /// What the frame says is behind its header, in bytes.
        length: u16,
    },
}

/// A header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Header {
    pub(crate) command: Command,
    pub(crate) length: u16,
    pub(crate) id: u32,
}

impl Header {
    pub(crate) fn encode(self) -> [u8; HEADER] {
        let [l0, l1] = self.length.to_le_bytes();
        let [i0, i1, i2, i3] = self.id.to_le_bytes();
        [VERSION, self.command as u8, l0, l1, i0, i1, i2, i3]
    }

    pub(crate) fn decode(bytes: [u8; HEADER]) -> Result<Self, ProtocolError> {
        let [version, number, l0, l1, i0, i1, i2, i3] = bytes;
        if version != VERSION {
            return Err(ProtocolError::Version(version));
        }
        let command = match number {
            0 => Command::Syn,
            1 => Command::Fin,
            2 => Command::Psh,
            3 => Command::Nop,
            4 => Command::Upd,
            _ => return Err(ProtocolError::Command(number)),
        };
        let (length, id) = (u16::from_le_bytes([l0, l1]), u32::from_le_bytes([i0, i1, i2, i3]));
        match command {
            Command::Psh => {}
            // Means nothing in version 1. Go's reader passes it over, and so does this one.
            Command::Upd if length == UPDATE => {}
            _ if length == 0 && command != Command::Upd => {}
            _ => return Err(ProtocolError::Length { command: number, length }),
        }
        Ok(Self { command, length, id })
    }
}

/// A part of the stream of frames.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Part<'a> {
    /// A header is complete. The data behind it follows in pieces.
    Header(Header),
    /// A piece of the data behind the last header, never empty.
    Data(&'a [u8]),
}

/// Reads frames from bytes that are cut anywhere. It keeps a header at most: data is passed on as it comes.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    header: [u8; HEADER],
    filled: usize,
    /// Data of the current frame that has not come.
    left: usize,
}

impl Decoder {
    /// The next part of `bytes`, which is taken off them. `None` once they are used up.
    pub(crate) fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Option<Part<'a>>, ProtocolError> {
        if let Some(left) = NonZeroUsize::new(self.left) {
            let (data, rest) = bytes.split_at(left.get().min(bytes.len()));
            *bytes = rest;
            self.left -= data.len();
            return Ok((!data.is_empty()).then_some(Part::Data(data)));
        }
        for place in self.header.iter_mut().skip(self.filled) {
            let Some((byte, rest)) = bytes.split_first() else { return Ok(None) };
            *place = *byte;
            *bytes = rest;
            self.filled += 1;
        }
        self.filled = 0;
        let header = Header::decode(self.header)?;
        self.left = usize::from(header.length);
        Ok(Some(Part::Header(header)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_little_endian() {
        let header = Header { command: Command::Psh, length: 0x8000, id: 5 };
        assert_eq!(header.encode(), [1, 2, 0, 0x80, 5, 0, 0, 0]);
        assert_eq!(Header::decode(header.encode()), Ok(header));
    }

    #[test]
    fn every_header_is_read_or_refused() {
        for version in [0, 1, 2, 255] {
            for command in 0..=255 {
                for length in [0, 1, 8, 65535u16] {
                    let [l0, l1] = length.to_le_bytes();
                    let bytes = [version, command, l0, l1, 7, 0, 0, 1];
                    let right = match command {
                        0 | 1 | 3 => length == 0,
                        2 => true,
                        4 => length == 8,
                        _ => false,
                    };
                    match Header::decode(bytes) {
                        Ok(header) => {
                            assert!(version == 1 && right, "{bytes:?}");
                            assert_eq!(header.encode(), bytes);
                        }
                        Err(ProtocolError::Version(found)) => assert!(version != 1 && found == version),
                        Err(ProtocolError::Command(found)) => assert!(command > 4 && found == command),
                        Err(ProtocolError::Length { .. }) => assert!(command <= 4 && !right, "{bytes:?}"),
                    }
                }
            }
        }
    }

    #[test]
    fn frames_are_read_across_any_cut() {
        let frame = |command, length, id| Header { command, length, id };
        let headers = [
            frame(Command::Syn, 0, 3),
            frame(Command::Psh, 5, 3),
            frame(Command::Psh, 0, 3),
            frame(Command::Upd, 8, 3),
            frame(Command::Nop, 0, 0),
            frame(Command::Fin, 0, 3),
        ];
        let mut bytes = Vec::new();
        for header in headers {
            bytes.extend(header.encode());
            bytes.extend((0..header.length).map(|at| at as u8));
        }
        for size in 1..=bytes.len() {
            let mut decoder = Decoder::default();
            let mut read: Vec<Header> = Vec::new();
            let mut data = 0;
            for mut piece in bytes.chunks(size) {
                while let Some(part) = decoder.next(&mut piece).unwrap() {
                    match part {
                        Part::Header(header) => read.push(header),
                        Part::Data(piece) => data += piece.len(),
                    }
                }
                assert!(piece.is_empty());
            }
            assert_eq!(read, headers);
            assert_eq!(data, 13);
        }
    }
}
