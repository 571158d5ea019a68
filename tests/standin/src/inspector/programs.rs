//! The judge of shells, commands and encrypted sessions: what a client may send in them, and when (sessions §2, §3, §5).

use super::Inspector;
use crate::agent::cipher::{Cipher, NONCE_BYTES, OVERHEAD_BYTES};
use crate::agent::handshake;
use crate::codec::{Message, payload_type};
use crate::kind::SessionKind;
use crate::report::BreachKind;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::collections::HashSet;

/// What the judge knows of a session beyond its messages.
#[derive(Debug, Default)]
pub(super) struct Program {
    pub(super) kind: SessionKind,
    encrypted: bool,
    cipher: Option<Cipher>,
    nonces: HashSet<Vec<u8>>,
    output: bool,
    challenged: bool,
    challenge_answered: bool,
    size: Option<Value>,
    repeats_allowed: u32,
}

impl Inspector {
    /// The same judge for a session of this kind.
    pub fn of_kind(mut self, kind: SessionKind, encrypted: bool) -> Self {
        (self.program.kind, self.program.encrypted) = (kind, encrypted);
        self
    }

    /// Tells the judge the data key, so that it can tell plain text from encrypted.
    pub fn set_data_key(&mut self, key: &[u8]) {
        self.program.cipher = Cipher::new(key);
    }

    /// What a message that is delivered for the first time means to a client of a shell or command.
    pub(super) fn program_says(&mut self, kind: u32) {
        match kind {
            payload_type::OUTPUT | payload_type::STDERR | payload_type::EXIT_CODE if !self.program.output => {
                self.program.output = true;
                self.program.repeats_allowed += 1;
            }
            payload_type::HANDSHAKE_COMPLETE => self.program.repeats_allowed += 1,
            payload_type::CHALLENGE_REQUEST => self.program.challenged = true,
            _ => {}
        }
    }

    /// Judges a message to a shell or a command that is sent for the first time.
    pub(super) fn judge_program(&mut self, message: &Message) {
        let sequence = message.sequence;
        match message.payload_type {
            payload_type::HANDSHAKE_RESPONSE => self.handshake_response(message),
            payload_type::OUTPUT => {
                let started = self.complete || (self.requested.is_none() && self.program.output);
                if !started {
                    self.found(BreachKind::DataEarly, format!("message {sequence} with Output"));
                }
                if self.program.encrypted {
                    self.encrypted_output(message);
                }
            }
            payload_type::SIZE => self.size(message),
            payload_type::CHALLENGE_RESPONSE => self.challenge_response(message),
            payload_type::FLAG => {
                self.found(BreachKind::FlagOutsidePort, format!("message {sequence}: {:?}", message.flag_value()));
            }
            other => self.found(BreachKind::PayloadType, format!("message {sequence} has payload type {other}")),
        }
    }

    fn encrypted_output(&mut self, message: &Message) {
        let sequence = message.sequence;
        if message.payload.len() < OVERHEAD_BYTES {
            let detail = format!("message {sequence} has {} bytes", message.payload.len());
            return self.found(BreachKind::CipherShort, detail);
        }
        if self.program.cipher.as_ref().is_some_and(|cipher| cipher.open(&message.payload).is_none()) {
            self.found(BreachKind::Plaintext, format!("message {sequence}"));
        }
        self.nonce(sequence, &message.payload);
    }

    fn nonce(&mut self, sequence: i64, sealed: &[u8]) {
        let nonce = sealed.get(..NONCE_BYTES).unwrap_or_default().to_vec();
        let quoted = hex::encode(&nonce);
        if !self.program.nonces.insert(nonce) {
            self.found(BreachKind::NonceReused, format!("message {sequence}: {quoted}"));
        }
    }

    fn size(&mut self, message: &Message) {
        let sequence = message.sequence;
        let json = serde_json::from_slice::<Value>(&message.payload).unwrap_or_default();
        let number = |name: &str| json.get(name).and_then(Value::as_u64).is_some_and(|n| n <= u64::from(u16::MAX));
        if !number("cols") || !number("rows") || json.as_object().is_none_or(|object| object.len() != 2) {
            let quoted = String::from_utf8_lossy(&message.payload).into_owned();
            return self.found(BreachKind::SizeContent, format!("message {sequence}: {quoted}"));
        }
        if self.program.size.as_ref() == Some(&json) {
            if self.program.repeats_allowed == 0 {
                self.found(BreachKind::SizeUnchanged, format!("message {sequence}: {json}"));
            }
            self.program.repeats_allowed = self.program.repeats_allowed.saturating_sub(1);
        }
        self.program.size = Some(json);
    }

    fn challenge_response(&mut self, message: &Message) {
        let sequence = message.sequence;
        if !self.program.challenged {
            return self.found(BreachKind::ResponseEarly, format!("message {sequence} answers no challenge"));
        }
        if std::mem::replace(&mut self.program.challenge_answered, true) {
            return self.found(BreachKind::ResponseTwice, format!("message {sequence} is a second challenge response"));
        }
        let json = serde_json::from_slice::<Value>(&message.payload).unwrap_or_default();
        let sealed = json.get("Challenge").and_then(Value::as_str).and_then(|text| STANDARD.decode(text).ok());
        let Some(sealed) = sealed.filter(|sealed| sealed.len() >= OVERHEAD_BYTES) else {
            return self.found(BreachKind::ChallengeContent, format!("message {sequence}"));
        };
        if self.program.cipher.as_ref().is_some_and(|cipher| cipher.open(&sealed).is_none()) {
            self.found(BreachKind::ChallengeContent, format!("message {sequence} is not encrypted with the key"));
        }
        self.nonce(sequence, &sealed);
    }

    /// Whether an answer to an action is as it should be.
    pub(super) fn is_good_answer(&self, action: &handshake::ProcessedAction) -> bool {
        let error = action.error.as_deref().unwrap_or("");
        match (action.action.as_deref(), action.status) {
            (Some("SessionType"), status) => status == Some(1),
            (Some("KMSEncryption"), Some(1)) => self.program.encrypted && is_key_result(action.result.as_ref()),
            (Some("KMSEncryption"), Some(2 | 3)) if self.program.encrypted => !error.is_empty(),
            (_, status) => matches!(status, Some(2 | 3)),
        }
    }
}

/// Whether this is the result of the KMSEncryption action (sessions §5.2).
fn is_key_result(result: Option<&Value>) -> bool {
    let Some(result) = result.and_then(Value::as_object) else { return false };
    result.iter().all(|(name, value)| match name.as_str() {
        "KMSCipherTextKey" => true,
        "KMSCipherTextHash" => value.is_null() || value.is_string(),
        "ChallengeAcknowledgement" => value.is_boolean(),
        _ => false,
    }) && result
        .get("KMSCipherTextKey")
        .and_then(Value::as_str)
        .is_some_and(|text| STANDARD.decode(text).is_ok_and(|blob| !blob.is_empty()))
}

#[cfg(test)]
mod tests;
