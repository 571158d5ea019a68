//! The command `--check`: walks the whole way to the node's sshd, step by step, and says of each step that it works or
//! what cures it.
//!
//! The steps are those of a connection, in its order, and the calls are the same, so what passes here passes there. The
//! session that is started here is ended here. No ProxyCommand has `--check`, so that stdout is free for the report.

use std::{fs, time::SystemTime};

use ssm_aws::{Aws, Found, InstanceConnect, InstanceId, ManagedNode, Overrides, Ping, Session, Sessions};
use ssm_session::version;
use tokio::time::timeout;

use super::{
    live::{Subject, ended_by, live},
    live_report::LiveReport,
    probe::Probe,
    sign_in::sign_in,
    ssh_config::proxy_command,
    starter::request,
    steps::{Lines, Steps},
};
use crate::{
    cli::{Connection, Entry, Platform, PushKey, ReportPlace},
    diagnostics::{Error, ExitStatus, error_log, human::age, last_seen, not_connected, self_reported, tell},
    endpoints::signals::Signals,
    lookup::Lookup,
    target::Node,
    terminate,
};

/// Where ssh connects to unless it is told otherwise.
const SSH_PORT: u16 = 22;
/// The first agent that can carry SSH, by AWS's documentation.
const SSH_AGENT: [u32; 4] = [2, 3, 672, 0];
/// The first agent that acknowledges a message again when it comes again. Older ones work, but a lost acknowledgement
/// costs them seconds.
const GOOD_AGENT: [u32; 4] = [3, 2, 1041, 0];

/// Walks the way, and returns the status of the first step that failed. If no step failed, the report ends with the command
/// to type next, which has the options of `entry`. With a place for it, every kind of session is walked, and what was seen
/// is written there.
///
/// # Errors
/// A stdout that cannot be written to, and a report that cannot be made.
pub async fn check(
    overrides: &Overrides,
    connection: &Connection,
    entry: Option<&Entry>,
    report: Option<&ReportPlace>,
    signals: &mut Signals,
) -> Result<ExitStatus, Error> {
    let report = report.map(LiveReport::make).transpose()?;
    let lines = if report.as_ref().is_some_and(LiveReport::is_on_stdout) { Lines::Stderr } else { Lines::Stdout };
    let steps = Steps::start(&format!("{}, port {}", connection.host, connection.port), lines);
    let mut walk =
        Walk { connection, steps, aws: None, id: None, known: None, started: None, was_up: false, ended: false };
    let walked = signals.unless_ended(walk.go(overrides), || tell("checking")).await;
    if let Err(signal) = walked {
        walk.steps.failed("check", &ended_by(signal));
    }
    walk.end().await;
    if let Some(report) = report {
        walk.live(&report, walked.is_ok(), signals).await;
        report.write(&mut walk.steps)?;
    }
    let Walk { mut steps, id, .. } = walk;
    error_log(&mut steps);
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

/// Names the error log, if there is one.
fn error_log(steps: &mut Steps) {
    let Some(path) = error_log::path() else { return };
    if let Ok(written) = fs::metadata(&path).and_then(|file| file.modified()) {
        let age = age(SystemTime::now(), written);
        let why = "has what was told while stderr was /dev/null, as ControlPersist makes it";
        steps.skipped("error log", &format!("{} {why}, {age} ago at last", path.display()));
    }
}

/// The command line of a login on the checked way; none if no line can hold it.
fn next_command(overrides: &Overrides, entry: &Entry, port: u16, id: &str) -> Option<String> {
    let option = Platform::HERE.quote_typed(&format!("ProxyCommand={}", proxy_command(overrides, entry)))?;
    let port = if port == SSH_PORT { String::new() } else { format!("-p {port} ") };
    let user = entry.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
    let host = Platform::HERE.quote_typed(&format!("{user}{id}"))?;
    Some(format!("ssh -o {option} {port}{host}"))
}

/// One walk to the node's sshd.
struct Walk<'a> {
    connection: &'a Connection,
    steps: Steps,
    aws: Option<Aws>,
    /// The node's id, once it is known.
    id: Option<String>,
    /// What the service says of the node, if it says anything.
    known: Option<ManagedNode>,
    /// The session that has been started, and the calls by which it can be ended.
    started: Option<(Sessions, String)>,
    /// Whether it came up.
    was_up: bool,
    /// Whether the agent has ended it.
    ended: bool,
}

