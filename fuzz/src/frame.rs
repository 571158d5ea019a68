//! A second reading of the wire format, by the text of the protocol and not by the channel's own code, to judge it by.

use bytes::Bytes;
use sha2::{Digest, Sha256};

/// A message whose payload is held against its digest.
#[derive(Debug)]
pub struct Verified<'a> {
    /// MessageType, without its padding.
    pub name: &'a [u8],
    /// SequenceNumber.
    pub sequence: i64,
    /// Flags.
    pub flags: u64,
    /// The 16 bytes of MessageId, in the order of the wire.
    pub id: [u8; 16],
    /// PayloadType; 0 where the header has none.
    pub payload_type: u32,
    /// The payload.
    pub payload: &'a [u8],
}

/// Reads a frame of which every byte that counts is in order; nothing otherwise.
pub fn verify(frame: &[u8]) -> Option<Verified<'_>> {
    let header = u32::from_be_bytes(array(frame, 0)?) as usize;
    if header < 112 || array::<8>(frame, 40)? == [0; 8] {
        return None;
    }
    let length = u32::from_be_bytes(array(frame, header)?) as usize;
    let payload = frame.get(header + 4..)?.get(..length)?;
    if !payload.is_empty() && Sha256::digest(payload)[..] != frame[80..112] {
        return None;
    }
    let payload_type = if header >= 116 { u32::from_be_bytes(array(frame, 112)?) } else { 0 };
    Some(Verified {
        name: name(frame)?,
        sequence: i64::from_be_bytes(array(frame, 48)?),
        flags: u64::from_be_bytes(array(frame, 56)?),
        id: array(frame, 64)?,
        payload_type,
        payload,
    })
}

/// MessageType, without its padding.
pub fn name(frame: &[u8]) -> Option<&[u8]> {
    let field = frame.get(4..36)?;
    let is_padding = |byte: &u8| *byte == 0 || *byte == b' ';
    let start = field.iter().position(|byte| !is_padding(byte)).unwrap_or(field.len());
    let end = field.iter().rposition(|byte| !is_padding(byte)).map_or(start, |last| last + 1);
    Some(&field[start..end])
}

/// Writes the right digest into a frame whose lengths make sense, so that the fuzzer need not guess it.
pub fn repair_digest(frame: &[u8]) -> Bytes {
    let mut repaired = frame.to_vec();
    let payload = array(frame, 0).map(u32::from_be_bytes).and_then(|header| {
        let length = u32::from_be_bytes(array(frame, header as usize)?) as usize;
        frame.get(header as usize + 4..)?.get(..length)
    });
    if let (Some(payload), Some(digest)) = (payload, repaired.get_mut(80..112)) {
        digest.copy_from_slice(&Sha256::digest(payload));
    }
    repaired.into()
}

fn array<const N: usize>(frame: &[u8], at: usize) -> Option<[u8; N]> {
    frame.get(at..)?.first_chunk().copied()
}
