//! One of four sessions falls silent, or is ended: how much the stream loses of its rate, and whether of its bytes.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fixtures::standin::Fault;

use super::node::Node;
use super::{Carrier, GOAL, name};
use crate::far::BANNER;
use crate::meter::Meter;
use crate::rig::{Scene, Subject};
use crate::table::Row;

const ROUND_TRIP: Duration = Duration::from_millis(20);
const SESSIONS: usize = 4;
/// From the last session on, nothing is measured for this long.
const WARM_UP: Duration = Duration::from_secs(3);
/// How long the rate before the fault is measured, and after it.
const SPAN: Duration = Duration::from_secs(5);
const LIMIT: Duration = Duration::from_secs(30);
/// The stream repeats itself after so many bytes: a prime, so that no lost message leaves it as it was.
const PERIOD: usize = 65_521;

pub(super) fn measure(subject: &Subject, quick: bool, take: &mut dyn FnMut(Row)) {
    let faults = [("falls silent", Fault::Silent(Duration::from_secs(20))), ("is ended", Fault::Terminate)];
    let ways: &[bool] = if quick { &[false] } else { &[true, false] };
    for carrier in Carrier::and_baseline(subject, &[Carrier::Bond(SESSIONS)]) {
        for (what, fault) in &faults {
            for up in ways {
                let what = format!("{}, 20 ms, {}: one {what}", name(*up), carrier.name());
                take(Row::or_missed(GOAL, &what, survived(subject, carrier, *up, fault).map(|left| left.row(&what))));
            }
        }
    }
}

/// What is left of a stream after a fault.
struct Left {
    before: f64,
    after: f64,
    /// The longest time without a byte.
    gap: Duration,
    wrong: u64,
}

impl Left {
    fn row(&self, what: &str) -> Row {
        let share = self.after / self.before;
        Row::new(GOAL, what, format!("{:.2} MB/s", self.after / 1e6))
            .spread(format!("{} wrong bytes, {} ms without any", self.wrong, self.gap.as_millis()))
            .baseline(format!("{:.2} MB/s before", self.before / 1e6))
            .ratio(share)
            .target("0.65 or more, none wrong", share >= 0.65 && self.wrong == 0)
    }
}

fn survived(subject: &Subject, carrier: Carrier, up: bool, fault: &Fault) -> io::Result<Left> {
    let arrived = Checked::default();
    let node = Node::new(
        Scene { round_trip: Some(ROUND_TRIP), ..Scene::default() },
        listen(up, arrived.clone())?,
        subject,
        carrier,
    )?;
    node.introduce(subject)?;
    let mut client = node.start(subject, carrier)?;
    let (mut stdin, mut stdout) = (client.stdin(), client.stdout());
    stdout.read_exact(&mut [0; BANNER.len()])?;
    let meter = if up {
        thread::spawn(move || send(&mut stdin));
        arrived
    } else {
        let received = Checked::default();
        let counter = received.clone();
        thread::spawn(move || counter.check(&mut stdout));
        received
    };
    meter.meter().wait_for(1, LIMIT).ok_or_else(|| io::Error::other("nothing came within 30 s"))?;
    node.grown(SESSIONS)?;
    thread::sleep(WARM_UP + SPAN);
    let now = Instant::now();
    let before = meter.meter().rate(now - SPAN, now);
    let report = node.rig.server.report();
    let victim = report.open_sessions().nth(1).ok_or_else(|| io::Error::other("there is no second session"))?;
    node.rig.server.control().fault_on(&victim.id, fault.clone());
    let now = Instant::now();
    thread::sleep(SPAN);
    let to = now + SPAN;
    let step = Duration::from_millis(10);
    let (mut gap, mut longest, mut last) = (Duration::ZERO, Duration::ZERO, meter.meter().by(now));
    let mut at = now;
    while at < to {
        at += step;
        let count = meter.meter().by(at);
        gap = if count > last { Duration::ZERO } else { gap + step };
        (longest, last) = (longest.max(gap), count);
    }
    Ok(Left { before, after: meter.meter().rate(now, to), gap: longest, wrong: meter.wrong() })
}

fn noise() -> Vec<u8> {
    fixtures::noise(4, PERIOD)
}

fn send(to: &mut impl Write) {
    let noise = noise();
    while to.write_all(&noise).is_ok() {}
}

/// A far end that checks what comes if `up`, else sends.
fn listen(up: bool, checked: Checked) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let checked = checked.clone();
            // The end of a connection, however it comes, is the client's affair.
            thread::spawn(move || {
                let _ = stream.set_nodelay(true);
                if stream.write_all(BANNER).is_err() {
                    return;
                }
                if up { checked.check(&mut stream) } else { send(&mut stream) }
            });
        }
    });
    Ok(address)
}

/// Counts bytes, and those that are not as they were sent.
#[derive(Clone, Default)]
struct Checked(Meter, Arc<AtomicU64>);

impl Checked {
    fn check(&self, from: &mut impl Read) {
        let noise = noise();
        let mut piece = vec![0; PERIOD];
        let mut at = 0;
        while let Ok(length @ 1..) = from.read(&mut piece) {
            let expected = noise.iter().cycle().skip(at);
            let wrong = piece.iter().take(length).zip(expected).filter(|(byte, expected)| byte != expected).count();
            self.1.fetch_add(wrong as u64, Ordering::Relaxed);
            self.0.count(length);
            at = (at + length) % PERIOD;
        }
    }

    fn meter(&self) -> &Meter {
        &self.0
    }

    fn wrong(&self) -> u64 {
        self.1.load(Ordering::Relaxed)
    }
}
