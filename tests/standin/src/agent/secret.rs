//! The agent's part in an encrypted session: the data key from KMS, the challenge, the payloads (sessions §5).
//!
//! It asks its surroundings to decrypt the data key; it knows no KMS.

use super::cipher::{Cipher, NONCE_BYTES, Nonces};
use super::phases::failed;
use super::{Agent, AgentConfig, AgentRequest, Delivery, EndReason, Phase, handshake};
use crate::codec::{Message, payload_type};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Random bytes of the challenge that goes into the KMS context.
const CHALLENGE_BYTES: usize = 16;
/// Random bytes of the challenge that the client has to encrypt again.
const PROOF_BYTES: usize = 64;

/// A data key that KMS is asked to decrypt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecryptRequest {
    /// The key's id, as the preferences have it.
    pub key_id: String,
    /// What GenerateDataKey returned as `CiphertextBlob`.
    pub blob: Vec<u8>,
    /// The encryption context.
    pub context: BTreeMap<String, String>,
}

/// What the agent knows of the session's secrets.
#[derive(Debug)]
pub(super) struct State {
    challenge: Option<String>,
    proof: Vec<u8>,
    nonces: Nonces,
    cipher: Option<Cipher>,
    answer: Option<Result<Cipher, String>>,
}

#[derive(Deserialize)]
struct Challenge {
    #[serde(rename = "Challenge")]
    challenge: String,
}

impl State {
    /// Draws nothing for a session that is not encrypted.
    pub(super) fn new(config: &AgentConfig, rng: &mut fastrand::Rng) -> Self {
        let encrypted = config.is_encrypted();
        let mut random = |n: usize| -> Vec<u8> { std::iter::repeat_with(|| rng.u8(..)).take(n).collect() };
        let sizes = if encrypted { [CHALLENGE_BYTES, PROOF_BYTES, NONCE_BYTES] } else { [0; 3] };
        let [challenge, proof, nonce] = sizes.map(&mut random);
        let start = nonce.iter().fold(0, |start: u128, byte| start << 8 | u128::from(*byte));
        Self {
            challenge: (encrypted && config.kms_challenge).then(|| STANDARD.encode(challenge)),
            proof,
            nonces: Nonces::new(start),
            cipher: None,
            answer: None,
        }
    }

    pub(super) fn challenge_text(&self) -> Option<&str> {
        self.challenge.as_deref()
    }
}

impl Agent {
    /// KMS answered, with the data key or an error in words; the answer takes effect after `delay`.
    pub fn decrypted(&mut self, now: Instant, delay: Duration, answer: Result<Vec<u8>, String>) {
        let Phase::Decrypting { since, .. } = self.phase else { return };
        let answer = answer.and_then(|key| Cipher::new(&key).ok_or_else(|| "the data key has not 64 bytes".into()));
        self.secret.answer = Some(answer);
        self.phase = Phase::Decrypting { since, until: Some(now + self.config.decrypt_delay + delay) };
        self.step(now);
    }

    /// Asks KMS for the data key that a good response names; the reader waits for the answer (sessions §5.2).
    pub(super) fn ask_for_key(&mut self, since: Instant, key: Option<handshake::KeyResult>) -> Delivery {
        let key = key.unwrap_or_default();
        if self.config.require_challenge && !key.acknowledges {
            let reason = "client does not support required encryption context random challenge";
            self.end(EndReason::Handshake, failed(reason));
            return Delivery::Done;
        }
        let mut context = BTreeMap::from([
            ("aws:ssm:SessionId".to_owned(), self.config.session_id.clone()),
            ("aws:ssm:TargetId".to_owned(), self.config.target.clone()),
        ]);
        if key.acknowledges {
            let challenge = self.secret.challenge.clone().unwrap_or_default();
            context.insert("aws:ssm:RandomChallenge".to_owned(), challenge);
        }
        self.phase = Phase::Decrypting { since, until: None };
        self.requests.push_back(AgentRequest::Decrypt(DecryptRequest {
            key_id: self.config.kms_key_id.clone().unwrap_or_default(),
            blob: STANDARD.decode(&key.cipher_text).unwrap_or_default(),
            context,
        }));
        Delivery::Blocked
    }

    /// The reader goes on with KMS's answer.
    pub(super) fn take_key(&mut self, since: Instant) -> Delivery {
        match self.secret.answer.take() {
            Some(Ok(cipher)) => {
                self.secret.cipher = Some(cipher);
                self.phase = Phase::Challenging { since };
            }
            Some(Err(error)) => {
                let start = "Fetching data key failed: Unable to retrieve data key, Error when decrypting data key";
                self.end(EndReason::Handshake, failed(&format!("{start} {error}")));
            }
            None => self.frozen = true,
        }
        Delivery::Done
    }

    /// Sends the challenge that proves that the client has the key.
    pub(super) fn challenge(&mut self, now: Instant, since: Instant) {
        self.phase = Phase::AwaitingChallenge { since, sent: now };
        let nonce = self.secret.nonces.next();
        let sealed = self.secret.cipher.as_ref().and_then(|cipher| cipher.seal(nonce, &self.secret.proof));
        let json = serde_json::json!({ "Challenge": STANDARD.encode(sealed.unwrap_or_default()) });
        self.send_stream(now, 0, payload_type::CHALLENGE_REQUEST, json.to_string().into());
    }

    /// Checks the client's answer to the challenge; a wrong one is not acknowledged (sessions §5.2).
    pub(super) fn take_challenge(&mut self, now: Instant, payload: &[u8]) -> Delivery {
        let Phase::AwaitingChallenge { since, .. } = self.phase else { return Delivery::Done };
        let answer = serde_json::from_slice::<Challenge>(payload).ok();
        let sealed = answer.and_then(|answer| STANDARD.decode(answer.challenge).ok());
        let opened = sealed.and_then(|sealed| self.secret.cipher.as_ref()?.open(&sealed));
        if opened.as_deref() != Some(&self.secret.proof) {
            self.counts.refused += 1;
            return Delivery::Refused;
        }
        self.phase = Phase::Completing { at: now + self.config.complete_delay, since };
        Delivery::Done
    }

    /// What is in a client's Output. Too short a payload, or one before there is a key, ends the agent's reader for good;
    /// one that cannot be decrypted is refused for ever (sessions §5.3, §8).
    pub(super) fn decrypt(&mut self, message: &Message) -> Result<Bytes, Delivery> {
        if !self.config.is_encrypted() {
            return Ok(message.payload.clone());
        }
        let cipher = self.secret.cipher.as_ref().filter(|_| message.payload.len() >= NONCE_BYTES);
        let Some(cipher) = cipher else {
            self.frozen = true;
            return Err(Delivery::Refused);
        };
        cipher.open(&message.payload).map(Bytes::from).ok_or_else(|| {
            self.counts.refused += 1;
            Delivery::Refused
        })
    }

    /// The payload as it is sent: Output, StdErr and ExitCode are encrypted when the session is (sessions §5.3).
    pub(super) fn encrypted(&mut self, kind: u32, payload: Bytes) -> Bytes {
        if !matches!(kind, payload_type::OUTPUT | payload_type::STDERR | payload_type::EXIT_CODE) {
            return payload;
        }
        let Some(cipher) = &self.secret.cipher else { return payload };
        cipher.seal(self.secret.nonces.next(), &payload).map_or(payload, Bytes::from)
    }
}
