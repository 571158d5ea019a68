//! Endpoints: what a session is joined to on this side, and the signals that come with it.

pub mod signals;
pub mod stdio;
pub mod terminal;
