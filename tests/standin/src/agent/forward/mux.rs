//! The agent's end of smux version 1: a server that is as unforgiving as Go's (sessions §4.4 to §4.7).
//!
//! Bytes of the session in, bytes of the session out; what streams lead to is asked for and handed in. It knows no
//! messages and no sockets, and the time only to keep the session alive.

use super::ForwardRequest;
use crate::smux::{FRAME_BYTES, HEADER_BYTES, Header, UPDATE_BYTES, VERSION, command, frame};
use bytes::{Buf, Bytes, BytesMut};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// Unread data of all streams together, after which the connection is not read any more (sessions §4.5).
pub(super) const BUDGET_BYTES: i64 = 4 << 20;
/// Streams that wait to be accepted, as Go's smux has it; then the connection is not read either.
const BACKLOG: usize = 1_024;
/// How often a sign of life is sent, and how often one is missed (sessions §4.5).
const PING: Duration = Duration::from_secs(10);
const CHECK: Duration = Duration::from_secs(30);

/// What the agent of a forward counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct ForwardCounts {
    /// Streams that the client opened, or connections that were dialled where there are no streams.
    pub streams: u64,
    /// Those whose destination could not be reached.
    pub refused: u64,
    /// Most of them at one time.
    pub peak: u64,
    /// Those that are open now.
    pub open: u64,
    /// Bytes given to destinations.
    pub bytes_to_destinations: u64,
    /// Bytes taken from destinations.
    pub bytes_from_destinations: u64,
    /// Bytes from the client for streams that are closed or were never opened.
    pub bytes_dropped: u64,
    /// Signs of life that were sent.
    pub nops_sent: u64,
    /// Most bytes that waited for destinations.
    pub peak_unread: u64,
}

/// The client broke the protocol, or was silent for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dead;

#[derive(Debug, Default)]
struct Stream {
    /// What came for the destination and was not read.
    unread: VecDeque<Bytes>,
    unread_bytes: usize,
    /// Whether the client has closed it.
    finished: bool,
    connected: bool,
    /// Its place among the frames to be sent, if it has one there.
    waiting: Option<(u64, u64)>,
    /// Frames that it has sent.
    frames: u64,
}

#[derive(Debug)]
struct KeepAlive {
    ping: Instant,
    check: Instant,
}

/// The server of one session.
#[derive(Debug)]
pub(super) struct Mux {
    unparsed: BytesMut,
    /// What is left of the budget; the last frame may overdraw it.
    bucket: i64,
    streams: BTreeMap<u32, Stream>,
    accepts: VecDeque<u32>,
    dialling: Option<u32>,
    requests: VecDeque<ForwardRequest>,
    /// Frames to be sent: those of streams that have sent few come first.
    outbox: BTreeMap<(u64, u64), (u32, Bytes)>,
    order: u64,
    keep_alive: Option<KeepAlive>,
    alive: bool,
    counts: ForwardCounts,
}

impl Mux {
    pub(super) fn new(now: Instant, keep_alive: bool) -> Self {
        Self {
            unparsed: BytesMut::new(),
            bucket: BUDGET_BYTES,
            streams: BTreeMap::new(),
            accepts: VecDeque::new(),
            dialling: None,
            requests: VecDeque::new(),
            outbox: BTreeMap::new(),
            order: 0,
            keep_alive: keep_alive.then(|| KeepAlive { ping: now + PING, check: now + CHECK }),
            alive: false,
            counts: ForwardCounts::default(),
        }
    }

    pub(super) fn counts(&self) -> ForwardCounts {
        ForwardCounts { open: self.streams.len() as u64, ..self.counts }
    }

    /// Streams that are open.
    pub(super) fn open(&self) -> Vec<u32> {
        self.streams.keys().copied().collect()
    }

    pub(super) fn poll_request(&mut self) -> Option<ForwardRequest> {
        self.requests.pop_front()
    }

    /// Bytes that came and were not looked at, because the budget is spent or a frame is not whole.
    pub(super) fn unparsed(&self) -> usize {
        self.unparsed.len()
    }

    /// Bytes came from the client.
    pub(super) fn receive(&mut self, bytes: &[u8]) -> Result<(), Dead> {
        self.unparsed.extend_from_slice(bytes);
        self.parse()
    }

    /// Reads frames while the budget lasts, and accepts the next stream.
    pub(super) fn parse(&mut self) -> Result<(), Dead> {
        while self.bucket > 0 && self.accepts.len() < BACKLOG {
            let Some(header) = Header::decode(&self.unparsed) else { break };
            if header.version != VERSION {
                return Err(Dead);
            }
            let length = match header.command {
                command::SYN | command::FIN | command::NOP => 0,
                command::PSH => usize::from(header.length),
                command::UPD => UPDATE_BYTES,
                _ => return Err(Dead),
            };
            if self.unparsed.len() < HEADER_BYTES + length {
                break;
            }
            self.unparsed.advance(HEADER_BYTES);
            let data = self.unparsed.split_to(length).freeze();
            self.alive = true;
            self.take(header, data);
        }
        self.accept();
        Ok(())
    }

