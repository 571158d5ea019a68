//! The session documents that StartSession knows: which kind of session each makes, and which parameters it takes
//! (sessions §1.1).
//!
//! Names and parameters in, the session's settings or AWS's error out. It starts nothing.

use crate::agent::LOCAL_FORWARD;
use crate::kind::SessionKind;
use crate::options::Options;
use crate::service::ApiError;
use std::collections::BTreeMap;

/// The document of sessions that name none.
pub const DEFAULT: &str = "SSM-SessionManagerRunShell";
const INTERACTIVE: &str = "AWS-StartInteractiveCommand";
const NON_INTERACTIVE: &str = "AWS-StartNonInteractiveCommand";
const TO_PORT: &str = "AWS-StartSSHSession";
const FORWARD: &str = "AWS-StartPortForwardingSession";
const FORWARD_TO_HOST: &str = "AWS-StartPortForwardingSessionToRemoteHost";
const PORT: &str = "portNumber";
const LOCAL_PORT: &str = "localPortNumber";
const HOST: &str = "host";
const TYPE: &str = "type";
const COMMAND: &str = "command";
const SEPARATE: &str = "separateOutputStream";
const PREFIXES: [&str; 2] = ["stdoutSeparatorPrefix", "stderrSeparatorPrefix"];
const LONGEST_PREFIX: usize = 30;

/// A document of the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionDocument {
    /// Its name.
    pub name: String,
    /// The kind of its sessions.
    pub kind: SessionKind,
    /// The command that is in it, with `{{ NAME }}` for its parameters; the parameter `command` when `None`.
    pub command: Option<String>,
    /// The properties that are in it, with `{{ NAME }}` likewise, if it is for a port; those of the SSH document when empty.
    pub properties: BTreeMap<String, String>,
}

impl std::str::FromStr for SessionDocument {
    type Err = String;

    /// `NAME=TYPE`, or `NAME=TYPE=COMMAND`, or `NAME=Port=KEY=VALUE,KEY=VALUE`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.splitn(3, '=');
        let (name, kind) = (parts.next().unwrap_or_default(), parts.next());
        let kind = kind.map_or(Ok(SessionKind::Port), str::parse)?;
        let rest = parts.next();
        if kind != SessionKind::Port {
            let command = rest.map(str::to_owned);
            return Ok(Self { name: name.into(), kind, command, properties: BTreeMap::new() });
        }
        let pairs = rest.into_iter().flat_map(|rest| rest.split(','));
        let pair = |text: &str| {
            let (key, value) = text.split_once('=').ok_or_else(|| format!("{text:?} is not KEY=VALUE"))?;
            Ok((key.trim().to_owned(), value.to_owned()))
        };
        let properties = pairs.map(pair).collect::<Result<_, String>>()?;
        Ok(Self { name: name.into(), kind, command: None, properties })
    }
}

/// What a document makes of a session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// The kind.
    pub kind: SessionKind,
    /// The remote port.
    pub port: String,
    /// `Properties` of the SessionType action, where they are more than the port (sessions §1.2).
    pub properties: BTreeMap<String, String>,
    /// The command.
    pub command: String,
    /// Whether output, errors and exit code are sent apart.
    pub separate: bool,
    /// What is put before chunks of output and of errors.
    pub prefixes: [String; 2],
}

type Parameters = BTreeMap<String, Vec<String>>;

/// What the document `name` makes of a session with these parameters.
///
/// # Errors
/// `InvalidDocument` for a name that is not known, `InvalidParameters` for what the document does not take.
pub fn settings(options: &Options, name: Option<&str>, parameters: &Parameters) -> Result<Settings, ApiError> {
    let name = name.unwrap_or(DEFAULT);
    let own = options.session_documents.iter().find(|document| document.name == name);
    let kind = match (name, own) {
        (_, Some(document)) => document.kind,
        (DEFAULT, None) => SessionKind::Shell,
        (INTERACTIVE, None) => SessionKind::InteractiveCommand,
        (NON_INTERACTIVE, None) => SessionKind::NonInteractiveCommand,
        _ if [TO_PORT, FORWARD, FORWARD_TO_HOST].contains(&name) || options.documents.iter().any(|d| d == name) => {
            SessionKind::Port
        }
        _ => return Err(ApiError::client("InvalidDocument", format!("Document with name {name} does not exist."))),
    };
    if kind == SessionKind::Port {
        let properties = match (name, own) {
            (_, Some(document)) => own_properties(document, parameters)?,
            (FORWARD | FORWARD_TO_HOST, None) => forward(name, parameters)?,
            _ => BTreeMap::new(),
        };
        let port = match properties.is_empty() {
            true => port(parameters, "22")?,
            false => properties.get(PORT).cloned().unwrap_or_default(),
        };
        return Ok(Settings { port, properties, ..Settings::default() });
    }
    let declared: &[&str] = match kind {
        SessionKind::Port | SessionKind::Shell => &[],
        SessionKind::InteractiveCommand => &[COMMAND],
        SessionKind::NonInteractiveCommand => &[COMMAND, SEPARATE, PREFIXES[0], PREFIXES[1]],
    };
    for (parameter, values) in parameters {
        if own.is_none() && !declared.contains(&parameter.as_str()) {
            return Err(undefined(parameter));
        }
        if values.len() != 1 {
            return Err(invalid(format!(
                "Parameter \"{parameter}\" has value {values:?} not matching its type String."
            )));
        }
    }
    let value = |name: &str| parameters.get(name).and_then(|values| values.first()).cloned();
    let command = match own.and_then(|document| document.command.clone()) {
        Some(command) => filled(command, parameters),
        None if declared.is_empty() => String::new(),
        None => value(COMMAND).ok_or_else(|| missing(COMMAND))?,
    };
    let separate = match value(SEPARATE).as_deref() {
        None | Some("false") => false,
        Some("true") => kind == SessionKind::NonInteractiveCommand,
        Some(other) => return Err(pattern(SEPARATE, other)),
    };
    let prefixes = PREFIXES.map(|name| value(name).unwrap_or_default());
    if let Some(bad) = prefixes.iter().find(|prefix| !is_prefix(prefix)) {
        return Err(pattern("stdoutSeparatorPrefix or stderrSeparatorPrefix", bad));
    }
    Ok(Settings { kind, command, separate, prefixes, ..Settings::default() })
}

