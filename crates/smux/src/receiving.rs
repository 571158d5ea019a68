//! The receiving direction: frames of the far side, and what waits for its reader.

use crate::Mux;
use crate::event::{Event, ResetReason, StreamId};
use crate::frame::{Command, Header, Part, ProtocolError};
use crate::limits::MAX_STREAMS;
use crate::stream::{Sending, Stream};

impl Mux {
    /// Takes the next bytes of the far side, cut anywhere. What comes for streams that are closed or were never open is
    /// passed over, as Go's client does: it may have been on its way when the stream ended. So are streams that the far
    /// side opens: agents open none, and AWS's client takes such a SYN and never looks at it.
    ///
    /// # Errors
    /// When the bytes are not smux version 1. Nothing can be read after that: the error is given again each time,
    /// nothing is sent any more, and the session is to be ended.
    pub fn handle_bytes(&mut self, bytes: &[u8]) -> Result<(), ProtocolError> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let mut rest = bytes;
        loop {
            match self.decoder.next(&mut rest) {
                Ok(Some(Part::Header(header))) => self.handle_header(header),
                Ok(Some(Part::Data(data))) => self.handle_data(data),
                Ok(None) => return Ok(()),
                Err(failure) => {
                    self.failure = Some(failure);
                    return Err(failure);
                }
            }
        }
    }

    /// The agent says that a dial has failed, by a flag beside the byte stream which does not say whose. It is to be
    /// told before the bytes behind it: the FIN of that dial's stream follows, and dials come one after another.
    pub fn connect_failed(&mut self) {
        self.failed_dials = (self.failed_dials + 1).min(MAX_STREAMS);
    }

    /// Bytes received on a stream and not consumed, as many as lie together. Empty if there are none.
    pub fn read(&self, id: StreamId) -> &[u8] {
        self.streams.get(&id).map(|stream| stream.unread.front()).unwrap_or_default()
    }

    /// The first `count` bytes received on a stream have been read.
    pub fn consume(&mut self, id: StreamId, count: usize) {
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| !stream.unread.is_empty()) else { return };
        let count = count.min(stream.unread.len());
        stream.unread.advance(count);
        self.unread -= count;
        if stream.unread.is_empty() && stream.is_finished {
            self.events.push_back(Event::Finished(id));
            self.forget_if_over(id);
        }
    }

    /// Whether bytes of the far side are wanted now. Not while the unread ones are at their limit and nobody would
    /// suffer by a pause, because the stream whose reader is slow is the only one. If bytes are handed over all the
    /// same, it is reset at twice the limit. Meanwhile a new stream is better opened on another session: beside it this
    /// one would be reset by the next bytes.
    pub fn wants_input(&self) -> bool {
        self.unread < self.config.unread_limit || self.slowest().is_some_and(|id| self.is_awaited_beside(id))
    }

    fn handle_header(&mut self, header: Header) {
        let id = StreamId::from_wire(header.id);
        self.current = None;
        match header.command {
            Command::Psh => {
                self.current = Some(id);
                self.answered(id);
            }
            Command::Fin => {
                self.answered(id);
                self.handle_fin(id);
            }
            Command::Syn | Command::Upd => self.ignored += 1,
            Command::Nop => {}
        }
    }

    /// The agent dials one after another: an answer on one stream says that the dials of all before it are done.
    fn answered(&mut self, id: StreamId) {
        if self.streams.contains_key(&id) {
            self.answered = self.answered.max(Some(id));
        }
    }

    fn handle_data(&mut self, data: &[u8]) {
        let Some(id) = self.current else { return };
        if self.streams.get(&id).is_some_and(is_receiving) {
            self.make_room(data.len());
        }
        // The stream itself may have made room.
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| is_receiving(stream)) else {
            self.dropped += data.len() as u64;
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.has_received = true;
            }
            return;
        };
        if stream.unread.is_empty() {
            self.events.push_back(Event::Readable(id));
        }
        stream.has_received = true;
        stream.unread.push(data);
        self.unread += data.len();
    }

    fn handle_fin(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| !stream.is_finished) else { return };
        stream.is_finished = true;
        let has_failed = !stream.has_received && self.failed_dials > 0;
        self.failed_dials -= usize::from(has_failed);
        if stream.is_live() {
            // Without a byte, and not as the answer to a FIN.
            let is_refused = !stream.has_received && (has_failed || stream.sending == Sending::Open);
            if is_refused {
                self.events.push_back(Event::Refused { id, reported: has_failed });
            } else if stream.unread.is_empty() {
                self.events.push_back(Event::Finished(id));
            }
        }
        // The agent has forgotten the stream.
        self.queued -= stream.queue.len();
        stream.queue.clear();
        self.close(id);
        self.forget_if_over(id);
    }

    /// Resets the streams with the most unread bytes until `count` more are within the limit, or nobody else waits.
    fn make_room(&mut self, count: usize) {
        let limit = self.config.unread_limit;
        while self.unread + count > limit {
            let Some(id) = self.slowest() else { return };
            if !self.is_awaited_beside(id) && self.unread + count <= limit.saturating_mul(2) {
                return;
            }
            self.reset(id);
            self.events.push_back(Event::Reset(id, ResetReason::Overrun));
        }
    }

    /// The stream with the most unread bytes.
    fn slowest(&self) -> Option<StreamId> {
        let unread = self.streams.iter().filter(|(_, stream)| !stream.unread.is_empty());
        unread.max_by_key(|(_, stream)| stream.unread.len()).map(|(id, _)| *id)
    }

    /// Whether some other stream waits for bytes.
    fn is_awaited_beside(&self, id: StreamId) -> bool {
        self.streams.iter().any(|(other, stream)| *other != id && is_receiving(stream))
    }
}

fn is_receiving(stream: &Stream) -> bool {
    stream.is_live() && !stream.is_finished
}
