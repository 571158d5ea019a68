//! The data channel protocol as a pure state machine.
//!
//! No I/O, no async, no clock, no randomness that is not handed in, so that every promise about loss, order,
//! duplicates, pauses, pace and reconnects is tested with a simulated network and a virtual clock. What is known of
//! the protocol is known from the code of AWS's agent and client and from observation; where a rule rests on one of
//! these, the file that keeps it says so.
//!
//! # Contract
//! Change the channel with one of [`handle_frame`](Channel::handle_frame),
//! [`handle_timeout`](Channel::handle_timeout), [`send`](Channel::send), [`finish`](Channel::finish),
//! [`transport_up`](Channel::transport_up) or [`transport_lost`](Channel::transport_lost). Then drain it: call
//! [`poll_output`](Channel::poll_output), [`poll_event`](Channel::poll_event) and
//! [`poll_frame`](Channel::poll_frame) until each gives nothing. Then wait until
//! [`poll_timeout`](Channel::poll_timeout), or until something else happens. Time never runs backwards.
//!
//! # One session
//! ```text
//! client                         agent
//!          <- HandshakeRequest      sequence 0
//! HandshakeResponse ->              sequence 0
//!          <- HandshakeComplete     sequence 1
//!          <- Output                "SSH-2.0-…", as soon as the agent has connected to sshd
//! Output ->                         held until now or for a moment, because the agent loses what comes sooner
//! …
//! Flag TerminateSession ->          in sequence, so it works as a FIN
//!          <- channel_closed
//! ```

//!
//! # Example
//! A channel without an agent answers no one, but shows the order of the calls:
//! ```
//! use std::time::Instant;
//! use ssm_channel::{Channel, Config};
//!
//! let now = Instant::now();
//! let config = Config { unix_millis: 1_700_000_000_000, seed: 7, paced: true };
//! let mut channel = Channel::new(config, now);
//! channel.transport_up();
//! // For each frame of the WebSocket: channel.handle_frame(now, &frame), which says why it passes one over.
//! assert_eq!(channel.send_capacity(now), channel.send(now, &[0; 1 << 20]), "what it has room for, and no more");
//! while let Some(event) = channel.poll_event() {
//!     println!("{event:?}");
//! }
//! while let Some(frame) = channel.poll_frame(now) {
//!     println!("{} bytes for the WebSocket", frame.len());
//! }
//! assert!(channel.poll_output().is_none(), "nothing has come");
//! assert!(channel.poll_timeout(now).is_none(), "nothing is sent before the agent has begun");
//! ```

mod acknowledgement;
mod assembler;
mod bulk;
mod discovery;
mod event;
mod handshake;
mod message;
mod pace;
mod pause;
mod receipts;
mod rtt;
mod send_buffer;
mod sending;
mod window;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use acknowledgement::Acknowledgement;
use assembler::{Assembler, OVERHEAD, Verdict};
use bulk::Bulk;
use discovery::Discovery;
use pace::Pace;
use pause::Pause;
use receipts::Receipts;
use send_buffer::{Delivered, SendBuffer};

pub use event::{Config, Ending, Event, Ignored, Stats};
pub use handshake::PLUGIN_VERSION;
pub use message::{DecodeError, FLAG_FIN, FLAG_SYN, Flag, Message, MessageType, PayloadType};

