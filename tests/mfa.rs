//! A role that wants an MFA code: the person at the terminal is asked, once, and nobody else.

use fixtures::{Account, HOST, KEYS, Signal, Terminal};

const SERIAL: &str = "arn:aws:iam::111122223333:mfa/me";
const QUESTION: &str = "Enter MFA code for arn:aws:iam::111122223333:mfa/me: ";

/// A user whose role `ops` wants a code.
fn account() -> Account {
    Account::open(&format!(
        "[profile base]\n{KEYS}\n[profile ops]\nrole_arn = arn:aws:iam::111122223333:role/ops\nsource_profile = base\n\
         mfa_serial = {SERIAL}\nexternal_id = ext-1\nrole_session_name = me\nduration_seconds = 7200\n"
    ))
}

/// A shell on a terminal that survives signals, and says how ssm-proxy ended.
fn shell(account: &Account, options: &str) -> Terminal {
    let line =
        format!("trap : INT TERM HUP; ssm-proxy --profile ops {options} {HOST} </dev/null; echo ended $?; read line");
    account.tool("sh").args(["-c", &line]).on_terminal(24, 200)
}

#[test]
fn ssh_asks_for_the_code_once() {
    let account = account();
    let ssh = || account.ssh().env("AWS_PROFILE", "ops").args([HOST, "echo in"]);
    let mut terminal = ssh().on_terminal(24, 80);
    terminal.expect(QUESTION);
    assert!(!terminal.echoes());
    terminal.press("123456\n");
    terminal.expect("in\r\n");
    assert!(terminal.echoes());
    assert!(!terminal.screen().contains("123456"), "{}", terminal.screen());
    assert!(terminal.finish().success());
    // Without a terminal, since there is nothing left to ask.
    assert_eq!(ssh().run().ok().text(), "in\n");

    let calls = account.identity().calls();
    let [call] = calls.as_slice() else { panic!("{calls:#?}") };
    for (name, value) in [
        ("SerialNumber", SERIAL),
        ("TokenCode", "123456"),
        ("ExternalId", "ext-1"),
        ("RoleSessionName", "me"),
        ("DurationSeconds", "7200"),
    ] {
        assert_eq!(call.parameters[name], value, "{name}");
    }
    account.finish();
}

#[test]
fn what_the_aws_cli_has_asked_for_serves_here_and_the_other_way_round() {
    let account = account();
    let mut terminal = account.aws().args(["sts", "get-caller-identity", "--profile", "ops"]).on_terminal(24, 80);
    terminal.expect(QUESTION);
    terminal.press("123456\n");
    assert!(terminal.finish().success());
    let _ = account.proxy().args(["--profile", "ops", HOST]).run().ok();
    assert_eq!(account.assumed(), 1);
    account.finish();

    let account = self::account();
    let mut terminal = shell(&account, "");
    terminal.expect(QUESTION);
    terminal.press("123456\n");
    terminal.expect("ended 0");
    let identity = account.aws().args(["sts", "get-caller-identity", "--profile", "ops"]).run().ok();
    assert!(identity.text().contains("ASIAIOSFODNN7EXAMPLE"), "{identity}");
    assert_eq!(account.assumed(), 1);
    terminal.press("\n");
    assert!(terminal.finish().success());
    account.finish();
}

#[test]
fn a_signal_at_the_question_leaves_the_terminal_as_it_was() {
    let account = account();
    let interrupt = |terminal: &Terminal| terminal.press("\u{3}");
    let terminate = |terminal: &Terminal| terminal.signal(Signal::TERM);
    let hang_up = |terminal: &Terminal| terminal.signal(Signal::HUP);
    for (name, send) in [("SIGINT", &interrupt as &dyn Fn(&Terminal)), ("SIGTERM", &terminate), ("SIGHUP", &hang_up)] {
        let mut terminal = shell(&account, "");
        terminal.expect(QUESTION);
        assert!(!terminal.echoes());
        send(&terminal);
        terminal.expect(&format!("{name} came before there were credentials"));
        terminal.expect("ended 75");
        assert!(terminal.echoes(), "{name}");
        terminal.press("\n");
        assert!(terminal.finish().success());
    }
    assert_eq!(account.assumed(), 0);
    account.finish();
}

#[test]
fn a_wrong_code_is_refused_and_not_kept() {
    let account = account();
    for (code, message) in [
        ("654321", "profile ops: AWS does not accept the MFA code (AccessDenied: MultiFactorAuthentication failed"),
        ("", "profile ops: no MFA code was given"),
    ] {
        let mut terminal = shell(&account, "");
        terminal.expect(QUESTION);
        terminal.press(&format!("{code}\n"));
        terminal.expect(message);
        terminal.expect("ended 77");
        terminal.press("\n");
        assert!(terminal.finish().success());
    }
    assert_eq!(account.cached().len(), 0);
    account.finish();
}

#[test]
fn one_of_many_asks_for_all() {
    let account = account();
    let line =
        format!("for n in 1 2 3; do ssm-proxy --profile ops {HOST} </dev/null & done; wait; echo ended; read line");
    let mut terminal = account.tool("sh").args(["-c", &line]).on_terminal(24, 200);
    terminal.expect(QUESTION);
    terminal.press("123456\n");
    terminal.expect("ended");
    assert_eq!(terminal.screen().matches(QUESTION).count(), 1, "{}", terminal.screen());
    terminal.press("\n");
    assert!(terminal.finish().success());
    assert_eq!((account.assumed(), account.cached().len()), (1, 1));
    assert_eq!(account.finish().sessions.len(), 3);
}

#[test]
fn in_the_background_nobody_is_asked() {
    let account = account();
    // With job control the job is a process group of its own, to which the terminal does not belong.
    let line = format!("set -m; ssm-proxy --profile ops {HOST} </dev/null & wait $!; echo ended $?; read line");
    let mut terminal = account.tool("sh").args(["-c", &line]).on_terminal(24, 200);
    terminal.expect("there is no terminal to ask on");
    terminal.expect("ended 77");
    assert!(!terminal.screen().contains(QUESTION));
    terminal.press("\n");
    assert!(terminal.finish().success());
    account.finish();
}

#[test]
fn without_the_cache_the_code_is_asked_for_each_time() {
    let account = account();
    for times in [1, 2] {
        let mut terminal = shell(&account, "--no-credential-cache");
        terminal.expect(QUESTION);
        terminal.press("123456\n");
        terminal.expect("ended 0");
        terminal.press("\n");
        assert!(terminal.finish().success());
        assert_eq!(account.assumed(), times);
    }
    account.finish();
}
