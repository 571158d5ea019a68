//! Growth: when a bond gets another session, and when it gives some up.
//!
//! Times and byte counts only. A session carries so much and no more, whatever is behind it; whether another one brings
//! anything is seen by what passes once it is there.

use std::time::{Duration, Instant};

/// How often the rates are looked at.
const BEAT: Duration = Duration::from_millis(100);
/// How long bulk has to keep the sessions at their ceiling before the first is added.
const BUSY: Duration = Duration::from_secs(1);
/// Bytes a second and session that count as its ceiling. The service's is 820 kB down and 900 kB up; small messages, and
/// acknowledgements of what comes the other way, leave less.
const CEILING: f64 = 500_000.0;
/// How long an added session is watched before it counts, whatever it brings: what was under way has to pass first.
const SETTLES: Duration = Duration::from_millis(300);
/// How long an added session has to show what it brings.
const TRIAL: Duration = Duration::from_millis(1500);
/// The part of what each session carried before that another one has to bring, to be worth it.
const WORTH: f64 = 0.4;
/// After a session that brought nothing: until another is tried.
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
    /// One more is to be started. One of [`Growth::added`] and [`Growth::failed`] has to follow.
    Add,
    /// The one that was added last is to be given up: it brings nothing.
    DropLast,
    /// All but one are to be given up.
    DropAllButOne,
}

/// Where it stands.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// Nothing is tried.
    Steady,
    /// Another session is being started.
    Starting,
    /// An added session shows what it brings, compared with the rate before it.
    Trying { since: Instant, before: f64 },
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
        }
    }

    /// When [`step`](Self::step) is to be asked next: not before bytes move, if nothing is waited for.
    pub(super) fn poll_timeout(&self, sessions: usize) -> Option<Instant> {
        let beat = self.beat + BEAT;
        match self.state {
            State::Trying { .. } => Some(beat),
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
            State::Starting => Step::Keep,
            State::Trying { since, before } => self.judge(now, sessions, since, before),
            State::Steady if sessions > 1 && now.saturating_duration_since(self.bulk) >= IDLE => Step::DropAllButOne,
            State::Steady => self.may_add(now, sessions),
        }
    }

    /// The larger rate of both directions, in bytes a second, smoothed over some beats.
    fn rate(&self) -> f64 {
        self.up.rate.max(self.down.rate)
    }

    fn may_add(&mut self, now: Instant, sessions: usize) -> Step {
        let is_busy = self.busy_since.is_some_and(|since| now.saturating_duration_since(since) >= BUSY);
        let rests = self.rests_until.is_some_and(|until| now < until);
        if !is_busy || rests || sessions >= self.most {
            return Step::Keep;
        }
        self.add()
    }

    fn add(&mut self) -> Step {
        self.state = State::Starting;
        Step::Add
    }

    /// Whether the session that was added at `since` is worth it.
    fn judge(&mut self, now: Instant, sessions: usize, since: Instant, before: f64) -> Step {
        let age = now.saturating_duration_since(since);
        let each = before / sessions.saturating_sub(1).max(1) as f64;
        if age >= SETTLES && self.rate() >= before + WORTH * each {
            self.state = State::Steady;
            // It goes on as fast as it has begun, without another second of proof.
            return if sessions < self.most { self.add() } else { Step::Keep };
        }
        if age < TRIAL {
            return Step::Keep;
        }
        self.state = State::Steady;
        if self.rate() < before / 2.0 {
            // The bulk is over, which says nothing of the session.
            return Step::Keep;
        }
        self.rests_until = Some(now + IN_VAIN);
        Step::DropLast
    }

    /// The session that was asked for carries bytes.
    pub(super) fn added(&mut self, now: Instant) {
        self.state = State::Trying { since: now, before: self.rate() };
    }

    /// The session that was asked for cannot be had.
    pub(super) fn failed(&mut self, now: Instant) {
        self.state = State::Steady;
        self.rests_until = Some(now + QUIET);
    }

    /// A session has ended by itself: what was measured was with it.
    pub(super) fn lost(&mut self) {
        if matches!(self.state, State::Trying { .. }) {
            self.state = State::Steady;
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
        /// How long a session takes to start; none can be had without.
        starts_in: Option<Duration>,
        starting: Option<Instant>,
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
                starts_in: Some(Duration::from_millis(400)),
                starting: None,
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
                if self.starting.is_some_and(|at| at <= self.now) {
                    self.starting = None;
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
                Step::Keep => return,
                Step::Add => match self.starts_in {
                    Some(time) => self.starting = Some(self.now + time),
                    None => {
                        self.added.push(self.now - self.start);
                        self.growth.failed(self.now);
                    }
                },
                Step::DropLast => self.sessions -= 1,
                Step::DropAllButOne => self.sessions = 1,
            }
            if self.starting.is_none() && self.starts_in.is_some() {
                self.dropped.push(self.now - self.start);
            }
            assert!(self.sessions <= self.most);
        }
    }

    #[test]
    fn bulk_gets_one_after_the_other_up_to_the_most() {
        let mut world = World::new(8);
        world.run(0.9);
        assert_eq!(world.starting, None, "not before a second");
        world.run(9.1);
        assert_eq!((world.sessions, world.added.len()), (8, 7));
        let last = world.added[6];
        assert!(last < Duration::from_secs(9), "{last:?}");
        world.run(600.0);
        assert_eq!((world.sessions, world.added.len(), world.dropped.len()), (8, 7, 0));
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
        world.starts_in = None;
        world.run(60.0);
        assert_eq!(world.added.len(), 1);
        world.run(60.0);
        assert_eq!(world.added.len(), 2);
        world.starts_in = Some(Duration::from_millis(400));
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
        assert_eq!((world.sessions, world.starting), (1, None), "a second of bulk first");
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
