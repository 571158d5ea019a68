//! When the other half is to be told what has arrived.

use std::time::{Duration, Instant};

use crate::event::{LinkId, Pacing};

/// How long an acknowledgement may wait for others.
const ACK_DELAY: Duration = Duration::from_millis(20);
/// Bytes received on a link after which one is due at once, where windows wait for it. It tells of all links, so that those of
/// several may wait together.
const ACK_BYTES: usize = 4 << 10;
/// The same where none does, as the links of the other half keep a pace: each acknowledgement takes one of its messages.
const ACK_BYTES_PULLED: usize = 512 << 10;
/// And how long one may wait there.
const ACK_DELAY_PULLED: Duration = Duration::from_millis(40);

/// The acknowledgement that is to be sent.
#[derive(Debug, Default)]
pub(crate) struct Ack {
    pub(crate) due: Option<Instant>,
    bytes: usize,
    /// The limit that the other half knows.
    pub(crate) told: u64,
    /// The link that took the last one.
    pub(crate) by: Option<LinkId>,
}

impl Ack {
    /// The other half has been told of everything, and of this limit.
    pub(crate) fn told(limit: u64, by: LinkId) -> Self {
        Self { due: None, bytes: 0, told: limit, by: Some(by) }
    }

    /// A frame has come on one of so many links.
    pub(crate) fn received(&mut self, now: Instant, bytes: usize, pacing: Pacing, links: usize) {
        self.bytes += bytes;
        // The other half of one that measures is pulled.
        let (limit, delay) = match pacing {
            Pacing::Pulled => (ACK_BYTES * links, ACK_DELAY),
            Pacing::Measured => (ACK_BYTES_PULLED, ACK_DELAY_PULLED),
        };
        let due = if self.bytes >= limit { now } else { now + delay };
        self.due = Some(self.due.map_or(due, |known| known.min(due)));
    }
}
