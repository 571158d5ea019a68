//! The words for a session: why there is no connection to it, and who ended it.
//!
//! The text of `channel_closed` is the service's or the agent's own. It is empty when sshd has closed its connection, when
//! the agent has crashed and when somebody has terminated the session alike.

use std::io;
use std::time::Duration;

use ssm_aws::{Aws, Denial};
use ssm_session::{Closed, ConnectError, NO_ENCRYPTION};

use super::aws::api;
use super::credentials::{renewal, sign_in};
use super::denial::cure;
use super::error::{Error, ExitStatus};
use super::gateway::gateway;

/// The port that sshd is on as a rule.
const SSH: u16 = 22;
/// The line that agents put above the reason of a failure.
const FAILURE: &str = "----------ERROR-------";
/// The word by which the service's text for its idle limit is known: "Your session timed out due to inactivity and has been
/// terminated."
const IDLE: &str = "inactivity";
/// What the agent says when KMS does not decrypt a session's data key for it; KMS's own words follow.
const NOT_DECRYPTED: &str = "Error when decrypting data key";

/// The session was closed before the handshake was complete.
pub fn closed_early(output: &str) -> Error {
    let what = format!("the session was closed before it was established{}", detail(output));
    let hint = match output.split_once(NOT_DECRYPTED) {
        Some((_, kms)) if kms.contains("AccessDenied") => {
            return Error::new(ExitStatus::Denied, what, not_decrypted(kms));
        }
        Some(_) => {
            "the node has KMS decrypt the session's key, and KMS did not: check the way from the node to KMS, and that the \
             key of the Session Manager preferences is enabled"
        }
        None => "look at the agent's log on the target: amazon-ssm-agent.log",
    };
    Error::new(ExitStatus::Unavailable, what, hint)
}

/// The node's own role, not the user's, has to be allowed to decrypt the session's key.
fn not_decrypted(kms: &str) -> String {
    let denial = Denial::read(kms);
    let key = denial.resource.unwrap_or("the KMS key of the Session Manager preferences");
    format!("for the node's own role, not for yours: {}", cure(&denial, "kms:Decrypt", key))
}

/// The session was closed after the handshake and before a single byte: the port refused, or the agent failed while it
/// connected to the port.
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

/// The session was closed while it was in use. Without a text, the far side is taken to have ended it, which looks the same.
///
/// # Errors
/// If the text says that somebody else has ended it.
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

/// The same of a session with a shell or a command.
///
/// # Errors
/// If the text says that it was another's doing.
pub fn closed_program(output: &str) -> Result<(), Error> {
    let hint =
        "start another session; the limit is the idle session timeout of the account's Session Manager preferences";
    closed_in_use(output)
        .map_err(|error| if output.contains(IDLE) { Error { hint: hint.to_owned(), ..error } } else { error })
}

/// What cures a destination that a node cannot connect to.
pub const UNREACHABLE: &str = "check that something listens there, that the security groups let the node in, and that the \
    agent does not deny the address (link-local, VPC resolver)";

/// What the agent says of a destination to which it forwards nothing.
const FORBIDDEN: &str = "is forbidden";

/// The session of a forward was ended.
pub fn forward_ended(output: &str) -> Error {
    let why = match detail(output) {
        text if text.is_empty() => "the session was ended".to_owned(),
        text => format!("the session was ended{text}"),
    };
    let hint = match output {
        denied if denied.contains(FORBIDDEN) => "the agent denies this address to all forwards: name another",
        _ => "see that the agent runs on the node, and connect again",
    };
    Error::new(ExitStatus::Unavailable, why, hint)
}

/// The agent has sent what is no forward's bytes.
pub fn broken_forward(broken: &dyn std::error::Error) -> Error {
    let what = format!("what comes from the agent cannot be read: {broken}");
    Error::new(ExitStatus::Broken, what, "update the agent on the node, and report this if it happens again")
}

/// All sessions of a bond were closed, and no other reaches the joiner.
pub fn bond_lost() -> Error {
    let what = "the sessions were closed, and the joiner on the node cannot be reached again";
    let hint = "connect again; if an administrator ended them, CloudTrail has the calls of TerminateSession";
    Error::new(ExitStatus::Broken, what, hint)
}

/// There is no joiner on the node any more, and nothing else can carry the connection.
pub fn no_joiner() -> Error {
    let hint = "set it up again: ssm-proxy --bond-setup HOST; or leave --bond out";
    Error::new(ExitStatus::Unavailable, "the joiner is not on the node any more", hint)
}

/// The joiner has turned the connection away after it had begun.
pub fn bond_refused(why: &str) -> Error {
    let what = format!("the joiner on the node has refused the connection: {why}");
    Error::new(ExitStatus::TryAgain, what, "connect again: it is not asked again for now")
}

/// The session of a forward was ended by this side.
pub fn forward_ended_here() -> Error {
    Error::new(ExitStatus::Broken, "the forward has ended", "start it again")
}

/// The session is of a kind that is no forward, for this reason.
pub fn no_forward(why: String) -> Error {
    Error::new(ExitStatus::Config, why, "leave --document-name out, or name a document that forwards a port")
}

/// The session is of a kind that is no shell and no command, for this reason.
pub fn no_program(why: String) -> Error {
    let hint = "look at the document's session type; --document-name names another";
    Error::new(ExitStatus::Config, why, hint)
}

