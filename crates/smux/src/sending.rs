//! The sending direction: which stream has the next frame, and what has become of those handed over.

use std::time::Instant;

use crate::Mux;
use crate::event::{Event, StreamId};
use crate::frame::{Command, HEADER, Header};
use crate::limits::{MAX_FRAME_DATA, QUEUE_LIMIT, TURN};
use crate::stream::{Next, Sending};

impl Mux {
    /// Appends the next bytes for the far side to `out`, `max` at most, and returns how many. They are whole frames, as
    /// many as there are and fit, so that small ones share a message; how they are cut on their way does not matter.
    /// Less than 9 bytes have room for no data.
    ///
    /// The stream with the fewest bytes in flight has the next frame, and of several the one whose last is longest ago.
    /// So streams that say little go before those that move bulk, and these share alike.
    pub fn poll_transmit(&mut self, now: Instant, max: usize, out: &mut Vec<u8>) -> usize {
        let start = out.len();
        while self.failure.is_none() {
            let taken = out.len() - start;
            let room = max.saturating_sub(taken);
            let Some((id, next)) = self.next_frame(room, taken == 0) else { break };
            self.write_frame(now, id, next, out);
        }
        if out.len() == start && self.is_nop_due && max >= HEADER && self.failure.is_none() {
            self.ledger.push(None, HEADER);
            out.extend(Header { command: Command::Nop, length: 0, id: 0 }.encode());
        }
        if out.len() > start {
            self.keep_alive_again(now);
        }
        out.len() - start
    }

    /// The first `total` bytes of all that [`poll_transmit`](Self::poll_transmit) ever gave have arrived. The data
    /// channel knows: they are [`handed_over`](Self::handed_over) less what it has not sent or not seen acknowledged.
    /// Acknowledged means that the agent has put them into its own memory, 4 MiB for all streams, not that a
    /// destination has read them.
    pub fn delivered(&mut self, now: Instant, total: u64) {
        while let Some((owner, count)) = self.ledger.next_delivered(total) {
            let Some((id, stream)) = owner.and_then(|id| Some((id, self.streams.get_mut(&id)?))) else { continue };
            stream.delivered(now, count);
            self.forget_if_over(id);
        }
    }

    /// How many bytes [`poll_transmit`](Self::poll_transmit) ever gave.
    pub fn handed_over(&self) -> u64 {
        self.ledger.handed_over()
    }

    /// Puts the stream at the end of the queue of turns, if it has a frame and is not there.
    pub(crate) fn take_turn(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(&id)
            && stream.has_frame()
            && !stream.has_turn
        {
            stream.has_turn = true;
            self.turns.push_back(id);
        }
    }

    /// Takes the stream that has the next frame out of the queue of turns.
    fn next_frame(&mut self, room: usize, is_empty: bool) -> Option<(StreamId, Next)> {
        // With nobody to take turns with, frames are as long as Go's.
        let data = if self.turns.len() > 1 { TURN } else { MAX_FRAME_DATA };
        let mut best: Option<(usize, usize, StreamId, Next)> = None;
        for (place, id) in self.turns.iter().enumerate() {
            let Some(stream) = self.streams.get(id) else { continue };
            let Some(next) = stream.next(self.config.in_flight_limit, room, data, is_empty) else { continue };
            if best.is_none_or(|(fewest, ..)| stream.in_flight < fewest) {
                best = Some((stream.in_flight, place, *id, next));
            }
        }
        let (_, place, id, next) = best?;
        self.turns.remove(place);
        self.streams.get_mut(&id)?.has_turn = false;
        Some((id, next))
    }

    fn write_frame(&mut self, now: Instant, id: StreamId, next: Next, out: &mut Vec<u8>) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let (command, count) = match next {
            Next::Syn => (Command::Syn, 0),
            Next::Psh(count) => (Command::Psh, count),
            Next::Fin => (Command::Fin, 0),
        };
        // No more than MAX_FRAME_DATA.
        let length = u16::try_from(count).unwrap_or(u16::MAX);
        out.extend(Header { command, length, id: id.get() }.encode());
        stream.queue.move_to(out, usize::from(length));
        self.queued -= usize::from(length);
        stream.handed_over(now, HEADER + usize::from(length));
        self.ledger.push(Some(id), HEADER + usize::from(length));
        match next {
            Next::Syn => stream.is_opened = true,
            Next::Fin => stream.sending = Sending::Closed,
            Next::Psh(_) if stream.is_full && stream.queue.len() <= QUEUE_LIMIT / 2 => {
                stream.is_full = false;
                if stream.sending == Sending::Open {
                    self.events.push_back(Event::Writable(id));
                }
            }
            Next::Psh(_) => {}
        }
        self.take_turn(id);
    }
}
