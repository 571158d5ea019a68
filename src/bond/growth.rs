//! Growth: when a bond gets another session, and when it gives some up.
//!
//! Times and byte counts only. A session carries so much and no more, whatever is behind it; whether more of them bring
//! anything is seen by what passes once they are there. They are asked for one after the other, in rounds: as many as there
//! are already while each round pays, so that it is at eight after three; a single one after a round that did not.

use std::time::{Duration, Instant};

/// How often the rates are looked at, and how far apart sessions are asked for at the least: an account may start only a few
/// a second.
const BEAT: Duration = Duration::from_millis(100);
/// How long bulk has to keep the sessions at their ceiling before the first round.
const BUSY: Duration = Duration::from_secs(1);
/// Bytes a second and session that count as its ceiling. The service's is 820 kB down and 900 kB up; small messages, and
/// acknowledgements of what comes the other way, leave less.
const CEILING: f64 = 500_000.0;
/// How long a round is watched before it counts, whatever it brings: what was under way has to pass first.
const SETTLES: Duration = Duration::from_millis(300);
/// How long a round has to show what it brings.
const TRIAL: Duration = Duration::from_millis(1500);
/// The part of what each session carried before that each of a round has to bring, to be worth it.
const WORTH: f64 = 0.4;
/// After a single session that brought nothing: until another is tried.
const IN_VAIN: Duration = Duration::from_secs(30);
/// After a session that could not be had, for a quota, for throttling, for a port that is closed.
const QUIET: Duration = Duration::from_secs(60);
/// Bytes a second that are no bulk.
const IDLE_RATE: f64 = 50_000.0;
/// How long there has to be no bulk until all sessions but one are given up.
const IDLE: Duration = Duration::from_secs(60);

/// What is to be done about the number of sessions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// Nothing.
    Keep,
    /// One more is to be started. [`Growth::started`] has to follow, and then [`Growth::added`]; or [`Growth::failed`] at
    /// either place.
    Add,
    /// So many of those that were added last are to be given up: they bring nothing.
    DropLast(usize),
    /// All but one are to be given up.
    DropAllButOne,
}

/// Where it stands.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// Nothing is tried.
    Steady,
    /// Others are being started.
    Starting(Round),
    /// Added sessions show what they bring, compared with the rate before them.
    Trying { since: Instant, before: f64, count: usize },
}

/// Sessions that are tried together.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Round {
    /// The rate when the first of it was added.
    before: f64,
    /// The sessions of that time are not all there any more, so that nothing can be compared.
    is_void: bool,
    /// How many are to be asked for.
    left: usize,
    /// Whether one is being asked for.
    is_asking: bool,
    /// How many were asked for and do not carry bytes yet.
    coming: usize,
    /// How many carry bytes.
    count: usize,
}

impl Round {
    /// What it is if nothing more of it is waited for.
    fn next(self, now: Instant) -> State {
        let Self { before, is_void, left, coming, count, .. } = self;
        if left + coming > 0 {
            State::Starting(self)
        } else if count > 0 && !is_void {
            State::Trying { since: now, before, count }
        } else {
            State::Steady
        }
    }
}

/// The growth of one bond.
#[derive(Debug)]
pub(super) struct Growth {
    most: usize,
    state: State,
    up: Meter,
    down: Meter,
    beat: Instant,
    /// Since when every beat was at the ceiling.
    busy_since: Option<Instant>,
    /// The last beat with bulk.
    bulk: Instant,
    /// Until when nothing is added.
    rests_until: Option<Instant>,
    /// A round did not pay: the next has one session.
    is_careful: bool,
}

impl Growth {
    /// That of a bond with one session, which may have as many as `most`.
    pub(super) fn new(most: usize, now: Instant) -> Self {
        Self {
            most,
            state: State::Steady,
            up: Meter::default(),
            down: Meter::default(),
            beat: now,
            busy_since: None,
            bulk: now,
            rests_until: None,
            is_careful: false,
        }
    }

    /// When [`step`](Self::step) is to be asked next: not before bytes move, if nothing is waited for.
    pub(super) fn poll_timeout(&self, sessions: usize) -> Option<Instant> {
        let beat = self.beat + BEAT;
        match self.state {
            State::Trying { .. } => Some(beat),
            State::Starting(round) if round.left > 0 && !round.is_asking => Some(beat),
            _ if sessions > 1 => Some(beat.max(self.bulk + IDLE)),
            _ => None,
        }
    }

