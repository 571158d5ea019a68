//! Port forwards: connections that are taken on this side and carried over sessions that are kept up.
//!
//! Everything runs in the caller's task. A forward outlives its sessions: when one ends, the next connection starts another.

mod carrier;
mod connection;
mod lane;
mod limits;
mod pool;
mod told;

use std::cell::Cell;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Instant;

use futures_util::future::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use ssm_aws::Aws;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{sleep_until, timeout};

use crate::diagnostics::Error;
use crate::endpoints::listener::{Listener, Local};
use connection::End;
use pool::{Pool, Task};
use told::Told;

pub use lane::takes_one;
pub use pool::{Happened, Heard, Settings, Source, Start, Up};

/// A forward that listens.
pub struct Forward<'a> {
    /// Where connections are taken.
    pub listener: Listener,
    /// The destination of the connections, for messages.
    pub destination: Rc<str>,
    /// Where it has its sessions from.
    pub source: Source<'a>,
    /// Carries each connection on its own, without those sessions, if that is wanted.
    pub carry: Option<Rc<Carry<'a>>>,
}

/// Carries one connection until it has ended. It ends soon after it is told to by whoever has made it.
///
/// # Errors
/// Why it could not be carried; its peer has seen a reset.
pub type Carry<'a> = dyn Fn(Local) -> Pin<Box<dyn Future<Output = Result<(), Error>> + 'a>> + 'a;

/// Keeps the forwards up until `until` is done, and then ends all their sessions. `up` is called once, when each has a
/// session.
///
/// # Errors
/// Why a forward has no session at the beginning.
pub async fn run<'a, T>(
    aws: &'a Aws,
    settings: Settings,
    forwards: Vec<Forward<'a>>,
    up: impl FnOnce() -> Result<(), Error>,
    until: impl Future<Output = T>,
) -> Result<T, Error> {
    let mut running: Vec<Running<'a>> =
        forwards.into_iter().map(|forward| Running::new(aws, settings, forward)).collect();
    let result = keep_up(&mut running, up, until).await;
    running.iter().for_each(|forward| forward.pool.end());
    let mut ending: FuturesUnordered<_> = running.iter_mut().map(Running::finish).collect();
    // Whoever is still being started by then is given up.
    let _ = timeout(limits::END, async { while ending.next().await.is_some() {} }).await;
    result
}

async fn keep_up<T>(
    running: &mut [Running<'_>],
    up: impl FnOnce() -> Result<(), Error>,
    until: impl Future<Output = T>,
) -> Result<T, Error> {
    let starting = Starting { left: Cell::new(running.len()), over: Notify::new() };
    let mut forwards: FuturesUnordered<_> = running.iter_mut().map(|forward| forward.live(&starting)).collect();
    let mut up = Some(up);
    tokio::pin!(until);
    loop {
        if starting.is_over()
            && let Some(up) = up.take()
        {
            up()?;
            starting.over.notify_waiters();
        }
        tokio::select! {
            biased;
            done = &mut until => return Ok(done),
            Some(Err(error)) = forwards.next() => return Err(error),
            () = starting.over.notified(), if up.is_some() => {}
        }
    }
}

/// The forwards that have no session yet.
struct Starting {
    left: Cell<usize>,
    over: Notify,
}

impl Starting {
    fn is_over(&self) -> bool {
        self.left.get() == 0
    }

    /// Another one has its first session.
    fn one(&self) {
        self.left.set(self.left.get().saturating_sub(1));
        if self.is_over() {
            self.over.notify_waiters();
        }
    }
}

/// A forward at work.
struct Running<'a> {
    listener: Listener,
    destination: Rc<str>,
    pool: Rc<Pool<'a>>,
    added: UnboundedReceiver<Task<'a>>,
    /// The tasks that drive sessions.
    drivers: FuturesUnordered<Task<'a>>,
    /// The connections that are carried.
    connections: FuturesUnordered<Task<'a>>,
    carry: Option<Rc<Carry<'a>>>,
    told: Rc<Told>,
}

