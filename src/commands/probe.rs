//! A session that is only looked at: handshake, the first line of sshd, and the end.
//!
//! It drives a channel over a gateway by the channel's contract, without stdin and stdout. It never resumes: a
//! connection that is lost is what the look was for.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::time::timeout_at;

use crate::{
    channel::{Channel, Config, Ending, Event},
    error::{Error, ExitStatus, tell},
    gateway::{Gateway, Progress},
    tunnel,
};

/// How long sshd may take for its first line. It sends it as soon as it is connected to.
const BANNER: Duration = Duration::from_secs(10);
/// How much is read until its line is found: sshd may send others before, but not a book.
const BANNER_BYTES: usize = 64 << 10;
/// How long the agent may take to acknowledge the end.
const END: Duration = Duration::from_secs(2);

/// A session that is looked at.
pub(super) struct Probe {
    port: u16,
    gateway: Box<Gateway>,
    channel: Channel,
    /// The agent's version, once the handshake is complete.
    agent: Option<String>,
    output: Vec<u8>,
    ended: bool,
    /// Why there is nothing more to come; told after what has come is looked at.
    failure: Option<Error>,
}

impl Probe {
    /// A look at what is on `port`, by way of `gateway`.
    pub(super) fn new(port: u16, gateway: Box<Gateway>) -> Self {
        let unix_time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let config = Config {
            unix_millis: u64::try_from(unix_time.as_millis()).unwrap_or(u64::MAX),
            seed: fastrand::u64(..),
            paced: true,
        };
        let mut channel = Channel::new(config, Instant::now());
        channel.transport_up();
        Self { port, gateway, channel, agent: None, output: Vec::new(), ended: false, failure: None }
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
        self.channel.finish(Ending::AtOnce);
        // An error here is the connection's or the session's end, and there is nothing more to be had from it.
        while !self.ended && self.turn(deadline).await.unwrap_or(false) {}
        self.gateway.close().await;
        self.ended
    }

    /// Waits for the next thing to happen and acts on it; false if the deadline comes first.
    async fn turn(&mut self, deadline: Instant) -> Result<bool, Error> {
        if let Some(error) = self.failure.take() {
            return Err(error);
        }
        let now = Instant::now();
        if deadline <= now {
            return Ok(false);
        }
        self.channel.handle_timeout(now);
        if !self.gateway.is_flushing() {
            while let Some(frame) = self.channel.poll_frame(now) {
                self.gateway.feed(frame);
            }
        }
        let wake = self.channel.poll_timeout(now).map_or(deadline, |wake| wake.min(deadline));
        match timeout_at(wake.into(), self.gateway.progress(true)).await {
            Err(_) | Ok(Progress::Flushed | Progress::Alive) => {}
            Ok(Progress::Frame(frame)) => {
                if let Err(ignored) = self.channel.handle_frame(Instant::now(), &frame) {
                    tracing::debug!(bytes = frame.len(), "ignored {ignored}");
                }
            }
            Ok(Progress::Lost(loss)) => {
                let message = format!("the connection is lost: {loss}");
                return Err(Error::new(ExitStatus::TryAgain, message, "check the network, and check again"));
            }
        }
        while let Some(bytes) = self.channel.poll_output() {
            self.output.extend_from_slice(&bytes);
        }
        while let Some(event) = self.channel.poll_event() {
            self.heed(event);
        }
        Ok(true)
    }

    fn heed(&mut self, event: Event) {
        let failure = match event {
            Event::Ready { agent_version } => return self.agent = Some(agent_version),
            Event::CustomerMessage(text) => return tell(&text),
            Event::Ended => return self.ended = true,
            Event::Closed { .. } if self.channel.has_sent_flag() => return self.ended = true,
            // Neither ends a look, which sends little and does not connect again.
            Event::Stalled | Event::PayloadRefused => return,
            Event::PortRefused => tunnel::port_refused(self.port, ""),
            Event::Unsupported(why) => tunnel::unsupported(why),
            Event::Closed { .. } if !self.output.is_empty() => not_sshd(&self.output),
            Event::Closed { output } if self.agent.is_some() => tunnel::port_refused(self.port, &output),
            Event::Closed { output } => tunnel::closed_early(&output),
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
