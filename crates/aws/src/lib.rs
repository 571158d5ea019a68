//! AWS as a Session Manager client needs it: who the user is, which region and endpoint, the three session calls, the list
//! of managed nodes, and EC2 Instance Connect.
//!
//! Settings and credentials are found as the AWS CLI finds them. It must not know what runs over a session, nor where its
//! settings were typed: no WebSocket, no channel, no terminal, no command line. Errors are enums with the facts that a
//! sentence about them needs; [`ErrorKind`] is what to decide by.
//!
//! The SDK logs requests and responses under its own tracing targets, tokens included: show this crate's targets
//! only, and nothing secret appears.
//!
//! # Example
//! ```no_run
//! use std::collections::BTreeMap;
//! use ssm_aws::{Aws, Overrides, Sessions, StartRequest};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let aws = Aws::load(&Overrides::default()).await?;
//! let sessions = Sessions::new(&aws);
//! let request = StartRequest {
//!     target: "i-0123456789abcdef0".to_owned(),
//!     document: "AWS-StartSSHSession".to_owned(),
//!     parameters: BTreeMap::from([("portNumber".to_owned(), vec!["22".to_owned()])]),
//!     reason: None,
//! };
//! let session = sessions.start(&request).await?;
//! println!("{} in {}: its stream is {}", session.id, aws.region, session.stream.url);
//! sessions.terminate(&session.id).await?;
//! # Ok(())
//! # }
//! ```

mod backoff;
mod call;
mod cause;
mod config;
mod credentials;
mod error;
mod explain;
mod home;
mod hosts;
mod http;
mod instance_connect;
mod inventory;
mod kind;
mod load_error;
mod overrides;
mod profile_files;
mod refusal;
mod repeat;
mod sessions;
mod settings;
mod tag;

#[cfg(test)]
mod partitions_tests;
#[cfg(test)]
mod test_support;

pub use self::{
    backoff::Backoff,
    call::Call,
    config::Aws,
    credentials::{ChainError, Login, MfaAnswer, MfaPrompt, SignInError},
    error::{ApiError, ApiFailure},
    home::expand as expand_home,
    instance_connect::{InstanceConnect, InstanceId, NotAnInstance},
    inventory::{Filter, Inventory, List, ManagedNode, Ping},
    kind::ErrorKind,
    load_error::{HalfKeyPair, LoadError, Origin},
    overrides::{Limits, Overrides},
    refusal::{Reason, Refusal},
    sessions::{Session, Sessions, StartRequest, Stream, Token},
    tag::{NotATag, Tag},
};
