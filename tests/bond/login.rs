//! A login costs what it costs without a bond.

use fixtures::standin::Options;
use fixtures::{FIRST_PORT, HOST};

use super::{FOUR, Node, ports};

#[test]
fn a_login_is_one_session_once_the_joiner_is_known() {
    let node = Node::known(FOUR, Options::default());
    let first = node.bench.server().report();
    let mut asked = ports(&first);
    asked.sort();
    assert_eq!(asked, [FIRST_PORT.to_string(), "22".to_owned()], "it is looked for beside a plain session");
    for _ in 0..2 {
        let done = node.bench.ssh().args([HOST, "echo out; echo err >&2; exit 3"]).run().code(3);
        assert_eq!((done.text().as_str(), done.stderr.as_str()), ("out\n", "err\n"));
    }
    let report = node.finish();
    assert_eq!(ports(&report)[2..], [FIRST_PORT.to_string(), FIRST_PORT.to_string()]);
    assert_eq!(report.calls_of("StartSession"), 4);
}

#[test]
fn eight_logins_at_once_are_eight_bonds() {
    let node = Node::known(FOUR, Options::default());
    let logins: Vec<_> =
        (0..8).map(|number| node.bench.ssh().args([HOST, &format!("echo {number}; cat")]).start()).collect();
    for (number, login) in logins.into_iter().enumerate() {
        login.expect_stdout(&number.to_string());
        assert_eq!(login.finish().ok().stderr, "");
    }
    assert_eq!(node.finish().sessions.len(), 2 + 8);
}
