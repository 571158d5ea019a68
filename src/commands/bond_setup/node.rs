//! The node, by one run of ssh: what it is, the joiner's program if it is not there, and the joiner's start.
//!
//! A line of shell does it, which says a word at each step and waits for an answer. The secret goes to the joiner's stdin:
//! neither a line of shell, nor an argument, nor a variable, nor a file has it.

use std::process::ExitStatus as Status;

use ssm_bond::opening::Secret;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Take},
    process::{Child, ChildStdout},
};

use super::{
    programs::{NAME, program},
    ssh::spawn,
};
use crate::{
    bond::known::Joiner,
    cli::BondSetup,
    diagnostics::{Error, ExitStatus},
};

/// The version of the joiner's program: that of this one.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// What scp gives its ssh: no forwards and no terminal, whatever the configuration says, and no command but ours. And no
/// connection is made that others would share: it has one session for its life.
const OPTIONS: [&str; 7] = [
    "-x",
    "-oClearAllForwardings=yes",
    "-oForwardAgent=no",
    "-oPermitLocalCommand=no",
    "-oRemoteCommand=none",
    "-oRequestTTY=no",
    "-oControlMaster=no",
];
/// Nobody is there who would answer.
const WITHOUT_QUESTIONS: &str = "-oBatchMode=yes";
/// sshd's port, to which a joiner connects unless it is told another.
const SSH_PORT: u16 = 22;
/// What our lines begin with: what starts a user's shell may say something as well.
const MARK: &str = "ssm-proxy-join: ";
/// What the joiner's own begins with.
const LISTENING: &str = "listening ";
/// Bytes that are read until the last of these lines.
const MOST: u64 = 64 << 10;

/// ssh at work.
struct Talk {
    ssh: Child,
    said: BufReader<Take<ChildStdout>>,
    host: String,
}

/// Starts a joiner for connections to this port, which opens to this secret.
///
/// # Errors
/// Whatever fails on the way, here or there.
pub(super) async fn start(setup: &BondSetup, port: u16, secret: Secret) -> Result<Joiner, Error> {
    let mut options = OPTIONS.to_vec();
    options.extend(setup.if_needed.then_some(WITHOUT_QUESTIONS));
    let mut ssh = spawn(setup, &options, Some(&format!("exec sh -c '{}'", script(port))))?;
    let stdout = ssh.stdout.take().ok_or_else(|| failed("ssh has no stdout", "run it again"))?;
    let said = BufReader::new(stdout.take(MOST));
    let mut talk = Talk { ssh, said, host: setup.host.clone() };
    let node = match talk.line(MARK).await {
        Some(node) => node,
        None => return Err(talk.not_logged_in().await),
    };
    let mut node = node.split(' ');
    let [system, machine, sum] = [(); 3].map(|()| node.next().unwrap_or_default().to_owned());
    let program = program(&system, &machine)?;
    let is_there = sum == program.sum;
    tracing::info!(system, machine, is_there, "logged in to the node");
    let bytes: &[u8] = if is_there { &[] } else { &program.bytes };
    talk.write(format!("{}\n", bytes.len()).as_bytes()).await;
    talk.write(bytes).await;
    if talk.line(MARK).await.as_deref() != Some("ready") {
        let hint = "mend what ssh says above: the node needs room in ~/.cache, and leave to write there";
        return Err(talk.ended_by("the joiner cannot be copied to the node", hint).await);
    }
    talk.write(secret.to_hex().as_bytes()).await;
    talk.write(b"\n").await;
    let Some(joiner) = talk.line(LISTENING).await.as_deref().and_then(|said| joiner(said, secret)) else {
        let hint = "mend what ssh says above: programs in ~/.cache of the node must be allowed to run (no noexec)";
        return Err(talk.ended_by("the joiner does not start on the node", hint).await);
    };
    talk.end().await;
    Ok(joiner)
}

