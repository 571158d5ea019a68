//! A session that the service has closed: who ended it, as far as how far it had come and the text of `channel_closed` say.
//!
//! The text is the service's or the agent's own. It is empty when sshd has closed its connection, when the agent has crashed
//! and when somebody has terminated the session alike.

use crate::error::{Error, ExitStatus};

/// The port that sshd is on as a rule.
const SSH: u16 = 22;
/// The line that agents put above the reason of a failure.
const FAILURE: &str = "----------ERROR-------";
/// The word by which the service's text for its idle limit is known: "Your session timed out due to inactivity and has been
/// terminated."
const IDLE: &str = "inactivity";

/// Closed before the handshake was complete.
pub(crate) fn early(output: &str) -> Error {
    let what = format!("the session was closed before it was established{}", detail(output));
    Error::new(ExitStatus::Unavailable, what, "look at the agent's log on the target: amazon-ssm-agent.log")
}

/// Closed after the handshake and before a single byte: the port refused, or the agent failed while connecting to it.
pub(crate) fn port_refused(port: u16, output: &str) -> Error {
    let what = format!("the target's port refused the connection{}", detail(output));
    let hint = match port {
        SSH => "check that sshd runs on the target and listens on that port".to_owned(),
        _ => format!(
            "check that something on the target listens on port {port}; a server behind the target is reached through its \
             sshd: ssh -L {port}:SERVER:{port} HOST"
        ),
    };
    Error::new(ExitStatus::Unavailable, what, hint)
}

/// Closed while it was in use. Without a text that is how the far side's own end looks, and is taken for it.
///
/// # Errors
/// If the text says that it was another's doing.
pub(super) fn in_use(output: &str) -> Result<(), Error> {
    let text = detail(output);
    let (what, hint) = match output {
        _ if text.is_empty() => return Ok(()),
        idle if idle.contains(IDLE) => (
            "Session Manager ended the session because it was idle",
            "have ssh send something more often: ServerAliveInterval 30 in ssh_config. The limit is the idle session timeout \
             of the account's Session Manager preferences",
        ),
        failure if failure.contains(FAILURE) => {
            ("the agent ended the session", "look at the agent's log on the target: amazon-ssm-agent.log")
        }
        _ => (
            "the service ended the session",
            "connect again; if an administrator ended it, CloudTrail has the call of TerminateSession",
        ),
    };
    Err(Error::new(ExitStatus::Broken, format!("{what}{text}"), hint))
}

/// The service's text as the end of a sentence, without the line that agents put above it.
fn detail(output: &str) -> String {
    let words = output.split_whitespace().filter(|word| !word.starts_with("-----"));
    let text = words.collect::<Vec<_>>().join(" ");
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_ended_a_session_in_use_is_said_as_far_as_it_is_known() {
        for (output, what, hint) in [
            (
                "Your session timed out due to inactivity and has been terminated.",
                "Session Manager ended the session because it was idle: Your session timed out due to inactivity and has \
                 been terminated.",
                "ServerAliveInterval",
            ),
            (
                "\n----------ERROR-------\nSetting up data channel failed:\n no room\n",
                "the agent ended the session: Setting up data channel failed: no room",
                "amazon-ssm-agent.log",
            ),
            ("Terminated by me", "the service ended the session: Terminated by me", "TerminateSession"),
        ] {
            let error = in_use(output).unwrap_err();
            assert_eq!((error.status, error.message.as_str()), (ExitStatus::Broken, what));
            assert!(error.hint.contains(hint), "{error:?}");
        }
        assert_eq!([in_use(""), in_use(" \n")], [Ok(()), Ok(())]);
    }

    #[test]
    fn a_port_of_another_server_is_not_taken_for_that_of_sshd() {
        assert!(port_refused(22, "").hint.contains("sshd runs"));
        let error = port_refused(5432, "");
        assert!(!error.hint.contains("sshd runs") && error.hint.contains("ssh -L 5432:SERVER:5432"), "{error:?}");
    }
}
