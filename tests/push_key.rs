//! `--push-key` lets the owner of a key in that sshd does not know, by EC2 Instance Connect.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot set its scene")]

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use fixtures::standin::{ApiFault, ApiRule, Node, Options};
use fixtures::{Bench, HOST, Running, Setup, Tool};

const PUSH: &str = "SendSSHPublicKey";

/// A bench and a key of its own that sshd has not been told of.
struct Scene {
    bench: Bench,
    key: PathBuf,
}

impl Scene {
    fn open() -> Self {
        Self::with(Options::default())
    }

    fn with(standin: Options) -> Self {
        let bench = Bench::with(Setup { standin, ..Setup::default() });
        let key = bench.folder().join("new_key");
        let made = bench.user().tool("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "me@laptop", "-f"]);
        let _ = made.arg(&key).run().ok();
        Self { bench, key }
    }

    fn failing(operation: &str, fault: ApiFault, times: u32) -> Self {
        let rule = ApiRule { operation: operation.to_owned(), fault, skip: 0, times };
        Self::with(Options { api_rules: vec![rule], ..Options::default() })
    }

    fn public(&self) -> String {
        self.key.with_extension("pub").display().to_string()
    }

    /// The public key as it is sent: without its comment.
    fn sent(&self) -> String {
        let text = fs::read_to_string(self.public()).unwrap();
        text.split(' ').take(2).collect::<Vec<_>>().join(" ")
    }

    /// `ssh` that has the new key alone and pushes it as `arguments` say.
    fn ssh(&self, arguments: &str) -> Tool {
        let config = self.bench.folder().join("push_config");
        let text = format!(
            "Host *\n  ProxyCommand ssm-proxy {arguments} %n %p\n  User {}\n  IdentityFile \"{}\"\n  IdentitiesOnly yes\n  \
             IdentityAgent none\n  BatchMode yes\n  UserKnownHostsFile \"{}/known_hosts\"\n  \
             GlobalKnownHostsFile /dev/null\n",
            self.me(),
            self.key.display(),
            self.bench.user().home().display(),
        );
        fs::write(&config, text).unwrap();
        self.bench.user().tool("ssh").arg("-F").arg(config)
    }

    fn me(&self) -> String {
        self.bench.user().tool("id").arg("-un").run().ok().text().trim().to_owned()
    }

    /// Who was let in where, with which key.
    fn pushed(self) -> Vec<(String, String, String)> {
        let pushed = self.bench.finish().pushed_keys.into_iter();
        pushed.map(|pushed| (pushed.instance_id, pushed.os_user, pushed.public_key)).collect()
    }
}

#[test]
fn sshd_lets_the_owner_of_a_pushed_key_in() {
    let scene = Scene::open();
    let refused = scene.ssh("").args([HOST, "true"]).run().code(255);
    assert!(refused.stderr.contains("Permission denied"), "{refused}");
    let arguments = format!("--push-key {} --user %r", scene.public());
    let done = scene.ssh(&arguments).args([HOST, "echo in"]).run().ok();
    assert_eq!((done.text().as_str(), done.stderr.as_str()), ("in\n", ""));
    let expected = (HOST.to_owned(), scene.me(), scene.sent());
    assert_eq!(scene.pushed(), [expected]);
}

#[test]
fn no_byte_of_ssh_goes_before_the_key_is_there() {
    let slow = Duration::from_millis(1500);
    let scene = Scene::failing(PUSH, ApiFault::Slow(slow), 1);
    let arguments = format!("--push-key {} --user %r", scene.public());
    let mut ssh = scene.ssh(&arguments).args([HOST, "echo in"]).start();
    scene.bench.wait_for("the session", |report| !report.sessions.is_empty());
    scene.bench.wait_for("the key", |report| report.calls_of(PUSH) == 1);
    let before = scene.bench.server().report();
    assert!(before.upgrades.is_empty(), "StartSession does not wait for the key, the channel does");
    ssh.close_stdin();
    let done = ssh.ended().ok();
    assert!(done.took >= slow, "{done}");
    scene.bench.finish();
}

#[test]
fn the_agents_first_key_is_pushed() {
    let scene = Scene::open();
    let socket = scene.bench.folder().join("agent");
    let agent: Running = scene.bench.user().tool("ssh-agent").arg("-D").arg("-a").arg(&socket).start();
    agent.expect_stdout("SSH_AUTH_SOCK");
    let _ = scene.bench.user().tool("ssh-add").env("SSH_AUTH_SOCK", &socket).arg(&scene.key).run().ok();
    let _ = scene.ssh("--push-key auto --user %r").env("SSH_AUTH_SOCK", &socket).args([HOST, "true"]).run().ok();
    drop(agent);
    let expected = scene.sent();
    assert_eq!(scene.pushed().into_iter().map(|(_, _, key)| key).collect::<Vec<_>>(), [expected]);
}

#[test]
fn without_an_agent_it_is_a_default_key() {
    let scene = Scene::open();
    let folder = scene.bench.user().home().join(".ssh");
    fs::create_dir(&folder).unwrap();
    fs::copy(scene.public(), folder.join("id_ed25519.pub")).unwrap();
    // The agent that it names is not there.
    let nobody = scene.bench.folder().join("nobody");
    let _ = scene.ssh("--push-key auto --user %r").env("SSH_AUTH_SOCK", nobody).args([HOST, "true"]).run().ok();
    let expected = scene.sent();
    assert_eq!(scene.pushed().into_iter().map(|(_, _, key)| key).collect::<Vec<_>>(), [expected]);
}

#[test]
fn names_and_waiting_go_with_it() {
    let rule = ApiRule { operation: "StartSession".to_owned(), fault: ApiFault::TargetNotConnected, skip: 0, times: 1 };
    let nodes = vec![Node::online(HOST, "web")];
    let scene = Scene::with(Options { api_rules: vec![rule], nodes, ..Options::default() });
    let arguments = format!("--wait --push-key {} --user %r", scene.public());
    let _ = scene.ssh(&arguments).args(["web", "true"]).run().ok();
    let pushed = scene.pushed();
    assert_eq!(pushed.len(), 2, "a key is good for 60 s, so each attempt brings it anew");
    assert!(pushed.iter().all(|(id, ..)| id == HOST));
}

#[test]
fn throttling_is_waited_out() {
    let scene = Scene::failing(PUSH, ApiFault::Throttling, 1);
    let arguments = format!("--push-key {} --user %r", scene.public());
    let _ = scene.ssh(&arguments).args([HOST, "true"]).run().ok();
    assert_eq!(scene.pushed().len(), 1);
}

// ----- errors --------------------------------------------------------------------------------------------------------

#[test]
fn a_push_that_is_denied_leaves_no_session() {
    let scene = Scene::failing(PUSH, ApiFault::AccessDenied, u32::MAX);
    let done = scene.bench.proxy().args(["--push-key", &scene.public(), "--user", "ec2-user", HOST]).run().code(77);
    assert_eq!(
        done.stderr,
        format!(
            "ssm-proxy: {HOST}: SendSSHPublicKey is not permitted (AccessDeniedException: User: \
             arn:aws:iam::111122223333:user/standin is not authorized to perform: \
             ec2-instance-connect:SendSSHPublicKey on resource: arn:aws:ec2:us-east-1:111122223333:instance/{HOST} because no identity-based policy allows the \
             ec2-instance-connect:SendSSHPublicKey action)\n  hint: IAM must allow \
             ec2-instance-connect:SendSSHPublicKey on the instance, for ec2:osuser ec2-user\n"
        )
    );
    let report = scene.bench.finish();
    assert_eq!((report.sessions.len(), report.calls_of("TerminateSession")), (1, 1));
}

#[test]
fn a_signal_while_the_key_is_on_its_way_leaves_no_session() {
    let scene = Scene::failing(PUSH, ApiFault::Slow(Duration::from_secs(15)), 1);
    let proxy = scene.bench.proxy().args(["--push-key", &scene.public(), "--user", "me", HOST]).start();
    scene.bench.wait_for("the session and the key", |report| !report.sessions.is_empty() && report.calls_of(PUSH) == 1);
    proxy.signal(fixtures::Signal::HUP);
    let done = proxy.ended();
    assert!(done.took < Duration::from_secs(10), "{done}");
    scene.bench.finish();
}

#[test]
fn what_cannot_be_pushed_is_said_before_anything_is_asked() {
    let scene = Scene::open();
    let public = scene.public();
    let key = scene.key.display().to_string();
    let other = scene.bench.folder().join("other.pub").display().to_string();
    fs::write(&other, "ssh-dss AAAA me\n").unwrap();
    let missing = scene.bench.folder().join("missing.pub").display().to_string();
    for (host, key, message, hint) in [
        (
            "mi-0123456789abcdef0",
            &public,
            "mi-0123456789abcdef0 is no EC2 instance, and EC2 Instance Connect pushes keys to those alone".to_owned(),
            "leave --push-key out, and put your key into authorized_keys there".to_owned(),
        ),
        (HOST, &key, format!("{key} is a private key"), format!("give the public one: --push-key {key}.pub")),
        (
            HOST,
            &other,
            format!("{other} holds no public key that can be pushed"),
            "give the .pub file of an ed25519, RSA or ECDSA key; ssh-keygen -t ed25519 makes one".to_owned(),
        ),
        (
            HOST,
            &missing,
            format!("the public key {missing} cannot be read: No such file or directory (os error 2)"),
            "give --push-key the path of a public key, such as ~/.ssh/id_ed25519.pub, or auto".to_owned(),
        ),
        (
            HOST,
            &"auto".to_owned(),
            "there is no key to push: ssh's agent has none, and ~/.ssh has no id_ed25519.pub, id_ecdsa.pub, id_rsa.pub"
                .to_owned(),
            "ssh-keygen -t ed25519 makes a key, ssh-add gives one to the agent, --push-key FILE.pub names one"
                .to_owned(),
        ),
    ] {
        let done = scene.bench.proxy().args(["--push-key", key, "--user", "me", host]).run().code(78);
        assert_eq!(done.stderr, format!("ssm-proxy: {host}: {message}\n  hint: {hint}\n"));
    }
    let report = scene.bench.finish();
    assert!(report.calls.is_empty() && report.sessions.is_empty());
}