    fn take(&mut self, header: Header, data: Bytes) {
        match header.command {
            command::SYN => {
                let Entry::Vacant(place) = self.streams.entry(header.id) else { return };
                place.insert(Stream::default());
                self.accepts.push_back(header.id);
                self.counts.streams += 1;
                self.counts.peak = self.counts.peak.max(self.streams.len() as u64);
            }
            command::FIN => {
                if let Some(stream) = self.streams.get_mut(&header.id) {
                    stream.finished = true;
                }
            }
            command::PSH => match self.streams.get_mut(&header.id) {
                Some(stream) if !stream.finished => {
                    self.bucket -= i64::from(header.length);
                    stream.unread_bytes += data.len();
                    if !data.is_empty() {
                        stream.unread.push_back(data);
                    }
                    let unread = u64::try_from(BUDGET_BYTES - self.bucket).unwrap_or(0);
                    self.counts.peak_unread = self.counts.peak_unread.max(unread);
                }
                _ => self.counts.bytes_dropped += data.len() as u64,
            },
            _ => {}
        }
    }

    /// The accept loop: one dial after another.
    fn accept(&mut self) {
        if self.dialling.is_none()
            && let Some(id) = self.accepts.pop_front()
        {
            self.dialling = Some(id);
            self.requests.push_back(ForwardRequest::Dial(id));
        }
    }

    /// The dial is over; false when it was not this stream's.
    pub(super) fn dialled(&mut self, id: u32, connected: bool) -> bool {
        if self.dialling.take_if(|dialling| *dialling == id).is_none() {
            return false;
        }
        match self.streams.get_mut(&id) {
            Some(stream) if connected => stream.connected = true,
            _ => {
                self.counts.refused += 1;
                self.forget(id);
            }
        }
        true
    }

    /// Closes a stream: the client is told, what was to be written either way is lost.
    fn forget(&mut self, id: u32) {
        let Some(stream) = self.streams.remove(&id) else { return };
        if let Some(place) = stream.waiting {
            self.outbox.remove(&place);
        }
        self.bucket += i64::try_from(stream.unread_bytes).unwrap_or(0);
        self.post(stream.frames, id, frame(command::FIN, id, b""));
    }

    fn post(&mut self, frames: u64, id: u32, frame: Bytes) -> (u64, u64) {
        self.order += 1;
        let place = (frames, self.order);
        self.outbox.insert(place, (id, frame));
        place
    }

    /// Whether there is something for the destination: data, or the end.
    pub(super) fn wants_write(&self, id: u32) -> bool {
        self.streams.get(&id).is_some_and(|s| s.connected && (s.unread_bytes > 0 || s.finished))
    }

    /// The next data for a destination that has taken all before; at the end its connection is closed.
    pub(super) fn write(&mut self, id: u32) -> Option<Bytes> {
        let stream = self.streams.get_mut(&id).filter(|stream| stream.connected)?;
        let Some(mut first) = stream.unread.pop_front() else {
            if stream.finished {
                self.forget(id);
                self.requests.push_back(ForwardRequest::Close(id));
            }
            return None;
        };
        let data = first.split_to(first.len().min(FRAME_BYTES));
        if !first.is_empty() {
            stream.unread.push_front(first);
        }
        stream.unread_bytes -= data.len();
        self.bucket += i64::try_from(data.len()).unwrap_or(0);
        self.counts.bytes_to_destinations += data.len() as u64;
        Some(data)
    }

    /// How much of what the destination says is taken now: nothing before the last was sent.
    pub(super) fn read_room(&self, id: u32) -> usize {
        let ready = self.streams.get(&id).is_some_and(|stream| stream.connected && stream.waiting.is_none());
        if ready { FRAME_BYTES } else { 0 }
    }

    /// The destination said something, as much as there is room for.
    pub(super) fn data(&mut self, id: u32, bytes: &[u8]) {
        let Some(stream) = self.streams.get(&id).filter(|stream| stream.connected) else { return };
        self.counts.bytes_from_destinations += bytes.len() as u64;
        let place = self.post(stream.frames, id, frame(command::PSH, id, bytes));
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.waiting = Some(place);
        }
    }

    /// The destination has closed, or its connection broke.
    pub(super) fn closed(&mut self, id: u32) {
        if self.streams.contains_key(&id) {
            self.forget(id);
            self.requests.push_back(ForwardRequest::Close(id));
        }
    }

    /// The next frame for the client: of the stream that has sent the fewest.
    pub(super) fn next_frame(&mut self) -> Option<Bytes> {
        let (_, (id, frame)) = self.outbox.pop_first()?;
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.frames += 1;
            stream.waiting = None;
        }
        Some(frame)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.keep_alive.as_ref().map(|timers| timers.ping.min(timers.check))
    }

    /// Sends a sign of life, misses the client's; says whether it did anything.
    pub(super) fn keep_alive(&mut self, now: Instant) -> Result<bool, Dead> {
        let Some(timers) = &mut self.keep_alive else { return Ok(false) };
        let (pings, checks) = (timers.ping <= now, timers.check <= now);
        if checks {
            timers.check = now + CHECK;
        }
        if pings {
            timers.ping = now + PING;
            self.counts.nops_sent += 1;
            self.post(0, 0, frame(command::NOP, 0, b""));
        }
        if checks && !std::mem::take(&mut self.alive) && self.bucket > 0 {
            return Err(Dead);
        }
        Ok(pings || checks)
    }
}
