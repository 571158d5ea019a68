//! Serves both ports until nobody needs the program.

use std::cell::RefCell;
use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ssm_bond::opening::Secret;
use tokio::net::TcpListener as AsyncListener;
use tokio::task::LocalSet;
use tokio::time::{sleep, sleep_until};

use crate::joiner::{Joiner, accept};
use crate::opening::Opener;

/// How often is looked at whether there is a bond, while there is one.
const LOOK: Duration = Duration::from_secs(1);

/// What is served.
pub(crate) struct Service {
    pub(crate) first: TcpListener,
    pub(crate) join: TcpListener,
    pub(crate) secret: Option<Secret>,
    /// Where bonds go that name no destination.
    pub(crate) to: String,
    /// After how long without a bond it ends.
    pub(crate) idle: Duration,
}

/// Serves, and comes back after a time without a bond.
///
/// # Errors
/// In one line, why nothing can be served.
pub(crate) fn serve(service: Service) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    let runtime = runtime.map_err(|error| format!("cannot wait for connections: {error}"))?;
    LocalSet::new().block_on(&runtime, work(service)).map_err(|error| format!("the sockets cannot be used: {error}"))
}

async fn work(Service { first, join, secret, to, idle }: Service) -> io::Result<()> {
    let join_port = join.local_addr()?.port();
    let listener = |socket: TcpListener| {
        socket.set_nonblocking(true)?;
        AsyncListener::from_std(socket)
    };
    let (first, join) = (listener(first)?, listener(join)?);
    let joiner = Rc::new(Joiner::new(Instant::now()));
    let opener = Rc::new(Opener { joiner: Rc::clone(&joiner), secret, to, join_port });
    let serials = Rc::new(RefCell::new(0));
    let firsts = accept(Rc::clone(&joiner), first, Rc::clone(&serials), |stream| Rc::clone(&opener).first(stream));
    let joins = accept(Rc::clone(&joiner), join, serials, |stream| Rc::clone(&opener).join(stream));
    tokio::select! {
        () = firsts => {}
        () = joins => {}
        () = unused(&joiner, idle) => {}
    }
    Ok(())
}

/// Waits until nobody has needed the program for this long.
async fn unused<Key>(joiner: &Joiner<Key>, idle: Duration) {
    loop {
        match joiner.ends_at(idle) {
            Some(at) if at <= Instant::now() => return,
            Some(at) => sleep_until(at.into()).await,
            None => sleep(LOOK).await,
        }
    }
}
