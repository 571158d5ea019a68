//! The terminal's size: when it is to be sent, and as what.
//!
//! The agent makes its terminal with 0 columns and 0 rows. It applies a size that comes while it has no terminal yet, since
//! it refuses that message until it has one; but one that comes in the course of a handshake, or just before the terminal
//! is there, it acknowledges and loses. So the size goes first of all, and once more when data would, too. After that
//! only a size that has changed is sent: each resets the idle limit that an administrator may have set.

use serde::Serialize;

/// Columns and rows of a terminal.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Size {
    /// Columns.
    pub cols: u16,
    /// Rows.
    pub rows: u16,
}

impl Size {
    /// The message's payload, as AWS's own client writes it.
    pub(super) fn to_payload(self) -> Vec<u8> {
        // Two numbers: serialising them has no way to fail.
        serde_json::to_vec(&self).unwrap_or_default()
    }
}

/// The terminal's size, and how much of it the far side knows.
#[derive(Debug, Default)]
pub(super) struct TerminalSize {
    wanted: Option<Size>,
    sent: Option<Size>,
    /// The message with the latest size, until it is acknowledged. A size that changes all the time goes once a round trip.
    in_flight: Option<i64>,
}

impl TerminalSize {
    pub(super) fn set(&mut self, size: Size) {
        self.wanted = Some(size);
    }

    /// The session has begun: what was sent before may be lost, acknowledged or not.
    pub(super) fn begin(&mut self) {
        (self.sent, self.in_flight) = (None, None);
    }

    /// The size to send now.
    pub(super) fn next(&self) -> Option<Size> {
        self.wanted.filter(|wanted| self.in_flight.is_none() && self.sent != Some(*wanted))
    }

    pub(super) fn sent(&mut self, size: Size, sequence: i64) {
        (self.sent, self.in_flight) = (Some(size), Some(sequence));
    }

    pub(super) fn acknowledged(&mut self, sequence: i64) {
        self.in_flight.take_if(|in_flight| *in_flight == sequence);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_goes_first_again_at_the_beginning_and_then_when_it_has_changed() {
        let size = |cols| Size { cols, rows: 24 };
        let mut terminal = TerminalSize::default();
        assert_eq!(terminal.next(), None, "there is no terminal");
        terminal.set(size(80));
        assert_eq!(terminal.next(), Some(size(80)));
        terminal.sent(size(80), 0);
        terminal.set(size(90));
        assert_eq!(terminal.next(), None, "one at a time");
        terminal.begin();
        assert_eq!(terminal.next(), Some(size(90)));
        terminal.sent(size(90), 1);
        terminal.acknowledged(0);
        terminal.set(size(100));
        assert_eq!(terminal.next(), None);
        terminal.set(size(90));
        terminal.acknowledged(1);
        assert_eq!(terminal.next(), None, "it is the same again");
        assert_eq!(size(80).to_payload(), br#"{"cols":80,"rows":24}"#);
    }
}
