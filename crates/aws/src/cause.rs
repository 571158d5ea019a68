//! The cause of an error, in one line: the last error of its chain, or AWS's own words.

use std::{borrow::Cow, error::Error as StdError, io};

use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::error::ErrorMetadata;

use super::http::Unreachable;
use ssm_net::{DialError, chain};

/// The longest text of AWS in a message, in characters: several lines of a terminal.
const MAX_QUOTE_CHARS: usize = 400;

/// The first line of a text, with spaces in place of control characters.
///
/// AWS's answer to a wrong signature has the canonical request, session token included, in the lines below the first.
pub(super) fn first_line(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    line.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

/// A line, cut to the length that a message quotes.
pub(super) fn quoted(line: &str) -> Cow<'_, str> {
    match line.char_indices().nth(MAX_QUOTE_CHARS) {
        Some((end, _)) => Cow::Owned(format!("{}…", line.get(..end).unwrap_or_default())),
        None => Cow::Borrowed(line),
    }
}

fn one_line(text: &str) -> String {
    quoted(&first_line(text)).into_owned()
}

/// The first error of type `T` in the chain.
pub(super) fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    chain(error).find_map(|error| error.downcast_ref())
}

/// The cause of an error, in one line: AWS's code and message if it has some, else the last error of the chain.
pub(super) fn cause(error: &(dyn StdError + 'static)) -> String {
    if let Some(said) = find::<ErrorMetadata>(error) {
        let text = [said.code(), said.message()].into_iter().flatten().collect::<Vec<_>>().join(": ");
        return one_line(&text);
    }
    let errors: Vec<_> = chain(error).collect();
    // "No such file or directory" needs the error before it to say which file is meant.
    let shown = if errors.last().is_some_and(|last| last.is::<io::Error>()) { 2 } else { 1 };
    let bottom = errors.len().saturating_sub(shown);
    let texts: Vec<_> = errors.iter().skip(bottom).map(|error| one_line(&error.to_string())).collect();
    texts.join(": ")
}

/// The host that could not be reached, and why, as a sentence; `None` for other errors.
pub(super) fn unreachable(error: &(dyn StdError + 'static)) -> Option<String> {
    if let Some(error) = find::<DialError>(error) {
        return Some(error.to_string());
    }
    let unreachable = find::<Unreachable>(error)?;
    let host = &unreachable.host;
    let timed_out = find::<ConnectorError>(unreachable).is_some_and(ConnectorError::is_timeout);
    let why = match chain(unreachable).last() {
        _ if timed_out => return Some(format!("{host} does not answer")),
        Some(last) => one_line(&last.to_string()),
        None => String::new(),
    };
    Some(format!("{host} cannot be reached: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_one_bounded_line() {
        assert_eq!(one_line("\n a\tb\u{1b}[31m\r\nsecond"), "a b [31m");
        assert_eq!(one_line(&"é".repeat(MAX_QUOTE_CHARS)), "é".repeat(MAX_QUOTE_CHARS));
        assert_eq!(one_line(&"é".repeat(MAX_QUOTE_CHARS + 1)), "é".repeat(MAX_QUOTE_CHARS) + "…");
    }
}
