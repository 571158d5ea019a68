//! What a seed means: the network, the agent, and everything that happens to them.

use std::time::Duration;

use ssm_channel::Service;
use standin::{AgentConfig, LinkConfig};

/// Something that begins at a time after the start, and how long it lasts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spell {
    pub(crate) at: Duration,
    pub(crate) lasts: Duration,
}

/// Bytes that become available at a time after the start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Write {
    pub(crate) at: Duration,
    pub(crate) bytes: usize,
}

/// Who ends the session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ender {
    /// The client, right behind its last byte.
    Client,
    /// sshd closes its connection.
    Peer,
    /// The service closes the channel.
    Service,
}

/// What the service does about a message whose payload is larger than it likes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Oversize {
    /// Nothing: it is forwarded.
    Taken,
    /// It is forwarded, and the client is told to pause.
    TakenWithPause,
    /// It goes nowhere, and the client is told to pause.
    RefusedWithPause,
    /// It goes nowhere, and the client's socket is closed.
    RefusedWithClose,
}

/// One world, before it is run.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) seed: u64,
    pub(crate) agent: AgentConfig,
    /// How long the agent takes to connect to sshd.
    pub(crate) connect: Duration,
    pub(crate) up: LinkConfig,
    pub(crate) down: LinkConfig,
    pub(crate) service: Service,
    /// What happens to payloads of more than 1024 bytes.
    pub(crate) oversize: Oversize,
    /// The same from the first cut of the client's socket on, if the next one leads to another cell.
    pub(crate) oversize_later: Option<Oversize>,
    /// Written by ssh.
    pub(crate) upload: Vec<Write>,
    /// Written by sshd.
    pub(crate) download: Vec<Write>,
    /// The client's socket is away; frames under way are lost.
    pub(crate) client_cuts: Vec<Spell>,
    /// The agent's socket is away.
    pub(crate) agent_cuts: Vec<Spell>,
    /// The client is told to pause; `lasts` of zero means that it is never told to go on.
    pub(crate) pauses: Vec<Spell>,
    /// sshd reads nothing.
    pub(crate) peer_stalls: Vec<Spell>,
    /// ssh reads nothing.
    pub(crate) reader_stalls: Vec<Spell>,
    /// When somebody ends the session whatever its state; otherwise it ends when all is delivered.
    pub(crate) ends_at: Option<Duration>,
    pub(crate) ender: Ender,
}

impl Script {
    /// The script of a seed.
    pub(crate) fn of(seed: u64) -> Self {
        let mut dice = Dice(fastrand::Rng::with_seed(seed));
        let span = dice.pick(&[50, 500, 5_000]);
        let calm = dice.one_in(4);
        Self {
            seed,
            agent: dice.agent(),
            connect: dice.up_to(20),
            // The agent does not check digests: no client can mend what is changed on the way up.
            up: if calm { LinkConfig::default() } else { LinkConfig { corrupt: 0.0, ..dice.link() } },
            down: if calm { LinkConfig::default() } else { dice.link() },
            service: if dice.one_in(4) { Service::Unlimited } else { Service::Aws },
            oversize: Oversize::Taken,
            oversize_later: None,
            upload: dice.writes(span),
            download: dice.writes(span),
            client_cuts: dice.spells(3, span, 3_000),
            agent_cuts: if dice.one_in(3) { dice.spells(2, span, 3_000) } else { vec![] },
            pauses: if dice.one_in(3) { dice.spells(2, span, 1_000) } else { vec![] },
            peer_stalls: if dice.one_in(4) { dice.spells(2, span, 20_000) } else { vec![] },
            reader_stalls: if dice.one_in(4) { dice.spells(2, span, 5_000) } else { vec![] },
            ends_at: dice.one_in(5).then(|| dice.up_to(span * 2)),
            ender: dice.pick(&[Ender::Client, Ender::Client, Ender::Peer, Ender::Service]),
        }
    }
}

impl Script {
    /// A world with an upload long enough for larger messages to be tried, and little else.
    pub(crate) fn of_bulk(seed: u64) -> Self {
        let script = Self::of(seed);
        let mut dice = Dice(fastrand::Rng::with_seed(seed));
        let link = |dice: &mut Dice| LinkConfig {
            loss: dice.pick(&[0.0, 0.0, 0.01]),
            delay: dice.pick(&[0, 1, 20, 100]).millis(),
            jitter: dice.up_to(5),
            ..LinkConfig::default()
        };
        let choices =
            [Oversize::Taken, Oversize::TakenWithPause, Oversize::RefusedWithPause, Oversize::RefusedWithClose];
        Self {
            agent: AgentConfig { version: "3.3.2299.0".to_owned(), ..script.agent },
            up: link(&mut dice),
            down: link(&mut dice),
            service: Service::Aws,
            oversize: dice.pick(&choices),
            upload: vec![Write { at: Duration::ZERO, bytes: 2_500_000 }],
            client_cuts: vec![],
            agent_cuts: vec![],
            pauses: vec![],
            peer_stalls: vec![],
            reader_stalls: vec![],
            ends_at: None,
            ender: Ender::Client,
            ..script
        }
    }
}

