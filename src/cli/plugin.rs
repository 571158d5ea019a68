//! The command line of `session-manager-plugin`, AWS's own client, which programs call with a session that they have started.
//!
//! Arguments and the response in, what they ask for out: it reads no environment and prints nothing. The forms and the texts
//! are those of AWS's client, version 1.2.677, as its code has them and as was seen; callers compare some byte for byte.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::Duration;

use http::Uri;
use serde_json::{Map, Value};
use ssm_aws::{Overrides, Session, Stream};
use zeroize::Zeroizing;

use super::flags::{CONNECT_SECONDS, RESUME_SECONDS};
use super::service::{SHELL_DOCUMENT, TERMINAL_DOCUMENT};

/// The name by which programs call it.
pub const NAME: &str = "session-manager-plugin";
/// What the name of a variable with the response begins with.
const VARIABLE: &str = "AWS_SSM_START_SESSION_RESPONSE";
/// What the place begins with at which this program hands a response to itself.
const PLACE: &str = "/dev/fd/";
/// The one operation that there is.
const OPERATION: &str = "StartSession";
/// Arguments from which on a session is asked for: a response, a region, an operation.
const LEAST: usize = 3;
/// sshd's port, where the request does not say which.
const SSH_PORT: u16 = 22;
/// What the ids of sessions begin with that Elastic Container Service has started.
const ECS_SESSION: &str = "ecs-execute-command-";
/// The ends of names of AWS's hosts.
const AWS_HOSTS: [&str; 4] = [".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".amazonaws.eu"];
/// The documents of AWS whose sessions are on a terminal; those of a request without a document are, too.
const ON_TERMINAL: [&str; 2] = [SHELL_DOCUMENT, TERMINAL_DOCUMENT];
/// The label that Systems Manager's API has in its hosts' names, also in those of VPC endpoints, of FIPS and of dual stack.
const SSM_HOSTS: [&str; 2] = ["ssm", "ssm-fips"];

/// Where the response of StartSession is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ResponsePlace {
    /// It is the first argument itself.
    Argument,
    /// It is in the environment variable of this name.
    Variable(String),
    /// It is in a pipe that this program has been handed by itself.
    Handed(String),
}

/// What a command line asks for.
#[derive(Debug)]
pub enum PluginCall {
    /// To print the version.
    Version,
    /// To print this.
    Say(String),
    /// To say that there is no session, for this reason.
    Refuse(String),
    /// To join a session to stdin and stdout.
    Join(Box<Joined>),
}

/// A session that somebody else has started.
#[derive(Debug)]
pub struct Joined {
    /// The session; the target is empty where the request does not tell it.
    pub session: Session,
    /// Region, profile and endpoint.
    pub overrides: Overrides,
    /// The TCP port on the target, for messages.
    pub port: u16,
    /// Whether the session is known to be on a terminal.
    pub on_terminal: bool,
    /// Whether it is known to be a shell.
    pub is_shell: bool,
    /// From the start to a complete handshake.
    pub connect_timeout: Duration,
    /// How long to try to resume a lost connection.
    pub resume_timeout: Duration,
}

/// Whether the program was called by the name of AWS's client.
pub fn is_called_by(name: &OsStr) -> bool {
    let name = Path::new(name).file_name().and_then(OsStr::to_str).unwrap_or_default();
    let name = name.to_ascii_lowercase();
    name.strip_suffix(".exe").unwrap_or(&name) == NAME
}

/// Where the response is, if a session is asked for. The first of `args` is the program's name.
pub fn response_place(args: &[OsString]) -> Option<ResponsePlace> {
    let first = args.get(1).filter(|_| args.len() > LEAST)?.to_string_lossy();
    Some(if first.starts_with(VARIABLE) {
        ResponsePlace::Variable(first.into_owned())
    } else if first.strip_prefix(PLACE).is_some_and(|number| number.parse::<u32>().is_ok_and(|number| number > 2)) {
        ResponsePlace::Handed(first.into_owned())
    } else {
        ResponsePlace::Argument
    })
}

/// Reads a command line, with the response that is at its place. The first of `args` is the program's name.
pub fn parse(args: &[OsString], response: Option<&str>) -> PluginCall {
    let args: Vec<_> = args.iter().skip(1).map(|arg| arg.to_string_lossy()).collect();
    let words: Vec<&str> = args.iter().map(AsRef::as_ref).collect();
    match words.as_slice() {
        [] => PluginCall::Say(
            "\nThe Session Manager plugin was installed successfully. Use the AWS CLI to start a session.\n\n"
                .to_owned(),
        ),
        ["--version"] => PluginCall::Version,
        [first] | [first, _] => {
            // AWS's own shows it, with the token.
            let shown =
                if first.trim_start().starts_with('{') { "(a response, without region and operation)" } else { first };
            PluginCall::Say(format!(
                "\nUnknown operation {shown}. \nUse session-manager-plugin --version to check the version.\n\n"
            ))
        }
        [_, region, OPERATION, rest @ ..] => {
            let rest = |at: usize| rest.get(at).copied().unwrap_or_default();
            match join(response.unwrap_or_default(), region, [rest(0), rest(1), rest(2)]) {
                Ok(joined) => PluginCall::Join(Box::new(joined)),
                Err(why) => PluginCall::Refuse(why),
            }
        }
        _ => PluginCall::Say("Invalid Operation".to_owned()),
    }
}

