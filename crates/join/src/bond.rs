//! One bond: the task that drives its state machine between its links and its destination.

use std::future::{Future, poll_fn};
use std::io;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ssm_bond::{Bond, Event, LinkId, ProtocolError};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::sleep_until;

use crate::destination::HELD;
use crate::log::line;

/// Bytes read or written at once.
pub(crate) const PIECE: usize = 16 << 10;
/// How long a bond without links is kept for its client to come back.
pub(crate) const KEPT: Duration = Duration::from_secs(60);
/// How long links stay after the end of both directions, for the last words to arrive.
const LINGER: Duration = Duration::from_secs(5);
/// Links of one bond: a client's 16 and those that have died without a word.
pub(crate) const MAX_LINKS: usize = 32;

/// One connection of a bond.
pub(crate) struct Link {
    pub(crate) id: LinkId,
    pub(crate) stream: TcpStream,
    /// What is to be written, from `at` on.
    pub(crate) out: Vec<u8>,
    pub(crate) at: usize,
}

/// What a step has come to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Something moved: there may be more.
    Moved,
    /// Nothing can move now; the context is told when that changes.
    Waits,
    /// The connection is over.
    Over,
}

impl Link {
    pub(crate) fn new(id: LinkId, stream: TcpStream) -> Self {
        Self { id, stream, out: Vec::new(), at: 0 }
    }

    pub(crate) fn has_to_write(&self) -> bool {
        self.at < self.out.len()
    }

    /// Writes what the kernel takes now.
    pub(crate) fn write_now(&mut self) -> io::Result<()> {
        match self.stream.try_write(self.out.get(self.at..).unwrap_or_default()) {
            Ok(count) => self.written(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn written(&mut self, count: usize) {
        self.at += count;
        if self.at >= self.out.len() {
            self.out.clear();
            self.at = 0;
        }
    }

    /// Writes what waits.
    pub(crate) fn write(&mut self, context: &mut Context<'_>) -> Step {
        let waiting = self.out.get(self.at..).unwrap_or_default();
        if waiting.is_empty() {
            return Step::Waits;
        }
        match poll_write(&self.stream, context, waiting) {
            Poll::Pending => Step::Waits,
            Poll::Ready(Err(_)) => Step::Over,
            Poll::Ready(Ok(count)) => {
                self.written(count);
                Step::Moved
            }
        }
    }
}

/// Reads without waiting; the context is told when it can be tried again.
pub(crate) fn poll_read(stream: &TcpStream, context: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
    loop {
        match stream.poll_read_ready(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) => match stream.try_read(into) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            },
        }
    }
}

/// Writes without waiting; the context is told when it can be tried again.
pub(crate) fn poll_write(stream: &TcpStream, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
    loop {
        match stream.poll_write_ready(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) => match stream.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            },
        }
    }
}

/// A bond at work.
pub(crate) struct Work {
    pub(crate) bond: Bond,
    pub(crate) links: Vec<Link>,
    destination: TcpStream,
    /// The destination has sent its end.
    is_read_out: bool,
    /// The client has sent its end, and the destination has been told.
    is_written_out: bool,
    /// Since when there has been no link.
    bare_since: Option<Instant>,
    /// Since when both directions have been at their end.
    over_since: Option<Instant>,
    /// The destination or the client has broken off.
    is_reset: bool,
    piece: Vec<u8>,
}

impl Work {
    pub(crate) fn new(bond: Bond, destination: TcpStream) -> Self {
        Self {
            bond,
            links: Vec::new(),
            destination,
            is_read_out: false,
            is_written_out: false,
            bare_since: None,
            over_since: None,
            is_reset: false,
            piece: vec![0; PIECE],
        }
    }

    /// Takes up the link that the bond has begun with, and the bytes that have come behind its answer.
    ///
    /// # Errors
    /// If those are nothing that a client sends.
    pub(crate) fn begin(&mut self, now: Instant, link: Link, behind: &[u8]) -> Result<(), ProtocolError> {
        let id = link.id;
        self.links.push(link);
        self.bond.handle_bytes(now, id, behind)
    }

    /// Does the work until nothing is left of it. Further links come from `waiting`.
    pub(crate) async fn run(mut self, mut waiting: mpsc::Receiver<(Link, Vec<u8>)>) {
        let mut alarm = Box::pin(sleep_until(Instant::now().into()));
        poll_fn(|context| {
            while let Poll::Ready(Some((link, behind))) = waiting.poll_recv(context) {
                self.join(Instant::now(), link, &behind);
            }
            self.step(context);
            if self.is_over(Instant::now()) {
                return Poll::Ready(());
            }
            if let Some(at) = self.deadline() {
                alarm.as_mut().reset(at.into());
                if alarm.as_mut().poll(context).is_ready() {
                    context.waker().wake_by_ref();
                }
            }
            Poll::Pending
        })
        .await;
    }

    fn join(&mut self, now: Instant, link: Link, behind: &[u8]) {
        let id = link.id;
        if !self.add(now, link) {
            return line(format_args!("a bond has too many links: another is closed"));
        }
        if self.bond.handle_bytes(now, id, behind).is_err() {
            self.remove(now, id);
        }
    }

