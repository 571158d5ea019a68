//! The opening of a link: who is there, which bond the link is for, and the proof of it. It comes before any frame.
//!
//! The joiner greets as soon as a connection is there, and the client answers. The client's frames may follow its
//! answer at once. The joiner says in a frame whether it accepts the link; its tag tells the client that the joiner
//! knows the same key. Nothing here reads, writes, or makes random numbers: the caller does.
//!
//! # Greeting
//! From the joiner, [`GREETING`] bytes. All integers of this module are big-endian.
//!
//! | at | bytes | |
//! |---|---|---|
//! | 0 | 7 | `ssmjoin` |
//! | 7 | 1 | version, 1 |
//! | 8 | 1 | flags: 1 a secret is needed, 2 the client may name a destination; the others are 0 |
//! | 9 | 1 | port: 0 the first port, 1 the join port |
//! | 10 | 2 | number of the join port |
//! | 12 | 32 | the joiner's nonce, a new one for each connection |
//!
//! # Answer
//! From the client, at most [`ANSWER_MAX`] bytes.
//!
//! | at | bytes | |
//! |---|---|---|
//! | 0 | 7 | `ssmjoin` |
//! | 7 | 1 | version, 1 |
//! | 8 | 16 | id of the bond |
//! | 24 | 4 | number of the link, 0 on the first port |
//! | 28 | 32 | the client's nonce, a new one for each connection |
//! | 60 | 32 | seed (first port only) |
//! | 92 | 1 | length of the destination (first port only) |
//! | 93 | 0 to 255 | destination, `host:port`; empty for the joiner's own (first port only) |
//! | | 32 | tag |
//!
//! # Tags and keys
//! All are HMAC-SHA256. `greeting` and `answer` are the bytes above, and `claim` is the answer without its tag:
//!
//! | | key | text |
//! |---|---|---|
//! | tag of an answer on the first port | the secret | `ssm-proxy first link`, greeting, claim |
//! | key of the bond, which is never sent | the secret | `ssm-proxy bond key`, greeting, claim |
//! | tag of an answer on the join port | the key of the bond | `ssm-proxy further link`, greeting, claim |
//! | tag of acceptance, on either port | the key of the bond | `ssm-proxy accepted`, greeting, answer |
//!
//! Both nonces are in each text, so a tag is good for its own link alone. Without a secret the key is empty: then the
//! tags of a first link prove nothing but that no byte was changed by accident, and whoever has seen the first link can
//! make the key of its bond. What protects such a bond is that nobody but the two, and the node's administrator, sees
//! the connection, and what is carried protects itself.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

pub use crate::secret::Secret;

/// Bytes of a greeting.
pub const GREETING: usize = PREFIX + 1 + 1 + 2 + NONCE;
/// Bytes of an answer at most.
pub const ANSWER_MAX: usize = FIRST_FIXED + DESTINATION_MAX + TAG;

const MAGIC: [u8; 7] = *b"ssmjoin";
const VERSION: u8 = 1;
const PREFIX: usize = MAGIC.len() + 1;
const NONCE: usize = 32;
const TAG: usize = 32;
const DESTINATION_MAX: usize = u8::MAX as usize;
/// What the answers on both ports begin with.
const COMMON: usize = PREFIX + 16 + 4 + NONCE;
/// An answer on the first port, up to the length of the destination and with it.
const FIRST_FIXED: usize = COMMON + 32 + 1;

const NEEDS_SECRET: u8 = 1;
const ANY_DESTINATION: u8 = 2;

// None is the beginning of another, so no text is that of two labels.
const FIRST_LABEL: &[u8] = b"ssm-proxy first link";
const KEY_LABEL: &[u8] = b"ssm-proxy bond key";
const FURTHER_LABEL: &[u8] = b"ssm-proxy further link";
const ACCEPTED_LABEL: &[u8] = b"ssm-proxy accepted";

