//! The beginning of a connection: which sessions are started, and which of them carries it.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ssm_aws::{ApiError, Aws, Session as Started, Sessions};
use ssm_bond::opening::Secret;
use ssm_session::{Accepts, Early, Options, Session};
use tokio::sync::Notify;
use tokio::time::sleep_until;

use super::attempt::{Attempt, Failed};
use super::choice::{Beginning, Choice};
use super::farewell::{Farewells, end};
use super::limits;
use super::link::Opened;
use crate::diagnostics::{Error, session as words};
use crate::tunnel::Settings;

/// Starts the session that a connection begins with.
pub type Start<'a> = dyn Fn() -> Pin<Box<dyn Future<Output = Result<Started, Error>> + 'a>> + 'a;
/// Starts another session with the same node, at this port.
pub type Further<'a> = dyn Fn(u16) -> Pin<Box<dyn Future<Output = Result<Started, ApiError>> + 'a>> + 'a;

/// Where a bond has its sessions from.
#[derive(Clone)]
pub struct Source<'a> {
    /// Starts the first session, at the port that the [`Choice`] names.
    pub start: Rc<Start<'a>>,
    /// Starts another.
    pub further: Rc<Further<'a>>,
    /// Tells `start` that a signal has come: it should begin nothing new.
    pub hurry: &'a Notify,
}

/// What a connection has begun with.
pub(super) enum Begun {
    /// A session with a joiner that has begun this bond.
    Joined(Attempt, Box<Opened>),
    /// A plain session.
    Plain(Attempt),
    /// Nothing: it was ended before.
    Ended,
}

/// What has become of the session that a connection begins with.
enum First {
    Plain(Attempt),
    Joiner(Attempt, Result<Box<Opened>, Failed>),
}

/// The session with a joiner that is looked for, and the bond that it has begun, if it could be started.
type Looked = Option<(Attempt, Result<Box<Opened>, Failed>)>;

/// The means to get the sessions of a connection.
#[derive(Clone)]
pub struct Means<'a> {
    /// What reaches AWS.
    pub aws: &'a Aws,
    /// What ends sessions.
    pub sessions: &'a Sessions,
    /// Those of a run without a bond.
    pub settings: &'a Settings,
    /// Where the sessions come from.
    pub source: Source<'a>,
    /// What the connection begins with.
    pub choice: &'a Choice<'a>,
}

/// Work that brings a session, which may be told that it is not wanted any more. It must not be dropped before its end: the
/// session would be left on the service.
struct Work<'a, T> {
    work: Pin<Box<dyn Future<Output = T> + 'a>>,
    enough: Rc<Notify>,
    is_over: bool,
}

impl<'a, T: 'a> Work<'a, T> {
    fn new<F: Future<Output = T> + 'a>(begin: impl FnOnce(Rc<Notify>) -> F) -> Self {
        let enough = Rc::<Notify>::default();
        Self { work: Box::pin(begin(Rc::clone(&enough))), enough, is_over: false }
    }

    /// Waits for what it brings, once.
    async fn result(&mut self) -> T {
        if self.is_over {
            return std::future::pending().await;
        }
        let result = self.work.as_mut().await;
        self.is_over = true;
        result
    }

    /// It is not wanted: it ends on its own, and what it brings with it.
    fn leave(self, farewells: &mut Farewells<'a>, session: impl FnOnce(T) -> Option<Session> + 'a) {
        if self.is_over {
            return;
        }
        self.enough.notify_one();
        farewells.push(async move {
            if let Some(session) = session(self.work.await) {
                end(session).await;
            }
        });
    }
}

impl<'a> Means<'a> {
    /// Begins a connection, unless it is `ended` before. Sessions that turn out not to be needed are given to `farewells`.
    pub(super) async fn begin<T>(
        &self,
        ended: impl Future<Output = T>,
        farewells: &mut Farewells<'a>,
    ) -> Result<Begun, Error> {
        let mut first = Work::new(|enough| self.clone().first(enough));
        let mut look = Work::new(|enough| self.clone().look(enough));
        let begun = self.decide(&mut first, &mut look, ended, farewells).await;
        if !matches!(begun, Ok(Begun::Plain(_) | Begun::Joined(..))) {
            self.source.hurry.notify_one();
        }
        first.leave(farewells, |first| match first {
            Ok(First::Plain(attempt) | First::Joiner(attempt, ..)) => Some(attempt.session),
            Err(_) => None,
        });
        look.leave(farewells, |looked| looked.map(|(attempt, _)| attempt.session));
        begun
    }