    /// Adds a link, unless there are too many.
    fn add(&mut self, now: Instant, link: Link) -> bool {
        if self.links.len() >= MAX_LINKS {
            return false;
        }
        // A client that gives a number anew has lost the connection that had it.
        self.remove(now, link.id);
        self.bond.add_link(now, link.id);
        self.links.push(link);
        self.bare_since = None;
        true
    }

    fn remove(&mut self, now: Instant, id: LinkId) {
        let before = self.links.len();
        self.links.retain(|link| link.id != id);
        if self.links.len() < before {
            self.bond.remove_link(now, id);
        }
        if self.links.is_empty() {
            self.bare_since.get_or_insert(now);
        }
    }

    /// When it wants to be called again at the latest.
    fn deadline(&self) -> Option<Instant> {
        let bare = self.bare_since.map(|since| since + KEPT);
        let over = self.over_since.map(|since| since + LINGER);
        [self.bond.poll_timeout(), bare, over].into_iter().flatten().min()
    }

    /// Whether nothing is left to do.
    fn is_over(&self, now: Instant) -> bool {
        let is_over = |since: Option<Instant>, limit| since.is_some_and(|since| now >= since + limit);
        let is_left = self.over_since.is_some() && self.links.is_empty();
        is_left || is_over(self.bare_since, KEPT) || is_over(self.over_since, LINGER)
    }

    /// Moves all that can be moved; the context is told when there is more.
    fn step(&mut self, context: &mut Context<'_>) {
        let now = Instant::now();
        self.bond.handle_timeout(now);
        // Each kind of work may make room for the others; a bound, so that other bonds have their turn.
        for _ in 0..16 {
            let mut moved = self.read_links(now, context);
            self.take_events();
            moved |= self.write_destination(now, context);
            moved |= self.read_destination(now, context);
            moved |= self.write_links(now, context);
            self.take_events();
            if !moved {
                return self.see_end(now);
            }
        }
        context.waker().wake_by_ref();
    }

    fn see_end(&mut self, now: Instant) {
        let is_ended = self.is_read_out && self.is_written_out && self.bond.is_delivered();
        if is_ended || self.is_reset {
            self.over_since.get_or_insert(now);
        }
    }

    fn read_links(&mut self, now: Instant, context: &mut Context<'_>) -> bool {
        let (mut moved, mut dead) = (false, Vec::new());
        for link in &self.links {
            let count = match poll_read(&link.stream, context, &mut self.piece) {
                Poll::Pending => continue,
                Poll::Ready(Ok(count)) => count,
                Poll::Ready(Err(_)) => 0,
            };
            moved = true;
            let bytes = self.piece.get(..count).unwrap_or_default();
            if bytes.is_empty() {
                dead.push(link.id);
            } else if let Err(error) = self.bond.handle_bytes(now, link.id, bytes) {
                line(format_args!("a link has broken the protocol: {error}"));
                dead.push(link.id);
            }
        }
        for id in dead {
            self.remove(now, id);
        }
        moved
    }

    fn write_links(&mut self, now: Instant, context: &mut Context<'_>) -> bool {
        let (mut moved, mut dead) = (false, Vec::new());
        for link in &mut self.links {
            // One that has bytes left takes no more, and the bond knows that it does not.
            let room = if link.out.is_empty() { PIECE } else { 0 };
            self.bond.poll_transmit(now, link.id, room, &mut link.out);
            match link.write(context) {
                Step::Moved => moved = true,
                Step::Waits => {}
                Step::Over => dead.push(link.id),
            }
        }
        for id in dead {
            self.remove(now, id);
        }
        moved
    }

    fn read_destination(&mut self, now: Instant, context: &mut Context<'_>) -> bool {
        let room = self.bond.send_capacity().min(PIECE);
        if self.is_read_out || self.is_reset || room < HELD {
            return false;
        }
        let Some(into) = self.piece.get_mut(..room) else { return false };
        match poll_read(&self.destination, context, into) {
            Poll::Pending => return false,
            Poll::Ready(Ok(0)) => {
                self.is_read_out = true;
                self.bond.finish();
            }
            Poll::Ready(Ok(count)) => {
                self.bond.send(now, self.piece.get(..count).unwrap_or_default());
            }
            Poll::Ready(Err(_)) => {
                self.is_reset = true;
                self.bond.reset();
            }
        }
        true
    }

    fn write_destination(&mut self, now: Instant, context: &mut Context<'_>) -> bool {
        let unread = self.bond.read();
        if unread.is_empty() {
            return false;
        }
        let count = if self.is_written_out || self.is_reset {
            // Nobody takes it; what comes the other way may still be wanted.
            unread.len()
        } else {
            match poll_write(&self.destination, context, unread) {
                Poll::Pending => return false,
                Poll::Ready(Ok(count)) => count,
                Poll::Ready(Err(_)) => {
                    self.is_written_out = true;
                    unread.len()
                }
            }
        };
        self.bond.consume(now, count);
        true
    }

    fn take_events(&mut self) {
        while let Some(event) = self.bond.poll_event() {
            match event {
                Event::Finished => {
                    self.is_written_out = true;
                    // Where it is gone already there is nobody to be told.
                    drop(socket2::SockRef::from(&self.destination).shutdown(std::net::Shutdown::Write));
                }
                Event::Reset => self.is_reset = true,
                _ => {}
            }
        }
    }
}
