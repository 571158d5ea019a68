//! A program in Python that starts a session with boto3, unmodified, and hands boto3's own response on: with `ResponseMetadata`
//! in it, and with credentials that only a profile has.

use std::fs;
use std::path::Path;

use fixtures::{Bench, HOST, Tool, ansible_playbook, free_port};
use serde_json::{Value, json};

use super::{open, shell_outlives_its_connection, with_page};

/// `caller.py`, by the Python that has boto3, for someone whose credentials are in a profile.
fn caller(bench: &Bench, what: &str, request: &Value) -> Tool {
    let (server, folder) = (bench.server(), bench.user().home().join(".aws"));
    let keys = server.credentials();
    let profile = format!(
        "[profile lab]\nregion = {}\naws_access_key_id = {}\naws_secret_access_key = {}\n",
        server.region(),
        keys.access_key_id,
        keys.secret_access_key
    );
    fs::create_dir_all(&folder).and_then(|()| fs::write(folder.join("config"), profile)).expect("a profile");
    let python = ansible_playbook().with_file_name("python3");
    let tool = bench.user().tool(python.to_str().expect("a path in UTF-8"));
    let tool = tool.without("AWS_ACCESS_KEY_ID").without("AWS_SECRET_ACCESS_KEY").without("AWS_REGION");
    tool.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plugin/caller.py")).args([
        "lab",
        what,
        &request.to_string(),
    ])
}

#[test]
fn boto3s_own_response_leads_to_a_shell_which_is_resumed_with_the_profile() {
    let bench = open();
    let mut running = caller(&bench, "run", &json!({ "Target": HOST })).start();
    shell_outlives_its_connection(&bench, &mut running);
    let done = running.finish().ok();
    let text = done.text();
    assert!(text.starts_with("\nStarting session with SessionId: ") && done.stderr.is_empty(), "{done}");
    assert!(text.contains("\n\nExiting session with sessionId: "), "{done}");
    let report = bench.finish();
    assert!(report.calls.iter().any(|call| call.user_agent.starts_with("Boto3/")));
    assert_eq!(report.sessions[0].resumes, 1);
}

#[test]
fn boto3s_own_response_leads_to_a_command_and_to_a_port() {
    let (_web, bench) = with_page(80);
    let command = json!({ "command": ["sh -c 'echo out; exit 5'"], "separateOutputStream": ["true"] });
    let request = json!({ "Target": HOST, "DocumentName": "AWS-StartNonInteractiveCommand", "Parameters": command });
    let done = caller(&bench, "run", &request).run().ok();
    assert!(done.text().contains("\nout\nEXIT_CODE: 5\n") && done.stderr.is_empty(), "{done}");
    let port = json!({ "portNumber": ["80"], "localPortNumber": [free_port().to_string()] });
    let request = json!({ "Target": HOST, "DocumentName": "AWS-StartPortForwardingSession", "Parameters": port });
    let done = caller(&bench, "get", &request).run().ok();
    let text = done.text();
    assert!(text.starts_with("hello\n") && text.contains("Terminate signal received, exiting.\n"), "{done}");
    assert!(text.ends_with("\nstatus 0\n") && done.stderr.is_empty(), "{done}");
    bench.finish();
}
