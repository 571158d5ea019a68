//! AWS's settings, credentials and API calls, as a Session Manager client needs them: the session calls, the list of
//! managed nodes, EC2 Instance Connect, and KMS's data key for an encrypted session.
//!
//! Settings and credentials are found as the AWS CLI finds them. This crate must not know what runs over a session, nor
//! where a setting was typed: it has no WebSocket, no channel, no terminal and no command line. Its errors are enums
//! with the facts that a sentence about them needs. Callers decide by [`ErrorKind`].
//!
//! The SDK logs requests and responses, tokens included, under tracing targets of its own. Show the targets of this
//! crate alone: they have no secrets.
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
mod denial;
mod error;
mod explain;
mod find;
mod home;
mod hosts;
mod http;
mod instance_connect;
mod inventory;
mod kind;
mod kms;
mod load_error;
mod names;
mod overrides;
mod profile_files;
mod refusal;
mod repeat;
mod sessions;
mod settings;
mod shapes;
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
    denial::Denial,
    error::{ApiError, ApiFailure},
    find::{Found, NotFound},
    home::expand as expand_home,
    instance_connect::{InstanceConnect, InstanceId, NotAnInstance},
    inventory::{Filter, Inventory, List, ManagedNode, Ping},
    kind::ErrorKind,
    kms::{DATA_KEY_BYTES, DataKey, Kms},
    load_error::{HalfKeyPair, LoadError, Origin},
    names::KnownBy,
    overrides::{Limits, Overrides},
    refusal::{Reason, Refusal},
    sessions::{Session, Sessions, StartRequest, Stream, Token},
    shapes::{MAX_TARGET_CHARS, is_ecs_task, is_node_id, is_region},
    tag::{NotATag, Tag},
};
