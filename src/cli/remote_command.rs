//! The command of `--exec`: where it stands on the line, and as one text, from which the far side makes the same words
//! again.
//!
//! For a command without a terminal the agent splits the text by google/shlex, which knows both kinds of quotes, takes a
//! backslash outside of single quotes for an escape of any character, ends words at space, tab, CR and LF, and takes `#`
//! at a word's start for a comment. For one with a terminal it hands the text to `sh -c`. One quoting serves both.

use std::{borrow::Cow, ffi::OsString};

/// The option, and the least of it that is clear.
const FLAG: &str = "--exec";
const LEAST: usize = "--ex".len();
/// Letters that may stand before another one's, without a value of their own.
const SWITCHES: [char; 3] = ['q', 't', 'v'];
/// The longest value of a parameter that StartSession takes, in characters.
const MAX_CHARS: usize = 65_535;
/// Words that mean something to a shell at the start of a command unless they are quoted: POSIX's and bash's. The others
/// have characters that are quoted anyway.
const RESERVED: [&str; 17] = [
    "case", "coproc", "do", "done", "elif", "else", "esac", "fi", "for", "function", "if", "in", "select", "then",
    "time", "until", "while",
];

/// Why words are no command.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum NoCommand {
    /// There is no word, or the first one, which names the program, is empty.
    #[error("no COMMAND is named")]
    Empty,
    /// No program takes an argument with a NUL.
    #[error("a NUL can be part of no COMMAND")]
    Nul,
    /// The API takes text.
    #[error("COMMAND is not UTF-8, which Session Manager takes alone")]
    NotText,
    /// The API takes no longer one.
    #[error("COMMAND has {0} characters with its quotes; Session Manager takes {MAX_CHARS}")]
    TooLong(usize),
}

/// Takes COMMAND with the `--` before it off a command line that has `--exec` or `-L` ahead of that; without a COMMAND there
/// are no words. On other lines HOST may stand behind `--`, and stays.
pub(super) fn split_off(mut args: Vec<OsString>) -> (Vec<OsString>, Option<Vec<OsString>>) {
    let end = args.iter().position(|arg| arg == "--").unwrap_or(args.len());
    let is_flag = |arg: &OsString| {
        arg.to_str().is_some_and(|arg| (arg.len() >= LEAST && FLAG.starts_with(arg)) || is_forward(arg))
    };
    if !args.iter().take(end).skip(1).any(is_flag) {
        return (args, None);
    }
    let words = args.split_off(end).into_iter().skip(1).collect();
    (args, Some(words))
}

/// Whether it is `-L` with or without its value, perhaps behind other letters.
fn is_forward(arg: &str) -> bool {
    let letters = arg.strip_prefix('-').filter(|letters| !letters.starts_with('-'));
    letters.is_some_and(|letters| letters.trim_start_matches(SWITCHES).starts_with('L'))
}

/// COMMAND as one text; nothing if there are no words.
///
/// # Errors
/// If nothing can stand for these words.
pub(super) fn text(words: Vec<OsString>) -> Result<Option<String>, NoCommand> {
    let words = words.into_iter().map(|word| word.into_string().map_err(|_| NoCommand::NotText));
    let words: Vec<String> = words.collect::<Result<_, _>>()?;
    if words.is_empty() { Ok(None) } else { quote(words.iter().map(String::as_str)).map(Some) }
}

/// Quotes the words of a command.
///
/// # Errors
/// If nothing can stand for these words.
fn quote<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<String, NoCommand> {
    let mut words = words.into_iter();
    let program = words.next().filter(|program| !program.is_empty()).ok_or(NoCommand::Empty)?;
    let program = if RESERVED.contains(&program) { Ok(format!("'{program}'").into()) } else { word(program) };
    let quoted: Vec<Cow<'_, str>> = std::iter::once(program).chain(words.map(word)).collect::<Result<_, _>>()?;
    let text = quoted.join(" ");
    match text.chars().count() {
        0..=MAX_CHARS => Ok(text),
        length => Err(NoCommand::TooLong(length)),
    }
}