impl<'a> Running<'a> {
    fn new(aws: &'a Aws, settings: Settings, forward: Forward<'a>) -> Self {
        let (tasks, added) = unbounded_channel();
        let Forward { listener, destination, source, carry } = forward;
        let pool = Rc::new(Pool::new(aws, settings, Rc::clone(&destination), source, tasks));
        let (drivers, connections) = (FuturesUnordered::new(), FuturesUnordered::new());
        Self { listener, destination, pool, added, drivers, connections, carry, told: Rc::default() }
    }

    /// Gets a session, and takes connections when all forwards have one.
    async fn live(&mut self, starting: &Starting) -> Result<Infallible, Error> {
        if self.carry.is_none() {
            self.start().await?;
        }
        starting.one();
        Err(self.serve(starting).await)
    }

    /// Waits until it has a session.
    async fn start(&mut self) -> Result<(), Error> {
        let pool = Rc::clone(&self.pool);
        let placing = pool.place();
        tokio::pin!(placing);
        loop {
            tokio::select! {
                biased;
                placed = &mut placing => return placed.map(drop),
                Some(task) = self.added.recv() => self.drivers.push(task),
                Some(()) = self.drivers.next() => {}
            }
        }
    }

    /// Takes connections and carries them, until it has no session any more and gets no other; gives why.
    async fn serve(&mut self, starting: &Starting) -> Error {
        let mut rests_until = None;
        loop {
            if let Some(error) = self.pool.end_of_last() {
                return error;
            }
            let may_accept = starting.is_over() && rests_until.is_none() && !self.pool.is_full();
            tokio::select! {
                biased;
                Some(task) = self.added.recv() => self.drivers.push(task),
                Some(()) = self.drivers.next() => {}
                Some(()) = self.connections.next() => {}
                () = starting.over.notified(), if !starting.is_over() => {}
                () = sleep_until(rests_until.unwrap_or_else(Instant::now).into()), if rests_until.is_some() => {
                    rests_until = None;
                }
                accepted = self.listener.accept(), if may_accept => match accepted {
                    Ok(local) => {
                        self.pool.hear(Happened::Accepted);
                        // One that ended before this came is seen to have ended: it is in no other's way.
                        tokio::task::yield_now().await;
                        while let Some(Some(())) = self.connections.next().now_or_never() {}
                        self.connections.push(self.connect(local));
                        // It takes its place before the next is accepted.
                        let _ = self.connections.next().now_or_never();
                    }
                    Err(cause) => {
                        // Out of descriptors, as a rule: something that is open has to end first.
                        self.told.tell(&format!("{}: a connection cannot be taken: {cause}", self.listener));
                        rests_until = Some(Instant::now() + limits::REST);
                    }
                },
            }
        }
    }

    /// Carries one connection.
    fn connect(&self, local: Local) -> Task<'a> {
        let (pool, told, destination) = (Rc::clone(&self.pool), Rc::clone(&self.told), Rc::clone(&self.destination));
        if let Some(carry) = &self.carry {
            let carried = carry(local);
            return Box::pin(async move {
                if let Err(error) = carried.await {
                    told.tell(&format!("{destination}: {error}; {}", error.hint));
                }
            });
        }
        Box::pin(async move {
            let (place, (key, stream)) = loop {
                let place = match pool.place().await {
                    Ok(place) => place,
                    Err(error) => {
                        told.tell(&format!("{destination}: {error}; {}", error.hint));
                        return local.reset();
                    }
                };
                place.room().await;
                match place.open() {
                    Some(opened) => break (place, opened),
                    // It has ended meanwhile, or others were faster.
                    None if !place.is_live() || place.is_full() => {}
                    None => {
                        told.tell(&format!("{destination}: the session has no room for another connection"));
                        return local.reset();
                    }
                }
            };
            if connection::run(local, place, key, stream).await == End::Refused && !pool.hear(Happened::Refused) {
                told.refused(&destination);
            }
        })
    }

    /// Waits until all its sessions have ended.
    async fn finish(&mut self) {
        match self.carry {
            Some(_) => while self.connections.next().await.is_some() {},
            None => self.connections.clear(),
        }
        while let Ok(task) = self.added.try_recv() {
            self.drivers.push(task);
        }
        while self.drivers.next().await.is_some() {}
    }
}
