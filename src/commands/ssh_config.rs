//! The command `--print-ssh-config`: entries of ssh_config on stdout, for the given hosts, for all ids, or for each node
//! of a list.
//!
//! It writes no file: the reader decides where the entries go.

use std::{
    collections::{HashMap, HashSet},
    env,
    path::{Path, PathBuf},
    time::Duration,
};

use ssm_aws::{ManagedNode, Overrides};

use super::print::print;
use crate::{
    cli::{Entry, Host, Platform},
    diagnostics::{Error, printable},
    target::{Node, Target},
};

/// The name by which a shell finds this program, if it does.
const PROGRAM: &str = "ssm-proxy";
/// The patterns of all ids.
const IDS: &str = "i-* mi-*";
/// The host and the port as ssh's tokens: the host as ssh uses it, in lower case, or as it was typed. `--` keeps a host
/// from becoming an option, and the quotes keep the shell from taking a host for a pattern of file names.
const USED: &str = "-- \"%h\" %p";
const TYPED: &str = "-- \"%n\" %p";
/// The name that a machine reports if nobody has named it. The user's own machine has this name too.
const NOBODYS: &str = "localhost";
/// Seconds between ssh's signs of life. The service ends sessions that are silent for 20 minutes, and routers forget
/// silent connections after some minutes.
const ALIVE_SECONDS: u64 = 30;
/// The least number of signs of life without an answer after which ssh gives up: its own default.
const LEAST_ALIVE_COUNT: u64 = 3;

/// Prints an entry for each of `hosts`, or one for all ids.
///
/// # Errors
/// A stdout that cannot be written to.
pub async fn ssh_config(overrides: &Overrides, hosts: &[Host], entry: &Entry) -> Result<(), Error> {
    let maker = Maker::new(overrides.region.as_deref(), overrides.profile.as_deref(), entry);
    let mut text = head();
    if hosts.is_empty() {
        text.push_str(&maker.block(IDS, None, USED, true));
    }
    for Host { name, is_id } in hosts {
        let pattern = if name.contains([' ', '#']) { format!("\"{name}\"") } else { name.clone() };
        text.push_str(&maker.block(&pattern, None, if *is_id { USED } else { TYPED }, *is_id));
    }
    print(text).await
}

/// The command that ssh would start for a host as it was typed, with these options.
pub(super) fn proxy_command(overrides: &Overrides, entry: &Entry) -> String {
    let maker = Maker::new(overrides.region.as_deref(), overrides.profile.as_deref(), entry);
    format!("{} {TYPED}", maker.command)
}

/// One entry for each node by its id, then one for each by its name where that can stand for it alone. ssh takes the
/// first value that it finds, so that no name has a say about an id.
pub(super) fn of_nodes(region: &str, profile: Option<&str>, nodes: &[ManagedNode], entry: &Entry) -> String {
    let maker = Maker::new(Some(region), profile, entry);
    let mut text = head();
    for node in nodes.iter().filter(|node| is_word(&node.id)) {
        let known = [
            Some(node.display_name().unwrap_or("-")),
            node.address.as_deref(),
            node.platform_name.as_deref(),
            Some(node.ping.as_str()),
        ];
        let known: Vec<_> = known.into_iter().flatten().map(printable).collect();
        text.push_str(&format!("\n# {}", known.join(", ")));
        text.push_str(&maker.block(&node.id, None, USED, true));
    }
    for (name, id) in names(region, nodes) {
        text.push_str(&maker.block(&name, Some(id), USED, false));
    }
    text
}

