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
//! A shell, and a command on a terminal, begin without a handshake unless they are encrypted: then the first message of the
//! agent is Output. Which of the two comes decides. The terminate flag ends sessions to a port alone; others end with what
//! runs in them, or by the API.
//!
//! # Example
//! A channel without an agent answers no one, but shows the order of the calls:
//! ```
//! use std::time::Instant;
//! use ssm_channel::{Accepts, Channel, Config, Service};
//!
//! let now = Instant::now();
//! let config = Config { unix_millis: 1_700_000_000_000, seed: 7, service: Service::Aws, accepts: Accepts::Port };
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
mod encryption;
mod event;
mod handshake;
mod interruption;
mod kind;
mod layout;
mod message;
mod output;
mod pace;
mod pause;
mod receipts;
mod receiving;
mod rtt;
mod send_buffer;
mod sending;
mod start;
mod terminal_size;
mod version;
mod window;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use assembler::Assembler;
use bulk::Bulk;
use discovery::Discovery;
use encryption::Cipher;
use handshake::Request;
use interruption::Interruptions;
use output::Output;
use pace::Pace;
use pause::Pause;
use receipts::Receipts;
use send_buffer::SendBuffer;
use terminal_size::TerminalSize;

pub use discovery::LargerMessages;
pub use encryption::DATA_KEY_LENGTH;
pub use event::{Config, Event, Ignored, Service, Stats};
pub use handshake::{KeyRequest, PLUGIN_VERSION};
pub use kind::{Accepts, ForwardProperties, Kind};
pub use layout::{DigestOf, Layout};
pub use message::{DecodeError, FLAG_FIN, FLAG_SYN, Flag, Message, MessageType, PayloadType};
pub use terminal_size::Size;
pub use version::version;

/// Payload bytes in one message at most; 1024, which are certain, until the service has taken this many.
pub const MAX_PAYLOAD: usize = discovery::LARGER;
/// Bytes taken from stdin ahead of the window: six messages, which at the service's pace go in 7 ms. Ahead of the pace
/// only one message is taken: what waits in stdin leaves ssh the choice of what to write next.
const LOOKAHEAD: usize = 6 * MAX_PAYLOAD;
/// The same where there is no pace to wait for.
const LOOKAHEAD_UNPACED: usize = 64 << 10;
/// Memory for bytes delivered and not yet taken by [`Channel::poll_output`], bookkeeping included, above which no more
/// frames are wanted.
const OUTPUT_HIGH_WATER: usize = 256 << 10;
/// Agents up to 2.3.722.0 acknowledge the terminate flag like anything else, and do nothing about it.
const KNOWS_FLAG: [u32; 4] = [2, 3, 722, 1];

/// Where the session is. User data flows in `Open` alone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    /// The agent has sent nothing, or its part of the handshake.
    Starting,
    AwaitingFirstOutput {
        until: Instant,
    },
    Open,
    Closed,
}

/// One session's data channel. See the [module's documentation](self) for its contract.
#[derive(Debug)]
pub struct Channel {
    started: Instant,
    unix_millis: u64,
    ids: fastrand::Rng,
    accepts: Accepts,
    phase: Phase,
    /// The kind of the session, once the agent has said so.
    kind: Option<Kind>,
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
    forward: Option<ForwardProperties>,
    terminal_size: TerminalSize,
    cipher: Option<Cipher>,
    output: Output,
    interruptions: Interruptions,
    events: VecDeque<Event>,
    agent_version: Option<String>,
    /// The handshake's request, while its data key is being made.
    request: Option<Request>,
    response_sequence: Option<i64>,
    /// The agent was told that this session cannot be had: it never begins.
    is_declined: bool,
    /// The agent's challenge was answered.
    is_challenged: bool,
    /// From the handshake's response to its first answer; the agent's own time is in it.
    handshake_took: Option<Duration>,
    /// The agent has acknowledged something.
    is_alive: bool,
    /// A flag that ends the far side's connection is to follow what was taken.
    is_disconnecting: bool,
    is_finishing: bool,
    terminate_sequence: Option<i64>,
    bytes_sent: u64,
    duplicates: u64,
}

impl Channel {
    /// A channel without a transport: nothing goes out before [`transport_up`](Self::transport_up).
    pub fn new(config: Config, now: Instant) -> Self {
        let mut discovery = Discovery::default();
        if config.service == Service::Unlimited {
            // Where messages are not counted, fewer of them are no gain.
            discovery.give_up();
        }
        Self {
            started: now,
            unix_millis: config.unix_millis,
            ids: fastrand::Rng::with_seed(config.seed),
            accepts: config.accepts,
            phase: Phase::Starting,
            kind: None,
            has_transport: false,
            pause: None,
            pace: match config.service {
                Service::Aws => Pace::of_the_service(),
                Service::Unlimited => Pace::unlimited(),
            },
            bulk: Bulk::default(),
            discovery,
            acknowledgements_in_a_row: 0,
            assembler: Assembler::default(),
            receipts: Receipts::default(),
            send_buffer: SendBuffer::new(),
            forward: None,
            terminal_size: TerminalSize::default(),
            cipher: None,
            output: Output::default(),
            interruptions: Interruptions::default(),
            events: VecDeque::new(),
            agent_version: None,
            request: None,
            response_sequence: None,
            is_declined: false,
            is_challenged: false,
            handshake_took: None,
            is_alive: false,
            is_disconnecting: false,
            is_finishing: false,
            terminate_sequence: None,
            bytes_sent: 0,
            duplicates: 0,
        }
    }

