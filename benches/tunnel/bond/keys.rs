//! A key's echo beside bulk: by the real ssh and sshd, and with bare peers, which show what the bond alone makes wait.

use std::io;
use std::thread;
use std::time::Duration;

use fixtures::{HOST, Sshd, User};

use super::node::Node;
use super::peer::{self, Echoed};
use super::{Carrier, GOAL, name};
use crate::latency::{Bulk, Order, Typed, type_beside};
use crate::rig::{Scene, Subject};
use crate::stats::Samples;
use crate::table::Row;

/// From the last session on, no key is pressed for this long.
const WARM_UP: Duration = Duration::from_secs(3);
const CARRIERS: [Carrier; 3] = [Carrier::Plain, Carrier::Bond(1), Carrier::Bond(8)];

pub(super) fn measure(subject: &Subject, quick: bool, take: &mut dyn FnMut(Row)) {
    let keys = if quick { 150 } else { 400 };
    let orders = [Some(Order::TerminalFirst), Some(Order::BulkFirst), None];
    for (round_trip, order) in orders.map(|order| (20, order)).into_iter().chain([(100, orders[0])]) {
        for up in [true, false] {
            rows_of(subject, up, order, Duration::from_millis(round_trip), keys, take);
        }
    }
}

/// Rows of ssh with its connections in this order; without one of bare peers.
fn rows_of(
    subject: &Subject,
    up: bool,
    order: Option<Order>,
    round_trip: Duration,
    keys: usize,
    take: &mut dyn FnMut(Row),
) {
    let mut plain = None;
    for carrier in Carrier::and_baseline(subject, &CARRIERS) {
        let peers = match order {
            Some(Order::TerminalFirst) => "ssh",
            Some(Order::BulkFirst) => "ssh, terminal opened last",
            None => "bare peers",
        };
        let what = format!("key beside {}, {} ms, {peers}: {}", name(up), round_trip.as_millis(), carrier.name());
        let measured = match order {
            Some(order) => through_ssh(subject, carrier, up, order, round_trip, keys),
            None => through_peers(subject, carrier, up, round_trip, keys),
        };
        let row = measured.map(|Keys { extra, bulk, complaints }| {
            let median = extra.median();
            let row = Row::new(GOAL, &what, format!("{median:.1} ms extra")).spread(format!(
                "p99 {:.0}, most {:.0}; bulk {:.2} MB/s{complaints}",
                extra.p99(),
                extra.most(),
                bulk / 1e6
            ));
            let Some(plain) = plain else {
                plain = Some(median);
                return row;
            };
            let row = row.baseline(format!("{plain:.1} ms plain session"));
            match wanted(carrier, up) {
                Some(wanted) => row.target(format!("below {wanted} ms"), median < wanted),
                None => row,
            }
        });
        take(Row::or_missed(GOAL, &what, row));
    }
}

/// The median that is wanted, in milliseconds.
fn wanted(carrier: Carrier, up: bool) -> Option<f64> {
    match carrier {
        Carrier::Bond(8) => Some(60.0),
        Carrier::Bond(1) if !up => Some(100.0),
        _ => None,
    }
}

/// Extra times of keys above the path's round trip, and the rate of the bulk beside them.
struct Keys {
    extra: Samples,
    bulk: f64,
    complaints: String,
}

fn scene(round_trip: Duration) -> Scene {
    Scene { round_trip: Some(round_trip), ..Scene::default() }
}

/// A shared connection of ssh, with a terminal and bulk beside it.
fn through_ssh(
    subject: &Subject,
    carrier: Carrier,
    up: bool,
    order: Order,
    round_trip: Duration,
    keys: usize,
) -> io::Result<Keys> {
    let folder = tempfile::Builder::new().prefix("ssm-proxy-bench-").tempdir()?;
    let sshd = Sshd::start(&folder.path().join("sshd"));
    let node = Node::new(scene(round_trip), sshd.address(), subject, carrier)?;
    let variables = node.rig.variables.clone();
    let home = node.folder("home");
    let user = User::new(&home, &subject.program, &carrier.command(subject), &sshd, variables);
    let first = user.openssh("ssh").args([HOST, "true"]).run();
    if !first.status.success() {
        return Err(io::Error::other(first.stderr));
    }
    if carrier.is_ours() {
        node.is_known()?;
    }
    node.has_ended()?;
    let warm_up = || {
        node.grown(carrier.sessions())?;
        thread::sleep(WARM_UP);
        Ok(())
    };
    let bulk = if up { Bulk::Up } else { Bulk::Down };
    let Typed { extra, bulk } = type_beside(&user, bulk, order, round_trip, keys, warm_up, || node.carried(up))?;
    Ok(Keys { extra, bulk: bulk.unwrap_or_default(), complaints: node.complaints() })
}

/// Peers that hold nothing back themselves.
fn through_peers(subject: &Subject, carrier: Carrier, up: bool, round_trip: Duration, keys: usize) -> io::Result<Keys> {
    let far = peer::listen(up)?;
    let node = Node::new(scene(round_trip), far, subject, carrier)?;
    node.introduce(subject)?;
    let mut client = node.start(subject, carrier)?;
    let mut pipes = peer::Pipes::new(&mut client, up)?;
    node.grown(carrier.sessions())?;
    thread::sleep(WARM_UP);
    let before = node.carried(up);
    let Echoed { times, took } = pipes.press(keys)?;
    let bulk = (node.carried(up) - before) as f64 / took.as_secs_f64();
    let extra = times.into_iter().map(|time| time.saturating_sub(round_trip));
    Ok(Keys { extra: Samples::milliseconds(extra), bulk, complaints: node.complaints() })
}