/// The names that stand for one node alone, each with the node's id. Machines report their names, which may be any: a name
/// that looks like an id, or that several nodes have, is left out. A name with dots, which may be a host's anywhere, has the
/// region behind it.
fn names<'a>(region: &str, nodes: &'a [ManagedNode]) -> Vec<(String, &'a str)> {
    let ids: HashSet<_> = nodes.iter().map(|node| node.id.to_lowercase()).collect();
    let mut count: HashMap<String, usize> = HashMap::new();
    for name in nodes.iter().filter_map(ManagedNode::display_name) {
        *count.entry(name.to_lowercase()).or_default() += 1;
    }
    let stands_alone = |name: &str| {
        // ssh compares hosts in lower case.
        let name = name.to_lowercase();
        count.get(&name) == Some(&1) && !ids.contains(&name) && !is_id(&name) && name != NOBODYS
    };
    let named =
        nodes.iter().filter(|node| is_word(&node.id)).filter_map(|node| Some((node.display_name()?, &*node.id)));
    let full = |name: &str| if name.contains('.') { format!("{name}.{region}") } else { name.to_owned() };
    named.filter(|(name, _)| is_word(name) && stands_alone(name)).map(|(name, id)| (full(name), id)).collect()
}

fn head() -> String {
    format!("# Made by ssm-proxy {}. For ~/.ssh/config, or a file that it includes.\n", env!("CARGO_PKG_VERSION"))
}

/// Whether a name can stand in a Host line as a pattern that fits this name alone.
fn is_word(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

/// Whether a host of this name is taken for an id.
fn is_id(name: &str) -> bool {
    Target::parse(name).is_ok_and(|target| matches!(target.node, Node::Id(_)))
}

/// Makes entries that differ in their hosts alone.
struct Maker<'a> {
    command: String,
    entry: &'a Entry,
}

impl<'a> Maker<'a> {
    fn new(region: Option<&str>, profile: Option<&str>, entry: &'a Entry) -> Self {
        let mut words = vec![program()];
        for (flag, value) in [("--profile", profile), ("--region", region)] {
            let quoted = value.and_then(|value| Platform::HERE.quote(value));
            words.extend(quoted.into_iter().flat_map(|value| [flag.to_owned(), value]));
        }
        words.extend(entry.options.iter().cloned());
        Self { command: words.join(" "), entry }
    }

    /// An entry. ssh may accept the first host key of an id, which never returns to another machine. Names do.
    fn block(&self, patterns: &str, host_name: Option<&str>, host: &str, is_id: bool) -> String {
        let mut lines: Vec<String> = host_name.iter().map(|name| format!("HostName {name}")).collect();
        lines.extend(self.entry.user.iter().map(|user| format!("User {user}")));
        lines.push(format!("ProxyCommand {} {host}", self.command));
        if is_id {
            lines.push("StrictHostKeyChecking accept-new".to_owned());
        }
        lines.push(format!("ServerAliveInterval {ALIVE_SECONDS}"));
        lines.push(format!("ServerAliveCountMax {}", alive_count(self.entry.resume_timeout)));
        format!("\nHost {patterns}\n  {}\n", lines.join("\n  "))
    }
}

/// How many signs of life may go without an answer until ssh gives up: as many as fit into the time for which a lost
/// connection is resumed, while nothing answers.
fn alive_count(resume_timeout: Duration) -> u64 {
    resume_timeout.as_secs().div_ceil(ALIVE_SECONDS).max(LEAST_ALIVE_COUNT)
}

/// How ssh starts this program: by its name if that leads here for a shell, else by its path.
fn program() -> String {
    let here = env::current_exe().and_then(|path| path.canonicalize());
    let path = here.ok().filter(|here| Platform::HERE == Platform::Windows || !is_on_path(here));
    let quoted = path.and_then(|path| Platform::HERE.quote_program(&path.to_string_lossy()));
    quoted.unwrap_or_else(|| PROGRAM.to_owned())
}

/// Whether a shell finds the program at `here` by its name.
fn is_on_path(here: &Path) -> bool {
    let leads_here = |folder: PathBuf| folder.join(PROGRAM).canonicalize().is_ok_and(|found| found == here);
    env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(leads_here))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssh_is_as_patient_as_a_resume() {
        for (seconds, count) in [(0, 3), (60, 3), (600, 20), (601, 21)] {
            assert_eq!(alive_count(Duration::from_secs(seconds)), count, "{seconds}");
        }
    }
}
