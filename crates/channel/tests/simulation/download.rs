//! How long a download takes when what is under way is lost. The agent repairs one message in 100 ms, so that a repair
//! of a message that had arrived, because its acknowledgement was lost, is time lost.

use std::time::{Duration, Instant};

use standin::rate::RateMeter;
use standin::{AgentConfig, LinkConfig};

use crate::pair::Pair;

/// The steps in which time passes.
const STEP: Duration = Duration::from_millis(1);
/// From the loss of the client's socket to the next one.
const AWAY: Duration = Duration::from_millis(300);
/// A download that has not ended by then never will.
const LIMIT: Duration = Duration::from_secs(7200);

/// A path, and what happens to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path {
    /// Each way.
    pub(crate) delay: Duration,
    /// The share of frames that are lost, each way.
    pub(crate) loss: f64,
    /// When the service closes the client's socket.
    pub(crate) closes: &'static [Duration],
}

/// What a download was like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    /// From the start of the session to the last byte.
    pub(crate) took: Duration,
    /// Messages that the agent sent again.
    pub(crate) repairs: u64,
    /// Those of them that had arrived before.
    pub(crate) needless: u64,
    /// Frames that the client sent.
    pub(crate) frames: usize,
    /// The most of them in one second.
    pub(crate) peak: usize,
}

/// Downloads so many bytes.
pub(crate) fn download(bytes: usize, path: Path) -> Measured {
    let start = Instant::now();
    let link = LinkConfig { delay: path.delay, loss: path.loss, ..LinkConfig::default() };
    let mut pair = Pair::new(start, AgentConfig::default(), link.clone(), link, 1);
    let mut closes = path.closes.iter().map(|at| start + *at).peekable();
    let mut reopens = None;
    let mut rate = RateMeter::default();
    let (mut now, mut left, mut arrived, mut frames) = (start, bytes, 0, 0);
    while arrived < bytes {
        now += STEP;
        assert!(now < start + LIMIT, "{arrived} of {bytes} bytes have arrived: {path:?}");
        if closes.next_if(|at| *at <= now).is_some() {
            pair.close(now);
            reopens = Some(now + AWAY);
        }
        if reopens.take_if(|at| *at <= now).is_some() {
            pair.reopen(now);
        }
        let room = left.min(pair.agent.tcp_read_room());
        pair.agent.tcp_data(now, &vec![7; room]);
        left -= room;
        let moved = pair.turn(now);
        arrived += moved.to_ssh;
        frames += moved.from_client.len();
        moved.from_client.iter().for_each(|_| rate.count(now));
    }
    let needless = pair.channel.stats().duplicates;
    Measured { took: now - start, repairs: pair.agent.counts().retransmissions, needless, frames, peak: rate.peak() }
}
