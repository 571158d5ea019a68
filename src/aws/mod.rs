//! All that speaks to AWS's HTTP APIs: who the user is, which region and endpoint, and the three session calls.
//!
//! It must not know what runs over a session: no WebSocket, no channel, no stdin.
//!
//! The SDK logs requests and responses under its own tracing targets, tokens included: show this crate's targets
//! only, and nothing secret appears.

mod config;
mod credentials;
mod fault;
mod http;
mod sessions;

#[cfg(test)]
pub(crate) mod test_support;

pub use self::{
    config::{Aws, Overrides},
    sessions::{Session, Sessions, StartRequest, Stream, Token},
};
