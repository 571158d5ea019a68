//! What a seed means: the connections, what each does on both sides, and the session between them.

/// When the local side closes its stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Close {
    /// Behind its last byte, although that cuts off the answer.
    AtOnce,
    /// When the far side has.
    AfterFin,
    /// When it has read the answer, whose length it knows.
    AfterAnswer,
    /// It is killed, so many milliseconds after the beginning.
    Killed(u64),
}

/// One connection. Times are in milliseconds, rates in bytes a millisecond.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) at: u64,
    /// What the local program writes.
    pub(crate) upload: usize,
    /// How fast it reads; 0 is never.
    pub(crate) reads: usize,
    /// When it begins to read, after it has connected.
    pub(crate) reads_from: u64,
    pub(crate) close: Close,
    /// How long the agent's dial takes.
    pub(crate) dial: u64,
    pub(crate) refused: bool,
    /// How fast the destination reads.
    pub(crate) takes: usize,
    /// When it begins to read, after it was connected.
    pub(crate) takes_from: u64,
    /// What it writes once it has read as much as `asks`.
    pub(crate) answer: usize,
    pub(crate) asks: usize,
    /// It closes behind its answer.
    pub(crate) closes: bool,
}

impl Connection {
    /// Whether the local program reads as fast as bytes come.
    pub(crate) fn is_prompt(&self) -> bool {
        self.reads >= 4096 && self.reads_from == 0
    }
}

/// One world, before it is run.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) connections: Vec<Connection>,
    /// One way, in milliseconds.
    pub(crate) delay: u64,
    /// When the session is away, from and until.
    pub(crate) away: Vec<(u64, u64)>,
    /// The client learns of it, and says so when it is over.
    pub(crate) tells: bool,
    /// Unread bytes that the agent's side holds for all streams.
    pub(crate) budget: usize,
    pub(crate) unread_limit: usize,
    pub(crate) in_flight_limit: usize,
    pub(crate) keep_alive: bool,
}

struct Dice(fastrand::Rng);

impl Dice {
    fn one_in(&mut self, n: u32) -> bool {
        self.0.u32(..n) == 0
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.0.usize(..choices.len())]
    }

    fn up_to(&mut self, most: u64) -> u64 {
        self.0.u64(..=most)
    }

    fn bytes(&mut self) -> usize {
        let most = self.pick(&[0, 10, 3_000, 60_000]);
        self.0.usize(..=most)
    }

    fn connection(&mut self, span: u64) -> Connection {
        let upload = self.bytes();
        let closes = !self.one_in(3);
        let close = match self.pick(&[0, 1, 1, 1, 2, 2, 3]) {
            0 => Close::AtOnce,
            1 if closes => Close::AfterFin,
            3 => Close::Killed(self.up_to(2_000)),
            _ => Close::AfterAnswer,
        };
        Connection {
            at: self.up_to(span),
            upload,
            reads: if self.one_in(3) { self.pick(&[0, 100, 400, 2_000]) } else { 1 << 20 },
            reads_from: if self.one_in(6) { self.up_to(8_000) } else { 0 },
            close,
            dial: self.pick(&[0, 1, 1, 20, 20, 300]) + if self.one_in(25) { 9_000 } else { 0 },
            refused: self.one_in(8),
            takes: self.pick(&[1 << 20, 1 << 20, 1 << 20, 50]),
            takes_from: if self.one_in(12) { self.up_to(25_000) } else { 0 },
            answer: self.bytes() * self.pick(&[1, 1, 4]),
            asks: if self.one_in(2) { 0 } else { self.0.usize(..=upload) },
            closes,
        }
    }
}

impl Script {
    /// The script of a seed.
    pub(crate) fn of(seed: u64) -> Self {
        let mut dice = Dice(fastrand::Rng::with_seed(seed));
        let span = dice.pick(&[0, 100, 2_000]);
        let count = dice.pick(&[1, 2, 4, 8, 12]);
        let mut connections: Vec<Connection> = (0..count).map(|_| dice.connection(span)).collect();
        connections.sort_by_key(|connection| connection.at);
        let away = match dice.one_in(4) {
            true => {
                let from = dice.up_to(1_500);
                vec![(from, from + dice.pick(&[50, 900, 14_000]))]
            }
            false => vec![],
        };
        Self {
            connections,
            delay: dice.pick(&[0, 1, 20, 100]),
            away,
            tells: dice.one_in(2),
            budget: dice.pick(&[20_000, 100_000, 4 << 20]),
            unread_limit: dice.pick(&[30_000, 60_000, 16 << 20]),
            in_flight_limit: dice.pick(&[5_000, 50_000, 256 << 10]),
            keep_alive: dice.one_in(4),
        }
    }
}
