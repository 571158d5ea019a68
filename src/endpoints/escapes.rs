//! ssh's escapes, `~.` and its like, as a state machine over the bytes that are typed.
//!
//! A tilde counts at the start and after a newline that was typed. It knows bytes, and nothing of what becomes of them.

/// What begins an escape.
const ESCAPE: u8 = b'~';
/// Ctrl-Z, as a terminal in raw mode sends it.
const CTRL_Z: u8 = 0x1a;

/// A piece of what was typed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Typed {
    /// Bytes for the far side; never none.
    Bytes(Vec<u8>),
    /// `~.`: to end the session. Nothing comes after it.
    End,
    /// `~?`: to list the escapes.
    Help,
    /// `~#`: to show the summary.
    Summary,
    /// `~^Z`: to stop this program, as Ctrl-Z stops others.
    Suspend,
}

/// Where the next byte stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    /// At the start, or after a newline or an escape: a tilde begins an escape.
    LineStart,
    /// After a tilde that is held back.
    Escape,
    /// Within a line: a tilde is one.
    Line,
    /// After the end.
    Ended,
}

/// The escapes among what is typed.
#[derive(Debug)]
pub struct Escapes {
    place: Place,
}

impl Default for Escapes {
    fn default() -> Self {
        Self { place: Place::LineStart }
    }
}

impl Escapes {
    /// Takes the bytes that come next, and gives the pieces that they complete, in order.
    pub fn typed(&mut self, bytes: &[u8]) -> Vec<Typed> {
        let mut pieces = Pieces::default();
        for byte in bytes {
            self.take(*byte, &mut pieces);
        }
        pieces.finish()
    }

    /// Ends the input, and gives the tilde that is held back, if one is.
    pub fn finish(self) -> Option<Typed> {
        (self.place == Place::Escape).then(|| Typed::Bytes(vec![ESCAPE]))
    }

    fn take(&mut self, byte: u8, pieces: &mut Pieces) {
        self.place = match (self.place, byte) {
            (Place::LineStart, ESCAPE) => Place::Escape,
            (Place::Escape, b'.') => {
                pieces.push(Typed::End);
                Place::Ended
            }
            (Place::Escape, b'?') => pieces.command(Typed::Help),
            (Place::Escape, b'#') => pieces.command(Typed::Summary),
            (Place::Escape, CTRL_Z) => pieces.command(Typed::Suspend),
            (Place::Escape, ESCAPE) | (Place::LineStart | Place::Line, _) => pieces.byte(byte),
            (Place::Escape, _) => {
                pieces.byte(ESCAPE);
                pieces.byte(byte)
            }
            (Place::Ended, _) => Place::Ended,
        };
    }
}

/// The pieces so far, and the bytes that the next one begins with.
#[derive(Default)]
struct Pieces {
    done: Vec<Typed>,
    bytes: Vec<u8>,
}

impl Pieces {
    /// Adds a byte, and says where the next one stands.
    fn byte(&mut self, byte: u8) -> Place {
        self.bytes.push(byte);
        if matches!(byte, b'\r' | b'\n') { Place::LineStart } else { Place::Line }
    }

    /// Adds an escape after which another may follow at once, as in ssh.
    fn command(&mut self, command: Typed) -> Place {
        self.push(command);
        Place::LineStart
    }

    fn push(&mut self, command: Typed) {
        self.flush();
        self.done.push(command);
    }

    fn flush(&mut self) {
        if !self.bytes.is_empty() {
            self.done.push(Typed::Bytes(std::mem::take(&mut self.bytes)));
        }
    }

    fn finish(mut self) -> Vec<Typed> {
        self.flush();
        self.done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of chunks that are typed one after another, with neighbouring bytes in one piece.
    fn typed<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Typed> {
        let mut escapes = Escapes::default();
        let mut pieces: Vec<Typed> = chunks.into_iter().flat_map(|chunk| escapes.typed(chunk)).collect();
        pieces.extend(escapes.finish());
        let mut joined: Vec<Typed> = Vec::new();
        for piece in pieces {
            match (joined.last_mut(), piece) {
                (Some(Typed::Bytes(before)), Typed::Bytes(bytes)) => before.extend(bytes),
                (_, piece) => joined.push(piece),
            }
        }
        joined
    }

    fn bytes(text: &str) -> Typed {
        Typed::Bytes(text.into())
    }

    /// A line of `length` bytes, of those that matter and some others.
    fn random(random: &mut fastrand::Rng, length: usize) -> Vec<u8> {
        std::iter::repeat_with(|| *random.choice(b"~~~~\r\n\n.?#\x1aab\x00\xff").unwrap()).take(length).collect()
    }

    #[test]
    fn each_escape_is_seen_at_the_start_and_after_a_newline() {
        let cases: &[(&str, &[Typed])] = &[
            ("~.", &[Typed::End]),
            ("~?", &[Typed::Help]),
            ("~#", &[Typed::Summary]),
            ("~\x1a", &[Typed::Suspend]),
            ("~~", &[bytes("~")]),
            ("~~.", &[bytes("~.")]),
            ("ls\r~.rest", &[bytes("ls\r"), Typed::End]),
            ("ls\n~?~#x", &[bytes("ls\n"), Typed::Help, Typed::Summary, bytes("x")]),
            ("~x", &[bytes("~x")]),
            ("~\r~.", &[bytes("~\r"), Typed::End]),
            ("ls ~.", &[bytes("ls ~.")]),
            ("~x~.", &[bytes("~x~.")]),
            ("\r~", &[bytes("\r~")]),
            ("", &[]),
        ];
        for (line, expected) in cases {
            assert_eq!(typed([line.as_bytes()]), *expected, "{line:?}");
        }
    }

    #[test]
    fn a_tilde_is_held_back_until_its_meaning_is_known() {
        let mut escapes = Escapes::default();
        assert_eq!(escapes.typed(b"a\r~"), [bytes("a\r")]);
        assert_eq!(escapes.typed(b"b"), [bytes("~b")]);
        assert_eq!(escapes.typed(b"\r~"), [bytes("\r")]);
        assert_eq!(escapes.typed(b"."), [Typed::End]);
        assert_eq!(escapes.typed(b"more"), []);
    }

    #[test]
    fn the_borders_of_chunks_mean_nothing() {
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..20_000 {
            let length = rng.usize(..24);
            let line = random(&mut rng, length);
            let whole = typed([&*line]);
            let (first, rest) = line.split_at(rng.usize(..=length));
            let (second, third) = rest.split_at(rng.usize(..=rest.len()));
            assert_eq!(typed([first, second, third]), whole, "{first:?} {second:?} {third:?}");
            assert_eq!(typed(line.chunks(1)), whole, "{line:?}");
        }
    }

    #[test]
    fn without_a_tilde_after_a_newline_everything_passes() {
        let mut rng = fastrand::Rng::with_seed(2);
        for _ in 0..20_000 {
            let length = rng.usize(..24);
            let mut line = random(&mut rng, length);
            line.insert(0, b'x');
            for at in 1..line.len() {
                if line[at] == ESCAPE && matches!(line[at - 1], b'\r' | b'\n') {
                    line[at] = b'-';
                }
            }
            assert_eq!(typed([&*line]), [Typed::Bytes(line.clone())]);
        }
    }
}
