//! Files arrive whole, both ways, by every tool that copies them over ssh.

#![allow(clippy::expect_used, reason = "a test ends where its files cannot be written or read")]

use std::fs;
use std::path::Path;

use fixtures::{Bench, Done, HOST, noise, same_tree, tree};

/// Large enough for windows to fill and for sequence numbers in the ten thousands.
const BULK: usize = 32 << 20;

/// At the service's limits a transfer runs at less than 1 MB/s.
const AT_LIMITS: usize = 2 << 20;

#[test]
fn scp_at_the_services_limits() {
    up_and_down(Bench::open(), AT_LIMITS, scp);
}

#[test]
fn scp_in_bulk() {
    up_and_down(Bench::unpaced(), BULK, scp);
}

#[test]
fn legacy_scp_at_the_services_limits() {
    up_and_down(Bench::open(), AT_LIMITS, legacy_scp);
}

#[test]
fn legacy_scp_in_bulk() {
    up_and_down(Bench::unpaced(), BULK, legacy_scp);
}

#[test]
fn sftp_at_the_services_limits() {
    up_and_down(Bench::open(), AT_LIMITS, sftp);
}

#[test]
fn sftp_in_bulk() {
    up_and_down(Bench::unpaced(), BULK, sftp);
}

#[test]
fn rsync_copies_a_tree_of_small_files_and_then_has_nothing_to_do() {
    let bench = Bench::open();
    let (here, there) = (bench.folder().join("here"), bench.folder().join("there"));
    tree(&here, 2000);
    let rsync = || {
        let tool = bench.user().tool("rsync").args(["-a", "--itemize-changes"]);
        let ssh = format!("ssh -F {}", bench.user().ssh_config().display());
        tool.args(["-e", &ssh, &format!("{}/", here.display()), &format!("{HOST}:{}/", there.display())])
    };
    let first = rsync().run().ok();
    assert!(first.text().lines().count() > 2000, "the first run names each file: {first}");
    same_tree(&here, &there);
    let second = rsync().run().ok();
    assert_eq!(second.text(), "", "the second run has nothing to do");
    bench.finish();
}

#[test]
fn git_clones_and_pushes() {
    let bench = Bench::open();
    let (origin, clone) = (bench.folder().join("origin"), bench.folder().join("clone"));
    let git = |folder: &Path| {
        let ssh = format!("ssh -F {}", bench.user().ssh_config().display());
        let tool = bench.user().tool("git").env("GIT_SSH_COMMAND", ssh).arg("-C").arg(folder);
        tool.args(["-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"])
    };
    tree(&origin, 300);
    let _ = git(&origin).args(["init", "--quiet", "--initial-branch=main"]).run().ok();
    let _ = git(&origin).args(["add", "."]).run().ok();
    let _ = git(&origin).args(["commit", "--quiet", "--message=one"]).run().ok();

    let url = format!("ssh://{HOST}{}", origin.display());
    let _ = git(bench.folder()).args(["clone", "--quiet", &url, "clone"]).run().ok();
    let head = |folder: &Path, name: &str| git(folder).args(["rev-parse", name]).run().ok().text();
    assert_eq!(head(&clone, "HEAD"), head(&origin, "main"));
    let _ = git(&clone).args(["fsck", "--full"]).run().ok();

    let _ = git(&clone).args(["commit", "--quiet", "--allow-empty", "--message=two"]).run().ok();
    let _ = git(&clone).args(["push", "--quiet", "origin", "HEAD:refs/heads/pushed"]).run().ok();
    assert_eq!(head(&origin, "pushed"), head(&clone, "HEAD"));
    bench.finish();
}

/// Which way a copy goes.
enum Way {
    Up,
    Down,
}

/// Copies a file to the target and back, and compares each copy with what was sent.
fn up_and_down(bench: Bench, length: usize, copy: impl Fn(&Bench, Way, &Path, &Path) -> Done) {
    let [here, there, back] = ["here", "there", "back"].map(|name| bench.folder().join(name));
    let content = noise(length as u64, length);
    fs::write(&here, &content).expect("room for the file");
    for (way, from, to) in [(Way::Up, &here, &there), (Way::Down, &there, &back)] {
        let done = copy(&bench, way, from, to).ok();
        let arrived = fs::read(to).expect("the copy");
        assert!(arrived == content, "{} bytes went, {} other ones arrived: {done}", content.len(), arrived.len());
    }
    bench.finish();
}

fn scp(bench: &Bench, way: Way, from: &Path, to: &Path) -> Done {
    scp_with(bench, &[], way, from, to)
}

/// The protocol that scp spoke before OpenSSH 9.
fn legacy_scp(bench: &Bench, way: Way, from: &Path, to: &Path) -> Done {
    scp_with(bench, &["-O"], way, from, to)
}

fn scp_with(bench: &Bench, options: &[&str], way: Way, from: &Path, to: &Path) -> Done {
    let (from, to) = match way {
        Way::Up => (from.display().to_string(), format!("{HOST}:{}", to.display())),
        Way::Down => (format!("{HOST}:{}", from.display()), to.display().to_string()),
    };
    bench.user().openssh("scp").args(options).args([from, to]).run()
}

fn sftp(bench: &Bench, way: Way, from: &Path, to: &Path) -> Done {
    let verb = match way {
        Way::Up => "put",
        Way::Down => "get",
    };
    let batch = format!("{verb} {} {}\n", from.display(), to.display());
    bench.user().openssh("sftp").args(["-b", "-", HOST]).run_with(batch)
}