fn join(response: &str, region: &str, [profile, request, endpoint]: [&str; 3]) -> Result<Joined, String> {
    let mut response = object(response)?;
    let id = take(&mut response, "SessionId")?;
    let token = take(&mut response, "TokenValue")?;
    let url = take(&mut response, "StreamUrl")?;
    // AWS's own ends without one; it is of use for encrypted sessions alone.
    let request = object(request).unwrap_or_default();
    let target = field(&request, "Target").and_then(Value::as_str).unwrap_or_default().to_owned();
    let port = || field(field(&request, "Parameters")?.as_object()?, "portNumber")?.get(0)?.as_str()?.parse().ok();
    let document = field(&request, "DocumentName").and_then(Value::as_str);
    // Without a request nothing is known.
    let on_terminal = !target.is_empty() && document.is_none_or(|name| ON_TERMINAL.contains(&name));
    let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let overrides = Overrides {
        region: given(region),
        profile: given(profile),
        endpoint_url: is_ssm(endpoint, region, &id).then(|| endpoint.to_owned()),
        ..Overrides::default()
    };
    Ok(Joined {
        session: Session { id, target, stream: Stream { url, token: token.into() } },
        overrides,
        port: port().unwrap_or(SSH_PORT),
        on_terminal,
        is_shell: on_terminal && document != Some(TERMINAL_DOCUMENT),
        connect_timeout: Duration::from_secs(CONNECT_SECONDS.into()),
        resume_timeout: Duration::from_secs(RESUME_SECONDS.into()),
    })
}

/// Reads JSON. The reason why it cannot be read names nothing of what stands in it.
fn object(text: &str) -> Result<Map<String, Value>, String> {
    if text.trim().is_empty() {
        return Err("unexpected end of JSON input".to_owned());
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err("the response is no JSON object".to_owned()),
        Err(error) => Err(format!("the response is no JSON: line {}, column {}", error.line(), error.column())),
    }
}

/// The value of a key, which may be written in any case.
fn field<'a>(object: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    let alike = || object.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value);
    object.get(key).or_else(alike)
}

fn take(object: &mut Map<String, Value>, key: &str) -> Result<String, String> {
    let name = object.keys().find(|name| name.eq_ignore_ascii_case(key)).cloned().unwrap_or_default();
    match object.remove(key).or_else(|| object.remove(&name)) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text),
        other => {
            // Whatever stands in its place may be a token all the same.
            drop(other.map(|other| Zeroizing::new(other.to_string())));
            Err(format!("the response has no {key}"))
        }
    }
}

