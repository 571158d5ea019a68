//! Goal 10: what a person waits for: `ssh HOST true`, and a file that scp copies, beside a direct ssh to the same sshd.

use std::path::Path as File;
use std::time::Duration;
use std::{fs, io};

use fixtures::{HOST, Sshd, User};
use tempfile::TempDir;

use crate::path::Path;
use crate::rig::{Rig, Scene, Subject};
use crate::stats::Samples;
use crate::table::Row;

const GOAL: &str = "10 login";
/// What scp copies, in bytes.
const FILE: usize = 8_000_000;
const MEGABYTE: f64 = 1e6;

/// A machine in a region nearby and one far away; files are copied from and to the first.
pub(crate) fn measure(subject: &Subject, quick: bool) -> io::Result<Vec<Row>> {
    let (logins, copies) = if quick { (3, 1) } else { (15, 3) };
    let near = Person::new(subject, Duration::from_millis(20))?;
    let far = Person::new(subject, Duration::from_millis(100))?;
    Ok(vec![near.login(logins)?, far.login(logins)?, near.copy(true, copies)?, near.copy(false, copies)?])
}

/// Someone who reaches one sshd both ways, over paths of the same length.
struct Person {
    user: User,
    round_trip: Duration,
    rig: Rig,
    direct: Path,
    _sshd: Sshd,
    folder: TempDir,
}

/// What leads to sshd.
#[derive(Clone, Copy)]
enum Way {
    Proxied,
    Direct,
}

impl Person {
    fn new(subject: &Subject, round_trip: Duration) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("ssm-proxy-bench-").tempdir()?;
        let sshd = Sshd::start(&folder.path().join("sshd"));
        let scene = Scene { round_trip: Some(round_trip), tls: true, ..Scene::default() };
        let rig = Rig::new(scene, sshd.address())?;
        let mut direct = Path::new(round_trip, None)?;
        direct.lead_to(sshd.address());
        let home = folder.path().join("home");
        let user = User::new(&home, &subject.program, &subject.paced, &sshd, rig.variables.clone());
        Ok(Self { user, round_trip, rig, direct, _sshd: sshd, folder })
    }

    /// From exec of ssh to its end.
    fn login(&self, runs: usize) -> io::Result<Row> {
        let once = |way| self.time("ssh", way, |host| vec![host.to_owned(), "true".to_owned()]);
        let (ours, direct) = both(runs, once)?;
        let (ours, direct) = (Samples::milliseconds(ours), Samples::milliseconds(direct));
        Ok(Row::new(GOAL, self.what("ssh HOST true, TLS"), format!("{:.0} ms", ours.median()))
            .spread(ours.spread(0))
            .baseline(format!("{:.0} ms direct ssh", direct.median()))
            .ratio(ours.median() / direct.median()))
    }

    /// The file's bytes for each second of scp, its login included.
    fn copy(&self, up: bool, runs: usize) -> io::Result<Row> {
        let (here, there) = (self.folder.path().join("here"), self.folder.path().join("there"));
        let (source, target) = if up { (&here, &there) } else { (&there, &here) };
        let bytes = fixtures::noise(1, FILE);
        fs::write(source, &bytes)?;
        let once = |way| {
            fs::write(target, [])?;
            let took = self.time("scp", way, |host| {
                let remote = |file: &File| format!("{host}:{}", file.display());
                let (here, there) = (here.display().to_string(), remote(&there));
                if up { vec!["-q".to_owned(), here, there] } else { vec!["-q".to_owned(), there, here] }
            })?;
            if fs::read(target)? == bytes { Ok(took) } else { Err(io::Error::other("scp brought other bytes")) }
        };
        let (ours, direct) = both(runs, once)?;
        let rates = |times: Vec<Duration>| {
            Samples::new(times.into_iter().map(|time| FILE as f64 / MEGABYTE / time.as_secs_f64()).collect())
        };
        let (ours, direct) = (rates(ours), rates(direct));
        let what = self.what(&format!("scp of {} MB {}, TLS", FILE / 1_000_000, if up { "up" } else { "down" }));
        Ok(Row::new(GOAL, what, format!("{:.2} MB/s", ours.median()))
            .spread(ours.spread(2))
            .baseline(format!("{:.1} MB/s direct ssh", direct.median()))
            .ratio(ours.median() / direct.median()))
    }

    /// The name of a row, with what the stand-in has against the client.
    fn what(&self, what: &str) -> String {
        let complaints = self.rig.complaints();
        let note = if complaints.is_empty() { complaints } else { format!(" ({complaints})") };
        format!("{what}, {} ms{note}", self.round_trip.as_millis())
    }

    /// How long a program of OpenSSH's takes that is given these arguments.
    fn time(&self, program: &str, way: Way, arguments: impl FnOnce(&str) -> Vec<String>) -> io::Result<Duration> {
        let tool = self.user.openssh(program);
        let tool = match way {
            Way::Proxied => tool.args(arguments(HOST)),
            Way::Direct => {
                let near = self.direct.address();
                let (name, port) = (format!("HostName={}", near.ip()), format!("Port={}", near.port()));
                tool.args(["-o", &name, "-o", &port]).args(arguments("inner"))
            }
        };
        let done = tool.run();
        if done.status.success() { Ok(done.took) } else { Err(io::Error::other(done.to_string())) }
    }
}

/// Both ways by turns, so that they meet the same machine. The first run of each is a warm-up.
fn both(runs: usize, once: impl Fn(Way) -> io::Result<Duration>) -> io::Result<(Vec<Duration>, Vec<Duration>)> {
    let (mut ours, mut direct) = (Vec::new(), Vec::new());
    for _ in 0..=runs {
        ours.push(once(Way::Proxied)?);
        direct.push(once(Way::Direct)?);
    }
    Ok((ours.split_off(1), direct.split_off(1)))
}
