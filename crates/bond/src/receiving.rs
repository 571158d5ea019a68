//! What comes in on a link.

use std::time::{Duration, Instant};

use crate::Bond;
use crate::event::{Event, LinkId, ProtocolError};
use crate::frame::{Frame, LinkAck, decode};

impl Bond {
    /// Takes in what has come on a link, in any portions. A link that is not one of the bond's brings nothing.
    ///
    /// # Errors
    /// If it is nothing that the other half of a bond sends: the link should be removed then.
    pub fn handle_bytes(&mut self, now: Instant, id: LinkId, bytes: &[u8]) -> Result<(), ProtocolError> {
        let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
        let mut partial = std::mem::take(&mut link.partial);
        let mut rest = bytes;
        if !partial.is_empty() {
            partial.extend_from_slice(bytes);
            rest = &partial;
        }
        while let Some((frame, length)) = decode(rest)? {
            self.handle_frame(now, id, frame)?;
            rest = rest.get(length..).unwrap_or_default();
        }
        let rest = rest.to_vec();
        if let Some(link) = self.links.get_mut(&id) {
            link.partial = rest;
        }
        Ok(())
    }

    fn handle_frame(&mut self, now: Instant, id: LinkId, frame: Frame<'_>) -> Result<(), ProtocolError> {
        match frame {
            Frame::Data { offset, bytes } => {
                let had_ready = self.inbox.has_ready();
                let is_new = self.inbox.take(offset, bytes)?;
                self.received_frame(now, id, bytes.len(), is_new);
                if !had_ready && self.inbox.has_ready() {
                    self.events.push_back(Event::Readable);
                }
            }
            Frame::Fin { offset } => {
                let was_whole = self.inbox.is_whole();
                self.inbox.end(offset)?;
                self.received_frame(now, id, 0, !was_whole);
            }
            Frame::Ack { delivered, window, links } => self.handle_ack(now, delivered, window, &links)?,
            Frame::Reset if !self.is_reset => {
                self.is_reset = true;
                self.events.push_back(Event::Reset);
            }
            Frame::Retire => {
                if let Some(link) = self.links.get_mut(&id) {
                    (link.is_retiring, link.has_got_retire) = (true, true);
                }
                self.retired(id);
            }
            Frame::Ping => self.links.values_mut().for_each(|link| link.owes_ack = true),
            Frame::Accept { tag } => self.events.push_back(Event::Accepted(id, tag)),
            Frame::Refuse { reason } => self.events.push_back(Event::Refused(id, reason)),
            Frame::Reset | Frame::Unknown => {}
        }
        self.tell_finished();
        Ok(())
    }

    /// A frame that is to be confirmed has come. One that was there already says that the word of it was lost with a link:
    /// the next goes on each.
    fn received_frame(&mut self, now: Instant, id: LinkId, bytes: usize, is_new: bool) {
        if let Some(link) = self.links.get_mut(&id) {
            link.frames += 1;
            link.received += bytes as u64;
            link.newest = Some(now);
        }
        self.ack.received(now, bytes, self.config.pacing, self.links.len());
        if !is_new {
            self.links.values_mut().for_each(|link| link.owes_ack = true);
        }
    }

    fn handle_ack(&mut self, now: Instant, delivered: u64, window: u64, acks: &[LinkAck]) -> Result<(), ProtocolError> {
        for ack in acks {
            // The word of a link that is gone comes late, and says nothing any more.
            let Some(link) = self.links.get_mut(&LinkId(ack.link)) else { continue };
            let before = link.stats().confirmed;
            if !link.confirmed(now, ack.frames, Duration::from_millis(ack.age.into())) {
                return Err(ProtocolError::Unsent);
            }
            if link.is_stalled && (link.stats().confirmed > before || link.is_idle()) {
                link.is_stalled = false;
                self.events.push_back(Event::Revived(LinkId(ack.link)));
            }
        }
        if !self.outbox.delivered(delivered) {
            return Err(ProtocolError::Unsent);
        }
        self.peer_limit = self.peer_limit.max(window);
        Ok(())
    }

    /// Says that a link is retired, once both halves have said so.
    pub(crate) fn retired(&mut self, id: LinkId) {
        if self.links.get(&id).is_some_and(|link| link.has_sent_retire && link.has_got_retire) {
            self.events.push_back(Event::Retired(id));
        }
    }

    pub(crate) fn tell_finished(&mut self) {
        if self.is_whole() && !self.inbox.has_ready() && !std::mem::replace(&mut self.has_told_end, true) {
            self.events.push_back(Event::Finished);
        }
    }
}
