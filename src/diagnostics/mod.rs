//! Diagnostics: every sentence that a user reads. A failure has one line that says what failed, one that says what to do
//! next, and an exit status.
//!
//! Every failure of the product ends as one of these; nothing but `main` prints them. Typed errors of the crates come
//! in, words go out.

mod aws;
mod credentials;
mod denial;
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

pub use error::{Error, ExitStatus};
pub use node::self_reported;
pub use not_connected::{last_seen, not_connected, not_connected_unexplained};
pub(crate) use printable::is_shown;
pub use printable::printable;
pub use tell::{Lines, TOLD, set_raw_terminal, shown_on_terminal, tell, tell_failure};
