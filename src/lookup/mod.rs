//! Look-up: finds the id of a node that a name or tags stand for.
//!
//! An answer is remembered for some minutes. It must not know what the id is wanted for.

mod cache;

use std::time::SystemTime;

use ssm_aws::{Aws, Found, Inventory, KnownBy, NotFound as SearchError, is_node_id};

use crate::{
    diagnostics::{
        Error,
        node::{ambiguous, none_named, none_tagged, too_many},
    },
    state::Key,
    target::Alias,
};
use cache::Cache;

/// Looks names up.
#[derive(Debug)]
pub struct Lookup {
    aws: Aws,
    /// The list that is looked into.
    pub inventory: Inventory,
    cache: Cache,
}

/// Why a name was not found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NotFound {
    /// The failure in words.
    pub error: Error,
    /// Whether such a node may appear in a moment: none fits yet.
    pub may_appear: bool,
}

impl Lookup {
    /// Look-ups with this region, endpoint and these credentials. Nothing is sent or read yet.
    pub fn new(aws: &Aws) -> Self {
        Self { aws: aws.clone(), inventory: Inventory::new(aws), cache: Cache::of_user() }
    }

    /// The id that `alias` led to a moment ago, and by what.
    pub fn recall(&self, alias: &Alias) -> Option<(String, KnownBy)> {
        let (id, by) = self.cache.get(&self.key(alias), SystemTime::now())?;
        // What is in a file may be anything.
        is_node_id(&id).then_some((id, by))
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
    /// Those of [`Inventory::find_tagged`] and [`Inventory::find_named`], in words.
    pub async fn find(&self, alias: &Alias) -> Result<Found, NotFound> {
        let region = &self.aws.region;
        tracing::info!(%alias, region, "looking the node up");
        let found = match alias {
            Alias::Tags(tags) => self.inventory.find_tagged(tags).await,
            Alias::Name(name) => self.inventory.find_named(name).await,
        };
        let why = match found {
            Ok(found) => {
                tracing::info!(id = found.node.id, by = ?found.by, ping = found.node.ping.as_str(), "node found");
                return Ok(found);
            }
            Err(why) => why,
        };
        let may_appear = matches!(why, SearchError::NoneFits(_));
        let error = match (why, alias) {
            (SearchError::Call(error), _) => error.into(),
            (SearchError::TooMany, _) => too_many(region),
            (SearchError::Ambiguous(nodes), _) => ambiguous(region, &nodes),
            (SearchError::NoneFits(_), Alias::Tags(_)) => none_tagged(region, &alias.to_string()),
            (SearchError::NoneFits(others), Alias::Name(name)) => none_named(region, name, &others),
        };
        Err(NotFound { error, may_appear })
    }

    fn key(&self, alias: &Alias) -> Key {
        let Aws { region, endpoint_override, identity, .. } = &self.aws;
        let mut parts = vec![region.as_str(), endpoint_override.as_deref().unwrap_or_default()];
        parts.extend(identity.iter().map(String::as_str));
        match alias {
            Alias::Name(name) => parts.extend(["name", name]),
            Alias::Tags(tags) => {
                parts.push("tags");
                parts.extend(tags.iter().flat_map(|tag| [tag.key.as_str(), &tag.value]));
            }
        }
        Key::of(parts)
    }
}