/// Payload bytes in one message at most; 1024, which are certain, until the service has taken this many.
pub const MAX_PAYLOAD: usize = discovery::LARGER;
/// How long after the agent has sent HandshakeComplete user data may reach it, unless the far side has spoken before. The
/// agent reports the handshake as complete a moment before it is, and acknowledges and loses what arrives in between:
/// some milliseconds, of which this is many times the most. sshd speaks first, so that a login waits for nothing. The
/// limit is for services that wait for the client to speak.
const FIRST_DATA_AFTER: Duration = Duration::from_millis(50);
/// How long of that user data is held here at least. The round trip covers the rest, but the one that the handshake shows
/// has the agent's own time in it: an agent that is slow to answer makes the path seem longer than it is.
const FIRST_DATA_HELD: Duration = Duration::from_millis(25);
/// The time in which an acknowledgement has arrived at least, or never will, as long as the connection lives. It is the
/// agent's longest timeout: up to then an acknowledgement that is only late has a message sent again.
const ANSWER_TIME: Duration = Duration::from_secs(1);
/// The handshake's response is the first message of ours.
const RESPONSE_SEQUENCE: i64 = 0;
/// Bytes taken from stdin ahead of the window: six messages, which at the service's pace go in 7 ms. Ahead of the pace
/// only one message is taken: what waits in stdin leaves ssh the choice of what to write next.
const LOOKAHEAD: usize = 6 * MAX_PAYLOAD;
/// The same where there is no pace to wait for.
const LOOKAHEAD_UNPACED: usize = 64 << 10;
/// Memory for bytes delivered and not yet taken by [`Channel::poll_output`], bookkeeping included, above which no more
/// frames are wanted.
const OUTPUT_HIGH_WATER: usize = 256 << 10;
/// Agents from this version on acknowledge a message again when it comes again.
const ACKNOWLEDGES_AGAIN: [u32; 4] = [3, 2, 1041, 0];
/// Agents up to 2.3.722.0 acknowledge the terminate flag like anything else, and do nothing about it.
const KNOWS_FLAG: [u32; 4] = [2, 3, 722, 1];

/// Where the session is. User data flows in `Open` alone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    Handshake,
    AwaitingFirstOutput { until: Instant },
    Open,
    Closed,
}

/// One session's data channel. See the [module's documentation](self) for its contract.
#[derive(Debug)]
pub struct Channel {
    started: Instant,
    unix_millis: u64,
    ids: fastrand::Rng,
    phase: Phase,
    has_transport: bool,
    pause: Option<Pause>,
    pace: Pace,
    bulk: Bulk,
    discovery: Discovery,
    /// Acknowledgements sent since the last message of data.
    acknowledgements_in_a_row: u32,
    assembler: Assembler,
    receipts: Receipts,
    send_buffer: SendBuffer,
    output: VecDeque<Bytes>,
    output_bytes: usize,
    events: VecDeque<Event>,
    agent_version: Option<String>,
    /// From the handshake's response to its first answer; the agent's own time is in it.
    handshake_took: Option<Duration>,
    ending: Option<Ending>,
    terminate_sequence: Option<i64>,
    bytes_sent: u64,
    bytes_received: u64,
    duplicates: u64,
}

impl Channel {
    /// A channel without a transport: nothing goes out before [`transport_up`](Self::transport_up).
    pub fn new(config: Config, now: Instant) -> Self {
        let mut discovery = Discovery::default();
        if !config.paced {
            // Where messages are not counted, fewer of them are no gain.
            discovery.give_up();
        }
        Self {
            started: now,
            unix_millis: config.unix_millis,
            ids: fastrand::Rng::with_seed(config.seed),
            phase: Phase::Handshake,
            has_transport: false,
            pause: None,
            pace: if config.paced { Pace::of_the_service() } else { Pace::unlimited() },
            bulk: Bulk::default(),
            discovery,
            acknowledgements_in_a_row: 0,
            assembler: Assembler::default(),
            receipts: Receipts::default(),
            send_buffer: SendBuffer::new(),
            output: VecDeque::new(),
            output_bytes: 0,
            events: VecDeque::new(),
            agent_version: None,
            handshake_took: None,
            ending: None,
            terminate_sequence: None,
            bytes_sent: 0,
            bytes_received: 0,
            duplicates: 0,
        }
    }

    /// A binary frame came from the WebSocket.
    ///
    /// # Errors
    /// Says why the frame was passed over; the session goes on.
    pub fn handle_frame(&mut self, now: Instant, frame: &Bytes) -> Result<(), Ignored> {
        if self.phase == Phase::Closed {
            return Err(Ignored::Closed);
        }
        let message = Message::decode(frame)?;
        match message.message_type {
            MessageType::OutputStreamData => self.handle_stream_data(now, &message),
            MessageType::Acknowledge => self.handle_acknowledgement(now, &message.payload),
            MessageType::StartPublication => {
                self.end_pause(now);
                Ok(())
            }
            MessageType::PausePublication => {
                self.begin_pause(now);
                Ok(())
            }
            MessageType::ChannelClosed => {
                self.phase = Phase::Closed;
                self.events.push_back(Event::Closed { output: acknowledgement::closing_text(&message.payload) });
                Ok(())
            }
            MessageType::InputStreamData | MessageType::Unknown => Err(Ignored::Type),
        }
    }

