//! Steady rates with every session at work, and how long it takes until they are.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use super::node::Node;
use super::{Carrier, GOAL, name};
use crate::client::{Client, Usage};
use crate::far::{BANNER, Far};
use crate::meter::Meter;
use crate::rig::{Scene, Subject};
use crate::stats::Samples;
use crate::table::Row;

/// How long the first byte may take.
const LIMIT: Duration = Duration::from_secs(30);
/// From the last session on, nothing is measured for this long: each finds out what the service takes.
const WARM_UP: Duration = Duration::from_secs(3);
/// What a bond of `n` sessions is to carry at least, in parts of `n` times what a plain one does.
const WANTED: f64 = 0.9;

pub(super) fn measure(subject: &Subject, quick: bool, take: &mut dyn FnMut(Row)) {
    let span = Duration::from_secs(if quick { 3 } else { 6 });
    for round_trip in [20, 100] {
        for up in [true, false] {
            rows_of(subject, up, round_trip, span, take);
        }
    }
}

fn rows_of(subject: &Subject, up: bool, round_trip: u64, span: Duration, take: &mut dyn FnMut(Row)) {
    let scene = || Scene { round_trip: Some(Duration::from_millis(round_trip)), ..Scene::default() };
    let mut plain = None;
    let own = [Carrier::Plain, Carrier::Bond(1), Carrier::Bond(2), Carrier::Bond(4), Carrier::Bond(8)];
    let mut carriers = Carrier::and_baseline(subject, &own);
    if subject.aggligator.is_some() {
        carriers.push(Carrier::AggligatorGrowing(8));
    }
    for carrier in carriers {
        let what = format!("{}, {round_trip} ms: {}", name(up), carrier.name());
        let result = Transfer::start(scene(), subject, carrier, up).map(|transfer| {
            let measured = transfer.measure(span);
            let row = Row::new(GOAL, &what, format!("{:.3} MB/s", measured.rate / 1e6)).spread(format!(
                "{:.3} to {:.3}{}{}",
                measured.rates.least() / 1e6,
                measured.rates.most() / 1e6,
                transfer
                    .grown
                    .map_or(String::new(), |grown| format!(", all at work after {:.1} s", grown.as_secs_f64())),
                transfer.node.complaints(),
            ));
            let Some(plain) = plain else {
                plain = Some(measured.rate);
                return row;
            };
            let ratio = measured.rate / plain / carrier.sessions() as f64;
            let row = row.baseline(format!("{} x the plain session", carrier.sessions())).ratio(ratio);
            if carrier.is_ours() { row.target(format!("{WANTED} or more"), ratio >= WANTED) } else { row }
        });
        take(Row::or_missed(GOAL, what, result));
    }
}

/// A transfer that goes on, with every session at work.
pub(super) struct Transfer {
    pub(super) node: Node,
    client: Client,
    meter: Meter,
    /// From the first byte of bulk until the last session carried some, for more than one.
    grown: Option<Duration>,
}

/// What a transfer has carried.
pub(super) struct Measured {
    pub(super) rate: f64,
    /// The rates of whole seconds.
    rates: Samples,
    pub(super) bytes: f64,
    /// What the client has used for it.
    pub(super) client: Duration,
    /// What the half on the node has.
    pub(super) far: Duration,
}

impl Transfer {
    pub(super) fn start(scene: Scene, subject: &Subject, carrier: Carrier, up: bool) -> io::Result<Self> {
        Self::with(scene, subject, carrier, up, if up { Far::Takes } else { Far::Sends })
    }

    /// Uploads if `up`, and lets the far end do what it does.
    pub(super) fn with(scene: Scene, subject: &Subject, carrier: Carrier, up: bool, far: Far) -> io::Result<Self> {
        let (address, arrived) = far.listen()?;
        let node = Node::new(scene, address, subject, carrier)?;
        node.introduce(subject)?;
        let before = arrived.by(Instant::now());
        let mut client = node.start(subject, carrier)?;
        let down = client.count_stdout();
        if up {
            client.pump_stdin();
        }
        let begun = down.wait_for(BANNER.len() as u64 + 1 - u64::from(up), LIMIT);
        let begun = if up { begun.and_then(|_| arrived.wait_for(before + 1, LIMIT)) } else { begun };
        let begun = begun.ok_or_else(|| io::Error::other("the session brought nothing within 30 s"))?;
        let grown = node.grown(carrier.sessions())?.saturating_duration_since(begun);
        let grown = (carrier.sessions() > 1).then_some(grown);
        Ok(Self { node, client, meter: if up { arrived } else { down }, grown })
    }

    /// Measures it for so long, after the warm-up.
    pub(super) fn measure(&self, span: Duration) -> Measured {
        thread::sleep(WARM_UP);
        let before = (self.client.usage().cpu, self.node.far_usage().cpu);
        let from = Instant::now();
        thread::sleep(span);
        let to = from + span;
        let after = (self.client.usage().cpu, self.node.far_usage().cpu);
        Measured {
            rate: self.meter.rate(from, to),
            rates: self.meter.rates(from, to),
            bytes: (self.meter.by(to) - self.meter.by(from)) as f64,
            client: after.0 - before.0,
            far: after.1 - before.1,
        }
    }

    /// What client and the half on the node have used so far.
    pub(super) fn usage(&self) -> (Usage, Usage) {
        (self.client.usage(), self.node.far_usage())
    }
}
