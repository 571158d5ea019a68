//! What contrib/recipes.md tells people to do, done. Ansible, rsync, git, proxies and private endpoints have tests of
//! their own; what needs a daemon, or a program that no package registry has, waits for `tests/run recipes -- --ignored`.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends where its files cannot be written")]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use fixtures::{Bench, HOST, Running, free_port};

/// A port here that leads to the far side's sshd, for clients that know no ProxyCommand.
fn forwarded(bench: &Bench) -> (Running, u16) {
    bench.forwarding(|port| format!("-L127.0.0.1:{port}:{}", bench.sshd().address()))
}

#[test]
fn vs_code_starts_its_server_through_a_shells_stdin_beside_a_socks_forward() {
    let bench = Bench::open();
    let port = free_port();
    let mut ssh =
        bench.ssh().args(["-v", "-T", "-D", &port.to_string(), "-o", "ConnectTimeout=15", HOST, "bash"]).start();
    // The installer is a long script; its answer comes between two marks while the shell lives on.
    let padding = "# of which most is comment\n".repeat(4000);
    ssh.write(format!("{padding}echo 'start'\nuname -s\necho 'listeningOn==12345=='\n").as_bytes());
    ssh.expect_stdout("listeningOn==");
    ssh.expect_stderr("Local forwarding listening on 127.0.0.1 port ");
    ssh.write(b"exit 0\n");
    let done = ssh.ended().ok();
    assert_eq!(done.text(), "start\nLinux\nlisteningOn==12345==\n");
    bench.finish();
}

#[test]
fn a_client_without_proxy_command_goes_through_a_forwarded_port() {
    let bench = Bench::open();
    let (ssh, port) = forwarded(&bench);
    let (user_key, known_hosts) = (bench.sshd().user_key(), bench.user().home().join("known_hosts"));
    let plain = bench
        .user()
        .tool("ssh")
        .args(["-F", "/dev/null", "-p", &port.to_string(), "-i"])
        .arg(user_key)
        .args(["-o", "BatchMode=yes", "-o", &format!("UserKnownHostsFile={}", known_hosts.display())])
        .args(["127.0.0.1", "echo through"]);
    assert_eq!(plain.run().ok().text(), "through\n");
    drop(ssh.finish().ok());
    bench.finish();
}

#[test]
#[ignore = "needs docker, and its daemon on this machine"]
fn a_docker_context_over_ssh() {
    let bench = Bench::open();
    // docker starts the ssh that is on the PATH and reads ~/.ssh/config, where this user's configuration is not.
    let ssh = bench.user().home().join("bin/ssh");
    let ssh_config = bench.user().ssh_config();
    let wrapper = format!(
        "#!/bin/sh\nssh=$(PATH=${{PATH#*:}}; command -v ssh)\nexec \"$ssh\" -F {} \"$@\"\n",
        ssh_config.display()
    );
    fs::write(&ssh, wrapper).expect("a file");
    fs::set_permissions(&ssh, PermissionsExt::from_mode(0o755)).expect("a file of one's own");
    let docker = |args: &[&str]| bench.user().tool("docker").args(args).run().ok();
    drop(docker(&["context", "create", "node", "--docker", &format!("host=ssh://{HOST}")]));
    let version = docker(&["--context", "node", "version", "--format", "{{.Server.Version}}"]);
    assert!(version.text().starts_with(|c: char| c.is_ascii_digit()), "{version}");
    bench.finish();
}

#[test]
#[ignore = "needs terraform"]
fn terraforms_provisioners_go_through_a_forwarded_port() {
    let bench = Bench::open();
    let (ssh, port) = forwarded(&bench);
    let folder = bench.folder().join("terraform");
    fs::create_dir(&folder).expect("a folder");
    let resource = format!(
        "resource \"terraform_data\" \"node\" {{\n  \
           connection {{\n    \
             type = \"ssh\"\n    \
             host = \"127.0.0.1\"\n    \
             port = {port}\n    \
             user = \"{}\"\n    \
             private_key = file(\"{}\")\n  \
           }}\n  \
           provisioner \"remote-exec\" {{\n    \
             inline = [\"echo through $((6 * 7))\"]\n  \
           }}\n\
         }}\n",
        std::env::var("USER").unwrap_or_else(|_| "root".to_owned()),
        bench.sshd().user_key().display()
    );
    fs::write(folder.join("main.tf"), resource).expect("a file");
    let chdir = format!("-chdir={}", folder.display());
    let terraform = |args: &[&str]| bench.user().tool("terraform").arg(&chdir).args(args).run().ok();
    drop(terraform(&["init", "-no-color"]));
    let applied = terraform(&["apply", "-auto-approve", "-no-color"]);
    assert!(applied.text().contains("through 42"), "{applied}");
    drop(ssh.finish().ok());
    bench.finish();
}
