//! The command `--list`: the managed nodes of a region on stdout, as a table for people or as JSON for programs.
//!
//! No ProxyCommand is run with `--list`, so stdout is free for it.

use std::{fmt::Write, time::SystemTime};

use ssm_aws::{Aws, Filter, Inventory, List, ManagedNode};

use super::{print::print, sign_in::sign_in, ssh_config::of_nodes};
use crate::{
    cli::{Listing, Output},
    diagnostics::{Error, ExitStatus, human::age, is_shown, printable, tell},
};

/// Shows the nodes that the listing asks for.
///
/// # Errors
/// Those of the service, and a stdout that cannot be written to.
pub async fn list(aws: &Aws, listing: &Listing) -> Result<(), Error> {
    sign_in(aws).await?;
    let filter = if listing.tags.is_empty() { Filter::All } else { Filter::Tags(&listing.tags) };
    let List { mut nodes, is_whole } = Inventory::new(aws).all(filter).await?;
    if !is_whole {
        tell(&format!(
            "there are more managed nodes in {} than the first {}; --tag asks for fewer",
            aws.region,
            nodes.len()
        ));
    }
    if let Some(part) = &listing.filter {
        nodes.retain(|node| has(node, part));
    }
    nodes.sort_by(|a, b| (a.display_name(), &a.id).cmp(&(b.display_name(), &b.id)));
    if nodes.is_empty() {
        let that_fit = if listing.filter.is_some() || !listing.tags.is_empty() { " that fit" } else { "" };
        tell(&format!("there are no managed nodes{that_fit} in {}", aws.region));
    }
    let profile = Some(aws.profile()).filter(|profile| *profile != "default");
    let text = match (&listing.entry, listing.output) {
        (Some(entry), _) => of_nodes(&aws.region, profile, &nodes, entry),
        (None, Output::Table) if nodes.is_empty() => String::new(),
        (None, Output::Table) => table(&nodes, SystemTime::now()),
        (None, Output::Json) => json(&nodes)?,
    };
    print(text).await
}

/// Whether `part` is in something that the list shows, or in another name of the node, in whatever case.
fn has(node: &ManagedNode, part: &str) -> bool {
    let part = part.to_lowercase();
    let texts = [
        Some(node.id.as_str()),
        node.name.as_deref(),
        node.computer_name.as_deref(),
        node.address.as_deref(),
        node.platform_type.as_deref(),
        node.platform_name.as_deref(),
        Some(node.ping.as_str()),
    ];
    texts.into_iter().flatten().any(|text| text.to_lowercase().contains(&part))
}

const HEADINGS: [&str; 7] = ["ID", "NAME", "ADDRESS", "PLATFORM", "AGENT", "STATUS", "LAST SEEN"];

fn table(nodes: &[ManagedNode], now: SystemTime) -> String {
    let rows: Vec<[String; HEADINGS.len()]> =
        std::iter::once(HEADINGS.map(str::to_owned)).chain(nodes.iter().map(|node| row(node, now))).collect();
    let mut widths = [0; HEADINGS.len()];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn row(node: &ManagedNode, now: SystemTime) -> [String; HEADINGS.len()] {
    let or_dash = |text: Option<&str>| printable(text.unwrap_or("-"));
    let platform = node.platform_name.as_deref().or(node.platform_type.as_deref());
    let platform: Vec<&str> = platform.into_iter().chain(node.platform_version.as_deref()).collect();
    [
        printable(&node.id),
        or_dash(node.display_name()),
        or_dash(node.address.as_deref()),
        or_dash(Some(platform.join(" ").as_str()).filter(|platform| !platform.is_empty())),
        or_dash(node.agent_version.as_deref()),
        printable(node.ping.as_str()),
        node.last_ping.map_or_else(|| "-".to_owned(), |time| format!("{} ago", age(now, time))),
    ]
}

fn json(nodes: &[ManagedNode]) -> Result<String, Error> {
    let text = serde_json::to_string_pretty(nodes).map_err(|error| {
        Error::new(ExitStatus::Broken, format!("the list cannot be written as JSON: {error}"), "report this as a bug")
    })?;
    Ok(escaped(&text) + "\n")
}

/// The same JSON, with what plays with a terminal written as escapes. Such characters stand in its strings alone.
fn escaped(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if c == '\n' || is_shown(c) {
            escaped.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // A String takes all that is written to it.
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_decodes_to_the_same_text_without_what_plays_with_terminals() {
        let text = "é שלום 日本 \u{9b}2J \u{7f}\u{202e}dorp\u{2069} \u{1b}[0m\t\n\u{1f600}";
        let json = serde_json::to_string_pretty(&[text]).unwrap();
        let escaped = escaped(&json);
        assert_eq!(serde_json::from_str::<[String; 1]>(&escaped).unwrap(), [text]);
        assert!(escaped.contains(r"\u009b2J \u007f\u202edorp\u2069"), "{escaped}");
        assert!(escaped.contains("é שלום 日本") && escaped.chars().all(|c| c == '\n' || is_shown(c)), "{escaped}");
    }
}