    /// The time that [`poll_timeout`](Self::poll_timeout) named has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Phase::AwaitingFirstOutput { until } = self.phase
            && until <= now
        {
            self.open();
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

    /// Takes bytes for the far side: no more than [`send_capacity`](Self::send_capacity) says, the rest is for later.
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
        if self.is_finishing || self.is_disconnecting || self.phase == Phase::Closed {
            return 0;
        }
        let lookahead = match self.pace.is_limited(now) {
            true => (self.pace.allowance(now).max(1) as usize * MAX_PAYLOAD).min(LOOKAHEAD),
            false => LOOKAHEAD_UNPACED,
        };
        lookahead.saturating_sub(self.send_buffer.unsent())
    }

    /// There are no more bytes to send. A session to a port or of a forward gets the terminate flag right behind the last
    /// one, once; others know no such end.
    pub fn finish(&mut self) {
        self.is_finishing = true;
    }

    /// The one connection of a forward has ended on this side: the agent is to end it on its own, behind the last byte. Until
    /// that is on its way no more is taken.
    pub fn disconnect(&mut self) {
        self.is_disconnecting = self.kind == Some(Kind::Forward);
    }

    /// Whether the far side may not know yet that the connection has ended, after [`disconnect`](Self::disconnect).
    pub fn is_disconnecting(&self) -> bool {
        self.is_disconnecting || self.send_buffer.awaits_acknowledgement()
    }

    /// The terminal has this size, from now on. It is sent first of all, again when the session has begun, and then
    /// whenever it has changed.
    pub fn resize(&mut self, size: Size) {
        self.terminal_size.set(size);
    }

    /// The socket is gone, closed by the service or not. Nothing goes out until there is a new one; nothing is
    /// forgotten.
    pub fn transport_lost(&mut self, closed_by_service: bool) {
        if !std::mem::take(&mut self.has_transport) {
            return;
        }
        self.pause = None;
        self.interruptions.begin();
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
        self.output.bytes() < OUTPUT_HIGH_WATER && !self.receipts.is_full()
    }

    /// The next bytes for stdout, in order, each verified by its digest.
    pub fn poll_output(&mut self) -> Option<Bytes> {
        self.output.pop_stdout()
    }

    /// The next bytes for stderr, in order among themselves: the agent does not keep the order of the two. Only commands
    /// without a terminal have any, and agents that cannot start one.
    pub fn poll_stderr(&mut self) -> Option<Bytes> {
        self.output.pop_stderr()
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
        self.send_buffer.unsent() + self.send_buffer.data_in_flight()
    }

    /// Whether messages of the far side have come behind others that have not.
    pub fn lacks_messages(&self) -> bool {
        self.assembler.waiting_bytes() > 0
    }

    /// Whether any SSH bytes have ever come from the far side.
    pub fn has_received_output(&self) -> bool {
        self.output.total() > 0
    }

    /// Whether output of a command may be lost: the connection was, while the command ran, and output that came later does
    /// not show that the agent has gone on reading it.
    pub fn may_have_lost_output(&self) -> bool {
        self.kind == Some(Kind::Command) && self.interruptions.may_have_lost_output()
    }

    /// Whether the agent has taken something and said nothing, not even asked for a handshake: a program on a terminal that
    /// has written nothing yet looks like that.
    pub fn is_silent(&self) -> bool {
        self.is_alive && self.kind.is_none() && self.agent_version.is_none() && !self.is_declined
    }

    /// Whether nothing has come from a command since the connection was lost and came back, though it had written before.
    pub fn output_is_in_doubt(&self) -> bool {
        self.kind == Some(Kind::Command) && self.interruptions.leave_doubt()
    }

    /// The kind of the session, once the agent has said so.
    pub fn kind(&self) -> Option<Kind> {
        self.kind
    }

    /// The properties of a forward, as its document has them.
    pub fn forward(&self) -> Option<&ForwardProperties> {
        self.forward.as_ref()
    }

    /// Whether the terminate flag has been sent: nothing can come after it.
    pub fn has_sent_flag(&self) -> bool {
        self.terminate_sequence.is_some()
    }

    /// Whether the agent ends the session when it is told to by the terminate flag.
    pub fn agent_knows_flag(&self) -> bool {
        self.agent_version.as_ref().is_some_and(|agent| !version::is_before(agent, KNOWS_FLAG))
    }

    /// Whether the session has begun.
    pub fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::AwaitingFirstOutput { .. } | Phase::Open)
    }

    /// Memory held for bytes on their way, both directions, in bytes.
    pub fn buffered_bytes(&self) -> usize {
        self.send_buffer.unsent()
            + self.send_buffer.in_flight_bytes()
            + self.assembler.waiting_bytes()
            + self.output.bytes()
    }

    /// How far it is known whether the service takes larger messages.
    pub fn larger_messages(&self) -> LargerMessages {
        self.discovery.answer()
    }

    /// Figures of the session so far.
    pub fn stats(&self) -> Stats {
        Stats {
            bytes_sent: self.bytes_sent,
            bytes_received: self.output.total(),
            sent: self.send_buffer.next_sequence().unsigned_abs(),
            acknowledged: self.send_buffer.acknowledged_messages(),
            resent: self.send_buffer.resent(),
            duplicates: self.duplicates,
            round_trip: self.send_buffer.round_trip(),
        }
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