    fn handle_stream_data(&mut self, now: Instant, message: &Message) -> Result<(), Ignored> {
        if self.receipts.is_full() {
            return Err(Ignored::NoRoom);
        }
        match self.assembler.offer(message.sequence, message.payload_type, &message.payload) {
            Verdict::Refused => return Err(Ignored::NoRoom),
            Verdict::Duplicate => {
                self.duplicates += 1;
                let answer = self.send_buffer.answer_time().max(ANSWER_TIME);
                self.receipts.came_again(now, message.sequence, message.id, answer);
            }
            Verdict::Accepted => self.receipts.arrived(message.sequence, message.id, self.assembler.expected()),
        }
        while let Some((payload_type, payload)) = self.assembler.next() {
            self.deliver(now, payload_type, payload);
        }
        Ok(())
    }

    /// Acts on the next message in order. Payload types that SSH has no use for are passed over.
    fn deliver(&mut self, now: Instant, payload_type: PayloadType, payload: Bytes) {
        match payload_type {
            PayloadType::OUTPUT => {
                if matches!(self.phase, Phase::AwaitingFirstOutput { .. }) {
                    self.phase = Phase::Open;
                }
                self.bytes_received += payload.len() as u64;
                if !payload.is_empty() {
                    self.output_bytes += payload.len() + OVERHEAD;
                    self.output.push_back(payload);
                }
            }
            PayloadType::HANDSHAKE_REQUEST => self.answer_handshake(now, &payload),
            PayloadType::HANDSHAKE_COMPLETE => self.complete_handshake(now, &payload),
            PayloadType::FLAG if Flag::ConnectToPortError.matches(&payload) => {
                self.events.push_back(Event::PortRefused);
            }
            _ => {}
        }
    }

    /// Answers the first request, ever. The agent hands a response to a queue without room that it reads once: a
    /// second response would stop its reading for good. After the handshake there is nothing to answer.
    fn answer_handshake(&mut self, now: Instant, payload: &[u8]) {
        if self.phase != Phase::Handshake || self.agent_version.is_some() {
            return;
        }
        let Some(request) = handshake::Request::parse(payload) else {
            self.events.push_back(Event::Unsupported("the agent's handshake request cannot be read".into()));
            return;
        };
        if is_before(&request.agent_version, ACKNOWLEDGES_AGAIN) {
            self.send_buffer.acknowledges_once();
            // Whether such an agent lacks a message cannot be told from its silence.
            self.discovery.give_up();
        }
        let answer = request.answer();
        self.store(now, PayloadType::HANDSHAKE_RESPONSE, answer.payload.into());
        self.agent_version = Some(request.agent_version);
        self.events.extend(answer.unsupported.map(Event::Unsupported));
    }

    fn complete_handshake(&mut self, now: Instant, payload: &[u8]) {
        if self.phase != Phase::Handshake {
            return;
        }
        // The agent completes the handshake with the response in hand, and may acknowledge it later, or never.
        self.acknowledged(now, RESPONSE_SEQUENCE);
        let left = FIRST_DATA_AFTER.saturating_sub(self.handshake_took.unwrap_or_default());
        self.phase = Phase::AwaitingFirstOutput { until: now + left.max(FIRST_DATA_HELD) };
        self.events.push_back(Event::Ready { agent_version: self.agent_version.clone().unwrap_or_default() });
        let message = handshake::Complete::parse(payload).customer_message;
        if !message.is_empty() {
            self.events.push_back(Event::CustomerMessage(message));
        }
    }

