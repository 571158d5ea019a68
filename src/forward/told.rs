//! What was told of a forward, so that the same is not told again and again.

use std::cell::{Cell, RefCell};
use std::time::Instant;

use super::limits;
use crate::diagnostics::{session as words, tell};

/// The news of connections that came to nothing, as far as it was told.
#[derive(Default)]
pub(super) struct Told {
    last: RefCell<Option<(String, Instant)>>,
    has_cured: Cell<bool>,
}

impl Told {
    /// Tells it, unless it was told a moment ago.
    pub(super) fn tell(&self, text: &str) {
        let now = Instant::now();
        let mut last = self.last.borrow_mut();
        if last.as_ref().is_some_and(|(told, at)| told == text && *at + limits::AGAIN > now) {
            return;
        }
        tell(text);
        *last = Some((text.to_owned(), now));
    }

    /// The destination could not be connected to: each time that is told, and the first time what cures it.
    pub(super) fn refused(&self, destination: &str) {
        tell(&format!("{destination}: the node cannot connect to it"));
        if !self.has_cured.replace(true) {
            tell(words::UNREACHABLE);
        }
    }
}