/// The properties of AWS's own documents for forwards.
fn forward(name: &str, parameters: &Parameters) -> Result<BTreeMap<String, String>, ApiError> {
    let to_host = name == FORWARD_TO_HOST;
    for parameter in parameters.keys() {
        let declared = [PORT, LOCAL_PORT].contains(&parameter.as_str()) || (to_host && parameter == HOST);
        if !declared {
            return Err(undefined(parameter));
        }
    }
    let local = match parameters.get(LOCAL_PORT).map(Vec::as_slice) {
        None => "0".to_owned(),
        Some([port]) if port.parse::<u16>().is_ok_and(|number| number.to_string() == *port) => port.clone(),
        Some(other) => return Err(pattern(LOCAL_PORT, &format!("{other:?}"))),
    };
    let mut properties = BTreeMap::from([
        (TYPE.to_owned(), LOCAL_FORWARD.to_owned()),
        (PORT.to_owned(), port(parameters, "80")?),
        (LOCAL_PORT.to_owned(), local),
    ]);
    if to_host {
        let host = match parameters.get(HOST).map(Vec::as_slice) {
            Some([host]) if !host.is_empty() => host.clone(),
            Some(other) => return Err(pattern(HOST, &format!("{other:?}"))),
            None => return Err(missing(HOST)),
        };
        properties.insert(HOST.to_owned(), host);
    }
    Ok(properties)
}

/// The properties of a document of the account.
fn own_properties(document: &SessionDocument, parameters: &Parameters) -> Result<BTreeMap<String, String>, ApiError> {
    let fill = |(name, text): (&String, &String)| {
        let value = filled(text.clone(), parameters);
        match value.split_once("{{").and_then(|(_, rest)| rest.split_once("}}")) {
            Some((left, _)) => Err(missing(left.trim())),
            None => Ok((name.clone(), value)),
        }
    };
    document.properties.iter().map(fill).collect()
}

fn port(parameters: &Parameters, default: &str) -> Result<String, ApiError> {
    match parameters.get(PORT).map(Vec::as_slice) {
        None => Ok(default.to_owned()),
        Some([port]) if port.parse::<u16>().is_ok_and(|p| p > 0) => Ok(port.clone()),
        Some(other) => Err(invalid(format!("Parameter \"portNumber\" has value {other:?} not matching its pattern."))),
    }
}

fn invalid(message: String) -> ApiError {
    ApiError::client("InvalidParameters", message)
}

fn undefined(name: &str) -> ApiError {
    invalid(format!("Parameter \"{name}\" is not defined in the Document content."))
}

fn missing(name: &str) -> ApiError {
    invalid(format!("Parameter \"{name}\" has no value and no default value."))
}

fn pattern(name: &str, value: &str) -> ApiError {
    invalid(format!("Parameter \"{name}\" has value {value:?} not matching its pattern."))
}

/// `^[0-9a-zA-Z\r\n_:-]{0,30}$`, as the agent has it.
fn is_prefix(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "\r\n_:-".contains(c);
    text.len() <= LONGEST_PREFIX && text.chars().all(fits)
}

