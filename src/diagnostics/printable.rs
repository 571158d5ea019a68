//! Printable text: what services, agents and nodes say, made safe for a terminal.

/// Replaces each character that changes a line without being seen by U+FFFD: control characters, line ends included, and
/// those that make a terminal show a text in another order than it has.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if is_shown(c) { c } else { char::REPLACEMENT_CHARACTER }).collect()
}

/// Whether a character changes nothing of a line but its own place.
pub(crate) fn is_shown(c: char) -> bool {
    c == '\t' || !(c.is_control() || is_reordering(c))
}

/// Unicode's line and paragraph separators, and its marks, embeddings, overrides and isolates of direction.
fn is_reordering(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb\u{9b}c\td\n"), "a\u{fffd}[2Jb\u{fffd}c\td\u{fffd}");
    }

    #[test]
    fn a_text_is_shown_in_the_order_that_it_has() {
        assert_eq!(printable("i-1\u{202e}dorp\u{2069} \u{200f}x\u{2028}"), "i-1\u{fffd}dorp\u{fffd} \u{fffd}x\u{fffd}");
        assert_eq!(printable("é שלום 日本"), "é שלום 日本");
    }
}
