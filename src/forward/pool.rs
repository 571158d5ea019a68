//! The pool of one forward: its sessions, and the choice of the one that gets the next connection.
//!
//! A connection that is alone uses the session that is there. Connections at the same time get sessions of their own, as many
//! as are allowed: each carries some 0.8 MB/s, and within one a connection that does not move can hold up the others.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ssm_aws::{Aws, Session as Started, Sessions};
use ssm_session::{Accepts, Options, Service, Session};
use tokio::sync::mpsc::UnboundedSender;

use super::carrier::{self, Carrier, Place, State, settled};
use super::limits;
use crate::diagnostics::{Error, session as words, tell};

/// A task of a forward.
pub(super) type Task<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;
/// Starts a session for a forward.
pub type Start<'a> = dyn Fn() -> Pin<Box<dyn Future<Output = Result<Started, Error>> + 'a>> + 'a;

/// A session of a forward that is up, and the version of its agent.
pub type Up = (Box<Session>, Option<String>);

/// A session for a carrier, and the version of its agent if it is up.
type Next = (Box<Session>, Option<Option<String>>);

/// What somebody may want to hear of a forward.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Happened {
    /// A connection was taken.
    Accepted,
    /// The destination could not be connected to.
    Refused,
    /// The service has closed a session, with this text.
    Closed(String),
}

/// Hears of a forward.
pub type Heard<'a> = dyn Fn(Happened) + 'a;

/// Where a forward has its sessions from.
pub struct Source<'a> {
    /// Starts a session. Without it the first is the only one, and its end is that of the forward.
    pub start: Option<Rc<Start<'a>>>,
    /// A session that is up already.
    pub first: Option<Up>,
    /// Hears of what happens, and tells the user.
    pub heard: Option<Rc<Heard<'a>>>,
}

/// The settings of all forwards.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// From the start of a session to a complete handshake.
    pub connect_timeout: Duration,
    /// How long to try to resume a lost connection; zero for not at all.
    pub resume_timeout: Duration,
    /// Whose service it is, and so what pace it bears.
    pub service: Service,
    /// Sessions of each forward at most.
    pub sessions: usize,
    /// Whether sessions are kept from their idle limit.
    pub keep_alive: bool,
}

pub(super) struct Pool<'a> {
    aws: &'a Aws,
    settings: Settings,
    destination: Rc<str>,
    start: Option<Rc<Start<'a>>>,
    heard: Option<Rc<Heard<'a>>>,
    carriers: Rc<RefCell<Vec<Rc<Carrier>>>>,
    /// A session that is up already, and the version of its agent.
    first: RefCell<Option<Up>>,
    /// Takes the tasks that drive sessions.
    tasks: UnboundedSender<Task<'a>>,
    /// Until when no session is started beside another.
    no_more_until: Cell<Option<Instant>>,
    /// Why the only session is over.
    last: Rc<RefCell<Option<Error>>>,
}

impl<'a> Pool<'a> {
    pub(super) fn new(
        aws: &'a Aws,
        settings: Settings,
        destination: Rc<str>,
        Source { start, heard, first }: Source<'a>,
        tasks: UnboundedSender<Task<'a>>,
    ) -> Self {
        let (carriers, no_more_until, last) = Default::default();
        let first = RefCell::new(first);
        Self { aws, settings, destination, start, heard, carriers, first, tasks, no_more_until, last }
    }

    /// Tells whoever wants to hear of this forward.
    pub(super) fn hear(&self, happened: Happened) -> bool {
        self.heard.as_ref().map(|heard| heard(happened)).is_some()
    }

    /// Why no connection can be carried any more: the only session is over, and no other can be started.
    pub(super) fn end_of_last(&self) -> Option<Error> {
        let is_over = self.start.is_none() && self.carriers.borrow().iter().all(|carrier| !carrier.is_live());
        is_over.then(|| self.last.take().unwrap_or_else(words::forward_ended_here))
    }

    /// A place for a connection, on a session that is up.
    ///
    /// # Errors
    /// Why there is no session.
    pub(super) async fn place(&self) -> Result<Place, Error> {
        loop {
            let place = self.choose().place();
            // The start has its own limit, and the handshake its own behind it.
            let limit = self.settings.connect_timeout * 2;
            let mut state = settled(&place, limits::PATIENCE.min(limit)).await;
            if matches!(state, State::Starting) {
                if let Some(up) = self.best_up() {
                    return Ok(up.place());
                }
                state = settled(&place, limit.saturating_sub(limits::PATIENCE)).await;
            }
            match state {
                State::Up => return Ok(place),
                State::Gone(Some(error)) if self.is_last(&place) => return Err(error),
                State::Gone(None) if self.is_last(&place) => return Err(words::forward_ended_here()),
                State::Starting => return Err(words::not_answered_in_time()),
                // Another one may do.
                State::Gone(_) => self.no_more_until.set(Some(Instant::now() + limits::NO_MORE)),
            }
        }
    }

