//! ssm-proxy carries an SSH connection over an AWS Session Manager session.
//!
//! OpenSSH starts it as its `ProxyCommand`; it starts a session on the target and pipes stdin and stdout over the
//! session's WebSocket data channel. Each module below has one job: `commands` are what can be asked for, `lookup` finds
//! nodes, `tunnel` joins a session to an endpoint, `forward` keeps the sessions of forwarded ports, `terminate` ends a session
//! by the API, `report` is what a live check saw, and `diagnostics` has every sentence that a user reads. What speaks to AWS is in the crates.
//! `tests/house.rs` says who may take from whom.

pub mod bond;
pub mod caller;
pub mod cli;
pub mod commands;
pub mod diagnostics;
pub mod endpoints;
pub mod executable;
pub mod forward;
pub mod handover;
pub mod lookup;
pub mod public_key;
pub mod report;
pub mod state;
pub mod target;
pub mod terminate;
pub mod tunnel;
