//! To list the managed nodes of a region on stdout: a table for people, JSON for programs.
//!
//! No ProxyCommand is run with `--list`, so stdout is free for it.

use std::time::SystemTime;

use aws_smithy_types::{DateTime, date_time::Format};
use serde::Serialize;

use super::{print::print, sign_in::sign_in, ssh_config::of_nodes};
use crate::{
    aws::{Aws, Filter, Inventory, ManagedNode},
    cli::{Listing, Output},
    error::{Error, ExitStatus, printable, tell},
    lookup::age,
};

/// Shows the nodes that the listing asks for.
///
/// # Errors
/// Those of the service, and a stdout that cannot be written to.
pub async fn list(aws: &Aws, listing: &Listing) -> Result<(), Error> {
    sign_in(aws).await?;
    let filter = if listing.tags.is_empty() { Filter::All } else { Filter::Tags(&listing.tags) };
    let mut nodes = Inventory::new(aws).all(filter).await?;
    if let Some(part) = &listing.filter {
        nodes.retain(|node| has(node, part));
    }
    nodes.sort_by(|a, b| (name(a), &a.id).cmp(&(name(b), &b.id)));
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

/// What a person calls the node; the Name tag of an EC2 instance is not among what the service says.
pub(super) fn name(node: &ManagedNode) -> &str {
    node.name.as_deref().or(node.computer_name.as_deref()).unwrap_or("-")
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
        printable(name(node)),
        or_dash(node.address.as_deref()),
        or_dash(Some(platform.join(" ").as_str()).filter(|platform| !platform.is_empty())),
        or_dash(node.agent_version.as_deref()),
        printable(node.ping.as_str()),
        node.last_ping.map_or_else(|| "-".to_owned(), |time| format!("{} ago", age(now, time))),
    ]
}

/// A node under AWS's own names.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Entry<'a> {
    instance_id: &'a str,
    name: Option<&'a str>,
    computer_name: Option<&'a str>,
    #[serde(rename = "IPAddress")]
    ip_address: Option<&'a str>,
    platform_type: Option<&'a str>,
    platform_name: Option<&'a str>,
    platform_version: Option<&'a str>,
    agent_version: Option<&'a str>,
    resource_type: Option<&'a str>,
    ping_status: &'a str,
    /// RFC 3339, UTC.
    last_ping_date_time: Option<String>,
}

impl<'a> From<&'a ManagedNode> for Entry<'a> {
    fn from(node: &'a ManagedNode) -> Self {
        Self {
            instance_id: &node.id,
            name: node.name.as_deref(),
            computer_name: node.computer_name.as_deref(),
            ip_address: node.address.as_deref(),
            platform_type: node.platform_type.as_deref(),
            platform_name: node.platform_name.as_deref(),
            platform_version: node.platform_version.as_deref(),
            agent_version: node.agent_version.as_deref(),
            resource_type: node.resource_type.as_deref(),
            ping_status: node.ping.as_str(),
            last_ping_date_time: node.last_ping.and_then(|time| DateTime::from(time).fmt(Format::DateTime).ok()),
        }
    }
}

fn json(nodes: &[ManagedNode]) -> Result<String, Error> {
    let entries: Vec<Entry<'_>> = nodes.iter().map(Entry::from).collect();
    let text = serde_json::to_string_pretty(&entries).map_err(|error| {
        Error::new(ExitStatus::Broken, format!("the list cannot be written as JSON: {error}"), "report this as a bug")
    })?;
    Ok(text + "\n")
}
