//! The agent's splitting of a command into words, as the Go library shlex does it, which it uses (sessions §3.2).
//!
//! Quotes, backslashes and comments as in a shell, but nothing is expanded; unlike in a shell a backslash between double
//! quotes takes the next character as it is, whatever that is.

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Between,
    Word,
    Escaped,
    Double,
    DoubleEscaped,
    Single,
    Comment,
}

/// The words of `text`.
///
/// # Errors
/// A quote or a backslash that is not finished.
pub fn split(text: &str) -> Result<Vec<String>, &'static str> {
    let (mut words, mut word, mut state) = (Vec::new(), String::new(), State::Between);
    for c in text.chars() {
        let space = matches!(c, ' ' | '\t' | '\r' | '\n');
        state = match (state, c) {
            (State::Between, '#') => State::Comment,
            (State::Comment, '\n') => State::Between,
            (State::Comment, _) => State::Comment,
            (State::Between, _) if space => State::Between,
            (State::Word, _) if space => {
                words.push(std::mem::take(&mut word));
                State::Between
            }
            (State::Between | State::Word, '"') => State::Double,
            (State::Between | State::Word, '\'') => State::Single,
            (State::Between | State::Word, '\\') => State::Escaped,
            (State::Double, '"') | (State::Single, '\'') => State::Word,
            (State::Double, '\\') => State::DoubleEscaped,
            (before, c) => {
                word.push(c);
                match before {
                    State::Double | State::DoubleEscaped => State::Double,
                    State::Single => State::Single,
                    _ => State::Word,
                }
            }
        };
    }
    match state {
        State::Word => words.push(word),
        State::Between | State::Comment => {}
        State::Escaped | State::DoubleEscaped => return Err("EOF found after escape character"),
        State::Double | State::Single => return Err("EOF found when expecting closing quote"),
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_gos_library_does_it() {
        let cases: [(&str, &[&str]); 10] = [
            ("", &[]),
            ("  a\tb\nc  ", &["a", "b", "c"]),
            ("echo a | cat && ls", &["echo", "a", "|", "cat", "&&", "ls"]),
            (r#"a "b c" 'd "e' f\ g"#, &["a", "b c", "d \"e", "f g"]),
            (r#""" '' x"" "#, &["", "", "x"]),
            (r#""\n\$\"" '\n'"#, &["n$\"", "\\n"]),
            ("a # b\nc", &["a", "c"]),
            ("a#b #", &["a#b"]),
            ("bash -c 'exit 7'", &["bash", "-c", "exit 7"]),
            ("ä'ö'\"ü\"", &["äöü"]),
        ];
        for (text, expected) in cases {
            assert_eq!(split(text).unwrap(), expected, "{text:?}");
        }
        for unfinished in ["'", "\"", "a\\", "\"\\"] {
            assert!(split(unfinished).is_err(), "{unfinished:?}");
        }
    }
}
