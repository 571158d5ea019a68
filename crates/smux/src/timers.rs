//! Timers: stalls and keep-alive.

use std::time::Instant;

use crate::Mux;
use crate::event::{Event, Stall, StreamId};
use crate::limits::KEEP_ALIVE;
use crate::stream::Stream;

impl Mux {
    /// When [`handle_timeout`](Self::handle_timeout) is to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.failure.is_some() {
            return None;
        }
        let limits = self
            .streams
            .iter()
            .flat_map(|(id, stream)| [stream.delivery_limit(), stream.dial_limit().filter(|_| self.is_awaited(*id))]);
        limits.flatten().chain(self.keep_alive_at.filter(|_| !self.is_nop_due)).min()
    }

    /// The time that [`poll_timeout`](Self::poll_timeout) named has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.keep_alive_at.is_some_and(|at| at <= now) {
            self.is_nop_due = true;
        }
        let answered = self.answered;
        for (id, stream) in &mut self.streams {
            if stream.delivery_limit().is_some_and(|at| at <= now) {
                stream.is_undelivered = true;
                // Of one that the far side has closed only the FIN matters, and that to nobody who still uses it.
                if stream.is_live() && !stream.is_finished {
                    self.events.push_back(Event::Stalled(*id, Stall::Undelivered));
                }
            }
            if Some(*id) > answered && stream.dial_limit().is_some_and(|at| at <= now) {
                stream.is_unanswered = true;
                if stream.is_live() {
                    self.events.push_back(Event::Stalled(*id, Stall::Unanswered));
                }
            }
        }
    }

    /// Whether some stream stalls now, one that was reset included: its dial goes on. New streams are better opened on
    /// another session.
    pub fn is_stalled(&self) -> bool {
        let stalls =
            |(id, stream): (&StreamId, &Stream)| stream.is_undelivered || stream.is_unanswered && self.is_awaited(*id);
        self.streams.iter().any(stalls)
    }

    /// The session was without a connection, or the machine asleep, and is not now: the limits of stalls begin again.
    /// It is to be called before [`handle_timeout`](Self::handle_timeout).
    pub fn resumed(&mut self, now: Instant) {
        self.streams.values_mut().for_each(|stream| stream.restart(now));
    }

    /// Whether nothing shows that the agent has come to this stream's dial and ended it.
    fn is_awaited(&self, id: StreamId) -> bool {
        Some(id) > self.answered
    }

    /// Something was handed over: it shows the far side that this one is there as well as a NOP would.
    pub(crate) fn keep_alive_again(&mut self, now: Instant) {
        self.is_nop_due = false;
        self.keep_alive_at = now.checked_add(KEEP_ALIVE).filter(|_| self.config.keep_alive);
    }
}
