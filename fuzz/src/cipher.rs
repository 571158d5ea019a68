//! Both sides' encryption, by the text of the protocol and not by the channel's own code, to judge it by.
//!
//! A payload is a nonce of 12 bytes, the ciphertext and a tag of 16 bytes, by AES-256-GCM without additional data. The
//! first half of the data key is for what the agent sends, the second for what the client sends.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use sha2::{Digest, Sha256};

/// What encryption adds to a payload, in bytes.
pub const OVERHEAD: usize = 12 + 16;

/// The two keys of a session.
#[derive(Debug)]
pub struct Cipher {
    data_key: [u8; 64],
    agent: LessSafeKey,
    client: LessSafeKey,
    /// The agent's next nonce.
    nonce: u64,
}

impl Cipher {
    /// The keys that `choice` stands for; 0 is the data key of the captured sessions.
    pub fn new(choice: u8) -> Self {
        let mut data_key: [u8; 64] = std::array::from_fn(|at| at as u8);
        if choice != 0 {
            for (half, bytes) in data_key.chunks_exact_mut(32).enumerate() {
                bytes.copy_from_slice(&Sha256::digest([choice, half as u8]));
            }
        }
        let key = |bytes| LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).expect("32 bytes"));
        Self { agent: key(&data_key[..32]), client: key(&data_key[32..]), data_key, nonce: 0 }
    }

    /// The data key.
    pub fn data_key(&self) -> &[u8; 64] {
        &self.data_key
    }

    /// What the agent makes of this plaintext, each time with another nonce.
    pub fn of_the_agent(&mut self, plaintext: &[u8]) -> Vec<u8> {
        let nonce = self.next_nonce();
        seal(&self.agent, nonce, plaintext)
    }

    /// This plaintext encrypted with the client's key, which is the wrong one to come from an agent.
    pub fn of_the_client(&mut self, plaintext: &[u8]) -> Vec<u8> {
        let nonce = self.next_nonce();
        seal(&self.client, nonce, plaintext)
    }

    /// What the agent has encrypted.
    pub fn opened_by_the_client(&self, payload: &[u8]) -> Option<Vec<u8>> {
        open(&self.agent, payload)
    }

    /// What the client has encrypted.
    pub fn opened_by_the_agent(&self, payload: &[u8]) -> Option<Vec<u8>> {
        open(&self.client, payload)
    }

    fn next_nonce(&mut self) -> [u8; 12] {
        self.nonce += 1;
        let mut nonce = [0xa5; 12];
        nonce[..8].copy_from_slice(&self.nonce.to_le_bytes());
        nonce
    }
}

fn seal(key: &LessSafeKey, nonce: [u8; 12], plaintext: &[u8]) -> Vec<u8> {
    let mut sealed = plaintext.to_vec();
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut sealed).expect("it is short");
    [&nonce[..], &sealed].concat()
}

fn open(key: &LessSafeKey, payload: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = payload.split_first_chunk::<12>()?;
    let mut sealed = sealed.to_vec();
    let opened = key.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::empty(), &mut sealed).ok()?;
    Some(opened.to_vec())
}
