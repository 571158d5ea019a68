//! What a link says before it carries bytes: the joiner's greeting, the answer to it, and the word that it is accepted.
//!
//! It is the one place that knows how [`ssm_bond::opening`] opens links.

use std::time::Instant;

use bytes::{Buf, BytesMut};
use ssm_bond::opening::{self, BondKey, FirstLink, GREETING, Greeting, Port, Refusal, Secret};
use ssm_bond::{Bond, Config, Event, LinkId, Verdict, verdict};
use ssm_session::Session;
use zeroize::Zeroizing;

use super::known::Joiner;

/// What a joiner has said in its greeting.
#[derive(Debug)]
pub(super) struct Said(Greeting);

impl Said {
    /// Whether this joiner may have said it, at its first port.
    pub(super) fn is_of(&self, joiner: &Joiner) -> bool {
        let Greeting { needs_secret, port, join_port, .. } = self.0;
        port == Port::First && join_port == joiner.join_port && needs_secret == joiner.secret.is_some()
    }
}

/// What opens further links of a bond.
pub(super) struct Key {
    key: BondKey,
    bond: [u8; 16],
    join_port: u16,
    last: u32,
}

impl Key {
    /// The bond's first link.
    pub(super) fn first_link(&self) -> LinkId {
        LinkId(0)
    }

    /// The link after the last.
    pub(super) fn next_link(&mut self) -> LinkId {
        self.last += 1;
        LinkId(self.last)
    }

    /// The port at which links are added.
    pub(super) fn join_port(&self) -> u16 {
        self.join_port
    }

    /// The joiner, to be remembered, which was found at this port and asks for no secret.
    pub(super) fn joiner(&self, first_port: u16) -> Joiner {
        Joiner { first_port, join_port: self.join_port, secret: None, version: None }
    }

    /// Sends the answer that adds a link, to the greeting at the join port. Gives what the joiner has to prove.
    ///
    /// # Errors
    /// If the greeting is not one of a join port, or the session has no room for the answer.
    pub(super) fn further(&self, session: &mut Session, said: Said, id: LinkId) -> Result<Unproven, String> {
        if said.0.port != Port::Join {
            return Err("its join port does not greet as one".to_owned());
        }
        let answer = opening::answer_join(&said.0, &self.key, &self.bond, id.0, random()?);
        answer_by(session, said, answer)
    }
}

/// A link that is answered, and whose joiner has not shown yet that it knows the bond's key.
pub(super) struct Unproven {
    greeting: Greeting,
    /// Without a secret the bond's key can be made of it.
    answer: Zeroizing<Vec<u8>>,
}

/// What a joiner may send ahead of its verdict: some 4 KiB of its own destination, where another one is named.
const BEFORE_VERDICT: usize = 64 << 10;

impl Unproven {
    /// Takes the joiner's verdict out of what it has sent, with all before it. Whether it has come.
    ///
    /// # Errors
    /// If the joiner refuses the link, or does not know the key, or sends something else.
    pub(super) fn verdict(&self, key: &Key, bytes: &mut BytesMut) -> Result<bool, String> {
        match verdict(bytes).map_err(|error| error.to_string())? {
            Some((Verdict::Accepted(tag), length)) => {
                bytes.advance(length);
                self.prove(key, &tag).map(|()| true)
            }
            Some((Verdict::Refused(number), _)) => Err(refusal(number)),
            None if bytes.len() > BEFORE_VERDICT => Err("it does not say whether it accepts the link".to_owned()),
            None => Ok(false),
        }
    }

    /// Looks at the tag of the joiner's acceptance.
    ///
    /// # Errors
    /// If it is not that of this link.
    pub(super) fn prove(&self, key: &Key, tag: &[u8; 32]) -> Result<(), String> {
        let is_right = opening::accepts(&key.key, &self.greeting, &self.answer, tag);
        is_right.then_some(()).ok_or_else(|| "it does not know the key of the bond".to_owned())
    }
}

