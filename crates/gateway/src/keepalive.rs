//! Keep-alive: when to send a ping, and when to give up a peer that does not answer.
//!
//! TCP alone would notice a silently cut network after a quarter of an hour. This module has times alone, and no
//! socket.

use std::time::{Duration, Instant};

/// How long an idle socket may be silent before a ping is sent. With [`DEADLINE`], a cut is noticed within 18 s. AWS's
/// agent sends a ping each 54 s, and AWS's own client each 5 minutes: its users look at a dead terminal for so long.
const IDLE: Duration = Duration::from_secs(13);
/// How long a socket may be silent while sent messages wait for their acknowledgement: longer than any usual round
/// trip.
const WAITING: Duration = Duration::from_millis(1500);
/// How long the answer to a ping may take. Satellite links answer within 2 s; SSH cannot be used on a slower path.
const DEADLINE: Duration = Duration::from_secs(4);

/// The next action of the keep-alive.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Check {
    /// Nothing before this time.
    At(Instant),
    /// Send a ping now.
    Ping,
    /// The peer has not answered in time.
    Dead,
}

#[derive(Debug)]
pub(super) struct KeepAlive {
    heard: Instant,
    asked: Option<Instant>,
    /// The caller suspects that the peer is gone: a ping is due at once.
    in_doubt: bool,
}

impl KeepAlive {
    pub(super) fn new(now: Instant) -> Self {
        Self { heard: now, asked: None, in_doubt: false }
    }

    /// Something came from the peer.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.asked = None;
    }

    /// A ping was sent.
    pub(super) fn asked(&mut self, now: Instant) {
        self.asked = Some(now);
        self.in_doubt = false;
    }

    /// The caller suspects that the peer is gone.
    pub(super) fn doubt(&mut self) {
        self.in_doubt = true;
    }

    /// The action at `now`; `waiting` says whether sent messages wait for their acknowledgement.
    pub(super) fn check(&self, now: Instant, waiting: bool) -> Check {
        match self.asked {
            Some(asked) if asked + DEADLINE <= now => Check::Dead,
            Some(asked) => Check::At(asked + DEADLINE),
            None if self.in_doubt => Check::Ping,
            None => match self.heard + if waiting { WAITING } else { IDLE } {
                at if at <= now => Check::Ping,
                at => Check::At(at),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Drives a keep-alive whose peer is silent from `start` on; returns how long it takes to be given up.
    fn time_to_notice(waiting: bool) -> Duration {
        let start = Instant::now();
        let mut keep_alive = KeepAlive::new(start);
        let mut now = start;
        loop {
            match keep_alive.check(now, waiting) {
                Check::At(at) => now = at,
                Check::Ping => keep_alive.asked(now),
                Check::Dead => return now - start,
            }
        }
    }

    #[test]
    fn a_silent_peer_is_given_up_within_the_promised_times() {
        assert!(time_to_notice(false) <= Duration::from_secs(20));
        assert!(time_to_notice(true) <= Duration::from_secs(6));
    }

    #[test]
    fn doubt_asks_at_once() {
        let now = Instant::now();
        let mut keep_alive = KeepAlive::new(now);
        keep_alive.doubt();
        assert_eq!(keep_alive.check(now, false), Check::Ping);
        keep_alive.asked(now);
        assert_eq!(keep_alive.check(now, false), Check::At(now + DEADLINE));
    }

    #[test]
    fn a_peer_that_answers_is_asked_again_and_never_given_up() {
        let start = Instant::now();
        let mut keep_alive = KeepAlive::new(start);
        let mut now = start;
        let mut pings = 0;
        while now < start + Duration::from_secs(600) {
            match keep_alive.check(now, false) {
                Check::At(at) => now = at,
                Check::Ping => {
                    pings += 1;
                    keep_alive.asked(now);
                    now += Duration::from_millis(200);
                    keep_alive.heard(now);
                }
                Check::Dead => panic!("given up"),
            }
        }
        assert!((40..50).contains(&pings), "{pings}");
    }
}
