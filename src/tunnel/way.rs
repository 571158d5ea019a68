//! The way that stdin and stdout are joined to: one session, or several that carry one stream.

use std::future::Future;
use std::pin::Pin;
use std::time::Instant;

use bytes::Bytes;
use ssm_aws::ApiError;
use ssm_session::{Event, Session, Stats};

use crate::diagnostics::Error;

/// A call of TerminateSession under way, or several.
pub(crate) type Terminating = Pin<Box<dyn Future<Output = Result<(), ApiError>>>>;

/// A way, driven as a [`Session`] is driven.
pub(crate) trait Way {
    /// What a report calls it.
    fn name(&self) -> String;

    /// How many sessions carry it now.
    fn width(&self) -> usize;

    /// The time has come that [`poll_timeout`](Self::poll_timeout) named.
    fn handle_timeout(&mut self, now: Instant);

    /// The next thing that it has to say. [`Event::Closed`] is the last.
    fn poll_event(&mut self) -> Option<Event>;

    /// The next bytes for stdout.
    fn poll_output(&mut self) -> Option<Bytes>;

    /// Sends what may be sent; without `flush` it may wait for the next [`progress`](Self::progress).
    fn transmit(&mut self, now: Instant, flush: bool);

    /// When [`handle_timeout`](Self::handle_timeout) and [`transmit`](Self::transmit) are to be called next.
    fn poll_timeout(&mut self, now: Instant) -> Option<Instant>;

    /// Waits for something to happen and takes it in; gives how many bytes have come. May be dropped at any time.
    fn progress(&mut self) -> impl Future<Output = usize>;

    /// How many bytes [`send`](Self::send) takes from now on, whatever happens until then.
    fn send_capacity(&mut self, now: Instant) -> usize;

    /// Takes bytes of stdin.
    fn send(&mut self, now: Instant, bytes: &[u8]);

    /// Stdin has ended.
    fn input_ended(&mut self);

    /// Nothing more is to be sent: ends it by the terminate flag, behind the last byte.
    fn finish(&mut self);

    /// Ends it by the API.
    fn terminate(&self) -> Terminating;

    /// Whether there is a connection.
    fn is_connected(&self) -> bool;

    /// Whether something is under way that reading has no part in.
    fn is_at_work(&self) -> bool;

    /// Bytes that were taken and are not known to have arrived.
    fn undelivered_bytes(&self) -> usize;

    /// Whether something that came lacks what was sent ahead of it.
    fn lacks_output(&self) -> bool;

    /// Whether anything has come for stdout.
    fn has_received_output(&self) -> bool;

    /// Whether the terminate flag was sent.
    fn has_sent_flag(&self) -> bool;

    /// Whether the far side knows of the flag, so that nothing is left to be ended.
    fn knows_flag(&self) -> bool;

    /// Why it is closed, where it knows better than the event says.
    fn failure(&self) -> Option<Error>;

    /// Figures so far.
    fn stats(&self) -> Stats;
}

impl Way for Session {
    fn name(&self) -> String {
        format!("session {}", self.id())
    }

    fn width(&self) -> usize {
        1
    }

    fn handle_timeout(&mut self, now: Instant) {
        Self::handle_timeout(self, now);
    }

    fn poll_event(&mut self) -> Option<Event> {
        Self::poll_event(self)
    }

    fn poll_output(&mut self) -> Option<Bytes> {
        Self::poll_output(self)
    }

    fn transmit(&mut self, now: Instant, flush: bool) {
        Self::transmit(self, now, flush);
    }

    fn poll_timeout(&mut self, now: Instant) -> Option<Instant> {
        Self::poll_timeout(self, now)
    }

    fn progress(&mut self) -> impl Future<Output = usize> {
        Self::progress(self)
    }

    fn send_capacity(&mut self, now: Instant) -> usize {
        Self::send_capacity(self, now)
    }

    fn send(&mut self, now: Instant, bytes: &[u8]) {
        Self::send(self, now, bytes);
    }

    /// The protocol has no word for it.
    fn input_ended(&mut self) {}

    fn finish(&mut self) {
        Self::finish(self);
    }

    fn terminate(&self) -> Terminating {
        Box::pin(Self::terminate(self))
    }

    fn is_connected(&self) -> bool {
        Self::is_connected(self)
    }

    fn is_at_work(&self) -> bool {
        Self::is_at_work(self)
    }

    fn undelivered_bytes(&self) -> usize {
        Self::undelivered_bytes(self)
    }

    fn lacks_output(&self) -> bool {
        self.channel().lacks_messages()
    }

    fn has_received_output(&self) -> bool {
        self.channel().has_received_output()
    }

    fn has_sent_flag(&self) -> bool {
        self.channel().has_sent_flag()
    }

    fn knows_flag(&self) -> bool {
        self.channel().agent_knows_flag()
    }

    fn failure(&self) -> Option<Error> {
        None
    }

    fn stats(&self) -> Stats {
        Self::stats(self)
    }
}
