//! The joiner: the half of `ssm-proxy --bond` that runs on the node.

#[cfg(not(unix))]
compile_error!("the joiner is for nodes that run Unix; ssm-proxy does without it here");

mod arguments;
mod background;
mod bond;
mod destination;
mod joiner;
mod log;
mod opening;
mod serve;
mod sockets;

use std::io::Write;
use std::process::ExitCode;

use arguments::{HELP, Mode};
use log::line;
use serve::{Service, serve};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            line(format_args!("ssm-proxy-join: {error}\nSee ssm-proxy-join --help."));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let arguments = arguments::read(std::env::args_os().skip(1))?;
    match arguments.mode {
        Mode::Help => say(HELP),
        Mode::Version => say(concat!("ssm-proxy-join ", env!("CARGO_PKG_VERSION"), "\n")),
        Mode::Background => background::start(&arguments),
        Mode::Detached => {
            let (first, join, secret) = background::detach()?;
            serve(Service { first, join, secret: Some(secret), to: arguments.to, idle: arguments.idle })
        }
        Mode::Systemd => {
            let (first, join) = sockets::of_systemd()?;
            serve(Service { first, join, secret: None, to: arguments.to, idle: arguments.idle })
        }
    }
}

fn say(text: &str) -> Result<(), String> {
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| format!("cannot write to stdout: {error}"))
}
