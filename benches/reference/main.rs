//! What ssm-proxy is compared with: programs that do the least that the task allows.
//!
//! `reference start` makes one TLS connection and one request, `reference pace ADDRESS RATE` is a ProxyCommand that
//! passes bytes on to an address, uploads at a rate. They know nothing of Session Manager.

mod pace;
mod start;

use std::io::{Error, Result};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["start"] => start::run(),
        ["pace", address, rate] => pace::run(address, rate.parse().map_err(Error::other)?),
        _ => Err(Error::other("write: reference start, or reference pace ADDRESS BYTES-A-SECOND")),
    }
}
