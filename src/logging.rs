//! Logging, for `-v`, `--debug` and `--log-file`: on stderr, or in a file.
//!
//! Only the events of our own crates are shown: the SDK's and the TLS library's may hold headers and tokens.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use ssm_proxy::cli::Verbosity;
use ssm_proxy::diagnostics::{Error, ExitStatus, Lines, TOLD, printable};
use ssm_proxy::state;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime, uptime};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The crates whose events are shown. The program's library and binary have the same name.
const OWN: [&str; 6] = ["ssm_aws", "ssm_channel", "ssm_gateway", "ssm_net", "ssm_proxy", "ssm_session"];
/// Bytes from which on a log file is put aside when the next run begins.
const FULL: u64 = 10 << 20;

/// Starts logging on stderr; without `-v` there is none.
pub(crate) fn to_stderr(verbosity: Verbosity, colored: bool) {
    if let Some(level) = level(verbosity) {
        start(own(level).with_target(TOLD, LevelFilter::OFF), || Lines, uptime(), colored);
    }
}

/// Starts logging at the end of the file at `path`: the steps at least. Runs that share the file are told apart by `host`.
///
/// # Errors
/// Status 78 if the file cannot be written to, its folder being missing for example.
pub(crate) fn to_file(path: &Path, verbosity: Verbosity, host: &str) -> Result<(), Error> {
    let path = place(path);
    let file = state::append(&path, FULL).map_err(|cause| {
        let message = format!("the log file {} cannot be written to: {cause}", path.display());
        let hint = match cause.kind() {
            io::ErrorKind::NotFound => "make its folder, or give another path with --log-file",
            _ => "give another path with --log-file",
        };
        Error::new(ExitStatus::Config, message, hint)
    })?;
    let stamp = Stamp { run: format!("{}[{}]", printable(host), std::process::id()) };
    start(own(level(verbosity).unwrap_or(LevelFilter::INFO)), Mutex::new(file), stamp, false);
    Ok(())
}

fn own(level: LevelFilter) -> Targets {
    Targets::new().with_targets(OWN.map(|name| (name, level)))
}

fn level(verbosity: Verbosity) -> Option<LevelFilter> {
    match verbosity {
        Verbosity::Quiet => None,
        Verbosity::Steps => Some(LevelFilter::INFO),
        Verbosity::Debug => Some(LevelFilter::DEBUG),
    }
}

fn start<W, T>(own: Targets, writer: W, timer: T, colored: bool)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
    T: FormatTime + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_timer(timer)
        .with_target(false)
        .with_ansi(colored)
        // Without a stderr there is nobody to tell, and telling would panic.
        .log_internal_errors(false)
        .with_filter(own);
    tracing_subscriber::registry().with(lines).init();
}

/// Where a log file is. A path that begins with `/`, `./` or `../` is taken as it is; any other is in the state folder,
/// since the folder that ssh was started in is an accident.
fn place(path: &Path) -> PathBuf {
    let begins_somewhere = path.is_absolute() || path.starts_with(".") || path.starts_with("..");
    match state::folder().filter(|_| !begins_somewhere) {
        Some(folder) => folder.join(path),
        None => path.to_owned(),
    }
}

/// The start of a line in a file: the time, in UTC, and the run.
struct Stamp {
    run: String,
}

impl FormatTime for Stamp {
    fn format_time(&self, line: &mut Writer<'_>) -> fmt::Result {
        SystemTime.format_time(line)?;
        write!(line, " {}", self.run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_begins_somewhere_is_left_alone() {
        let whole = std::env::temp_dir().join("x.log");
        for path in [&*whole, Path::new("./x.log"), Path::new("../x.log")] {
            assert_eq!(place(path), path);
        }
        assert!(place(Path::new("x.log")).ends_with("ssm-proxy/x.log"));
    }
}
