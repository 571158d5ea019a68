//! The words for a node that has no connection to Session Manager: the service says how its agent is.

use std::time::SystemTime;

use ssm_aws::{ManagedNode, Ping};

use super::error::{Error, ExitStatus};
use super::human::age;

/// What is known of a target that Session Manager has no connection to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NotConnected {
    /// Systems Manager does not know it.
    Unknown,
    /// Systems Manager knows it.
    Known(Box<ManagedNode>),
    /// Systems Manager may not be asked.
    NotPermitted,
    /// Systems Manager does not answer.
    NotAnswered,
}

impl NotConnected {
    /// The error in place of `plain`, which knows only that there is no connection.
    pub fn explain(&self, plain: Error, id: &str, region: &str, now: SystemTime) -> Error {
        let node = match self {
            Self::NotPermitted => return unexplained(plain, "is not permitted"),
            Self::NotAnswered => return unexplained(plain, "gives no answer"),
            Self::Unknown => {
                let message = format!("{id} is not known to Systems Manager in {region}: its agent never registered");
                let hint = "check the id, --region and --profile; the node needs a running SSM Agent, the policy \
                    AmazonSSMManagedInstanceCore in its role, and a way to the endpoints of ssm and ssmmessages";
                return Error::new(ExitStatus::Unavailable, message, hint);
            }
            Self::Known(node) => node,
        };
        let seen = node.last_ping.map(|time| format!(", last seen {} ago", age(now, time))).unwrap_or_default();
        let (what, hint) = match node.ping {
            Ping::Online => (
                format!("{id} is online{seen}, but its agent has no connection to Session Manager"),
                "check that the node reaches ssmmessages (endpoint, security group), and restart its SSM Agent"
                    .to_owned(),
            ),
            Ping::ConnectionLost => {
                (format!("{id} is stopped or has lost its connection{seen}"), start_hint(id, region))
            }
            Ping::Inactive | Ping::Other(_) => (
                format!("the SSM Agent of {id} is gone (ping status {}){seen}", node.ping.as_str()),
                "install or restart amazon-ssm-agent on the node; a hybrid node may have to be registered again"
                    .to_owned(),
            ),
        };
        Error::new(ExitStatus::Unavailable, what, hint)
    }
}

fn unexplained(plain: Error, why: &str) -> Error {
    let message = format!("{}; why is not known, as ssm:DescribeInstanceInformation {why}", plain.message);
    Error { message, ..plain }
}

fn start_hint(id: &str, region: &str) -> String {
    let start = match id.starts_with("i-") {
        true => format!("start it (aws ec2 start-instances --region {region} --instance-ids {id})"),
        false => "start it".to_owned(),
    };
    format!("{start}, or check its network and its SSM Agent; --wait waits until it is back")
}