    async fn decide<T>(
        &self,
        first: &mut Work<'a, Result<First, Error>>,
        look: &mut Work<'a, Looked>,
        ended: impl Future<Output = T>,
        farewells: &mut Farewells<'a>,
    ) -> Result<Begun, Error> {
        tokio::pin!(ended);
        let deadline = Instant::now() + self.settings.connect_timeout;
        let (mut plain, mut until) = (None, deadline);
        loop {
            tokio::select! {
                biased;
                _ = &mut ended => {
                    plain.into_iter().for_each(|attempt: Attempt| farewells.add(attempt.session));
                    return Ok(Begun::Ended);
                }
                looked = look.result() => {
                    if let Some(begun) = self.looked(looked, farewells) {
                        plain.into_iter().for_each(|attempt| farewells.add(attempt.session));
                        return Ok(begun);
                    }
                }
                brought = first.result() => match brought? {
                    First::Joiner(attempt, Ok(opened)) => return Ok(Begun::Joined(attempt, opened)),
                    First::Joiner(attempt, Err(why)) => {
                        farewells.add(attempt.session);
                        self.gone(why)?;
                        *first = Work::new(|enough| self.clone().first(enough));
                    }
                    First::Plain(attempt) => {
                        until = Instant::now() + limits::look(&attempt.session.stats());
                        plain = Some(attempt);
                    }
                },
                () = sleep_until(until.into()) => {}
            }
            let is_late = until <= Instant::now();
            let is_alone = look.is_over || !matches!(self.choice.beginning(), Beginning::Both);
            match plain.take() {
                Some(attempt) if is_late || is_alone => return Ok(Begun::Plain(attempt)),
                None if is_late => return Err(words::not_answered_in_time()),
                attempt => plain = attempt,
            }
        }
    }

    /// What is known after a joiner was looked for.
    fn looked(&self, looked: Looked, farewells: &mut Farewells<'a>) -> Option<Begun> {
        let (attempt, opened) = looked?;
        match opened {
            Ok(opened) => return Some(Begun::Joined(attempt, opened)),
            Err(Failed::NoJoiner) => {
                tracing::info!("there is no joiner on the node: one session is used, as for the next hour");
                self.choice.absent();
            }
            Err(Failed::Refused(why)) => tracing::info!("the node's joiner begins no bond: {why}; one session is used"),
            Err(why) => tracing::info!(?why, "no joiner was found: one session is used"),
        }
        farewells.add(attempt.session);
        None
    }

    /// The joiner that was known is gone, or there is another reason why it cannot be reached, which is the connection's.
    fn gone(&self, why: Failed) -> Result<(), Error> {
        match why {
            Failed::Closed(why) => Err(self.settings.closed(&why, self.aws)),
            Failed::Refused(why) => {
                tracing::info!("the joiner has refused the connection: {why}; one session is used");
                self.choice.gone();
                Ok(())
            }
            Failed::NoJoiner | Failed::Silent => {
                tracing::info!("the joiner is not on the node any more: one session is used");
                self.choice.gone();
                Ok(())
            }
        }
    }

    /// Starts the session that the connection begins with, and sees what comes of it.
    async fn first(self, enough: Rc<Notify>) -> Result<First, Error> {
        let early = Early::begin(self.aws).await;
        let started = (self.source.start)().await?;
        let mut attempt = Attempt::new(self.adopt(started, early));
        match self.choice.beginning() {
            Beginning::Plain => {}
            Beginning::Both => tokio::select! {
                () = enough.notified() => {}
                () = attempt.up() => {}
            },
            Beginning::Joiner(joiner) => {
                let opened = tokio::select! {
                    () = enough.notified() => Err(Failed::Silent),
                    opened = self.open(&mut attempt, joiner.secret.as_ref(), limits::GREETING) => opened,
                };
                return Ok(First::Joiner(attempt, opened));
            }
        }
        Ok(First::Plain(attempt))
    }

    /// Looks for a joiner, if nothing is known of the node.
    async fn look(self, enough: Rc<Notify>) -> Looked {
        let port = tokio::select! {
            () = enough.notified() => return None,
            port = self.choice.wants_both() => port,
        };
        let early = Early::begin(self.aws).await;
        let started = (self.source.further)(port).await;
        let started = started.inspect_err(|error| tracing::info!("no joiner can be looked for: {error}")).ok()?;
        let mut attempt = Attempt::new(self.adopt(started, early));
        let opened = tokio::select! {
            () = enough.notified() => Err(Failed::Silent),
            opened = self.open(&mut attempt, None, limits::FOREVER) => opened,
        };
        Some((attempt, opened))
    }

    /// Begins a bond with the joiner, whose greeting may take until `limit`.
    async fn open(
        &self,
        attempt: &mut Attempt,
        secret: Option<&Secret>,
        limit: Duration,
    ) -> Result<Box<Opened>, Failed> {
        let said = attempt.greeting(limit).await?;
        attempt.open(said, secret, self.choice.destination()).await
    }

    /// The session that was started.
    pub(super) fn adopt(&self, started: Started, early: Option<Early>) -> Session {
        Session::adopt(self.aws, self.sessions, started, early, options(self.settings))
    }
}

/// The options of each session of a bond.
pub(super) fn options(settings: &Settings) -> Options {
    Options {
        connect_timeout: settings.connect_timeout,
        resume_timeout: settings.resume_timeout,
        service: settings.service,
        accepts: Accepts::Port,
        may_be_unsigned: false,
    }
}
