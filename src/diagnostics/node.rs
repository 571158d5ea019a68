//! The words for a name that leads to no node, or to several.

use ssm_aws::{ManagedNode, Ping};

use super::error::{Error, ExitStatus};

/// How many nodes a message lists.
const NODES_LISTED: usize = 8;
/// How many similar names a hint offers.
const NAMES_OFFERED: usize = 3;
/// How similar a name must be to be offered, by Jaro and Winkler's measure from 0 to 1: a letter left out, doubled or
/// exchanged stays above this, another name of the same length does not.
const SIMILAR: f64 = 0.85;

/// No node has these tags.
pub fn none_tagged(region: &str, tags: &str) -> Error {
    let hint = "check the tag's spelling, whose case counts, and --region and --profile";
    Error::new(ExitStatus::NoTarget, format!("no managed node in {region} has the tag {tags}"), hint)
}

/// No node is known by `name`; `seen` are those that there are, as far as they were read.
pub fn none_named(region: &str, name: &str, seen: &[ManagedNode]) -> Error {
    if seen.is_empty() {
        let message = format!("there are no managed nodes in {region}");
        return Error::new(ExitStatus::NoTarget, message, "check --region and --profile");
    }
    let hint = match similar(name, seen).join(", ") {
        names if names.is_empty() => format!(
            "ssm-proxy --list --region {region} shows what there is; the case of Name tags counts, and ssh lower-cases \
             %h: write %n in ssh_config"
        ),
        names => format!("did you mean {names}? ssm-proxy --list --region {region} shows all"),
    };
    let message = format!("no managed node in {region} has this name, computer name or address");
    Error::new(ExitStatus::NoTarget, message, hint)
}

/// The names most like `name`, each with its id.
fn similar(name: &str, seen: &[ManagedNode]) -> Vec<String> {
    let wanted = name.to_lowercase();
    let likeness = |text: &str| strsim::jaro_winkler(&wanted, &text.to_lowercase());
    let mut names: Vec<(f64, &str, &str)> = seen
        .iter()
        .flat_map(|node| {
            let names = [node.name.as_deref(), node.computer_name.as_deref(), node.host_name()];
            // The likest of its names stands for the node.
            let best = names.into_iter().flatten().map(|name| (likeness(name), name));
            best.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(likeness, name)| (likeness, name, node.id.as_str()))
        })
        .filter(|(likeness, ..)| *likeness >= SIMILAR)
        .collect();
    names.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    names.into_iter().take(NAMES_OFFERED).map(|(_, name, id)| format!("{name} ({id})")).collect()
}

/// A warning about a node that was found by a name that it reports itself, its `computer name` or `address`: any machine
/// of the account can report the same.
pub fn self_reported(id: &str, name: &str) -> String {
    format!("{id}, by the {name} that it reports; an id or a Name tag would be certain")
}

/// The list goes on after all pages that are followed.
pub fn too_many(region: &str) -> Error {
    let message = format!("there are too many managed nodes in {region} to find this one among them");
    let hint = "give its id, or --tag KEY=VALUE with a tag that it has";
    Error::new(ExitStatus::NoTarget, message, hint)
}

/// Several nodes fit equally well.
pub fn ambiguous(region: &str, nodes: &[ManagedNode]) -> Error {
    let mut texts: Vec<String> = nodes.iter().take(NODES_LISTED).map(in_a_list).collect();
    if let Some(more) = nodes.len().checked_sub(NODES_LISTED).filter(|more| *more > 0) {
        texts.push(format!("and {more} more"));
    }
    let online = if nodes.iter().all(|node| node.ping == Ping::Online) { ", all online" } else { ", none online" };
    let message = format!("{} managed nodes in {region} fit{online}: {}", nodes.len(), texts.join(", "));
    let hint = "give the id of the one you mean, or --tag KEY=VALUE with a tag that only it has";
    Error::new(ExitStatus::NoTarget, message, hint)
}

/// `i-0abc (web-1, 10.0.1.17, Online)`.
fn in_a_list(node: &ManagedNode) -> String {
    let known: Vec<&str> =
        [node.display_name(), node.address.as_deref()].into_iter().flatten().chain([node.ping.as_str()]).collect();
    format!("{} ({})", node.id, known.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: &str, name: &str) -> ManagedNode {
        ManagedNode {
            id: id.to_owned(),
            name: None,
            computer_name: Some(name.to_owned()),
            address: None,
            platform_type: None,
            platform_name: None,
            platform_version: None,
            agent_version: None,
            resource_type: None,
            ping: Ping::Online,
            last_ping: None,
        }
    }

    #[test]
    fn only_what_is_alike_is_offered_the_likest_first() {
        let seen: Vec<_> =
            [("i-1", "db-1"), ("i-2", "web-12.example.com"), ("i-3", "Web-2"), ("i-4", "web-1"), ("i-5", "build")]
                .map(|(id, name)| node(id, name))
                .into();
        assert_eq!(similar("wbe-1", &seen), ["web-1 (i-4)", "web-12 (i-2)"]);
        assert_eq!(similar("web-11", &seen), ["web-1 (i-4)", "web-12 (i-2)", "Web-2 (i-3)"]);
        assert!(similar("mail", &seen).is_empty());
    }

    #[test]
    fn a_long_list_is_cut() {
        let nodes: Vec<_> = (0..11).map(|n| node(&format!("i-{n}"), "web")).collect();
        let error = ambiguous("eu-west-1", &nodes);
        assert!(error.message.starts_with("11 managed nodes in eu-west-1 fit, all online: i-0 (web, Online), "));
        assert!(error.message.ends_with("i-7 (web, Online), and 3 more"), "{error:?}");
        assert!(!ambiguous("eu-west-1", &nodes[..8]).message.contains("more"));
    }
}
