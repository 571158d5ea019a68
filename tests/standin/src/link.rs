//! A seeded piece of network for frames: loss, duplication, reordering, corruption, delay, jitter, throttling.
//!
//! Pure: the time is handed in, so it serves a simulation with a virtual clock and the socket layer alike. It does
//! not know what the frames mean, except that it can tell acknowledgements from the rest when asked to hurt only one
//! kind.

use crate::codec::{Message, message_type};
use bytes::{Bytes, BytesMut};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// Which frames a link loses, doubles, reorders and corrupts. Delay and rate are for all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Victims {
    /// Every frame.
    #[default]
    All,
    /// Acknowledgements only.
    Acknowledgements,
    /// Everything but acknowledgements.
    Data,
}

/// What one direction of the network is like. The default lets everything through at once.
#[derive(Debug, Clone, Default)]
pub struct LinkConfig {
    /// Probability that a frame is lost, 0 to 1.
    pub loss: f64,
    /// Probability that a frame comes twice.
    pub duplicate: f64,
    /// Probability that a frame is held back by up to [`Self::reorder_by`] while later ones pass.
    pub reorder: f64,
    /// Longest time that a reordered frame is held back; 50 ms when zero.
    pub reorder_by: Duration,
    /// Probability that one payload byte is changed (its digest is then untrue). Meant for the way to the client: the
    /// agent checks no digest (§3) and would pass the damage on.
    pub corrupt: f64,
    /// Time that every frame takes.
    pub delay: Duration,
    /// Longest additional time; jitter alone does not change the order.
    pub jitter: Duration,
    /// Frames per second that pass, if throttled.
    pub frames_per_second: Option<u32>,
    /// Which frames are hurt.
    pub victims: Victims,
}

impl LinkConfig {
    fn is_clear(&self) -> bool {
        let chances = [self.loss, self.duplicate, self.reorder, self.corrupt];
        chances.iter().all(|chance| *chance <= 0.0)
            && self.delay.is_zero()
            && self.jitter.is_zero()
            && self.frames_per_second.is_none()
    }
}

/// What a link did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct LinkCounts {
    /// Frames handed in.
    pub sent: u64,
    /// Frames lost.
    pub lost: u64,
    /// Frames doubled.
    pub duplicated: u64,
    /// Frames held back behind later ones.
    pub reordered: u64,
    /// Frames with a changed byte.
    pub corrupted: u64,
}

/// One direction of the network.
#[derive(Debug)]
pub struct Link {
    config: LinkConfig,
    rng: fastrand::Rng,
    ready: VecDeque<Bytes>,
    under_way: BTreeMap<(Instant, u64), Bytes>,
    order: u64,
    last_arrival: Option<Instant>,
    free_at: Option<Instant>,
    bytes: usize,
    counts: LinkCounts,
}

impl Link {
    /// A link; equal configurations and generators behave equally.
    pub fn new(config: LinkConfig, rng: fastrand::Rng) -> Self {
        Self {
            config,
            rng,
            ready: VecDeque::new(),
            under_way: BTreeMap::new(),
            order: 0,
            last_arrival: None,
            free_at: None,
            bytes: 0,
            counts: LinkCounts::default(),
        }
    }

    /// Changes what the link is like for frames that are sent from now on.
    pub fn set_config(&mut self, config: LinkConfig) {
        self.config = config;
    }

    /// What it did so far.
    pub fn counts(&self) -> LinkCounts {
        self.counts
    }

    /// Bytes of frames under way.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Loses everything that is under way.
    pub fn clear(&mut self) {
        self.counts.lost += (self.ready.len() + self.under_way.len()) as u64;
        self.ready.clear();
        self.under_way.clear();
        self.bytes = 0;
        self.last_arrival = None;
        self.free_at = None;
    }

    /// Hands in a frame.
    pub fn send(&mut self, now: Instant, frame: Bytes) {
        self.counts.sent += 1;
        if self.under_way.is_empty() && self.config.is_clear() {
            self.bytes += frame.len();
            self.ready.push_back(frame);
            return;
        }
        let victim = self.is_victim(&frame);
        if victim && self.chance(self.config.loss) {
            self.counts.lost += 1;
            return;
        }
        let frame = if victim && self.chance(self.config.corrupt) { self.corrupted(&frame) } else { frame };
        if victim && self.chance(self.config.duplicate) {
            self.counts.duplicated += 1;
            self.dispatch(now, frame.clone(), victim);
        }
        self.dispatch(now, frame, victim);
    }

    /// The next frame that has arrived.
    pub fn poll(&mut self, now: Instant) -> Option<Bytes> {
        let frame = match self.ready.pop_front() {
            Some(frame) => frame,
            None => {
                let first = self.under_way.first_entry()?;
                if first.key().0 > now {
                    return None;
                }
                first.remove()
            }
        };
        self.bytes = self.bytes.saturating_sub(frame.len());
        Some(frame)
    }

