//! To check: walks the whole way to the node's sshd, step by step, and says of each that it works or what cures it.
//!
//! The steps are those of a connection, in its order, and the calls are the same, so what passes here passes there. The
//! session that it starts it ends. No ProxyCommand is run with `--check`, so stdout is free for what it says.

use std::{
    cell::{Cell, RefCell},
    fs,
    path::PathBuf,
    time::{Instant, SystemTime},
};

use ssm_aws::{Aws, InstanceConnect, InstanceId, ManagedNode, Overrides, Ping, Session, Sessions, StartRequest};
use tokio::time::timeout;

use super::{probe::Probe, sign_in::sign_in, ssh_config::proxy_command, steps::Steps};
use crate::{
    cli::{Connection, Entry, Platform, PushKey},
    diagnostics::{Error, ExitStatus, NotConnected, error_log, human::age, self_reported, tell},
    endpoints::signals::Signals,
    lookup::{Found, Lookup},
    target::Node,
    tunnel,
};

/// Where ssh connects to unless it is told otherwise.
const SSH_PORT: u16 = 22;
/// The first agent that can carry SSH, by AWS's documentation.
const SSH_AGENT: [u32; 4] = [2, 3, 672, 0];
/// The first agent that acknowledges a message again when it comes again. Older ones work, but a lost acknowledgement
/// costs them seconds.
const GOOD_AGENT: [u32; 4] = [3, 2, 1041, 0];

/// Walks the way, and returns the status of the first step that failed. If none did, the command that comes next is
/// shown; `entry` is what it has of this command line.
///
/// # Errors
/// A stdout that cannot be written to.
pub async fn check(
    overrides: &Overrides,
    connection: &Connection,
    entry: Option<&Entry>,
    signals: &mut Signals,
) -> Result<ExitStatus, Error> {
    let steps = Steps::start(&format!("{}, port {}", connection.host, connection.port));
    let id = walk(overrides, connection, &steps, signals).await;
    error_log(&steps);
    if let (Ok(ExitStatus::Ended), Some(id), Some(entry)) = (steps.status(), id, entry)
        && let Some(command) = next_command(overrides, entry, connection.port, &id)
    {
        steps.next(
            &command,
            "\"Permission denied (publickey)\" is then about the user or the key: USER@ before the id names the user, \
             whose authorized_keys there must have your public key, unless --push-key brings it",
        );
    }
    steps.status()
}

/// Walks the way, as far as it is passable, and gives the node's id if it has become known.
async fn walk(overrides: &Overrides, connection: &Connection, steps: &Steps, signals: &mut Signals) -> Option<String> {
    let walk = Walk::new(connection, steps);
    let ended = |signal| {
        let error = Error::new(ExitStatus::Broken, format!("ended by {signal}"), "check again");
        steps.failed("check", &error);
    };
    let aws = match signals.unless_ended(walk.configuration(overrides), checking).await {
        Ok(aws) => aws?,
        Err(signal) => {
            ended(signal);
            return None;
        }
    };
    let sessions = Sessions::new(&aws);
    if let Err(signal) = signals.unless_ended(walk.rest(&aws, &sessions), checking).await {
        ended(signal);
    }
    walk.end(&sessions).await;
    walk.id.take()
}

/// Names the file of what was told where nobody saw it, if there is one.
fn error_log(steps: &Steps) {
    let written = |path: &PathBuf| fs::metadata(path).and_then(|file| file.modified()).ok();
    if let Some((path, written)) = error_log::path().and_then(|path| written(&path).map(|time| (path, time))) {
        let age = age(SystemTime::now(), written);
        let why = "has what was told while stderr was /dev/null, as ControlPersist makes it";
        steps.skipped("error log", &format!("{} {why}, {age} ago at last", path.display()));
    }
}

/// The login that goes the way which was checked, as one types it, if a line can hold it.
fn next_command(overrides: &Overrides, entry: &Entry, port: u16, id: &str) -> Option<String> {
    let option = Platform::HERE.quote_typed(&format!("ProxyCommand={}", proxy_command(overrides, entry)))?;
    let port = if port == SSH_PORT { String::new() } else { format!("-p {port} ") };
    let user = entry.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
    let host = Platform::HERE.quote_typed(&format!("{user}{id}"))?;
    Some(format!("ssh -o {option} {port}{host}"))
}

fn checking() {
    tell("checking");
}

