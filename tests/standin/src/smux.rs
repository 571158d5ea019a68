//! Frames of smux version 1, in which forwards carry their connections (sessions §4.5).
//!
//! Bytes in, headers out, and back. What frames mean is the agent's matter, who may send them the judge's.

use bytes::{BufMut, Bytes, BytesMut};

/// The version that both official sides speak.
pub const VERSION: u8 = 1;
/// Bytes of a header.
pub const HEADER_BYTES: usize = 8;
/// Data in one frame that official sides write at most.
pub const FRAME_BYTES: usize = 32_768;
/// Data of a version 2 window update, which a version 1 reader takes and forgets.
pub const UPDATE_BYTES: usize = 8;

/// Commands.
pub mod command {
    /// A stream is opened.
    pub const SYN: u8 = 0;
    /// A stream is closed, entirely.
    pub const FIN: u8 = 1;
    /// Data.
    pub const PSH: u8 = 2;
    /// A sign of life.
    pub const NOP: u8 = 3;
    /// A window update of version 2.
    pub const UPD: u8 = 4;
}

/// A header, as its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The version as sent.
    pub version: u8,
    /// See [`command`].
    pub command: u8,
    /// Bytes of data that follow.
    pub length: u16,
    /// The stream; 0 for NOP.
    pub id: u32,
}

impl Header {
    /// The header at the start of these bytes, if all of it is there.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let [version, command, l0, l1, a, b, c, d] = *bytes.first_chunk::<HEADER_BYTES>()?;
        Some(Self { version, command, length: u16::from_le_bytes([l0, l1]), id: u32::from_le_bytes([a, b, c, d]) })
    }
}

/// A frame with data; what does not fit into its length is left out.
pub fn frame(command: u8, id: u32, data: &[u8]) -> Bytes {
    let length = u16::try_from(data.len()).unwrap_or(u16::MAX);
    let mut out = BytesMut::with_capacity(HEADER_BYTES + data.len());
    out.put_u8(VERSION);
    out.put_u8(command);
    out.put_u16_le(length);
    out.put_u32_le(id);
    out.put_slice(data.get(..usize::from(length)).unwrap_or_default());
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_those_of_gos_client() {
        assert_eq!(hex::encode(frame(command::SYN, 3, b"")), "0100000003000000");
        assert_eq!(hex::encode(frame(command::PSH, 3, b"hello")), "010205000300000068656c6c6f");
        assert_eq!(hex::encode(frame(command::FIN, 5, b"")), "0101000005000000");
        assert_eq!(hex::encode(frame(command::NOP, 0, b"")), "0103000000000000");
    }

    #[test]
    fn headers_are_read_back_and_never_from_too_few_bytes() {
        let bytes = frame(command::PSH, 0x0102_0304, &[7; 7_240]);
        let header = Header { version: 1, command: command::PSH, length: 7_240, id: 0x0102_0304 };
        assert_eq!(Header::decode(&bytes), Some(header));
        assert!((0..HEADER_BYTES).all(|end| Header::decode(&bytes[..end]).is_none()));
    }
}
