//! What time does to a bond.

use std::time::{Duration, Instant};

use crate::Bond;
use crate::event::{Event, LinkId};
use crate::link::Link;
use crate::sending::PATIENCE;

/// How long bytes wait for the other half's window before it is asked for it: the word of it may have gone with a link.
const ASKS_AFTER: Duration = Duration::from_millis(500);

impl Bond {
    /// Does what is due by now.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.find_stalls(now);
        if !self.is_waiting_for_window() {
            self.asked = None;
        } else if now >= *self.asked.get_or_insert(now + ASKS_AFTER) {
            self.asked = Some(now + ASKS_AFTER);
            self.links.values_mut().for_each(|link| link.owes_ping = true);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) and [`poll_transmit`](Self::poll_transmit) want to be called, if nothing
    /// happens before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let has_others = self.links.values().filter(|link| !link.is_stalled).count() > 1;
        let stalls = self.links.values().filter(|_| has_others).filter_map(|link| link.stalls_at(self.is_tail()));
        let ack = self.ack.due.filter(|_| self.links.values().any(|link| !link.is_full && self.takes_acks(link)));
        let head = self.head_waits.filter(|_| self.has_taker()).map(|since| since + PATIENCE);
        let asks = if self.is_waiting_for_window() { self.asked } else { None };
        stalls.chain([ack, head, asks].into_iter().flatten()).min()
    }

    /// Whether there is a link that would take a piece which waits for a better one.
    fn has_taker(&self) -> bool {
        self.links.values().any(|link| self.is_usable(link) && link.has_room() && !link.is_full)
    }

    /// Whether an acknowledgement would be of use on a link: not on a stalled one, unless all are.
    pub(crate) fn takes_acks(&self, link: &Link) -> bool {
        !link.is_stalled || self.links.values().all(|link| link.is_stalled)
    }

    /// Whether all that there is to send has been sent, the end included.
    fn is_tail(&self) -> bool {
        self.outbox.is_ended() && self.outbox.queued() == 0
    }

    fn is_waiting_for_window(&self) -> bool {
        self.outbox.is_held_back(self.peer_limit) && self.links.values().all(|link| link.is_idle())
    }

    /// Calls links stalled that confirm nothing, and sends over the others what they hold. The last link is never given up.
    fn find_stalls(&mut self, now: Instant) {
        let ids: Vec<LinkId> = self.links.keys().copied().collect();
        let is_tail = self.is_tail();
        for id in ids {
            let has_other = self.links.iter().any(|(other, link)| *other != id && !link.is_stalled);
            let Some(link) = self.links.get_mut(&id) else { continue };
            if has_other && link.stalls_at(is_tail).is_some_and(|at| at <= now) {
                link.is_stalled = true;
                link.give_up().for_each(|piece| self.outbox.lose(piece));
                self.events.push_back(Event::Stalled(id));
                // It may be the word of it that is held up: it is wanted by all other ways.
                self.links.values_mut().for_each(|link| link.owes_ping = true);
            }
        }
    }
}
