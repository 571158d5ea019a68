//! The program: flags, logging, run, exit status. Nothing else prints an error.

mod logging;

use std::process::ExitCode;

use ssm_proxy::aws::{Aws, Overrides, StartRequest};
use ssm_proxy::cli::{Invocation, Refusal};
use ssm_proxy::error::{Error, ExitStatus, tell_failure};
use ssm_proxy::stdio::Signals;
use ssm_proxy::tunnel;

fn main() -> ExitCode {
    let invocation = match Invocation::parse_from(std::env::args_os()) {
        Ok(invocation) => invocation,
        Err(Refusal::Usage(usage)) => usage.exit(),
        Err(Refusal::Target { host, error }) => return failed(&host, &error),
    };
    logging::start(invocation.verbosity, invocation.color.for_stderr());
    match run(&invocation) {
        Ok(()) => ExitStatus::Ended.into(),
        Err(error) => failed(invocation.target.as_str(), &error),
    }
}

fn failed(host: &str, error: &Error) -> ExitCode {
    tell_failure(host, error);
    error.status.into()
}

fn run(invocation: &Invocation) -> Result<(), Error> {
    // One thread: there is one stream of bytes, and a thread pool would cost start-up time and memory.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|cause| {
        Error::new(ExitStatus::Broken, format!("cannot start: {cause}"), "check the limits on open files and processes")
    })?;
    let result = runtime.block_on(connect(invocation));
    // A name look-up that is still under way must not hold up the exit.
    runtime.shutdown_background();
    result
}

async fn connect(invocation: &Invocation) -> Result<(), Error> {
    let overrides = Overrides {
        profile: invocation.profile.clone(),
        region: invocation.region.clone(),
        endpoint_url: invocation.endpoint_url.clone(),
        ssmmessages_endpoint_url: invocation.ssmmessages_endpoint_url.clone(),
        no_credential_cache: !invocation.credential_cache,
    };
    let aws = Aws::load(&overrides).await?;
    sign_in(&aws).await?;
    let request = StartRequest {
        target: invocation.target.as_str().to_owned(),
        document: invocation.document.clone(),
        parameters: invocation.parameters.clone(),
        reason: invocation.reason.clone(),
    };
    let settings = tunnel::Settings {
        connect_timeout: invocation.connect_timeout,
        resume_timeout: invocation.resume_timeout,
        paced: invocation.paced,
    };
    tunnel::run(&aws, &request, &settings).await
}

/// Finds the credentials while nothing else is under way. Whoever is asked for an MFA code takes the time that it
/// takes: no limit of the session counts it.
async fn sign_in(aws: &Aws) -> Result<(), Error> {
    tokio::select! {
        biased;
        signed_in = aws.sign_in() => signed_in,
        // Not started if there are credentials at once, as there mostly are.
        signal = first_signal() => {
            let message = format!("{} came before there were credentials", signal?);
            Err(Error::new(ExitStatus::TryAgain, message, "connect again"))
        }
    }
}

async fn first_signal() -> Result<&'static str, Error> {
    let mut signals = Signals::listen().map_err(|cause| {
        Error::new(ExitStatus::Broken, format!("cannot listen for signals: {cause}"), "check the limit on open files")
    })?;
    Ok(signals.next().await)
}
