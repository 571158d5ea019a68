//! The words for a session: why there is no connection to it, and who ended it.
//!
//! The text of `channel_closed` is the service's or the agent's own. It is empty when sshd has closed its connection, when
//! the agent has crashed and when somebody has terminated the session alike.

use std::time::Duration;

use ssm_aws::Aws;
use ssm_session::{ConnectError, Loss};

use super::aws::api;
use super::credentials::{renewal, sign_in};
use super::error::{Error, ExitStatus};
use super::gateway::gateway;

/// The port that sshd is on as a rule.
const SSH: u16 = 22;
/// The line that agents put above the reason of a failure.
const FAILURE: &str = "----------ERROR-------";
/// The word by which the service's text for its idle limit is known: "Your session timed out due to inactivity and has been
/// terminated."
const IDLE: &str = "inactivity";

/// Closed before the handshake was complete.
pub fn closed_early(output: &str) -> Error {
    let what = format!("the session was closed before it was established{}", detail(output));
    Error::new(ExitStatus::Unavailable, what, "look at the agent's log on the target: amazon-ssm-agent.log")
}

/// Closed after the handshake and before a single byte: the port refused, or the agent failed while connecting to it.
pub fn port_refused(port: u16, output: &str) -> Error {
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
pub fn closed_in_use(output: &str) -> Result<(), Error> {
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

/// An attempt to connect to the data channel that failed.
pub fn connect(error: &ConnectError, aws: &Aws) -> Error {
    match error {
        ConnectError::Api(error) => api(error),
        ConnectError::SignIn(error) => sign_in(error),
        // A refusal of an upgrade that was not signed is about just that.
        ConnectError::Gateway { error, signed: false } if error.is_denied() => {
            Error { hint: renewal(&aws.login()), ..gateway(error) }
        }
        ConnectError::Gateway { error, .. } => gateway(error),
        ConnectError::Silent { .. } => Error::new(
            ExitStatus::TryAgain,
            error.to_string(),
            "check the network, or whether a proxy or VPC endpoint is needed",
        ),
    }
}

/// The time to connect, `limit`, is over; and why the latest attempt has failed, if one has.
pub fn not_connected(limit: Duration, failed: Option<Error>) -> Error {
    match failed {
        Some(failed) => failed.after(&format!("the data channel could not be opened within {} s", limit.as_secs_f64())),
        None => Error::new(
            ExitStatus::TryAgain,
            "the session's handshake was not completed in time",
            "check the target's agent and the network, or allow more time with --connect-timeout",
        ),
    }
}

/// The run was ended before the session was up: by what, and why the latest attempt to connect has failed if one has.
pub fn not_connected_before(how: &str, failed: Option<Error>) -> Error {
    let what = format!("{how} before the session was up");
    match failed {
        Some(failed) => failed.after(&what),
        None => Error::new(ExitStatus::TryAgain, what, "connect again"),
    }
}

/// The time to resume, `limit`, is over; and why the latest attempt has failed, if one has.
pub fn not_resumed(limit: Duration, failed: Option<Error>) -> Error {
    let what = format!("the connection was lost and could not be resumed within {} s", limit.as_secs_f64());
    match failed {
        Some(failed) => failed.after(&what),
        None => Error::new(ExitStatus::TryAgain, what, "check the network, or allow more time with --resume-timeout"),
    }
}

/// The connection is lost, and is not to be resumed.
pub fn lost(loss: &Loss) -> Error {
    let what = format!("the connection was lost: {loss}");
    Error::new(ExitStatus::Broken, what, "connect again; -v shows what happened before")
}

/// The session was over when the connection was to be resumed.
pub fn over_while_away() -> Error {
    let what = "the session ended on the service while the connection was away";
    Error::new(ExitStatus::Broken, what, "connect again")
}

/// The service no longer takes what it took before, and what is under way cannot be cut anew.
pub fn payload_refused() -> Error {
    let what = "the service closes every new connection over messages of more than 1024 bytes, which it took before";
    Error::new(ExitStatus::Broken, what, "connect again: a new session begins with smaller messages")
}

/// StartSession was sent, and nothing came back.
pub fn not_answered_in_time() -> Error {
    let hint = "check the network; behind a proxy, set HTTPS_PROXY; --connect-timeout allows more time";
    Error::new(ExitStatus::TryAgain, "StartSession was not answered in time", hint)
}

/// The session is of a kind that cannot carry SSH, for this reason.
pub fn unsupported(why: String) -> Error {
    Error::new(ExitStatus::Config, why, "use --document-name AWS-StartSSHSession, or a document of session type Port")
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
            let error = closed_in_use(output).unwrap_err();
            assert_eq!((error.status, error.message.as_str()), (ExitStatus::Broken, what));
            assert!(error.hint.contains(hint), "{error:?}");
        }
        assert_eq!([closed_in_use(""), closed_in_use(" \n")], [Ok(()), Ok(())]);
    }

    #[test]
    fn a_port_of_another_server_is_not_taken_for_that_of_sshd() {
        assert!(port_refused(22, "").hint.contains("sshd runs"));
        let error = port_refused(5432, "");
        assert!(!error.hint.contains("sshd runs") && error.hint.contains("ssh -L 5432:SERVER:5432"), "{error:?}");
    }
}
