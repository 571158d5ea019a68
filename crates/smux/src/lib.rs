//! The client side of smux version 1, the stream multiplexer of port forwards, as a pure state machine.
//!
//! AWS Session Manager carries the connections of a forwarded port as streams of one session. The payloads of the
//! session form one byte stream each way, and it is made of smux frames; this crate reads and writes them. No I/O, no
//! async and no clock, like the data channel below it. What is known of the protocol is known from the code of Go's
//! smux, which AWS's client and agent contain, and from captures of the two.
//!
//! # Contract
//! Change the multiplexer with one of [`handle_bytes`](Mux::handle_bytes), [`handle_timeout`](Mux::handle_timeout),
//! [`delivered`](Mux::delivered), [`open`](Mux::open), [`send`](Mux::send), [`consume`](Mux::consume),
//! [`close`](Mux::close) or [`reset`](Mux::reset). Then drain it: call [`poll_event`](Mux::poll_event) until it gives
//! nothing, and [`poll_transmit`](Mux::poll_transmit) while the session has room. Then wait until
//! [`poll_timeout`](Mux::poll_timeout), or until something else happens. Time never runs backwards. A call with the id
//! of a stream that is over does nothing.
//!
//! # One stream
//! ```text
//! client                 agent
//! SYN ->                       queued by open; the agent dials the destination, one stream after another
//! PSH ->                       data may follow at once
//!              <- PSH
//!              <- FIN          the destination has closed
//! FIN ->                       sent by itself: both sides send one
//! ```
//! FIN closes a stream entirely, in both directions: the agent closes the connection to the destination when it gets
//! one, and throws away what comes after it has sent one. So a half-close cannot be forwarded. When the local side has
//! sent its end of file, [`close`](Mux::close) at once cuts off the answer, and no `close` leaves a destination that
//! waits for the end of file waiting: the caller decides how long to hold it back.
//!
//! # Bounds
//! Version 1 has no flow control for a stream, so each side can only bound what it has itself.
//! - To send: [`QUEUE_LIMIT`] bytes wait for each stream, and `send` takes no more. [`IN_FLIGHT_LIMIT`] bytes of each
//!   are handed over and not known to be delivered; the rest waits, and lets other streams pass. Bytes that are
//!   delivered may wait in the agent, which has room for 4 MiB from all streams and says nothing of it: if a
//!   destination reads nothing for so long, the agent takes nothing more from any stream, and only
//!   [`Stall::Undelivered`] shows it.
//! - Received: [`UNREAD_LIMIT`] bytes wait for local readers, in one budget for all streams. A slow reader may use it
//!   up while others do not need it, which is some 20 s of all that an agent sends. If it is spent, the stream with the
//!   most of it is reset, with [`ResetReason::Overrun`], unless no other stream waits for bytes: then
//!   [`wants_input`](Mux::wants_input) asks for a pause, which harms nobody. The trade-off: a reader that is slower
//!   than its destination for long loses its connection if it shares the session, and keeps it at its own pace if it
//!   does not. The other choice, to pause all for one, would let any stopped browser tab hold up a database.
//! - Time: see [`Stall`]. A stall ends nothing by itself; it says that another session is the better place for new
//!   streams.
//!
//! # Example
//! ```
//! use std::time::Instant;
//! use ssm_smux::{Config, Event, Mux};
//!
//! let now = Instant::now();
//! let mut mux = Mux::new(Config::default(), now);
//! let id = mux.open(now)?;
//! assert_eq!(mux.send(id, b"hello"), 5);
//! let mut payload = Vec::new();
//! mux.poll_transmit(now, 1024, &mut payload);
//! assert_eq!(payload, b"\x01\0\0\0\x03\0\0\0\x01\x02\x05\0\x03\0\0\0hello", "SYN and PSH share a message");
//! mux.delivered(now, mux.handed_over());
//!
//! mux.handle_bytes(b"\x01\x02\x02\0\x03\0\0\0hi\x01\x01\0\0\x03\0\0\0")?;
//! assert_eq!(mux.poll_event(), Some(Event::Readable(id)));
//! assert_eq!(mux.read(id), b"hi");
//! mux.consume(id, 2);
//! assert_eq!(mux.poll_event(), Some(Event::Finished(id)), "once all is read");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod event;
mod frame;
mod ledger;
mod limits;
mod queue;
mod receiving;
mod sending;
mod stream;
mod timers;

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use frame::Decoder;
use ledger::Ledger;
use limits::FIRST_ID;
use stream::{Sending, Stream};

pub use event::{Config, Event, OpenError, ResetReason, Stall, Stats, StreamId};
pub use frame::ProtocolError;
pub use limits::{DELIVERY_LIMIT, DIAL_LIMIT, IN_FLIGHT_LIMIT, MAX_STREAMS, QUEUE_LIMIT, UNREAD_LIMIT};

