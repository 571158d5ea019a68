//! Session Manager on this machine: a stand-in of the service for tests and demonstrations.
//!
//! Three parts in one process: the HTTP API (StartSession, ResumeSession, TerminateSession,
//! DescribeInstanceInformation, SendSSHPublicKey of EC2 Instance Connect, and GenerateDataKey of KMS), the message
//! gateway with its signed WebSocket upgrade, and an agent that connects to real TCP ports, runs shells and commands and
//! forwards ports.
//! It is meant to be as hard on a client as the real service and never kinder, and it writes down
//! every rule of the protocol that a client breaks. "§" in these pages refers to the sections of the description of
//! the wire protocol, "sessions §" to that of the kinds of sessions beyond SSH.
//!
//! A simulation needs no sockets: join [`Agent`], an [`Inspector`] at the client's end and a [`Link`] for each
//! direction, hand in a virtual clock and seeded generators, and take the breaches from the inspector at the end. Tell
//! the inspector of frames as the client sends them ([`Inspector::from_client`]) and as they reach the client
//! ([`Inspector::to_client`]), and when its socket breaks ([`Inspector::transport_lost`]); stop handing frames to the
//! agent while [`Agent::wants_frames`] says no. An agent of a shell or command ([`AgentConfig::kind`]) asks for its program by
//! [`Agent::poll_request`], and takes its output as it takes a port's; its judge is [`Inspector::of_kind`]. An agent of a
//! forward ([`AgentConfig::is_forward`]) asks for connections by [`Agent::poll_forward`], and passes their bytes by
//! [`Agent::stream_write`] and [`Agent::stream_data`]; its judge is [`Inspector::of_agent`].
//!
//! It shares no code with the client: it is a second reading of the same page.
//!
//! ```no_run
//! let options = standin::Options { ports: vec![(22, "127.0.0.1:2222".parse()?)], ..Default::default() };
//! let server = standin::Server::start(options)?;
//! println!("AWS_ENDPOINT_URL_SSM={}", server.endpoint());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod agent;
pub mod codec;
pub mod destination;
pub mod documents;
pub mod ecs;
pub mod fault;
mod forward;
mod http;
mod hub;
pub mod identity;
pub mod inspector;
pub mod instance_connect;
pub mod inventory;
pub mod kind;
pub mod kms;
pub mod link;
pub mod options;
mod port;
#[cfg(unix)]
mod process;
#[cfg(not(unix))]
#[path = "process_elsewhere.rs"]
mod process;
pub mod rate;
pub mod report;
mod server;
pub mod service;
mod session;
mod shared;
pub mod sigv4;
pub mod smux;
mod socket;
pub mod tls;

pub use agent::{Agent, AgentConfig, AgentEvent, AgentRequest, ForwardCounts, ForwardMode, ForwardRequest};
pub use destination::{Destination, Lead};
pub use documents::SessionDocument;
pub use fault::{ApiFault, ApiRule, Fault, Scheduled, When};
pub use identity::{Identity, IdentityOptions};
pub use inspector::{Inspector, InspectorConfig};
pub use kind::SessionKind;
pub use link::{Link, LinkConfig, Victims};
pub use options::{AfterFlag, Node, Options, Oversized, StartPublication};
pub use report::{Breach, BreachKind, ForwardReport, ForwardTraffic, PushedKey, Report, SessionReport, SessionState};
pub use server::{Control, Server};
