//! The agent's side of a forward, as its code and Go's smux have it: a strict reader of frames, serial dials, one
//! budget of unread bytes, and FIN as the end of both directions.

use std::collections::{BTreeMap, VecDeque};

use crate::script::Connection;

/// Bytes between the agent's receive loop and its multiplexer when this has stopped reading; they are acknowledged.
const PIPE: usize = 16 << 10;

/// What the agent sends, in order.
#[derive(Debug)]
pub(crate) enum Sent {
    Bytes(Vec<u8>),
    ConnectFailed,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// Its dial is not over.
    Waiting,
    Open {
        since: u64,
    },
    /// Both directions are closed; what comes is thrown away.
    Closed,
}

/// One stream, and the destination behind it.
#[derive(Debug)]
pub(crate) struct Stream {
    plan: Connection,
    state: State,
    buffered: VecDeque<u8>,
    /// The client has sent FIN.
    is_finished: bool,
    /// What the destination has read.
    pub(crate) taken: Vec<u8>,
    /// How much of the answer was sent.
    pub(crate) answered: usize,
    /// When the first frame was sent.
    pub(crate) spoke: Option<u64>,
    /// The destination closed by itself.
    pub(crate) hung_up: bool,
}

#[derive(Debug)]
pub(crate) struct Agent {
    plans: Vec<Connection>,
    budget: usize,
    pipe: VecDeque<u8>,
    pub(crate) streams: BTreeMap<u32, Stream>,
    /// Streams whose dial is to come or goes on, and when the first one's is over.
    accepted: VecDeque<u32>,
    dialled: Option<u64>,
    pub(crate) sent: VecDeque<Sent>,
    pub(crate) nops: u64,
}

