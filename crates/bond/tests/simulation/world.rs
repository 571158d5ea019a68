//! Two halves, their programs, and links between them. Nothing is called but when the contract of the crate asks for it.

use std::time::{Duration, Instant};

use ssm_bond::{Bond, Config, Event, LinkId};

use crate::link::{DOWN, Link, Micros, Pace, Parcel, UP};
use crate::program::{Program, Reads, Writes};

/// A driver whose bond asks for a time that has passed comes back after this.
const SPIN: Micros = 1_000;
/// For longer than this no bond may ask for times that have passed.
const LONGEST_SPIN: Micros = 250_000;

/// How the halves are driven, where the contract leaves it open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Driving {
    pub(crate) window: usize,
    /// A link without room is polled too, with no room.
    pub(crate) polls_full: bool,
    /// What the joiner writes at once.
    pub(crate) room: usize,
    /// Time is told on every occasion, not only when it was asked for.
    pub(crate) tells_time: bool,
}

impl Default for Driving {
    fn default() -> Self {
        Self { window: Config::client().window, polls_full: true, room: 64 << 10, tells_time: true }
    }
}

pub(crate) struct Half {
    pub(crate) bond: Bond,
    pub(crate) program: Program,
    /// Something has changed since it was drained.
    is_due: bool,
    /// Since when it asks for a time that has passed.
    spins_since: Option<Micros>,
    /// All of that, and the longest.
    pub(crate) spun: Micros,
    pub(crate) spun_longest: Micros,
    pub(crate) stalls: u64,
    pub(crate) retired: u64,
    /// What was given to links, and how often time was told because it was asked for.
    pub(crate) bytes: u64,
    pub(crate) wakes: u64,
}

impl Half {
    fn new(bond: Bond, half: usize) -> Self {
        let program = Program::new(half, Writes::Nothing, Reads::AtOnce);
        Self {
            bond,
            program,
            is_due: true,
            spins_since: None,
            spun: 0,
            spun_longest: 0,
            stalls: 0,
            retired: 0,
            bytes: 0,
            wakes: 0,
        }
    }
}

pub(crate) struct World {
    start: Instant,
    pub(crate) now: Micros,
    pub(crate) halves: [Half; 2],
    pub(crate) links: Vec<Link>,
    driving: Driving,
    next_id: u32,
    /// The client's link ends with its retirement on both sides at once, and what is under way on it is lost.
    pub(crate) cuts_retired: bool,
    /// How long timed messages took, by the half that wrote them.
    pub(crate) times: [Vec<Micros>; 2],
    pub(crate) sees_times_from: Micros,
}

impl World {
    pub(crate) fn new(driving: Driving) -> Self {
        let start = Instant::now();
        let config = |of: Config| Config { window: driving.window, ..of };
        let halves = [
            Half::new(Bond::new(config(Config::client()), start), UP),
            Half::new(Bond::new(config(Config::joiner()), start), DOWN),
        ];
        let times = [Vec::new(), Vec::new()];
        let (links, cuts_retired) = (Vec::new(), false);
        Self { start, now: 0, halves, links, driving, next_id: 0, cuts_retired, times, sees_times_from: 0 }
    }

    fn at(&self) -> Instant {
        self.start + Duration::from_micros(self.now)
    }

    /// One half has the link now, and the other one when the word of it has come.
    pub(crate) fn add(&mut self, paces: [Pace; 2], first: usize) {
        let id = LinkId(self.next_id);
        self.next_id += 1;
        let mut link = Link::new(id, paces);
        link.is_held_by[first] = true;
        link.ways[first].fly(self.now, Parcel::Open);
        self.links.push(link);
        let at = self.at();
        self.halves[first].bond.add_link(at, id);
        self.halves[first].is_due = true;
    }

    pub(crate) fn kill(&mut self, at: usize, known_after: [Micros; 2]) {
        let known = known_after.map(|after| self.now + after);
        self.links[at].die(known);
        self.bury();
    }

    pub(crate) fn retire(&mut self, at: usize) {
        let instant = self.at();
        let link = &mut self.links[at];
        link.is_retiring = true;
        self.halves[UP].bond.retire_link(instant, link.id);
        self.halves[UP].is_due = true;
    }

