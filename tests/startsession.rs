//! What Session Manager is asked for: exactly what the user said, however it was said.

use std::collections::BTreeMap;

use fixtures::{Bench, HOST, Setup};

/// An id as AWS's manual prints them.
const DOCUMENTATION_ID: &str = "i-02573cafcfEXAMPLE";

/// AWS's manual with `aws ssm start-session` replaced by `ssm-proxy`, and nothing else changed.
const MANUAL: &str = "sh -c \"ssm-proxy --target %h --document-name AWS-StartSSHSession --parameters 'portNumber=%p'\"";
/// The same where only `aws` was replaced, or an option stands between its words.
const LEFT_OVER: [&str; 3] = [
    "ssm-proxy ssm start-session --target %h --document-name AWS-StartSSHSession --parameters portNumber=%p",
    "ssm-proxy --region us-east-1 ssm start-session --target %h --parameters portNumber=%p",
    "ssm-proxy start-session --target %h --parameters portNumber=%p",
];
/// The line of docs/aws-cli.md for it.
const QUOTED: &str = "ssm-proxy --target \"%h\" --document-name AWS-StartSSHSession --parameters portNumber=%p";

#[test]
fn the_line_of_the_readme_asks_for_port_22_of_the_host() {
    let bench = Bench::open();
    let _ = bench.ssh().args(["-o", "ProxyCommand=ssm-proxy -- \"%h\" %p", DOCUMENTATION_ID, "true"]).run().ok();
    // ssh lower-cases host names before a ProxyCommand sees them.
    assert_started(bench, "i-02573cafcfexample", "22", None);
}

#[test]
fn the_id_reaches_the_service_unchanged() {
    let bench = Bench::open();
    let _ = bench.proxy().args([DOCUMENTATION_ID]).run().ok();
    assert_started(bench, DOCUMENTATION_ID, "22", None);
}

#[test]
fn a_hybrid_node_is_a_host() {
    let bench = Bench::open();
    let _ = bench.ssh().args(["mi-0123456789abcdef0", "true"]).run().ok();
    assert_started(bench, "mi-0123456789abcdef0", "22", None);
}

#[test]
fn the_port_of_ssh_is_the_port_of_the_session() {
    let bench = Bench::with(Setup { ssh_port: 2222, ..Setup::default() });
    let _ = bench.ssh().args(["-p", "2222", HOST, "true"]).run().ok();
    assert_started(bench, HOST, "2222", None);
}

#[test]
fn the_line_of_awss_manual_works_as_it_stands() {
    let bench = Bench::with(Setup { proxy_command: MANUAL, ..Setup::default() });
    let done = bench.ssh().args([HOST, "echo in"]).run().ok();
    assert_eq!(done.text(), "in\n");
    assert_started(bench, HOST, "22", None);
}

#[test]
fn words_of_the_cli_may_be_left_over() {
    for proxy_command in LEFT_OVER.into_iter().chain([QUOTED]) {
        let bench = Bench::with(Setup { proxy_command, ..Setup::default() });
        let done = bench.ssh().args([HOST, "echo in"]).run().ok();
        assert_eq!(done.text(), "in\n", "{proxy_command}");
        assert_started(bench, HOST, "22", None);
    }
}

#[test]
fn what_is_mistyped_says_what_to_write() {
    let bench = Bench::open();
    for (args, said) in [
        (&["--wait", "30", HOST][..], "error: --wait takes its number with '=': --wait=30\n"),
        (&["--wait", "30", "--target", HOST], "error: --wait takes its number with '=': --wait=30\n"),
        (
            &["ec2-user@i-0abc"],
            "ssm-proxy: ec2-user@i-0abc: is not an instance id or name\n  hint: leave out 'ec2-user@': ssh passes the \
             user itself\n",
        ),
    ] {
        let done = bench.proxy().args(args).run();
        assert!(!done.status.success() && done.stderr.starts_with(said), "{done}");
    }
    assert!(bench.finish().calls.is_empty(), "nothing was asked of the service");
}

#[test]
fn a_person_at_a_terminal_is_told_to_type_ssh() {
    let bench = Bench::open();
    for args in [&["web-1", "22"][..], &["-v", "web-1", "22"]] {
        let mut terminal = bench.proxy().args(args).on_terminal(24, 200);
        terminal.expect("ssm-proxy: web-1: ssh starts ssm-proxy as its ProxyCommand; by itself it is no login");
        terminal.expect(
            "hint: put what 'ssm-proxy --print-ssh-config web-1' prints into ~/.ssh/config and type: ssh web-1;",
        );
        assert_eq!(terminal.finish().code(), Some(2));
    }
    assert!(bench.finish().calls.is_empty(), "nothing was asked of the service");
}

#[test]
fn a_suffix_of_the_host_can_stand_for_options() {
    let proxy_command = "sh -c 'exec ssm-proxy --reason north \"${0%%.north}\" %p' %h";
    let bench = Bench::with(Setup { proxy_command, ..Setup::default() });
    let _ = bench.ssh().args([&format!("{HOST}.north"), "true"]).run().ok();
    assert_started(bench, HOST, "22", Some("north"));
}

#[test]
fn parameters_may_be_json() {
    let bench = Bench::with(Setup { ssh_port: 2222, ..Setup::default() });
    let _ = bench.proxy().args(["--target", HOST, "--parameters", r#"{"portNumber":["2222"]}"#]).run().ok();
    assert_started(bench, HOST, "2222", None);
}

#[test]
fn a_reason_is_passed_on() {
    let bench = Bench::open();
    let _ = bench.proxy().args([HOST, "--reason", "ticket 42: look at the disks"]).run().ok();
    assert_started(bench, HOST, "22", Some("ticket 42: look at the disks"));
}

/// Fails unless there was one session, asked for with exactly this.
fn assert_started(bench: Bench, target: &str, port: &str, reason: Option<&str>) {
    let report = bench.finish();
    let asked: Vec<_> = report
        .sessions
        .iter()
        .map(|session| (&*session.target, session.document.as_deref(), session.reason.as_deref(), &session.parameters))
        .collect();
    let parameters = BTreeMap::from([("portNumber".to_owned(), vec![port.to_owned()])]);
    assert_eq!(asked, [(target, Some("AWS-StartSSHSession"), reason, &parameters)]);
}