fn word(word: &str) -> Result<Cow<'_, str>, NoCommand> {
    shlex::try_quote(word).map_err(|_| NoCommand::Nul)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a character is to the agent's splitter, outside of quotes and within.
    #[derive(Clone, Copy, Eq, PartialEq)]
    enum Quotes {
        None,
        Single,
        Double,
    }

    /// A text split as the agent does: written by the rules above. Nothing if it ends within quotes or after a backslash.
    fn split(text: &str) -> Option<Vec<String>> {
        let (mut words, mut word, mut quotes) = (Vec::new(), None::<String>, Quotes::None);
        let mut characters = text.chars();
        while let Some(c) = characters.next() {
            match (quotes, c) {
                (Quotes::None, ' ' | '\t' | '\r' | '\n') => words.extend(word.take()),
                (Quotes::None, '#') if word.is_none() => {
                    characters.by_ref().find(|c| *c == '\n');
                }
                (Quotes::None, '\'') => quotes = begin(&mut word, Quotes::Single),
                (Quotes::None, '"') => quotes = begin(&mut word, Quotes::Double),
                (Quotes::Single, '\'') | (Quotes::Double, '"') => quotes = Quotes::None,
                (Quotes::None | Quotes::Double, '\\') => word.get_or_insert_default().push(characters.next()?),
                _ => word.get_or_insert_default().push(c),
            }
        }
        words.extend(word);
        (quotes == Quotes::None).then_some(words)
    }

    fn begin(word: &mut Option<String>, quotes: Quotes) -> Quotes {
        word.get_or_insert_default();
        quotes
    }

    /// A word of those characters that have a meaning somewhere, and of some others.
    fn random_word(rng: &mut fastrand::Rng) -> String {
        const MEANT: &[char] = &[
            ' ', '\t', '\n', '\r', '\'', '"', '\\', '#', '$', '`', '!', '^', '*', '?', '[', ']', '{', '}', '~', '=',
            '%', '&', '|', ';', '<', '>', '(', ')', ',', 'a', '-', '\u{1}', '\u{7f}', '\u{a0}', 'é', '你', '🦀',
            '\u{2028}',
        ];
        let character = |rng: &mut fastrand::Rng| match rng.u8(..4) {
            0 => rng.char('\u{1}'..),
            _ => *rng.choice(MEANT).unwrap(),
        };
        (0..rng.usize(..8)).map(|_| character(rng)).collect()
    }

    #[test]
    fn the_splitter_knows_its_rules() {
        for (text, words) in [
            (r#"one "two three" four"#, Some(&["one", "two three", "four"][..])),
            (r#"a\ b 'c\d' "e\"\f""#, Some(&["a b", r"c\d", "e\"f"])),
            ("a# # b\nc '' \"\"", Some(&["a#", "c", "", ""])),
            ("it''s", Some(&["its"])),
            ("'", None),
            ("\"", None),
            ("\\", None),
        ] {
            let words = words.map(|words| words.iter().map(|word| (*word).to_owned()).collect());
            assert_eq!(split(text), words, "{text}");
        }
    }

    #[test]
    fn the_agent_makes_the_same_words_again() {
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..50_000 {
            let mut words: Vec<String> = (0..rng.usize(1..5)).map(|_| random_word(&mut rng)).collect();
            words[0].insert(0, 'x');
            let text = quote(words.iter().map(String::as_str)).unwrap();
            assert_eq!(split(&text).as_ref(), Some(&words), "{text}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_shell_makes_the_same_words_again() {
        let mut rng = fastrand::Rng::with_seed(2);
        for _ in 0..100 {
            let words: Vec<String> = (0..rng.usize(1..50)).map(|_| random_word(&mut rng)).collect();
            let text = quote(["printf", "%s\\0"].into_iter().chain(words.iter().map(String::as_str))).unwrap();
            let shown = std::process::Command::new("sh").args(["-c", &text]).output().unwrap().stdout;
            let expected: String = words.iter().flat_map(|word| [word, "\0"]).collect();
            assert_eq!(String::from_utf8(shown).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn plain_words_stay_readable_and_words_of_the_shell_are_no_commands() {
        for (words, text) in [
            (&["uname", "-a"][..], "uname -a"),
            (&["sh", "-c", "exit 7"], "sh -c 'exit 7'"),
            (&["echo", "", "it's"], "echo '' \"it's\""),
            (&["A=b", "env"], "'A=b' env"),
            (&["if", "if"], "'if' if"),
        ] {
            assert_eq!(quote(words.iter().copied()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn what_nothing_can_stand_for_is_refused() {
        let long = "x".repeat(MAX_CHARS);
        for (words, error) in [
            (&[][..], NoCommand::Empty),
            (&["", "x"], NoCommand::Empty),
            (&["a", "b\0"], NoCommand::Nul),
            (&["a", &long], NoCommand::TooLong(MAX_CHARS + 2)),
        ] {
            assert_eq!(quote(words.iter().copied()), Err(error));
        }
        assert!(quote([&*long]).is_ok());
    }
}