    /// Goes on until this time. False if nothing will ever happen again.
    pub(crate) fn run(&mut self, until: Micros) -> bool {
        self.settle();
        while let Some(next) = self.next_change() {
            if next > until {
                self.now = until;
                return true;
            }
            self.now = next;
            self.step();
            self.settle();
        }
        self.now = until;
        false
    }

    /// Something changes at a time to come, or by the bonds' wishes now.
    pub(crate) fn next_change(&self) -> Option<Micros> {
        let links = self.links.iter().filter_map(|link| link.next_change(self.now));
        let programs = self.halves.iter().filter_map(|half| half.program.next_change(self.now));
        let bonds = self.halves.iter().filter_map(|half| self.wish(half)).map(|at| {
            // It was told the time just now, and wants it all the same.
            if at <= self.now { self.now + SPIN } else { at }
        });
        links.chain(programs).chain(bonds).min()
    }

    /// When a bond wants to be told the time.
    fn wish(&self, half: &Half) -> Option<Micros> {
        let at = half.bond.poll_timeout()?;
        Some(at.saturating_duration_since(self.start).as_nanos().div_ceil(1000) as Micros)
    }

    /// All that happens at this moment.
    fn step(&mut self) {
        let at = self.at();
        self.bury();
        self.deliver();
        for half in &mut self.halves {
            let wish = half.bond.poll_timeout().is_some_and(|wish| wish <= at);
            half.wakes += u64::from(wish);
            half.is_due = true;
            if wish || self.driving.tells_time {
                half.bond.handle_timeout(at);
            }
        }
    }

    /// The halves get to know of links that died.
    fn bury(&mut self) {
        let at = self.at();
        for link in &mut self.links {
            let Some(known) = link.dead else { continue };
            for (half, known) in known.into_iter().enumerate() {
                if known <= self.now && std::mem::take(&mut link.is_held_by[half]) {
                    self.halves[half].bond.remove_link(at, link.id);
                    self.halves[half].is_due = true;
                }
            }
        }
        self.links.retain(|link| link.is_alive() || link.is_held_by.contains(&true));
    }

    fn deliver(&mut self) {
        let (now, at) = (self.now, self.at());
        for link in self.links.iter_mut().filter(|link| link.is_alive()) {
            let id = link.id;
            for way in [UP, DOWN] {
                link.ways[way].drain(now);
                let half = &mut self.halves[1 - way];
                while let Some(parcel) = link.ways[way].arrived(now) {
                    half.is_due = true;
                    match parcel {
                        Parcel::Open => {
                            half.bond.add_link(at, id);
                            link.is_held_by[1 - way] = true;
                        }
                        Parcel::Bytes(bytes) if link.is_held_by[1 - way] => {
                            half.bond.handle_bytes(at, id, &bytes).unwrap();
                        }
                        Parcel::Bytes(_) => {}
                        Parcel::Close => {
                            half.bond.remove_link(at, id);
                            link.is_held_by[1 - way] = false;
                            link.dead = Some([now; 2]);
                        }
                    }
                }
            }
        }
        self.bury();
    }

    /// Drains both halves of what they have to say and to send, until they have no more.
    fn settle(&mut self) {
        for half in [UP, DOWN] {
            if std::mem::take(&mut self.halves[half].is_due) {
                let mut rounds = 0;
                while self.drain(half) {
                    rounds += 1;
                    assert!(rounds < 10_000, "half {half} never settles");
                }
                self.see_bounds(half);
                self.see_spins(half);
            }
        }
    }

    /// Whether anything was there to drain.
    fn drain(&mut self, half: usize) -> bool {
        let (now, at) = (self.now, self.at());
        let mut is_moved = self.hear(half);
        let Half { bond, program, .. } = &mut self.halves[half];
        is_moved |= program.act(now, at, bond);
        self.see_times(1 - half);
        is_moved |= self.transmit(half);
        // What was handed over may have made room.
        is_moved | self.hear(half)
    }

