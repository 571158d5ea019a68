//! Which of the managed nodes is meant by a name, and which of several is taken.
//!
//! Values only. It must not know where the nodes come from.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use ssm_aws::{ManagedNode, Ping};

/// What a node is known by.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum KnownBy {
    /// A tag, or the name of a hybrid node's activation: whoever manages the node has given it that.
    Given,
    /// The computer name that the machine reports, which may be any.
    ComputerName,
    /// The address that the machine reports, which may be any.
    Address,
}

impl KnownBy {
    /// What the machine reports and is known by, in words; none if others gave it the name.
    pub fn reported(self) -> Option<&'static str> {
        match self {
            Self::Given => None,
            Self::ComputerName => Some("computer name"),
            Self::Address => Some("address"),
        }
    }
}

/// A node that fits.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Found {
    /// The node.
    pub node: ManagedNode,
    /// What it is known by.
    pub by: KnownBy,
}

/// Chooses among nodes that fit: of those that were given the name, if there are some, else of all, the only one, or the
/// only one that is online. A machine that merely says so takes nobody's name, be its owner away.
///
/// # Errors
/// Those of which none is to be preferred.
pub(super) fn choose(mut found: Vec<Found>) -> Result<Option<Found>, Vec<ManagedNode>> {
    let of_given = |found: &Found| found.by == KnownBy::Given;
    let is_online = |found: &Found| found.node.ping == Ping::Online;
    for is_better in [of_given, is_online] {
        if found.iter().any(is_better) {
            found.retain(is_better);
        }
    }
    if found.len() > 1 { Err(found.into_iter().map(|found| found.node).collect()) } else { Ok(found.pop()) }
}

/// By what the node is known as `name`, in whatever case (ssh writes `%h` in lower case), if it is: by its name, computer
/// name, host name or address, the first of these.
pub(super) fn known_by(node: &ManagedNode, name: &str) -> Option<KnownBy> {
    let has_address = |wanted| node.address.as_deref().and_then(address) == Some(wanted);
    if let Some(wanted) = address(name) {
        return has_address(wanted).then_some(KnownBy::Address);
    }
    let is = |text: &str| text.trim_end_matches('.').eq_ignore_ascii_case(name.trim_end_matches('.'));
    let computer = node.computer_name.as_deref();
    let host = computer.and_then(|computer| computer.split('.').next());
    if node.name.as_deref().is_some_and(is) {
        Some(KnownBy::Given)
    } else if computer.is_some_and(is) || host.is_some_and(is) {
        Some(KnownBy::ComputerName)
    } else {
        private_dns_address(name).is_some_and(has_address).then_some(KnownBy::Address)
    }
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
        let (computer, address) = (KnownBy::ComputerName, KnownBy::Address);
        let both = ManagedNode { name: Some("web-1".to_owned()), ..ec2.clone() };
        for (node, name, by) in [
            (&ec2, "web-1.example.com", computer),
            (&ec2, "WEB-1", computer),
            (&ec2, "web-1.example.com.", computer),
            (&ec2, "10.0.1.17", address),
            (&ec2, "ip-10-0-1-17.ec2.internal", address),
            (&ec2, "ip-10-0-1-17.eu-west-1.compute.internal", address),
            (&hybrid, "office", KnownBy::Given),
            (&both, "web-1", KnownBy::Given),
            (&six, "2001:DB8::17", address),
        ] {
            assert_eq!(known_by(node, name), Some(by), "{name}");
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
            assert_eq!(known_by(node, name), None, "{name}");
        }
    }

    #[test]
    fn the_one_that_is_online_is_taken() {
        let found = |id: &str, ping| Found { node: node(id, ping), by: KnownBy::ComputerName };
        let (up, also_up) = (found("i-1", Ping::Online), found("i-2", Ping::Online));
        let (down, also_down) = (found("i-3", Ping::ConnectionLost), found("i-4", Ping::Inactive));
        for (found, expected) in [
            (vec![], Ok(None)),
            (vec![&up], Ok(Some(up.clone()))),
            (vec![&down], Ok(Some(down.clone()))),
            (vec![&down, &up, &also_down], Ok(Some(up.clone()))),
            (vec![&up, &down, &also_up], Err(vec![up.node.clone(), also_up.node.clone()])),
            (vec![&down, &also_down], Err(vec![down.node.clone(), also_down.node.clone()])),
        ] {
            assert_eq!(choose(found.into_iter().cloned().collect()), expected);
        }
    }

    #[test]
    fn what_a_machine_says_of_itself_takes_nobodys_name() {
        let found = |id: &str, ping, by| Found { node: node(id, ping), by };
        let owner = found("i-1", Ping::ConnectionLost, KnownBy::Given);
        let impostors = [KnownBy::ComputerName, KnownBy::Address].map(|by| found("i-2", Ping::Online, by));
        for impostor in impostors {
            assert_eq!(choose(vec![impostor, owner.clone()]), Ok(Some(owner.clone())));
        }
    }
}
