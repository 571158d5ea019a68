//! The probe: a session that is only looked at, for its connection, its handshake, sshd's first line, and its end.
//!
//! It never connects a second time: a connection that fails or is lost is a finding.

use std::time::{Duration, Instant};

use ssm_aws::{Aws, Session as Started, Sessions};
use ssm_session::{Closed, Event, Options, Session};
use tokio::time::timeout_at;

use crate::diagnostics::{Error, ExitStatus, session as words, tell};

/// How long sshd may take for its first line, which it sends as soon as a client connects.
const BANNER: Duration = Duration::from_secs(10);
/// How many bytes are read until sshd's line is found: others may precede it, but not a book.
const BANNER_BYTES: usize = 64 << 10;
/// How long the agent may take to acknowledge the end.
const END: Duration = Duration::from_secs(2);

/// A session that is only looked at.
pub(super) struct Probe<'a> {
    aws: &'a Aws,
    port: u16,
    session: Session,
    connected: bool,
    /// The agent's version, once the handshake is complete.
    agent: Option<String>,
    output: Vec<u8>,
    ended: bool,
    /// Why nothing more comes; told after everything that has come is looked at.
    failure: Option<Error>,
}

impl<'a> Probe<'a> {
    /// A look at what is on `port`, with `limit` for the connection and the handshake each.
    pub(super) fn new(aws: &'a Aws, sessions: &Sessions, started: Started, port: u16, limit: Duration) -> Self {
        let options = Options { connect_timeout: limit * 2, resume_timeout: Duration::ZERO, ..Options::default() };
        let session = Session::adopt(aws, sessions, started, None, options);
        Self { aws, port, session, connected: false, agent: None, output: Vec::new(), ended: false, failure: None }
    }

    /// Waits for the connection.
    pub(super) async fn connection(&mut self, limit: Duration) -> Result<(), Error> {
        let connected = self.until(limit, |probe| probe.connected.then_some(())).await?;
        connected.ok_or_else(|| words::not_connected(limit, None, self.aws))
    }

    /// Waits for the handshake; gives the agent's version.
    pub(super) async fn handshake(&mut self, limit: Duration) -> Result<String, Error> {
        self.until(limit, |probe| probe.agent.clone()).await?.ok_or_else(|| {
            let hint = "look at the agent's log on the target (amazon-ssm-agent.log), and restart the agent";
            Error::new(ExitStatus::TryAgain, "the agent does not begin or end it in time", hint)
        })
    }

    /// Waits for the line in which sshd introduces itself.
    pub(super) async fn banner(&mut self) -> Result<String, Error> {
        let enough = |probe: &Self| match banner(&probe.output) {
            None if probe.output.len() <= BANNER_BYTES => None,
            banner => Some(banner),
        };
        self.until(BANNER, enough).await?.flatten().ok_or_else(|| not_sshd(&self.output))
    }

    /// Ends the session by the terminate flag, and says whether the agent has acknowledged that.
    pub(super) async fn end(mut self) -> bool {
        self.session.finish();
        // An error here is the connection's or the session's end, and there is nothing more to be had from it.
        let ended = self.until(END, |probe| probe.ended.then_some(())).await;
        self.session.close().await;
        matches!(ended, Ok(Some(())))
    }

    /// Acts on what happens until `found` finds what is waited for; nothing if `limit` is over first.
    async fn until<T>(&mut self, limit: Duration, found: impl Fn(&Self) -> Option<T>) -> Result<Option<T>, Error> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(found) = found(self) {
                return Ok(Some(found));
            }
            if let Some(error) = self.failure.take() {
                return Err(error);
            }
            match timeout_at(deadline.into(), self.session.next()).await {
                Ok(event) => self.handle(event),
                Err(_) => return Ok(None),
            }
        }
    }

    fn handle(&mut self, event: Event) {
        let failure = match event {
            Event::Connected => return self.connected = true,
            Event::Ready { agent_version, .. } => return self.agent = Some(agent_version.unwrap_or_default()),
            Event::Output(bytes) => return self.output.extend_from_slice(&bytes),
            Event::Notice(text) => return tell(&text),
            Event::Terminated => return self.ended = true,
            Event::Writable | Event::Stderr(_) | Event::ExitStatus(_) => return,
            Event::Retrying { error, .. } => words::connect(&error, self.aws),
            Event::Lost(loss) => {
                let message = format!("the connection is lost: {loss}");
                Error::new(ExitStatus::TryAgain, message, "check the network, and check again")
            }
            Event::PortRefused => words::port_refused(self.port, ""),
            Event::Unsupported(why) => words::unsupported(why),
            Event::Closed(_) if self.session.channel().has_sent_flag() => return self.ended = true,
            Event::Closed(Closed::ByService { .. }) if !self.output.is_empty() => not_sshd(&self.output),
            Event::Closed(Closed::ByService { output }) if self.agent.is_some() => {
                words::port_refused(self.port, &output)
            }
            Event::Closed(why) => words::closed(&why, self.aws),
        };
        self.failure.get_or_insert(failure);
    }
}

/// Something else than sshd listens on the port.
fn not_sshd(output: &[u8]) -> Error {
    let message = match output.is_empty() {
        true => format!("the port takes connections, but says nothing within {} s", BANNER.as_secs()),
        false => "the port answers, but not as sshd does".to_owned(),
    };
    let hint = "check that it is sshd that listens on that port of the target";
    Error::new(ExitStatus::Unavailable, message, hint)
}

/// The first whole line of `output` in which an SSH server introduces itself.
pub(super) fn banner(output: &[u8]) -> Option<String> {
    let whole = output.get(..=output.iter().rposition(|byte| *byte == b'\n')?)?;
    let line = whole.split(|byte| *byte == b'\n').find(|line| line.starts_with(b"SSH-"))?;
    Some(String::from_utf8_lossy(line).trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_banner_is_a_whole_line_that_other_lines_may_precede() {
        assert_eq!(banner(b"SSH-2.0-OpenSSH_9.2\r\nrest").as_deref(), Some("SSH-2.0-OpenSSH_9.2"));
        assert_eq!(banner(b"welcome\nSSH-2.0-x\n").as_deref(), Some("SSH-2.0-x"));
        for output in [&b""[..], b"SSH-2.0-x", b"HTTP/1.1 400\r\n", b"x SSH-2.0\n"] {
            assert_eq!(banner(output), None);
        }
    }
}