    /// Whether the bond has said anything.
    fn hear(&mut self, half: usize) -> bool {
        let all = self.halves[1 - half].program.all();
        let mut is_moved = false;
        while let Some(event) = self.halves[half].bond.poll_event() {
            is_moved = true;
            match event {
                Event::Stalled(_) => self.halves[half].stalls += 1,
                Event::Retired(id) => self.retired(half, id),
                event => self.halves[half].program.handle(event, all),
            }
        }
        is_moved
    }

    fn retired(&mut self, half: usize, id: LinkId) {
        let at = self.at();
        self.halves[half].retired += 1;
        let Some(index) = self.links.iter().position(|link| link.id == id) else { return };
        if half == DOWN {
            return;
        }
        if self.cuts_retired {
            return self.kill(index, [0; 2]);
        }
        let link = &mut self.links[index];
        link.is_held_by[UP] = false;
        link.ways[UP].fly(self.now, Parcel::Close);
        self.halves[UP].bond.remove_link(at, id);
    }

    fn transmit(&mut self, half: usize) -> bool {
        let (now, at, driving) = (self.now, self.at(), self.driving);
        let Half { bond, bytes, .. } = &mut self.halves[half];
        let before = *bytes;
        for link in self.links.iter_mut().filter(|link| link.is_held_by[half]) {
            let (is_alive, way) = (link.is_alive(), &mut link.ways[half]);
            loop {
                let room = match half {
                    DOWN => driving.room,
                    _ if is_alive && way.opens() <= now => way.pace.bytes,
                    _ => 0,
                };
                let mut out = Vec::new();
                if room > 0 || driving.polls_full {
                    let count = bond.poll_transmit(at, link.id, room, &mut out);
                    assert!(count == out.len() && count <= room, "{count} bytes, {} written, room {room}", out.len());
                }
                if out.is_empty() {
                    break;
                }
                *bytes += out.len() as u64;
                match half {
                    // What is written to a connection that is gone is lost.
                    DOWN if is_alive => way.queue.extend(out),
                    DOWN => {}
                    _ => way.depart(now, out),
                }
            }
            if half == DOWN {
                way.drain(now);
            }
        }
        *bytes > before
    }

    /// Neither half holds more than it may.
    fn see_bounds(&self, half: usize) {
        let Half { bond, program, .. } = &self.halves[half];
        let (stats, window) = (bond.stats(), self.driving.window);
        assert!(stats.held <= window, "half {half} holds {} received bytes", stats.held);
        assert!(bond.undelivered() <= window, "half {half} holds {} bytes to send", bond.undelivered());
        assert_eq!(stats.sent + stats.queued as u64, program.written, "half {half}: {stats:?}");
        let peer = self.halves[1 - half].program.read;
        assert!(stats.sent <= peer + window as u64, "half {half} sent {}, and {peer} are read", stats.sent);
        assert!(stats.delivered <= self.halves[1 - half].bond.stats().received, "half {half}: {stats:?}");
    }

    /// No bond asks for a time that has passed, again and again: its driver would turn at full speed. Where it is not told
    /// that its links have no room, it cannot know.
    fn see_spins(&mut self, half: usize) {
        let (now, at) = (self.now, self.at());
        let is_told = self.driving.polls_full || !self.links.iter().any(|link| link.is_held_by[half]);
        let links = &self.links;
        let Half { bond, spins_since, spun, spun_longest, .. } = &mut self.halves[half];
        if bond.poll_timeout().is_none_or(|wish| wish > at) {
            *spins_since = None;
            return;
        }
        let since = *spins_since.get_or_insert(now);
        *spun += SPIN;
        *spun_longest = (now - since).max(*spun_longest);
        assert!(
            !is_told || now - since < LONGEST_SPIN,
            "half {half} wants the time again and again, at {} ms: {bond:?}, {links:?}",
            now / 1000
        );
    }

    /// Timed messages that have been read.
    fn see_times(&mut self, writer: usize) {
        let read = self.halves[1 - writer].program.read;
        while let Some((_, sent)) = self.halves[writer].program.keys.pop_front_if(|(end, _)| *end <= read) {
            if sent >= self.sees_times_from {
                self.times[writer].push(self.now - sent);
            }
        }
    }
}
