//! The command `--bond-setup`: starts a joiner on a node by ssh, and remembers how it is reached.
//!
//! ssh is the user's own, with its configuration, keys and questions. What is remembered is for later connections with
//! `--bond`, which find the node by the same ProxyCommand.

mod configured;
mod node;
mod programs;
mod ssh;

use std::time::Duration;

use ssm_aws::{Aws, Overrides, Sessions};
use ssm_bond::opening::Secret;
use tokio::time::timeout;

use self::{configured::configured, node::start, ssh::is_within};
use super::{
    sign_in::sign_in,
    starter::{Starter, request_at, settings},
};
use crate::{
    bond::{
        answers,
        known::{Joiner, Known, KnownJoiners},
    },
    cli::{BondSetup, Connection},
    diagnostics::{Error, ExitStatus, tell},
    endpoints::signals::Signals,
    lookup::Lookup,
    target::Node,
};

/// For an attempt that nobody waits for by choice: a login, and the copy of some 400 kB.
const LIMIT: Duration = Duration::from_secs(60);
/// The status of a run that leaves no joiner known, and is no failure.
const NONE_KNOWN: u8 = 1;

/// A node, as connections by its ProxyCommand find it.
struct Found {
    aws: Aws,
    connection: Connection,
    id: String,
    known: KnownJoiners,
}

/// Starts a joiner where none is known that answers; if it is done as needed, where nothing is known. Gives the status that
/// the process ends with.
///
/// # Errors
/// Any failure; none if it is done as needed, which ends with a status alone.
pub async fn bond_setup(overrides: &Overrides, setup: &BondSetup, signals: &mut Signals) -> Result<u8, Error> {
    if setup.if_needed {
        let attempt = timeout(LIMIT, if_needed(overrides, setup));
        let is_known = unless_ended(signals, async { Ok::<_, Error>(attempt.await.unwrap_or(false)) }).await?;
        return Ok(if is_known { ExitStatus::Ended as u8 } else { NONE_KNOWN });
    }
    let found = unless_ended(signals, find(overrides, setup)).await?;
    if let Some(Known::Joiner(joiner)) = found.known.recall(&found.aws, &found.id)
        && joiner.secret.is_some()
    {
        if is_there(&found, &joiner, signals).await? {
            tracing::info!(id = found.id, "the joiner answers: nothing is to be done");
            return Ok(ExitStatus::Ended as u8);
        }
        found.known.forget(&found.aws, &found.id);
    }
    unless_ended(signals, set_up(&found, setup)).await?;
    tell(&format!("{}: the joiner runs on {}; connections with --bond use it", setup.host, found.id));
    Ok(ExitStatus::Ended as u8)
}

/// Whether a joiner is known in the end.
async fn if_needed(overrides: &Overrides, setup: &BondSetup) -> bool {
    // This very ssh is the one that sets a joiner up.
    if is_within() {
        return false;
    }
    let found = match find(overrides, setup).await {
        Ok(found) => found,
        Err(error) => {
            tracing::info!("no joiner is set up: {error}");
            return false;
        }
    };
    match found.known.recall(&found.aws, &found.id) {
        Some(Known::Joiner(_)) => return true,
        Some(Known::Absent) => return false,
        None => {}
    }
    // What lasts too long has failed, too: it is not tried again at each connection.
    found.known.remember_absence(&found.aws, &found.id);
    let result = set_up(&found, setup).await;
    result.inspect_err(|error| tracing::info!(hint = error.hint, "no joiner is set up: {error}")).is_ok()
}

/// Finds the node as a connection does.
async fn find(overrides: &Overrides, setup: &BondSetup) -> Result<Found, Error> {
    let (connection, overrides) = configured(setup, overrides).await?;
    let aws = Aws::load(&overrides).await?;
    if let Node::Alias(alias) = &connection.node
        && Lookup::new(&aws).recall(alias).is_none()
    {
        sign_in(&aws).await?;
    }
    let id = Starter::new(&aws, &connection).id().await?;
    tracing::info!(id, region = aws.region, "the node that ssh connects to");
    Ok(Found { aws, connection, id, known: KnownJoiners::of_user() })
}

/// Whether the joiner that is known answers.
async fn is_there(found: &Found, joiner: &Joiner, signals: &mut Signals) -> Result<bool, Error> {
    let Found { aws, connection, id, .. } = found;
    unless_ended(signals, sign_in(aws)).await?;
    let sessions = Sessions::new(aws);
    // It is waited for even if a signal comes: the session would be left.
    let started = sessions.start(&request_at(connection, id, joiner.first_port)).await?;
    let ended = signals.end(|| tell("the joiner is asked whether it is there"));
    answers(aws, &sessions, &settings(connection, None), started, joiner, ended).await.map_err(ended_by)
}

/// Starts a joiner, and remembers it.
async fn set_up(Found { aws, connection, id, known }: &Found, setup: &BondSetup) -> Result<(), Error> {
    let mut bytes = [0; Secret::BYTES];
    getrandom::fill(&mut bytes).map_err(|cause| {
        let message = format!("the system gives no random numbers: {cause}");
        Error::new(ExitStatus::Broken, message, "run it again")
    })?;
    let joiner = start(setup, connection.port, Secret::new(bytes)).await?;
    known.remember(aws, id, &joiner).map_err(|cause| {
        let message = format!("it cannot be remembered that the joiner runs: {cause}");
        Error::new(ExitStatus::Config, message, "look who may write to ~/.cache/ssm-proxy, and run it again")
    })
}

async fn unless_ended<T, E: Into<Error>>(
    signals: &mut Signals,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, Error> {
    let report = || tell("nothing to report: a joiner is being set up");
    signals.unless_ended(work, report).await.map_err(ended_by)?.map_err(Into::into)
}

fn ended_by(signal: &str) -> Error {
    Error::new(ExitStatus::Broken, format!("ended by {signal}"), "run it again")
}
