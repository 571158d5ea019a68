//! The observer of a session: shown what each frame looks like, never what it carries.

use std::time::Instant;

use bytes::Bytes;
use ssm_channel::Layout;

/// Which way a frame went.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Direction {
    /// From here to the service.
    ToService,
    /// From the service, and from the agent through it.
    FromService,
}

/// Called with each frame: when, which way, and what its fields hold.
pub type Observer = Box<dyn FnMut(Instant, Direction, &Layout) + Send>;

/// Shows `frame` to the observer. Without one nothing is read.
pub(crate) fn show(observer: &mut Option<Observer>, now: Instant, direction: Direction, frame: &Bytes) {
    if let Some(observer) = observer {
        observer(now, direction, &Layout::of(frame));
    }
}
