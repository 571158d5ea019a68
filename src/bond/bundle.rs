//! The bundle: the sessions of one bond, driven as one way. It is what the tunnel joins to stdin and stdout.
//!
//! Sessions come and go; the bond's stream does not notice. When the last one is gone another is tried for as long as the
//! joiner keeps the bond.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use futures_util::future::join_all;
use ssm_aws::ApiError;
use ssm_bond::{Bond, Event as BondEvent, LinkId};
use ssm_session::{Closed, Early, Event, Session, Stats};

use super::choice::FIRST_PORT;
use super::farewell::Farewells;
use super::growth::{Growth, Step};
use super::limits;
use super::link::{self, Key};
use super::member::{Gone, Member, Stage};
use super::opening::Means;
use crate::diagnostics::{Error, session as words};
use crate::terminate;
use crate::tunnel::{Terminating, Way};

/// Bytes of output handed over at once.
const PIECE: usize = 16 << 10;

/// A session that is being started.
type Adding<'a> = Pin<Box<dyn Future<Output = Result<Session, ApiError>> + 'a>>;

/// How far the end has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ending {
    No,
    /// The terminate flags are to follow the last byte.
    Asked {
        since: Instant,
    },
    /// They were sent.
    Flagged {
        since: Instant,
    },
}

/// A bond that has no session.
struct Bare {
    since: Instant,
    /// When another is tried next.
    next: Instant,
    /// Why the last one is closed.
    why: Closed,
}

/// The sessions of one bond.
pub(super) struct Bundle<'a> {
    means: Means<'a>,
    bond: Bond,
    key: Key,
    members: Vec<Member>,
    growth: Growth,
    adding: Option<Adding<'a>>,
    /// What came of it.
    added: Option<Result<Session, ApiError>>,
    farewells: Farewells<'a>,
    events: VecDeque<Event>,
    /// The figures of sessions that have left.
    past: Stats,
    /// Nothing can be sent or received just now.
    is_lost: bool,
    bare: Option<Bare>,
    ending: Ending,
    /// After that this side may still send.
    is_half_open: bool,
    /// The far side wants no more, so that the sessions' end is the end.
    is_unwanted: bool,
    /// It has broken the connection off.
    is_reset: bool,
    /// It was told that the flags have arrived.
    is_flag_known: bool,
    /// The last event was given.
    is_closed: bool,
    failure: Option<Error>,
    payload: Vec<u8>,
}

impl<'a> Bundle<'a> {
    /// The bundle of a bond whose first session is up.
    pub(super) fn new(
        means: Means<'a>,
        most: usize,
        first: Member,
        bond: Bond,
        key: Key,
        farewells: Farewells<'a>,
    ) -> Self {
        Self {
            means,
            bond,
            key,
            members: vec![first],
            growth: Growth::new(most, Instant::now()),
            adding: None,
            added: None,
            farewells,
            events: VecDeque::new(),
            past: Stats::default(),
            is_lost: false,
            bare: None,
            ending: Ending::No,
            is_half_open: false,
            is_unwanted: false,
            is_reset: false,
            is_flag_known: false,
            is_closed: false,
            failure: None,
            payload: Vec::new(),
        }
    }

    /// When the far side has ended, this side may go on to send.
    pub(super) fn keeps_half_open(&mut self) {
        self.is_half_open = true;
    }

    /// Whether the far side has ended, and all that it sent has come.
    pub(super) fn is_whole(&self) -> bool {
        self.bond.is_whole()
    }

    /// Leaves all sessions; those that are not over are ended by the API.
    pub(super) async fn leave(mut self) {
        if let Some(adding) = self.adding.take() {
            self.farewells.push(async {
                if let Ok(session) = adding.await {
                    end_by_api(session, false).await;
                }
            });
        }
        if let Some(Ok(session)) = self.added.take() {
            self.farewells.push(end_by_api(session, false));
        }
        for member in self.members.drain(..) {
            let is_over = member.is_ended();
            self.farewells.push(end_by_api(member.session, is_over));
        }
        self.farewells.finish().await;
    }

