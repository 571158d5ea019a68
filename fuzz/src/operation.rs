//! The steps of a session, read from the fuzzer's bytes.
//!
//! Written by hand and not derived: everything is read front to back at fixed widths, so that a small change of the
//! input is a small change of the session, and so that a captured session can be written as one.

use arbitrary::{Arbitrary, Result, Unstructured};

/// One step.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Operation {
    /// A frame of any bytes.
    Raw {
        /// Whether its digest is put right.
        repair: bool,
        /// The bytes.
        frame: Vec<u8>,
    },
    /// A well-formed frame with any fields.
    Crafted {
        /// Index of its MessageType.
        message_type: u8,
        /// Whether it has the service's header of 112 bytes.
        short_header: bool,
        /// CreatedDate.
        created: u64,
        /// SequenceNumber.
        sequence: i64,
        /// Flags.
        flags: u64,
        /// MessageId.
        id: u128,
        /// PayloadType.
        payload_type: u32,
        /// The payload.
        payload: Vec<u8>,
    },
    /// The agent's stream data, numbered from the one that is expected.
    Stream {
        /// How far ahead of it, or behind.
        ahead: i16,
        /// PayloadType.
        payload_type: u8,
        /// The payload.
        payload: Vec<u8>,
    },
    /// The agent's next stream data, damaged on the way.
    Damaged {
        /// Where.
        at: u16,
        /// The bits that change there.
        bits: u8,
        /// Bytes cut from its end.
        cut: u8,
        /// Bytes added to its end.
        added: u8,
        /// Whether its digest is put right.
        repair: bool,
    },
    /// Many messages of stream data, one after another.
    Flood {
        /// How far ahead of the expected one the first is, or behind.
        ahead: i16,
        /// PayloadType.
        payload_type: u8,
        /// How many.
        count: u16,
        /// Bytes in each.
        length: u16,
        /// Bytes behind each that belong to no payload.
        trailing: u16,
    },
    /// An acknowledgement of a message of ours, counted back from the next one.
    Acknowledge {
        /// How far back.
        back: u16,
    },
    /// A handshake request as an agent makes it.
    Request {
        /// Whether the agent is one that acknowledges only once.
        old: bool,
        /// The session's kind, where others than those to a port are accepted.
        kind: u8,
    },
    /// The handshake's end as an agent makes it.
    Complete,
    /// "Stop sending".
    Pause,
    /// "You may send".
    Start,
    /// The service's last word.
    Closed {
        /// Its JSON, or not.
        payload: Vec<u8>,
    },
    /// Time passes.
    Wait {
        /// Microseconds of it.
        micros: u32,
    },
    /// Much time passes.
    Sleep {
        /// Hours of it.
        hours: u16,
    },
    /// Time passes until the channel wants to be called.
    Timeout,
    /// The channel is told the time.
    Tick,
    /// ssh writes.
    Send {
        /// Bytes.
        length: u16,
    },
    /// ssh ends.
    Finish,
    /// The socket is lost.
    Lost,
    /// There is a socket.
    Up,
    /// The socket takes some frames.
    Frames {
        /// How many at most.
        count: u8,
    },
    /// ssh reads some output.
    Output {
        /// How many pieces at most.
        count: u8,
    },
    /// Everything is drained.
    Settle,
    /// The terminal has another size.
    Resize {
        /// Columns.
        cols: u16,
        /// Rows.
        rows: u16,
    },
}

const KINDS: u8 = 21;
/// A kind of its own, and a rare one: one flood takes as long as a thousand other steps.
const FLOOD: u8 = 255;
/// A rare one, too: the kinds that there were before keep their bytes, and so their inputs.
const RESIZE: u8 = 254;

impl<'a> Arbitrary<'a> for Operation {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(match u8::arbitrary(u)? {
            FLOOD => Self::Flood {
                ahead: u.arbitrary()?,
                payload_type: u.arbitrary()?,
                count: u.arbitrary()?,
                length: u.arbitrary()?,
                trailing: u.arbitrary()?,
            },
            RESIZE => Self::Resize { cols: u.arbitrary()?, rows: u.arbitrary()? },
            kind => Self::of_kind(kind % KINDS, u)?,
        })
    }
}