/// The reason of a refusal, in words.
pub(super) fn refusal(number: u8) -> String {
    Refusal::from_wire(number).map_or_else(|| format!("for a reason not known here, {number}"), |why| why.to_string())
}

/// The greeting at the beginning of these bytes, which it is taken out of once it is whole.
///
/// # Errors
/// If it is none.
pub(super) fn greeting(bytes: &mut BytesMut) -> Option<Result<Said, String>> {
    let said = Greeting::decode(bytes).transpose()?;
    if said.is_ok() {
        bytes.advance(GREETING);
    }
    Some(said.map(Said).map_err(|error| error.to_string()))
}

/// A bond whose first link is answered.
pub(super) struct Opened {
    pub(super) bond: Bond,
    pub(super) key: Key,
    /// What the joiner has to prove, until it has.
    pub(super) unproven: Option<Unproven>,
    /// Its first link carries bytes. Those for a destination that is named, which may not protect themselves, wait until the
    /// joiner has proven that it is the one.
    is_link: bool,
}

impl Opened {
    /// Begins a bond: answers the greeting on its first link. The joiner connects to `destination`, or to its own if that is
    /// empty.
    ///
    /// # Errors
    /// If the session has no room for the answer, or the joiner does not fit what is known of it.
    pub(super) fn begin(
        session: &mut Session,
        said: Said,
        secret: Option<&Secret>,
        destination: &str,
    ) -> Result<Self, String> {
        let bond_id = random()?;
        let first =
            FirstLink { bond_id, client_nonce: random()?, seed: random()?, destination: destination.to_owned() };
        let (answer, key) = opening::answer_first(&said.0, secret, &first).map_err(|error| error.to_string())?;
        let key = Key { key, bond: bond_id, join_port: said.0.join_port, last: 0 };
        let unproven = Some(answer_by(session, said, answer)?);
        let now = Instant::now();
        let mut bond = Bond::new(Config::client(), now);
        let is_link = destination.is_empty();
        if is_link {
            bond.add_link(now, key.first_link());
        }
        Ok(Self { bond, key, unproven, is_link })
    }

    /// Takes in what the first link has brought. Whether bytes have come, or the joiner has proven that it knows the key.
    ///
    /// # Errors
    /// If the joiner refuses the link, does not know the key, ends the bond, or sends what no joiner sends.
    pub(super) fn take(&mut self, output: &mut BytesMut) -> Result<bool, String> {
        if let Some(unproven) = self.unproven.as_ref().filter(|_| !self.is_link) {
            if !unproven.verdict(&self.key, output)? {
                return Ok(false);
            }
            self.bond.add_link(Instant::now(), self.key.first_link());
            (self.unproven, self.is_link) = (None, true);
        }
        let taken = self.bond.handle_bytes(Instant::now(), self.key.first_link(), &output.split());
        taken.map_err(|error| error.to_string())?;
        while let Some(event) = self.bond.poll_event() {
            match event {
                Event::Accepted(_, tag) => {
                    if let Some(unproven) = self.unproven.take() {
                        unproven.prove(&self.key, &tag)?;
                    }
                }
                Event::Refused(_, number) => return Err(refusal(number)),
                Event::Reset | Event::Finished => return Err("it has ended before it had brought anything".to_owned()),
                _ => {}
            }
        }
        Ok(self.unproven.is_none() || !self.bond.read().is_empty())
    }
}

/// Sends the answer to what was said.
fn answer_by(session: &mut Session, said: Said, answer: Vec<u8>) -> Result<Unproven, String> {
    let (now, answer) = (Instant::now(), Zeroizing::new(answer));
    session.send_capacity(now);
    if session.send(now, &answer) < answer.len() {
        return Err("there is no room for the answer to its greeting".to_owned());
    }
    Ok(Unproven { greeting: said.0, answer })
}

/// So many random bytes of the system's.
fn random<const COUNT: usize>() -> Result<[u8; COUNT], String> {
    let mut bytes = [0; COUNT];
    getrandom::fill(&mut bytes).map_err(|error| format!("the system gives no random numbers: {error}"))?;
    Ok(bytes)
}
