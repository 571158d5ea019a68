//! Whether a joiner that is known is still there: a session with its first port, for its greeting alone.

use std::future::Future;

use ssm_aws::{Aws, Session as Started, Sessions};
use ssm_session::Session;

use super::attempt::Attempt;
use super::farewell::end;
use super::known::Joiner;
use super::limits;
use super::opening::options;
use crate::tunnel::Settings;

/// Whether the joiner greets in a session that was started with its first port, unless it is `ended` before. The session is
/// ended.
///
/// # Errors
/// What has `ended` it.
pub async fn answers<T>(
    aws: &Aws,
    sessions: &Sessions,
    settings: &Settings,
    started: Started,
    joiner: &Joiner,
    ended: impl Future<Output = T>,
) -> Result<bool, T> {
    let mut attempt = Attempt::new(Session::adopt(aws, sessions, started, None, options(settings)));
    let answered = tokio::select! {
        why = ended => Err(why),
        said = attempt.greeting(limits::GREETING) => Ok(said.is_ok_and(|said| said.is_of(joiner))),
    };
    end(attempt.session).await;
    answered
}
