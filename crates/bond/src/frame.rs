//! Frames: how they look on a link.

use crate::event::ProtocolError;

/// Kind and length.
pub(crate) const HEADER: usize = 3;
/// What is ahead of the bytes of a data frame.
pub(crate) const DATA_HEADER: usize = HEADER + 8;
/// Bytes of data in one frame at most: with its header it fills a message of the agent.
pub(crate) const MAX_DATA: usize = 1024 - DATA_HEADER;
/// Bytes behind the header of any frame at most. It bounds what a link holds of a frame that is not whole.
const MAX_BODY: usize = 2048;
/// What an acknowledgement says of one link.
const LINK_ACK: usize = 14;
const ACK_BASE: usize = 16;
/// Links that one acknowledgement tells of.
pub(crate) const MAX_ACKED: usize = 32;

const DATA: u8 = 1;
const ACK: u8 = 2;
const FIN: u8 = 3;
const RESET: u8 = 4;
const RETIRE: u8 = 5;
const PING: u8 = 6;
const ACCEPT: u8 = 7;
const REFUSE: u8 = 8;

/// What has arrived on one link.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct LinkAck {
    pub(crate) link: u32,
    /// Frames of data, and the end, since the link was opened.
    pub(crate) frames: u64,
    /// How long ago the newest of them has come, in milliseconds.
    pub(crate) age: u16,
}

/// One frame.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Frame<'a> {
    Data { offset: u64, bytes: &'a [u8] },
    Ack { delivered: u64, window: u64, links: Vec<LinkAck> },
    Fin { offset: u64 },
    Reset,
    Retire,
    Ping,
    Accept { tag: [u8; 32] },
    Refuse { reason: u8 },
    Unknown,
}

impl Frame<'_> {
    /// Writes the frame behind what is in `out`.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let (kind, start) = (self.kind(), out.len());
        out.extend_from_slice(&[kind, 0, 0]);
        match self {
            Self::Data { offset, bytes } => {
                out.extend_from_slice(&offset.to_be_bytes());
                out.extend_from_slice(bytes);
            }
            Self::Ack { delivered, window, links } => {
                out.extend_from_slice(&delivered.to_be_bytes());
                out.extend_from_slice(&window.to_be_bytes());
                for LinkAck { link, frames, age } in links {
                    out.extend_from_slice(&link.to_be_bytes());
                    out.extend_from_slice(&frames.to_be_bytes());
                    out.extend_from_slice(&age.to_be_bytes());
                }
            }
            Self::Fin { offset } => out.extend_from_slice(&offset.to_be_bytes()),
            Self::Accept { tag } => out.extend_from_slice(tag),
            Self::Refuse { reason } => out.push(*reason),
            Self::Reset | Self::Retire | Self::Ping | Self::Unknown => {}
        }
        let length = u16::try_from(out.len() - start - HEADER).unwrap_or(u16::MAX).to_be_bytes();
        if let Some(place) = out.get_mut(start + 1..start + HEADER) {
            place.copy_from_slice(&length);
        }
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Data { .. } => DATA,
            Self::Ack { .. } => ACK,
            Self::Fin { .. } => FIN,
            Self::Reset => RESET,
            Self::Retire => RETIRE,
            Self::Ping => PING,
            Self::Accept { .. } => ACCEPT,
            Self::Refuse { .. } => REFUSE,
            Self::Unknown => 0,
        }
    }

    /// Bytes of an acknowledgement of so many links.
    pub(crate) fn ack_length(links: usize) -> usize {
        HEADER + ACK_BASE + links * LINK_ACK
    }
}

