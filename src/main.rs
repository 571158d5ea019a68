//! The program: flags, logging, run, exit status. Nothing else prints an error.

mod logging;

use std::process::ExitCode;

use clap::error::ErrorKind;
use ssm_proxy::aws::Aws;
use ssm_proxy::cli::{Action, Invocation, Refusal};
use ssm_proxy::commands;
use ssm_proxy::error::{Error, ExitStatus, tell, tell_failure};
use ssm_proxy::stdio::{Signals, is_reader_gone};
use tokio::runtime::Runtime;

/// What messages are about when there is no HOST.
const LIST: &str = "--list";
const SSH_CONFIG: &str = "--print-ssh-config";
const SKELETON: &str = "--generate-cli-skeleton";
/// Said each time, however quiet the run is to be.
const UNVERIFIED: &str =
    "warning: --no-verify-ssl: TLS certificates are not checked, so whoever is in between can take AWS's place";

fn main() -> ExitCode {
    no_core_dumps();
    // Before all that takes time: a signal that asks how it is kills nothing from here on.
    let begun = begin();
    let invocation = match Invocation::parse_from(std::env::args_os()) {
        Ok(invocation) => invocation,
        Err(Refusal::Usage(usage)) => return show(&usage),
        Err(Refusal::Target { host, error }) => return failed(&host, &error),
        Err(Refusal::File { flag, error }) => return failed(flag, &error),
    };
    let subject = match &invocation.action {
        Action::Connect(connection) | Action::Check(connection) => &connection.host,
        Action::List(_) => LIST,
        Action::SshConfig(..) => SSH_CONFIG,
        Action::Skeleton(_) => SKELETON,
    };
    match log(&invocation, subject).and_then(|()| run(begun?, &invocation)) {
        Ok(status) => status.into(),
        Err(error) => failed(subject, &error),
    }
}

/// What memory holds does not end in a file. A limit and not `PR_SET_DUMPABLE`, which would also give `/proc/self`, where
/// the signals that are ignored are read, to root. Best effort: a system that refuses keeps its own limit.
fn no_core_dumps() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

        let Rlimit { maximum, .. } = getrlimit(Resource::Core);
        let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum });
    }
}

/// The runtime, and the signals that it listens for.
fn begin() -> Result<(Runtime, Signals), Error> {
    // One thread: there is one stream of bytes, and a thread pool would cost start-up time and memory.
    let begun = tokio::runtime::Builder::new_current_thread().enable_all().build().and_then(|runtime| {
        let signals = {
            let _within = runtime.enter();
            Signals::of_reports()?
        };
        Ok((runtime, signals))
    });
    begun.map_err(|cause| cannot_start(&cause))
}

fn cannot_start(cause: &std::io::Error) -> Error {
    Error::new(ExitStatus::Broken, format!("cannot start: {cause}"), "check the limits on open files and processes")
}

/// Shows a usage error, or the help or version that was asked for.
fn show(usage: &clap::Error) -> ExitCode {
    match usage.print() {
        // Without a stderr there is nobody to tell.
        Err(cause) if !usage.use_stderr() && !is_reader_gone(&cause) => {
            let subject = if usage.kind() == ErrorKind::DisplayVersion { "--version" } else { "--help" };
            failed(subject, &Error::unwritable(&cause))
        }
        _ => u8::try_from(usage.exit_code()).unwrap_or(u8::MAX).into(),
    }
}

fn log(invocation: &Invocation, subject: &str) -> Result<(), Error> {
    match &invocation.log_file {
        Some(path) => logging::to_file(path, invocation.verbosity, subject),
        None => {
            logging::to_stderr(invocation.verbosity, invocation.color.for_stderr());
            Ok(())
        }
    }
}

fn failed(host: &str, error: &Error) -> ExitCode {
    tell_failure(host, error);
    error.status.into()
}

fn run((runtime, mut signals): (Runtime, Signals), invocation: &Invocation) -> Result<ExitStatus, Error> {
    if invocation.overrides.no_verify_ssl {
        tell(UNVERIFIED);
    }
    let result = runtime.block_on(async {
        signals.and_of_ends().map_err(|cause| cannot_start(&cause))?;
        act(invocation, &mut signals).await
    });
    // A name look-up that is still under way must not hold up the exit.
    runtime.shutdown_background();
    result
}

async fn act(invocation: &Invocation, signals: &mut Signals) -> Result<ExitStatus, Error> {
    let overrides = &invocation.overrides;
    match &invocation.action {
        Action::Connect(connection) => {
            let aws = unless_ended(signals, Aws::load(overrides)).await?;
            commands::connect(&aws, connection, signals).await?;
        }
        Action::Check(connection) => return commands::check(overrides, connection, signals).await,
        Action::List(listing) => {
            let list = async { commands::list(&Aws::load(overrides).await?, listing).await };
            unless_ended(signals, list).await?;
        }
        Action::SshConfig(hosts, entry) => {
            unless_ended(signals, commands::ssh_config(overrides, hosts, entry)).await?;
        }
        Action::Skeleton(skeleton) => unless_ended(signals, commands::skeleton(*skeleton)).await?,
    }
    Ok(ExitStatus::Ended)
}

/// Does what leaves nothing behind when it is given up for a signal.
async fn unless_ended<T>(signals: &mut Signals, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let report = || tell("nothing to report: there is no session yet");
    let ended = |signal| Error::new(ExitStatus::Broken, format!("ended by {signal}"), "run it again");
    signals.unless_ended(work, report).await.unwrap_or_else(|signal| Err(ended(signal)))
}
