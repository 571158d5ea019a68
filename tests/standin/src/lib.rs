//! wip
pub mod agent;
pub mod codec;
pub mod inspector;
pub mod link;
pub mod rate;
pub mod report;
pub mod sigv4;
