//! What the fuzz targets do with their input, as ordinary functions: `cargo test` replays the corpus through the same.

pub mod bond;
pub mod cipher;
pub mod encryption;
pub mod frame;
pub mod handshake;
pub mod json;
pub mod line;
pub mod memory;
pub mod message;
pub mod operation;
pub mod peer;
pub mod session;
pub mod smux;
