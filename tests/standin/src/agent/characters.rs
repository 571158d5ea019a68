//! The agent's cutting of terminal output at the borders of UTF-8 characters (sessions §2.2).
//!
//! It works as the agent's loop does, its faults included: bytes that form no character are held back when they are among
//! the last three, and a true U+FFFD loses two of its three bytes.

use bytes::{Bytes, BytesMut};

/// Bytes of the longest character.
const LONGEST: usize = 4;

/// What is to be sent now of `held` and the `new` bytes; the rest stays in `held`.
pub(super) fn cut(held: &mut BytesMut, new: &[u8]) -> Bytes {
    held.extend_from_slice(new);
    let (mut out, mut at) = (BytesMut::with_capacity(held.len()), 0);
    while let Some(rest) = held.get(at..).filter(|rest| !rest.is_empty()) {
        match character(rest) {
            Some(length) => {
                out.extend_from_slice(rest.get(..length).unwrap_or_default());
                at += length;
            }
            None if rest.len() < LONGEST => break,
            None => {
                out.extend_from_slice(rest.get(..1).unwrap_or_default());
                at += if rest.starts_with("\u{FFFD}".as_bytes()) { 3 } else { 1 };
            }
        }
    }
    let _ = held.split_to(at.min(held.len()));
    out.freeze()
}

/// The length of the character that `bytes` start with; none for the replacement character, which the agent takes for an
/// error.
fn character(bytes: &[u8]) -> Option<usize> {
    let length = (1..=LONGEST).find(|n| bytes.get(..*n).is_some_and(|text| std::str::from_utf8(text).is_ok()))?;
    (!bytes.starts_with("\u{FFFD}".as_bytes())).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(pieces: &[&[u8]]) -> (Vec<Vec<u8>>, Vec<u8>) {
        let mut held = BytesMut::new();
        let sent = pieces.iter().map(|piece| cut(&mut held, piece).to_vec()).collect();
        (sent, held.to_vec())
    }

    #[test]
    fn unfinished_characters_wait_for_their_rest() {
        assert_eq!(run(&[b"ab\xe2\x82", b"\xac!"]), (vec![b"ab".to_vec(), "€!".as_bytes().to_vec()], vec![]));
        assert_eq!(run(&[b"\xf0\x9f\x98"]).1, b"\xf0\x9f\x98");
        assert_eq!(run(&[b"x\xff"]), (vec![b"x".to_vec()], vec![0xff]));
    }

    #[test]
    fn invalid_bytes_pass_and_a_true_replacement_character_is_damaged() {
        assert_eq!(run(&[b"\xffabc\xc3"]), (vec![b"\xffabc".to_vec()], vec![0xc3]));
        assert_eq!(run(&["\u{FFFD}abc".as_bytes()]).0, [b"\xefabc"]);
    }

    #[test]
    fn a_payload_is_at_most_three_bytes_longer_than_what_was_read() {
        let mut held = BytesMut::from(&b"\xf0\x9f\x98"[..]);
        let mut new = vec![b'a'; 1024];
        new[0] = 0x80;
        assert_eq!(cut(&mut held, &new).len(), 1027);
    }
}