    /// Takes in what the sessions have brought.
    fn receive(&mut self, now: Instant) {
        let mut news = Vec::new();
        let mut gone = Vec::new();
        for (at, member) in self.members.iter_mut().enumerate() {
            let was_link = member.is_link();
            let end = member.receive(now, &mut self.bond, &self.key, |event| news.push(event));
            if member.is_link() && !was_link {
                tracing::info!(session = member.session.id(), "another session carries the connection");
                self.bare = None;
                self.growth.added(now);
            }
            gone.extend(end.map(|end| (at, end)));
        }
        for (at, end) in gone.into_iter().rev() {
            self.member_gone(now, at, end);
        }
        self.tell_connection(news);
    }

    fn member_gone(&mut self, now: Instant, at: usize, Gone { why, is_over, is_refused }: Gone) {
        let member = self.members.remove(at);
        tracing::info!(session = member.session.id(), ?why, "a session of the connection has ended");
        match member.stage {
            Stage::Joined if member.is_accepted() => self.growth.lost(),
            Stage::Joining | Stage::Joined => self.growth.failed(now),
            Stage::Retiring => {}
        }
        if member.is_link() {
            self.bond.remove_link(now, member.id);
        }
        self.past = sum(&self.past, &member.session.stats());
        self.farewells.push(end_by_api(member.session, is_over));
        match &mut self.bare {
            Some(bare) if !is_refused => bare.next = now + limits::AGAIN,
            Some(_) => self.give_up(),
            None => self.see_bare(now, why),
        }
    }

    /// A session has left. If it was the last another is sought, unless all is said.
    fn see_bare(&mut self, now: Instant, why: Closed) {
        if self.members.iter().any(Member::is_link) {
            return;
        }
        let is_unheard = self.is_half_open && !self.bond.is_delivered();
        if self.bond.is_whole() && !is_unheard {
            // The joiner has ended the bond in order; what has come is still to be read.
            self.close(Closed::ByService { output: String::new() });
        } else if self.ending == Ending::No {
            self.bare = Some(Bare { since: now, next: now, why });
        } else {
            self.close(why);
        }
    }

    /// Tells of the connection as a whole, which is there as long as one session is connected.
    fn tell_connection(&mut self, news: Vec<Event>) {
        let is_connected = self.members.iter().any(Member::is_connected);
        if is_connected && self.is_lost {
            self.is_lost = false;
            self.events.push_back(Event::Connected);
        }
        for event in news {
            match event {
                Event::Lost(_) if !is_connected && !self.is_lost => {
                    self.is_lost = true;
                    self.events.push_back(event);
                }
                Event::Retrying { .. } if !is_connected => self.events.push_back(event),
                _ => {}
            }
        }
    }

    fn handle(&mut self, now: Instant, event: BondEvent) {
        match event {
            BondEvent::Finished if self.is_half_open => {}
            BondEvent::Finished => self.unwanted(now),
            BondEvent::Reset => {
                tracing::info!("the far side has reset the connection");
                self.is_reset = true;
                self.unwanted(now);
            }
            BondEvent::Retired(id) => {
                if let Some(at) = self.members.iter().position(|member| member.id == id) {
                    let member = self.members.remove(at);
                    self.bond.remove_link(now, id);
                    tracing::info!(session = member.session.id(), "a session is not needed any more");
                    self.past = sum(&self.past, &member.session.stats());
                    self.farewells.add(member.session);
                    // The one that was kept may have ended meanwhile.
                    self.see_bare(now, Closed::ByService { output: String::new() });
                }
            }
            BondEvent::Stalled(id) => tracing::debug!(?id, "a link has stalled"),
            BondEvent::Revived(id) => tracing::debug!(?id, "a link moves again"),
            BondEvent::Accepted(id, tag) => self.accepted(id, &tag),
            BondEvent::Refused(id, number) => self.refused(id, &link::refusal(number)),
            BondEvent::Readable | BondEvent::Writable => {}
        }
    }