    /// When the next frame arrives; a time that is past when one is waiting.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.under_way.keys().next().map(|(at, _)| *at)
    }

    /// Whether a frame waits that arrived without delay.
    pub fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.rng.f64() < probability
    }

    fn is_victim(&self, frame: &Bytes) -> bool {
        let is_ack = || Message::decode(frame).is_ok_and(|m| m.name() == message_type::ACKNOWLEDGE);
        match self.config.victims {
            Victims::All => true,
            Victims::Acknowledgements => is_ack(),
            Victims::Data => !is_ack(),
        }
    }

    fn corrupted(&mut self, frame: &Bytes) -> Bytes {
        let mut bytes = BytesMut::from(frame.as_ref());
        // From 120 on is payload in every message that carries data (§3).
        let at = self.rng.usize(120..121.max(bytes.len()));
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 1 << self.rng.u8(0..8);
            self.counts.corrupted += 1;
        }
        bytes.freeze()
    }

    fn dispatch(&mut self, now: Instant, frame: Bytes, victim: bool) {
        let mut leaves = now;
        if let Some(rate) = self.config.frames_per_second {
            leaves = self.free_at.map_or(now, |at| at.max(now));
            self.free_at = Some(leaves + Duration::from_secs(1) / rate.max(1));
        }
        let jitter = self.config.jitter.mul_f64(self.rng.f64());
        let mut arrives = leaves + self.config.delay + jitter;
        if let Some(last) = self.last_arrival {
            arrives = arrives.max(last);
        }
        if victim && self.chance(self.config.reorder) {
            self.counts.reordered += 1;
            let by = if self.config.reorder_by.is_zero() { Duration::from_millis(50) } else { self.config.reorder_by };
            arrives += by.mul_f64(self.rng.f64());
        } else {
            self.last_arrival = Some(arrives);
        }
        self.order += 1;
        self.bytes += frame.len();
        self.under_way.insert((arrives, self.order), frame);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::payload_type;

    fn frame(n: u32) -> Bytes {
        Message::new(message_type::INPUT, i64::from(n), 0, payload_type::OUTPUT, Bytes::from(vec![0; 16])).encode()
    }

    fn run(config: LinkConfig, seed: u64, frames: u32) -> (Vec<i64>, LinkCounts) {
        let now = Instant::now();
        let mut link = Link::new(config, fastrand::Rng::with_seed(seed));
        for n in 0..frames {
            link.send(now + Duration::from_millis(u64::from(n)), frame(n));
        }
        let far = now + Duration::from_secs(3600);
        let got = std::iter::from_fn(|| link.poll(far)).map(|f| Message::decode(&f).unwrap().sequence).collect();
        assert_eq!(link.bytes(), 0);
        (got, link.counts())
    }

    #[test]
    fn a_clear_link_passes_everything_at_once_and_in_order() {
        let (got, _) = run(LinkConfig::default(), 1, 100);
        assert_eq!(got, (0..100).collect::<Vec<i64>>());
    }

    #[test]
    fn loss_duplication_and_reordering_happen_about_as_often_as_asked_and_repeat_with_the_seed() {
        let config = LinkConfig { loss: 0.1, duplicate: 0.1, reorder: 0.1, corrupt: 0.1, ..Default::default() };
        let (got, counts) = run(config.clone(), 5, 2_000);
        for count in [counts.lost, counts.duplicated, counts.reordered, counts.corrupted] {
            assert!((120..280).contains(&count), "{counts:?}");
        }
        assert_eq!(got.len() as u64, 2_000 - counts.lost + counts.duplicated);
        assert!(got.windows(2).any(|w| w[0] > w[1]));
        assert_eq!(run(config.clone(), 5, 2_000).0, got);
        assert_ne!(run(config, 6, 2_000).0, got);
    }

    #[test]
    fn delay_and_jitter_keep_the_order() {
        let now = Instant::now();
        let ms = Duration::from_millis;
        let config = LinkConfig { delay: ms(50), jitter: ms(30), ..Default::default() };
        let mut link = Link::new(config.clone(), fastrand::Rng::with_seed(3));
        link.send(now, frame(0));
        assert_eq!(link.poll(now + ms(49)), None);
        assert!(link.poll_timeout().unwrap() >= now + ms(50));
        assert!(link.poll(now + ms(80)).is_some());
        let (got, _) = run(config, 3, 500);
        assert!(got.is_sorted());
    }

    #[test]
    fn a_throttled_link_spaces_frames() {
        let now = Instant::now();
        let config = LinkConfig { frames_per_second: Some(100), ..Default::default() };
        let mut link = Link::new(config, fastrand::Rng::with_seed(3));
        for n in 0..10 {
            link.send(now, frame(n));
        }
        let at = now + Duration::from_millis(45);
        assert_eq!(std::iter::from_fn(|| link.poll(at)).count(), 5);
    }

    #[test]
    fn only_acknowledgements_are_hurt_when_asked() {
        let now = Instant::now();
        let config = LinkConfig { loss: 1.0, victims: Victims::Acknowledgements, ..Default::default() };
        let mut link = Link::new(config, fastrand::Rng::with_seed(3));
        let data = Message::decode(&frame(1)).unwrap();
        link.send(now, data.encode());
        link.send(now, data.acknowledgement(uuid::Uuid::nil(), 1).encode());
        assert!(link.poll(now).is_some());
        assert_eq!(link.poll(now), None);
        assert_eq!(link.counts().lost, 1);
    }

    #[test]
    fn a_corrupted_frame_has_an_untrue_digest() {
        let now = Instant::now();
        let config = LinkConfig { corrupt: 1.0, ..Default::default() };
        let mut link = Link::new(config, fastrand::Rng::with_seed(3));
        link.send(now, frame(1));
        let got = Message::decode(&link.poll(now).unwrap()).unwrap();
        assert!(!got.digest_is_true());
    }
}
