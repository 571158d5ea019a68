//! Encrypted sessions: AWS KMS makes the data key here, the node has it decrypted there, and nobody else sees it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it cannot set its scene")]

use std::fs;
use std::time::Duration;

use fixtures::standin::{ApiFault, ApiRule, Fault, Options};
use fixtures::{Answer, Bench, Done, HOST, Setup, Switchboard, Tool, noise};

/// The key of the account's preferences.
const KEY: &str = "alias/sessions";

#[test]
fn a_command_with_its_streams_and_its_status() {
    for challenge in [true, false] {
        let bench = encrypting(|standin| standin.agent.kms_challenge = challenge);
        let done = exec(&bench, "echo out; echo err >&2; exit 7").run().code(7);
        assert_eq!((done.text().as_str(), done.stderr.as_str()), ("out\n", "err\n"), "challenge: {challenge}");
        finish(bench);
    }
}

#[test]
fn a_megabyte_byte_for_byte() {
    let bench = encrypting(|standin| *standin = standin.clone().unpaced());
    let file = bench.folder().join("file");
    let content = noise(3, 1 << 20);
    fs::write(&file, &content).unwrap();
    let done = exec(&bench, &format!("cat {}", file.display())).run().ok();
    assert!(done.stdout == content, "{} bytes came", done.stdout.len());
    finish(bench);
}

#[test]
fn a_shell() {
    for challenge in [true, false] {
        let bench = encrypting(|standin| standin.agent.kms_challenge = challenge);
        let done = bench.proxy().args(["--shell", HOST]).run_with("echo $((6 * 7)) is it\nexit\n").ok();
        assert!(done.text().contains("\n42 is it\r\n"), "challenge: {challenge}: {done}");
        finish(bench);
    }
}

#[test]
fn a_command_on_a_terminal() {
    for challenge in [true, false] {
        let bench = encrypting(|standin| standin.agent.kms_challenge = challenge);
        let words =
            ["--exec", "-t", HOST, "--", "sh", "-c", "echo in; read line; stty size; read word; echo \"<$word>\""];
        let mut terminal = bench.proxy().args(words).on_terminal(31, 97);
        terminal.expect("in\r\n");
        terminal.press("\r");
        terminal.expect("31 97\r\n");
        terminal.press("typed\r");
        terminal.expect("<typed>\r\n");
        assert_eq!(terminal.finish().code(), Some(0));
        finish(bench);
    }
}

#[test]
fn an_agent_that_demands_the_challenge() {
    let bench = encrypting(|standin| standin.agent.require_challenge = true);
    assert_eq!(exec(&bench, "echo in").run().ok().text(), "in\n");
    finish(bench);
}

#[test]
fn the_request_names_the_session_and_the_target() {
    let bench = encrypting(|_| {});
    let _ = exec(&bench, "true").run().ok();
    let report = bench.server().report();
    let session = report.sessions.first().unwrap();
    let calls: Vec<_> = report.calls.iter().filter(|call| call.operation == "GenerateDataKey").collect();
    let [call] = calls.as_slice() else { panic!("one key for a session: {calls:#?}") };
    assert_eq!((&call.request["KeyId"], &call.request["NumberOfBytes"]), (&KEY.into(), &64.into()));
    let context = call.request["EncryptionContext"].as_object().unwrap();
    assert_eq!(context["aws:ssm:SessionId"], session.id.as_str());
    assert_eq!(context["aws:ssm:TargetId"], HOST);
    assert_eq!(context.len(), 3, "{context:?}");
    finish(bench);
}

/// A container's agent decrypts for the whole of the task's name.
#[test]
fn the_target_of_a_task_is_named_in_full() {
    const TASK: &str = "ecs:cluster_0123456789abcdef_0123456789abcdef-2531612879";
    let bench = encrypting(|_| {});
    let done = bench.proxy().args(["--exec", "-t", TASK, "--", "echo", "in"]).run().ok();
    assert!(done.text().contains("in\r\n"), "{done}");
    let report = bench.server().report();
    let call = report.calls.iter().find(|call| call.operation == "GenerateDataKey").unwrap();
    assert_eq!(call.request["EncryptionContext"]["aws:ssm:TargetId"], TASK);
    finish(bench);
}

#[test]
fn it_goes_on_after_each_break() {
    let bench = encrypting(|_| {});
    let gate = bench.folder().join("gate");
    let _ = bench.user().tool("mkfifo").arg(&gate).run().ok();
    let gate = gate.display();
    // Each number is some messages, the later of which show that nothing is lost.
    let writes = |number: u8| format!("read go <{gate}; printf '%08000d\\n' {number}");
    let proxy = exec(&bench, &format!("echo one; {}; {}; exit 9", writes(2), writes(3))).start();
    for (opens, said, fault) in [(2, "one", Fault::bye()), (3, &format!("{:08000}", 2), Fault::Reset)] {
        proxy.expect_stdout(said);
        bench.fault(fault);
        bench.wait_for("a connection that is back", |report| {
            report.sessions.iter().any(|session| session.opens >= opens && session.connected)
        });
        fs::write(gate.to_string(), "go\n").unwrap();
    }
    let done = proxy.ended().code(9);
    assert!(done.text() == format!("one\n{:08000}\n{:08000}\n", 2, 3) && done.stderr.is_empty(), "{done}");
    assert_eq!(bench.server().report().calls_of("GenerateDataKey"), 1);
    finish(bench);
}

