//! The program: flags, logging, run, exit status. Nothing else prints an error.

mod logging;

use std::process::ExitCode;

use ssm_proxy::aws::Aws;
use ssm_proxy::caller;
use ssm_proxy::cli::{Action, Connection, Invocation, Platform, Refusal, Verbosity};
use ssm_proxy::commands;
use ssm_proxy::error::{Error, ExitStatus, tell, tell_failure};
use ssm_proxy::error_log;
use ssm_proxy::target::{Alias, Node};

/// What messages are about when there is no HOST.
const LIST: &str = "--list";
const SSH_CONFIG: &str = "--print-ssh-config";
const SKELETON: &str = "--generate-cli-skeleton";
/// Said each time, however quiet the run is to be.
const UNVERIFIED: &str =
    "warning: --no-verify-ssl: TLS certificates are not checked, so whoever is in between can take AWS's place";
/// sshd's port. What its far side says makes sense to ssh alone.
const SSH_PORT: u16 = 22;
/// Said of a ProxyCommand that has no `--` where somebody looks: with `-v`, in a log file, by `--check`.
const UNPROTECTED: &str = "this ProxyCommand does not end its options: names of files in the current folder can \
    become some. Write OPTIONS -- \"%n\" %p, with the quotes, or -- \"%h\" %p in place of --target %h";

fn main() -> ExitCode {
    let invocation = match Invocation::parse_from(std::env::args_os()) {
        Ok(invocation) => invocation,
        Err(Refusal::Usage(usage)) => {
            if usage.use_stderr() {
                error_log::keep(&usage.to_string());
            }
            usage.exit()
        }
        Err(Refusal::Target { host, error }) => return failed(&host, &error),
        Err(Refusal::File { flag, error }) => return failed(flag, &error),
    };
    let subject = match &invocation.action {
        Action::Connect(connection) | Action::Check(connection, _) => &connection.host,
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
        Some(path) => logging::to_file(path, invocation.verbosity, subject)?,
        None => logging::to_stderr(invocation.verbosity, invocation.color.for_stderr()),
    }
    let is_looked_at = invocation.verbosity > Verbosity::Quiet || invocation.log_file.is_some();
    match &invocation.action {
        // Where the system does not tell who has started this: connections are ssh's to make, checks are not.
        Action::Connect(_) if is_looked_at && is_unprotected(invocation, true) => tracing::warn!("{UNPROTECTED}"),
        Action::Check(..) if is_unprotected(invocation, false) => tell(&format!("warning: {UNPROTECTED}")),
        _ => {}
    }
    Ok(())
}

/// Whether ssh started this, and would take for options whatever a host stands for.
fn is_unprotected(invocation: &Invocation, by_default: bool) -> bool {
    !invocation.ends_options && caller::is_ssh().unwrap_or(by_default)
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
        Action::Connect(connection) if is_typed(connection) => return Err(typed(connection)),
        Action::Connect(connection) => commands::connect(&Aws::load(overrides).await?, connection).await?,
        Action::List(listing) => commands::list(&Aws::load(overrides).await?, listing).await?,
        Action::Check(connection, entry) => {
            return Ok(commands::check(overrides, connection, entry.as_ref()).await);
        }
        Action::SshConfig(hosts, entry) => commands::ssh_config(overrides, hosts, entry)?,
        Action::Skeleton(skeleton) => commands::skeleton(*skeleton)?,
    }
    Ok(ExitStatus::Ended)
}

/// Whether a person has typed what ssh has to start. Another port may have something to say to people.
fn is_typed(connection: &Connection) -> bool {
    connection.port == SSH_PORT && caller::is_person()
}

/// What to type instead.
fn typed(connection: &Connection) -> Error {
    let host = match &connection.node {
        Node::Alias(Alias::Tags(_)) => None,
        _ => Platform::HERE.quote_typed(&connection.host),
    };
    let host = host.as_deref().unwrap_or("HOST");
    let message = "ssh starts ssm-proxy as its ProxyCommand; by itself it is no login";
    let hint = format!(
        "put what 'ssm-proxy --print-ssh-config {host}' prints into ~/.ssh/config and type: ssh {host}; to test the way, \
         type: ssm-proxy --check {host}"
    );
    Error::new(ExitStatus::Usage, message, hint)
}
