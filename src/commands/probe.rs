//! A session that is only looked at: connection, handshake, the first line of sshd, and the end.
//!
//! It never connects a second time: a connection that fails or is lost is what the look was for.

use std::time::{Duration, Instant};

use ssm_aws::{Aws, Session as Started, Sessions};
use ssm_session::{Closed, Event, Options, Session};
use tokio::time::timeout_at;

use crate::diagnostics::{Error, ExitStatus, session as words, tell};

/// How long sshd may take for its first line. It sends it as soon as it is connected to.
const BANNER: Duration = Duration::from_secs(10);
/// How much is read until its line is found: sshd may send others before, but not a book.
const BANNER_BYTES: usize = 64 << 10;
/// How long the agent may take to acknowledge the end.
const END: Duration = Duration::from_secs(2);

/// A session that is looked at.
pub(super) struct Probe<'a> {
    aws: &'a Aws,
    port: u16,
    session: Session,
    connected: bool,
    /// The agent's version, once the handshake is complete.
    agent: Option<String>,
    output: Vec<u8>,
    ended: bool,
    /// Why there is nothing more to come; told after what has come is looked at.
    failure: Option<Error>,
}

impl<'a> Probe<'a> {
    /// A look at what is on `port`, with `limit` for the connection and the handshake each.
    pub(super) fn new(aws: &'a Aws, sessions: &Sessions, started: Started, port: u16, limit: Duration) -> Self {
        let options = Options { connect_timeout: limit * 2, resume_timeout: Duration::ZERO, paced: true };
        let session = Session::adopt(aws, sessions, started.id, started.stream, None, options);
        Self { aws, port, session, connected: false, agent: None, output: Vec::new(), ended: false, failure: None }
    }

    /// Waits for the connection.
    pub(super) async fn connection(&mut self, limit: Duration) -> Result<(), Error> {
        let deadline = Instant::now() + limit;
        while !self.connected {
            if !self.turn(deadline).await? {
                return Err(words::not_connected(limit, None));
            }
        }
        Ok(())
    }

    /// Waits for the handshake; gives the agent's version.
    pub(super) async fn handshake(&mut self, limit: Duration) -> Result<String, Error> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(agent) = &self.agent {
                return Ok(agent.clone());
            }
            if !self.turn(deadline).await? {
                let hint = "look at the agent's log on the target (amazon-ssm-agent.log), and restart the agent";
                return Err(Error::new(ExitStatus::TryAgain, "the agent does not begin or end it in time", hint));
            }
        }
    }

    /// Waits for the line in which sshd introduces itself.
    pub(super) async fn banner(&mut self) -> Result<String, Error> {
        let deadline = Instant::now() + BANNER;
        loop {
            if let Some(banner) = banner(&self.output) {
                return Ok(banner);
            }
            if self.output.len() > BANNER_BYTES || !self.turn(deadline).await? {
                return Err(not_sshd(&self.output));
            }
        }
    }

    /// Ends the session by the terminate flag, and says whether the agent has acknowledged that.
    pub(super) async fn end(mut self) -> bool {
        let deadline = Instant::now() + END;
        self.session.finish();
        // An error here is the connection's or the session's end, and there is nothing more to be had from it.
        while !self.ended && self.turn(deadline).await.unwrap_or(false) {}
        self.session.close().await;
        self.ended
    }

    /// Waits for the next thing to happen and acts on it; false if the deadline comes first.
    async fn turn(&mut self, deadline: Instant) -> Result<bool, Error> {
        if let Some(error) = self.failure.take() {
            return Err(error);
        }
        match timeout_at(deadline.into(), self.session.next()).await {
            Ok(event) => self.handle(event),
            Err(_) => return Ok(false),
        }
        Ok(true)
    }

    fn handle(&mut self, event: Event) {
        let failure = match event {
            Event::Connected => return self.connected = true,
            Event::Ready { agent_version } => return self.agent = Some(agent_version),
            Event::Output(bytes) => return self.output.extend_from_slice(&bytes),
            Event::Notice(text) => return tell(&text),
            Event::Terminated => return self.ended = true,
            Event::Writable => return,
            Event::Retrying { error, .. } => words::connect(&error, self.aws),
            Event::Lost(loss) => {
                let message = format!("the connection is lost: {loss}");
                Error::new(ExitStatus::TryAgain, message, "check the network, and check again")
            }
            Event::PortRefused => words::port_refused(self.port, ""),
            Event::Unsupported(why) => words::unsupported(why),
            Event::Closed(why) => match self.closed(why) {
                Some(failure) => failure,
                None => return self.ended = true,
            },
        };
        self.failure.get_or_insert(failure);
    }

    /// Why nothing more comes; nothing if that was wanted.
    fn closed(&self, why: Closed) -> Option<Error> {
        Some(match why {
            _ if self.session.channel().has_sent_flag() => return None,
            Closed::ByService { .. } if !self.output.is_empty() => not_sshd(&self.output),
            Closed::ByService { output } if self.agent.is_some() => words::port_refused(self.port, &output),
            Closed::ByService { output } => words::closed_early(&output),
            Closed::Failed(error) => words::connect(&error, self.aws),
            Closed::Lost(loss) => words::lost(&loss),
            Closed::WhileAway => words::over_while_away(),
            Closed::PayloadRefused => words::payload_refused(),
            Closed::NotConnected(error) | Closed::NotResumed(error) => {
                let failed = error.map(|error| words::connect(&error, self.aws));
                words::not_connected_before("the time was over", failed)
            }
        })
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
fn banner(output: &[u8]) -> Option<String> {
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