    fn handle_acknowledgement(&mut self, now: Instant, payload: &[u8]) -> Result<(), Ignored> {
        let acknowledgement = Acknowledgement::parse(payload).ok_or(Ignored::Acknowledgement)?;
        let was_waiting = self.acknowledged(now, acknowledgement.sequence);
        if self.bytes_received > 0 {
            self.send_buffer.presume_delivered();
        }
        if !was_waiting {
            return Err(Ignored::NotWaiting);
        }
        // The flag's acknowledgement alone says little: the agent acknowledges what it keeps out of order too.
        if self.terminate_sequence.is_some() && self.send_buffer.is_idle() {
            self.events.push_back(Event::Ended);
        }
        Ok(())
    }

    /// The agent has our message numbered `sequence`. Whether that was not known.
    fn acknowledged(&mut self, now: Instant, sequence: i64) -> bool {
        let Some(message) = self.send_buffer.acknowledged(now, sequence) else { return false };
        let shortest = self.send_buffer.shortest_round_trip();
        if self.pause.as_ref().is_some_and(|pause| pause.is_ended_by(now, &message, shortest)) {
            self.end_pause(now);
        }
        // What was not sent on this path says nothing about it.
        let Delivered { sent: Some(sent), payload_bytes, .. } = message else { return true };
        if self.phase == Phase::Handshake {
            self.handshake_took.get_or_insert(now.saturating_duration_since(sent));
        }
        self.discovery.acknowledged(now, sequence, payload_bytes);
        true
    }

    fn begin_pause(&mut self, now: Instant) {
        self.discovery.objected();
        match &mut self.pause {
            Some(pause) => pause.asked_again(now),
            None => {
                self.pause = Some(Pause::new(now));
                self.pace.slow_down(now);
            }
        }
    }

    fn end_pause(&mut self, now: Instant) {
        if let Some(pause) = self.pause.take() {
            self.pace.go_on(now);
            self.send_buffer.paused(now, pause.lasted(now));
        }
    }

