//! The search for the node that is known by a tag or a name, in the list of managed nodes.
//!
//! The tag is asked for first, since the service can filter by it and whoever manages a node gives it. Computer names and
//! addresses are what a machine says of itself: they count where no tag fits, and only after the whole list has been read,
//! since whoever else says the same may be on its last page. It must not know what the node is wanted for.

use std::net::IpAddr;

use super::{
    error::ApiError,
    inventory::{Filter, Inventory, List, ManagedNode, Ping},
    names::KnownBy,
    tag::Tag,
};

/// A node that fits.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Found {
    /// The node.
    pub node: ManagedNode,
    /// What it is known by.
    pub by: KnownBy,
}

/// Why a search has found no node.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NotFound {
    /// The list cannot be had.
    Call(ApiError),
    /// The list goes on after all pages that are followed.
    TooMany,
    /// Several nodes fit, of which none is to be preferred.
    Ambiguous(Vec<ManagedNode>),
    /// No node fits; these do not, as far as they were read.
    NoneFits(Vec<ManagedNode>),
}

impl From<ApiError> for NotFound {
    fn from(error: ApiError) -> Self {
        Self::Call(error)
    }
}

impl Inventory {
    /// The node that has all of these tags.
    ///
    /// # Errors
    /// See [`NotFound`].
    pub async fn find_tagged(&self, tags: &[Tag]) -> Result<Found, NotFound> {
        choose(self.tagged(tags).await?)?.ok_or(NotFound::NoneFits(Vec::new()))
    }

    /// The node that is known by `name`: its Name tag, or else what [`ManagedNode::known_by`] takes.
    ///
    /// # Errors
    /// See [`NotFound`].
    pub async fn find_named(&self, name: &str) -> Result<Found, NotFound> {
        if name.parse::<IpAddr>().is_err() {
            let tag = Tag { key: "Name".to_owned(), value: name.to_owned() };
            if let Some(found) = choose(self.tagged(&[tag]).await?)? {
                return Ok(found);
            }
        }
        let List { nodes, is_whole } = self.all(Filter::All).await?;
        if !is_whole {
            // Whoever is listed first would win.
            return Err(NotFound::TooMany);
        }
        let (mut found, mut others) = (Vec::new(), Vec::new());
        for node in nodes {
            match node.known_by(name) {
                Some(by) => found.push(Found { node, by }),
                None => others.push(node),
            }
        }
        choose(found)?.ok_or(NotFound::NoneFits(others))
    }

    async fn tagged(&self, tags: &[Tag]) -> Result<Vec<Found>, NotFound> {
        let List { nodes, is_whole } = self.all(Filter::Tags(tags)).await?;
        // Of a list that goes on, what is there counts: nobody gives a tag to himself.
        if nodes.is_empty() && !is_whole {
            return Err(NotFound::TooMany);
        }
        Ok(nodes.into_iter().map(|node| Found { node, by: KnownBy::Given }).collect())
    }
}

/// Chooses among nodes that fit: of those that were given the name, if there are some, else of all, the only one, or the
/// only one that is online. A machine that merely says so takes nobody's name, be its owner away.
///
/// # Errors
/// [`NotFound::Ambiguous`].
fn choose(mut found: Vec<Found>) -> Result<Option<Found>, NotFound> {
    let of_given = |found: &Found| found.by == KnownBy::Given;
    let is_online = |found: &Found| found.node.ping == Ping::Online;
    for is_better in [of_given, is_online] {
        if found.iter().any(is_better) {
            found.retain(is_better);
        }
    }
    match found.len() {
        0 | 1 => Ok(found.pop()),
        _ => Err(NotFound::Ambiguous(found.into_iter().map(|found| found.node).collect())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::node;

    #[test]
    fn the_one_that_is_online_is_taken() {
        let found = |id: &str, ping| Found { node: node(id, ping), by: KnownBy::ComputerName };
        let ambiguous =
            |found: &[&Found]| Err(NotFound::Ambiguous(found.iter().map(|found| found.node.clone()).collect()));
        let (up, also_up) = (found("i-1", Ping::Online), found("i-2", Ping::Online));
        let (down, also_down) = (found("i-3", Ping::ConnectionLost), found("i-4", Ping::Inactive));
        for (found, expected) in [
            (vec![], Ok(None)),
            (vec![&up], Ok(Some(up.clone()))),
            (vec![&down], Ok(Some(down.clone()))),
            (vec![&down, &up, &also_down], Ok(Some(up.clone()))),
            (vec![&up, &down, &also_up], ambiguous(&[&up, &also_up])),
            (vec![&down, &also_down], ambiguous(&[&down, &also_down])),
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
