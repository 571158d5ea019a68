//! The farewell of a session that nobody needs any more: by the flag, else by the API.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::time::Instant;

use futures_util::stream::{FuturesUnordered, StreamExt};
use ssm_session::{Event, Session};
use tokio::time::{sleep_until, timeout};

use super::limits;
use crate::diagnostics::tell;
use crate::terminate;

/// Sessions that are being ended, and calls that may yet bring some.
#[derive(Default)]
pub(super) struct Farewells<'a>(FuturesUnordered<Pin<Box<dyn Future<Output = ()> + 'a>>>);

impl<'a> Farewells<'a> {
    /// Ends this session.
    pub(super) fn add(&mut self, session: Session) {
        self.push(end(session));
    }

    /// Does this, at whose end no session is left.
    pub(super) fn push(&mut self, work: impl Future<Output = ()> + 'a) {
        self.0.push(Box::pin(work));
    }

    /// Goes on with them; never comes back.
    pub(super) async fn go_on(&mut self) -> Infallible {
        while self.0.next().await.is_some() {}
        std::future::pending().await
    }

    /// Waits until all are done, for a limited time.
    pub(super) async fn finish(mut self) {
        if timeout(limits::END, async { while self.0.next().await.is_some() {} }).await.is_err() {
            tell("a session that was being started or ended may stay until the service ends it as idle");
        }
    }
}

/// Ends a session. What it still brings is of no interest.
pub(super) async fn end(mut session: Session) {
    session.finish();
    let begun = Instant::now();
    let is_over = loop {
        let now = Instant::now();
        session.handle_timeout(now);
        let events: Vec<Event> = std::iter::from_fn(|| session.poll_event()).collect();
        let ended = events.into_iter().find_map(|event| match event {
            Event::Closed(why) => Some(why.is_over()),
            Event::Terminated => Some(session.channel().agent_knows_flag()),
            _ => None,
        });
        if let Some(is_over) = ended {
            break is_over;
        }
        while session.poll_output().is_some() {}
        let until = begun + limits::flag(&session.stats());
        if until <= now || !session.is_connected() {
            break false;
        }
        session.transmit(now, true);
        let wake = session.poll_timeout(now).map_or(until, |at| at.min(until));
        tokio::select! {
            _ = session.progress() => {}
            () = sleep_until(wake.into()) => {}
        }
    };
    if !is_over {
        terminate::by_api(session.id(), session.terminate()).await;
    }
    session.close().await;
}