/// One walk.
struct Walk<'a> {
    connection: &'a Connection,
    steps: &'a Steps,
    /// The node's id, once it is known.
    id: RefCell<Option<String>>,
    /// The session that has been started.
    started: RefCell<Option<String>>,
    /// Whether the agent has ended it.
    ended: Cell<bool>,
}

impl<'a> Walk<'a> {
    fn new(connection: &'a Connection, steps: &'a Steps) -> Self {
        let (id, started, ended) = (RefCell::default(), RefCell::default(), Cell::new(false));
        Self { connection, steps, id, started, ended }
    }

    async fn configuration(&self, overrides: &Overrides) -> Option<Aws> {
        let aws = self.steps.take("configuration", Aws::load(overrides).await)?;
        let endpoint = aws.endpoint_override.as_ref().map(|url| format!(", endpoint {url}")).unwrap_or_default();
        self.steps.passed("configuration", &format!("region {}, profile {}{endpoint}", aws.region, aws.profile()));
        Some(aws)
    }

    /// All that is behind the configuration, as far as it is passable.
    async fn rest(&self, aws: &Aws, sessions: &Sessions) {
        if self.credentials(aws).await.is_none() {
            return;
        }
        let Some(id) = self.node(aws).await else { return };
        self.id.replace(Some(id.clone()));
        if let Some(push_key) = &self.connection.push_key {
            self.key(aws, &id, push_key).await;
        }
        let Some(session) = self.session(sessions, &id).await else { return };
        let session_id = session.id.clone();
        if let Some(mut probe) = self.channel(aws, sessions, session).await {
            if self.sshd(&mut probe).await.is_some() {
                self.resume(sessions, &session_id).await;
            }
            self.ended.set(probe.end().await);
        }
    }

    async fn credentials(&self, aws: &Aws) -> Option<()> {
        self.steps.take("credentials", sign_in(aws).await)?;
        let Some(credentials) = self.steps.take("credentials", aws.credentials().await)? else {
            self.steps.skipped("credentials", "not looked for: requests are not signed");
            return Some(());
        };
        let left = credentials.expiry().map(|expiry| age(expiry, SystemTime::now()));
        let text = left.map_or_else(|| "found, without an expiry".to_owned(), |left| format!("found, good for {left}"));
        self.steps.passed("credentials", &text);
        Some(())
    }

    /// The node's id, if that is clear: whether the node can be connected to is for StartSession to say.
    async fn node(&self, aws: &Aws) -> Option<String> {
        let lookup = Lookup::new(aws);
        let id = match &self.connection.node {
            Node::Alias(alias) => {
                let found = lookup.find(alias).await.map_err(|not_found| not_found.error);
                let Found { node, by } = self.steps.take("node", found)?;
                if let Some(name) = by.reported() {
                    self.steps.skipped("name", &self_reported(&node.id, name));
                }
                self.known_node(aws, &node);
                return Some(node.id);
            }
            Node::Id(id) => id.clone(),
        };
        if id.starts_with("ecs:") {
            self.steps.skipped("node", "ECS tasks are not in the list of managed nodes");
            return Some(id);
        }
        match lookup.inventory().node(&id).await {
            Ok(Some(node)) => self.known_node(aws, &node),
            Ok(None) => self.away(aws, &NotConnected::Unknown, &id),
            Err(error) if error.kind().is_denial() => {
                let text = "DescribeInstanceInformation is not permitted; names and --list need it, ids do not";
                self.steps.skipped("node", text);
            }
            Err(error) => self.steps.failed("node", &error.into()),
        }
        Some(id)
    }

