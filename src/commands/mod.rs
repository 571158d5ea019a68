//! What can be asked of the program, one file each: to connect, to check the way, to list the nodes, to show skeletons
//! and entries of ssh_config.
//!
//! They join the other rooms, and leave the printing of errors to `main`.

mod check;
mod connect;
mod list;
mod print;
mod probe;
mod sign_in;
mod skeleton;
mod ssh_config;
mod steps;
mod waiting;

pub use check::check;
pub use connect::connect;
pub use list::list;
pub use skeleton::skeleton;
pub use ssh_config::ssh_config;
