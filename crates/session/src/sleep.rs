//! Notices that the machine was asleep: the wall clock went on, the monotonic clock did not.

use std::time::{Duration, Instant, SystemTime};

/// How far the wall clock may get ahead between two looks before it is called sleep. Corrections of the clock are
/// smaller; a larger one costs a ping.
const TOLERANCE: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(crate) struct SleepWatch {
    monotonic: Instant,
    wall: SystemTime,
}

impl SleepWatch {
    pub(crate) fn new(monotonic: Instant, wall: SystemTime) -> Self {
        Self { monotonic, wall }
    }

    /// Whether the machine was asleep since the last look.
    pub(crate) fn has_slept(&mut self, monotonic: Instant, wall: SystemTime) -> bool {
        let before = std::mem::replace(self, Self { monotonic, wall });
        let awake = monotonic.saturating_duration_since(before.monotonic);
        wall.duration_since(before.wall).is_ok_and(|passed| passed > awake + TOLERANCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_of_the_wall_clock_alone_is_sleep() {
        let (mut monotonic, mut wall) = (Instant::now(), SystemTime::now());
        let mut watch = SleepWatch::new(monotonic, wall);
        for (awake, passed, slept) in [(60, 60, false), (60, 61, false), (1, 3600, true), (1, 1, false), (5, 0, false)]
        {
            monotonic += Duration::from_secs(awake);
            wall += Duration::from_secs(passed);
            assert_eq!(watch.has_slept(monotonic, wall), slept, "{awake} s awake, {passed} s passed");
        }
        assert!(!watch.has_slept(monotonic, wall - Duration::from_secs(3600)));
    }
}
