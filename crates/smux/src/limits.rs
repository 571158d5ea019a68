//! Limits, each with its unit and its reason.

use std::time::Duration;

/// Bytes that wait in one stream to be sent. At the 1 MB/s of a session they last 64 ms, longer than a local socket
/// takes to be read again, and what waits outside leaves the program its choice of what to write next.
pub const QUEUE_LIMIT: usize = 64 << 10;
/// Bytes of one stream handed over and not known to be delivered, unless [`Config`](crate::Config) says otherwise: as
/// many as the data channel has in flight, so that a stream that is alone is not held up.
pub const IN_FLIGHT_LIMIT: usize = 256 << 10;
/// Bytes received and not consumed, over all streams, unless [`Config`](crate::Config) says otherwise: 23 s of the 0.72
/// MB/s that an agent was measured to send. A reader that stops for less loses nothing.
pub const UNREAD_LIMIT: usize = 16 << 20;
/// Streams of one session, those included that are closed and wait for the far side's FIN. Go's smux stops reading when
/// 1024 streams wait for their dial.
pub const MAX_STREAMS: usize = 1000;
/// Without an answer for so long after its SYN was delivered, a stream is
/// [`Stall::Unanswered`](crate::Stall::Unanswered). A dial whose first two packets were lost takes 3 s. A destination
/// that thinks for longer costs no more than another session.
pub const DIAL_LIMIT: Duration = Duration::from_secs(5);
/// Without a byte delivered for so long, a stream with bytes in flight is
/// [`Stall::Undelivered`](crate::Stall::Undelivered). Bytes that were lost are delivered within a few round trips.
pub const DELIVERY_LIMIT: Duration = Duration::from_secs(10);
/// Between the last frame and a NOP, as in AWS's client; agents that look close after 30 s.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Data in one frame, as in Go's smux. Readers take up to 65535 bytes.
pub(crate) const MAX_FRAME_DATA: usize = 32 << 10;
/// Data in one frame while several streams have some: four messages of the session, or 4 ms at its pace. The headers
/// cost 0.2 %.
pub(crate) const TURN: usize = 4 << 10;
/// Data in a frame that is cut to fit: with less the header is more than a tenth of it.
pub(crate) const SMALLEST_CUT: usize = 64;
/// The first id; Go's client begins with it, and adds 2 for each.
pub(crate) const FIRST_ID: u32 = 3;