/// Whether an endpoint is one of Systems Manager's API that is not the region's own, which needs no mention. Others pass those
/// of Elastic Container Service, or a stream's.
fn is_ssm(endpoint: &str, region: &str, session_id: &str) -> bool {
    let Ok(uri) = endpoint.parse::<Uri>() else { return false };
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    let Some(host) = uri.host().filter(|host| is_http && !host.is_empty()).map(str::to_ascii_lowercase) else {
        return false;
    };
    if AWS_HOSTS.iter().any(|end| host.ends_with(end)) {
        return host.split('.').any(|label| SSM_HOSTS.contains(&label)) && !host.starts_with(&format!("ssm.{region}."));
    }
    !session_id.starts_with(ECS_SESSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESPONSE: &str = r#"{"SessionId":"s-1","TokenValue":"secret","StreamUrl":"wss://a.amazonaws.com/x"}"#;

    fn line(args: &[&str]) -> Vec<OsString> {
        std::iter::once("session-manager-plugin").chain(args.iter().copied()).map(OsString::from).collect()
    }

    fn joined(args: &[&str], response: &str) -> Joined {
        match parse(&line(args), Some(response)) {
            PluginCall::Join(joined) => *joined,
            other => panic!("{other:?}"),
        }
    }

    fn said(args: &[&str]) -> String {
        match parse(&line(args), args.first().copied()) {
            PluginCall::Say(text) => text,
            PluginCall::Refuse(why) => format!("refused: {why}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_name_counts_wherever_the_file_is() {
        for name in ["session-manager-plugin", "/usr/bin/session-manager-plugin", "Session-Manager-Plugin.EXE"] {
            assert!(is_called_by(OsStr::new(name)), "{name}");
        }
        for name in ["ssm-proxy", "session-manager-plugin/x", "session-manager-plugin2", ""] {
            assert!(!is_called_by(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn what_is_no_session_is_answered_as_by_awss_own() {
        let unknown = |word: &str| {
            format!("\nUnknown operation {word}. \nUse session-manager-plugin --version to check the version.\n\n")
        };
        let installed =
            "\nThe Session Manager plugin was installed successfully. Use the AWS CLI to start a session.\n\n";
        assert_eq!(said(&[]), installed);
        for words in [&["-v"][..], &["--help"], &["a", "b"], &["--version", "x"]] {
            assert_eq!(said(words), unknown(words[0]));
        }
        for words in [&[RESPONSE][..], &[RESPONSE, "eu-west-1"]] {
            assert_eq!(said(words), unknown("(a response, without region and operation)"));
        }
        assert_eq!(said(&[RESPONSE, "eu-west-1", "StopSession"]), "Invalid Operation");
        assert!(matches!(parse(&line(&["--version"]), None), PluginCall::Version));
    }

    #[test]
    fn each_number_of_arguments_asks_for_a_session() {
        let request = r#"{"Target":"i-1","Parameters":{"portNumber":["8022"]}}"#;
        let all = [RESPONSE, "eu-west-1", "StartSession", "me", request, "https://ssm.x.example", "more"];
        for length in 3..=all.len() {
            let joined = joined(&all[..length], RESPONSE);
            assert_eq!((joined.session.id.as_str(), joined.session.stream.token.expose()), ("s-1", "secret"));
            assert_eq!(joined.overrides.region.as_deref(), Some("eu-west-1"));
            assert_eq!(joined.overrides.profile.as_deref(), (length > 3).then_some("me"));
            assert_eq!(
                (joined.session.target.as_str(), joined.port),
                if length > 4 { ("i-1", 8022) } else { ("", 22) }
            );
            assert_eq!(joined.overrides.endpoint_url.is_some(), length > 5);
        }
        let empty = joined(&["x", "", "StartSession", "", "", ""], RESPONSE);
        assert_eq!(empty.overrides, Overrides::default());
    }

    #[test]
    fn keys_are_taken_in_any_case_and_more_of_them_do_no_harm() {
        for response in [
            r#"{"sessionId":"s-1","streamUrl":"wss://a.amazonaws.com/x","tokenValue":"secret"}"#,
            r#"{"TOKENVALUE":"secret","ResponseMetadata":{"a":[1]},"sessionid":"s-1","StreamURL":"wss://a.amazonaws.com/x"}"#,
        ] {
            let joined = joined(&["x", "r", "StartSession", "", r#"{"target":"i-1"}"#], response);
            let Session { id, target, stream } = &joined.session;
            assert_eq!((id.as_str(), target.as_str(), stream.token.expose()), ("s-1", "i-1", "secret"));
        }
    }

    #[test]
    fn a_response_that_cannot_be_used_is_not_shown() {
        for response in [
            "",
            " ",
            "secret",
            "\"secret\"",
            "{",
            r#"{"SessionId":"secret"}"#,
            r#"{"SessionId":7,"TokenValue":"secret"}"#,
            r#"{"SessionId":"s","TokenValue":["secret"],"StreamUrl":"x"}"#,
            r#"{"secret"}"#,
            r#"{"SessionId":"s","TokenValue":""}"#,
        ] {
            let said = said(&[response, "r", "StartSession"]);
            assert!(said.starts_with("refused: ") && !said.contains("secret"), "{response}: {said}");
        }
    }

    #[test]
    fn an_endpoint_counts_if_it_is_another_one_of_systems_manager() {
        let ecs = "ecs-execute-command-0";
        for (endpoint, id, counts) in [
            ("https://ssm.eu-west-1.amazonaws.com", "s", false),
            ("https://ssm-fips.us-east-1.amazonaws.com", "s", true),
            ("https://ssm.us-east-1.amazonaws.com", "s", true),
            ("https://vpce-1-2.ssm.eu-west-1.vpce.amazonaws.com", "s", true),
            ("https://ecs.eu-west-1.amazonaws.com", ecs, false),
            ("https://vpce-1.ecs.eu-west-1.vpce.amazonaws.com", "s", false),
            ("http://127.0.0.1:4566", "s", true),
            ("http://127.0.0.1:4566", ecs, false),
            ("wss://ssmmessages.eu-west-1.amazonaws.com/v1/data-channel/s?x=y", "s", false),
            ("ssm.eu-west-1.amazonaws.com", "s", false),
            ("https://", "s", false),
            ("\u{fffd} \n", "s", false),
            ("", "s", false),
        ] {
            assert_eq!(is_ssm(endpoint, "eu-west-1", id), counts, "{endpoint}");
        }
    }

    #[test]
    fn the_response_is_found_in_each_of_its_places() {
        let place = |first: &str| response_place(&line(&[first, "r", "StartSession"]));
        assert_eq!(place("{}"), Some(ResponsePlace::Argument));
        let name = "AWS_SSM_START_SESSION_RESPONSE_7";
        assert_eq!(place(name), Some(ResponsePlace::Variable(name.to_owned())));
        assert_eq!(place("/dev/fd/3"), Some(ResponsePlace::Handed("/dev/fd/3".to_owned())));
        for other in ["/dev/fd/0", "/dev/fd/3/x", "/dev/fd/"] {
            assert_eq!(place(other), Some(ResponsePlace::Argument), "{other}");
        }
        assert_eq!(response_place(&line(&["{}", "r"])), None);
    }
}
