//! Sessions are added while bulk flows, and only then; what stands in the way makes them fewer, and is no error.

use std::time::Duration;

use fixtures::HOST;
use fixtures::standin::{ApiFault, ApiRule, Options};

use super::{FOUR, Node, Way, copies};

#[test]
fn what_is_typed_takes_one_session() {
    let node = Node::known(FOUR, Options::default());
    let mut ssh = node.bench.ssh().args([HOST, "echo in; cat"]).start();
    ssh.expect_stdout("in");
    for number in 0..40 {
        let line = format!("line {number}\n");
        ssh.write(line.as_bytes());
        ssh.expect_stdout(line.trim_end());
        std::thread::sleep(Duration::from_millis(50));
    }
    let _ = ssh.finish().ok();
    assert_eq!(node.finish().sessions.len(), 2 + 1);
}

#[test]
fn sessions_that_cannot_be_had_are_done_without() {
    for fault in [ApiFault::Throttling, ApiFault::AccessDenied, ApiFault::ServerError] {
        let node = Node::known(FOUR, Options::default());
        // The first call of the transfer is its login's, the second is for another session: that is the last for a minute.
        let rule = |skip, times| ApiRule { operation: "StartSession".to_owned(), fault: fault.clone(), skip, times };
        node.bench.control().api_rule(rule(1, u32::MAX));
        copies(&node.bench, Way::Down, 4 << 20, |_| {});
        let report = node.finish();
        assert_eq!(report.sessions.len(), 2 + 1, "{fault:?}");
        assert!(report.calls_of("StartSession") > 2 + 1, "{fault:?}: no other was asked for");
    }
}
