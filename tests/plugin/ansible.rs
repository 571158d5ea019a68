//! Ansible's own connection over Session Manager, `amazon.aws.aws_ssm`, unmodified: it starts the session with boto3, calls the
//! plugin and talks to a shell through it. Files and modules go by way of a bucket, from which the node gets them with curl.

use std::fs;
use std::path::Path;
use std::time::Duration;

use fixtures::{Bench, Bucket, HOST, Signal, Tool, ansible_playbook, noise, until};
use standin::{AgentConfig, Options, SessionState};

use super::{link, with};

/// Two nodes, which are the same machine here. As on most of Amazon's systems the shell of the second is a bash.
const INVENTORY: &str = "[nodes]\ni-0123456789abcdef0\ni-0fedcba9876543210 ansible_aws_ssm_document=Bash\n";
/// A play takes some 10 s; a busy machine may need several times that.
const LIMIT: Duration = Duration::from_secs(180);

fn open() -> Bench {
    let bash = "Bash=InteractiveCommands=bash --norc".parse().expect("a document");
    // An agent waits for a second in each session, and a play has many.
    let agent = AgentConfig { first_read_delay: Duration::from_millis(50), ..AgentConfig::default() };
    let bench = with(Options { agent, session_documents: vec![bash], ..Options::default() });
    fs::create_dir(bench.folder().join("remote")).expect("room for the far side's files");
    fs::write(bench.folder().join("inventory"), INVENTORY).expect("an inventory");
    bench
}

/// `ansible-playbook` with a playbook of this folder.
fn ansible(bench: &Bench, bucket: &Bucket, playbook: &str) -> Tool {
    let program = ansible_playbook();
    let folder = bench.folder();
    let tool = bench.user().tool(program.to_str().expect("a path in UTF-8"));
    tool.arg("-i")
        .arg(folder.join("inventory"))
        .args(["-e", "ansible_connection=amazon.aws.aws_ssm ansible_aws_ssm_bucket_name=bucket", "-e"])
        .arg(format!("local={0} remote={0}/remote", folder.display()))
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plugin").join(playbook))
        .env("AWS_ENDPOINT_URL_S3", bucket.url())
        // Else one of this machine in /usr/local/bin would come first.
        .env("AWS_SESSION_MANAGER_PLUGIN", link(bench))
        .env("LC_ALL", "C.UTF-8")
        .env("ANSIBLE_PYTHON_INTERPRETER", program.with_file_name("python3"))
        .env("ANSIBLE_REMOTE_TEMP", folder.join("remote/tmp"))
        .env("ANSIBLE_NOCOLOR", "1")
        .limit(LIMIT)
}

#[test]
fn ansible_plays_a_playbook_through_its_own_connection() {
    let (bench, bucket) = (open(), Bucket::open());
    let large = noise(10, 1_000_000);
    fs::write(bench.folder().join("large"), &large).expect("a file to copy");
    let done = ansible(&bench, &bucket, "playbook.yml").run().ok();
    for node in [HOST, "i-0fedcba9876543210"] {
        let recap = done.text().lines().find(|line| line.starts_with(node)).map(str::to_owned).unwrap_or_default();
        assert!(recap.contains("unreachable=0") && recap.contains("failed=0"), "{done}");
        let back = fs::read(bench.folder().join("back").join(node)).expect("the file that came back");
        assert!(back == large, "{node}: other bytes came back");
    }
    assert!(bucket.count() > 0 && bucket.objects().is_empty(), "{:?}", bucket.objects());
    // Nothing was tried twice, and each session was ended by the shell's `exit`.
    let report = bench.finish();
    assert_eq!(report.sessions.len(), 12, "a task has one session on each node");
    assert!(report.sessions.iter().all(|session| session.state == SessionState::EndedByProgram), "{report:#?}");
}

#[test]
fn a_play_that_is_interrupted_leaves_no_session() {
    let (bench, bucket) = (open(), Bucket::open());
    let running = ansible(&bench, &bucket, "waits.yml").start();
    let begun = |node: &str| bench.folder().join("remote").join(node).exists().then_some(());
    for node in [HOST, "i-0fedcba9876543210"] {
        assert!(until(LIMIT, || begun(node)).is_some(), "{node} has not begun\n{running}");
    }
    // Ctrl-C at a terminal comes to the program alone: its workers have sessions of their own.
    running.signal(Signal::INT);
    let done = running.ended();
    assert!(done.stderr.contains("User interrupted execution"), "{done}");
    // The plugins end their sessions by themselves, and Ansible does not wait for them. By then the shell of one may have ended.
    bench.wait_for("two sessions that are ended", |report| {
        report.sessions.len() == 2 && report.open_sessions().next().is_none()
    });
    bench.finish();
}
