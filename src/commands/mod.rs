//! The commands of the program, one file each: connect, check, list, and print skeletons or entries of ssh_config.
//!
//! Commands join the other rooms, and leave the printing of errors to `main`.

mod bond_setup;
mod bonded;
mod check;
mod connect;
mod forward;
mod install_plugin;
mod list;
mod live;
mod live_report;
mod local_command;
mod plugin;
mod print;
mod probe;
mod sign_in;
mod skeleton;
mod ssh_config;
mod starter;
mod steps;
mod waiting;

pub use crate::tunnel::Wanted;
pub use bond_setup::bond_setup;
pub use check::check;
pub use connect::connect;
pub use forward::forward;
pub use install_plugin::install_plugin;
pub use list::list;
pub use plugin::plugin;
pub use skeleton::skeleton;
pub use ssh_config::ssh_config;