    /// The joiner accepts the first link with this tag. The others were accepted before they were links.
    fn accepted(&mut self, id: LinkId, tag: &[u8; 32]) {
        let Some(member) = self.members.iter_mut().find(|member| member.id == id) else { return };
        match member.accepted(&self.key, tag) {
            Ok(false) => {}
            Ok(true) => self.means.choice.found(&self.key.joiner(FIRST_PORT)),
            Err(why) => self.refused(id, &why),
        }
    }

    /// The joiner refuses the first link, or is another one: there is no bond.
    fn refused(&mut self, id: LinkId, why: &str) {
        if id == self.key.first_link() {
            tracing::info!("the joiner has refused the connection: {why}");
            self.means.choice.gone();
            self.failure = Some(words::bond_refused(why));
            self.close(Closed::ByService { output: String::new() });
        }
    }

    /// Nothing more comes, and nothing that is sent is wanted: the sessions are ended.
    fn unwanted(&mut self, now: Instant) {
        self.is_unwanted = true;
        self.bare = None;
        self.end(now);
    }

    fn end(&mut self, now: Instant) {
        self.bond.finish();
        if self.ending == Ending::No {
            self.ending = Ending::Asked { since: now };
        }
    }

    /// The last event.
    fn close(&mut self, why: Closed) {
        if !std::mem::replace(&mut self.is_closed, true) {
            self.events.push_back(Event::Closed(why));
        }
    }

    /// Whether the flags may go. Behind them the joiner is not heard any more, and what is under way in a session that has
    /// fallen silent would be lost: it goes over another first, if there is one.
    fn is_settled(&self, now: Instant, since: Instant) -> bool {
        let is_alone = self.members.iter().filter(|member| member.is_link()).count() < 2;
        is_alone || self.is_reset || self.bond.is_delivered() || since + limits::DELIVERS <= now
    }

    /// Sees how far the end has come.
    fn settle_end(&mut self, now: Instant) {
        let (Ending::Asked { since } | Ending::Flagged { since }) = self.ending else { return };
        let is_known = self.members.iter().all(Member::is_ended);
        if is_known && self.ending == (Ending::Flagged { since }) && !std::mem::replace(&mut self.is_flag_known, true) {
            self.events.push_back(Event::Terminated);
        }
        if self.is_unwanted && (is_known || since + limits::FAREWELL <= now) {
            self.close(Closed::ByService { output: String::new() });
        }
    }

    /// Starts another session.
    fn add(&mut self) {
        let (means, starting) = (self.means.clone(), (self.means.source.further)(self.key.join_port()));
        self.adding = Some(Box::pin(async move {
            let (early, started) = tokio::join!(Early::begin(means.aws), starting);
            Ok(means.adopt(started?, early))
        }));
    }

    fn take_added(&mut self, now: Instant) {
        match self.added.take() {
            Some(Ok(session)) if self.ending != Ending::No => self.farewells.add(session),
            Some(Ok(session)) => {
                let id = self.key.next_link();
                self.members.push(Member::joining(id, session, now));
                self.growth.started();
            }
            Some(Err(error)) => {
                tracing::info!("no other session for the connection: {error}");
                self.growth.failed(now);
                if let Some(bare) = &mut self.bare {
                    bare.next = now + limits::AGAIN;
                }
            }
            None => {}
        }
    }

    /// Whether a session is on its way.
    fn is_adding(&self) -> bool {
        self.adding.is_some() || self.added.is_some() || self.members.iter().any(|member| !member.is_accepted())
    }

    /// Gets another session where there is none, for as long as the joiner keeps the bond.
    fn seek(&mut self, now: Instant) {
        let is_adding = self.is_adding();
        let Some(bare) = &self.bare else { return };
        if bare.since + limits::KEPT <= now {
            return self.give_up();
        }
        if bare.next <= now && !is_adding {
            tracing::info!("no session is left: asking for another");
            self.add();
        }
    }

