//! From what a node is known by to its id, with DescribeInstanceInformation alone.
//!
//! The tag is asked for first, since the service can filter by it; computer names and addresses are found by reading
//! the list, up to the first page that decides. It must not know what the id is wanted for.

mod cache;
mod matching;

use std::time::SystemTime;

use ssm_aws::{ApiError, Aws, Filter, Inventory, ManagedNode, Tag};

use crate::{
    diagnostics::{
        Error,
        node::{ambiguous, none_named, none_tagged},
    },
    target::{Alias, Node, Target},
};
use cache::{Cache, Key};
use matching::{choose, is_decided, is_known_as};

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

    /// The id that `alias` led to a moment ago.
    pub fn recall(&self, alias: &Alias) -> Option<String> {
        let id = self.cache.get(&self.key(alias), SystemTime::now())?;
        // What is in a file may be anything.
        let is_id = Target::parse(&id).is_ok_and(|target| target.node == Node::Id(id.clone()));
        is_id.then_some(id)
    }

    /// Remembers for some minutes that `alias` leads to `id`.
    pub fn remember(&self, alias: &Alias, id: &str) {
        self.cache.put(&self.key(alias), id, SystemTime::now());
    }

    /// Forgets what `alias` led to.
    pub fn forget(&self, alias: &Alias) {
        self.cache.remove(&self.key(alias));
    }

    /// The node that is known as `alias`, asked of the service.
    ///
    /// # Errors
    /// If there is none, or if there are several of which none is to be preferred; else as [`Inventory::all`].
    pub async fn find(&self, alias: &Alias) -> Result<ManagedNode, NotFound> {
        tracing::info!(%alias, region = self.aws.region, "looking the node up");
        let mut seen = Vec::new();
        let found = match alias {
            Alias::Tags(tags) => self.inventory.all(Filter::Tags(tags)).await?,
            Alias::Name(name) => self.find_name(name, &mut seen).await?,
        };
        match choose(found) {
            Ok(Some(node)) => {
                tracing::info!(id = node.id, ping = node.ping.as_str(), "node found");
                Ok(node)
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

    /// Those that are known by this name; `seen` takes the nodes that are not.
    async fn find_name(&self, name: &str, seen: &mut Vec<ManagedNode>) -> Result<Vec<ManagedNode>, ApiError> {
        let mut found = Vec::new();
        if matching::address(name).is_none() {
            let tag = Tag { key: "Name".to_owned(), value: name.to_owned() };
            found = self.inventory.all(Filter::Tags(&[tag])).await?;
        }
        let mut pages = self.inventory.pages(Filter::All);
        while !is_decided(&found)
            && let Some(nodes) = pages.next().await?
        {
            for node in nodes {
                let is_new = found.iter().all(|known| known.id != node.id);
                if !is_known_as(&node, name) {
                    seen.push(node);
                } else if is_new {
                    found.push(node);
                }
            }
        }
        Ok(found)
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
