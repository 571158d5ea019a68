//! The start of a session: the handshake, with a data key if the session is to be encrypted, or output without one.

use std::time::{Duration, Instant};

use super::encryption::{Cipher, DATA_KEY_LENGTH};
use super::event::Event;
use super::handshake::{self, KeyAnswer, Request};
use super::kind::{Accepts, Kind};
use super::message::PayloadType;
use super::version::is_before;
use super::{Channel, Phase};

/// How long after the agent has sent HandshakeComplete user data may reach it, unless the far side has spoken before. The
/// agent reports the handshake as complete a moment before it is, and acknowledges and loses what arrives in between:
/// some milliseconds, of which this is many times the most. sshd speaks first, so that a login waits for nothing. The
/// limit is for services that wait for the client to speak.
const FIRST_DATA_AFTER: Duration = Duration::from_millis(50);
/// How long of that user data is held here at least. The round trip covers the rest, but the one that the handshake shows
/// has the agent's own time in it: an agent that is slow to answer makes the path seem longer than it is.
const FIRST_DATA_HELD: Duration = Duration::from_millis(25);
/// Agents from this version on acknowledge a message again when it comes again.
const ACKNOWLEDGES_AGAIN: [u32; 4] = [3, 2, 1041, 0];

impl Channel {
    /// Answers the first request, ever. The agent hands a response to a queue without room that it reads once: a
    /// second response would stop its reading for good. After the handshake there is nothing to answer.
    pub(super) fn handle_request(&mut self, now: Instant, payload: &[u8]) {
        if self.phase != Phase::Starting || self.agent_version.is_some() || self.is_declined {
            return;
        }
        let Some(request) = Request::parse(payload) else {
            self.is_declined = true;
            self.events.push_back(Event::Unsupported("the agent's handshake request cannot be read".into()));
            return;
        };
        if is_before(&request.agent_version, ACKNOWLEDGES_AGAIN) {
            self.expects_one_acknowledgement();
        }
        self.agent_version = Some(request.agent_version.clone());
        self.kind = request.kind(self.accepts);
        if self.kind == Some(Kind::Forward) {
            self.forward = Some(request.forward());
        }
        match request.key(self.accepts).filter(|_| self.kind.is_some()) {
            None => self.answer(now, &request, KeyAnswer::NotAsked),
            Some(key) => {
                self.request = Some(request);
                self.events.push_back(Event::KeyWanted(key));
            }
        }
    }

    /// The data key that [`Event::KeyWanted`] asks for, and what it is to whoever may not decrypt it. From now on the
    /// session is encrypted.
    pub fn encrypt(&mut self, now: Instant, data_key: &[u8; DATA_KEY_LENGTH], ciphertext: &[u8]) {
        let Some(request) = self.request.take() else { return };
        self.cipher = Cipher::new(data_key, self.ids.u128(..));
        // A message that was taken back would be encrypted already.
        self.discovery.give_up();
        self.answer(now, &request, KeyAnswer::Made { ciphertext });
    }

    /// There is no data key, for this reason. The agent is told, and ends the session.
    pub fn refuse_encryption(&mut self, now: Instant, why: &str) {
        if let Some(request) = self.request.take() {
            self.answer(now, &request, KeyAnswer::Failed(why));
        }
    }

    fn answer(&mut self, now: Instant, request: &Request, key: KeyAnswer) {
        let answer = request.answer(self.accepts, key);
        self.is_declined = matches!(key, KeyAnswer::Failed(_)) || answer.unsupported.is_some();
        self.response_sequence = Some(self.send_buffer.next_sequence());
        self.store(now, PayloadType::HANDSHAKE_RESPONSE, answer.payload.into());
        self.events.extend(answer.unsupported.map(Event::Unsupported));
    }

    /// Shows the agent that both sides have the same key.
    pub(super) fn answer_challenge(&mut self, now: Instant, payload: &[u8]) {
        let is_expected = self.phase == Phase::Starting && !self.is_challenged;
        let Some(cipher) = self.cipher.as_mut().filter(|_| is_expected) else { return };
        let challenge = handshake::read_challenge(payload).and_then(|encrypted| cipher.open(&encrypted));
        match challenge.and_then(|challenge| cipher.seal(&challenge)) {
            Some(encrypted) => {
                self.is_challenged = true;
                let payload = handshake::write_challenge(&encrypted);
                self.store(now, PayloadType::ENC_CHALLENGE_RESPONSE, payload.into());
            }
            None => self.give_up(Event::Undecipherable),
        }
    }

    pub(super) fn complete_handshake(&mut self, now: Instant, payload: &[u8]) {
        // An encrypted session is not complete without its key.
        if self.phase != Phase::Starting || self.request.is_some() || self.is_declined {
            return;
        }
        // The agent completes the handshake with the response in hand, and may acknowledge it later, or never.
        if let Some(sequence) = self.response_sequence {
            self.acknowledged(now, sequence);
        }
        let left = FIRST_DATA_AFTER.saturating_sub(self.handshake_took.unwrap_or_default());
        self.phase = Phase::AwaitingFirstOutput { until: now + left.max(FIRST_DATA_HELD) };
        self.begin(self.kind.unwrap_or(Kind::Port));
        let message = handshake::Complete::parse(payload).customer_message;
        if !message.is_empty() {
            self.events.push_back(Event::CustomerMessage(message));
        }
    }

    /// Output has come without a handshake: so begin unencrypted sessions on a terminal.
    pub(super) fn begin_without_handshake(&mut self) {
        if self.accepts == Accepts::Port {
            let why = "the document starts a shell or a command, not a session to a port";
            return self.give_up(Event::Unsupported(why.to_owned()));
        }
        // Nothing tells the agent's version.
        self.expects_one_acknowledgement();
        self.open();
        self.begin(Kind::Terminal);
    }

    /// The agent loses nothing any more. What it was sent just before may be lost, as data would have been.
    pub(super) fn open(&mut self) {
        self.phase = Phase::Open;
        self.terminal_size.begin();
    }

    fn begin(&mut self, kind: Kind) {
        self.kind = Some(kind);
        self.events.push_back(Event::Ready { kind, agent_version: self.agent_version.clone() });
    }

    /// The agent may be one that acknowledges each message once at most.
    fn expects_one_acknowledgement(&mut self) {
        self.send_buffer.acknowledges_once();
        // Whether such an agent lacks a message cannot be told from its silence.
        self.discovery.give_up();
    }
}
