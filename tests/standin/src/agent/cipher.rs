//! The encryption of a session's payloads: AES-256-GCM with a key for each direction (sessions §5.3).
//!
//! Bytes in, bytes out. Where the keys come from and which payloads are encrypted is decided elsewhere.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

/// Bytes of the data key: one half for each direction.
pub const DATA_KEY_BYTES: usize = 64;
/// Bytes of the nonce in front of each payload.
pub const NONCE_BYTES: usize = 12;
/// Bytes that encryption adds: nonce and tag.
pub const OVERHEAD_BYTES: usize = NONCE_BYTES + 16;

/// The keys of a session.
pub struct Cipher {
    agent_to_client: LessSafeKey,
    client_to_agent: LessSafeKey,
}

impl std::fmt::Debug for Cipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cipher")
    }
}

impl Cipher {
    /// The keys that are in a data key; `None` if it has not 64 bytes.
    pub fn new(data_key: &[u8]) -> Option<Self> {
        if data_key.len() != DATA_KEY_BYTES {
            return None;
        }
        let (first, second) = data_key.split_at(DATA_KEY_BYTES / 2);
        let key = |bytes: &[u8]| UnboundKey::new(&AES_256_GCM, bytes).ok().map(LessSafeKey::new);
        Some(Self { agent_to_client: key(first)?, client_to_agent: key(second)? })
    }

    /// The payload that the agent sends for `plaintext`.
    pub fn seal(&self, nonce: [u8; NONCE_BYTES], plaintext: &[u8]) -> Option<Vec<u8>> {
        seal(&self.agent_to_client, nonce, plaintext)
    }

    /// What is in a payload of the client; `None` if it is not encrypted with the session's key.
    pub fn open(&self, payload: &[u8]) -> Option<Vec<u8>> {
        open(&self.client_to_agent, payload)
    }

    /// What a client does: encrypts with its own key. For clients in tests.
    pub fn client_seal(&self, nonce: [u8; NONCE_BYTES], plaintext: &[u8]) -> Option<Vec<u8>> {
        seal(&self.client_to_agent, nonce, plaintext)
    }

    /// What a client does: decrypts what the agent sent. For clients in tests.
    pub fn client_open(&self, payload: &[u8]) -> Option<Vec<u8>> {
        open(&self.agent_to_client, payload)
    }
}

fn seal(key: &LessSafeKey, nonce: [u8; NONCE_BYTES], plaintext: &[u8]) -> Option<Vec<u8>> {
    let mut sealed = plaintext.to_vec();
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut sealed).ok()?;
    sealed.splice(0..0, nonce);
    Some(sealed)
}

fn open(key: &LessSafeKey, payload: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = payload.split_at_checked(NONCE_BYTES)?;
    let mut buffer = sealed.to_vec();
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let length = key.open_in_place(nonce, Aad::empty(), &mut buffer).ok()?.len();
    buffer.truncate(length);
    Some(buffer)
}

/// The agent's nonces: a counter of 96 bits, little-endian, from a random start.
#[derive(Debug)]
pub(super) struct Nonces(u128);

impl Nonces {
    pub(super) fn new(start: u128) -> Self {
        Self(start)
    }

    pub(super) fn next(&mut self) -> [u8; NONCE_BYTES] {
        self.0 = self.0.wrapping_add(1);
        self.0.to_le_bytes().first_chunk().copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector_cipher() -> Cipher {
        Cipher::new(&(0..64).collect::<Vec<u8>>()).unwrap()
    }

    #[test]
    fn captured_payloads_are_opened() {
        let cipher = vector_cipher();
        let client = hex::decode("a0a1a2a3a4a5a6a7a8a9aaab124f8419a8da4eaca31304b7e93cbdf52d44dddad86f").unwrap();
        assert_eq!(cipher.open(&client).unwrap(), b"ls -l\r");
        let agent = hex::decode("111112131415161718191a1be187f4189373cfb6dc7c71647088a9e7df37a914b10af585").unwrap();
        assert_eq!(cipher.client_open(&agent).unwrap(), b"sh-5.1$ ");
        assert_eq!(cipher.seal(*agent.first_chunk().unwrap(), b"sh-5.1$ ").unwrap(), agent);
        assert_eq!(cipher.open(&agent), None);
        assert_eq!(cipher.open(b"short"), None);
        assert!(Cipher::new(&[0; 63]).is_none());
    }

    #[test]
    fn nonces_count_from_the_first_byte_on() {
        let mut nonces = Nonces::new(0xfe);
        assert_eq!(hex::encode(nonces.next()), "ff0000000000000000000000");
        assert_eq!(hex::encode(nonces.next()), "000100000000000000000000");
        assert_eq!(Nonces::new((1 << 96) - 1).next(), [0; 12]);
    }
}
