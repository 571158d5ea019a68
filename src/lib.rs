//! ssm-proxy carries an SSH connection over an AWS Session Manager session.
//!
//! OpenSSH starts it as its `ProxyCommand`; it starts a session on the target and pipes stdin and stdout over the
//! session's WebSocket data channel. Each room below has one job. The arrows between them: `main -> cli, commands`,
//! `commands -> lookup, tunnel`, `lookup -> aws`, `tunnel -> channel, gateway, stdio, aws`, `gateway, aws -> net, denial`
//! and `aws -> terminal`.

pub mod aws;
pub mod caller;
pub mod channel;
pub mod cli;
pub mod commands;
mod denial;
pub mod error;
pub mod error_log;
pub mod figures;
mod files;
pub mod gateway;
mod home;
pub mod lookup;
pub mod net;
pub mod public_key;
pub mod state;
pub mod stdio;
pub mod target;
pub mod terminal;
pub mod tunnel;
