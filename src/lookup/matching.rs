//! Which of the managed nodes is meant by a name, and which of several is taken.
//!
//! Values only. It must not know where the nodes come from.

use std::net::IpAddr;

use ssm_aws::{ManagedNode, Ping};

/// Chooses among nodes that fit: the only one, or the only one that is online.
///
/// # Errors
/// Those of which none is to be preferred.
pub(super) fn choose(mut nodes: Vec<ManagedNode>) -> Result<Option<ManagedNode>, Vec<ManagedNode>> {
    if is_decided(&nodes) {
        nodes.retain(|node| node.ping == Ping::Online);
    }
    if nodes.len() > 1 { Err(nodes) } else { Ok(nodes.pop()) }
}

/// Whether looking further is in vain: a node that is online fits.
pub(super) fn is_decided(nodes: &[ManagedNode]) -> bool {
    nodes.iter().any(|node| node.ping == Ping::Online)
}

/// Whether `name` is the node's name, computer name, host name or address, in whatever case: ssh writes `%h` in lower
/// case.
pub(super) fn is_known_as(node: &ManagedNode, name: &str) -> bool {
    if let Some(wanted) = address(name) {
        return node.address.as_deref().and_then(address) == Some(wanted);
    }
    let is = |text: &str| text.trim_end_matches('.').eq_ignore_ascii_case(name.trim_end_matches('.'));
    let computer = node.computer_name.as_deref();
    let host = computer.and_then(|computer| computer.split('.').next());
    node.name.as_deref().is_some_and(is)
        || computer.is_some_and(is)
        || host.is_some_and(is)
        || private_dns_address(name).is_some_and(|wanted| node.address.as_deref().and_then(address) == Some(wanted))
}

/// The address that a text is.
pub(super) fn address(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}

/// The address in a private DNS name of EC2, such as `ip-10-0-1-17.ec2.internal`. The machine may call itself something
/// else.
fn private_dns_address(name: &str) -> Option<IpAddr> {
    let (host, domain) = name.split_once('.')?;
    let is_private = domain == "ec2.internal" || domain.ends_with(".compute.internal");
    is_private.then(|| address(&host.strip_prefix("ip-")?.replace('-', "."))).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: &str, ping: Ping) -> ManagedNode {
        ManagedNode {
            id: id.to_owned(),
            name: None,
            computer_name: Some("Web-1.Example.com".to_owned()),
            address: Some("10.0.1.17".to_owned()),
            platform_type: None,
            platform_name: None,
            platform_version: None,
            agent_version: None,
            resource_type: None,
            ping,
            last_ping: None,
        }
    }

    #[test]
    fn a_node_has_several_names() {
        let ec2 = node("i-1", Ping::Online);
        let hybrid = ManagedNode { name: Some("Office".to_owned()), computer_name: None, ..ec2.clone() };
        let six = ManagedNode { address: Some("2001:db8:0:0::17".to_owned()), ..ec2.clone() };
        for (node, name) in [
            (&ec2, "web-1.example.com"),
            (&ec2, "WEB-1"),
            (&ec2, "web-1.example.com."),
            (&ec2, "10.0.1.17"),
            (&ec2, "ip-10-0-1-17.ec2.internal"),
            (&ec2, "ip-10-0-1-17.eu-west-1.compute.internal"),
            (&hybrid, "office"),
            (&six, "2001:DB8::17"),
        ] {
            assert!(is_known_as(node, name), "{name}");
        }
        for (node, name) in [
            (&ec2, "web"),
            (&ec2, "web-1.example"),
            (&ec2, "10.0.1.1"),
            (&ec2, "ip-10-0-1-17.example.com"),
            (&ec2, "ip-10-0-1-1.ec2.internal"),
            (&ec2, ""),
            (&hybrid, "web-1"),
        ] {
            assert!(!is_known_as(node, name), "{name}");
        }
    }

    #[test]
    fn the_one_that_is_online_is_taken() {
        let (up, also_up) = (node("i-1", Ping::Online), node("i-2", Ping::Online));
        let (down, also_down) = (node("i-3", Ping::ConnectionLost), node("i-4", Ping::Inactive));
        for (nodes, expected) in [
            (vec![], Ok(None)),
            (vec![&up], Ok(Some(up.clone()))),
            (vec![&down], Ok(Some(down.clone()))),
            (vec![&down, &up, &also_down], Ok(Some(up.clone()))),
            (vec![&up, &down, &also_up], Err(vec![up.clone(), also_up.clone()])),
            (vec![&down, &also_down], Err(vec![down.clone(), also_down.clone()])),
        ] {
            assert_eq!(choose(nodes.into_iter().cloned().collect()), expected);
        }
    }
}
