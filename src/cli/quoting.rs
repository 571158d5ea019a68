//! Quoting: a word as the ProxyCommand line of an ssh_config has it, on each platform.
//!
//! On POSIX systems ssh hands the line to the user's shell, which splits it into words. OpenSSH for Windows starts the
//! program without a shell, and the program splits its own line, by the rules of Microsoft's C runtime.

use std::borrow::Cow;

/// Who splits the line of a ProxyCommand into words.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Platform {
    /// A POSIX shell.
    Posix,
    /// The started program itself.
    Windows,
}

impl Platform {
    /// The one that this program is built for.
    pub const HERE: Self = if cfg!(windows) { Self::Windows } else { Self::Posix };

    /// A word for a ProxyCommand, with `%`, which begins ssh's tokens, doubled. Nothing if it has control characters:
    /// no line can hold them.
    pub fn quote(self, word: &str) -> Option<String> {
        Some(self.quote_typed(word)?.replace('%', "%%"))
    }

    /// A word for a command that is typed, under the same conditions.
    pub fn quote_typed(self, word: &str) -> Option<String> {
        if word.contains(char::is_control) {
            return None;
        }
        match self {
            Self::Posix => shlex::try_quote(word).ok().map(Cow::into_owned),
            Self::Windows if is_plain(word) => Some(word.to_owned()),
            Self::Windows => Some(in_double_quotes(word)),
        }
    }

    /// The path of a program for the start of a ProxyCommand, under the same conditions. On Windows it is always in
    /// quotes: where it is not, ssh guesses its end.
    pub fn quote_program(self, path: &str) -> Option<String> {
        match self {
            Self::Posix => self.quote(path),
            Self::Windows => {
                let quoted = in_double_quotes(&without_verbatim_prefix(path)).replace('%', "%%");
                (!path.contains(char::is_control)).then_some(quoted)
            }
        }
    }
}

/// Whether a word means itself to Microsoft's C runtime and to every shell.
fn is_plain(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:=,@+".contains(c))
}

/// A word in double quotes. A backslash means itself unless a quote comes after it and the backslashes that follow it.
fn in_double_quotes(word: &str) -> String {
    let mut quoted = "\"".to_owned();
    let mut backslashes = 0;
    for c in word.chars() {
        if c == '"' {
            quoted.push_str(&"\\".repeat(backslashes + 1));
        }
        backslashes = if c == '\\' { backslashes + 1 } else { 0 };
        quoted.push(c);
    }
    quoted.push_str(&"\\".repeat(backslashes));
    quoted + "\""
}

/// A path without the `\\?\` that Windows puts before a canonical one, and that most programs do not take.
fn without_verbatim_prefix(path: &str) -> String {
    match (path.strip_prefix(r"\\?\UNC\"), path.strip_prefix(r"\\?\")) {
        (Some(share), _) => format!(r"\\{share}"),
        (None, Some(plain)) => plain.to_owned(),
        (None, None) => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line split into words as Microsoft's C runtime does: written by its rules, not by those above.
    fn split_by_the_runtime(line: &str) -> Vec<String> {
        let (mut words, mut word, mut in_quotes, mut begun) = (Vec::new(), String::new(), false, false);
        let mut rest = line;
        while let Some(c) = rest.chars().next() {
            let backslashes = rest.len() - rest.trim_start_matches('\\').len();
            if backslashes > 0 {
                let is_before_quote = rest[backslashes..].starts_with('"');
                word.push_str(&"\\".repeat(if is_before_quote { backslashes / 2 } else { backslashes }));
                rest = &rest[backslashes..];
                if is_before_quote && backslashes % 2 == 1 {
                    word.push('"');
                    rest = &rest[1..];
                }
                begun = true;
                continue;
            }
            rest = &rest[c.len_utf8()..];
            match c {
                '"' => (in_quotes, begun) = (!in_quotes, true),
                ' ' if !in_quotes => {
                    if begun {
                        words.push(std::mem::take(&mut word));
                    }
                    begun = false;
                }
                _ => {
                    word.push(c);
                    begun = true;
                }
            }
        }
        if begun {
            words.push(word);
        }
        words
    }

    const WORDS: [&str; 14] = [
        "",
        "plain",
        "eu-west-1",
        "https://vpce-0.example.com:443/x",
        "two words",
        "it's 100% \"me\"",
        "$(touch pwned) `touch pwned`;touch pwned&",
        "*?[a]~{b}!#^|<>",
        r"C:\Program Files\x.pem",
        r"ends in a backslash\",
        r"two\\",
        r#"\" and \\" "#,
        "ümläut",
        "%h %n %%",
    ];

    #[test]
    fn a_word_stays_one_word_on_each_platform() {
        let line = |platform: Platform| WORDS.map(|word| platform.quote(word).unwrap()).join(" ").replace("%%", "%");
        assert_eq!(shlex::split(&line(Platform::Posix)).unwrap(), WORDS);
        assert_eq!(split_by_the_runtime(&line(Platform::Windows)), WORDS);
    }

    #[test]
    fn what_no_line_can_hold_is_no_word() {
        for platform in [Platform::Posix, Platform::Windows] {
            for word in ["a\nb", "\u{0}", "\u{9b}"] {
                assert_eq!((platform.quote(word), platform.quote_program(word)), (None, None), "{word:?}");
            }
        }
    }

    #[test]
    fn a_program_of_windows_is_in_quotes_and_without_the_prefix_of_canonical_paths() {
        for (path, quoted) in [
            (r"\\?\C:\Users\you\bin\ssm-proxy.exe", r#""C:\Users\you\bin\ssm-proxy.exe""#),
            (r"\\?\UNC\server\share\ssm-proxy.exe", r#""\\server\share\ssm-proxy.exe""#),
            (r"C:\100%\ssm-proxy.exe", r#""C:\100%%\ssm-proxy.exe""#),
        ] {
            assert_eq!(Platform::Windows.quote_program(path).as_deref(), Some(quoted));
        }
        assert_eq!(Platform::Posix.quote_program("/opt/ssm proxy").as_deref(), Some("'/opt/ssm proxy'"));
    }
}
