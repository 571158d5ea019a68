//! What goes wrong with the data key of an encrypted session.

use std::time::Duration;

use fixtures::standin::codec::{Message, message_type, payload_type};
use fixtures::standin::{ApiFault, Fault, Options};
use fixtures::{Bench, HOST, Setup, Tool};

use super::{rule, says};

const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/1234";
const GENERATE: &str = "GenerateDataKey";
const DECRYPT: &str = "Decrypt";
const ENCRYPTED: &str = "the session is to be encrypted with the KMS key arn:aws:kms:us-east-1:111122223333:key/1234";
const NOT_ESTABLISHED: &str = "the session was closed before it was established: Encountered error while initiating \
    handshake. Fetching data key failed: Unable to retrieve data key, Error when decrypting data key";

fn bench(key: &str, change: impl FnOnce(&mut Options)) -> Bench {
    let mut standin = Options::default();
    standin.agent.kms_key_id = Some(key.to_owned());
    change(&mut standin);
    Bench::with(Setup { standin, ..Setup::default() })
}

fn command(bench: &Bench) -> Tool {
    bench.proxy().args(["--exec", HOST, "--", "true"])
}

#[test]
fn a_key_that_may_not_be_used() {
    let bench = bench(KEY, |_| {});
    bench.control().api_rule(rule(GENERATE, ApiFault::AccessDenied, 2));
    let failed = format!(
        "{ENCRYPTED}: GenerateDataKey with KMS key {KEY} is not permitted (AccessDeniedException: User: \
         arn:aws:iam::111122223333:user/standin is not authorized to perform: kms:GenerateDataKey on resource: {KEY} because \
         no identity-based policy allows the kms:GenerateDataKey action)"
    );
    let hint = format!("IAM must allow kms:GenerateDataKey on the KMS key {KEY}");
    says(command(&bench).run(), 77, &failed, &hint);
    // Of a shell as well.
    says(bench.proxy().args(["--shell", HOST]).run(), 77, &failed, &hint);
    bench.finish();
}

#[test]
fn a_key_of_another_region() {
    const ELSEWHERE: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234";
    let bench = bench(ELSEWHERE, |_| {});
    says(
        command(&bench).run(),
        78,
        &format!(
            "the session is to be encrypted with the KMS key {ELSEWHERE}: KMS key {ELSEWHERE} not found in us-east-1 \
             (NotFoundException: Invalid arn eu-west-1)"
        ),
        "check the KMS key of the Session Manager preferences: it has to be in the session's region",
    );
    bench.finish();
}

#[test]
fn a_key_that_is_disabled() {
    let bench = bench(KEY, |_| {});
    let disabled = ApiFault::Says(400, "DisabledException".to_owned(), format!("{KEY} is disabled."));
    bench.control().api_rule(rule(GENERATE, disabled, 1));
    says(
        command(&bench).run(),
        78,
        &format!("{ENCRYPTED}: KMS key {KEY} cannot be used (DisabledException: {KEY} is disabled.)"),
        "check in KMS that the key is enabled, symmetric and for encryption",
    );
    bench.finish();
}

/// The agent waits 15 s; here a second and a half, of which the client sees one at least, and whole seconds are told.
#[test]
fn a_kms_that_is_slow() {
    let bench = bench(KEY, |standin| standin.agent.response_timeout = Duration::from_millis(1500));
    bench.control().api_rule(rule(GENERATE, ApiFault::Slow(Duration::from_secs(30)), 1));
    says(
        command(&bench).run(),
        75,
        &format!(
            "the agent gave up waiting for the session's data key: KMS had not made it after 1 s, with the key {KEY}"
        ),
        "the agent waits 15 s: check the way to KMS (a VPC endpoint, a proxy, AWS_ENDPOINT_URL_KMS), and connect again",
    );
    bench.finish();
}