    /// The joiner cannot be reached any more.
    fn give_up(&mut self) {
        let Some(Bare { why, .. }) = self.bare.take() else { return };
        if matches!(why, Closed::ByService { .. }) {
            self.failure = Some(words::bond_lost());
        }
        self.close(why);
    }

    /// Lets the number of sessions follow what there is to carry.
    fn grow(&mut self, now: Instant) {
        if self.bare.is_some() || self.ending != Ending::No {
            return;
        }
        let stats = self.stats();
        match self.growth.step(now, self.links(), stats.bytes_sent, stats.bytes_received) {
            Step::Keep => {}
            Step::Add => self.add(),
            Step::DropLast(count) => self.retire(now, count),
            Step::DropAllButOne => self.retire(now, usize::MAX),
        }
    }

    /// Gives up so many sessions, but for one that is connected.
    fn retire(&mut self, now: Instant, count: usize) {
        let kept = self.members.iter().find(|member| member.stage == Stage::Joined && member.is_connected());
        let Some(kept) = kept.map(|member| member.id) else { return };
        let others = self.members.iter_mut().rev().filter(|member| member.stage == Stage::Joined && member.id != kept);
        for member in others.take(count) {
            member.retire(now, &mut self.bond);
        }
    }

    /// How many sessions carry it.
    fn links(&self) -> usize {
        self.members.iter().filter(|member| member.stage == Stage::Joined).count()
    }

    /// Gives the sessions what the bond has to send. Whether nothing is left.
    fn hand_over(&mut self, now: Instant) -> bool {
        let mut is_drained = true;
        for member in self.members.iter_mut().filter(|member| member.is_link()) {
            loop {
                let room = member.session.send_capacity(now);
                is_drained &= room > 0;
                self.payload.clear();
                self.bond.poll_transmit(now, member.id, room, &mut self.payload);
                if self.payload.is_empty() {
                    break;
                }
                member.session.send(now, &self.payload);
            }
        }
        is_drained
    }
}

