//! From what a node is known by to its id, with DescribeInstanceInformation alone.
//!
//! The tag is asked for first, since the service can filter by it and whoever manages a node gives it. Computer names and
//! addresses are what a machine says of itself: they count where no tag fits, and only after the whole list has been read,
//! since whoever else says the same may be on its last page. It must not know what the id is wanted for.

mod cache;
mod matching;

use std::time::SystemTime;

use ssm_aws::{ApiError, Aws, Filter, Inventory, List, ManagedNode, Tag};

use crate::{
    diagnostics::{
        Error,
        node::{ambiguous, none_named, none_tagged, too_many},
    },
    target::{Alias, Node, Target},
};
use cache::{Cache, Key};
use matching::{choose, known_by};

pub use matching::{Found, KnownBy};

/// Looks names up.
#[derive(Debug)]
pub struct Lookup {
    aws: Aws,
    inventory: Inventory,
    cache: Cache,
}

/// Why a name was not found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NotFound {
    /// What to tell the user.
    pub error: Error,
    /// Whether it may be there in a moment: no node fits yet.
    pub may_appear: bool,
}

impl From<ApiError> for NotFound {
    fn from(error: ApiError) -> Self {
        Self { error: error.into(), may_appear: false }
    }
}

impl Lookup {
    /// Look-ups with this region, endpoint and these credentials. Nothing is sent or read yet.
    pub fn new(aws: &Aws) -> Self {
        Self { aws: aws.clone(), inventory: Inventory::new(aws), cache: Cache::of_user() }
    }

    /// The list that is looked into.
    pub fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// The id that `alias` led to a moment ago, and by what.
    pub fn recall(&self, alias: &Alias) -> Option<(String, KnownBy)> {
        let (id, by) = self.cache.get(&self.key(alias), SystemTime::now())?;
        // What is in a file may be anything.
        let is_id = Target::parse(&id).is_ok_and(|target| target.node == Node::Id(id.clone()));
        is_id.then_some((id, by))
    }

    /// Remembers for some minutes what `alias` leads to.
    pub fn remember(&self, alias: &Alias, Found { node, by }: &Found) {
        self.cache.put(&self.key(alias), &node.id, *by, SystemTime::now());
    }

    /// Forgets what `alias` led to.
    pub fn forget(&self, alias: &Alias) {
        self.cache.remove(&self.key(alias));
    }

    /// The node that is known as `alias`, asked of the service.
    ///
    /// # Errors
    /// If there is none, if there are several of which none is to be preferred, or if there are too many to tell; else as
    /// [`Inventory::all`].
    pub async fn find(&self, alias: &Alias) -> Result<Found, NotFound> {
        tracing::info!(%alias, region = self.aws.region, "looking the node up");
        let mut seen = Vec::new();
        let found = match alias {
            Alias::Tags(tags) => self.tagged(tags).await?,
            Alias::Name(name) => self.named(name, &mut seen).await?,
        };
        match choose(found) {
            Ok(Some(found)) => {
                tracing::info!(id = found.node.id, by = ?found.by, ping = found.node.ping.as_str(), "node found");
                Ok(found)
            }
            Err(nodes) => Err(NotFound { error: ambiguous(&self.aws.region, &nodes), may_appear: false }),
            Ok(None) => {
                let error = match alias {
                    Alias::Tags(_) => none_tagged(&self.aws.region, &alias.to_string()),
                    Alias::Name(name) => none_named(&self.aws.region, name, &seen),
                };
                Err(NotFound { error, may_appear: true })
            }
        }
    }

    async fn tagged(&self, tags: &[Tag]) -> Result<Vec<Found>, NotFound> {
        let List { nodes, is_whole } = self.inventory.all(Filter::Tags(tags)).await?;
        // Of a list that goes on, what is there counts: nobody gives a tag to himself.
        if nodes.is_empty() && !is_whole {
            return Err(self.too_many());
        }
        Ok(nodes.into_iter().map(|node| Found { node, by: KnownBy::Given }).collect())
    }

    /// Those that are known by this name; `seen` takes the nodes that are not.
    async fn named(&self, name: &str, seen: &mut Vec<ManagedNode>) -> Result<Vec<Found>, NotFound> {
        if matching::address(name).is_none() {
            let tag = Tag { key: "Name".to_owned(), value: name.to_owned() };
            let tagged = self.tagged(&[tag]).await?;
            if !tagged.is_empty() {
                return Ok(tagged);
            }
        }
        let mut found = Vec::new();
        let List { nodes, is_whole } = self.inventory.all(Filter::All).await?;
        if !is_whole {
            // Whoever is listed first would win.
            return Err(self.too_many());
        }
        for node in nodes {
            match known_by(&node, name) {
                Some(by) => found.push(Found { node, by }),
                None => seen.push(node),
            }
        }
        Ok(found)
    }

    fn too_many(&self) -> NotFound {
        NotFound { error: too_many(&self.aws.region), may_appear: false }
    }

    fn key(&self, alias: &Alias) -> Key {
        let selector = match alias {
            Alias::Name(name) => vec!["name".to_owned(), name.clone()],
            Alias::Tags(tags) => {
                let tags = tags.iter().flat_map(|tag| [tag.key.clone(), tag.value.clone()]);
                std::iter::once("tags".to_owned()).chain(tags).collect()
            }
        };
        let Aws { region, endpoint_override, identity, .. } = &self.aws;
        let endpoint = endpoint_override.as_deref().unwrap_or_default();
        let parts = [region.as_str(), endpoint].into_iter().chain(identity.iter().map(String::as_str));
        Key::of(parts.chain(selector.iter().map(String::as_str)))
    }
}