/// The line of shell, for any login shell: within single quotes, and without what some of them read even there.
///
/// A shell that has no SHA-256 says none, and gets the program.
fn script(port: u16) -> String {
    let to = if port == SSH_PORT { String::new() } else { format!(" --to 127.0.0.1:{port}") };
    let [say, failed] = ["", "failed"].map(|word| format!("echo \"{MARK}{word}"));
    [
        "umask 077".to_owned(),
        "folder=\"${XDG_CACHE_HOME:-$HOME/.cache}/ssm-proxy\"".to_owned(),
        format!("file=\"$folder/{NAME}-{VERSION}\""),
        "sum=".to_owned(),
        "if [ -x \"$file\" ]; then sum=$({ sha256sum || shasum -a 256 || openssl dgst -sha256 -r; } 2>/dev/null <\"$file\"); fi"
            .to_owned(),
        format!("{say}$(uname -s) $(uname -m) ${{sum%% *}}\""),
        "read -r size || exit 0".to_owned(),
        "new=\"$file.$$\"".to_owned(),
        "if [ \"$size\" -gt 0 ]; then { mkdir -p \"$folder\" && head -c \"$size\" >\"$new\" && \
            [ \"$(wc -c <\"$new\")\" -eq \"$size\" ] && chmod 700 \"$new\" && mv -f \"$new\" \"$file\"; } || \
            { rm -f \"$new\""
            .to_owned(),
        format!("{failed}\""),
        "exit 1; }; fi".to_owned(),
        format!("{say}ready\""),
        format!("exec \"$file\" --background{to}"),
    ]
    .join("; ")
}

/// The joiner of `FIRST JOIN VERSION`.
fn joiner(said: &str, secret: Secret) -> Option<Joiner> {
    let mut words = said.split(' ');
    let mut port = || words.next()?.parse().ok().filter(|port| *port != 0);
    let (first_port, join_port) = (port()?, port()?);
    Some(Joiner { first_port, join_port, secret: Some(secret), version: words.next().map(str::to_owned) })
}

impl Talk {
    /// What follows this at the beginning of a line; nothing if no such line comes.
    async fn line(&mut self, beginning: &str) -> Option<String> {
        loop {
            let mut line = Vec::new();
            let count = self.said.read_until(b'\n', &mut line).await.ok()?;
            if count == 0 {
                return None;
            }
            let line = String::from_utf8_lossy(&line);
            if let Some(rest) = line.trim_end().strip_prefix(beginning.trim_end()) {
                return Some(rest.trim_start().to_owned());
            }
        }
    }

    /// Says this to the node. What becomes of it shows in what that says.
    async fn write(&mut self, bytes: &[u8]) {
        if let Some(stdin) = &mut self.ssh.stdin {
            // A far side that is gone is seen when it is read from.
            let _ = stdin.write_all(bytes).await;
            let _ = stdin.flush().await;
        }
    }

    /// How ssh has ended, or ends now.
    async fn end(&mut self) -> Option<Status> {
        drop(self.ssh.stdin.take());
        self.ssh.wait().await.ok()
    }

    async fn not_logged_in(mut self) -> Error {
        let status = self.end().await;
        // ssh's own: that of the command on the node is another.
        if status.and_then(|status| status.code()) == Some(255) {
            return failed(
                "ssh has not logged in",
                format!("mend what it says above, until this works: ssh {} true", self.host),
            );
        }
        let message = format!("the node has not run a line of shell for this user{}", with(status));
        failed(message, format!("the user of this login needs a shell there: ssh {} uname -a", self.host))
    }

    async fn ended_by(mut self, what: &str, hint: &str) -> Error {
        let status = self.end().await;
        failed(format!("{what}{}", with(status)), hint)
    }
}

fn with(status: Option<Status>) -> String {
    status.map(|status| format!(" ({status})")).unwrap_or_default()
}

fn failed(message: impl Into<String>, hint: impl Into<String>) -> Error {
    Error::new(ExitStatus::Unavailable, message, hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_login_shell_takes_the_line_as_it_is() {
        for port in [22, 2222] {
            let script = script(port);
            assert!(!script.contains(['\'', '\\', '!', '\n']), "{script}");
            assert_eq!(script.contains("--to 127.0.0.1:2222"), port == 2222);
        }
    }

    #[test]
    fn a_joiner_says_its_ports() {
        let secret = || Secret::new([7; Secret::BYTES]);
        let read = joiner("40001 40002 0.1.0", secret());
        let expected =
            Joiner { first_port: 40_001, join_port: 40_002, secret: Some(secret()), version: Some("0.1.0".to_owned()) };
        assert_eq!(read, Some(expected));
        for wrong in ["", "40001", "0 40002 x", "a b c", "70000 1 x"] {
            assert_eq!(joiner(wrong, secret()), None, "{wrong}");
        }
    }
}