/// The terminal or its signals cannot be had.
pub fn no_terminal(cause: &io::Error) -> Error {
    let what = format!("the terminal cannot be used: {cause}");
    Error::new(
        ExitStatus::Broken,
        what,
        "check that it is still there, or leave it out: ssm-proxy --shell HOST </dev/null",
    )
}

/// Messages of the far side have come behind others that have not.
pub fn output_missing() -> Error {
    let what = "the session was closed, with a part of what the target sent missing";
    Error::new(ExitStatus::Broken, what, "start another session, and do the rest again")
}

/// A command has ended with this status, and its output may not be all of it.
pub fn output_lost(status: u8) -> Error {
    let what = format!("{LOST_OUTPUT}; its exit status was {status}");
    Error::new(ExitStatus::Broken, what, LOST_OUTPUT_HINT)
}

/// The same where the session has ended without a status, for this reason.
pub fn output_lost_before(end: Error) -> Error {
    Error { hint: LOST_OUTPUT_HINT.to_owned(), ..end.after(LOST_OUTPUT) }
}

/// A command that had written before the connection was lost has been quiet since it is back.
pub const QUIET_SINCE_LOSS: &str = "nothing has come from the command since the connection was lost: it may be quiet, or the \
    agent may have given its output up, so that the command waits for ever to write more; Ctrl-C ends it";

const LOST_OUTPUT: &str = "a part of the command's output may be missing: the connection was lost while it ran, and the \
    agent does not keep what a command writes meanwhile";
const LOST_OUTPUT_HINT: &str = "run it again, or have it write to a file on the target";

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

/// The time to connect, `limit`, is over. `failed` is why the latest attempt has failed, if one has.
pub fn not_connected(limit: Duration, failed: Option<&ConnectError>, aws: &Aws) -> Error {
    let what = match failed {
        Some(_) => format!("the data channel could not be opened within {} s", limit.as_secs_f64()),
        None => "the session's handshake was not completed in time".to_owned(),
    };
    let hint = "check the target's agent and the network, or allow more time with --connect-timeout";
    in_vain(&what, hint, failed, aws)
}

/// The run was ended before the session was up; `how` says by what. `failed` is why the latest attempt has failed, if one
/// has.
pub fn not_connected_before(how: &str, failed: Option<&ConnectError>, aws: &Aws) -> Error {
    in_vain(&format!("{how} before the session was up"), "connect again", failed, aws)
}

/// The time to resume, `limit`, is over. `failed` is why the latest attempt has failed, if one has.
pub fn not_resumed(limit: Duration, failed: Option<&ConnectError>, aws: &Aws) -> Error {
    let what = format!("the connection was lost and could not be resumed within {} s", limit.as_secs_f64());
    in_vain(&what, "check the network, or allow more time with --resume-timeout", failed, aws)
}

/// `what` happened: because the attempt to connect has `failed`, or else for no known reason; then `hint` is all there is.
fn in_vain(what: &str, hint: &str, failed: Option<&ConnectError>, aws: &Aws) -> Error {
    let Some(failed) = failed else { return Error::new(ExitStatus::TryAgain, what, hint) };
    connect(failed, aws).after(what)
}

/// The session is closed, and nobody here has ended it; nothing is known besides `why`.
pub fn closed(why: &Closed, aws: &Aws) -> Error {
    let (what, hint) = match why {
        Closed::ByService { output } => return closed_early(output),
        Closed::Failed(error) => return connect(error, aws),
        Closed::NotConnected(failed) | Closed::NotResumed(failed) => {
            return not_connected_before("the time was over", failed.as_deref(), aws);
        }
        Closed::NoDataKey { key_id, error } => {
            return api(error).after(&format!("the session is to be encrypted with the KMS key {key_id}"));
        }
        Closed::TargetUnknown { key_id } => {
            let hint = format!(
                "the KMS key {key_id} is bound to the target, which the caller has not told: it has to pass its request of \
                 StartSession as the fifth argument of session-manager-plugin, as the AWS CLI does"
            );
            return Error::new(ExitStatus::Config, NO_ENCRYPTION, hint);
        }
        Closed::DataKeyLate { key_id, waited } => {
            let what = format!(
                "the agent gave up waiting for the session's data key: KMS had not made it after {} s, with the key {key_id}",
                waited.as_secs()
            );
            let hint = "the agent waits 15 s: check the way to KMS (a VPC endpoint, a proxy, AWS_ENDPOINT_URL_KMS), and \
                connect again";
            return Error::new(ExitStatus::TryAgain, what, hint);
        }
        Closed::DecryptLate { key_id } => {
            let what = format!(
                "the agent gave up waiting for KMS to decrypt the session's data key on the node, with the key {key_id}"
            );
            let hint = "the agent waits 15 s: check the way from the node to KMS (a VPC endpoint, a proxy), and that the \
                node's own role allows kms:Decrypt on the key; connect again";
            return Error::new(ExitStatus::TryAgain, what, hint);
        }
        Closed::Undecipherable => (
            "something came that is not encrypted with the session's KMS data key".to_owned(),
            "nothing of it was used; connect again, and look at the agent's log on the target if it stays so",
        ),
        Closed::Lost(loss) => {
            (format!("the connection was lost: {loss}"), "connect again; -v shows what happened before")
        }
        Closed::WhileAway => {
            ("the session ended on the service while the connection was away".to_owned(), "connect again")
        }
        Closed::PayloadRefused => (
            "the service closes every new connection over messages of more than 1024 bytes, which it took before"
                .to_owned(),
            "connect again: a new session begins with smaller messages",
        ),
    };
    Error::new(ExitStatus::Broken, what, hint)
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