    /// What to do at `now` with this many `sessions`, after so many bytes in all, each way.
    pub(super) fn step(&mut self, now: Instant, sessions: usize, sent: u64, received: u64) -> Step {
        let elapsed = now.saturating_duration_since(self.beat);
        if elapsed < BEAT {
            return Step::Keep;
        }
        self.beat = now;
        let passed = self.up.passed(sent, elapsed).max(self.down.passed(received, elapsed));
        if passed > IDLE_RATE {
            self.bulk = now;
        }
        let is_busy = self.rate() >= CEILING * sessions as f64 && elapsed < BUSY;
        self.busy_since = is_busy.then_some(self.busy_since.unwrap_or(now));
        match self.state {
            State::Starting(round) => self.ask(round),
            State::Trying { since, before, count } => self.judge(now, sessions, since, before, count),
            State::Steady if sessions > 1 && now.saturating_duration_since(self.bulk) >= IDLE => {
                self.is_careful = false;
                Step::DropAllButOne
            }
            State::Steady => self.may_add(now, sessions),
        }
    }

    /// The larger rate of both directions, in bytes a second, smoothed over some beats.
    fn rate(&self) -> f64 {
        self.up.rate.max(self.down.rate)
    }

    fn may_add(&mut self, now: Instant, sessions: usize) -> Step {
        let is_busy = self.busy_since.is_some_and(|since| now.saturating_duration_since(since) >= BUSY);
        if is_busy { self.begin(now, sessions) } else { Step::Keep }
    }

    /// Begins a round, if there may be more sessions.
    fn begin(&mut self, now: Instant, sessions: usize) -> Step {
        let rests = self.rests_until.is_some_and(|until| now < until);
        let most = if self.is_careful { 1 } else { sessions };
        let left = self.most.saturating_sub(sessions).min(most);
        if rests || left == 0 {
            return Step::Keep;
        }
        self.ask(Round { before: 0.0, is_void: false, left, is_asking: false, coming: 0, count: 0 })
    }

    /// Asks for the next session of this round, if the last one that was asked for has been started.
    fn ask(&mut self, mut round: Round) -> Step {
        let may_ask = round.left > 0 && !round.is_asking;
        if may_ask {
            round.left -= 1;
            round.coming += 1;
            round.is_asking = true;
        }
        self.state = State::Starting(round);
        if may_ask { Step::Add } else { Step::Keep }
    }

    /// Whether the `count` sessions that were added last, at `since`, are worth it.
    fn judge(&mut self, now: Instant, sessions: usize, since: Instant, before: f64, count: usize) -> Step {
        let age = now.saturating_duration_since(since);
        let each = before / sessions.saturating_sub(count).max(1) as f64;
        if age >= SETTLES && self.rate() >= before + WORTH * each * count as f64 {
            self.state = State::Steady;
            // It goes on as fast as it has begun, without another second of proof.
            return self.begin(now, sessions);
        }
        if age < TRIAL {
            return Step::Keep;
        }
        self.state = State::Steady;
        if self.rate() < before / 2.0 {
            // The bulk is over, which says nothing of the sessions.
            return Step::Keep;
        }
        self.is_careful = true;
        if count == 1 {
            self.rests_until = Some(now + IN_VAIN);
        }
        self.busy_since = None;
        Step::DropLast(count)
    }

    /// The session that was asked for is started.
    pub(super) fn started(&mut self) {
        if let State::Starting(round) = &mut self.state {
            round.is_asking = false;
        }
    }

    /// A session that was started carries bytes.
    pub(super) fn added(&mut self, now: Instant) {
        if let State::Starting(mut round) = self.state {
            if round.count == 0 {
                round.before = self.rate();
            }
            round.coming = round.coming.saturating_sub(1);
            round.count += 1;
            self.state = round.next(now);
        }
    }

    /// A session that was asked for cannot be had, so that none is asked for now.
    pub(super) fn failed(&mut self, now: Instant) {
        self.rests_until = Some(now + QUIET);
        if let State::Starting(mut round) = self.state {
            round.coming = round.coming.saturating_sub(1);
            (round.left, round.is_asking) = (0, false);
            self.state = round.next(now);
        }
    }

    /// A session has ended by itself: what was measured was with it.
    pub(super) fn lost(&mut self) {
        match &mut self.state {
            State::Steady => {}
            State::Starting(round) => round.is_void = true,
            State::Trying { .. } => self.state = State::Steady,
        }
        self.busy_since = None;
    }
}

/// The rate of one direction.
#[derive(Debug, Default)]
struct Meter {
    total: u64,
    rate: f64,
}

impl Meter {
    /// How much of the new value counts after a beat.
    const SMOOTHING: f64 = 0.35;

