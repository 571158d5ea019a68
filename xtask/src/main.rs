//! `cargo run -p xtask -- dist` makes what the packages hold besides the program, from the program's own definitions.
//!
//! Nothing of it is kept in the repository: the man page and the completions come from the command line's definition,
//! the licences from the crates that Cargo.lock names. Packing is contrib/package's.

mod completions;
mod man;
mod third_party;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Command, Parser, ValueHint};

/// What can be asked for.
#[derive(Parser)]
enum Task {
    /// Write the man page, the completions and the licences of third parties
    Dist {
        /// The folder to write to
        #[arg(long, value_name = "FOLDER", default_value = "target/dist")]
        out: PathBuf,
        /// The platform whose crates count, as rustc names it [default: this machine's]
        #[arg(long, value_name = "TRIPLE")]
        target: Option<String>,
    },
}

fn main() -> ExitCode {
    let Task::Dist { out, target } = Task::parse();
    match dist(&out, target.as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

fn dist(out: &Path, target: Option<&str>) -> io::Result<()> {
    fs::create_dir_all(out)?;
    let command = definition();
    fs::write(out.join("ssm-proxy.1"), man::page(&command)?)?;
    completions::write(&command, &out.join("completions"))?;
    fs::write(out.join("THIRD-PARTY"), third_party::notices(target)?)
}

/// The program's command line. What a value is can be told from its name, so that shells complete it.
fn definition() -> Command {
    ssm_proxy::cli::command().mut_args(|argument| {
        let hint = match argument.get_value_names().unwrap_or_default() {
            [name] => match name.as_str() {
                "HOST" => ValueHint::Hostname,
                "PUBKEY" | "PATH" => ValueHint::FilePath,
                "URL" => ValueHint::Url,
                "USER" => ValueHint::Username,
                _ => return argument,
            },
            _ => return argument,
        };
        argument.value_hint(hint)
    })
}