/// Why a link cannot be opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OpeningError {
    /// What greets is something else than a joiner.
    #[error("no joiner listens there")]
    NotAJoiner,
    /// What answers is something else than a client of a joiner.
    #[error("the answer is not that of a client of a joiner")]
    NotAClient,
    /// The other end has a version of the protocol that is not known here.
    #[error("the other end speaks version {0} of the joiner's protocol, and this one version {VERSION}")]
    Version(u8),
    /// The greeting or the answer breaks the protocol.
    #[error("the opening of the link breaks the joiner's protocol")]
    Malformed,
    /// The destination has more bytes than fit.
    #[error("the destination is longer than {DESTINATION_MAX} bytes")]
    DestinationTooLong,
    /// The destination that the client wants to name is not of the form `host:port`.
    #[error("the destination is not of the form host:port")]
    DestinationForm,
    /// A destination is named, and the joiner has only its own.
    #[error("the joiner connects to no destination but its own")]
    DestinationNotAllowed,
    /// The joiner needs a secret, and there is none here.
    #[error("the joiner needs a secret, and there is none")]
    SecretNeeded,
    /// There is a secret here, and the joiner does not need one: so it is not the joiner that the secret is for.
    #[error("there is a secret for the joiner, and the one that answers needs none")]
    SecretNotNeeded,
    /// The link is opened as a first one on the join port, or the other way about.
    #[error("the link is opened on the wrong port of the joiner")]
    WrongPort,
    /// Bytes of the answer are still missing.
    #[error("the answer is not complete")]
    Incomplete,
    /// The tag is wrong: the other end does not know the secret or the key, or the bytes are not those it sent.
    #[error("the other end does not know the secret of the joiner or the key of the bond")]
    Proof,
}

impl OpeningError {
    /// What the joiner tells the client of this error; nothing if it is talking to something else than a client.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Version(_) => Some(Refusal::Version),
            Self::Proof => Some(Refusal::Proof),
            Self::DestinationNotAllowed => Some(Refusal::Destination),
            _ => None,
        }
    }
}

/// Why a joiner refuses a link, as its frame says it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// It does not know the client's version of the protocol.
    #[error("the joiner does not know this version of the protocol")]
    Version,
    /// The tag of the answer is wrong.
    #[error("the joiner has another secret or another key")]
    Proof,
    /// It has no bond of this id, or no more.
    #[error("the joiner has no such bond")]
    NoSuchBond,
    /// It has as many bonds or links as it takes.
    #[error("the joiner has as many connections as it takes")]
    Limit,
    /// It may not connect to the destination, or cannot.
    #[error("the joiner does not connect to this destination")]
    Destination,
}

impl Refusal {
    /// The number in the frame.
    #[must_use]
    pub fn to_wire(self) -> u8 {
        match self {
            Self::Version => 1,
            Self::Proof => 2,
            Self::NoSuchBond => 3,
            Self::Limit => 4,
            Self::Destination => 5,
        }
    }

    /// The reason with this number; nothing if it is not known here.
    #[must_use]
    pub fn from_wire(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Version),
            2 => Some(Self::Proof),
            3 => Some(Self::NoSuchBond),
            4 => Some(Self::Limit),
            5 => Some(Self::Destination),
            _ => None,
        }
    }
}

/// The key of a bond, which opens further links. Overwritten when it is dropped, and never shown.
#[derive(Clone)]
pub struct BondKey(Zeroizing<[u8; 32]>);

impl fmt::Debug for BondKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BondKey(..)")
    }
}

/// Which port of a joiner it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Port {
    /// A connection begins a bond.
    First,
    /// A connection adds a link to a bond.
    Join,
}

/// What a joiner says as soon as there is a connection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Greeting {
    /// The tags are made with a secret.
    pub needs_secret: bool,
    /// The client may name a destination.
    pub any_destination: bool,
    /// The port that the connection has come to.
    pub port: Port,
    /// The number of the joiner's join port.
    pub join_port: u16,
    /// Random, and new for each connection.
    pub nonce: [u8; NONCE],
}

impl Greeting {
    /// The bytes to send.
    #[must_use]
    pub fn encode(&self) -> [u8; GREETING] {
        let flags = u8::from(self.needs_secret) * NEEDS_SECRET + u8::from(self.any_destination) * ANY_DESTINATION;
        let port = match self.port {
            Port::First => 0,
            Port::Join => 1,
        };
        let mut rest =
            MAGIC.into_iter().chain([VERSION, flags, port]).chain(self.join_port.to_be_bytes()).chain(self.nonce);
        std::array::from_fn(|_| rest.next().unwrap_or_default())
    }

    /// The greeting at the beginning of `bytes`; what follows it are frames. Nothing if bytes are missing.
    ///
    /// # Errors
    /// As soon as a byte shows that this is no joiner, or one of another version; or if the greeting is malformed.
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, OpeningError> {
        check_prefix(bytes, OpeningError::NotAJoiner)?;
        let Some((greeting, _)) = bytes.split_first_chunk::<GREETING>() else { return Ok(None) };
        Self::parse(greeting).ok_or(OpeningError::Malformed).map(Some)
    }

