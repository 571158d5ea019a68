//! One link of a world: two ways, each with a pace, a delay and times in which nothing arrives.

use std::collections::VecDeque;

use ssm_bond::LinkId;

/// Microseconds since the world began.
pub(crate) type Micros = u64;

/// Client to joiner.
pub(crate) const UP: usize = 0;
/// Joiner to client.
pub(crate) const DOWN: usize = 1;

/// How fast one way of a link is, and how long it takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Bytes of a message.
    pub(crate) bytes: usize,
    /// From one message to the next.
    pub(crate) turn: Micros,
    pub(crate) delay: Micros,
}

impl Pace {
    pub(crate) fn rate(&self) -> f64 {
        self.bytes as f64 * 1e6 / self.turn as f64
    }
}

/// What is under way.
#[derive(Debug)]
pub(crate) enum Parcel {
    /// The half that gets it adds the link.
    Open,
    Bytes(Vec<u8>),
    /// The half that gets it removes the link: the other one has, and nothing follows.
    Close,
}

/// One direction of a link.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) pace: Pace,
    /// What waits before the way: an agent reads it, at its own pace. Only the way down has any.
    pub(crate) queue: VecDeque<u8>,
    /// When the next message may set out.
    pub(crate) next: Micros,
    flying: VecDeque<(Micros, Parcel)>,
    stalled_until: Micros,
    /// While it stalls it takes nothing either.
    is_held: bool,
}

impl Way {
    fn new(pace: Pace) -> Self {
        Self { pace, queue: VecDeque::new(), next: 0, flying: VecDeque::new(), stalled_until: 0, is_held: false }
    }

    pub(crate) fn stall(&mut self, until: Micros, is_held: bool) {
        (self.stalled_until, self.is_held) = (self.stalled_until.max(until), is_held);
    }

    /// When a message may set out.
    pub(crate) fn opens(&self) -> Micros {
        if self.is_held { self.next.max(self.stalled_until) } else { self.next }
    }

    /// A message sets out, and the next one may follow a turn later.
    pub(crate) fn depart(&mut self, now: Micros, bytes: Vec<u8>) {
        self.next = now + self.pace.turn;
        self.fly(now, Parcel::Bytes(bytes));
    }

    /// First in, first out, also when the way has become shorter.
    pub(crate) fn fly(&mut self, now: Micros, parcel: Parcel) {
        let last = self.flying.back().map_or(0, |(at, _)| *at);
        self.flying.push_back(((now + self.pace.delay).max(last), parcel));
    }

    /// What waits before the way, and may set out, does.
    pub(crate) fn drain(&mut self, now: Micros) {
        if !self.queue.is_empty() && self.opens() <= now {
            let count = self.queue.len().min(self.pace.bytes);
            let message = self.queue.drain(..count).collect();
            self.depart(now, message);
        }
    }

    pub(crate) fn arrived(&mut self, now: Micros) -> Option<Parcel> {
        if self.stalled_until > now {
            return None;
        }
        self.flying.pop_front_if(|(at, _)| *at <= now).map(|(_, parcel)| parcel)
    }

    /// When something changes here.
    fn next_change(&self, now: Micros) -> Option<Micros> {
        let arrival = self.flying.front().map(|(at, _)| (*at).max(self.stalled_until));
        let opening = Some(self.opens()).filter(|at| *at > now || !self.queue.is_empty());
        [arrival, opening].into_iter().flatten().min()
    }
}

/// A link, as the world sees it.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) id: LinkId,
    pub(crate) ways: [Way; 2],
    /// Which halves have it: the client, the joiner.
    pub(crate) is_held_by: [bool; 2],
    /// It carries nothing any more, and each half gets to know at this time.
    pub(crate) dead: Option<[Micros; 2]>,
    pub(crate) is_retiring: bool,
}

impl Link {
    pub(crate) fn new(id: LinkId, paces: [Pace; 2]) -> Self {
        let ways = paces.map(Way::new);
        Self { id, ways, is_held_by: [false; 2], dead: None, is_retiring: false }
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.dead.is_none()
    }

    /// All that is under way is lost.
    pub(crate) fn die(&mut self, known: [Micros; 2]) {
        self.dead = Some(known);
        for way in &mut self.ways {
            way.queue.clear();
            way.flying.clear();
        }
    }

    pub(crate) fn stalled_until(&self) -> Micros {
        self.ways.iter().map(|way| way.stalled_until).max().unwrap_or(0)
    }

    pub(crate) fn next_change(&self, now: Micros) -> Option<Micros> {
        match self.dead {
            Some(known) => (0..2).filter(|half| self.is_held_by[*half]).map(|half| known[half]).min(),
            None => self.ways.iter().filter_map(|way| way.next_change(now)).min(),
        }
    }
}
