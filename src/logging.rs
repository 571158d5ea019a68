//! Logging on stderr, for `-v` and `--debug`.
//!
//! Only this crate's own events are shown: the SDK's and the TLS library's may hold headers and tokens.

use std::io;

use ssm_proxy::cli::Verbosity;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::time::uptime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The library's and the binary's events; both crates have this name.
const OWN: &str = "ssm_proxy";

/// Starts logging; without `-v` there is none.
pub(crate) fn start(verbosity: Verbosity, colored: bool) {
    let level = match verbosity {
        Verbosity::Quiet => return,
        Verbosity::Steps => LevelFilter::INFO,
        Verbosity::Debug => LevelFilter::DEBUG,
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_timer(uptime())
        .with_target(false)
        .with_ansi(colored)
        // Without a stderr there is nobody to tell, and telling would panic.
        .log_internal_errors(false)
        .with_filter(Targets::new().with_target(OWN, level));
    tracing_subscriber::registry().with(lines).init();
}
