//! A connection that may be carried by several sessions.

use std::time::Instant;

use ssm_session::Event;

use super::attempt::Attempt;
use super::bundle::Bundle;
use super::choice::FIRST_PORT;
use super::farewell::Farewells;
use super::link::Opened;
use super::member::Member;
use super::opening::Means;

/// A connection that may be carried by several sessions.
pub struct Bonded<'a> {
    /// What gets them.
    pub means: Means<'a>,
    /// Sessions at most.
    pub most: usize,
}

impl<'a> Bonded<'a> {
    /// The bundle of a bond with this first session, and what that has said so far.
    pub(super) fn joined(
        self,
        attempt: Attempt,
        opened: Box<Opened>,
        farewells: Farewells<'a>,
    ) -> (Bundle<'a>, Vec<Event>) {
        let Bonded { means, most } = self;
        let Attempt { session, events, .. } = attempt;
        let Opened { bond, key, unproven, .. } = *opened;
        if unproven.is_none() {
            means.choice.found(&key.joiner(FIRST_PORT));
        }
        let first = Member::answered(key.first_link(), session, unproven, Instant::now());
        (Bundle::new(means, most, first, bond, key, farewells), events)
    }
}
