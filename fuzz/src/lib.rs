//! What the fuzz targets do with their input, as ordinary functions: `cargo test` replays the corpus through the same.

pub mod frame;
pub mod memory;
pub mod message;
pub mod operation;
pub mod session;
