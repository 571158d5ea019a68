//! `--parameters`: the AWS CLI's shorthand and JSON, as a map of lists.
//!
//! It knows the notation only. What a parameter means, `portNumber` included, is not its business.

use std::collections::BTreeMap;

/// A session document's parameters: each name with its list of values (protocol §1).
pub type Parameters = BTreeMap<String, Vec<String>>;

/// Reads `name=value,name=value,value`, `name=["value"]`, quoted values, or a JSON object.
///
/// # Errors
/// A sentence that says where the text stops making sense.
pub(super) fn parse(text: &str) -> Result<Parameters, String> {
    let text = text.trim();
    if text.starts_with('{') { json(text) } else { Shorthand { rest: text }.parse() }
}

#[derive(serde::Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

fn json(text: &str) -> Result<Parameters, String> {
    let map: BTreeMap<String, OneOrMany> = serde_json::from_str(text)
        .map_err(|error| format!("not a JSON object of strings or lists of strings ({error})"))?;
    let list = |value| match value {
        OneOrMany::One(value) => vec![value],
        OneOrMany::Many(values) => values,
    };
    Ok(map.into_iter().map(|(name, value)| (name, list(value))).collect())
}

/// The shorthand that is still to be read.
struct Shorthand<'a> {
    rest: &'a str,
}

