//! The tests that drive the program, most of them by real tools: a module for each promise.
//!
//! They are one program of tests, because each such program is linked by itself and begins when the one before has ended.

mod addresses;
mod ansible;
mod bond;
mod bytes;
mod check;
mod closed;
mod credentials;
mod cures;
mod documents;
mod ending;
mod errors;
mod examples;
mod exec;
mod faults;
mod forward_ports;
mod forwards;
mod hostile;
mod hostile_api;
mod hostile_arguments;
mod house;
mod kms;
mod list;
mod live_check;
mod logs;
mod mfa;
mod networks;
mod openssh;
mod options;
mod package;
mod pictures;
mod plugin;
mod providers;
mod proxies;
mod push_key;
mod recipes;
mod resume;
mod shell;
mod soak;
mod ssh_config;
mod startsession;
mod targets;
mod tls;
mod transfers;