impl Way for Bundle<'_> {
    fn name(&self) -> String {
        let ids: Vec<_> = self.members.iter().map(|member| member.session.id()).collect();
        format!("bond of {} sessions ({})", ids.len(), ids.join(", "))
    }

    fn width(&self) -> usize {
        self.links()
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.take_added(now);
        self.receive(now);
        self.bond.handle_timeout(now);
        while let Some(event) = self.bond.poll_event() {
            self.handle(now, event);
        }
        self.grow(now);
        self.seek(now);
        self.settle_end(now);
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn poll_output(&mut self) -> Option<Bytes> {
        let unread = self.bond.read();
        let bytes = Bytes::copy_from_slice(unread.get(..PIECE).unwrap_or(unread));
        if bytes.is_empty() {
            return None;
        }
        self.bond.consume(Instant::now(), bytes.len());
        Some(bytes)
    }

    fn transmit(&mut self, now: Instant, flush: bool) {
        let is_drained = self.hand_over(now);
        if let Ending::Asked { since } = self.ending
            && is_drained
            && self.is_settled(now, since)
        {
            self.members.iter_mut().for_each(|member| member.session.finish());
            self.ending = Ending::Flagged { since };
        }
        self.members.iter_mut().for_each(|member| member.session.transmit(now, flush));
    }

    fn poll_timeout(&mut self, now: Instant) -> Option<Instant> {
        if !self.events.is_empty() || self.added.is_some() {
            return Some(now);
        }
        let sessions = self.members.iter_mut().flat_map(|member| [member.session.poll_timeout(now), member.deadline()]);
        let sessions = sessions.flatten().min();
        let growth = match self.ending {
            Ending::No => self.growth.poll_timeout(self.links()),
            Ending::Asked { since } => Some(since + limits::DELIVERS),
            Ending::Flagged { since } => Some(since + limits::FAREWELL),
        };
        let bare = self.bare.as_ref().map(|bare| if self.is_adding() { bare.since + limits::KEPT } else { bare.next });
        [sessions, self.bond.poll_timeout(), growth.filter(|at| *at > now), bare].into_iter().flatten().min()
    }

    async fn progress(&mut self) -> usize {
        let Self { members, adding, added, farewells, .. } = self;
        let mut waits: Vec<Pin<Box<dyn Future<Output = usize> + '_>>> = Vec::with_capacity(members.len() + 2);
        for member in members {
            waits.push(Box::pin(member.session.progress()));
        }
        if adding.is_some() {
            waits.push(Box::pin(async {
                if let Some(call) = adding {
                    *added = Some(call.await);
                    *adding = None;
                }
                0
            }));
        }
        waits.push(Box::pin(async { match farewells.go_on().await {} }));
        // Whatever is ready is taken at once, so that all of it is acted on in one turn.
        poll_fn(|context| {
            let mut received = None;
            waits.retain_mut(|wait| match wait.as_mut().poll(context) {
                Poll::Ready(bytes) => {
                    *received.get_or_insert(0) += bytes;
                    false
                }
                Poll::Pending => true,
            });
            received.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    fn send_capacity(&mut self, _: Instant) -> usize {
        if self.ending == Ending::No { self.bond.send_capacity() } else { 0 }
    }

    fn send(&mut self, now: Instant, bytes: &[u8]) {
        self.bond.send(now, bytes);
    }

    fn input_ended(&mut self) {
        self.bond.finish();
    }

    fn finish(&mut self) {
        self.end(Instant::now());
    }

    fn terminate(&self) -> Terminating {
        let left = self.members.iter().filter(|member| !member.is_ended());
        let calls: Vec<_> = left.map(|member| member.session.terminate()).collect();
        Box::pin(async { join_all(calls).await.into_iter().collect() })
    }

    fn is_connected(&self) -> bool {
        self.members.iter().any(Member::is_connected)
    }

    fn is_at_work(&self) -> bool {
        // One that is being connected may wait for the next beat.
        self.members.iter().any(|member| member.session.is_connected() && member.session.is_at_work())
    }

    fn undelivered_bytes(&self) -> usize {
        match self.ending {
            // Behind the flag the joiner is not heard any more; what an agent has acknowledged the joiner has.
            Ending::Flagged { .. } => {
                let under_way: usize = self.members.iter().map(|member| member.session.undelivered_bytes()).sum();
                (under_way + self.bond.stats().queued).min(self.bond.undelivered())
            }
            _ => self.bond.undelivered(),
        }
    }

    /// The bond knows no gap that it has not filled when it ends.
    fn lacks_output(&self) -> bool {
        false
    }

    fn has_received_output(&self) -> bool {
        true
    }

    fn has_sent_flag(&self) -> bool {
        matches!(self.ending, Ending::Flagged { .. })
    }

    fn knows_flag(&self) -> bool {
        self.members.iter().all(Member::is_ended)
    }

    fn failure(&self) -> Option<Error> {
        self.failure.clone()
    }

    fn stats(&self) -> Stats {
        let all = self.members.iter().map(|member| member.session.stats());
        let all = all.fold(self.past, |sum, stats| self::sum(&sum, &stats));
        let stream = self.bond.stats();
        Stats { bytes_sent: stream.sent, bytes_received: stream.received, ..all }
    }
}

fn sum(one: &Stats, other: &Stats) -> Stats {
    Stats {
        bytes_sent: one.bytes_sent + other.bytes_sent,
        bytes_received: one.bytes_received + other.bytes_received,
        sent: one.sent + other.sent,
        acknowledged: one.acknowledged + other.acknowledged,
        resent: one.resent + other.resent,
        duplicates: one.duplicates + other.duplicates,
        // That of those who are there: the quickest, and of those who have left the last.
        round_trip: match (one.round_trip, other.round_trip) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        },
    }
}

/// Ends a session by the API unless it is over, and leaves its connection.
async fn end_by_api(session: Session, is_over: bool) {
    if !is_over {
        terminate::by_api(session.id(), session.terminate()).await;
    }
    session.close().await;
}
