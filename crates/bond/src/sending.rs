//! What goes out next on a link.

use std::time::{Duration, Instant};

use crate::Bond;
use crate::ack::Ack;
use crate::event::{Event, LinkId};
use crate::frame::{DATA_HEADER, Frame, HEADER, LinkAck, MAX_ACKED};
use crate::link::Link;
use crate::outbox::Piece;

/// How long bytes wait for the link on which they would arrive first, if that does not ask for any.
pub(crate) const PATIENCE: Duration = Duration::from_millis(20);
/// How much later than on the best link bytes may arrive.
const TOLERANCE: Duration = Duration::from_millis(10);
/// Less room than this is none for data.
const LEAST_PIECE: usize = 64;

impl Bond {
    /// Writes frames for this link behind what is in `out`, at most `room` bytes, and says how many. To be called for each
    /// link after every change, with what the link can pass on soon; once more after bytes came out, if there is room left.
    pub fn poll_transmit(&mut self, now: Instant, id: LinkId, room: usize, out: &mut Vec<u8>) -> usize {
        let start = out.len();
        let limit = start + room;
        if let Some(link) = self.links.get_mut(&id) {
            link.is_full = false;
        }
        self.write_control(now, id, limit, out);
        while !self.is_reset && self.write_piece(now, id, limit, out) {}
        let left = limit - out.len();
        if let Some(link) = self.links.get_mut(&id) {
            link.is_full = left < LEAST_PIECE + DATA_HEADER;
        }
        self.tell_writable();
        out.len() - start
    }

    fn tell_writable(&mut self) {
        if self.was_full && self.send_capacity() > 0 {
            self.was_full = false;
            self.events.push_back(Event::Writable);
        }
    }

    fn write_control(&mut self, now: Instant, id: LinkId, limit: usize, out: &mut Vec<u8>) {
        let room = |out: &Vec<u8>| limit.saturating_sub(out.len());
        let is_due = self.ack.due.is_some_and(|due| due <= now);
        let Some(link) = self.links.get(&id) else { return };
        let wants_ack = link.owes_ack || (is_due && self.brings_acks(id, link));
        let told = self.links.values().filter(|link| link.frames > 0).count().min(MAX_ACKED);
        if wants_ack && Frame::ack_length(told) <= room(out) {
            self.ack_frame(now).encode(out);
            self.ack = Ack::told(self.inbox.limit(), id);
            if let Some(link) = self.links.get_mut(&id) {
                link.owes_ack = false;
            }
        }
        let Some(link) = self.links.get_mut(&id) else { return };
        if link.owes_ping && HEADER <= room(out) {
            link.owes_ping = false;
            Frame::Ping.encode(out);
        }
        if link.owes_reset && HEADER <= room(out) {
            link.owes_reset = false;
            Frame::Reset.encode(out);
        }
        if link.is_retiring && !link.has_sent_retire && link.is_idle() && HEADER <= room(out) {
            link.has_sent_retire = true;
            Frame::Retire.encode(out);
            self.retired(id);
        }
    }

    /// Whether an acknowledgement takes this link: the one with room that brought something last, and of two such not the one
    /// that the last one took. So it goes back the way that is measured, and no link that has fallen silent swallows them all.
    fn brings_acks(&self, id: LinkId, link: &Link) -> bool {
        let order = |id: LinkId, link: &Link| (link.newest, self.ack.by != Some(id));
        let others = || self.links.iter().filter(|(_, other)| !other.is_full && self.takes_acks(other));
        self.takes_acks(link) && others().all(|(other, link_of)| order(*other, link_of) <= order(id, link))
    }

    fn ack_frame(&self, now: Instant) -> Frame<'static> {
        let age =
            |newest: Instant| u16::try_from(now.saturating_duration_since(newest).as_millis()).unwrap_or(u16::MAX);
        // The newest links, if there are more than fit: those have most to say.
        let links = self.links.iter().rev().filter(|(_, link)| link.frames > 0).take(MAX_ACKED);
        let links =
            links.map(|(id, link)| LinkAck { link: id.0, frames: link.frames, age: link.newest.map_or(0, age) });
        Frame::Ack { delivered: self.inbox.delivered(), window: self.inbox.limit(), links: links.collect() }
    }

    /// Writes one piece of the stream, if there is one and it is this link's turn.
    fn write_piece(&mut self, now: Instant, id: LinkId, limit: usize, out: &mut Vec<u8>) -> bool {
        let room = limit.saturating_sub(out.len());
        let Some(data) = room.checked_sub(DATA_HEADER).filter(|data| *data >= LEAST_PIECE) else { return false };
        let Some(piece) = self.outbox.peek(data, self.peer_limit) else {
            self.head_waits = None;
            return false;
        };
        let since = *self.head_waits.get_or_insert(now);
        if !self.is_turn_of(id, now.saturating_duration_since(since)) {
            return false;
        }
        let Some(link) = self.links.get_mut(&id) else { return false };
        if !link.has_room() {
            link.was_full();
            return false;
        }
        self.head_waits = None;
        link.sent(now, piece);
        match piece {
            Piece::Bytes { offset, length } => {
                self.scratch.clear();
                self.outbox.copy(offset, length, &mut self.scratch);
                Frame::Data { offset, bytes: &self.scratch }.encode(out);
                if self.outbox.take(piece) {
                    self.resent += length as u64;
                }
            }
            Piece::End { offset } => {
                Frame::Fin { offset }.encode(out);
                self.outbox.take(piece);
            }
        }
        true
    }

    /// Whether the next piece is for this link: it would arrive there first, or nearly, or it has waited for long enough.
    fn is_turn_of(&self, id: LinkId, waited: Duration) -> bool {
        let Some(link) = self.links.get(&id).filter(|link| self.is_usable(link)) else { return false };
        if waited >= PATIENCE {
            return true;
        }
        let others = || self.links.values().filter(|link| self.is_usable(link) && !link.is_full && link.has_room());
        let Some(best) = others().map(Link::arrival).min() else { return true };
        let rate: f64 = self.links.values().filter(|link| self.is_usable(link)).map(Link::rate).sum();
        // Bytes that wait here would not arrive sooner if they waited for the best link.
        let behind = self.outbox.queued() as f64 / rate.max(64e3);
        link.arrival() <= best + TOLERANCE + Duration::from_secs_f64(behind)
    }

    /// Whether a link takes data: those that are stalled or retiring do only where there is no better one.
    pub(crate) fn is_usable(&self, link: &Link) -> bool {
        !self.links.values().any(|other| other.worth() > link.worth())
    }
}

impl Link {
    /// How much it is to be preferred to others.
    pub(crate) fn worth(&self) -> u8 {
        match (self.is_stalled, self.is_retiring) {
            (false, false) => 3,
            (false, true) if !self.has_sent_retire => 2,
            (true, false) => 1,
            _ => 0,
        }
    }
}
