//! What a user can be told: one line that says what failed, one that says what to do next, and an exit status.
//!
//! Every failure of the product ends as one of these; nothing but `main` prints them. Typed errors of the crates come
//! in, words go out.

mod aws;
mod credentials;
pub(crate) mod denial;
mod dial;
mod error;
mod gateway;
pub mod human;
pub mod node;
mod not_connected;
mod setting;
mod tell;

pub use aws::{api, load};
pub use credentials::{renewal, sign_in};
pub use dial::dial;
pub use error::{Error, ExitStatus};
pub use gateway::gateway;
pub use not_connected::NotConnected;
pub use tell::{TOLD, printable, tell, tell_failure};
