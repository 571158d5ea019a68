//! Credentials that cannot be had, or take their time: the session's own token opens it.

use std::fs;

use fixtures::{Bench, Tool};

use super::{Started, open, plugin};

/// What is done in each shell.
const TYPED: &str = "echo $((6*7))\nexit\n";

/// Fails unless a shell did what was typed.
#[track_caller]
fn works(started: &Started, call: Tool) -> String {
    let done = call.run_with(TYPED).ok();
    let text = done.text();
    assert!(text.contains("42\r\n") && text.ends_with(&started.farewell()), "{done}");
    done.stderr
}

/// The call of three arguments.
fn three(bench: &Bench, started: &Started) -> Tool {
    plugin(bench).args([&started.response.to_string(), bench.server().region(), "StartSession"])
}

#[test]
fn a_profile_that_cannot_be_read_keeps_nobody_from_the_session() {
    let bench = open();
    let broken = bench.user().home().join("broken");
    fs::write(&broken, "[default\nregion = x\n").expect("a file");
    for (name, value, why) in [
        ("AWS_PROFILE", "nobody", "there is no AWS profile \"nobody\""),
        ("AWS_CONFIG_FILE", broken.to_str().expect("UTF-8"), "the profile files cannot be read: "),
    ] {
        for call in [three, |bench: &Bench, started: &Started| started.join(bench)] {
            let started = Started::shell(&bench);
            let said = works(&started, call(&bench, &started).env(name, value));
            assert!(said.starts_with(&format!("ssm-proxy: a lost connection cannot be resumed: {why}")), "{said}");
        }
    }
    bench.finish();
}

#[test]
fn a_source_that_takes_longer_than_a_dial_is_asked_once_and_waited_for() {
    let bench = open();
    let (config, runs) = (bench.user().home().join("config"), bench.user().home().join("runs"));
    let keys = r#"printf '{"Version":1,"AccessKeyId":"%s","SecretAccessKey":"%s"}' "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY""#;
    let script = bench.user().home().join("source");
    // A dial has 15 s.
    fs::write(&script, format!("echo run >>{}\nsleep 17\n{keys}\n", runs.display())).expect("a script");
    fs::write(&config, format!("[profile slow]\ncredential_process = sh {}\n", script.display())).expect("a profile");
    let started = Started::shell(&bench);
    let region = bench.server().region();
    let (response, request) = (started.response.to_string(), started.request.to_string());
    let call = plugin(&bench).args([&response, region, "StartSession", "slow", &request, &bench.server().endpoint()]);
    assert_eq!(works(&started, call.env("AWS_CONFIG_FILE", &config)), "");
    assert_eq!(fs::read_to_string(&runs).expect("it ran"), "run\n");
    let report = bench.finish();
    let signed = |(name, _): &(String, String)| name == "authorization";
    assert!(report.upgrades.len() == 1 && report.upgrades[0].headers.iter().any(signed), "{:?}", report.upgrades);
}
