//! Encryption of a session by a data key of AWS KMS: AES-256-GCM, one key for each direction.
//!
//! An encrypted payload is a nonce of 12 bytes, the ciphertext, and a tag of 16 bytes, with no additional data. The first
//! half of the data key is the agent's, the second the client's. The receiver takes the nonce from the payload and does
//! not look at its order. All of this is known from the agent's code and held against sessions that were captured with it.

use bytes::{BufMut, Bytes, BytesMut};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

/// The length of a data key, in bytes.
pub const DATA_KEY_LENGTH: usize = 64;
/// The length of one direction's key, in bytes.
const KEY_LENGTH: usize = DATA_KEY_LENGTH / 2;
/// The bytes that encryption adds to a payload: nonce and tag.
const OVERHEAD: usize = NONCE_LEN + 16;

/// Both directions' keys. They are overwritten when it is dropped; copies that the compiler makes on the stack while they are
/// computed are not, since ring hands keys over by value.
pub(super) struct Cipher {
    /// On the heap, so that no later move leaves a copy behind.
    keys: Box<Keys>,
    /// The next nonce. What matters is that none is used twice with one key: so it counts, from a random number on.
    nonce: u128,
}

struct Keys {
    agent: LessSafeKey,
    client: LessSafeKey,
}

impl Keys {
    fn new(agent: &[u8], client: &[u8]) -> Option<Self> {
        let key = |bytes| UnboundKey::new(&AES_256_GCM, bytes).ok().map(LessSafeKey::new);
        Some(Self { agent: key(agent)?, client: key(client)? })
    }
}

impl Cipher {
    /// The cipher of a session with this data key, whose nonces count from `nonce` on.
    pub(super) fn new(data_key: &[u8; DATA_KEY_LENGTH], nonce: u128) -> Option<Self> {
        let (agent, client) = data_key.split_at(KEY_LENGTH);
        Some(Self { keys: Box::new(Keys::new(agent, client)?), nonce })
    }

    /// Decrypts what the agent has encrypted. `None` if it is too short, or was made with another key.
    pub(super) fn open(&self, payload: &[u8]) -> Option<Bytes> {
        let (nonce, sealed) = payload.split_first_chunk::<NONCE_LEN>()?;
        let mut sealed = BytesMut::from(sealed);
        let opened = self.keys.agent.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::empty(), &mut sealed);
        let length = opened.ok()?.len();
        sealed.truncate(length);
        Some(sealed.freeze())
    }

    /// Encrypts for the agent. `None` if it is longer than one key may encrypt at once, 64 GiB.
    pub(super) fn seal(&mut self, plaintext: &[u8]) -> Option<Bytes> {
        let nonce = self.next_nonce();
        let mut sealed = BytesMut::with_capacity(plaintext.len() + OVERHEAD);
        sealed.put_slice(&nonce);
        sealed.put_slice(plaintext);
        let in_place = sealed.get_mut(NONCE_LEN..)?;
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.keys.client.seal_in_place_separate_tag(nonce, Aad::empty(), in_place).ok()?;
        sealed.put_slice(tag.as_ref());
        Some(sealed.freeze())
    }

    fn next_nonce(&mut self) -> [u8; NONCE_LEN] {
        self.nonce = self.nonce.wrapping_add(1);
        let mut nonce = [0; NONCE_LEN];
        nonce.copy_from_slice(self.nonce.to_le_bytes().first_chunk::<NONCE_LEN>().unwrap_or(&[0; NONCE_LEN]));
        nonce
    }
}

impl Drop for Cipher {
    fn drop(&mut self) {
        let zeros = [0; KEY_LENGTH];
        if let Some(keys) = Keys::new(&zeros, &zeros) {
            *self.keys = keys;
            // Nobody reads them any more, and yet they have to be written.
            std::hint::black_box(&self.keys);
        }
    }
}

impl std::fmt::Debug for Cipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cipher")
    }
}
