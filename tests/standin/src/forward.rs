//! The TCP side of a forward with streams: one connection for each, bytes moved between them and the agent.
//!
//! It knows the agent's verbs for streams and nothing of frames, as [`crate::port`] does for a session that is one
//! connection.

use crate::agent::Agent;
use crate::destination::{self, Connecting, Lead};
use bytes::{Buf, Bytes};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::net::TcpStream;

/// Bytes taken from a destination at once.
const READ_BYTES: usize = 32 << 10;

enum Peer {
    Connecting(Connecting),
    Open(Open),
}

struct Open {
    stream: TcpStream,
    /// What the kernel has not taken yet; nothing more is asked for before it has.
    unwritten: Bytes,
    /// Whether the agent takes what it says.
    wanted: bool,
}

/// The connections of one session, by stream.
#[derive(Default)]
pub(crate) struct Streams {
    peers: BTreeMap<u32, Peer>,
    dialled: Vec<(u32, io::Result<()>)>,
    chunk: Vec<u8>,
}

impl Streams {
    /// Starts to connect a stream.
    pub(crate) fn dial(&mut self, id: u32, leads: Vec<Lead>) {
        self.peers.insert(id, Peer::Connecting(Box::pin(destination::dial(leads))));
    }

    /// Closes a stream's connection.
    pub(crate) fn close(&mut self, id: u32) {
        self.peers.remove(&id);
    }

    /// Closes all.
    pub(crate) fn close_all(&mut self) {
        self.peers.clear();
        self.dialled.clear();
    }

    /// Moves all that can be moved without waiting; says whether anything moved. `connected` learns whether any
    /// destination was reached.
    pub(crate) fn pump(&mut self, now: Instant, agent: &mut Agent, connected: &mut bool) -> bool {
        let mut moved = !self.dialled.is_empty();
        for (id, result) in self.dialled.drain(..) {
            match result {
                Ok(()) => {
                    *connected = true;
                    agent.stream_connected(now, id);
                }
                Err(_) => agent.stream_refused(now, id),
            }
        }
        self.chunk.resize(READ_BYTES, 0);
        for (id, peer) in &mut self.peers {
            let Peer::Open(open) = peer else { continue };
            moved |= write(now, *id, open, agent);
            moved |= read(now, *id, open, agent, &mut self.chunk);
            open.wanted = agent.stream_read_room(*id) > 0;
        }
        moved
    }

    /// Waits until any connection is made, or can be read or written. Can be dropped at any time.
    pub(crate) async fn ready(&mut self) {
        std::future::poll_fn(|context| self.poll_ready(context)).await;
    }

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut ready = !self.dialled.is_empty();
        let mut failed = None;
        for (id, peer) in &mut self.peers {
            match peer {
                Peer::Connecting(connecting) => match connecting.as_mut().poll(context) {
                    Poll::Ready(Ok(stream)) => {
                        // Small writes go out at once, as the agent's do; a refusal of the option changes nothing.
                        let _ = stream.set_nodelay(true);
                        *peer = Peer::Open(Open { stream, unwritten: Bytes::new(), wanted: true });
                        self.dialled.push((*id, Ok(())));
                    }
                    Poll::Ready(Err(error)) => failed = Some((*id, error)),
                    Poll::Pending => continue,
                },
                Peer::Open(open) => {
                    let reads = open.wanted && open.stream.poll_read_ready(context).is_ready();
                    let writes = !open.unwritten.is_empty() && open.stream.poll_write_ready(context).is_ready();
                    if !reads && !writes {
                        continue;
                    }
                }
            }
            ready = true;
        }
        if let Some((id, error)) = failed {
            self.peers.remove(&id);
            self.dialled.push((id, Err(error)));
        }
        if ready { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// Writes what the kernel takes; says whether it took anything.
fn write(now: Instant, id: u32, open: &mut Open, agent: &mut Agent) -> bool {
    let mut moved = false;
    loop {
        if open.unwritten.is_empty() {
            if !agent.stream_wants_write(id) {
                return moved;
            }
            moved = true;
            let Some(data) = agent.stream_write(now, id) else { return moved };
            open.unwritten = data;
        }
        match open.stream.try_write(&open.unwritten) {
            Ok(written) => open.unwritten.advance(written),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return moved,
            Err(_) => {
                // An agent at its end does not listen any more.
                open.unwritten.clear();
                agent.stream_closed(now, id);
                return true;
            }
        }
        moved = true;
    }
}

/// Reads what the agent takes; says whether anything came.
fn read(now: Instant, id: u32, open: &Open, agent: &mut Agent, chunk: &mut [u8]) -> bool {
    let mut moved = false;
    loop {
        let room = agent.stream_read_room(id).min(READ_BYTES);
        let Some(space) = chunk.get_mut(..room).filter(|space| !space.is_empty()) else { return moved };
        match open.stream.try_read(space) {
            Ok(read @ 1..) => agent.stream_data(now, id, space.get(..read).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return moved,
            Ok(_) | Err(_) => {
                agent.stream_closed(now, id);
                return true;
            }
        }
        moved = true;
    }
}