    /// Whether nothing but this carrier, which is gone, was there.
    fn is_last(&self, carrier: &Rc<Carrier>) -> bool {
        let carriers = self.carriers.borrow();
        carriers.iter().all(|other| Rc::ptr_eq(other, carrier) || !other.is_live())
    }

    /// The carrier with the least to do, or a new one.
    fn choose(&self) -> Rc<Carrier> {
        self.carriers.borrow_mut().retain(|carrier| carrier.is_live());
        // While one is slow to start, so would be the next.
        let is_time = self.no_more_until.get().is_none_or(|until| until <= Instant::now())
            && !self.carriers.borrow().iter().any(|carrier| carrier.is_slow());
        if is_time && self.start.is_some() {
            self.replace_abandoned();
        }
        let best = self.carriers.borrow().iter().min_by_key(|carrier| carrier.load()).cloned();
        let may_start = is_time && self.carriers.borrow().len() < self.settings.sessions;
        match best {
            Some(best) if best.load() == (false, 0) || !may_start => best,
            _ => self.add(),
        }
    }

    /// Ends the sessions that do not move and that nobody uses: others may have their place.
    fn replace_abandoned(&self) {
        self.carriers.borrow_mut().retain(|carrier| {
            let is_abandoned = carrier.is_abandoned();
            if is_abandoned {
                carrier.end();
            }
            !is_abandoned
        });
    }

    /// The carrier with the least to do of those that are up and well.
    fn best_up(&self) -> Option<Rc<Carrier>> {
        let carriers = self.carriers.borrow();
        let up = carriers.iter().filter(|carrier| carrier.is_live() && matches!(carrier.state(), State::Up));
        up.filter(|carrier| !carrier.load().0).min_by_key(|carrier| carrier.load()).cloned()
    }

    /// Starts another session.
    fn add(&self) -> Rc<Carrier> {
        let carrier = Carrier::new();
        self.carriers.borrow_mut().push(Rc::clone(&carrier));
        let (aws, settings, destination) = (self.aws, self.settings, Rc::clone(&self.destination));
        let next: Pin<Box<dyn Future<Output = Result<Next, Error>> + 'a>> = match self.first.take() {
            Some((session, agent_version)) => Box::pin(std::future::ready(Ok((session, Some(agent_version))))),
            None => match &self.start {
                Some(start) => {
                    let starting = start();
                    Box::pin(async move { Ok((Box::new(adopt(aws, starting.await?, settings)), None)) })
                }
                None => Box::pin(std::future::ready(Err(words::forward_ended_here()))),
            },
        };
        let (driven, carriers) = (Rc::clone(&carrier), Rc::clone(&self.carriers));
        let (heard, is_last, last) = (self.heard.clone(), self.start.is_none(), Rc::clone(&self.last));
        let drive = async move {
            let (session, up) = match next.await {
                Ok(next) => next,
                Err(error) => {
                    tracing::info!("{destination}: no session: {error}");
                    return driven.set(State::Gone(Some(error)));
                }
            };
            let may_idle = || carriers.borrow().iter().filter(|carrier| carrier.is_live()).count() > 1;
            carrier::run(&driven, *session, up, aws, &destination, settings.keep_alive, may_idle).await;
            if let (Some(heard), Some(text)) = (heard, driven.closing()) {
                heard(Happened::Closed(text));
            }
            // What hinders a session from coming up, whoever wanted it says.
            if let State::Gone(Some(error)) = driven.state()
                && driven.was_up()
            {
                if is_last {
                    return drop(last.replace(Some(error)));
                }
                tell(&format!("{destination}: {error}; the next connection starts another session"));
            }
        };
        // The receiver lives as long as the forward.
        let _ = self.tasks.send(Box::pin(drive));
        carrier
    }

    /// Whether the one connection that an old agent carries is open: others wait where they are.
    pub(super) fn is_full(&self) -> bool {
        let carriers = self.carriers.borrow();
        let is_full = |carrier: &Rc<Carrier>| carrier.takes_one() && carrier.placed() > 0;
        carriers.len() >= self.settings.sessions && carriers.iter().all(is_full)
    }

    /// Ends all sessions.
    pub(super) fn end(&self) {
        self.carriers.borrow().iter().for_each(|carrier| carrier.end());
    }
}

fn adopt(aws: &Aws, started: Started, settings: Settings) -> Session {
    let options = Options {
        connect_timeout: settings.connect_timeout,
        resume_timeout: settings.resume_timeout,
        service: settings.service,
        accepts: Accepts::All,
        may_be_unsigned: false,
    };
    Session::adopt(aws, &Sessions::new(aws), started, None, options)
}