/// The frame at the beginning of `bytes`, and how long it is; nothing if more bytes are needed.
pub(crate) fn decode(bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>, ProtocolError> {
    let Some(([kind, high, low], rest)) = bytes.split_first_chunk::<HEADER>() else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    if length > MAX_BODY {
        return Err(ProtocolError::Length(*kind));
    }
    let Some(body) = rest.get(..length) else { return Ok(None) };
    let frame = parse(*kind, body).ok_or(ProtocolError::Length(*kind))?;
    Ok(Some((frame, HEADER + length)))
}

fn parse(kind: u8, body: &[u8]) -> Option<Frame<'_>> {
    let is_empty = body.is_empty();
    match kind {
        DATA => {
            let (offset, bytes) = u64_at(body)?;
            (!bytes.is_empty()).then_some(Frame::Data { offset, bytes })
        }
        ACK => {
            let (delivered, rest) = u64_at(body)?;
            let (window, rest) = u64_at(rest)?;
            let (links, []) = rest.as_chunks::<LINK_ACK>() else { return None };
            (links.len() <= MAX_ACKED).then_some(())?;
            Some(Frame::Ack { delivered, window, links: links.iter().map(link_ack).collect::<Option<_>>()? })
        }
        FIN => u64_at(body).and_then(|(offset, rest)| rest.is_empty().then_some(Frame::Fin { offset })),
        RESET => is_empty.then_some(Frame::Reset),
        RETIRE => is_empty.then_some(Frame::Retire),
        PING => is_empty.then_some(Frame::Ping),
        ACCEPT => Some(Frame::Accept { tag: body.try_into().ok()? }),
        REFUSE => match body {
            [reason] => Some(Frame::Refuse { reason: *reason }),
            _ => None,
        },
        _ => Some(Frame::Unknown),
    }
}

fn u64_at(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u64::from_be_bytes(*number), rest))
}

fn link_ack(bytes: &[u8; LINK_ACK]) -> Option<LinkAck> {
    let (link, rest) = bytes.split_first_chunk()?;
    let (frames, rest) = u64_at(rest)?;
    let age = u16::from_be_bytes(rest.try_into().ok()?);
    Some(LinkAck { link: u32::from_be_bytes(*link), frames, age })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames() -> Vec<Frame<'static>> {
        let links = vec![LinkAck { link: 3, frames: 1 << 40, age: 21 }, LinkAck { link: 4, frames: 0, age: 0 }];
        vec![
            Frame::Data { offset: u64::MAX - 2, bytes: b"hello" },
            Frame::Ack { delivered: 7, window: 1 << 22, links },
            Frame::Ack { delivered: 0, window: 0, links: Vec::new() },
            Frame::Fin { offset: 9 },
            Frame::Reset,
            Frame::Retire,
            Frame::Ping,
            Frame::Accept { tag: [5; 32] },
            Frame::Refuse { reason: 2 },
        ]
    }

    #[test]
    fn each_frame_is_read_as_it_was_written_and_not_before_it_is_whole() {
        for frame in frames() {
            let mut bytes = Vec::new();
            frame.encode(&mut bytes);
            for length in 0..bytes.len() {
                assert_eq!(decode(&bytes[..length]), Ok(None), "{frame:?}");
            }
            assert_eq!(decode(&bytes), Ok(Some((frame, bytes.len()))));
        }
    }

    #[test]
    fn a_frame_of_a_kind_to_come_is_passed_over() {
        assert_eq!(decode(&[99, 0, 2, 7, 7, 1]), Ok(Some((Frame::Unknown, 5))));
    }

    #[test]
    fn a_frame_of_the_wrong_length_is_an_error() {
        for bytes in [&[1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0][..], &[4, 0, 1, 0], &[7, 0, 1, 0], &[2, 0, 3, 0, 0, 0]] {
            assert_eq!(decode(bytes), Err(ProtocolError::Length(bytes[0])));
        }
    }

    #[test]
    fn whatever_comes_is_a_frame_an_error_or_too_short() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..random.usize(..80)).map(|_| random.u8(..)).collect();
            let with_kind: Vec<u8> = [random.u8(..10), 0, random.u8(..70)].into_iter().chain(bytes).collect();
            if let Ok(Some((_, length))) = decode(&with_kind) {
                assert!(length <= with_kind.len());
            }
        }
    }
}
