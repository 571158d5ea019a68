//! ssm-proxy carries an SSH connection over an AWS Session Manager session.
//!
//! OpenSSH starts it as its `ProxyCommand`; it starts a session on the target and pipes stdin and stdout over the
//! session's WebSocket data channel. Each room below has one job: `commands` are what can be asked for, `lookup` finds
//! nodes, `tunnel` joins a session to an endpoint, and `diagnostics` has every sentence that a user reads. What speaks to
//! AWS is in the crates. `tests/house.rs` says who may take from whom.

pub mod caller;
pub mod cli;
pub mod commands;
pub mod diagnostics;
pub mod endpoints;
pub mod lookup;
pub mod public_key;
pub mod state;
pub mod target;
pub mod tunnel;
