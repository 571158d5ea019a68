//! The program: flags, logging, run, exit status. Nothing else prints an error.

mod logging;

use std::process::ExitCode;

use ssm_aws::Aws;
use ssm_proxy::cli::{Action, Invocation, Refusal};
use ssm_proxy::commands;
use ssm_proxy::diagnostics::{Error, ExitStatus, tell, tell_failure};

/// What messages are about when there is no HOST.
const LIST: &str = "--list";
const SSH_CONFIG: &str = "--print-ssh-config";
const SKELETON: &str = "--generate-cli-skeleton";
/// Said each time, however quiet the run is to be.
const UNVERIFIED: &str =
    "warning: --no-verify-ssl: TLS certificates are not checked, so whoever is in between can take AWS's place";

fn main() -> ExitCode {
    let invocation = match Invocation::parse_from(std::env::args_os()) {
        Ok(invocation) => invocation,
        Err(Refusal::Usage(usage)) => usage.exit(),
        Err(Refusal::Target { host, error }) => return failed(&host, &error),
        Err(Refusal::File { flag, error }) => return failed(flag, &error),
    };
    let subject = match &invocation.action {
        Action::Connect(connection) | Action::Check(connection) => &connection.host,
        Action::List(_) => LIST,
        Action::SshConfig(..) => SSH_CONFIG,
        Action::Skeleton(_) => SKELETON,
    };
    match log(&invocation, subject).and_then(|()| run(&invocation)) {
        Ok(status) => status.into(),
        Err(error) => failed(subject, &error),
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

fn run(invocation: &Invocation) -> Result<ExitStatus, Error> {
    // One thread: there is one stream of bytes, and a thread pool would cost start-up time and memory.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|cause| {
        Error::new(ExitStatus::Broken, format!("cannot start: {cause}"), "check the limits on open files and processes")
    })?;
    if invocation.overrides.no_verify_ssl {
        tell(UNVERIFIED);
    }
    let result = runtime.block_on(act(invocation));
    // A name look-up that is still under way must not hold up the exit.
    runtime.shutdown_background();
    result
}

async fn act(invocation: &Invocation) -> Result<ExitStatus, Error> {
    let overrides = &invocation.overrides;
    match &invocation.action {
        Action::Connect(connection) => commands::connect(&Aws::load(overrides).await?, connection).await?,
        Action::List(listing) => commands::list(&Aws::load(overrides).await?, listing).await?,
        Action::Check(connection) => return Ok(commands::check(overrides, connection).await),
        Action::SshConfig(hosts, entry) => commands::ssh_config(overrides, hosts, entry)?,
        Action::Skeleton(skeleton) => commands::skeleton(*skeleton)?,
    }
    Ok(ExitStatus::Ended)
}
