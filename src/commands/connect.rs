//! The command that connects: starts a session on the node and hands over to the tunnel.

use ssm_aws::Aws;
use tokio::sync::Notify;

use super::{
    bonded::bonded,
    forward::keep,
    sign_in::sign_in_before,
    starter::{Starter, settings},
};
use crate::{
    cli::Connection,
    diagnostics::Error,
    endpoints::signals::Signals,
    terminate,
    tunnel::{self, Ran, Wanted},
};

/// Starts a session on the node and joins it to stdin and stdout: a connection to a port for ssh, or a `program`, a shell
/// or a command. Gives the status that the process ends with.
///
/// # Errors
/// Any failure; the session, if it was started, has been ended by then.
pub async fn connect(
    aws: &Aws,
    connection: &Connection,
    program: Option<Wanted>,
    signals: &mut Signals,
) -> Result<u8, Error> {
    if let (Some(most), None) = (connection.bond, program) {
        return bonded(aws, connection, most, signals).await;
    }
    sign_in_before(aws, signals).await?;
    let hurry = Notify::new();
    let starter = Starter::new(aws, connection);
    let settings = settings(connection, program);
    let result = tunnel::run(aws, &starter.sessions, starter.start(&hurry), &hurry, signals, &settings).await;
    if let Some(session_id) = starter.unclaimed.take() {
        terminate::by_api(&session_id, starter.sessions.terminate(&session_id)).await;
    }
    match result? {
        Ran::Ended(status) => Ok(status),
        Ran::Forward(session, agent_version) => {
            keep(aws, &starter, connection, &hurry, (session, agent_version), signals).await
        }
    }
}