impl Operation {
    fn of_kind(kind: u8, u: &mut Unstructured<'_>) -> Result<Self> {
        Ok(match kind {
            0 => Self::Raw { repair: flag(u)?, frame: bytes(u)? },
            1 => Self::Crafted {
                message_type: u.arbitrary()?,
                short_header: flag(u)?,
                created: u.arbitrary()?,
                sequence: u.arbitrary()?,
                flags: u.arbitrary()?,
                id: u.arbitrary()?,
                payload_type: u.arbitrary()?,
                payload: bytes(u)?,
            },
            2 => Self::Stream { ahead: u.arbitrary()?, payload_type: u.arbitrary()?, payload: bytes(u)? },
            3 => Self::Damaged {
                at: u.arbitrary()?,
                bits: u.arbitrary()?,
                cut: u.arbitrary()?,
                added: u.arbitrary()?,
                repair: flag(u)?,
            },
            4 => Self::Settle,
            5 => Self::Acknowledge { back: u.arbitrary()? },
            6 => {
                let byte: u8 = u.arbitrary()?;
                Self::Request { old: byte & 1 == 1, kind: byte >> 1 }
            }
            7 => Self::Complete,
            8 => Self::Pause,
            9 => Self::Start,
            10 => Self::Closed { payload: bytes(u)? },
            11 => Self::Wait { micros: u.arbitrary()? },
            12 => Self::Sleep { hours: u.arbitrary()? },
            13 => Self::Timeout,
            14 => Self::Tick,
            15 => Self::Send { length: u.arbitrary()? },
            16 => Self::Finish,
            17 => Self::Lost,
            18 => Self::Up,
            19 => Self::Frames { count: u.arbitrary()? },
            _ => Self::Output { count: u.arbitrary()? },
        })
    }
}

fn flag(u: &mut Unstructured<'_>) -> Result<bool> {
    Ok(u8::arbitrary(u)? & 1 == 1)
}

/// A length in two bytes, then as many bytes as there are.
pub(crate) fn bytes(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let length = usize::from(u16::arbitrary(u)?).min(u.len());
    Ok(u.bytes(length)?.to_vec())
}

impl Operation {
    /// Appends the bytes that are read as this step.
    pub fn write(&self, to: &mut Vec<u8>) {
        let mut put = |bytes: &[u8]| to.extend_from_slice(bytes);
        match self {
            Self::Raw { repair, frame } => {
                put(&[0, u8::from(*repair)]);
                put(&sized(frame));
            }
            Self::Crafted { message_type, short_header, created, sequence, flags, id, payload_type, payload } => {
                put(&[1, *message_type, u8::from(*short_header)]);
                put(&created.to_le_bytes());
                put(&sequence.to_le_bytes());
                put(&flags.to_le_bytes());
                put(&id.to_le_bytes());
                put(&payload_type.to_le_bytes());
                put(&sized(payload));
            }
            Self::Stream { ahead, payload_type, payload } => {
                put(&[2]);
                put(&ahead.to_le_bytes());
                put(&[*payload_type]);
                put(&sized(payload));
            }
            Self::Damaged { at, bits, cut, added, repair } => {
                put(&[3]);
                put(&at.to_le_bytes());
                put(&[*bits, *cut, *added, u8::from(*repair)]);
            }
            Self::Flood { ahead, payload_type, count, length, trailing } => {
                put(&[FLOOD]);
                put(&ahead.to_le_bytes());
                put(&[*payload_type]);
                put(&count.to_le_bytes());
                put(&length.to_le_bytes());
                put(&trailing.to_le_bytes());
            }
            Self::Acknowledge { back } => {
                put(&[5]);
                put(&back.to_le_bytes());
            }
            Self::Request { old, kind } => put(&[6, u8::from(*old) | kind << 1]),
            Self::Complete => put(&[7]),
            Self::Pause => put(&[8]),
            Self::Start => put(&[9]),
            Self::Closed { payload } => {
                put(&[10]);
                put(&sized(payload));
            }
            Self::Wait { micros } => {
                put(&[11]);
                put(&micros.to_le_bytes());
            }
            Self::Sleep { hours } => {
                put(&[12]);
                put(&hours.to_le_bytes());
            }
            Self::Timeout => put(&[13]),
            Self::Tick => put(&[14]),
            Self::Send { length } => {
                put(&[15]);
                put(&length.to_le_bytes());
            }
            Self::Finish => put(&[16]),
            Self::Lost => put(&[17]),
            Self::Up => put(&[18]),
            Self::Frames { count } => put(&[19, *count]),
            Self::Output { count } => put(&[20, *count]),
            Self::Settle => put(&[4]),
            Self::Resize { cols, rows } => {
                put(&[RESIZE]);
                put(&cols.to_le_bytes());
                put(&rows.to_le_bytes());
            }
        }
    }
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("seeds are small");
    [&length.to_le_bytes(), bytes].concat()
}
