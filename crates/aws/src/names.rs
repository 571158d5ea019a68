//! The names of a managed node, besides its id: which of them is meant by a text.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::inventory::ManagedNode;

/// The kinds of name that a node is known by.
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
    /// The kind in words, if the machine itself reports the name; none if others gave it.
    pub fn reported(self) -> Option<&'static str> {
        match self {
            Self::Given => None,
            Self::ComputerName => Some("computer name"),
            Self::Address => Some("address"),
        }
    }
}

impl ManagedNode {
    /// What a person calls the node; the Name tag of an EC2 instance is not among what the service says.
    pub fn display_name(&self) -> Option<&str> {
        self.name.as_deref().or(self.computer_name.as_deref())
    }

    /// The first label of the computer name.
    pub fn host_name(&self) -> Option<&str> {
        self.computer_name.as_deref()?.split('.').next()
    }

    /// The kind of name that `name` is of this node, in whatever case: its given name, its computer name or host name, or
    /// its address, the first of these. An address may also be written as EC2's private DNS name.
    pub fn known_by(&self, name: &str) -> Option<KnownBy> {
        let has_address = |wanted| self.address.as_deref().and_then(address) == Some(wanted);
        if let Some(wanted) = address(name) {
            return has_address(wanted).then_some(KnownBy::Address);
        }
        let is = |text: &str| text.trim_end_matches('.').eq_ignore_ascii_case(name.trim_end_matches('.'));
        if self.name.as_deref().is_some_and(is) {
            Some(KnownBy::Given)
        } else if self.computer_name.as_deref().is_some_and(is) || self.host_name().is_some_and(is) {
            Some(KnownBy::ComputerName)
        } else {
            private_dns_address(name).is_some_and(has_address).then_some(KnownBy::Address)
        }
    }
}

fn address(text: &str) -> Option<IpAddr> {
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
    use crate::Ping;
    use crate::test_support::node;

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
            assert_eq!(node.known_by(name), Some(by), "{name}");
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
            assert_eq!(node.known_by(name), None, "{name}");
        }
    }
}
