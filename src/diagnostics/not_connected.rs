//! The words for a node that has no connection to Session Manager: the service says how its agent is.

use std::time::SystemTime;

use ssm_aws::{ManagedNode, Ping};

use super::error::{Error, ExitStatus};
use super::human::age;

/// The target `id` is not connected; `node` is what Systems Manager knows of it, if it knows it.
pub fn not_connected(id: &str, node: Option<&ManagedNode>, region: &str) -> Error {
    let Some(node) = node else {
        let message = format!("{id} is not known to Systems Manager in {region}: its agent never registered");
        let hint = "check the id, --region and --profile; the node needs a running SSM Agent, the policy \
            AmazonSSMManagedInstanceCore in its role, and a way to the endpoints of ssm and ssmmessages";
        return Error::new(ExitStatus::Unavailable, message, hint);
    };
    let seen = last_seen(node);
    let (what, hint) = match &node.ping {
        Ping::Online => (
            format!("{id} is online{seen}, but its agent has no connection to Session Manager"),
            "check that the node reaches ssmmessages (endpoint, security group), and restart its SSM Agent".to_owned(),
        ),
        Ping::ConnectionLost => (format!("{id} is stopped or has lost its connection{seen}"), start_hint(id, region)),
        ping @ (Ping::Inactive | Ping::Other(_)) => (
            format!("the SSM Agent of {id} is gone (ping status {}){seen}", ping.as_str()),
            "install or restart amazon-ssm-agent on the node; a hybrid node may have to be registered again".to_owned(),
        ),
    };
    Error::new(ExitStatus::Unavailable, what, hint)
}

/// The error `plain` knows only that there is no connection, and Systems Manager does not say why: because it may not be
/// asked, or else because it does not answer.
pub fn not_connected_unexplained(plain: Error, is_denied: bool) -> Error {
    let why = if is_denied { "is not permitted" } else { "gives no answer" };
    let message = format!("{}; why is not known, as ssm:DescribeInstanceInformation {why}", plain.message);
    Error { message, ..plain }
}

/// When the node's agent was there, as the rest of a sentence; nothing if that is not known.
pub fn last_seen(node: &ManagedNode) -> String {
    node.last_ping.map(|time| format!(", last seen {} ago", age(SystemTime::now(), time))).unwrap_or_default()
}

fn start_hint(id: &str, region: &str) -> String {
    let start = match id.starts_with("i-") {
        true => format!("start it (aws ec2 start-instances --region {region} --instance-ids {id})"),
        false => "start it".to_owned(),
    };
    format!("{start}, or check its network and its SSM Agent; --wait waits until it is back")
}