impl Walk<'_> {
    /// Takes one step after the other, as far as the way is passable.
    async fn go(&mut self, overrides: &Overrides) -> Option<()> {
        let aws = self.configuration(overrides).await?;
        self.aws = Some(aws.clone());
        self.credentials(&aws).await?;
        let id = self.node(&aws).await?;
        self.id = Some(id.clone());
        if let Some(push_key) = &self.connection.push_key {
            self.key(&aws, &id, push_key).await;
        }
        let sessions = Sessions::new(&aws);
        let session = self.session(&sessions, &id).await?;
        let session_id = session.id.clone();
        let mut probe = self.channel(&aws, &sessions, session).await?;
        if self.steps.timed("sshd", probe.banner(), String::clone).await.is_some() {
            self.resume(&sessions, &session_id).await;
        }
        self.ended = probe.end().await;
        Some(())
    }

    async fn configuration(&mut self, overrides: &Overrides) -> Option<Aws> {
        let aws = self.steps.take("configuration", Aws::load(overrides).await)?;
        let endpoint = aws.endpoint_override.as_ref().map(|url| format!(", endpoint {url}")).unwrap_or_default();
        self.steps.passed("configuration", &format!("region {}, profile {}{endpoint}", aws.region, aws.profile()));
        Some(aws)
    }

    async fn credentials(&mut self, aws: &Aws) -> Option<()> {
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
    async fn node(&mut self, aws: &Aws) -> Option<String> {
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
        match lookup.inventory.node(&id).await {
            Ok(Some(node)) => self.known_node(aws, &node),
            Ok(None) => self.steps.failed("node", &not_connected(&id, None, &aws.region)),
            Err(error) if error.kind().is_denial() => {
                let text = "DescribeInstanceInformation is not permitted; names and --list need it, ids do not";
                self.steps.skipped("node", text);
            }
            Err(error) => self.steps.failed("node", &error.into()),
        }
        Some(id)
    }

    fn known_node(&mut self, aws: &Aws, node: &ManagedNode) {
        self.known = Some(node.clone());
        if node.ping == Ping::Online {
            let known: Vec<_> = node.display_name().into_iter().chain(node.address.as_deref()).collect();
            let text = format!("{} ({}) is online{}", node.id, known.join(", "), last_seen(node));
            self.steps.passed("node", &text);
        } else {
            self.steps.failed("node", &not_connected(&node.id, Some(node), &aws.region));
        }
        self.agent(node);
    }

    fn agent(&mut self, node: &ManagedNode) {
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

    async fn key(&mut self, aws: &Aws, id: &str, PushKey { key, user }: &PushKey) {
        let push = async {
            let instance = InstanceId::of(id)?;
            let key = key.read().await?;
            Ok::<(), Error>(InstanceConnect::new(aws).push_key(&instance, user, &key).await?)
        };
        if self.steps.take("key", push.await).is_some() {
            self.steps.passed("key", &format!("pushed for {user}, good for 60 s"));
        }
    }

    async fn session(&mut self, sessions: &Sessions, id: &str) -> Option<Session> {
        let request = request(self.connection, id);
        let text = |session: &Session| format!("{} started by {}", session.id, request.document);
        let session = self.steps.timed("session", sessions.start(&request), text).await?;
        self.started = Some((sessions.clone(), session.id.clone()));
        Some(session)
    }

    async fn channel<'b>(&mut self, aws: &'b Aws, sessions: &Sessions, session: Session) -> Option<Probe<'b>> {
        let limit = self.connection.connect_timeout;
        let mut probe = Probe::new(aws, sessions, session, self.connection.port, limit);
        let upgrade = if aws.signs() { "signed" } else { "unsigned" };
        let connected = |(): &()| format!("connected, the {upgrade} upgrade is accepted");
        self.steps.timed("data channel", probe.connection(limit), connected).await?;
        let complete = |agent: &String| format!("complete, by agent {agent}");
        self.steps.timed("handshake", probe.handshake(limit), complete).await?;
        self.was_up = true;
        Some(probe)
    }

    /// Whether a connection that is lost would be resumed.
    async fn resume(&mut self, sessions: &Sessions, session_id: &str) {
        match self.steps.take("resume", sessions.resume(session_id).await) {
            Some(Some(_)) => self.steps.passed("resume", "the session would survive the loss of its connection"),
            Some(None) => self.steps.skipped("resume", "the session is over already"),
            None => {}
        }
    }

    /// Walks every kind of session, unless it is known that none can be had.
    async fn live(&mut self, report: &LiveReport, goes_on: bool, signals: &mut Signals) {
        let (Some(aws), connection) = (&self.aws, self.connection) else { return };
        report.describe(aws, connection, self.id.as_deref(), self.known.as_ref());
        let Some(id) = self.id.as_deref().filter(|_| goes_on) else { return };
        // A document that is missing or not permitted says nothing of the others.
        if !matches!(self.steps.status(), Ok(ExitStatus::Ended | ExitStatus::Denied | ExitStatus::Config))
            && !self.was_up
        {
            return self.steps.skipped("live check", "not tried: see above why there is no session");
        }
        let is_windows = self.known.as_ref().is_some_and(|node| node.platform_type.as_deref() == Some("Windows"));
        live(Subject { aws, connection, id, is_windows }, &mut self.steps, report.report(), signals).await;
    }

    /// Ends the session on the service, whatever has become of the walk.
    async fn end(&mut self) {
        let Some((sessions, id)) = self.started.take() else { return };
        // The agent has ended it as a rule, but the permission to do it from here is needed where it cannot.
        let ended = match timeout(terminate::LIMIT, sessions.terminate(&id)).await {
            Ok(ended) => ended.map_err(Error::from),
            Err(_) if self.ended => Ok(()),
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