    fn parse(bytes: &[u8; GREETING]) -> Option<Self> {
        let (_, rest) = bytes.split_first_chunk::<PREFIX>()?;
        let ([flags, port, high, low], nonce) = rest.split_first_chunk()?;
        // The client's texts are made of this struct, so a greeting has only one form.
        (flags & !(NEEDS_SECRET | ANY_DESTINATION) == 0).then_some(())?;
        Some(Self {
            needs_secret: flags & NEEDS_SECRET != 0,
            any_destination: flags & ANY_DESTINATION != 0,
            port: match port {
                0 => Port::First,
                1 => Port::Join,
                _ => return None,
            },
            join_port: u16::from_be_bytes([*high, *low]),
            nonce: nonce.try_into().ok()?,
        })
    }

    /// The key of what is made with the secret.
    fn key<'a>(&self, secret: Option<&'a Secret>) -> Result<&'a [u8], OpeningError> {
        match (self.needs_secret, secret) {
            (true, Some(secret)) => Ok(secret.bytes()),
            (false, None) => Ok(&[]),
            (true, None) => Err(OpeningError::SecretNeeded),
            (false, Some(_)) => Err(OpeningError::SecretNotNeeded),
        }
    }
}

/// What a client says to begin a bond. The seed is overwritten when it is dropped, and never shown.
pub struct FirstLink {
    /// The id of the bond, random.
    pub bond_id: [u8; 16],
    /// Random.
    pub client_nonce: [u8; NONCE],
    /// Random; the key of the bond is made of it too.
    pub seed: [u8; 32],
    /// `host:port`; empty for the joiner's own.
    pub destination: String,
}

impl fmt::Debug for FirstLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("FirstLink");
        shown.field("bond_id", &self.bond_id).field("destination", &self.destination).finish_non_exhaustive()
    }
}

impl Drop for FirstLink {
    fn drop(&mut self) {
        self.seed.zeroize();
    }
}

/// The answer to a greeting on the first port, and the key of the bond that it begins. Keep the answer for
/// [`accepts`], and overwrite it then: if there is no secret, the key can be made of it.
///
/// # Errors
/// If the greeting is that of a join port, if only one side has a secret, or if the destination is malformed or not
/// allowed.
pub fn answer_first(
    greeting: &Greeting,
    secret: Option<&Secret>,
    first: &FirstLink,
) -> Result<(Vec<u8>, BondKey), OpeningError> {
    if greeting.port != Port::First {
        return Err(OpeningError::WrongPort);
    }
    let key = greeting.key(secret)?;
    let destination = first.destination.as_bytes();
    let length = u8::try_from(destination.len()).map_err(|_| OpeningError::DestinationTooLong)?;
    if !destination.is_empty() {
        destination_text(destination).ok_or(OpeningError::DestinationForm)?;
        greeting.any_destination.then_some(()).ok_or(OpeningError::DestinationNotAllowed)?;
    }
    let mut answer = begin_answer(&first.bond_id, 0, &first.client_nonce);
    answer.extend_from_slice(&first.seed);
    answer.push(length);
    answer.extend_from_slice(destination);
    let greeting = greeting.encode();
    let bond_key = BondKey(Zeroizing::new(tag(mac(key, KEY_LABEL, &greeting, &answer))));
    answer.extend_from_slice(&tag(mac(key, FIRST_LABEL, &greeting, &answer)));
    Ok((answer, bond_key))
}

/// The answer to a greeting on the join port. The caller has looked that it is one: on a first port the joiner would
/// wait for the rest of an answer, and then refuse it.
#[must_use]
pub fn answer_join(
    greeting: &Greeting,
    key: &BondKey,
    bond_id: &[u8; 16],
    link: u32,
    client_nonce: [u8; NONCE],
) -> Vec<u8> {
    let mut answer = begin_answer(bond_id, link, &client_nonce);
    answer.extend_from_slice(&tag(mac(key.0.as_slice(), FURTHER_LABEL, &greeting.encode(), &answer)));
    answer
}

