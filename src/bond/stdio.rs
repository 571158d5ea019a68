//! The connection of stdin and stdout, as ssh starts it.

use super::attempt::Attempt;
use super::bonded::Bonded;
use super::farewell::Farewells;
use super::opening::Begun;
use crate::diagnostics::{Error, tell};
use crate::endpoints::signals::Signals;
use crate::terminate;
use crate::tunnel::Tunnel;

/// The status of a process whose connection has ended in order.
const ENDED: u8 = 0;

impl Bonded<'_> {
    /// Joins stdin and stdout to the connection, until it ends; gives the status of the process.
    ///
    /// # Errors
    /// Those of a plain session, and bytes that may not have arrived. Every session has been ended by then.
    pub async fn run(self, signals: &mut Signals) -> Result<u8, Error> {
        let mut farewells = Farewells::default();
        let ended = async {
            let signal = signals.end(|| tell("the session has not started yet")).await;
            tracing::info!(signal, "ending");
        };
        let begun = self.means.clone().begin(ended, &mut farewells).await;
        let result = match begun {
            Ok(Begun::Joined(attempt, opened)) => {
                let (aws, settings) = (self.means.aws, self.means.settings);
                let (bundle, events) = self.joined(attempt, opened, farewells);
                let (outcome, bundle) = Tunnel::new(aws, bundle, signals, settings).after(events).run().await;
                bundle.leave().await;
                return outcome.result;
            }
            Ok(Begun::Plain(attempt)) => self.plain(attempt, signals, &mut farewells).await,
            Ok(Begun::Ended) => Ok(ENDED),
            Err(error) => Err(error),
        };
        farewells.finish().await;
        result
    }

    /// Over a plain session, as without a bond.
    async fn plain(&self, attempt: Attempt, signals: &mut Signals, farewells: &mut Farewells<'_>) -> Result<u8, Error> {
        let session_id = attempt.session.id().to_owned();
        let tunnel = Tunnel::new(self.means.aws, attempt.session, signals, self.means.settings).after(attempt.events);
        let (outcome, session) = tokio::select! {
            ended = tunnel.run() => ended,
            never = farewells.go_on() => match never {},
        };
        session.close().await;
        if !outcome.over {
            terminate::by_api(&session_id, self.means.sessions.terminate(&session_id)).await;
        }
        outcome.result
    }
}
