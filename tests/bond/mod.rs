//! `ssm-proxy --bond`: one SSH connection over several sessions, with the real joiner. A file for each theme.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where it cannot set its scene, or where its connections fail"
)]

mod endings;
mod fallbacks;
mod forwards;
mod grows;
mod login;
mod losses;
mod setup;
mod transfers;

use std::fs;
use std::path::Path;

use fixtures::standin::{Options, Report};
use fixtures::{Bench, Done, HOST, JoinerPorts, Running, Setup, noise};

/// A user whose ssh goes over up to four sessions.
const FOUR: &str = "ssm-proxy --bond -- \"%h\" %p";
/// The same over eight.
const EIGHT: &str = "ssm-proxy --bond=8 -- \"%h\" %p";
/// The same at no pace.
const UNPACED: &str = "ssm-proxy --no-pace --bond -- \"%h\" %p";

/// A bench with a joiner on its node.
struct Node {
    bench: Bench,
    joiner: Running,
}

impl Node {
    fn open(proxy_command: &'static str, standin: Options) -> Self {
        let ports = JoinerPorts::open();
        let mut standin = standin;
        standin.ports.extend(ports.leads());
        let bench = Bench::with(Setup { proxy_command, standin, ..Setup::default() });
        let joiner = ports.start(bench.sshd().address());
        Self { bench, joiner }
    }

    /// One whose joiner the user knows from a login before.
    fn known(proxy_command: &'static str, standin: Options) -> Self {
        let node = Self::open(proxy_command, standin);
        let done = node.bench.ssh().args([HOST, "echo in"]).run().ok();
        assert_eq!((done.text().as_str(), done.stderr.as_str()), ("in\n", ""));
        node
    }

    fn finish(self) -> Report {
        drop(self.joiner);
        self.bench.finish()
    }
}

/// The port that each session of the report asked for.
fn ports(report: &Report) -> Vec<String> {
    report.sessions.iter().map(|session| session.parameters["portNumber"][0].clone()).collect()
}

/// Which way a copy goes.
#[derive(Clone, Copy, Debug)]
enum Way {
    Up,
    Down,
}

/// Copies so many bytes with scp, this way, while `meanwhile` does something, and compares them.
fn copies(bench: &Bench, way: Way, length: usize, meanwhile: impl FnOnce(&Running)) -> Done {
    let [here, there] = ["here", "there"].map(|name| bench.folder().join(format!("{name}-{way:?}")));
    let content = noise(length as u64, length);
    fs::write(&here, &content).unwrap();
    let scp = bench.user().openssh("scp");
    let remote = |path: &Path| format!("{HOST}:{}", path.display());
    let scp = match way {
        Way::Up => scp.args([here.display().to_string(), remote(&there)]),
        Way::Down => scp.args([remote(&here), there.display().to_string()]),
    };
    let running = scp.spawn();
    meanwhile(&running);
    let done = running.ended().ok();
    assert!(fs::read(&there).unwrap() == content, "other bytes arrived: {done}");
    assert_eq!(done.stderr, "", "it is silent on success");
    done
}