/// Whether the tag of the joiner's acceptance is that of this link: made with the bond's key, for this greeting and
/// this answer. It takes the same time whatever the tag is.
#[must_use]
pub fn accepts(key: &BondKey, greeting: &Greeting, answer: &[u8], tag: &[u8; TAG]) -> bool {
    mac(key.0.as_slice(), ACCEPTED_LABEL, &greeting.encode(), answer).verify_slice(tag).is_ok()
}

/// Reads the answer to one greeting, in pieces of any size, and never more than [`ANSWER_MAX`] bytes.
///
/// What it tells of the answer is what the client claims, until [`prove_first`](Self::prove_first) or
/// [`prove_join`](Self::prove_join) has succeeded.
pub struct AnswerReader {
    greeting: Greeting,
    /// Never more than its first capacity, so no copy of the seed is left behind.
    bytes: Zeroizing<Vec<u8>>,
    failed: Option<OpeningError>,
}

/// The proof has succeeded.
pub struct Proven {
    /// The key of the bond.
    pub key: BondKey,
    /// What the frame that accepts the link has to carry.
    pub accept_tag: [u8; TAG],
}

impl fmt::Debug for Proven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proven(..)")
    }
}

impl fmt::Debug for AnswerReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("AnswerReader");
        shown.field("greeting", &self.greeting).field("length", &self.bytes.len()).field("failed", &self.failed);
        shown.finish_non_exhaustive()
    }
}

/// The fields of a whole answer.
struct Answer<'a> {
    bond_id: [u8; 16],
    link: u32,
    /// Empty on the join port, and for the joiner's own.
    destination: &'a str,
    /// All but the tag.
    claim: &'a [u8],
    tag: &'a [u8; TAG],
}

impl AnswerReader {
    /// Reads what is answered to this greeting.
    #[must_use]
    pub fn new(greeting: Greeting) -> Self {
        Self { greeting, bytes: Zeroizing::new(Vec::with_capacity(ANSWER_MAX)), failed: None }
    }

