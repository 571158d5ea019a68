//! The program starts itself anew in the background. The secret goes from stdin through a pipe: it is never among the
//! arguments or in the environment, which others on the node may read.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, Stdio};

use ssm_bond::opening::Secret;
use zeroize::Zeroizing;

use crate::arguments::Arguments;

/// Starts the one in the background and prints what it says when it serves.
///
/// # Errors
/// In one line, why it could not be started.
pub(crate) fn start(arguments: &Arguments) -> Result<(), String> {
    let secret = read_secret()?;
    let program = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    let log = match &arguments.log_file {
        Some(path) => {
            let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
            Stdio::from(file.map_err(|error| format!("cannot write {}: {error}", path.display()))?)
        }
        None => Stdio::null(),
    };
    let mut child = Command::new(program)
        .args(["--detached", "--to", &arguments.to, "--idle", &arguments.idle.as_secs().to_string()])
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .map_err(|error| format!("cannot start the one in the background: {error}"))?;
    if let Some(mut pipe) = child.stdin.take() {
        drop(pipe.write_all(secret.to_hex().as_bytes()));
    }
    let mut said = String::new();
    if let Some(pipe) = child.stdout.take() {
        drop(BufReader::new(pipe).read_line(&mut said));
    }
    if !said.starts_with("listening ") {
        let said = if said.is_empty() { "it ended before it served" } else { said.trim_end() };
        return Err(format!("the one in the background does not serve: {said}"));
    }
    std::io::stdout().write_all(said.as_bytes()).map_err(|error| format!("cannot write to stdout: {error}"))
}

/// The one in the background: leaves the session of whoever started it, and takes two free ports.
///
/// # Errors
/// In one line, which is said to the starter too.
pub(crate) fn detach() -> Result<(TcpListener, TcpListener, Secret), String> {
    let served = serve();
    let said = match &served {
        Ok((_, _, _, ports)) => format!("listening {} {} {}\n", ports.0, ports.1, env!("CARGO_PKG_VERSION")),
        Err(error) => format!("{error}\n"),
    };
    let written = std::io::stdout().write_all(said.as_bytes());
    let (first, join, secret, _) = served?;
    written.map_err(|error| format!("the starter is gone: {error}"))?;
    Ok((first, join, secret))
}

type Served = (TcpListener, TcpListener, Secret, (u16, u16));

fn serve() -> Result<Served, String> {
    let secret = read_secret()?;
    match rustix::process::setsid() {
        // Whoever leads a group cannot, and was detached by its starter.
        Ok(_) | Err(rustix::io::Errno::PERM) => {}
        Err(error) => return Err(format!("no session of its own: {error}")),
    }
    let listen = || {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        Ok((listener, port))
    };
    let failed = |error: std::io::Error| format!("no free port on 127.0.0.1: {error}");
    let ((first, first_port), (join, join_port)) = (listen().map_err(failed)?, listen().map_err(failed)?);
    Ok((first, join, secret, (first_port, join_port)))
}

/// One line of 64 hex digits from stdin.
fn read_secret() -> Result<Secret, String> {
    // Room for the whole line at once, so that no copy is left where it has grown.
    let mut line = Zeroizing::new(Vec::with_capacity(4 * Secret::BYTES));
    let mut input = std::io::stdin().take(2 * Secret::BYTES as u64 + 1);
    input.read_to_end(&mut line).map_err(|error| format!("cannot read the secret from stdin: {error}"))?;
    Secret::of_hex(line.strip_suffix(b"\n").unwrap_or(&line))
        .ok_or_else(|| "stdin is to have a secret of 64 hex digits".to_owned())
}
