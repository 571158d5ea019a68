//! What ssh's configuration says of a host: the ProxyCommand that reaches it, read as this program reads it.

use std::path::Path;

use ssm_aws::Overrides;

use super::ssh::spawn;
use crate::{
    cli::{Action, BondSetup, Connection, Invocation, Refusal, StartedBy},
    diagnostics::{Error, ExitStatus},
};

/// This program's own name.
const PROGRAM: &str = env!("CARGO_PKG_NAME");

/// What stands for the tokens of a ProxyCommand.
struct Tokens<'a> {
    host: &'a str,
    original: &'a str,
    port: &'a str,
    user: &'a str,
}

/// The connection that ssh's ProxyCommand makes to the host, and its settings; `own` where it says nothing.
///
/// # Errors
/// If ssh takes its options or its configuration for wrong, or has no ProxyCommand of this program for the host.
pub(super) async fn configured(setup: &BondSetup, own: &Overrides) -> Result<(Connection, Overrides), Error> {
    let unreadable = |why: String| {
        let message = format!("ssh does not say how it connects: {why}");
        Error::new(ExitStatus::Config, message, format!("mend what 'ssh -G {}' says", setup.host))
    };
    // Without a command it would say that it gets no terminal.
    let ssh = spawn(setup, &["-G", "-oRequestTTY=no"], None)?;
    let output = ssh.wait_with_output().await.map_err(|cause| unreadable(cause.to_string()))?;
    if !output.status.success() {
        return Err(unreadable(output.status.to_string()));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')).unwrap_or_default();
    let typed = setup.host.rsplit_once('@').map_or(setup.host.as_str(), |(_, host)| host);
    let original = Some(value("host")).filter(|host| !host.is_empty()).unwrap_or(typed);
    let tokens = Tokens { host: value("hostname"), original, port: value("port"), user: value("user") };
    let proxy_command = value("proxycommand");
    let words = words(proxy_command).ok_or_else(|| none(setup, proxy_command))?;
    let words = words.iter().map(|word| expanded(word, &tokens));
    match Invocation::parse_from(words, StartedBy::Program) {
        Ok(Invocation { action: Action::Connect(connection), overrides, .. }) => {
            Ok((connection, filled_in(overrides, own)))
        }
        Err(Refusal::Target { error, .. } | Refusal::File { error, .. }) => Err(error),
        Ok(_) | Err(Refusal::Usage(_)) => Err(none(setup, proxy_command)),
    }
}

fn none(setup: &BondSetup, proxy_command: &str) -> Error {
    let message = match proxy_command {
        "" => "ssh has no ProxyCommand for it".to_owned(),
        other => format!("ssh's ProxyCommand for it is none that carries an SSH connection: {other}"),
    };
    let hint = format!("put what 'ssm-proxy --bond --print-ssh-config {}' prints into ~/.ssh/config", setup.host);
    Error::new(ExitStatus::Config, message, hint)
}

/// The words of a ProxyCommand from this program's name on: its own, or those of a shell's line within.
fn words(proxy_command: &str) -> Option<Vec<String>> {
    let mut words = shlex::split(proxy_command)?;
    if words.first()? == "exec" {
        words.remove(0);
    }
    match words.as_slice() {
        [program, ..] if Path::new(program).file_stem()? == PROGRAM => Some(words),
        [shell, option, line] if shell.ends_with("sh") && option == "-c" && line.len() < proxy_command.len() => {
            self::words(line)
        }
        _ => None,
    }
}

/// A word with its tokens replaced. Others stay: they say nothing of the node.
fn expanded(word: &str, tokens: &Tokens<'_>) -> String {
    let mut text = String::with_capacity(word.len());
    let mut rest = word;
    while let Some((before, after)) = rest.split_once('%') {
        text.push_str(before);
        let replaced = match after.chars().next() {
            Some('h') => Some(tokens.host),
            Some('n') => Some(tokens.original),
            Some('p') => Some(tokens.port),
            Some('r') => Some(tokens.user),
            Some('%') => Some("%"),
            _ => None,
        };
        text.push_str(replaced.unwrap_or("%"));
        rest = after.get(usize::from(replaced.is_some())..).unwrap_or_default();
    }
    text + rest
}

/// The settings of the ProxyCommand, which decide, and `own` where it has none.
fn filled_in(of_line: Overrides, own: &Overrides) -> Overrides {
    let Overrides { profile, region, endpoint_url, ssmmessages_endpoint_url, ca_bundle, .. } = own.clone();
    Overrides {
        profile: of_line.profile.or(profile),
        region: of_line.region.or(region),
        endpoint_url: of_line.endpoint_url.or(endpoint_url),
        ssmmessages_endpoint_url: of_line.ssmmessages_endpoint_url.or(ssmmessages_endpoint_url),
        ca_bundle: of_line.ca_bundle.or(ca_bundle),
        no_verify_ssl: of_line.no_verify_ssl || own.no_verify_ssl,
        no_sign_request: of_line.no_sign_request || own.no_sign_request,
        no_credential_cache: of_line.no_credential_cache || own.no_credential_cache,
        limits: of_line.limits,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_command_is_read_as_a_shell_does() {
        let host = Tokens { host: "i-0", original: "Web 1", port: "22", user: "me" };
        for (command, read) in [
            (r#"ssm-proxy --bond -- "%h" %p"#, Some(&["ssm-proxy", "--bond", "--", "i-0", "22"][..])),
            (
                r#"exec '/a b/ssm-proxy' --user "%r" -- "%n" %p"#,
                Some(&["/a b/ssm-proxy", "--user", "me", "--", "Web 1", "22"]),
            ),
            (
                r#"sh -c "ssm-proxy --target '%h' --reason '100%% %C'""#,
                Some(&["ssm-proxy", "--target", "i-0", "--reason", "100% %C"]),
            ),
            ("aws ssm start-session --target %h", None),
            ("AWS_PROFILE=a ssm-proxy %h", None),
            ("ssm-proxy 'open", None),
            ("sh -c sh -c", None),
            ("", None),
        ] {
            let found = words(command);
            let found = found.map(|words| words.iter().map(|word| expanded(word, &host)).collect::<Vec<_>>());
            assert_eq!(found, read.map(|words| words.iter().map(|word| (*word).to_owned()).collect()), "{command}");
        }
    }
}