    /// Takes what has come on the link, and says how many of the bytes belong to the answer: all of them until it is
    /// whole. What follows are frames.
    ///
    /// # Errors
    /// As soon as a byte shows that this is no client, or one of another version; or if the answer is malformed. Every
    /// further call gives the same error.
    pub fn take(&mut self, bytes: &[u8]) -> Result<usize, OpeningError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let taken = self.take_in(bytes);
        self.failed = taken.err();
        taken
    }

    fn take_in(&mut self, bytes: &[u8]) -> Result<usize, OpeningError> {
        let mut rest = bytes;
        // Twice at most: up to the length of the destination, and after it.
        while !rest.is_empty() && !self.is_whole() {
            let (piece, after) = rest.split_at(rest.len().min(self.length() - self.bytes.len()));
            self.bytes.extend_from_slice(piece);
            rest = after;
            check_prefix(&self.bytes, OpeningError::NotAClient)?;
            if self.is_whole() && self.parse().is_none() {
                return Err(OpeningError::Malformed);
            }
        }
        Ok(bytes.len() - rest.len())
    }

    /// How long the answer is, as far as it is known: longer than what is there until it is whole.
    fn length(&self) -> usize {
        match (self.greeting.port, self.bytes.get(FIRST_FIXED - 1)) {
            (Port::Join, _) => COMMON + TAG,
            (Port::First, None) => FIRST_FIXED,
            (Port::First, Some(length)) => FIRST_FIXED + usize::from(*length) + TAG,
        }
    }

    /// Whether all of the answer is there, and is one.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.failed.is_none() && self.bytes.len() == self.length()
    }

    /// The id of the bond; nothing until the answer is whole.
    #[must_use]
    pub fn bond_id(&self) -> Option<[u8; 16]> {
        self.parse().map(|answer| answer.bond_id)
    }

    /// The number of the link, which is 0 on the first port; nothing until the answer is whole. Whether the bond has
    /// such a link already is for the caller to see.
    #[must_use]
    pub fn link(&self) -> Option<u32> {
        self.parse().map(|answer| answer.link)
    }

    /// The destination that the client names; nothing until the answer is whole, if it wants the joiner's own, and on
    /// the join port. It is `host:port` of visible ASCII, with a port that is not 0.
    #[must_use]
    pub fn destination(&self) -> Option<&str> {
        self.parse().map(|answer| answer.destination).filter(|destination| !destination.is_empty())
    }

    /// Proves the beginning of a bond. `secret` is the joiner's, if its greeting says that it needs one.
    ///
    /// # Errors
    /// If the tag is wrong, if a destination is named though the greeting does not allow it, or if the call does not
    /// fit the greeting or comes before the answer is whole.
    pub fn prove_first(&self, secret: Option<&Secret>) -> Result<Proven, OpeningError> {
        let key = self.greeting.key(secret)?;
        let answer = self.prove(Port::First, key, FIRST_LABEL)?;
        if !answer.destination.is_empty() && !self.greeting.any_destination {
            return Err(OpeningError::DestinationNotAllowed);
        }
        Ok(self.proven(BondKey(Zeroizing::new(tag(mac(key, KEY_LABEL, &self.greeting.encode(), answer.claim))))))
    }

    /// Proves a further link. `key` is that of the bond with the id of the answer.
    ///
    /// # Errors
    /// If the tag is wrong, or if the call does not fit the greeting or comes before the answer is whole.
    pub fn prove_join(&self, key: &BondKey) -> Result<Proven, OpeningError> {
        self.prove(Port::Join, key.0.as_slice(), FURTHER_LABEL)?;
        Ok(self.proven(key.clone()))
    }

    fn prove(&self, port: Port, key: &[u8], label: &[u8]) -> Result<Answer<'_>, OpeningError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if self.greeting.port != port {
            return Err(OpeningError::WrongPort);
        }
        let answer = self.parse().ok_or(OpeningError::Incomplete)?;
        let mac = mac(key, label, &self.greeting.encode(), answer.claim);
        mac.verify_slice(answer.tag).map_err(|_| OpeningError::Proof)?;
        Ok(answer)
    }

    fn proven(&self, key: BondKey) -> Proven {
        let accept_tag = tag(mac(key.0.as_slice(), ACCEPTED_LABEL, &self.greeting.encode(), &self.bytes));
        Proven { key, accept_tag }
    }

    /// The fields; nothing if the answer is not whole, or malformed.
    fn parse(&self) -> Option<Answer<'_>> {
        self.is_whole().then_some(())?;
        let (claim, tag) = self.bytes.split_last_chunk()?;
        let (_, rest) = claim.split_first_chunk::<PREFIX>()?;
        let (bond_id, rest) = rest.split_first_chunk()?;
        let (link, _) = rest.split_first_chunk()?;
        let (bond_id, link) = (*bond_id, u32::from_be_bytes(*link));
        let destination = match self.greeting.port {
            Port::Join => "",
            Port::First => {
                (link == 0).then_some(())?;
                match claim.get(FIRST_FIXED..)? {
                    [] => "",
                    text => destination_text(text)?,
                }
            }
        };
        Some(Answer { bond_id, link, destination, claim, tag })
    }
}

/// Looks at the magic and the version, as far as they are there.
fn check_prefix(bytes: &[u8], stranger: OpeningError) -> Result<(), OpeningError> {
    if bytes.iter().zip(&MAGIC).any(|(byte, expected)| byte != expected) {
        return Err(stranger);
    }
    match bytes.get(MAGIC.len()) {
        Some(&version) if version != VERSION => Err(OpeningError::Version(version)),
        _ => Ok(()),
    }
}

/// `host:port`, if it is that.
fn destination_text(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (host, port) = text.rsplit_once(':')?;
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port != 0);
    (is_port && !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic())).then_some(text)
}

fn begin_answer(bond_id: &[u8; 16], link: u32, client_nonce: &[u8; NONCE]) -> Vec<u8> {
    // As long as it may get, so that no copy of the seed is left behind.
    let mut answer = Vec::with_capacity(ANSWER_MAX);
    answer.extend_from_slice(&MAGIC);
    answer.push(VERSION);
    answer.extend_from_slice(bond_id);
    answer.extend_from_slice(&link.to_be_bytes());
    answer.extend_from_slice(client_nonce);
    answer
}

/// Of a key of 32 bytes or none.
fn mac(key: &[u8], label: &[u8], greeting: &[u8; GREETING], rest: &[u8]) -> Hmac<Sha256> {
    // HMAC fills a short key up with zeros itself; a whole block is what it takes without a chance of an error.
    let mut block = Zeroizing::new([0; 64]);
    for (place, byte) in block.iter_mut().zip(key) {
        *place = *byte;
    }
    <Hmac<Sha256> as KeyInit>::new((&*block).into()).chain_update(label).chain_update(greeting).chain_update(rest)
}

fn tag(mac: Hmac<Sha256>) -> [u8; TAG] {
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests;
