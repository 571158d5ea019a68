//! One local connection, joined to its stream.

use std::rc::Rc;
use std::time::Instant;

use tokio::time::{sleep_until, timeout};

use super::carrier::{Place, Stream};
use super::lane::Key;
use super::limits;
use crate::endpoints::listener::Local;

/// How a connection has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    /// As one of its sides wanted it.
    InOrder,
    /// The destination could not be connected to.
    Refused,
    /// Its session ended, or the local side broke.
    Broken,
}

struct Connection {
    local: Local,
    place: Place,
    key: Key,
    stream: Rc<Stream>,
    /// The local side has sent its end of file, and since when nothing has come from the far side.
    half_closed: Option<Instant>,
}

/// The event that ended a wait.
enum Turn {
    Read(std::io::Result<usize>),
    Wrote(std::io::Result<usize>),
    Changed,
}

/// Carries a connection until one side has closed it. A local side whose connection did not end in order sees a reset.
pub(super) async fn run(local: Local, place: Place, key: Key, stream: Rc<Stream>) -> End {
    let mut connection = Connection { local, place, key, stream, half_closed: None };
    let end = connection.carry().await;
    let Connection { local, place, key, .. } = connection;
    if end == End::InOrder {
        place.with_lane(|lane| lane.close(key));
    } else {
        place.with_lane(|lane| lane.reset(key));
    }
    place.forget(key);
    // What follows is between this side and its client, and in no other connection's way.
    drop(place);
    match end {
        End::InOrder => see_off(local).await,
        End::Refused | End::Broken => local.reset(),
    }
    end
}

/// Ends a local connection so that its client gets all that was written. To close it at once would throw away what the
/// client has not read yet, if that still sends: the system answers what comes for a closed socket with a reset.
async fn see_off(mut local: Local) {
    local.finish().await;
    let discarding = async {
        let mut buffer = vec![0; limits::READ];
        while local.read(&mut buffer).await.is_ok_and(|length| length > 0) {}
    };
    let _ = timeout(limits::SEEN_OFF, discarding).await;
}

impl Connection {
    async fn carry(&mut self) -> End {
        let mut buffer = vec![0; limits::READ];
        let mut unread = Vec::new();
        loop {
            if self.half_closed.is_some() && self.undelivered() > 0 {
                // The far side cannot answer what it does not have.
                self.half_closed = Some(Instant::now());
            }
            if let Some(end) = self.end(unread.is_empty()) {
                return end;
            }
            if unread.is_empty() {
                self.place.look(|lane| {
                    let bytes = lane.unread(self.key);
                    unread.extend_from_slice(bytes.get(..limits::READ).unwrap_or(bytes));
                });
            }
            let room = self.place.look(|lane| lane.send_capacity(self.key)).min(limits::READ);
            match self.wait(&mut buffer, room, &unread).await {
                Turn::Changed => {}
                Turn::Read(Ok(0)) => {
                    self.half_closed = Some(Instant::now());
                    self.place.linger(Some(self.key));
                }
                Turn::Read(Ok(length)) => {
                    let bytes = buffer.get(..length).unwrap_or_default();
                    self.place.with_lane(|lane| lane.send(self.key, bytes));
                }
                Turn::Wrote(Ok(length)) => {
                    unread.drain(..length);
                    self.place.with_lane(|lane| lane.consume(self.key, length));
                    if self.half_closed.is_some() {
                        self.half_closed = Some(Instant::now());
                        self.stream.is_hurried.set(false);
                        self.place.linger(None);
                    }
                }
                Turn::Read(Err(cause)) | Turn::Wrote(Err(cause)) => {
                    tracing::debug!(%cause, "the local side of a connection is gone");
                    return End::Broken;
                }
            }
        }
    }

    fn undelivered(&self) -> usize {
        self.place.look(|lane| lane.undelivered(self.key))
    }

    /// Whether it is over, and how. `is_written` says that nothing that was taken of the lane waits to be written.
    fn end(&self, is_written: bool) -> Option<End> {
        if self.stream.is_gone.get() {
            return Some(End::Broken);
        }
        let is_delivered = is_written && self.place.look(|lane| lane.unread(self.key).is_empty());
        if self.stream.is_refused.get() {
            return Some(End::Refused);
        }
        if self.stream.is_finished.get() && is_delivered {
            return Some(End::InOrder);
        }
        let now = Instant::now();
        let is_hurried = self.stream.is_hurried.get() && self.undelivered() == 0;
        let is_silent = self.half_closed.is_some_and(|since| is_hurried || since + limits::HALF_CLOSED <= now);
        (is_silent && is_delivered).then_some(End::InOrder)
    }

    async fn wait(&self, buffer: &mut [u8], room: usize, unread: &[u8]) -> Turn {
        let reads = room > 0 && self.half_closed.is_none() && !self.stream.is_finished.get();
        let buffer = buffer.get_mut(..room).unwrap_or_default();
        let half_closed = self.half_closed.map_or(limits::FOREVER, |_| limits::HALF_CLOSED);
        let wake = self.half_closed.unwrap_or_else(Instant::now) + half_closed;
        tokio::select! {
            wrote = self.local.write(unread), if !unread.is_empty() => Turn::Wrote(wrote),
            read = self.local.read(buffer), if reads => Turn::Read(read),
            () = self.stream.changed.notified() => Turn::Changed,
            () = sleep_until(wake.into()) => Turn::Changed,
        }
    }
}
