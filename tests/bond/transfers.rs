//! Files arrive whole by every tool, over one session and over several.

use std::fs;
use std::path::Path;

use fixtures::standin::Options;
use fixtures::{HOST, same_tree, tree};

use super::{EIGHT, FOUR, Node, UNPACED, Way, copies};

#[test]
fn scp_over_four_sessions_up_and_down() {
    let node = Node::known(FOUR, Options::default());
    for way in [Way::Up, Way::Down] {
        copies(&node.bench, way, 6 << 20, |_| {});
    }
    // Each grows to four; to fewer where the machine is too busy for more to bring anything.
    let sessions = node.finish().sessions.len();
    assert!((2 + 2 + 2..=2 + 4 + 4).contains(&sessions), "{sessions}");
}

#[test]
fn scp_over_eight_sessions() {
    let node = Node::known(EIGHT, Options::default());
    copies(&node.bench, Way::Down, 24 << 20, |_| {});
    let sessions = node.finish().sessions.len();
    assert!((2 + 2..=2 + 8).contains(&sessions), "{sessions}");
}

#[test]
fn scp_in_bulk() {
    let node = Node::known(UNPACED, Options::default().unpaced());
    for way in [Way::Up, Way::Down] {
        copies(&node.bench, way, 32 << 20, |_| {});
    }
    node.finish();
}

#[test]
fn sftp_rsync_and_git() {
    let node = Node::known(UNPACED, Options::default().unpaced());
    let bench = &node.bench;
    let [here, there, back] = ["here", "there", "back"].map(|name| bench.folder().join(name));
    tree(&here, 500);
    let ssh = format!("ssh -F {}", bench.user().ssh_config().display());
    let target = format!("{HOST}:{}/", there.display());
    let rsync = bench.user().tool("rsync").args(["-a", "-e", &ssh, &format!("{}/", here.display()), &target]);
    let _ = rsync.run().ok();
    same_tree(&here, &there);
    let batch = format!("get -r {} {}\n", there.display(), back.display());
    let _ = bench.user().openssh("sftp").args(["-b", "-", HOST]).run_with(batch).ok();
    same_tree(&there, &back);
    let git = |folder: &Path| {
        let tool = bench.user().tool("git").env("GIT_SSH_COMMAND", &ssh).arg("-C").arg(folder);
        tool.args(["-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"])
    };
    let _ = git(&there).args(["init", "--quiet", "--initial-branch=main"]).run().ok();
    let _ = git(&there).args(["add", "."]).run().ok();
    let _ = git(&there).args(["commit", "--quiet", "--message=one"]).run().ok();
    let url = format!("ssh://{HOST}{}", there.display());
    let _ = git(bench.folder()).args(["clone", "--quiet", &url, "clone"]).run().ok();
    let _ = git(&bench.folder().join("clone")).args(["fsck", "--full"]).run().ok();
    assert!(fs::exists(bench.folder().join("clone/folder 0/0.txt")).unwrap());
    node.finish();
}
