//! Ansible, unmodified, over the hop: a playbook on several nodes at once, with and without pipelining.

#![allow(clippy::expect_used, reason = "a test ends where its files cannot be written or read")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fixtures::{Bench, HOST, Tool, ansible_playbook, noise};

/// Two nodes, which are the same machine here.
const NODES: [&str; 2] = [HOST, "i-0fedcba9876543210"];
/// A play takes some 10 s; a busy machine may need several times that.
const LIMIT: Duration = Duration::from_secs(180);

fn playbook() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ansible/playbook.yml")
}

/// `ansible-playbook`, in the place where `tests/run` has put it, with nothing but ssh's own configuration and ids for an
/// inventory.
fn ansible(bench: &Bench, pipelining: bool) -> Tool {
    let program = ansible_playbook();
    let ssh_config = bench.user().ssh_config();
    bench
        .user()
        .tool(program.to_str().expect("a path in UTF-8"))
        .arg("-i")
        .arg(bench.folder().join("inventory"))
        .arg("-e")
        .arg(format!("local={0} remote={0}/remote", bench.folder().display()))
        .arg(playbook())
        .env("LC_ALL", "C.UTF-8")
        // The master would outlive the play, by a minute, and its session with it.
        .env("ANSIBLE_SSH_ARGS", format!("-F {} -o ControlMaster=auto -o ControlPersist=1s", ssh_config.display()))
        .env("ANSIBLE_SSH_CONTROL_PATH_DIR", bench.folder().join("cp"))
        .env("ANSIBLE_PIPELINING", if pipelining { "True" } else { "False" })
        // The far side is this machine: its Python is the one that Ansible runs in, its files stay in the test's folder.
        .env("ANSIBLE_PYTHON_INTERPRETER", program.with_file_name("python3"))
        .env("ANSIBLE_REMOTE_TEMP", bench.folder().join("remote/tmp"))
        .env("ANSIBLE_NOCOLOR", "1")
        .limit(LIMIT)
}

#[test]
fn a_playbook_is_played_on_two_nodes_and_then_changes_nothing() {
    let bench = Bench::open();
    fs::create_dir(bench.folder().join("remote")).expect("room for the far side's files");
    fs::write(bench.folder().join("inventory"), format!("[nodes]\n{}\n", NODES.join("\n"))).expect("an inventory");
    let large = noise(9, 1_000_000);
    fs::write(bench.folder().join("large"), &large).expect("a file to copy");
    for (pipelining, changed) in [(false, "changed=4"), (true, "changed=0")] {
        let done = ansible(&bench, pipelining).run().ok();
        for node in NODES {
            let recap = done.text().lines().find(|line| line.starts_with(node)).map(str::to_owned).unwrap_or_default();
            assert!(recap.contains(changed) && recap.contains("unreachable=0") && recap.contains("failed=0"), "{done}");
            let back = fs::read(bench.folder().join("back").join(node)).expect("the file that came back");
            assert!(back == large, "{node}: other bytes came back");
        }
    }
    let report = bench.finish();
    assert!(report.sessions.len() >= NODES.len(), "each node has had a session");
}
