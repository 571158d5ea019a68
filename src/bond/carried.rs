//! Connections that are taken on this side, each carried over a bond of its own.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Instant;

use bytes::{Buf, BytesMut};
use ssm_session::Event;
use tokio::sync::Notify;
use tokio::time::sleep_until;

use super::bonded::Bonded;
use super::bundle::Bundle;
use super::farewell::Farewells;
use super::limits;
use super::opening::Begun;
use crate::diagnostics::{Error, session as words};
use crate::endpoints::listener::Local;
use crate::tunnel::Way;

/// Read from a connection at once, and collected for one write to it, in bytes.
const PIECE: usize = 64 << 10;

/// The end of all connections, which whoever has made them asks for.
#[derive(Clone, Default)]
pub struct End(Rc<(Cell<bool>, Notify)>);

impl End {
    /// Asks for it.
    pub fn ask(&self) {
        self.0.0.set(true);
        self.0.1.notify_waiters();
    }

    /// Waits until it is asked for.
    async fn asked(&self) {
        let notified = self.0.1.notified();
        tokio::pin!(notified);
        // From here on no notification is missed.
        notified.as_mut().enable();
        if !self.0.0.get() {
            notified.await;
        }
    }
}

impl Bonded<'_> {
    /// Carries one connection until it has ended, or until `end` is asked for.
    ///
    /// # Errors
    /// Why it could not be carried. Every session has been ended by then.
    pub async fn carry(self, local: Local, end: End) -> Result<(), Error> {
        let mut farewells = Farewells::default();
        let begun = self.means.clone().begin(end.asked(), &mut farewells).await;
        let (bundle, _) = match begun {
            Ok(Begun::Joined(attempt, opened)) => self.joined(attempt, opened, farewells),
            begun => {
                if let Ok(Begun::Plain(attempt)) = begun {
                    farewells.add(attempt.session);
                    farewells.finish().await;
                    return reset(local, words::no_joiner());
                }
                farewells.finish().await;
                return begun.map_or_else(|error| reset(local, error), |_| Ok(()));
            }
        };
        Carried::new(local, bundle).run(&end).await
    }
}

/// Its peer sees that it broke.
fn reset(local: Local, error: Error) -> Result<(), Error> {
    local.reset();
    Err(error)
}

/// A connection at work.
struct Carried<'a> {
    local: Local,
    bundle: Bundle<'a>,
    /// What waits to be written.
    outbox: BytesMut,
    /// The local side has sent its end.
    has_ended: bool,
    /// The local side was told that nothing more comes.
    is_finished: bool,
    /// The local side is gone.
    is_broken: bool,
    /// Nothing more comes from the sessions.
    is_closed: bool,
}

/// The event that ended a wait.
enum Turn {
    Read(io::Result<usize>),
    Wrote(io::Result<usize>),
    End,
    Woke,
}

impl<'a> Carried<'a> {
    fn new(local: Local, mut bundle: Bundle<'a>) -> Self {
        bundle.keeps_half_open();
        Self {
            local,
            bundle,
            outbox: BytesMut::new(),
            has_ended: false,
            is_finished: false,
            is_broken: false,
            is_closed: false,
        }
    }

    async fn run(mut self, end: &End) -> Result<(), Error> {
        let mut buffer = vec![0; PIECE];
        let mut is_ending = false;
        let is_whole = loop {
            let now = Instant::now();
            if let Some(is_whole) = self.settle(now).await {
                break is_whole;
            }
            match self.wait(now, &mut buffer, end, is_ending).await {
                Turn::Woke => {}
                Turn::End => is_ending = true,
                Turn::Wrote(Ok(length)) => self.outbox.advance(length),
                Turn::Read(Ok(length)) if length > 0 => {
                    self.bundle.send(Instant::now(), buffer.get(..length).unwrap_or_default());
                }
                Turn::Read(Ok(_)) => {
                    self.has_ended = true;
                    self.bundle.input_ended();
                }
                Turn::Read(Err(cause)) | Turn::Wrote(Err(cause)) => {
                    tracing::debug!(%cause, "the local side of a connection is gone");
                    self.is_broken = true;
                }
            }
            if (is_ending || self.is_broken) && !self.bundle.has_sent_flag() {
                self.bundle.finish();
            }
        };
        let Self { local, bundle, .. } = self;
        let failure = bundle.failure();
        if !is_whole {
            local.reset();
        }
        bundle.leave().await;
        failure.map_or(Ok(()), Err)
    }

    /// Brings everything up to date. Gives at the end whether both sides have seen it.
    async fn settle(&mut self, now: Instant) -> Option<bool> {
        self.bundle.handle_timeout(now);
        while let Some(event) = self.bundle.poll_event() {
            self.is_closed |= matches!(event, Event::Closed(_) | Event::Terminated);
        }
        while self.outbox.len() < PIECE
            && let Some(bytes) = self.bundle.poll_output()
        {
            self.outbox.extend_from_slice(&bytes);
        }
        let is_written = self.outbox.is_empty() || self.is_broken;
        if self.bundle.is_whole() && is_written && !self.is_finished && !self.is_broken {
            self.is_finished = true;
            self.local.finish().await;
        }
        if self.is_finished && self.has_ended && self.bundle.undelivered_bytes() == 0 {
            self.bundle.finish();
        }
        self.bundle.transmit(now, true);
        (self.is_closed && is_written).then(|| self.is_finished && self.bundle.undelivered_bytes() == 0)
    }

    async fn wait(&mut self, now: Instant, buffer: &mut [u8], end: &End, is_ending: bool) -> Turn {
        let room = self.bundle.send_capacity(now).min(buffer.len());
        let wake = self.bundle.poll_timeout(now).unwrap_or(now + limits::FOREVER);
        let reads = room > 0 && !self.has_ended && !self.is_broken;
        let buffer = buffer.get_mut(..room).unwrap_or_default();
        tokio::select! {
            wrote = self.local.write(&self.outbox), if !self.outbox.is_empty() && !self.is_broken => Turn::Wrote(wrote),
            read = self.local.read(buffer), if reads => Turn::Read(read),
            _ = self.bundle.progress() => Turn::Woke,
            () = end.asked(), if !is_ending => Turn::End,
            () = sleep_until(wake.into()) => Turn::Woke,
        }
    }
}
