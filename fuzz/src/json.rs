//! JSON made of tokens: any sequence of them gives a text that is JSON, so that a small change of the input is another
//! order, a missing member or a doubled key, and seldom a text that is none.

use arbitrary::{Arbitrary, Result, Unstructured};

/// Texts, for keys and for values; each is one token.
pub const WORDS: [&str; 26] = [
    "AgentVersion",
    "RequestedClientActions",
    "ActionType",
    "ActionParameters",
    "SessionType",
    "KMSEncryption",
    "Properties",
    "type",
    "KMSKeyId",
    "Challenge",
    "CustomerMessage",
    "Port",
    "LocalPortForwarding",
    "Standard_Stream",
    "InteractiveCommands",
    "NonInteractiveCommands",
    "portNumber",
    "22",
    "3.3.0.0",
    "3.1.0.0",
    "99999999999999999999.1.-2",
    "",
    "a",
    "\u{7f}\"\\\n\u{200b}",
    "\u{0}",
    "EXIT_CODE: 7",
];
/// Values that are no texts.
const LITERALS: [&str; 7] = ["null", "true", "0", "-1", "18446744073709551616", "1.5e300", "1e999"];

/// An object begins.
pub const OBJECT: u8 = 0;
/// An array begins.
pub const ARRAY: u8 = 1;
/// The object or array ends.
pub const END: u8 = 2;
/// A long text: the next two bytes are its length, the third its letter.
pub const LONG: u8 = 3;
/// Arrays in arrays: the next byte is how many.
pub const NEST: u8 = 4;
/// Many empty objects, or actions that have a type: the next byte is how many times sixteen.
pub const MANY: u8 = 5;
/// A text of the input's: the next byte is its length.
pub const TEXT: u8 = 6;
/// The first of [`WORDS`].
const WORD: u8 = 7;

/// The token of a word.
pub fn word(word: &str) -> u8 {
    let at = WORDS.iter().position(|other| *other == word).expect("a word that is a token");
    WORD + at as u8
}

/// Writes what the tokens say, up to the end of the outermost value.
///
/// # Errors
/// When the input ends in the middle of a token.
pub fn write(tokens: &[u8]) -> Result<String> {
    let mut u = Unstructured::new(tokens);
    let mut writer = Writer::default();
    while !u.is_empty() && !writer.is_complete() {
        match u8::arbitrary(&mut u)? {
            OBJECT => writer.open(Inside::Object { wants_key: true }),
            ARRAY => writer.open(Inside::Array),
            END => writer.close(),
            LONG => {
                let length = u16::arbitrary(&mut u)?;
                let letter = ["x", "\u{7f}", "\u{200b}", "\""][usize::from(u8::arbitrary(&mut u)? % 4)];
                writer.text(&letter.repeat(length.into()));
            }
            NEST => (0..u8::arbitrary(&mut u)?).for_each(|_| writer.open(Inside::Array)),
            MANY => {
                let many = u8::arbitrary(&mut u)?;
                let action = if many & 1 == 1 { r#"{"ActionType":"x"}"# } else { "{}" };
                (0..u32::from(many) * 16).for_each(|_| writer.value(action));
            }
            TEXT => {
                let length = usize::from(u8::arbitrary(&mut u)?).min(u.len());
                let bytes = u.bytes(length)?;
                writer.text(&String::from_utf8_lossy(bytes));
            }
            token => {
                let at = usize::from(token - WORD) % (WORDS.len() + LITERALS.len());
                match WORDS.get(at) {
                    Some(word) => writer.text(word),
                    None => writer.value(LITERALS[at - WORDS.len()]),
                }
            }
        }
    }
    Ok(writer.finish())
}

#[derive(Clone, Copy)]
enum Inside {
    Object { wants_key: bool },
    Array,
}

#[derive(Default)]
struct Writer {
    text: String,
    stack: Vec<Inside>,
}

impl Writer {
    fn is_complete(&self) -> bool {
        self.stack.is_empty() && !self.text.is_empty()
    }

    /// What has to stand before the next value.
    fn separate(&mut self) {
        let after_another = !self.text.is_empty() && !self.text.ends_with(['{', '[']);
        match self.stack.last_mut() {
            Some(Inside::Object { wants_key: wants_key @ true }) => {
                *wants_key = false;
                self.text.push_str(if after_another { ",\"\":" } else { "\"\":" });
            }
            Some(Inside::Array) if after_another => self.text.push(','),
            _ => {}
        }
    }

    fn value(&mut self, value: &str) {
        self.separate();
        self.text.push_str(value);
        self.end_member();
    }

    fn end_member(&mut self) {
        if let Some(Inside::Object { wants_key }) = self.stack.last_mut() {
            *wants_key = true;
        }
    }

    fn text(&mut self, text: &str) {
        let quoted = serde_json::to_string(text).expect("a text");
        match self.stack.last_mut() {
            Some(Inside::Object { wants_key: wants_key @ true }) => {
                *wants_key = false;
                if !self.text.ends_with('{') {
                    self.text.push(',');
                }
                self.text.push_str(&quoted);
                self.text.push(':');
            }
            _ => self.value(&quoted),
        }
    }

    fn open(&mut self, inside: Inside) {
        self.separate();
        self.text.push(if matches!(inside, Inside::Array) { '[' } else { '{' });
        self.stack.push(inside);
    }

    fn close(&mut self) {
        if matches!(self.stack.last(), Some(Inside::Object { wants_key: false })) {
            self.value("null");
        }
        match self.stack.pop() {
            Some(Inside::Object { .. }) => self.text.push('}'),
            Some(Inside::Array) => self.text.push(']'),
            None => return,
        }
        self.end_member();
    }

    fn finish(mut self) -> String {
        while !self.stack.is_empty() {
            self.close();
        }
        self.text
    }
}
