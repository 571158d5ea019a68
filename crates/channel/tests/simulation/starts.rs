//! The first bytes of a session to a port whose server waits for the client to speak: how soon they get there, and
//! that none is lost in the moment in which the agent acknowledges and loses what arrives.

use std::time::{Duration, Instant};

use standin::codec::{Message, payload_type};
use standin::{AgentConfig, LinkConfig};

use crate::pair::Pair;

/// What ssh writes at the start, in bytes.
const REQUEST: usize = 18;
/// A start that has not ended by then never will.
const LIMIT: Duration = Duration::from_secs(60);

/// One start.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    /// Of the path, each way.
    pub(crate) delay: Duration,
    pub(crate) jitter: Duration,
    pub(crate) agent: AgentConfig,
    pub(crate) seed: u64,
}

impl Start {
    /// The start of a seed: a path of up to 100 ms each way and an agent that takes its time, however long the path.
    pub(crate) fn of(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut up_to = |micros: u64| Duration::from_micros(rng.u64(..=micros));
        let (delay, jitter) = (up_to(100_000), up_to(5_000));
        let (complete_delay, complete_gap) = (up_to(150_000), up_to(9_000));
        let few = |rng: &mut fastrand::Rng, rare: Duration| if rng.bool() { Duration::ZERO } else { rare };
        Self {
            delay: few(&mut rng, delay),
            jitter: few(&mut rng, jitter),
            agent: AgentConfig {
                complete_delay: few(&mut rng, complete_delay),
                complete_gap,
                complete_before_ack: rng.bool(),
                ..AgentConfig::default()
            },
            seed,
        }
    }

    /// From HandshakeComplete, as the agent sends it, to the first bytes at the port.
    pub(crate) fn run(&self) -> Result<Duration, String> {
        let start = Instant::now();
        let link = LinkConfig { delay: self.delay, jitter: self.jitter, ..LinkConfig::default() };
        let mut pair = Pair::new(start, self.agent.clone(), link.clone(), link, self.seed);
        pair.channel.send(start, &[7; REQUEST]);
        let mut completed = None;
        let mut now = start;
        loop {
            let moved = pair.turn(now);
            let is_complete = |frame| {
                Message::decode(frame).is_ok_and(|message| message.payload_type == payload_type::HANDSHAKE_COMPLETE)
            };
            if moved.from_agent.iter().any(is_complete) {
                completed.get_or_insert(now);
            }
            if pair.agent.counts().thrown_away > 0 {
                return Err("the request was acknowledged and thrown away".into());
            }
            if let (REQUEST, Some(completed)) = (moved.to_port, completed) {
                return Ok(now - completed);
            }
            let is_still = moved.from_client.is_empty() && moved.from_agent.is_empty();
            let next = pair.next(now).ok_or("nothing will ever happen again")?;
            now = if is_still { next.max(now + Duration::from_micros(50)) } else { now };
            if now - start > LIMIT {
                return Err("the request did not arrive".into());
            }
        }
    }
}
