//! Endpoints: stdio, the terminal and signals, to which a session is joined on this side.

pub mod descriptors;
pub mod escapes;
pub mod job_control;
pub mod listener;
#[cfg(test)]
#[cfg(unix)]
mod pseudo_terminal;
pub mod raw_mode;
pub mod signals;
pub mod stdio;
pub mod terminal;
pub mod window_size;
