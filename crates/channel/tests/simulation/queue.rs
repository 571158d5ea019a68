//! How long a byte waits behind bulk that was taken before it: the window must keep queues short wherever they form.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use standin::{AgentConfig, LinkConfig};

use crate::pair::Pair;

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
    let down = LinkConfig { delay, ..LinkConfig::default() };
    let up = LinkConfig { frames_per_second: Some(messages_per_second), ..down.clone() };
    let mut pair = Pair::new(start, AgentConfig::default(), up, down, 1);
    let mut taken: VecDeque<(Instant, usize)> = VecDeque::new();
    let mut waits = Vec::new();
    let (mut now, mut arrived, mut greeted) = (start, 0, false);
    while now < start + SPAN {
        now += STEP;
        taken.push_back((now, pair.channel.send(now, &[0; 64 << 10])));
        if !greeted && pair.agent.tcp_read_room() > 0 {
            pair.agent.tcp_data(now, b"SSH-2.0-x\r\n");
            greeted = true;
        }
        let moved = pair.turn(now);
        arrived += moved.to_port;
        settle(&mut taken, moved.to_port, now - delay, start + SETTLED, &mut waits);
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
