//! The command line of the bench.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::rig::Subject;

/// Measures an SSH-over-Session-Manager client against the stand-in of the service, on this machine alone.
///
/// Runs the client under test through real pipes, and through the real ssh where a goal is about what a person feels;
/// prints one row for each figure: the result, how far single runs lie apart, what it is compared with in the same
/// run, and whether the goal is met. Figures of a busy or slow machine are low in the same proportion as their
/// baselines: compare ratios, not machines. Missed goals are printed as missed, and change nothing about the exit status
/// unless --strict is given.
///
/// Paths with a delay are made by a forwarder in this program: every byte takes half the round trip, and a new
/// connection waits one round trip before its first byte. DNS is not part of any figure.
#[derive(Debug, Parser)]
#[command(name = "benches/run", bin_name = "benches/run", after_help = GOALS)]
pub(crate) struct Arguments {
    /// The client under test as a ProxyCommand, with %h for the target and %p for the port.
    ///
    /// Any client can be measured so, AWS's own for example: --proxy-command 'aws ssm start-session --target %h
    /// --document-name AWS-StartSSHSession --parameters portNumber=%p'. It finds endpoint, region and credentials in
    /// the environment. The default is ssm-proxy: the one that SSM_PROXY names, else the one beside this program.
    #[arg(long, value_name = "COMMAND")]
    proxy_command: Option<String>,

    /// The same for throughput without the service's limits; the same command if not given.
    #[arg(long, value_name = "COMMAND", requires = "proxy_command")]
    unpaced_proxy_command: Option<String>,

    /// Only these goals, separated by commas.
    #[arg(long, value_name = "GOALS", value_delimiter = ',')]
    only: Vec<Goal>,

    /// Measure bonds beside this program too: the aggligator-baseline of benches/aggligator.
    #[arg(long, value_name = "PROGRAM")]
    aggligator: Option<PathBuf>,

    /// Fewer and shorter runs: for a first look, not for figures to quote.
    #[arg(long)]
    pub(crate) quick: bool,

    /// Print a table of Markdown.
    #[arg(long)]
    pub(crate) markdown: bool,

    /// Exit with 1 if a goal is missed.
    #[arg(long)]
    pub(crate) strict: bool,
}

const GOALS: &str = "\
Goals:
  start       exec to StartSession's request on the wire, and CPU until then, against a minimal program with the same TLS
  trips       round trips from exec to the banner; repair of what an agent refused that was not connected yet
  throughput  at the service's limits over 0 to 200 ms and with loss; without limits against a bare WebSocket loop
  payload     what a service brings that takes larger messages, and one that does not
  latency     a keystroke beside an upload that fills the session, by ssh; a byte on an idle session, against cat
  cost        CPU per 100 MB, memory, size of the binary, wake-ups of an idle session
  program     --exec and -t: the first output, a key's echo idle and beside output, CPU and memory, encrypted and not
  forward     -L: one connection and four, connections a second, the first byte of one, CPU and memory
  login       ssh HOST true, and scp each way, beside a direct ssh over a path of the same length
  bond        --bond: rates over 1 to 8 sessions, sessions that are lost, logins, CPU, memory, the joiner's size
  keys        --bond: a key's echo beside bulk, by ssh and between two ends that hold nothing back
  recovery    from the end of a cut, or of a burst of losses, to full rate";

/// What can be measured by itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Goal {
    Start,
    Trips,
    Throughput,
    Payload,
    Latency,
    Cost,
    Recovery,
    Forward,
    Program,
    Login,
    Bond,
    Keys,
}

impl Arguments {
    pub(crate) fn goals(&self) -> &[Goal] {
        if self.only.is_empty() { Goal::value_variants() } else { &self.only }
    }

    /// The client under test.
    ///
    /// # Errors
    /// There is no such program.
    pub(crate) fn subject(&self) -> Result<Subject, String> {
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let tools = own.parent().map(PathBuf::from).unwrap_or_default();
        let named = std::env::var_os("SSM_PROXY").filter(|name| !name.is_empty());
        let program = named.map_or_else(|| tools.join("ssm-proxy"), PathBuf::from);
        if self.proxy_command.is_none() && !program.is_file() {
            return Err(format!("there is no {}: cargo build --release, or start benches/run", program.display()));
        }
        let paced = self.proxy_command.clone().unwrap_or_else(|| format!("{} %h %p", program.display()));
        let unpaced = match &self.proxy_command {
            Some(given) => self.unpaced_proxy_command.clone().unwrap_or_else(|| given.clone()),
            None => format!("{} --no-pace %h %p", program.display()),
        };
        let aggligator = self.aggligator.clone();
        Ok(Subject { paced, unpaced, program, tools, is_ours: self.proxy_command.is_none(), aggligator })
    }
}
