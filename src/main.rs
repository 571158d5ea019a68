//! The program: flags, logging, run, exit status. Nothing else prints an error.

mod logging;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use ssm_aws::{Aws, Overrides};
use ssm_proxy::caller;
use ssm_proxy::cli::plugin::{self, ResponsePlace};
use ssm_proxy::cli::{Action, CommandKind, Connection, Invocation, Platform, Refusal, StartedBy, Verbosity};
use ssm_proxy::commands::{self, Wanted};
use ssm_proxy::diagnostics::{Error, ExitStatus, error_log, tell, tell_failure};
use ssm_proxy::endpoints::signals::Signals;
use ssm_proxy::endpoints::stdio::is_reader_gone;
use ssm_proxy::handover;
use ssm_proxy::target::{Alias, Node};
use tokio::runtime::Runtime;
use zeroize::Zeroizing;

/// What messages are about when there is no HOST.
const FORWARD: &str = "-L";
const LIST: &str = "--list";
const SSH_CONFIG: &str = "--print-ssh-config";
const INSTALL_PLUGIN: &str = "--install-plugin";
const SKELETON: &str = "--generate-cli-skeleton";
/// The variable that has the plugin end with a status of its own.
const EXIT_STATUS: &str = "SSM_PROXY_EXIT_STATUS";
/// Said each time, however quiet the run is to be.
const UNVERIFIED: &str =
    "warning: --no-verify-ssl: TLS certificates are not checked, so whoever is in between can take AWS's place";
/// sshd's port. What its far side says makes sense to ssh alone.
const SSH_PORT: u16 = 22;
/// Said of a ProxyCommand that has no `--` where somebody looks: with `-v`, in a log file, by `--check`.
const UNPROTECTED: &str = "this ProxyCommand does not end its options: names of files in the current folder can \
    become some. Write OPTIONS -- \"%n\" %p, with the quotes, or -- \"%h\" %p in place of --target %h";

fn main() -> ExitCode {
    no_core_dumps();
    let args: Vec<OsString> = std::env::args_os().collect();
    if args.first().is_some_and(|name| plugin::is_called_by(name)) {
        return as_plugin(&args);
    }
    // Before all that takes time: a signal that asks how it is kills nothing from here on.
    let begun = begin();
    let invocation = match Invocation::parse_from(args, started_by()) {
        Ok(invocation) => invocation,
        Err(Refusal::Usage(usage)) => {
            if usage.use_stderr() {
                error_log::keep(&usage.to_string());
            }
            return show(&usage);
        }
        Err(Refusal::Target { host, error }) => return failed(&host, &error),
        Err(Refusal::File { flag, error }) => return failed(flag, &error),
    };
    let subject = match &invocation.action {
        Action::Connect(connection)
        | Action::Shell(connection)
        | Action::Exec(connection, _)
        | Action::Check(connection, ..) => &connection.host,
        Action::Forward(forwarding) => forwarding.forwards.first().map_or(FORWARD, |(_, connection)| &connection.host),
        Action::List(_) => LIST,
        Action::SshConfig(..) => SSH_CONFIG,
        Action::Skeleton(_) => SKELETON,
        Action::InstallPlugin(_) => INSTALL_PLUGIN,
        Action::BondSetup(setup) => &setup.host,
    };
    match log(&invocation, subject).and_then(|()| run(begun?, &invocation)) {
        Ok(status) => status.into(),
        Err(error) => failed(subject, &error),
    }
}

