//! `--cli-input-json`: StartSession's request as JSON, and `file://` before the name of a file that holds a value.
//!
//! It knows the API's names and types, as `--generate-cli-skeleton` shows them. The flags decide what wins over them.

use serde_json::Value;
use ssm_aws::expand_home;

use super::Parameters;
use crate::diagnostics::{Error, ExitStatus};
use ssm_net::files;

/// The largest file that is read, in bytes. A request of StartSession has some hundred.
const MAX_FILE: usize = 1 << 20;

/// The name of a skeleton's empty parameter. A parameter that is left so counts as not given.
const PLACEHOLDER: &str = "KeyName";

/// StartSession's request, as far as the JSON has it. An empty text counts as not given.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Input {
    pub(super) target: Option<String>,
    pub(super) document_name: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) parameters: Parameters,
}

impl Input {
    /// Reads a JSON object with the API's names.
    ///
    /// # Errors
    /// What is wrong with it, with the key.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let fields = match serde_json::from_str(text) {
            Ok(Value::Object(fields)) => fields,
            Ok(_) => return Err("expected a JSON object, as --generate-cli-skeleton prints it".to_owned()),
            Err(error) => return Err(format!("not JSON ({error}); a file is named as file://PATH")),
        };
        let mut input = Self::default();
        for (key, value) in &fields {
            match key.as_str() {
                "Target" => input.target = filled(key, value)?,
                "DocumentName" => input.document_name = filled(key, value)?,
                "Reason" => input.reason = filled(key, value)?,
                "Parameters" => input.parameters = parameters(value)?,
                _ => return Err(format!("unknown key {key:?}; there are Target, DocumentName, Reason and Parameters")),
            }
        }
        Ok(input)
    }
}

fn filled(key: &str, value: &Value) -> Result<Option<String>, String> {
    let text = value.as_str().ok_or_else(|| format!("{key} must be a string"))?;
    Ok(Some(text.to_owned()).filter(|text| !text.is_empty()))
}

fn parameters(value: &Value) -> Result<Parameters, String> {
    let map = value.as_object().ok_or("Parameters must be an object of lists of strings")?;
    let list = |(name, values): (&String, &Value)| {
        let texts = values.as_array().map(|values| values.iter().map(|value| value.as_str().map(str::to_owned)));
        let texts: Option<Vec<String>> = texts.and_then(Iterator::collect);
        texts.map(|texts| (name.clone(), texts)).ok_or_else(|| format!("Parameters.{name} must be a list of strings"))
    };
    let mut parameters: Parameters = map.iter().map(list).collect::<Result<_, _>>()?;
    parameters.retain(|name, values| name != PLACEHOLDER || values.iter().any(|value| !value.is_empty()));
    Ok(parameters)
}

/// The value itself, or what is in the file that it names as `file://PATH`.
///
/// # Errors
/// Status 78 if the file cannot be read.
pub(super) fn text(value: String) -> Result<String, Error> {
    let Some(path) = value.strip_prefix("file://") else { return Ok(value) };
    let file = expand_home(path);
    let read = files::wait(move || files::read_text(&file, MAX_FILE));
    read.and_then(|read| read).map_err(|error| {
        let hint = "name a file that can be read, as file://PATH, or give its content itself";
        Error::new(ExitStatus::Config, format!("{path} cannot be read: {error}"), hint)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_by_the_apis_names() {
        let text = r#"{"Target": "web-1", "DocumentName": "Doc", "Reason": "why",
            "Parameters": {"portNumber": ["22"], "host": ["a", "b"], "none": []}}"#;
        let input = Input::parse(text).unwrap();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!((input.target, input.document_name, input.reason), (some("web-1"), some("Doc"), some("why")));
        let expected = [("portNumber", vec!["22"]), ("host", vec!["a", "b"]), ("none", vec![])];
        let expected =
            expected.map(|(name, values)| (name.to_owned(), values.into_iter().map(str::to_owned).collect()));
        assert_eq!(input.parameters, Parameters::from(expected));
    }

    #[test]
    fn what_is_left_empty_is_not_given() {
        for text in [
            "{}",
            r#"{"Target": "", "DocumentName": "", "Reason": "", "Parameters": {"KeyName": [""]}}"#,
            r#"{"Parameters": {}}"#,
        ] {
            assert_eq!(Input::parse(text), Ok(Input::default()), "{text}");
        }
        let named = Input::parse(r#"{"Parameters": {"KeyName": ["x"], "other": [""]}}"#).unwrap();
        assert_eq!(named.parameters.len(), 2, "{named:?}");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, expected) in [
            ("nope", "not JSON (expected ident at line 1 column 2); a file is named as file://PATH"),
            ("[]", "expected a JSON object, as --generate-cli-skeleton prints it"),
            (r#"{"target": "x"}"#, "unknown key \"target\"; there are Target, DocumentName, Reason and Parameters"),
            (r#"{"Target": 1}"#, "Target must be a string"),
            (r#"{"Reason": null}"#, "Reason must be a string"),
            (r#"{"DocumentName": ["x"]}"#, "DocumentName must be a string"),
            (r#"{"Parameters": "portNumber=22"}"#, "Parameters must be an object of lists of strings"),
            (r#"{"Parameters": {"portNumber": "22"}}"#, "Parameters.portNumber must be a list of strings"),
            (r#"{"Parameters": {"portNumber": [22]}}"#, "Parameters.portNumber must be a list of strings"),
        ] {
            assert_eq!(Input::parse(text).unwrap_err(), expected, "{text}");
        }
    }
}