    /// The time that [`poll_timeout`](Self::poll_timeout) named has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Phase::AwaitingFirstOutput { until } = self.phase
            && until <= now
        {
            self.phase = Phase::Open;
        }
        let pause_limit = self.pause_limit(now);
        if pause_limit.is_some_and(|limit| limit <= now) {
            self.end_pause(now);
            self.events.push_back(Event::Stalled);
        } else if self.pause.is_none()
            && self.has_transport
            && self.send_buffer.timeout().is_some_and(|timeout| timeout <= now)
        {
            let larger = self.send_buffer.expire(now, discovery::CERTAIN);
            self.discovery.lost(larger);
        }
    }

    /// When a pause has lasted too long for what waits in it.
    fn pause_limit(&mut self, now: Instant) -> Option<Instant> {
        let waits = self.has_something_to_send();
        let pause = self.pause.as_mut()?;
        pause.waits(now, waits);
        pause.limit()
    }

    /// Takes SSH bytes from stdin: no more than [`send_capacity`](Self::send_capacity) says, the rest is for later.
    /// Returns how many were taken.
    pub fn send(&mut self, now: Instant, bytes: &[u8]) -> usize {
        let taken = bytes.get(..self.send_capacity(now)).unwrap_or(bytes);
        self.send_buffer.push(taken);
        self.bytes_sent += taken.len() as u64;
        taken.len()
    }

    /// How many bytes [`send`](Self::send) takes at `now`: what may go at once, or else the next message's. Until the
    /// channel is changed, it can only become more.
    pub fn send_capacity(&self, now: Instant) -> usize {
        if self.ending.is_some() || self.phase == Phase::Closed {
            return 0;
        }
        let lookahead = match self.pace.is_limited(now) {
            true => (self.pace.allowance(now).max(1) as usize * MAX_PAYLOAD).min(LOOKAHEAD),
            false => LOOKAHEAD_UNPACED,
        };
        lookahead.saturating_sub(self.send_buffer.unsent())
    }

    /// Stdin has ended: delivers what was taken, then sends the terminate flag, once and last. A second call can
    /// only make the ending more urgent.
    pub fn finish(&mut self, ending: Ending) {
        self.ending = self.ending.max(Some(ending));
    }

    /// The socket is gone, closed by the service or not. Nothing goes out until there is a new one; nothing is
    /// forgotten.
    pub fn transport_lost(&mut self, closed_by_service: bool) {
        if !std::mem::take(&mut self.has_transport) {
            return;
        }
        self.pause = None;
        let was_refused = self.discovery.is_refused();
        let awaited = self.send_buffer.awaits_acknowledgement_above(discovery::CERTAIN);
        self.discovery.path_lost(closed_by_service, awaited);
        if self.discovery.is_refused() && !was_refused {
            self.events.push_back(Event::PayloadRefused);
        }
        self.receipts.path_lost();
    }

    /// There is a new socket, on which the open message has been sent. Everything unacknowledged is sent again.
    pub fn transport_up(&mut self) {
        self.has_transport = true;
        self.pause = None;
        self.send_buffer.new_path();
    }

    /// Whether frames should be read from the WebSocket now. If not, the bytes delivered wait for
    /// [`poll_output`](Self::poll_output): to read on would only fill memory.
    pub fn wants_frames(&self) -> bool {
        self.output_bytes < OUTPUT_HIGH_WATER && !self.receipts.is_full()
    }

    /// The next SSH bytes for stdout, in order, each verified by its digest.
    pub fn poll_output(&mut self) -> Option<Bytes> {
        let bytes = self.output.pop_front()?;
        self.output_bytes -= bytes.len() + OVERHEAD;
        Some(bytes)
    }

    /// The next thing the channel has to say.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Whether sent messages wait for their acknowledgement, so that a silent peer is a reason for doubt.
    pub fn awaits_acknowledgement(&self) -> bool {
        self.send_buffer.awaits_acknowledgement()
    }

    /// Bytes taken by [`send`](Self::send) that are not known to have arrived: not sent yet, or not acknowledged.
    pub fn undelivered_bytes(&self) -> usize {
        let is_data = |sequence| sequence != RESPONSE_SEQUENCE && Some(sequence) != self.terminate_sequence;
        let in_flight = self.send_buffer.in_flight().filter(|(sequence, _)| is_data(*sequence));
        self.send_buffer.unsent() + in_flight.map(|(_, bytes)| bytes).sum::<usize>()
    }

    /// Whether messages of the far side have come behind others that have not.
    pub fn lacks_messages(&self) -> bool {
        self.assembler.waiting_bytes() > 0
    }

    /// Whether any SSH bytes have ever come from the far side.
    pub fn has_received_output(&self) -> bool {
        self.bytes_received > 0
    }

    /// Whether the terminate flag has been sent: nothing can come after it.
    pub fn has_sent_flag(&self) -> bool {
        self.terminate_sequence.is_some()
    }

    /// Whether the agent ends the session when it is told to by the terminate flag.
    pub fn agent_knows_flag(&self) -> bool {
        self.agent_version.as_ref().is_some_and(|version| !is_before(version, KNOWS_FLAG))
    }

    /// Whether the handshake is complete.
    pub fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::AwaitingFirstOutput { .. } | Phase::Open)
    }

    /// Memory held for bytes on their way, both directions, in bytes.
    pub fn buffered_bytes(&self) -> usize {
        self.send_buffer.unsent()
            + self.send_buffer.in_flight_bytes()
            + self.assembler.waiting_bytes()
            + self.output_bytes
    }

    /// Figures of the session so far.
    pub fn stats(&self) -> Stats {
        Stats {
            bytes_sent: self.bytes_sent,
            bytes_received: self.bytes_received,
            sent: self.send_buffer.next_sequence().unsigned_abs(),
            acknowledged: self.send_buffer.acknowledged_messages(),
            resent: self.send_buffer.resent(),
            duplicates: self.duplicates,
            round_trip: self.send_buffer.round_trip(),
        }
    }
}

/// Whether a dotted version is lower than `limit`. One that cannot be read is not.
fn is_before(version: &str, limit: [u32; 4]) -> bool {
    let mut parts = version.split('.').map(str::parse);
    let parsed = limit.map(|_| parts.next().unwrap_or(Ok(0)));
    parsed.iter().all(Result::is_ok) && parsed.map(Result::unwrap_or_default) < limit
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