/// The agent says then that its client should be a newer one.
#[test]
fn a_node_for_which_kms_is_slow() {
    let bench = bench(KEY, |standin| {
        standin.agent.response_timeout = Duration::from_millis(1500);
        standin.agent.decrypt_delay = Duration::from_secs(30);
    });
    says(
        command(&bench).run(),
        75,
        &format!("the agent gave up waiting for KMS to decrypt the session's data key on the node, with the key {KEY}"),
        "the agent waits 15 s: check the way from the node to KMS (a VPC endpoint, a proxy), and that the node's own role \
         allows kms:Decrypt on the key; connect again",
    );
    bench.finish();
}

#[test]
fn a_node_whose_role_may_not_decrypt() {
    let bench = bench(KEY, |_| {});
    bench.control().api_rule(rule(DECRYPT, ApiFault::AccessDenied, 1));
    says(
        command(&bench).run(),
        77,
        &format!(
            "{NOT_ESTABLISHED} AccessDeniedException: User: arn:aws:iam::111122223333:user/standin is not authorized to \
             perform: kms:Decrypt on resource: {KEY} because no identity-based policy allows the kms:Decrypt action status \
             code: 400, request id:"
        ),
        &format!("for the node's own role, not for yours: IAM must allow kms:Decrypt on {KEY}"),
    );
    bench.finish();
}

#[test]
fn a_node_for_which_kms_does_not_decrypt() {
    let bench = bench(KEY, |_| {});
    bench.control().api_rule(rule(DECRYPT, ApiFault::Says(400, "DisabledException".to_owned(), "Off.".to_owned()), 1));
    says(
        command(&bench).run(),
        69,
        &format!("{NOT_ESTABLISHED} DisabledException: Off. status code: 400, request id:"),
        "the node has KMS decrypt the session's key, and KMS did not: check the way from the node to KMS, and that the key \
         of the Session Manager preferences is enabled",
    );
    bench.finish();
}

#[test]
fn a_kms_that_throttles() {
    let bench = bench(KEY, |_| {});
    bench.control().api_rule(rule(GENERATE, ApiFault::Throttling, u32::MAX));
    says(
        command(&bench).run(),
        75,
        &format!("{ENCRYPTED}: 127.0.0.1 throttles GenerateDataKey (ThrottlingException: Rate exceeded)"),
        "try again in a moment; ssh's ControlMaster lets many connections share one session",
    );
    assert_eq!(bench.finish().calls_of(GENERATE), 3);
}

#[test]
fn an_answer_that_is_no_data_key() {
    let bench = bench(KEY, |_| {});
    let answer = r#"{"CiphertextBlob":"ZW5j","Plaintext":"AAEC"}"#;
    bench.control().api_rule(rule(GENERATE, ApiFault::Says(200, String::new(), answer.to_owned()), 1));
    says(
        command(&bench).run(),
        78,
        &format!("{ENCRYPTED}: the answer to GenerateDataKey has a key of 3 bytes in place of 64"),
        "check AWS_ENDPOINT_URL_KMS and AWS_ENDPOINT_URL",
    );
    bench.finish();
}

/// A message that the session's key has not made: of somebody in between, who has no part in it.
#[test]
fn something_that_is_not_encrypted() {
    let bench = bench(KEY, |_| {});
    let proxy = bench.proxy().args(["--exec", HOST, "--", "sleep", "60"]).start();
    bench.wait_for("the command", |report| report.sessions.iter().any(|session| session.program_started));
    // The agent has sent its request, its challenge, and the handshake's end.
    let message = Message::new(
        message_type::OUTPUT,
        3,
        0,
        payload_type::OUTPUT,
        b"evil, and long enough for a tag".as_slice().into(),
    );
    bench.fault(Fault::Binary(message.encode().to_vec()));
    says(
        proxy.ended(),
        1,
        "something came that is not encrypted with the session's KMS data key",
        "nothing of it was used; connect again, and look at the agent's log on the target if it stays so",
    );
    bench.finish();
}
