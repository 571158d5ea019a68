//! What the fuzz targets do with their input, as ordinary functions: `cargo test` replays the corpus through the same.

#[path = "../../src/channel/mod.rs"]
pub mod channel;
pub mod frame;
pub mod memory;
pub mod message;
pub mod operation;
pub mod session;
