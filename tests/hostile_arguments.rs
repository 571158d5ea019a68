//! A host, an option or a name that somebody else has chosen stays a word: it becomes no option, no command of a shell
//! and no line of a configuration.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot set its scene")]

use std::fs;

use std::time::Duration;

use fixtures::standin::Options;
use fixtures::{Bench, HOST};

#[test]
fn ssh_passes_no_host_on_that_is_an_option_or_a_command() {
    let bench = Bench::open();
    let log = bench.folder().join("pwned");
    fs::write(bench.user().ssh_config(), "Host *\n  ProxyCommand ssm-proxy %n %p\n").unwrap();
    let pwned = log.display();
    for host in [format!("--log-file={pwned}"), format!("i-0;touch {pwned}"), format!("$(touch${{IFS}}{pwned})")] {
        let done = bench.ssh().args(["--", &host, "true"]).run().code(255);
        assert!(!log.exists(), "{host}: {done}");
    }
    assert!(bench.finish().calls.is_empty(), "nothing was asked of the service");
}

#[test]
fn behind_two_dashes_a_host_is_no_option() {
    let bench = Bench::open();
    let log = bench.folder().join("pwned");
    let host = format!("--log-file={}", log.display());
    let done = bench.proxy().args(["--", &host, "22"]).run();
    assert!(done.status.code().is_some_and(|code| code > 2), "it is looked up as a name: {done}");
    assert!(!log.exists());
    bench.finish();
}

#[test]
fn a_printed_entry_holds_what_was_given_and_nothing_that_runs() {
    let bench = Bench::open();
    let pwned = bench.folder().join("pwned");
    let run = format!("touch {}", pwned.display());
    let commands = format!("$({run}) `{run}`;{run}& '$({run})' \"%h %% \\ !! #");
    let entries = bench.proxy().args(["--print-ssh-config", "--reason", &commands]).run().ok();
    let path = bench.user().ssh_config();
    let own = fs::read_to_string(&path).unwrap().replace("ProxyCommand ssm-proxy %h %p", "ProxyCommand false");
    fs::write(&path, format!("{}\n{own}", entries.text())).unwrap();
    assert_eq!(bench.ssh().args([HOST, "echo in"]).run().ok().text(), "in\n");
    assert!(!pwned.exists(), "a part of the option was run");
    let report = bench.finish();
    assert_eq!(report.sessions.first().unwrap().reason.as_deref(), Some(&*commands));
}

#[test]
fn an_entry_takes_no_second_line() {
    let bench = Bench::open();
    for [flag, value] in [
        ["--reason", "x\nProxyCommand touch pwned"],
        ["--profile", "x\nProxyCommand touch pwned"],
        ["--region", "x\nProxyCommand touch pwned"],
        ["--user", "x\nProxyCommand touch pwned"],
        ["--", "i-0\nProxyCommand touch pwned"],
        ["--", "web\" *"],
    ] {
        let done = bench.proxy().args(["--print-ssh-config", flag, value]).run();
        assert!(done.status.code().is_some_and(|code| code > 0), "{flag}: {done}");
        assert_eq!(done.text(), "", "{flag}");
    }
    bench.finish();
}

#[test]
fn a_file_that_nobody_writes_to_holds_nothing_up() {
    let bench = Bench::encrypted(Options::default());
    let fifo = bench.folder().join("fifo").display().to_string();
    let _ = bench.user().tool("mkfifo").arg(&fifo).run().ok();
    let profile = bench.user().home().join(".aws/config");
    fs::create_dir(profile.parent().unwrap()).unwrap();
    fs::write(&profile, format!("[profile fifo]\nca_bundle = {fifo}\n")).unwrap();
    let as_file = format!("file://{fifo}");
    let tool = |args: &[&str]| bench.proxy().args(args).arg(HOST).limit(Duration::from_secs(20));
    for (tool, code, said) in [
        (tool(&["--push-key", &fifo, "--user", "me"]), 78, format!("the public key {fifo} cannot be read")),
        (tool(&["--ca-bundle", &fifo]), 78, format!("the CA file {fifo} cannot be used")),
        (tool(&[]).env("AWS_CA_BUNDLE", &fifo), 78, format!("the CA file {fifo} cannot be used")),
        (
            tool(&[]).without("AWS_CA_BUNDLE").env("AWS_PROFILE", "fifo"),
            78,
            format!("the CA file {fifo} cannot be used"),
        ),
        (tool(&["--cli-input-json", &as_file]), 78, format!("{fifo} cannot be read")),
        (tool(&["--parameters", &as_file]), 2, format!("{fifo} cannot be read")),
    ] {
        let done = tool.run().code(code);
        assert!(done.stderr.contains(&format!("{said}: it is no regular file\n")), "{done}");
    }
    assert!(bench.finish().sessions.is_empty());
}