impl Shorthand<'_> {
    fn parse(mut self) -> Result<Parameters, String> {
        let mut parameters = Parameters::new();
        loop {
            let name = self.name().ok_or_else(|| self.expected("NAME=VALUE"))?;
            let values = self.values()?;
            if parameters.contains_key(&name) {
                return Err(format!("{name:?} is given twice"));
            }
            parameters.insert(name, values);
            if self.rest.is_empty() {
                return Ok(parameters);
            }
        }
    }

    /// Takes `name=` if that is what comes next, and nothing otherwise.
    fn name(&mut self) -> Option<String> {
        let (name, rest) = self.rest.split_once('=')?;
        let name = name.trim();
        let is_name =
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.#/:".contains(&byte));
        if is_name {
            self.rest = rest.trim_start();
        }
        is_name.then(|| name.to_owned())
    }

    /// Takes the values up to the next `name=` or the end, with the comma after them.
    fn values(&mut self) -> Result<Vec<String>, String> {
        if self.take('[') {
            return self.bracketed();
        }
        let mut values = vec![self.value(&[','])?];
        while self.take(',') {
            if self.next_is_name() {
                return Ok(values);
            }
            if self.rest.is_empty() {
                return Err(self.expected("a value"));
            }
            values.push(self.value(&[','])?);
        }
        if self.rest.is_empty() { Ok(values) } else { Err(self.expected("','")) }
    }

    /// Takes the rest of `[value, value]` and the comma after it.
    fn bracketed(&mut self) -> Result<Vec<String>, String> {
        let mut values = Vec::new();
        while !self.take(']') {
            if !values.is_empty() && !self.take(',') {
                return Err(self.expected("',' or ']'"));
            }
            values.push(self.value(&[',', ']'])?);
        }
        if self.rest.is_empty() || (self.take(',') && self.next_is_name()) {
            Ok(values)
        } else {
            Err(self.expected("',' and NAME=VALUE"))
        }
    }

    /// Takes one value, quoted or ending at one of `ends`.
    fn value(&mut self, ends: &[char]) -> Result<String, String> {
        for quote in ['"', '\''] {
            if self.take(quote) {
                return self.quoted(quote);
            }
        }
        let end = self.rest.find(ends).unwrap_or(self.rest.len());
        let (value, rest) = self.rest.split_at(end);
        self.rest = rest;
        Ok(value.trim_end().to_owned())
    }

    /// Takes what is left of a quoted value; a backslash makes the quote or another backslash part of it.
    fn quoted(&mut self, quote: char) -> Result<String, String> {
        let mut value = String::new();
        let mut characters = self.rest.chars();
        while let Some(character) = characters.next() {
            if character == quote {
                self.rest = characters.as_str().trim_start();
                return Ok(value);
            }
            let mut ahead = characters.clone();
            match ahead.next() {
                Some(escaped) if character == '\\' && (escaped == quote || escaped == '\\') => {
                    value.push(escaped);
                    characters = ahead;
                }
                _ => value.push(character),
            }
        }
        Err(format!("no closing {quote} after {:?}", self.rest))
    }

    fn next_is_name(&self) -> bool {
        Shorthand { rest: self.rest }.name().is_some()
    }

    fn take(&mut self, character: char) -> bool {
        let rest = self.rest.strip_prefix(character);
        if let Some(rest) = rest {
            self.rest = rest.trim_start();
        }
        rest.is_some()
    }

    fn expected(&self, what: &str) -> String {
        match self.rest {
            "" => format!("expected {what} at the end"),
            rest => format!("expected {what} at {rest:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: &[(&str, &[&str])]) -> Parameters {
        entries
            .iter()
            .map(|(name, values)| ((*name).to_owned(), values.iter().map(|value| (*value).to_owned()).collect()))
            .collect()
    }

    #[test]
    fn reads_every_notation() {
        type Case<'a> = (&'a str, &'a [(&'a str, &'a [&'a str])]);
        let cases: &[Case<'_>] = &[
            ("portNumber=22", &[("portNumber", &["22"])]),
            (" portNumber = 22 ", &[("portNumber", &["22"])]),
            (r#"portNumber=["22"]"#, &[("portNumber", &["22"])]),
            ("portNumber=[22]", &[("portNumber", &["22"])]),
            (r#"portNumber="22""#, &[("portNumber", &["22"])]),
            ("portNumber='22'", &[("portNumber", &["22"])]),
            ("portNumber=22,host=db.internal", &[("host", &["db.internal"]), ("portNumber", &["22"])]),
            (r#"portNumber=["22"], host=['a', "b"]"#, &[("host", &["a", "b"]), ("portNumber", &["22"])]),
            ("a=1,2,b=3", &[("a", &["1", "2"]), ("b", &["3"])]),
            ("a=x=y", &[("a", &["x=y"])]),
            ("a=", &[("a", &[""])]),
            ("a=[]", &[("a", &[])]),
            (r#"a="1,2",3,b='4'"#, &[("a", &["1,2", "3"]), ("b", &["4"])]),
            (r#"a="say \"hi\" \\ \n""#, &[("a", &[r#"say "hi" \ \n"#])]),
            (r"a='it\'s',b=2", &[("a", &["it's"]), ("b", &["2"])]),
            (r#"{"portNumber":["22"]}"#, &[("portNumber", &["22"])]),
            (r#" {"portNumber":"22","host":["a","b"]} "#, &[("host", &["a", "b"]), ("portNumber", &["22"])]),
            ("{}", &[]),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), Ok(map(expected)), "{text}");
        }
    }

    #[test]
    fn says_where_it_stops_making_sense() {
        for (text, expected) in [
            ("", "expected NAME=VALUE at the end"),
            ("22", "expected NAME=VALUE at \"22\""),
            ("=22", "expected NAME=VALUE at \"=22\""),
            ("port number=22", "expected NAME=VALUE at \"port number=22\""),
            ("a=1,", "expected a value at the end"),
            ("a=1,a=2", "\"a\" is given twice"),
            ("a=[1", "expected ',' or ']' at the end"),
            ("a=[1]2", "expected ',' and NAME=VALUE at \"2\""),
            ("a=[1],", "expected ',' and NAME=VALUE at the end"),
            ("a=\"1", "no closing \" after \"1\""),
            ("a='1'2", "expected ',' at \"2\""),
        ] {
            assert_eq!(parse(text).unwrap_err(), expected, "{text}");
        }
        for text in ["{", r#"{"a":22}"#, r#"{"a":["22"]} x"#, "{a:1}"] {
            assert!(parse(text).unwrap_err().starts_with("not a JSON object of strings"), "{text}");
        }
    }
}