/// Called by the name of AWS's client, the program does as that does, and ends with 0 as that does unless the variable
/// [`EXIT_STATUS`] is set to 1.
fn as_plugin(args: &[OsString]) -> ExitCode {
    let place = plugin::response_place(args);
    let response = match &place {
        None => None,
        Some(ResponsePlace::Argument) => args.get(1).map(|response| response.to_string_lossy().into_owned()),
        Some(ResponsePlace::Variable(name)) => std::env::var(name).ok(),
        Some(ResponsePlace::Handed(place)) => handover::receive(place).ok(),
    };
    let response = response.map(Zeroizing::new);
    if let Some(response) = &response {
        // Where that fails it is seen as long as the session lasts, as with AWS's own client.
        match &place {
            Some(ResponsePlace::Argument) => drop(handover::execute(args, None, response)),
            Some(ResponsePlace::Variable(name)) => drop(handover::execute(args, Some(name), response)),
            _ => {}
        }
    }
    let call = plugin::parse(args, response.as_deref().map(String::as_str));
    drop(response);
    let status = begin().and_then(|(runtime, mut signals)| {
        let status = runtime.block_on(async {
            signals.and_of_ends().and_then(|()| signals.and_of_ignored_keys()).map_err(|cause| cannot_start(&cause))?;
            Ok(commands::plugin(call, &mut signals).await)
        });
        runtime.shutdown_background();
        status
    });
    let status = status.unwrap_or_else(|error: Error| {
        tell_failure(plugin::NAME, &error);
        error.status as u8
    });
    if std::env::var_os(EXIT_STATUS).is_some_and(|value| value == "1") { status.into() } else { ExitCode::SUCCESS }
}

/// Who has started this: a person, unless ssh has, whatever it has for stdin and stdout.
fn started_by() -> StartedBy {
    if caller::is_person() && caller::is_ssh() != Some(true) { StartedBy::Person } else { StartedBy::Program }
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

fn run((runtime, mut signals): (Runtime, Signals), invocation: &Invocation) -> Result<u8, Error> {
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

async fn act(invocation: &Invocation, signals: &mut Signals) -> Result<u8, Error> {
    let overrides = &invocation.overrides;
    match &invocation.action {
        Action::Connect(connection) if is_typed(connection) => return Err(typed(connection)),
        Action::Connect(connection) => return connect(overrides, connection, None, signals).await,
        Action::Shell(connection) => return connect(overrides, connection, Some(Wanted::Shell), signals).await,
        Action::Exec(connection, CommandKind::Plain) => {
            return connect(overrides, connection, Some(Wanted::Command), signals).await;
        }
        Action::Exec(connection, CommandKind::OnTerminal) => {
            return connect(overrides, connection, Some(Wanted::CommandOnTerminal), signals).await;
        }
        Action::Forward(forwarding) => {
            let aws = unless_ended(signals, Aws::load(overrides)).await?;
            return commands::forward(&aws, forwarding, signals).await;
        }
        Action::Check(connection, entry, report) => {
            let status = commands::check(overrides, connection, entry.as_ref(), report.as_ref(), signals).await?;
            return Ok(status as u8);
        }
        Action::List(listing) => {
            let list = async { commands::list(&Aws::load(overrides).await.map_err(Error::from)?, listing).await };
            unless_ended(signals, list).await?;
        }
        Action::SshConfig(hosts, entry) => {
            unless_ended(signals, commands::ssh_config(overrides, hosts, entry)).await?;
        }
        Action::BondSetup(setup) => return commands::bond_setup(overrides, setup, signals).await,
        Action::InstallPlugin(installing) => unless_ended(signals, commands::install_plugin(installing)).await?,
        Action::Skeleton(skeleton) => unless_ended(signals, commands::skeleton(*skeleton)).await?,
    }
    Ok(ExitStatus::Ended as u8)
}

async fn connect(
    overrides: &Overrides,
    connection: &Connection,
    program: Option<Wanted>,
    signals: &mut Signals,
) -> Result<u8, Error> {
    let aws = unless_ended(signals, Aws::load(overrides)).await?;
    commands::connect(&aws, connection, program, signals).await
}

/// Whether a person has typed what ssh has to start: a line for sshd. Another port may have something to say to people.
fn is_typed(connection: &Connection) -> bool {
    connection.port == SSH_PORT && started_by() == StartedBy::Person
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
         type: ssm-proxy --check {host}; for a shell without ssh, type: ssm-proxy --shell {host}"
    );
    Error::new(ExitStatus::Usage, message, hint)
}

/// Does what leaves nothing behind when it is given up for a signal.
async fn unless_ended<T, E: Into<Error>>(
    signals: &mut Signals,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, Error> {
    let report = || tell("nothing to report: there is no session yet");
    let ended = |signal| Error::new(ExitStatus::Broken, format!("ended by {signal}"), "run it again");
    signals.unless_ended(work, report).await.map_err(ended)?.map_err(Into::into)
}