fn filled(mut command: String, parameters: &Parameters) -> String {
    for (name, values) in parameters {
        let value = values.first().map_or("", String::as_str);
        for place in [format!("{{{{ {name} }}}}"), format!("{{{{{name}}}}}")] {
            command = command.replace(&place, value);
        }
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    type Case<'a> = (Option<&'a str>, &'a [(&'a str, &'a [&'a str])]);

    fn ask(name: Option<&str>, parameters: &[(&str, &[&str])]) -> Result<Settings, String> {
        let options = Options {
            session_documents: vec![
                "Mine=Standard_Stream".parse().unwrap(),
                "Logs=NonInteractiveCommands=tail -n {{ lines }} {{file}}".parse().unwrap(),
                "Web=Port=type=LocalPortForwarding,portNumber={{ port }},localUnixSocket=/tmp/{x}".parse().unwrap(),
            ],
            ..Options::default()
        };
        let own = |values: &[&str]| values.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>();
        let parameters = parameters.iter().map(|(name, values)| ((*name).to_owned(), own(values))).collect();
        settings(&options, name, &parameters).map_err(|error| error.kind)
    }

    #[test]
    fn documents_make_kinds() {
        assert_eq!(ask(None, &[]).unwrap().kind, SessionKind::Shell);
        assert_eq!(ask(Some(DEFAULT), &[]).unwrap().kind, SessionKind::Shell);
        assert_eq!(ask(Some("Mine"), &[]).unwrap().kind, SessionKind::Shell);
        let logs = ask(Some("Logs"), &[("lines", &["5"]), ("file", &["/x"])]).unwrap();
        assert_eq!((logs.kind, logs.command.as_str()), (SessionKind::NonInteractiveCommand, "tail -n 5 /x"));
        let command = ask(Some(INTERACTIVE), &[(COMMAND, &["top"])]).unwrap();
        assert_eq!((command.kind, command.command.as_str()), (SessionKind::InteractiveCommand, "top"));
        let parameters: [(&str, &[&str]); 3] = [(COMMAND, &["ls"]), (SEPARATE, &["true"]), (PREFIXES[1], &["E:"])];
        let command = ask(Some(NON_INTERACTIVE), &parameters).unwrap();
        assert!(command.separate);
        assert_eq!(command.prefixes, ["", "E:"]);
    }

    #[test]
    fn parameters_that_do_not_fit_are_refused() {
        let cases: [Case<'_>; 9] = [
            (None, &[(COMMAND, &["ls"])]),
            (Some(INTERACTIVE), &[]),
            (Some(INTERACTIVE), &[(COMMAND, &["ls", "-l"])]),
            (Some(INTERACTIVE), &[(COMMAND, &[])]),
            (Some(INTERACTIVE), &[(COMMAND, &["ls"]), (SEPARATE, &["true"])]),
            (Some(NON_INTERACTIVE), &[(SEPARATE, &["true"])]),
            (Some(NON_INTERACTIVE), &[(COMMAND, &["ls"]), (SEPARATE, &["yes"])]),
            (Some(NON_INTERACTIVE), &[(COMMAND, &["ls"]), (PREFIXES[0], &["a b"])]),
            (Some(NON_INTERACTIVE), &[(COMMAND, &["ls"]), ("portNumber", &["22"])]),
        ];
        for (name, parameters) in cases {
            assert_eq!(ask(name, parameters), Err("InvalidParameters".into()), "{parameters:?}");
        }
        assert_eq!(ask(Some("Nope"), &[]), Err("InvalidDocument".into()));
    }

    #[test]
    fn forwards_have_their_properties_and_their_defaults() {
        let property = |settings: &Settings, name: &str| settings.properties.get(name).cloned().unwrap_or_default();
        let plain = ask(Some(FORWARD), &[]).unwrap();
        assert_eq!((plain.kind, plain.port.as_str(), plain.properties.len()), (SessionKind::Port, "80", 3));
        assert_eq!((property(&plain, LOCAL_PORT), property(&plain, TYPE)), ("0".into(), LOCAL_FORWARD.into()));
        let far = ask(Some(FORWARD_TO_HOST), &[(HOST, &["db"]), (PORT, &["5432"]), (LOCAL_PORT, &["1"])]).unwrap();
        assert_eq!(
            (property(&far, HOST), property(&far, PORT), far.port.as_str()),
            ("db".into(), "5432".into(), "5432")
        );
        assert!(ask(Some(TO_PORT), &[]).unwrap().properties.is_empty());
        let web = ask(Some("Web"), &[("port", &["8080"])]).unwrap();
        assert_eq!((web.port.as_str(), property(&web, "localUnixSocket")), ("8080", "/tmp/{x}".into()));
        let cases: [Case<'_>; 8] = [
            (Some(FORWARD), &[(HOST, &["db"])]),
            (Some(FORWARD), &[(PORT, &["0"])]),
            (Some(FORWARD), &[(LOCAL_PORT, &["65536"])]),
            (Some(FORWARD), &[(LOCAL_PORT, &["01"])]),
            (Some(FORWARD), &[(LOCAL_PORT, &["1", "2"])]),
            (Some(FORWARD_TO_HOST), &[(PORT, &["80"])]),
            (Some(FORWARD_TO_HOST), &[(HOST, &[""])]),
            (Some("Web"), &[]),
        ];
        for (name, parameters) in cases {
            assert_eq!(ask(name, parameters), Err("InvalidParameters".into()), "{parameters:?}");
        }
        assert!("Web=Port=type".parse::<SessionDocument>().is_err());
    }
}
