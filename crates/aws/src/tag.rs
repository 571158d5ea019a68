//! Tags of nodes, `KEY=VALUE`.

use std::{fmt, str::FromStr};

/// A tag's key and value. Upper and lower case differ in both.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tag {
    /// The key, 1 to 128 characters.
    pub key: String,
    /// The value, 1 to 256 characters.
    pub value: String,
}

impl Tag {
    /// The longest key, in characters.
    const MAX_KEY_CHARS: usize = 128;
    /// The longest value, in characters.
    pub const MAX_VALUE_CHARS: usize = 256;
}

/// The text is not of the form `KEY=VALUE`, or one half of it is empty, is too long or has control characters.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("expected KEY=VALUE, such as Role=web")]
pub struct NotATag;

impl FromStr for Tag {
    type Err = NotATag;

    fn from_str(text: &str) -> Result<Self, NotATag> {
        let (key, value) = text.split_once('=').ok_or(NotATag)?;
        let fits = |text: &str, limit| (1..=limit).contains(&text.chars().count()) && !text.contains(char::is_control);
        match fits(key, Self::MAX_KEY_CHARS) && fits(value, Self::MAX_VALUE_CHARS) {
            true => Ok(Self { key: key.to_owned(), value: value.to_owned() }),
            false => Err(NotATag),
        }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_a_key_and_a_value() {
        let tag = |text: &str| text.parse::<Tag>().map(|tag| (tag.key, tag.value));
        assert_eq!(tag("Role=web"), Ok(("Role".to_owned(), "web".to_owned())));
        assert_eq!(tag("aws:autoscaling:groupName=a=b c"), Ok(("aws:autoscaling:groupName".into(), "a=b c".into())));
        for wrong in ["", "Role", "=web", "Role=", "Role=\u{7}"] {
            assert_eq!(tag(wrong), Err(NotATag), "{wrong:?}");
        }
    }
}
