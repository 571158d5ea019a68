//! What a user can be told: one line that says what failed, one that says what to do next, and an exit status.
//!
//! Every failure of the product ends as one of these; nothing but `main` prints them. Typed errors of the crates come
//! in, words go out.

mod aws;
mod credentials;
pub(crate) mod denial;
mod dial;
mod error;
pub mod error_log;
mod gateway;
pub mod human;
pub mod node;
mod not_connected;
mod printable;
pub mod session;
mod setting;
mod tell;

pub use aws::{api, load};
pub use credentials::{renewal, sign_in};
pub use dial::dial;
pub use error::{Error, ExitStatus};
pub use gateway::gateway;
pub use node::self_reported;
pub use not_connected::NotConnected;
pub(crate) use printable::is_shown;
pub use printable::printable;
pub use tell::{TOLD, tell, tell_failure};
