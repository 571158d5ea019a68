//! Roles and their credentials: shared with the AWS CLI both ways, got once however many ask, and kept to oneself.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use fixtures::standin::IdentityOptions;
use fixtures::standin::sigv4::Credentials;
use fixtures::{Account, HOST, ISSUED, KEYS};

const ROLE: &str = "arn:aws:iam::111122223333:role/ops";

/// A profile `ops` with a role, and these settings besides.
fn role(settings: &str) -> String {
    format!("[profile base]\n{KEYS}\n[profile ops]\nrole_arn = {ROLE}\nsource_profile = base\n{settings}")
}

/// What each kind of role needs in the configuration: every setting that is part of the cache's key.
const SETTINGS: [&str; 4] = [
    "",
    "external_id = é \"quoted\"\n",
    "role_session_name = me\n",
    "duration_seconds = 3600\nexternal_id = x1\nrole_session_name = me@example.com\n",
];

#[test]
fn what_the_aws_cli_has_cached_is_used() {
    for settings in SETTINGS {
        let account = Account::open(&role(settings));
        let _ = account.aws().args(["sts", "get-caller-identity", "--profile", "ops"]).run().ok();
        assert_eq!(account.assumed(), 1);
        let _ = account.proxy().args(["--profile", "ops", HOST]).run().ok();
        assert_eq!(account.assumed(), 1, "{settings:?}: {:#?}", account.cached());
        account.finish();
    }
}

#[test]
fn the_aws_cli_uses_what_is_cached_here() {
    for settings in SETTINGS {
        let account = Account::open(&role(settings));
        let _ = account.proxy().args(["--profile", "ops", HOST]).run().ok();
        assert_eq!((account.assumed(), account.cached().len()), (1, 1));
        let identity = account.aws().args(["sts", "get-caller-identity", "--profile", "ops"]).run().ok();
        assert!(identity.text().contains("ASIAIOSFODNN7EXAMPLE"), "{identity}");
        assert_eq!(account.assumed(), 1, "{settings:?}: {:#?}", account.cached());
        account.finish();
    }
}

#[test]
fn each_role_of_a_chain_is_shared() {
    let mid = Credentials {
        access_key_id: "ASIAMIDDLE".to_owned(),
        secret_access_key: "the secret of the middle".to_owned(),
        session_token: Some("the token of the middle".to_owned()),
    };
    let middle = "arn:aws:iam::111122223333:role/middle";
    let options = || IdentityOptions { roles: vec![(middle.to_owned(), mid.clone())], ..IdentityOptions::default() };
    let config = format!(
        "{}[profile end]\nrole_arn = arn:aws:iam::111122223333:role/end\nsource_profile = middle\n\
         [profile middle]\nrole_arn = {middle}\nsource_profile = base\n",
        role("")
    );

    let account = Account::with(&config, options());
    let _ = account.proxy().args(["--profile", "end", HOST]).run().ok();
    let asked: Vec<_> = account.identity().calls().iter().map(|call| call.parameters["RoleArn"].clone()).collect();
    assert_eq!(asked, [middle, "arn:aws:iam::111122223333:role/end"]);
    let _ = account.aws().args(["sts", "get-caller-identity", "--profile", "end"]).run().ok();
    let _ = account.aws().args(["sts", "get-caller-identity", "--profile", "middle"]).run().ok();
    assert_eq!(account.assumed(), 2);
    account.finish();

    let account = Account::with(&config, options());
    let _ = account.aws().args(["sts", "get-caller-identity", "--profile", "end"]).run().ok();
    let _ = account.proxy().args(["--profile", "end", HOST]).run().ok();
    assert_eq!(account.assumed(), 2);
    account.finish();
}

#[test]
fn twenty_at_once_ask_once() {
    // Slow enough that all of them are there before there is an answer.
    let options = IdentityOptions { delay: Duration::from_secs(2), ..IdentityOptions::default() };
    let account = Account::with(&role(""), options);
    let many: Vec<_> = (0..20).map(|_| account.proxy().args(["--profile", "ops", HOST]).spawn()).collect();
    for one in many {
        let _ = one.ended().ok();
    }
    assert_eq!(account.assumed(), 1);
    assert_eq!(account.finish().sessions.len(), 20);
}

#[test]
fn what_does_not_live_long_enough_is_renewed() {
    let account = Account::with(
        &role(""),
        IdentityOptions { lifetime: Duration::from_secs(14 * 60), ..IdentityOptions::default() },
    );
    for times in [1, 2] {
        let _ = account.proxy().args(["--profile", "ops", HOST]).run().ok();
        assert_eq!(account.assumed(), times);
    }
    account.finish();
}

#[test]
fn what_cannot_be_read_is_replaced() {
    let account = Account::open(&role(""));
    let _ = account.proxy().args(["--profile", "ops", HOST]).run().ok();
    let file = account.cached().remove(0);
    for spoilt in ["", "{\"Credentials\":", "[]"] {
        fs::write(&file, spoilt).unwrap();
        let _ = account.proxy().args(["--profile", "ops", HOST]).run().ok();
        assert!(fs::read_to_string(&file).unwrap().contains("ASIAIOSFODNN7EXAMPLE"));
    }
    assert_eq!(account.assumed(), 4);
    account.finish();
}

#[test]
fn what_aws_refuses_as_expired_is_not_offered_again() {
    use fixtures::standin::{ApiFault, ApiRule};
    let account = Account::open(&role(""));
    let rule = ApiRule { operation: "StartSession".to_owned(), fault: ApiFault::ExpiredToken, skip: 0, times: 1 };
    account.bench().control().api_rule(rule);
    let _ = account.proxy().args(["--profile", "ops", HOST]).run().code(77);
    assert_eq!(account.cached().len(), 0);
    let _ = account.proxy().args(["--profile", "ops", HOST]).run().ok();
    assert_eq!(account.assumed(), 2);
    account.finish();
}

#[test]
fn without_the_cache_it_is_left_alone() {
    let account = Account::open(&role(""));
    let _ = account.proxy().args(["--profile", "ops", "--no-credential-cache", HOST]).run().ok();
    assert!(!account.cache().exists());
    let _ = account.proxy().args(["--profile", "ops", HOST]).run().ok();
    let before = fs::read(&account.cached()[0]).unwrap();
    let _ = account.proxy().args(["--profile", "ops", "--no-credential-cache", HOST]).run().ok();
    assert_eq!(account.assumed(), 3);
    assert_eq!(fs::read(&account.cached()[0]).unwrap(), before);
    account.finish();
}

#[test]
fn keys_leave_no_trace() {
    let account = Account::open(&format!("[default]\n{ISSUED}"));
    let _ = account.proxy().arg(HOST).run().ok();
    assert!(account.identity().calls().is_empty() && !account.cache().exists());
    account.finish();
}

#[test]
fn only_their_owner_can_read_them() {
    let account = Account::open(&role(""));
    let _ = account.proxy().args(["--profile", "ops", HOST]).run().ok();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&account.cache()), 0o700);
    for file in fs::read_dir(account.cache()).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
    account.finish();
}