#[test]
fn loss_costs_time_alone() {
    let bench = encrypting(|standin| {
        *standin = standin.clone().unpaced();
        standin.agent.tick = Duration::from_millis(10);
        // It gives up on what is not acknowledged later than real ones, which give it 2 s.
        standin.agent.linger = Duration::from_secs(60);
        (standin.uplink.loss, standin.downlink.loss) = (0.05, 0.05);
    });
    let done = exec(&bench, "seq 20000; exit 3").run().code(3);
    let expected: String = (1..=20_000).map(|number| format!("{number}\n")).collect();
    assert!(done.text() == expected, "{done}");
    finish(bench);
}

#[test]
fn variables_and_the_profile_say_where_kms_is() {
    let bench = encrypting(|_| {});
    let endpoint = bench.server().endpoint();
    let config = bench.user().home().join(".aws/config");
    fs::create_dir_all(config.parent().unwrap()).unwrap();
    let services = format!("[default]\nservices = lab\n[services lab]\nkms =\n  endpoint_url = {endpoint}\n");
    fs::write(config, services).unwrap();
    let nowhere =
        || exec(&bench, "echo in").without("AWS_ENDPOINT_URL_KMS").env("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
    // By the profile, and with the variable of all services beside it.
    assert_eq!(exec(&bench, "echo in").without("AWS_ENDPOINT_URL_KMS").run().ok().text(), "in\n");
    // By the variable of all services.
    let done = exec(&bench, "echo in").without("AWS_ENDPOINT_URL_KMS").env("AWS_ENDPOINT_URL", &endpoint).run().ok();
    assert_eq!(done.text(), "in\n");
    // KMS's own wins over that of all.
    assert_eq!(nowhere().env("AWS_ENDPOINT_URL_KMS", &endpoint).run().ok().text(), "in\n");
    finish(bench);
}

#[test]
fn endpoint_url_is_session_managers_alone() {
    let bench = encrypting(|_| {});
    let switchboard = Switchboard::always(Answer::Says("HTTP/1.1 502 Bad Gateway\r\n\r\n"));
    let words = ["--endpoint-url", &bench.server().endpoint(), "--exec", HOST, "--", "true"];
    let tool = bench.proxy().args(words).without("AWS_ENDPOINT_URL_KMS").without("AWS_ENDPOINT_URL_SSM");
    let done = tool.env("HTTPS_PROXY", switchboard.url()).run();
    assert!(!done.status.success() && done.stderr.contains("KMS key alias/sessions"), "{done}");
    let asked = switchboard.asked();
    assert!(!asked.is_empty() && asked.iter().all(|host| host == "kms.us-east-1.amazonaws.com:443"), "{asked:?}");
    bench.finish();
}

/// Everything that is logged of a session that is also resumed, and what is said when there is no key.
#[test]
fn neither_key_nor_token_nor_what_is_carried_is_shown() {
    let bench = encrypting(|_| {});
    let gate = bench.folder().join("gate");
    let _ = bench.user().tool("mkfifo").arg(&gate).run().ok();
    let script = format!("echo 5ecret-one; read go <{}; printf '5ecret-%08000d\\n' 2", gate.display());
    let proxy = bench.proxy().args(["-vv", "--exec", HOST, "--", "sh", "-c", &script]).start();
    proxy.expect_stdout("5ecret-one");
    bench.fault(Fault::Drop);
    bench.wait_for("a connection that is back", |report| {
        report.sessions.iter().any(|session| session.opens == 2 && session.connected)
    });
    fs::write(&gate, "go\n").unwrap();
    let done = proxy.ended().ok();
    assert!(done.text() == format!("5ecret-one\n5ecret-{:08000}\n", 2), "{done}");
    shows_no_secret(&bench, &done);
    bench.control().api_rule(always("Decrypt", ApiFault::AccessDenied));
    shows_no_secret(&bench, &bench.proxy().args(["-vv", "--exec", HOST, "--", "echo", "5ecret"]).run().code(77));
    bench.finish();
}

#[track_caller]
fn shows_no_secret(bench: &Bench, done: &Done) {
    let secret = &bench.server().credentials().secret_access_key;
    assert!(done.stderr.contains("got a data key") && !done.stderr.contains(secret), "{done}");
    assert!(!done.stderr.contains("5ecret-") && !done.stderr.contains("Plaintext"), "{done}");
    // Tokens of the stand-in are 192 digits; a data key is 88 characters of base64, a wrapped one more.
    let words = done.stderr.split(|c: char| !c.is_ascii_alphanumeric() && !"+/=".contains(c));
    let longest = words.filter(|word| !word.contains("home/")).max_by_key(|word| word.len());
    assert!(longest.is_some_and(|longest| longest.len() < 64), "{longest:?}: {done}");
}

/// A bench whose account has sessions encrypted.
fn encrypting(change: impl FnOnce(&mut Options)) -> Bench {
    let mut standin = Options::default();
    standin.agent.kms_key_id = Some(KEY.to_owned());
    change(&mut standin);
    standin.agent.kms_key_id = Some(KEY.to_owned());
    Bench::with(Setup { standin, ..Setup::default() })
}

/// A script on the far side.
fn exec(bench: &Bench, script: &str) -> Tool {
    bench.proxy().args(["--exec", HOST, "--", "sh", "-c", script])
}

fn always(operation: &str, fault: ApiFault) -> ApiRule {
    ApiRule { operation: operation.to_owned(), fault, skip: 0, times: u32::MAX }
}

/// Ends the bench: each session was encrypted.
#[track_caller]
fn finish(bench: Bench) {
    let report = bench.finish();
    assert!(!report.sessions.is_empty() && report.sessions.iter().all(|session| session.encrypted), "{report:#?}");
}