impl Script {
    /// A path without loss, on which bytes go both ways all the time and the service pauses ten times in a second.
    pub(crate) fn of_pauses(seed: u64, service: Service) -> Self {
        let mut dice = Dice(fastrand::Rng::with_seed(seed));
        let delay = dice.pick(&[1, 20, 50]).millis();
        let link = || LinkConfig { delay, ..LinkConfig::default() };
        let bulk = Self::of_bulk(seed);
        let traffic: Vec<Write> = (0..200).map(|n| Write { at: (n * 20).millis(), bytes: 4096 }).collect();
        let pause = |n: u64| Spell { at: (1_000 + n * 100).millis(), lasts: dice.up_to(30) + 1.millis() };
        Self {
            up: link(),
            down: link(),
            pauses: (0..10).map(pause).collect(),
            service,
            oversize: Oversize::Taken,
            upload: traffic.clone(),
            download: traffic,
            agent: AgentConfig { refuse_first: 0, ..bulk.agent },
            ..bulk
        }
    }

    /// A world with an upload whose larger messages the service takes, until a new socket leads to another cell.
    /// `goes_on` says whether bytes are on their way then.
    pub(crate) fn of_cells(later: Oversize, goes_on: bool) -> Self {
        let cut = Spell { at: Duration::from_secs(18), lasts: 200.millis() };
        let until = if goes_on { Duration::from_secs(19) } else { Duration::from_secs(16) };
        // Ssh writes as fast as larger messages can go, and once more after the cut.
        let upload = (0..until.as_millis() as u64 / 10).map(|n| Write { at: (n * 10).millis(), bytes: 13_000 });
        let after = Write { at: Duration::from_secs(25), bytes: 2_000_000 };
        let link = || LinkConfig { delay: 50.millis(), ..LinkConfig::default() };
        Self {
            up: link(),
            down: link(),
            oversize: Oversize::Taken,
            oversize_later: Some(later),
            upload: upload.chain([after]).collect(),
            download: vec![],
            client_cuts: vec![cut],
            ..Self::of_bulk(0)
        }
    }
}

struct Dice(fastrand::Rng);

impl Dice {
    fn one_in(&mut self, n: u32) -> bool {
        self.0.u32(..n) == 0
    }

    fn pick<T: Copy, const N: usize>(&mut self, choices: &[T; N]) -> T {
        self.0.choice(*choices).unwrap_or_else(|| unreachable!("there is always a choice"))
    }

    fn up_to(&mut self, millis: u64) -> Duration {
        Duration::from_micros(self.0.u64(..=millis * 1000))
    }

    fn agent(&mut self) -> AgentConfig {
        AgentConfig {
            version: self.pick(&["3.3.2299.0", "3.2.1041.0", "3.2.1040.0", "3.1.0.0"]).to_owned(),
            spacing: self.pick(&[Duration::ZERO, Duration::from_millis(1)]),
            request_delay: self.up_to(50),
            complete_delay: self.up_to(20),
            complete_gap: self.up_to(5),
            complete_before_ack: self.one_in(2),
            duplicate_request: self.one_in(4),
            refuse_first: if self.one_in(4) { self.0.u32(..5) } else { 0 },
            unknown_action: false,
            customer_message: self.pick(&["", "hello"]).to_owned(),
            ..AgentConfig::default()
        }
    }

    fn link(&mut self) -> LinkConfig {
        let chance = |dice: &mut Self, most: f64| if dice.one_in(2) { dice.0.f64() * most } else { 0.0 };
        LinkConfig {
            loss: chance(self, 0.3),
            duplicate: chance(self, 0.2),
            reorder: chance(self, 0.3),
            reorder_by: self.up_to(300),
            corrupt: chance(self, 0.05),
            delay: self.pick(&[0, 1, 20, 100, 250, 2_000]).min(if self.one_in(4) { 2_000 } else { 100 }).millis(),
            jitter: if self.one_in(3) { self.up_to(2_000) } else { self.up_to(20) },
            frames_per_second: if self.one_in(6) { Some(self.0.u32(20..500)) } else { None },
            ..LinkConfig::default()
        }
    }

    fn writes(&mut self, span: u64) -> Vec<Write> {
        // Now and then enough to fill more than a second at the service's pace.
        let most = if self.one_in(200) { 400_000 } else { self.pick(&[10, 2_000, 2_000, 20_000]) };
        let count = self.0.usize(..12);
        let mut writes: Vec<Write> =
            (0..count).map(|_| Write { at: self.up_to(span), bytes: self.0.usize(1..=most) }).collect();
        writes.sort_by_key(|write| write.at);
        writes
    }

    fn spells(&mut self, most: usize, span: u64, lasts: u64) -> Vec<Spell> {
        let count = self.0.usize(..=most);
        let spell = |dice: &mut Self| Spell {
            at: dice.up_to(span),
            lasts: if dice.one_in(4) { Duration::ZERO } else { dice.up_to(lasts) },
        };
        (0..count).map(|_| spell(self)).collect()
    }
}

trait Millis {
    fn millis(self) -> Duration;
}

impl Millis for u64 {
    fn millis(self) -> Duration {
        Duration::from_millis(self)
    }
}
