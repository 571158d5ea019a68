//! Words that may be shown: of a text of the service, of the agent or of this program only plain words and short numbers are
//! kept. Ids, names of hosts, addresses, ARNs, accounts and paths are none; what is known to be a name is left out besides.

/// What stands for words that are left out.
const LEFT_OUT: &str = "…";
/// The longest word that is kept, in characters: longer ones are tokens of some sort.
const WORD: usize = 24;
/// The longest number that is kept, in digits: a port or a status. An account has twelve.
const NUMBER: usize = 4;
/// Words of a text that are looked at.
const WORDS: usize = 60;

/// Names that may not be shown though they may look like plain words.
#[derive(Debug, Default)]
pub struct Secrets {
    /// Their parts, in lower case.
    parts: Vec<String>,
}

impl Secrets {
    /// Leaves out `name` and each of its parts from now on.
    pub fn add(&mut self, name: &str) {
        let parts = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty());
        self.parts.extend(parts.map(str::to_ascii_lowercase));
    }

    /// The text without what may be somebody's.
    pub fn clean(&self, text: &str) -> String {
        let mut kept: Vec<&str> = Vec::new();
        for word in text.split_whitespace().take(WORDS) {
            let word = if self.may_show(word) { word } else { LEFT_OUT };
            if word != LEFT_OUT || kept.last() != Some(&LEFT_OUT) {
                kept.push(word);
            }
        }
        kept.join(" ")
    }

    fn may_show(&self, word: &str) -> bool {
        let bare = word.trim_matches(|c: char| c.is_ascii_punctuation());
        let is_word = bare.len() <= WORD && bare.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'\'');
        let is_number = bare.len() <= NUMBER && bare.bytes().all(|byte| byte.is_ascii_digit());
        word.is_ascii() && (is_word || is_number) && !self.parts.contains(&bare.to_ascii_lowercase())
    }
}

/// The shape of an id: how long its parts are, and nothing of what they say.
pub fn shape(id: &str) -> String {
    let lengths: Vec<_> = id.split('-').map(|part| part.chars().count().to_string()).collect();
    format!("{} characters", lengths.join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_and_whatever_names_somebody_goes() {
        let mut secrets = Secrets::default();
        secrets.add("payroll-Server.corp");
        for (text, clean) in [
            ("Your session timed out due to inactivity.", "Your session timed out due to inactivity."),
            ("User: arn:aws:iam::111122223333:user/me is not authorized", "User: … is not authorized"),
            ("dial tcp 10.0.0.1:22: connection refused", "dial tcp … connection refused"),
            ("Session alice-0a1b2c3d on i-0123 ended (1000 \"Bye\")", "Session … on … ended (1000 \"Bye\")"),
            ("payroll: SERVER is gone, see /var/log/x", "… is gone, see …"),
            ("account 111122223333 AQoDYXdzEJrtokenEXAMPLEtokenword é", "account …"),
            ("", ""),
        ] {
            assert_eq!(secrets.clean(text), clean, "{text}");
        }
    }

    #[test]
    fn of_an_id_the_lengths_are_left() {
        assert_eq!(shape("me-0a1b2c3d4e5f60718"), "2-17 characters");
    }
}