/// One session's multiplexer. See the [module's documentation](self) for its contract.
#[derive(Debug)]
pub struct Mux {
    config: Config,
    streams: BTreeMap<StreamId, Stream>,
    /// The next stream's id; `None` when all are used.
    next_id: Option<u32>,
    /// Streams that have something to send, those first whose last frame is longest ago.
    turns: VecDeque<StreamId>,
    ledger: Ledger,
    decoder: Decoder,
    /// Whose data the decoder reads.
    current: Option<StreamId>,
    failure: Option<ProtocolError>,
    /// The last stream on which the far side has sent anything.
    answered: Option<StreamId>,
    /// Failed dials whose FIN has not come.
    failed_dials: usize,
    events: VecDeque<Event>,
    queued: usize,
    unread: usize,
    dropped: u64,
    ignored: u64,
    keep_alive_at: Option<Instant>,
    is_nop_due: bool,
}

impl Mux {
    /// A multiplexer without streams, for a session whose handshake is complete.
    pub fn new(config: Config, now: Instant) -> Self {
        let mut mux = Self {
            config,
            streams: BTreeMap::new(),
            next_id: Some(FIRST_ID),
            turns: VecDeque::new(),
            ledger: Ledger::default(),
            decoder: Decoder::default(),
            current: None,
            failure: None,
            answered: None,
            failed_dials: 0,
            events: VecDeque::new(),
            queued: 0,
            unread: 0,
            dropped: 0,
            ignored: 0,
            keep_alive_at: None,
            is_nop_due: false,
        };
        mux.keep_alive_again(now);
        mux
    }

    /// Opens a stream: the next odd number, from 3 on, never one twice. Its SYN goes out next, so that the agent dials
    /// even when the client waits for the far side's first word.
    ///
    /// # Errors
    /// When there are too many streams, when every id was used, and when the far side has broken the protocol.
    pub fn open(&mut self, now: Instant) -> Result<StreamId, OpenError> {
        if let Some(failure) = self.failure {
            return Err(failure.into());
        }
        if self.streams.len() >= MAX_STREAMS {
            return Err(OpenError::TooMany);
        }
        let number = self.next_id.ok_or(OpenError::Exhausted)?;
        self.next_id = number.checked_add(2);
        let id = StreamId::from_wire(number);
        self.streams.insert(id, Stream::new(now));
        self.take_turn(id);
        Ok(id)
    }

    /// Takes bytes for the far side: no more than [`send_capacity`](Self::send_capacity) says, the rest is for later.
    /// Returns how many were taken. When the queue was filled, [`Event::Writable`] says that there is room again.
    pub fn send(&mut self, id: StreamId, bytes: &[u8]) -> usize {
        let taken = bytes.get(..self.send_capacity(id)).unwrap_or(bytes);
        let Some(stream) = self.streams.get_mut(&id) else { return 0 };
        stream.queue.push(taken);
        stream.is_full |= stream.queue.len() >= QUEUE_LIMIT;
        self.queued += taken.len();
        self.take_turn(id);
        taken.len()
    }

    /// How many bytes [`send`](Self::send) takes now. None after the end of either side.
    pub fn send_capacity(&self, id: StreamId) -> usize {
        let stream = self.streams.get(&id).filter(|stream| stream.sending == Sending::Open && self.failure.is_none());
        stream.map_or(0, |stream| QUEUE_LIMIT.saturating_sub(stream.queue.len()))
    }

    /// Bytes taken for a stream and not known to be delivered, the headers of those in flight included.
    pub fn undelivered(&self, id: StreamId) -> usize {
        self.streams.get(&id).map_or(0, |stream| stream.queue.len() + stream.in_flight)
    }

    /// There is no more to send on a stream: FIN goes out behind what is queued, once. Bytes that the agent has sent
    /// before it gets the FIN are still received, and [`Event::Finished`] follows them.
    pub fn close(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(&id)
            && stream.sending == Sending::Open
        {
            stream.sending = Sending::Closing;
            self.take_turn(id);
        }
    }

    /// Ends a stream at once in both directions: what is queued or unread is dropped, and FIN goes out. Smux knows no
    /// other way; the destination sees an ordinary end.
    pub fn reset(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        self.queued -= stream.queue.len();
        self.unread -= stream.unread.len();
        stream.queue.clear();
        stream.unread.clear();
        stream.is_abandoned = true;
        self.events.retain(|event| event.stream() != id);
        if stream.is_opened {
            self.close(id);
            self.forget_if_over(id);
        } else {
            // The far side has never heard of it.
            self.streams.remove(&id);
            self.turns.retain(|other| *other != id);
        }
    }

    /// The next thing the multiplexer has to say.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Figures of now, and of all that was passed over.
    pub fn stats(&self) -> Stats {
        Stats {
            streams: self.streams.len(),
            queued: self.queued,
            in_flight: self.ledger.in_flight(),
            unread: self.unread,
            dropped: self.dropped,
            ignored: self.ignored,
        }
    }

    /// Forgets a stream that both sides have closed. Its id is not used again.
    fn forget_if_over(&mut self, id: StreamId) {
        if self.streams.get(&id).is_some_and(Stream::is_over) {
            self.streams.remove(&id);
        }
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