    fn known_node(&self, aws: &Aws, node: &ManagedNode) {
        if node.ping == Ping::Online {
            let seen = node.last_ping.map(|time| format!(", last seen {} ago", age(SystemTime::now(), time)));
            let known =
                [node.display_name(), node.address.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(", ");
            self.steps.passed("node", &format!("{} ({known}) is online{}", node.id, seen.unwrap_or_default()));
        } else {
            self.away(aws, &NotConnected::Known(Box::new(node.clone())), &node.id);
        }
        self.agent(node);
    }

    fn away(&self, aws: &Aws, why: &NotConnected, id: &str) {
        let plain = Error::new(ExitStatus::Unavailable, "", "");
        self.steps.failed("node", &why.explain(plain, id, &aws.region, SystemTime::now()));
    }

    fn agent(&self, node: &ManagedNode) {
        let Some(text) = &node.agent_version else { return self.steps.skipped("agent", "its version is not known") };
        match version(text) {
            Some(version) if version < SSH_AGENT => {
                let message = format!("version {text} cannot carry SSH, which needs 2.3.672.0");
                let hint = format!(
                    "update it: aws ssm send-command --document-name AWS-UpdateSSMAgent --instance-ids {}",
                    node.id
                );
                self.steps.failed("agent", &Error::new(ExitStatus::Unavailable, message, hint));
            }
            // The version is what the agent said when it was last there.
            _ if node.ping != Ping::Online => self.steps.skipped("agent", &format!("version {text}, not connected")),
            Some(version) if version < GOOD_AGENT => {
                let text = format!("version {text}; from 3.2.1041.0 on agents recover faster from lost messages");
                self.steps.passed("agent", &text);
            }
            _ => self.steps.passed("agent", &format!("version {text}")),
        }
    }

    async fn key(&self, aws: &Aws, id: &str, PushKey { key, user }: &PushKey) {
        let push = async {
            let instance = InstanceId::of(id)?;
            let key = key.read().await?;
            Ok::<(), Error>(InstanceConnect::new(aws).push_key(&instance, user, &key).await?)
        };
        if self.steps.take("key", push.await).is_some() {
            self.steps.passed("key", &format!("pushed for {user}, good for 60 s"));
        }
    }

    async fn session(&self, sessions: &Sessions, id: &str) -> Option<Session> {
        let request = StartRequest {
            target: id.to_owned(),
            document: self.connection.document.clone(),
            parameters: self.connection.parameters.clone(),
            reason: self.connection.reason.clone(),
        };
        let begun = Instant::now();
        let session = self.steps.take("session", sessions.start(&request).await)?;
        self.started.replace(Some(session.id.clone()));
        self.steps.passed_in("session", &format!("{} started by {}", session.id, request.document), begun);
        Some(session)
    }

    async fn channel<'b>(&self, aws: &'b Aws, sessions: &Sessions, session: Session) -> Option<Probe<'b>> {
        let begun = Instant::now();
        let limit = self.connection.connect_timeout;
        let mut probe = Probe::new(aws, sessions, session, self.connection.port, limit);
        self.steps.take("data channel", probe.connection(limit).await)?;
        let upgrade = if aws.signs() { "signed" } else { "unsigned" };
        self.steps.passed_in("data channel", &format!("connected, the {upgrade} upgrade is accepted"), begun);
        let begun = Instant::now();
        let agent = self.steps.take("handshake", probe.handshake(limit).await)?;
        self.steps.passed_in("handshake", &format!("complete, by agent {agent}"), begun);
        Some(probe)
    }

    async fn sshd(&self, probe: &mut Probe<'_>) -> Option<()> {
        let begun = Instant::now();
        let banner = self.steps.take("sshd", probe.banner().await)?;
        self.steps.passed_in("sshd", &banner, begun);
        Some(())
    }

    /// Whether a connection that is lost would be resumed.
    async fn resume(&self, sessions: &Sessions, session_id: &str) {
        match self.steps.take("resume", sessions.resume(session_id).await) {
            Some(Some(_)) => self.steps.passed("resume", "the session would survive the loss of its connection"),
            Some(None) => self.steps.skipped("resume", "the session is over already"),
            None => {}
        }
    }

    /// Ends the session on the service, whatever has become of the walk.
    async fn end(&self, sessions: &Sessions) {
        let Some(id) = self.started.take() else { return };
        // The agent has ended it as a rule, but the permission to do it from here is needed where it cannot.
        let ended = match timeout(tunnel::TERMINATE, sessions.terminate(&id)).await {
            Ok(ended) => ended.map_err(Error::from),
            Err(_) if self.ended.get() => Ok(()),
            Err(_) => {
                let hint = format!("aws ssm terminate-session --session-id {id}");
                Err(Error::new(ExitStatus::TryAgain, "TerminateSession is not answered", hint))
            }
        };
        if self.steps.take("end", ended).is_some() {
            self.steps.passed("end", "the session is ended");
        }
    }
}

/// A version of four numbers; what is missing is 0.
fn version(text: &str) -> Option<[u32; 4]> {
    let mut version = [0; 4];
    let mut parts = text.split('.');
    for (number, part) in version.iter_mut().zip(parts.by_ref()) {
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert_eq!(version("3.3.2299.0"), Some([3, 3, 2299, 0]));
        assert!(version("2.3.1000") > Some(SSH_AGENT) && version("2.3.68.0") < Some(SSH_AGENT));
        for text in ["", "x", "1.2.3.4.5", "3..1"] {
            assert_eq!(version(text), None, "{text:?}");
        }
    }
}
