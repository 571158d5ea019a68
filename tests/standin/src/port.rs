//! The TCP side of one session: connects to the port, moves bytes between it and the agent.
//!
//! It knows the agent's TCP verbs and nothing of frames.

use crate::agent::Agent;
use crate::destination::{self, Connecting, Lead};
use bytes::{Buf, BytesMut};
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::TcpStream;

/// Bytes that wait for the peer besides what the kernel holds.
const WRITE_BYTES: usize = 64 << 10;
/// Bytes taken from the peer at once.
const READ_BYTES: usize = 64 << 10;
/// How long the last bytes may take after the agent closed.
const LINGER: Duration = Duration::from_secs(5);

#[derive(Default)]
enum State {
    #[default]
    Idle,
    Connecting(Connecting),
    Open(TcpStream),
    Closing(TcpStream, Instant),
}

/// The TCP connection of one session.
#[derive(Default)]
pub(crate) struct Port {
    state: State,
    unwritten: BytesMut,
    chunk: Vec<u8>,
}

impl Port {
    /// Starts to connect; [`Self::ready`] finishes it. What is left of a connection before goes its own way.
    pub(crate) fn connect(&mut self, leads: Vec<Lead>) {
        let left = std::mem::take(&mut self.unwritten);
        if let State::Closing(mut stream, deadline) = std::mem::take(&mut self.state) {
            tokio::task::spawn_local(async move {
                // A peer that takes no more has lost it.
                let _ = tokio::time::timeout_at(deadline.into(), stream.write_all(&left)).await;
            });
        }
        self.state = State::Connecting(Box::pin(destination::dial(leads)));
    }

    /// Writes what is left, then closes.
    pub(crate) fn close(&mut self, now: Instant) {
        self.state = match std::mem::take(&mut self.state) {
            State::Open(stream) if !self.unwritten.is_empty() => State::Closing(stream, now + LINGER),
            _ => State::Idle,
        };
    }

    /// Whether bytes for the peer are still here after [`Self::close`].
    pub(crate) fn is_closing(&self) -> bool {
        matches!(self.state, State::Closing(..))
    }

    /// Moves all that can be moved without waiting; says whether anything moved.
    pub(crate) fn pump(&mut self, now: Instant, agent: &mut Agent) -> bool {
        let mut moved = false;
        // Room lets a blocked agent write on, which takes room: until either has nothing more.
        loop {
            let mut taken = false;
            while let Some(bytes) = agent.poll_tcp_write() {
                self.unwritten.extend_from_slice(&bytes);
                taken = true;
            }
            match self.flush(now) {
                Ok(written) => moved |= taken || written,
                Err(_) => agent.tcp_closed(now),
            }
            if !matches!(self.state, State::Open(_)) {
                return moved;
            }
            agent.tcp_room(now, WRITE_BYTES.saturating_sub(self.unwritten.len()));
            if !agent.has_tcp_write() {
                break;
            }
        }
        self.read(now, agent) || moved
    }

    /// Writes what the kernel takes; says whether it took anything. After [`Self::close`] it ends the connection when
    /// all is written or the time is up.
    pub(crate) fn flush(&mut self, now: Instant) -> io::Result<bool> {
        let (State::Open(stream) | State::Closing(stream, _)) = &self.state else { return Ok(false) };
        let mut result = Ok(false);
        while !self.unwritten.is_empty() {
            match stream.try_write(&self.unwritten) {
                Ok(written) => {
                    self.unwritten.advance(written);
                    result = Ok(true);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => {
                    self.unwritten.clear();
                    result = Err(error);
                }
            }
        }
        if let State::Closing(_, deadline) = &self.state
            && (self.unwritten.is_empty() || now >= *deadline)
        {
            self.unwritten.clear();
            self.state = State::Idle;
        }
        result
    }

    fn read(&mut self, now: Instant, agent: &mut Agent) -> bool {
        let State::Open(stream) = &self.state else { return false };
        let mut moved = false;
        self.chunk.resize(READ_BYTES, 0);
        loop {
            let room = agent.tcp_read_room().min(READ_BYTES);
            let Some(space) = self.chunk.get_mut(..room).filter(|space| !space.is_empty()) else { return moved };
            match stream.try_read(space) {
                Ok(read @ 1..) => {
                    agent.tcp_data(now, space.get(..read).unwrap_or_default());
                    moved = true;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return moved,
                Ok(_) | Err(_) => {
                    agent.tcp_closed(now);
                    return true;
                }
            }
        }
    }

    /// When [`Self::pump`] has to be called although nothing came.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Closing(_, deadline) => Some(*deadline),
            _ => None,
        }
    }

    /// Waits until connecting is over (then with its result) or until the socket can be read or written. Can be
    /// dropped at any time.
    pub(crate) async fn ready(&mut self, wants_read: bool) -> Option<io::Result<()>> {
        match &mut self.state {
            State::Connecting(connecting) => {
                let result = connecting.await;
                Some(match result {
                    Ok(stream) => {
                        // Small writes go out at once, as the agent's do; a refusal of the option changes nothing.
                        let _ = stream.set_nodelay(true);
                        self.state = State::Open(stream);
                        Ok(())
                    }
                    Err(error) => {
                        self.state = State::Idle;
                        Err(error)
                    }
                })
            }
            State::Open(stream) | State::Closing(stream, _) => {
                let interest = match (wants_read, !self.unwritten.is_empty()) {
                    (true, true) => Interest::READABLE | Interest::WRITABLE,
                    (true, false) => Interest::READABLE,
                    (false, true) => Interest::WRITABLE,
                    (false, false) => return std::future::pending().await,
                };
                // An error shows itself again in the next read or write.
                let _ = stream.ready(interest).await;
                None
            }
            State::Idle => std::future::pending().await,
        }
    }
}
