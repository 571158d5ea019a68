//! How long a login takes: from `ssh` to the first line of its command.

use std::io;
use std::time::{Duration, Instant};

use fixtures::{HOST, Sshd, User};

use super::node::Node;
use super::{Carrier, GOAL};
use crate::rig::{Scene, Subject};
use crate::stats::Samples;
use crate::table::Row;

const ROUND_TRIP: Duration = Duration::from_millis(100);

/// A node, and what is known of it before each login.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Case {
    Plain,
    Known,
    /// The joiner is there, and nobody has been there yet.
    First,
    /// There is no joiner, and nobody has been there yet.
    Without,
}

impl Case {
    const ALL: [Self; 4] = [Self::Plain, Self::Known, Self::First, Self::Without];

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "without --bond",
            Self::Known => "--bond, a joiner that is known",
            Self::First => "--bond, the first time",
            Self::Without => "--bond, the first time, no joiner",
        }
    }
}

pub(super) fn measure(subject: &Subject, quick: bool, take: &mut dyn FnMut(Row)) {
    match rows(subject, quick) {
        Ok(rows) => rows.into_iter().for_each(take),
        Err(error) => take(Row::or_missed(GOAL, "login", Err(error))),
    }
}

fn rows(subject: &Subject, quick: bool) -> io::Result<Vec<Row>> {
    let runs = if quick { 3 } else { 10 };
    let folder = tempfile::Builder::new().prefix("ssm-proxy-bench-").tempdir()?;
    let sshd = Sshd::start(&folder.path().join("sshd"));
    let scene = || Scene { tls: true, round_trip: Some(ROUND_TRIP), ..Scene::default() };
    let nodes = [
        Node::new(scene(), sshd.address(), subject, Carrier::Bond(1))?,
        Node::without_joiner(scene(), sshd.address())?,
    ];
    let [with, without] = &nodes;
    let user = |case: Case| {
        let node = if case == Case::Without { without } else { with };
        let carrier = if case == Case::Plain { Carrier::Plain } else { Carrier::Bond(4) };
        let home = folder.path().join(format!("{case:?}"));
        let variables = node.rig.variables.clone();
        (node, User::new(&home, &subject.program, &carrier.command(subject), &sshd, variables))
    };
    let users = Case::ALL.map(user);
    let mut times = [const { Vec::new() }; Case::ALL.len()];
    // By turns, so that all meet the same machine.
    for _ in 0..runs {
        for ((case, (node, user)), times) in Case::ALL.into_iter().zip(&users).zip(&mut times) {
            if case != Case::Known {
                node.forget();
            } else {
                login(user)?;
                node.is_known()?;
            }
            times.push(login(user)?);
            node.has_ended()?;
        }
    }
    let times = times.map(Samples::milliseconds);
    let plain = times.first().map_or(f64::NAN, Samples::median);
    let rows = Case::ALL.into_iter().zip(&times).map(|(case, times)| {
        let median = times.median();
        let row = Row::new(GOAL, format!("login by ssh, TLS, 100 ms: {}", case.name()), format!("{median:.0} ms"))
            .spread(times.spread(0));
        if case == Case::Plain {
            return row;
        }
        let later = median - plain;
        let row = row.baseline(format!("{later:+.0} ms to without --bond")).ratio(median / plain);
        match case {
            Case::Without => row.target("+110 ms or less", later <= 110.0),
            _ => row,
        }
    });
    Ok(rows.collect())
}

fn login(user: &User) -> io::Result<Duration> {
    let begun = Instant::now();
    let ssh = user.openssh("ssh").args([HOST, "echo in"]).spawn();
    ssh.expect_stdout("in");
    let took = begun.elapsed();
    if ssh.ended().status.success() { Ok(took) } else { Err(io::Error::other("ssh has failed")) }
}
