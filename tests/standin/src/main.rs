//! The stand-in as a program: prints one JSON line with its endpoint, runs until interrupted, prints its report.

mod arguments;

use clap::Parser;
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    match run(arguments::Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Nobody is left to tell when stderr is closed.
            let _ = writeln!(io::stderr(), "standin: {error}");
            ExitCode::from(2)
        }
    }
}

/// Runs until a signal; says whether the clients kept to the protocol.
fn run(arguments: arguments::Arguments) -> io::Result<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let interrupted = runtime.block_on(async { Signals::new() })?;
    let server = standin::Server::start(arguments.options().map_err(io::Error::other)?)?;
    let line = serde_json::json!({
        "endpoint": server.endpoint(),
        "region": server.region(),
        "access_key_id": server.credentials().access_key_id,
        "secret_access_key": server.credentials().secret_access_key,
        "session_token": server.credentials().session_token,
        "ca_file": server.ca_pem_path(),
    });
    print_line(&line)?;
    runtime.block_on(interrupted.wait());
    let report = server.report();
    print_line(&serde_json::to_value(&report).map_err(io::Error::other)?)?;
    Ok(report.breach_count == 0)
}

fn print_line(json: &serde_json::Value) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{json}")?;
    stdout.flush()
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn wait(mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn wait(self) {
        // Without a signal to wait for it runs on until it is killed.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
