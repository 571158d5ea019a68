//! How long a byte waits behind bulk that was taken before it: the window must keep queues short wherever they form.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ssm_channel::{Channel, Config};
use standin::{Agent, AgentConfig, AgentEvent, Link, LinkConfig};

/// The queue is measured from here on: the window has found its size by then.
const SETTLED: Duration = Duration::from_secs(5);
/// How long each path is used.
const SPAN: Duration = Duration::from_secs(60);
/// The steps in which time passes.
const STEP: Duration = Duration::from_millis(1);

/// What a path did to an upload that never ends.
pub(crate) struct Measured {
    /// Bytes a second that arrived.
    pub(crate) rate: f64,
    /// Half of the bytes waited less than this, besides the path's own delay.
    pub(crate) median: Duration,
    /// All but one in a hundred waited less than this.
    pub(crate) most: Duration,
}

/// Uploads through a path of `delay` each way that carries `messages_per_second`.
pub(crate) fn saturate(delay: Duration, messages_per_second: u32) -> Measured {
    let start = Instant::now();
    let mut channel = Channel::new(Config { unix_millis: 1, seed: 1, paced: true }, start);
    channel.transport_up();
    let mut agent = Agent::new(start, 1, AgentConfig::default(), fastrand::Rng::with_seed(1));
    let config = LinkConfig { delay, frames_per_second: Some(messages_per_second), ..LinkConfig::default() };
    let mut up = Link::new(config, fastrand::Rng::with_seed(2));
    let mut down = Link::new(LinkConfig { delay, ..LinkConfig::default() }, fastrand::Rng::with_seed(3));
    let mut taken: VecDeque<(Instant, usize)> = VecDeque::new();
    let mut waits = Vec::new();
    let mut arrived = 0;
    let mut now = start;
    while now < start + SPAN {
        now += STEP;
        channel.handle_timeout(now);
        while channel.poll_output().is_some() {}
        let bytes = channel.send(now, &[0; 64 << 10]);
        taken.push_back((now, bytes));
        while let Some(frame) = channel.poll_frame(now) {
            up.send(now, frame);
        }
        while let Some(frame) = up.poll(now) {
            agent.handle_frame(now, &frame);
        }
        agent.tcp_room(now, usize::MAX);
        agent.handle_timeout(now);
        while let Some(event) = agent.poll_event() {
            if matches!(event, AgentEvent::Connect(_)) {
                agent.tcp_connected(now);
                agent.tcp_data(now, b"SSH-2.0-x\r\n");
            }
        }
        while let Some(bytes) = agent.poll_tcp_write() {
            arrived += bytes.len();
            settle(&mut taken, bytes.len(), now - delay, start + SETTLED, &mut waits);
        }
        while let Some(frame) = agent.poll_frame(now) {
            down.send(now, frame);
        }
        while let Some(frame) = down.poll(now) {
            let _ = channel.handle_frame(now, &frame);
        }
    }
    waits.sort_unstable();
    let share = |part: usize, of: usize| waits.get(waits.len() * part / of).copied().unwrap_or(Duration::MAX);
    Measured { rate: arrived as f64 / SPAN.as_secs_f64(), median: share(1, 2), most: share(99, 100) }
}

/// `length` bytes have arrived; notes how long those taken after `from` had waited at `now`.
fn settle(
    taken: &mut VecDeque<(Instant, usize)>,
    mut length: usize,
    now: Instant,
    from: Instant,
    waits: &mut Vec<Duration>,
) {
    while length > 0
        && let Some((at, bytes)) = taken.front_mut()
    {
        if *at >= from {
            waits.push(now.saturating_duration_since(*at));
        }
        let part = length.min(*bytes);
        length -= part;
        *bytes -= part;
        if *bytes == 0 {
            taken.pop_front();
        }
    }
}