    /// Takes in the bytes of all time; gives the rate since the last time.
    fn passed(&mut self, total: u64, elapsed: Duration) -> f64 {
        let bytes = total.saturating_sub(self.total);
        self.total = total;
        let rate = bytes as f64 / elapsed.as_secs_f64();
        // A long wait without a look counts as many beats.
        let beats = (elapsed.as_secs_f64() / BEAT.as_secs_f64()).min(100.0);
        let part = 1.0 - (1.0 - Self::SMOOTHING).powf(beats);
        self.rate += (rate - self.rate) * part;
        rate
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    const SESSION: f64 = 820_000.0;

    /// A bond in virtual time, whose sessions carry [`SESSION`] each until `limit` is reached.
    struct World {
        growth: Growth,
        start: Instant,
        now: Instant,
        sessions: usize,
        most: usize,
        received: f64,
        /// Bytes a second that there are to carry.
        wanted: f64,
        /// Bytes a second that the way carries, however many sessions there are.
        limit: f64,
        /// How long the call for a session takes, and the session after that until it carries bytes.
        takes: [Duration; 2],
        /// What becomes of the next calls: whether a session comes of them. Of those after that one comes.
        calls: VecDeque<bool>,
        /// When the call that is under way ends.
        asking: Option<Instant>,
        /// When those that are started will carry bytes.
        coming: VecDeque<Instant>,
        asked: Vec<Duration>,
        added: Vec<Duration>,
        dropped: Vec<Duration>,
    }

    impl World {
        fn new(most: usize) -> Self {
            let now = Instant::now();
            Self {
                growth: Growth::new(most, now),
                start: now,
                now,
                sessions: 1,
                most,
                received: 0.0,
                wanted: f64::MAX,
                limit: f64::MAX,
                takes: [100, 300].map(Duration::from_millis),
                calls: VecDeque::new(),
                asking: None,
                coming: VecDeque::new(),
                asked: Vec::new(),
                added: Vec::new(),
                dropped: Vec::new(),
            }
        }

        fn run(&mut self, seconds: f64) {
            const TICK: Duration = Duration::from_millis(10);
            let until = self.now + Duration::from_secs_f64(seconds);
            while self.now < until {
                self.now += TICK;
                let rate = (SESSION * self.sessions as f64).min(self.wanted).min(self.limit);
                self.received += rate * TICK.as_secs_f64();
                if self.asking.take_if(|at| *at <= self.now).is_some() {
                    if self.calls.pop_front() == Some(false) {
                        self.growth.failed(self.now);
                    } else {
                        self.growth.started();
                        self.coming.push_back(self.now + self.takes[1]);
                    }
                }
                if self.coming.front().is_some_and(|at| *at <= self.now) {
                    self.coming.pop_front();
                    self.sessions += 1;
                    self.added.push(self.now - self.start);
                    self.growth.added(self.now);
                }
                let is_due = self.growth.poll_timeout(self.sessions).is_some_and(|at| at <= self.now);
                // Bytes wake it anyway.
                if is_due || rate > 0.0 {
                    self.step();
                }
            }
        }

        fn step(&mut self) {
            match self.growth.step(self.now, self.sessions, 0, self.received as u64) {
                Step::Keep => {}
                Step::Add => {
                    assert_eq!(self.asking, None, "one after the other");
                    self.asking = Some(self.now + self.takes[0]);
                    self.asked.push(self.now - self.start);
                }
                Step::DropLast(count) => {
                    self.sessions -= count;
                    self.dropped.push(self.now - self.start);
                }
                Step::DropAllButOne => {
                    self.sessions = 1;
                    self.dropped.push(self.now - self.start);
                }
            }
            assert!((1..=self.most).contains(&(self.sessions + self.coming.len())));
        }
    }

    #[test]
    fn bulk_gets_as_many_again_in_each_round_up_to_the_most() {
        let mut world = World::new(8);
        world.run(0.9);
        assert_eq!(world.asked.len(), 0, "not before a second");
        world.run(9.1);
        assert_eq!((world.sessions, world.added.len()), (8, 7));
        let last = world.added[6];
        assert!(last < Duration::from_secs(4), "{last:?}");
        assert!(world.asked.windows(2).all(|two| two[1] - two[0] >= BEAT), "{:?}", world.asked);
        world.run(600.0);
        assert_eq!((world.sessions, world.added.len(), world.dropped.len()), (8, 7, 0));
        let mut world = World::new(6);
        world.run(10.0);
        assert_eq!((world.sessions, world.added.len()), (6, 5));
    }

    #[test]
    fn a_round_that_brings_too_little_is_given_up_and_single_ones_are_tried() {
        let mut world = World::new(8);
        world.limit = 5.1 * SESSION;
        world.run(5.0);
        assert_eq!((world.added.len(), world.sessions), (7, 4), "four more bring one");
        world.run(5.0);
        assert_eq!(
            (world.added.len(), world.dropped.len(), world.sessions),
            (9, 2, 5),
            "one brings one, another nothing"
        );
        world.run(20.0);
        assert_eq!(world.added.len(), 9);
        world.wanted = 0.0;
        world.run(61.0);
        world.wanted = f64::MAX;
        world.run(4.0);
        assert_eq!(world.added.len(), 9 + 7, "after idleness it goes in large steps again");
    }

    #[test]
    fn what_a_round_gets_of_what_it_asked_for_is_tried() {
        let mut world = World::new(8);
        // The third of the round of four cannot be had: the fourth is not asked for.
        world.calls = [true, true, true, true, true, false].into();
        world.run(10.0);
        assert_eq!((world.asked.len(), world.sessions, world.dropped.len()), (6, 6, 0));
        world.run(58.0);
        assert_eq!((world.asked.len(), world.sessions), (8, 8), "a minute later");
    }

    #[test]
    fn one_is_enough_for_what_is_no_bulk() {
        let mut world = World::new(8);
        for wanted in [0.0, 2_000.0, 300_000.0] {
            world.wanted = wanted;
            world.run(300.0);
            assert!(world.added.is_empty(), "{wanted}");
        }
        // Bursts of less than a second, such as a large listing.
        for _ in 0..20 {
            world.wanted = f64::MAX;
            world.run(0.7);
            world.wanted = 0.0;
            world.run(2.0);
        }
        assert!(world.added.is_empty());
    }

    #[test]
    fn what_brings_nothing_is_given_up_and_tried_again_later() {
        let mut world = World::new(8);
        world.limit = 1.05 * SESSION;
        world.run(29.0);
        assert_eq!((world.sessions, world.added.len(), world.dropped.len()), (1, 1, 1));
        world.limit = 3.2 * SESSION;
        world.run(20.0);
        assert_eq!((world.sessions, world.added.len(), world.dropped.len()), (3, 4, 2), "the fourth brings too little");
    }

    #[test]
    fn a_minute_without_bulk_leaves_one() {
        let mut world = World::new(4);
        world.run(10.0);
        assert_eq!(world.sessions, 4);
        world.wanted = 1_000.0;
        world.run(59.0);
        assert_eq!(world.sessions, 4);
        world.run(2.0);
        assert_eq!(world.sessions, 1);
        world.wanted = f64::MAX;
        world.run(10.0);
        assert_eq!(world.sessions, 4, "and it grows again");
        world.wanted = 0.0;
        world.run(61.0);
        assert_eq!(world.sessions, 1, "also when nothing at all moves");
    }

    #[test]
    fn bulk_that_ends_during_a_trial_says_nothing_of_the_session() {
        let mut world = World::new(4);
        world.run(1.7);
        assert_eq!(world.sessions, 2);
        world.wanted = 0.0;
        world.run(10.0);
        assert_eq!((world.sessions, world.dropped.len()), (2, 0));
        world.wanted = f64::MAX;
        world.run(5.0);
        assert_eq!(world.sessions, 4);
    }

    #[test]
    fn after_a_refusal_it_is_quiet_for_a_minute() {
        let mut world = World::new(8);
        world.calls = [false, false].into();
        world.run(60.0);
        assert_eq!(world.asked.len(), 1);
        world.run(60.0);
        assert_eq!(world.asked.len(), 2);
        world.run(60.0);
        assert_eq!(world.sessions, 8);
    }

    #[test]
    fn a_session_that_is_lost_stops_the_trial() {
        let mut world = World::new(4);
        world.run(1.7);
        assert_eq!(world.sessions, 2);
        world.sessions = 1;
        world.growth.lost();
        world.run(0.9);
        assert_eq!((world.sessions, world.asked.len()), (1, 1), "a second of bulk first");
        world.run(8.0);
        assert_eq!(world.sessions, 4);
    }

    #[test]
    fn a_machine_that_slept_is_not_busy() {
        let start = Instant::now();
        let mut growth = Growth::new(4, start);
        let mut received = 0;
        for hours in 1..100 {
            received += 10_000_000_000;
            assert_eq!(growth.step(start + Duration::from_secs(3600 * hours), 1, 0, received), Step::Keep);
        }
    }
}
