//! ssm-proxy carries an SSH connection over an AWS Session Manager session.
//!
//! OpenSSH starts it as its `ProxyCommand`; it starts a session on the target and pipes stdin and stdout over the
//! session's WebSocket data channel. Each room below has one job; `main -> cli, aws, tunnel`,
//! `tunnel -> channel, gateway, stdio, aws`, `gateway, aws -> net` and `aws -> terminal` are the only arrows between
//! them.

pub mod aws;
pub mod channel;
pub mod cli;
pub mod error;
pub mod gateway;
pub mod net;
pub mod stdio;
pub mod target;
pub mod terminal;
pub mod tunnel;
