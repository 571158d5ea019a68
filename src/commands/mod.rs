//! What can be asked of the program, one file each: to connect, to list the nodes.
//!
//! They join the other rooms, and leave the printing of errors to `main`.

mod connect;
mod list;
mod waiting;

pub use connect::connect;
pub use list::list;