/// Byte `at` of what a side writes on a stream.
pub(crate) fn pattern(id: u32, at: usize) -> u8 {
    ((at as u64 ^ u64::from(id) << 40).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8
}

fn frame(command: u8, id: u32, data: &[u8]) -> Sent {
    let mut bytes = vec![1, command];
    bytes.extend((data.len() as u16).to_le_bytes());
    bytes.extend(id.to_le_bytes());
    bytes.extend(data);
    Sent::Bytes(bytes)
}

impl Agent {
    pub(crate) fn new(plans: &[Connection], budget: usize) -> Self {
        Self {
            plans: plans.to_vec(),
            budget,
            pipe: VecDeque::new(),
            streams: BTreeMap::new(),
            accepted: VecDeque::new(),
            dialled: None,
            sent: VecDeque::new(),
            nops: 0,
        }
    }

    /// Whether the receive loop takes a message now; if not, it is not acknowledged.
    pub(crate) fn has_room(&self) -> bool {
        self.unread() < self.budget || self.pipe.len() < PIPE
    }

    pub(crate) fn receive(&mut self, payload: &[u8]) {
        self.pipe.extend(payload);
    }

    fn unread(&self) -> usize {
        self.streams.values().map(|stream| stream.buffered.len()).sum()
    }

    /// One millisecond; whether anything has moved.
    pub(crate) fn step(&mut self, now: u64) -> Result<bool, String> {
        let mut moved = self.read_frames()?;
        moved |= self.dial(now);
        let ids: Vec<u32> = self.streams.keys().copied().collect();
        for id in ids {
            moved |= self.serve(now, id);
        }
        Ok(moved)
    }

    /// When something happens next by itself, if nothing moves now.
    pub(crate) fn next(&self, now: u64) -> Option<u64> {
        let begins = self.streams.values().filter_map(|stream| match stream.state {
            State::Open { since } => Some(since + stream.plan.takes_from),
            _ => None,
        });
        begins.chain(self.dialled).filter(|at| *at > now).min()
    }

    fn read_frames(&mut self) -> Result<bool, String> {
        let mut moved = false;
        while self.unread() < self.budget && self.pipe.len() >= 8 {
            let header: Vec<u8> = self.pipe.range(..8).copied().collect();
            let length = usize::from(u16::from_le_bytes([header[2], header[3]]));
            if self.pipe.len() < 8 + length {
                return Ok(moved);
            }
            self.pipe.drain(..8);
            let data: Vec<u8> = self.pipe.drain(..length).collect();
            let id = u32::from_le_bytes(header[4..].try_into().unwrap());
            self.frame(header[0], header[1], id, &data)?;
            moved = true;
        }
        Ok(moved)
    }

    fn frame(&mut self, version: u8, command: u8, id: u32, data: &[u8]) -> Result<(), String> {
        let last = self.streams.last_key_value().map_or(1, |(id, _)| *id);
        let stream = self.streams.get_mut(&id);
        match (version, command, stream) {
            (1, 0, None) if id > last && id % 2 == 1 && data.is_empty() => {
                // Connections open in their order, but one that is killed at once leaves its id out.
                let plan = self.plans.get((id as usize - 3) / 2).cloned().ok_or("more streams than connections")?;
                let stream = Stream {
                    plan,
                    state: State::Waiting,
                    buffered: VecDeque::new(),
                    is_finished: false,
                    taken: Vec::new(),
                    answered: 0,
                    spoke: None,
                    hung_up: false,
                };
                self.streams.insert(id, stream);
                self.accepted.push_back(id);
            }
            (1, 1, Some(stream)) if !stream.is_finished && data.is_empty() => stream.is_finished = true,
            (1, 2, Some(stream)) if !stream.is_finished && !data.is_empty() => {
                if stream.state != State::Closed {
                    stream.buffered.extend(data);
                }
            }
            (1, 3, None) if id == 0 && data.is_empty() => self.nops += 1,
            _ => {
                return Err(format!(
                    "a breach: version {version}, command {command}, stream {id}, {} bytes",
                    data.len()
                ));
            }
        }
        Ok(())
    }

    /// The accept loop: one dial after another.
    fn dial(&mut self, now: u64) -> bool {
        let Some(id) = self.accepted.front().copied() else { return false };
        let stream = self.streams.get_mut(&id).unwrap();
        let until = *self.dialled.get_or_insert(now + stream.plan.dial);
        if until > now {
            return false;
        }
        self.dialled = None;
        self.accepted.pop_front();
        if stream.plan.refused {
            self.sent.push_back(Sent::ConnectFailed);
            stream.spoke = Some(now);
            self.close(id);
        } else {
            stream.state = State::Open { since: now };
        }
        true
    }

    /// A connected stream: the destination reads and writes, and either side's end is the end of both.
    fn serve(&mut self, now: u64, id: u32) -> bool {
        let stream = self.streams.get_mut(&id).unwrap();
        let State::Open { since } = stream.state else { return false };
        let mut moved = false;
        if now >= since + stream.plan.takes_from {
            let count = stream.buffered.len().min(stream.plan.takes);
            stream.taken.extend(stream.buffered.drain(..count));
            moved |= count > 0;
        }
        if stream.is_finished && stream.buffered.is_empty() {
            stream.spoke = stream.spoke.or(Some(now));
            self.close(id);
            return true;
        }
        if stream.taken.len() >= stream.plan.asks && stream.answered < stream.plan.answer {
            let count = (stream.plan.answer - stream.answered).min(3_000);
            let data: Vec<u8> = (stream.answered..stream.answered + count).map(|at| !pattern(id, at)).collect();
            stream.answered += count;
            stream.spoke = stream.spoke.or(Some(now));
            self.sent.push_back(frame(2, id, &data));
            moved = true;
        }
        let has_answered = stream.taken.len() >= stream.plan.asks && stream.answered == stream.plan.answer;
        if stream.plan.closes && has_answered {
            stream.hung_up = true;
            stream.spoke = stream.spoke.or(Some(now));
            self.close(id);
            moved = true;
        }
        moved
    }

    fn close(&mut self, id: u32) {
        let stream = self.streams.get_mut(&id).unwrap();
        stream.state = State::Closed;
        stream.buffered.clear();
        self.sent.push_back(frame(1, id, &[]));
    }
}
