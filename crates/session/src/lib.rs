//! One Session Manager session, kept alive over one connection after another.
//!
//! A [`Session`] is started here, or adopted from an id, a stream URL and a token that somebody else obtained. It runs in
//! the task that polls it and holds no thread, so that many can live in one process. It knows no stdin and stdout, no
//! flags and no sentences: what happens comes as an [`Event`], what fails as an enum.
//!
//! # The short way
//! [`Session::next`] does everything and gives one event after the other; [`Session::send`] takes bytes as long as there is
//! room. `examples/port.rs` is a whole program.
//!
//! ```no_run
//! use std::time::Instant;
//! use ssm_aws::{Aws, Overrides, StartRequest};
//! use ssm_session::{Event, Options, Session};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let aws = Aws::load(&Overrides::default()).await?;
//! let request = StartRequest {
//!     target: "i-0123456789abcdef0".to_owned(),
//!     document: "AWS-StartSSHSession".to_owned(),
//!     parameters: [("portNumber".to_owned(), vec!["7".to_owned()])].into(),
//!     reason: None,
//! };
//! let mut session = Session::start(&aws, &request, Options::default()).await?;
//! loop {
//!     match session.next().await {
//!         Event::Writable => drop(session.send(Instant::now(), b"hello\n")),
//!         Event::Output(bytes) => println!("{} bytes came back", bytes.len()),
//!         Event::Closed(why) => break println!("{why:?}"),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # The long way
//! A loop that has its own mind about order and batches drives the session as it would a state machine: change it
//! ([`progress`](Session::progress), [`send`](Session::send), [`finish`](Session::finish)), then call
//! [`handle_timeout`](Session::handle_timeout), drain [`poll_event`](Session::poll_event) and
//! [`poll_output`](Session::poll_output), call [`transmit`](Session::transmit), and wait for
//! [`progress`](Session::progress) until [`poll_timeout`](Session::poll_timeout).
//!
//! # Three endings
//! [`finish`](Session::finish) sends the terminate flag behind the last byte, which the agent of a session to a port acts on
//! after everything before it; [`terminate`](Session::terminate) asks the API, for when nothing can be sent; a session that is only dropped
//! goes on at the service until its idle limit, or until somebody resumes it.

mod connector;
mod early;
mod error;
mod event;
mod key;
mod limits;
mod link;
mod observer;
mod retries;
mod session;
mod sleep;

pub use early::Early;
pub use error::ConnectError;
pub use event::{Closed, Event};
pub use observer::{Direction, Observer};
pub use session::{NO_ENCRYPTION, Options, Session};
pub use ssm_channel::{
    Accepts, Channel, DigestOf, ForwardProperties, Kind, LargerMessages, Layout, PLUGIN_VERSION, Service, Size, Stats,
    version,
};
pub use ssm_gateway::Loss;
