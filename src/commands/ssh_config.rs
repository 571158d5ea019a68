//! To print entries of ssh_config: for hosts that are named, for all ids, or for each node of a list.
//!
//! It writes nothing anywhere: where the entries go is up to whoever reads them.

use std::{collections::HashMap, env, path::PathBuf};

use super::{list::name, print::print};
use crate::{
    aws::{ManagedNode, Overrides},
    cli::{Entry, Host, quote},
    error::{Error, printable},
};

/// The name by which a shell finds this program, if it does.
const PROGRAM: &str = "ssm-proxy";
/// The patterns of all ids.
const IDS: &str = "i-* mi-*";
/// What ssh puts in for the host: as it uses it, in lower case, or as it was typed.
const USED: &str = "%h";
const TYPED: &str = "%n";

/// Prints an entry for each of `hosts`, or one for all ids.
///
/// # Errors
/// A stdout that cannot be written to.
pub async fn ssh_config(overrides: &Overrides, hosts: &[Host], entry: &Entry) -> Result<(), Error> {
    let maker = Maker::new(overrides.region.as_deref(), overrides.profile.as_deref(), entry);
    let mut text = head();
    if hosts.is_empty() {
        text.push_str(&maker.block(IDS, &[], USED, true));
    }
    for Host { name, is_id } in hosts {
        let pattern = if name.contains([' ', '#']) { format!("\"{name}\"") } else { name.clone() };
        text.push_str(&maker.block(&pattern, &[], if *is_id { USED } else { TYPED }, *is_id));
    }
    print(text).await
}

/// One entry for each node, under its name too where that is a word of its own among them.
pub(super) fn of_nodes(region: &str, profile: Option<&str>, nodes: &[ManagedNode], entry: &Entry) -> String {
    let maker = Maker::new(Some(region), profile, entry);
    let mut count: HashMap<String, usize> = HashMap::new();
    for node in nodes {
        *count.entry(name(node).to_lowercase()).or_default() += 1;
    }
    let mut text = head();
    for node in nodes {
        let alone = count.get(&name(node).to_lowercase()) == Some(&1) && is_word(name(node));
        let patterns = if alone { format!("{} {}", name(node), node.id) } else { node.id.clone() };
        let host_name = format!("HostName {}", node.id);
        let known =
            [Some(name(node)), node.address.as_deref(), node.platform_name.as_deref(), Some(node.ping.as_str())];
        let known: Vec<_> = known.into_iter().flatten().map(printable).collect();
        text.push_str(&format!("\n# {}", known.join(", ")));
        text.push_str(&maker.block(&patterns, &[host_name], USED, true));
    }
    text
}

fn head() -> String {
    format!("# Made by ssm-proxy {}. For ~/.ssh/config, or a file that it includes.\n", env!("CARGO_PKG_VERSION"))
}

/// Whether a Host line can have it as a pattern that means itself, and nobody takes it for something else.
fn is_word(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

/// Makes entries that differ in their hosts alone.
struct Maker {
    command: String,
    user: Option<String>,
}

impl Maker {
    fn new(region: Option<&str>, profile: Option<&str>, entry: &Entry) -> Self {
        let mut words = vec![program()];
        for (flag, value) in [("--profile", profile), ("--region", region)] {
            words.extend(value.into_iter().flat_map(|value| [flag.to_owned(), quote(value)]));
        }
        words.extend(entry.options.iter().cloned());
        Self { command: words.join(" "), user: entry.user.clone() }
    }

    /// An entry. The key that an id is first seen with is its own: it never returns to another machine.
    fn block(&self, patterns: &str, more: &[String], token: &str, is_id: bool) -> String {
        let mut lines = more.to_vec();
        lines.extend(self.user.iter().map(|user| format!("User {user}")));
        lines.push(format!("ProxyCommand {} {token} %p", self.command));
        if is_id {
            lines.push("StrictHostKeyChecking accept-new".to_owned());
        }
        // The service ends sessions that are silent for 20 minutes.
        lines.push("ServerAliveInterval 30".to_owned());
        format!("\nHost {patterns}\n  {}\n", lines.join("\n  "))
    }
}

/// How a shell starts this program: by its name if that leads here, else by its path.
fn program() -> String {
    let Ok(here) = env::current_exe().and_then(|path| path.canonicalize()) else { return PROGRAM.to_owned() };
    let leads_here = |folder: PathBuf| folder.join(PROGRAM).canonicalize().is_ok_and(|found| found == here);
    match env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(leads_here)) {
        true => PROGRAM.to_owned(),
        false => quote(&here.to_string_lossy()),
    }
}
