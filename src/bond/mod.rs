//! Bonded sessions: one connection over several sessions, which a program on the node, the joiner, puts together again.
//!
//! It begins with one session, with the joiner where it is known, and gets more while bulk flows. Where there is no joiner it
//! is a plain session. What the two say to each other is `ssm_bond`'s affair.

mod answers;
mod attempt;
mod bonded;
mod bundle;
mod carried;
mod choice;
mod farewell;
mod growth;
pub mod known;
mod limits;
mod link;
mod member;
mod opening;
mod stdio;

pub use answers::answers;
pub use bonded::Bonded;
pub use carried::End;
pub use choice::Choice;
pub use opening::{Further, Means, Source, Start};
