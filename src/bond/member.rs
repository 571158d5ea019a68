//! A member of a bond: a session that is a link of it, or will be.

use std::time::Instant;

use bytes::BytesMut;
use ssm_bond::{Bond, LinkId};
use ssm_session::{Closed, Event, Session};

use super::limits;
use super::link::{Key, Unproven, greeting};

/// How far a member has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    /// Its session is not up yet, or the joiner has not greeted it, or not accepted it.
    Joining,
    /// It carries bytes. If it is the first, the joiner may be about to prove itself.
    Joined,
    /// It is given up as soon as what it carries has arrived.
    Retiring,
}

/// A session of a bond.
pub(super) struct Member {
    pub(super) id: LinkId,
    pub(super) session: Session,
    pub(super) stage: Stage,
    /// Since when it is in this stage.
    since: Instant,
    /// What the joiner has to prove, until it has.
    unproven: Option<Unproven>,
    /// What has come before the joiner has accepted it.
    early: BytesMut,
    /// Its agent has taken the terminate flag, and ends it.
    is_ended: bool,
}

/// The end of a member.
pub(super) struct Gone {
    /// Why, if its session says so.
    pub(super) why: Closed,
    /// Whether the service knows that the session is over.
    pub(super) is_over: bool,
    /// Whether the joiner does not let it in, or is not there to do so.
    pub(super) is_refused: bool,
}

impl Gone {
    /// It is of no use, though its session goes on.
    pub(super) fn useless(is_refused: bool) -> Self {
        Self { why: Closed::ByService { output: String::new() }, is_over: false, is_refused }
    }
}

impl Member {
    /// One whose session is new.
    pub(super) fn joining(id: LinkId, session: Session, now: Instant) -> Self {
        let (stage, unproven) = (Stage::Joining, None);
        Self { id, session, stage, since: now, unproven, early: BytesMut::new(), is_ended: false }
    }

    /// One that is a link of the bond already, and this is left to be proven.
    pub(super) fn answered(id: LinkId, session: Session, unproven: Option<Unproven>, now: Instant) -> Self {
        Self { stage: Stage::Joined, unproven, ..Self::joining(id, session, now) }
    }

    /// Whether the joiner has accepted it and proven itself.
    pub(super) fn is_accepted(&self) -> bool {
        self.is_link() && self.unproven.is_none()
    }

    /// The joiner accepts it with this tag. Whether that is news.
    ///
    /// # Errors
    /// If the joiner does not know the key of the bond.
    pub(super) fn accepted(&mut self, key: &Key, tag: &[u8; 32]) -> Result<bool, String> {
        self.unproven.take().map_or(Ok(false), |unproven| unproven.prove(key, tag).map(|()| true))
    }

    /// Whether it is a link of the bond.
    pub(super) fn is_link(&self) -> bool {
        self.stage != Stage::Joining
    }

    /// Whether bytes can go over it at this moment.
    pub(super) fn is_connected(&self) -> bool {
        self.is_link() && self.session.is_connected()
    }

    /// Whether nothing is left to be ended.
    pub(super) fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// Nothing new is given to it.
    pub(super) fn retire(&mut self, now: Instant, bond: &mut Bond) {
        bond.retire_link(now, self.id);
        (self.stage, self.since) = (Stage::Retiring, now);
    }

    /// When its stage has lasted too long.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.stage {
            Stage::Joining => Some(self.since + limits::JOINS),
            Stage::Joined => self.unproven.as_ref().map(|_| self.since + limits::JOINS),
            Stage::Retiring => Some(self.since + limits::RETIRED),
        }
    }

    /// Takes in what its session has brought, and passes on what that has said of its connection. Gives its end.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        bond: &mut Bond,
        key: &Key,
        mut news: impl FnMut(Event),
    ) -> Option<Gone> {
        self.session.handle_timeout(now);
        let mut gone = self.take_output(now, bond, key).err();
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::Connected | Event::Lost(_) | Event::Retrying { .. } => news(event),
                Event::Terminated => self.is_ended = self.session.channel().agent_knows_flag(),
                Event::PortRefused | Event::Unsupported(_) => gone = Some(Gone::useless(true)),
                Event::Closed(why) => {
                    let is_over = why.is_over();
                    let is_refused = !self.is_accepted() && matches!(why, Closed::ByService { .. });
                    gone = Some(Gone { why, is_over, is_refused });
                }
                // What the account has to say was said with the first session.
                _ => {}
            }
        }
        gone.or_else(|| self.deadline().is_some_and(|at| at <= now).then(|| Gone::useless(false)))
    }

    fn take_output(&mut self, now: Instant, bond: &mut Bond, key: &Key) -> Result<(), Gone> {
        while let Some(bytes) = self.session.poll_output() {
            let taken = match self.stage {
                Stage::Joining => {
                    self.early.extend_from_slice(&bytes);
                    self.join(now, bond, key)
                }
                Stage::Joined | Stage::Retiring => {
                    bond.handle_bytes(now, self.id, &bytes).map_err(|error| error.to_string())
                }
            };
            if let Err(why) = taken {
                tracing::info!(session = self.session.id(), "not a link of the bond any more: {why}");
                return Err(Gone::useless(true));
            }
        }
        Ok(())
    }

    /// Answers the joiner's greeting once that is whole, and makes it a link once the joiner has accepted it.
    fn join(&mut self, now: Instant, bond: &mut Bond, key: &Key) -> Result<(), String> {
        if self.unproven.is_none() {
            let Some(said) = greeting(&mut self.early) else { return Ok(()) };
            self.unproven = Some(key.further(&mut self.session, said?, self.id)?);
        }
        let Some(unproven) = &self.unproven else { return Ok(()) };
        if !unproven.verdict(key, &mut self.early)? {
            return Ok(());
        }
        self.unproven = None;
        (self.stage, self.since) = (Stage::Joined, now);
        bond.add_link(now, self.id);
        let early = std::mem::take(&mut self.early);
        bond.handle_bytes(now, self.id, &early).map_err(|error| error.to_string())
    }
}
