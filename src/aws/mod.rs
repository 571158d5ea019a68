//! All that speaks to AWS's HTTP APIs: who the user is, which region and endpoint, the three session calls, the
//! list of managed nodes, and EC2 Instance Connect.
//!
//! It must not know what runs over a session: no WebSocket, no channel, no stdin.
//!
//! The SDK logs requests and responses under its own tracing targets, tokens included: show this crate's targets
//! only, and nothing secret appears.

mod call;
mod config;
mod credentials;
mod fault;
mod http;
mod instance_connect;
mod inventory;
mod overrides;
mod sessions;
mod settings;

#[cfg(test)]
mod partitions_tests;
#[cfg(test)]
pub(crate) mod test_support;

pub use self::{
    config::Aws,
    instance_connect::{InstanceConnect, check_target},
    inventory::{Filter, Inventory, List, ManagedNode, Ping},
    overrides::{Limits, Overrides},
    sessions::{NotStarted, Session, Sessions, StartRequest, Stream, Token, Why},
};
